//! The thin layer over system calls: safe functions in and out, one `unsafe` call each.
//!
//! Everything unsafe of this crate lies below here.

pub mod bpf;
pub mod capability;
pub mod fork;
pub mod inquiry;
pub mod memory;
pub mod misses;
pub mod net;
pub mod perf;
pub mod poll;
pub mod signal;
pub mod startup;
pub mod time;

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

/// A file descriptor the kernel just returned, or the error it left in `errno`.
fn owned(result: libc::c_long) -> io::Result<OwnedFd> {
    match i32::try_from(result) {
        // SAFETY: the kernel just gave us this descriptor, nobody else has it.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The same for libbpf's functions, which return `-errno`.
fn owned_or_errno(result: i32) -> io::Result<OwnedFd> {
    checked(result).and_then(|fd| owned(fd.into()))
}

/// Non-negative results pass; `-errno` becomes an error.
fn checked(result: i32) -> io::Result<i32> {
    match result {
        0.. => Ok(result),
        errno => Err(io::Error::from_raw_os_error(errno.saturating_neg())),
    }
}

/// Non-negative results pass; `-1` means that `errno` tells.
fn checked_libc(result: i32) -> io::Result<i32> {
    match result {
        0.. => Ok(result),
        _ => Err(io::Error::last_os_error()),
    }
}
