//! Static tracepoints of the kernel: through perf (records), raw (arguments), typed (arguments by BTF).

use super::failure::Refusal;
use super::perf::put_program;
use super::{Attacher, Attachment, Outcome};
use crate::sys::bpf::{self, LinkDetail};
use crate::sys::perf::{self, Attributes, Scope};
use fathom_bpf::ProgramKind;
use fathom_bpf::object::AttachPoint;
use libbpf_sys::BPF_TRACE_RAW_TP;
use std::ffi::CString;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

/// A tracepoint by its number in tracefs.
pub(super) fn tracepoint(
    attacher: &Attacher<'_>,
    program: BorrowedFd<'_>,
    point: &AttachPoint,
    category: &str,
    event: &str,
) -> Result<Outcome, Refusal> {
    let id = attacher
        .machine
        .tracefs()
        .and_then(|tracefs| tracefs.event_id(category, event));
    let id = id.map_err(|error| Refusal::new(error.to_string()))?;
    let attributes = Attributes {
        kind: perf::TYPE_TRACEPOINT,
        config: id,
        sample_period: 1,
        wakeup: 1,
        ..Attributes::default()
    };
    // The program runs on every CPU, whichever the event is bound to.
    let event = perf::open(&attributes, Scope::Cpu(attacher.any_cpu()))?;
    Ok(Outcome::one(put_program(event, program, point.cookie)?))
}

/// A raw tracepoint, or the one that a typed program was bound to when it was loaded.
pub(super) fn raw(
    program: BorrowedFd<'_>,
    point: &AttachPoint,
    kind: &ProgramKind,
    name: &str,
) -> Result<Outcome, Refusal> {
    let link = match kind {
        ProgramKind::TracepointBtf(_) => typed(program, point.cookie),
        _ => {
            let name = CString::new(name).map_err(|_| Refusal::new("a NUL byte in its name"))?;
            bpf::raw_tracepoint_open(program, Some(&name), point.cookie.unwrap_or(0))
        }
    };
    let link = link.map_err(|error| match error.raw_os_error() {
        Some(libc::ENOENT) => Refusal::new("this kernel has no such raw tracepoint"),
        Some(libc::EINVAL) if point.cookie.is_some() => {
            Refusal::new("this kernel has no cookies for raw tracepoints (Linux 6.10 brings them)")
        }
        _ => error.into(),
    })?;
    Ok(Outcome::one(Attachment::Link(link)))
}

fn typed(program: BorrowedFd<'_>, cookie: Option<u64>) -> io::Result<OwnedFd> {
    match cookie {
        None => bpf::raw_tracepoint_open(program, None, 0),
        Some(cookie) => bpf::link_create(
            program,
            0,
            BPF_TRACE_RAW_TP,
            &LinkDetail::TracingCookie(cookie),
        ),
    }
}
