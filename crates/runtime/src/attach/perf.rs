//! Perf events: clocks, software and hardware counters, hardware breakpoints. All can have a program since Linux 4.9.

use super::failure::Refusal;
use super::{Attacher, Attachment, Outcome};
use crate::sys::bpf::{self, LinkDetail};
use crate::sys::perf::{self, Attributes, Scope, flag};
use fathom_bpf::object::{Access, AttachPoint, Place, Rate};
use libbpf_sys::BPF_PERF_EVENT;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// Threads of one process that get events of their own.
const MAX_THREADS: usize = 4096;

/// One CPU's clock.
pub(super) fn interval(
    attacher: &Attacher<'_>,
    program: BorrowedFd<'_>,
    point: &AttachPoint,
    period_ns: u64,
) -> Result<Outcome, Refusal> {
    let attributes = clock(Rate::PeriodNs(period_ns));
    let scope = Scope::Cpu(attacher.any_cpu());
    Ok(Outcome::one(attach(
        &attributes,
        scope,
        program,
        point.cookie,
    )?))
}

/// Every CPU's clock.
pub(super) fn profile(
    attacher: &Attacher<'_>,
    program: BorrowedFd<'_>,
    point: &AttachPoint,
    rate: Rate,
) -> Result<Outcome, Refusal> {
    everywhere(attacher, program, point, &clock(rate)).map_err(|error| {
        match (error.raw_os_error(), rate) {
            (Some(libc::EINVAL), Rate::Hertz(hertz)) => Refusal::with_hint(
                format!("{hertz} Hz is more than the kernel allows"),
                "see /proc/sys/kernel/perf_event_max_sample_rate",
            ),
            _ => error.into(),
        }
    })
}

fn clock(rate: Rate) -> Attributes {
    let (sample_period, flags) = match rate {
        Rate::Hertz(hertz) => (hertz, flag::FREQUENCY),
        Rate::PeriodNs(period) => (period, 0),
    };
    Attributes {
        kind: perf::TYPE_SOFTWARE,
        config: perf::SOFTWARE_CPU_CLOCK,
        sample_period,
        flags,
        ..Attributes::default()
    }
}

/// A counter of the kernel.
pub(super) fn software(
    attacher: &Attacher<'_>,
    program: BorrowedFd<'_>,
    point: &AttachPoint,
    config: u64,
    period: u64,
) -> Result<Outcome, Refusal> {
    let attributes = Attributes {
        kind: perf::TYPE_SOFTWARE,
        config,
        sample_period: period,
        ..Attributes::default()
    };
    Ok(everywhere(attacher, program, point, &attributes)?)
}

/// A counter of the processor.
pub(super) fn hardware(
    attacher: &Attacher<'_>,
    program: BorrowedFd<'_>,
    point: &AttachPoint,
    config: u64,
    period: u64,
) -> Result<Outcome, Refusal> {
    let attributes = Attributes {
        kind: perf::TYPE_HARDWARE,
        config,
        sample_period: period,
        ..Attributes::default()
    };
    everywhere(attacher, program, point, &attributes).map_err(|error| match error.raw_os_error() {
        Some(libc::ENOENT | libc::EOPNOTSUPP | libc::ENODEV) => Refusal::with_hint(
            "this machine offers no such hardware counter",
            "virtual machines often have none; a `software` or `profile` probe may do",
        ),
        _ => error.into(),
    })
}

