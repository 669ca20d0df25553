//! How often the kernel came by a probe and did not run its program.

use super::{bpf, checked};
use libbpf_sys as raw;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Hits of a link's probes that the kernel could not follow: a kprobe inside of another one, or the return of a function of
/// which too many calls are pending. 0 for other links, and before Linux 6.7, which does not tell.
pub fn of_link(link: BorrowedFd<'_>) -> io::Result<u64> {
    let mut info = raw::bpf_link_info::default();
    let mut size = size_of_val(&info) as u32;
    // SAFETY: all pointers inside are null with length 0, so that only the structure itself is filled.
    checked(unsafe { raw::bpf_link_get_info_by_fd(link.as_raw_fd(), &mut info, &mut size) })?;
    let detail = &info.__bindgen_anon_1;
    Ok(match info.type_ {
        // SAFETY: the kernel filled this member for this type; it is made of integers, zero where the kernel knows less.
        raw::BPF_LINK_TYPE_KPROBE_MULTI => unsafe { detail.kprobe_multi.missed },
        raw::BPF_LINK_TYPE_PERF_EVENT => {
            // SAFETY: as above.
            let perf = unsafe { &detail.perf_event };
            match perf.type_ {
                raw::BPF_PERF_EVENT_KPROBE | raw::BPF_PERF_EVENT_KRETPROBE => {
                    // SAFETY: as above, for the kind of event that the kernel told.
                    unsafe { perf.__bindgen_anon_1.kprobe.missed }
                }
                _ => 0,
            }
        }
        _ => 0,
    })
}

/// Hits at which a program did not run because it, or another one, was running on that CPU. 0 before Linux 5.12, which does not
/// tell.
pub fn of_program(program: BorrowedFd<'_>) -> io::Result<u64> {
    bpf::program_info(program).map(|info| info.recursion_misses)
}
