//! Kernel functions: one by a perf event, many by a kprobe.multi link.

use super::failure::{ENOTSUPP, Refusal};
use super::multi::{FATAL, bisect};
use super::perf::put_program;
use super::{Attacher, Attachment, Outcome};
use crate::sys::bpf::{self, KprobeMultiTargets, LinkDetail};
use crate::sys::perf::{self, Attributes, Scope};
use fathom_bpf::ProgramKind;
use fathom_bpf::object::{AttachPoint, KernelFunction, Place};
use libbpf_sys::{BPF_TRACE_KPROBE_MULTI, BPF_TRACE_KPROBE_SESSION};
use std::ffi::CString;
use std::io;
use std::os::fd::BorrowedFd;

/// A place in a kernel function.
#[derive(Clone, Copy)]
pub(super) struct Spot<'a> {
    pub(super) function: &'a KernelFunction,
    pub(super) offset: u64,
    pub(super) on_return: bool,
}

/// kprobe, kretprobe.
pub(super) fn one(
    attacher: &Attacher<'_>,
    program: BorrowedFd<'_>,
    point: &AttachPoint,
    spot: Spot<'_>,
) -> Result<Outcome, Refusal> {
    if spot.on_return
        && let Some(definitions) = &attacher.definitions
        && let Ok(attachment) =
            definitions.attach(attacher, program, point, &symbol_or_address(spot.function))
    {
        return Ok(Outcome::one(attachment));
    }
    let Ok(pmu) = attacher.machine.probe_pmu("kprobe") else {
        return Err(no_kprobes());
    };
    let attributes = Attributes {
        kind: pmu.kind,
        config: u64::from(spot.on_return) << pmu.retprobe_bit,
        config2: spot
            .function
            .address
            .map_or(spot.offset, |address| address + spot.offset),
        sample_period: 1,
        wakeup: 1,
        ..Attributes::default()
    };
    let cpu = Scope::Cpu(attacher.any_cpu());
    let opened = match spot.function.address {
        Some(_) => perf::open(&attributes, cpu),
        None => perf::open_named(&attributes, &symbol(spot.function)?, cpu),
    };
    let event = opened.map_err(refusal)?;
    Ok(Outcome::one(put_program(event, program, point.cookie)?))
}

fn no_kprobes() -> Refusal {
    Refusal::with_hint(
        "this kernel has no kprobes (CONFIG_KPROBES is off)",
        "use a tracepoint or rawtracepoint",
    )
}

fn symbol(function: &KernelFunction) -> Result<CString, Refusal> {
    CString::new(qualified(function)).map_err(|_| Refusal::new("a NUL byte in its name"))
}

/// `name`, or `module:name` where the kernel wants to be told.
fn qualified(function: &KernelFunction) -> String {
    match &function.module {
        Some(module) if module != "vmlinux" => format!("{module}:{}", function.name),
        _ => function.name.clone(),
    }
}

fn symbol_or_address(function: &KernelFunction) -> String {
    match function.address {
        Some(address) => format!("{address:#x}"),
        None => qualified(function),
    }
}

fn refusal(error: io::Error) -> Refusal {
    match error.raw_os_error() {
        Some(libc::ENOENT) => {
            Refusal::new("this kernel has no such function, or it was inlined everywhere")
        }
        Some(libc::EADDRNOTAVAIL) => Refusal::new("several functions of the kernel have this name"),
        Some(libc::EINVAL) => Refusal::new(
            "the function cannot be probed: it is on the kernel's block list (noinstr, NOKPROBE), or the offset is inside of an instruction",
        ),
        Some(libc::EILSEQ) => Refusal::new("the offset is inside of an instruction"),
        Some(ENOTSUPP | libc::EOPNOTSUPP) => no_kprobes(),
        _ => error.into(),
    }
}

/// kprobe.multi and kprobe.session.
pub(super) fn many(
    program: BorrowedFd<'_>,
    kind: &ProgramKind,
    place: &Place,
) -> Result<Outcome, Refusal> {
    let Place::KprobeMulti {
        functions,
        cookies,
        on_return,
    } = place
    else {
        unreachable!("attach: {place:?} is no kprobe.multi");
    };
    let attach_type = match kind {
        ProgramKind::KprobeSession => BPF_TRACE_KPROBE_SESSION,
        _ => BPF_TRACE_KPROBE_MULTI,
    };
    // The kernel sorts addresses faster than it finds names; they must be known for all.
    let addresses: Vec<u64> = functions
        .iter()
        .filter_map(|function| function.address)
        .collect();
    let names: Vec<CString> = match addresses.len() == functions.len() {
        true => Vec::new(),
        false => functions.iter().map(symbol).collect::<Result<_, _>>()?,
    };
    let result = bisect(0..functions.len(), &FATAL, |range| {
        let targets = match names.is_empty() {
            true => KprobeMultiTargets::Addresses(&addresses[range.clone()]),
            false => KprobeMultiTargets::Names(&names[range.clone()]),
        };
        let detail = LinkDetail::KprobeMulti {
            functions: targets,
            cookies: cookies.get(range).unwrap_or_default(),
            on_return: *on_return,
        };
        bpf::link_create(program, 0, attach_type, &detail)
    })
    .map_err(refusal)?;
    if result.count == 0
        && matches!(result.bad.first(), Some((_, error)) if error.raw_os_error() == Some(libc::EOPNOTSUPP))
    {
        return Err(Refusal::new(
            "this kernel has no kprobe.multi (Linux 5.18 with CONFIG_FPROBE brings it)",
        ));
    }
    let failures = result
        .bad
        .into_iter()
        .map(|(index, error)| (functions[index].name.clone(), refusal(error)));
    Ok(Outcome {
        attachments: result.links.into_iter().map(Attachment::Link).collect(),
        count: result.count,
        failures: failures.collect(),
        pin: None,
    })
}