/// A hardware breakpoint: in each thread of a process, or on every CPU for kernel addresses.
pub(super) fn watchpoint(
    attacher: &Attacher<'_>,
    program: BorrowedFd<'_>,
    point: &AttachPoint,
) -> Result<Outcome, Refusal> {
    let Place::Watchpoint {
        address,
        length,
        access,
        pid,
    } = point.place
    else {
        unreachable!("attach: {:?} is no watchpoint", point.place);
    };
    // HW_BREAKPOINT_R 1, W 2, X 4; an instruction breakpoint has the length of a long.
    let (breakpoint_kind, length) = match access {
        Access::Write => (2, length),
        Access::ReadWrite => (3, length),
        Access::Execute => (4, size_of::<libc::c_long>() as u32),
    };
    let attributes = Attributes {
        kind: perf::TYPE_BREAKPOINT,
        sample_period: 1,
        breakpoint_kind,
        config1: address,
        config2: length.into(),
        ..Attributes::default()
    };
    let attached = match pid {
        Some(pid) => each_thread(pid, program, point, &attributes),
        None => each_cpu(attacher, program, point, &attributes),
    };
    attached.map_err(|error| match error.raw_os_error() {
        Some(libc::ENOSPC) => Refusal::new("all hardware breakpoints of this machine are in use"),
        Some(libc::EINVAL) => Refusal::with_hint(
            format!("the processor cannot watch {length} bytes at {address:#x}"),
            "the address must be a multiple of the length",
        ),
        _ => error.into(),
    })
}

/// On the threads of the session's process if it has one, on every CPU otherwise.
fn everywhere(
    attacher: &Attacher<'_>,
    program: BorrowedFd<'_>,
    point: &AttachPoint,
    attributes: &Attributes,
) -> io::Result<Outcome> {
    match attacher.pid {
        Some(pid) => each_thread(pid, program, point, attributes),
        None => each_cpu(attacher, program, point, attributes),
    }
}

fn each_cpu(
    attacher: &Attacher<'_>,
    program: BorrowedFd<'_>,
    point: &AttachPoint,
    attributes: &Attributes,
) -> io::Result<Outcome> {
    let mut attachments = Vec::new();
    for &cpu in attacher.online_cpus() {
        match attach(attributes, Scope::Cpu(cpu), program, point.cookie) {
            Ok(attachment) => attachments.push(attachment),
            // It went offline meanwhile.
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) && !attachments.is_empty() => {
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Outcome::many(attachments))
}

/// Threads that start later inherit the event from the one that starts them.
fn each_thread(
    pid: u32,
    program: BorrowedFd<'_>,
    point: &AttachPoint,
    attributes: &Attributes,
) -> io::Result<Outcome> {
    let inherited = Attributes {
        flags: attributes.flags | flag::INHERIT | flag::INHERIT_THREAD,
        ..*attributes
    };
    let mut attachments = Vec::new();
    let mut last_error = io::Error::from_raw_os_error(libc::ESRCH);
    for tid in threads(pid) {
        let scope = Scope::Thread(tid);
        let attached = attach(&inherited, scope, program, point.cookie).or_else(|error| {
            match error.raw_os_error() {
                // No inheritance by threads alone before Linux 5.13.
                Some(libc::EINVAL) => attach(attributes, scope, program, point.cookie),
                _ => Err(error),
            }
        });
        match attached {
            Ok(attachment) => attachments.push(attachment),
            Err(error) => last_error = error,
        }
    }
    if attachments.is_empty() {
        Err(last_error)
    } else {
        Ok(Outcome::many(attachments))
    }
}

fn threads(pid: u32) -> Vec<u32> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    let tids = tasks.filter_map(|task| task.ok()?.file_name().to_str()?.parse().ok());
    tids.take(MAX_THREADS).collect()
}

/// Opens one event and puts the program on it.
fn attach(
    attributes: &Attributes,
    scope: Scope,
    program: BorrowedFd<'_>,
    cookie: Option<u64>,
) -> io::Result<Attachment> {
    let event = perf::open(attributes, scope)?;
    put_program(event, program, cookie)
}

/// Puts the program on an open event: by a link, which carries the cookie (Linux 5.15), or by the older ioctl.
pub(super) fn put_program(
    event: std::os::fd::OwnedFd,
    program: BorrowedFd<'_>,
    cookie: Option<u64>,
) -> io::Result<Attachment> {
    let detail = LinkDetail::PerfCookie(cookie.unwrap_or(0));
    let link = match bpf::link_create(program, event.as_raw_fd(), BPF_PERF_EVENT, &detail) {
        Ok(link) => Some(link),
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) && cookie.is_none() => {
            perf::set_program(event.as_fd(), program)?;
            None
        }
        Err(error) => return Err(error),
    };
    perf::enable(event.as_fd())?;
    Ok(Attachment::Perf { link, event })
}
