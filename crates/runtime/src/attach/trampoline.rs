//! Programs that were bound to a function when they were loaded: fentry, fexit and iterators.

use super::failure::Refusal;
use super::{Attachment, Outcome};
use crate::sys::bpf::{self, LinkDetail};
use fathom_bpf::ProgramKind;
use fathom_bpf::object::AttachPoint;
use libbpf_sys::{BPF_TRACE_FENTRY, BPF_TRACE_FEXIT, BPF_TRACE_ITER};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

/// fentry, fexit.
pub(super) fn function(
    program: BorrowedFd<'_>,
    point: &AttachPoint,
    kind: &ProgramKind,
) -> Result<Outcome, Refusal> {
    let attach_type = match kind {
        ProgramKind::Fexit(_) => BPF_TRACE_FEXIT,
        _ => BPF_TRACE_FENTRY,
    };
    let link = match point.cookie {
        Some(cookie) => {
            bpf::link_create(program, 0, attach_type, &LinkDetail::TracingCookie(cookie))
        }
        None => bpf::raw_tracepoint_open(program, None, 0),
    };
    let link = link.map_err(|error| match error.raw_os_error() {
        Some(libc::EBUSY) => Refusal::with_hint(
            "the function has no place for a trampoline (noinstr, notrace), or something else is changing it",
            "use a kprobe, or probe a function that calls it",
        ),
        Some(libc::EINVAL) => {
            Refusal::new("the function's code is gone (it ran at boot only), or it cannot be traced")
        }
        Some(libc::EPERM | libc::EACCES) => {
            Refusal::with_hint("this kernel does not allow trampolines", "use a kprobe")
        }
        _ => error.into(),
    })?;
    Ok(Outcome::one(Attachment::Link(link)))
}

/// An iterator that the session reads, or one that stays behind at a path.
pub(super) fn iterator(program: BorrowedFd<'_>, pin: Option<&str>) -> Result<Outcome, Refusal> {
    let link = bpf::link_create(program, 0, BPF_TRACE_ITER, &LinkDetail::None)?;
    let Some(pin) = pin else {
        let reader = bpf::iter_create(link.as_fd())?;
        return Ok(Outcome::one(Attachment::Iter(reader)));
    };
    let path = pin_path(pin);
    bpf::pin(link.as_fd(), &path).map_err(|error| {
        let reason = format!("cannot pin it at {}: {error}", path.display());
        Refusal::with_hint(reason, "a path that does not exist yet, in a mounted BPF file system: mount -t bpf bpf /sys/fs/bpf")
    })?;
    Ok(Outcome {
        count: 1,
        pin: Some(path.display().to_string()),
        ..Outcome::default()
    })
}

/// Relative paths are below the usual mount point of the BPF file system.
fn pin_path(pin: &str) -> PathBuf {
    Path::new("/sys/fs/bpf").join(pin)
}
