//! `perf_event_open` and the ioctls on what it gives.

use super::{checked_libc, owned};
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

/// `PERF_TYPE_*`
pub const TYPE_HARDWARE: u32 = 0;
/// `PERF_TYPE_SOFTWARE`
pub const TYPE_SOFTWARE: u32 = 1;
/// `PERF_TYPE_TRACEPOINT`
pub const TYPE_TRACEPOINT: u32 = 2;
/// `PERF_TYPE_BREAKPOINT`
pub const TYPE_BREAKPOINT: u32 = 5;
/// `PERF_COUNT_SW_CPU_CLOCK`
pub const SOFTWARE_CPU_CLOCK: u64 = 0;
/// `PERF_COUNT_SW_BPF_OUTPUT`
pub const SOFTWARE_BPF_OUTPUT: u64 = 10;

/// Bits of `perf_event_attr`'s flag word.
pub mod flag {
    /// Threads and children made later have it too.
    pub const INHERIT: u64 = 1 << 1;
    /// `sample_period` is a frequency.
    pub const FREQUENCY: u64 = 1 << 10;
    /// Inherit only to threads (Linux 5.13).
    pub const INHERIT_THREAD: u64 = 1 << 35;
}

/// `PERF_SAMPLE_RAW`
pub const SAMPLE_RAW: u64 = 1 << 10;

const FLAG_FD_CLOEXEC: libc::c_ulong = 8;
const IOC_ENABLE: libc::c_ulong = 0x2400;
const IOC_SET_BPF: libc::c_ulong = 0x4004_2408;

/// `struct perf_event_attr` (include/uapi/linux/perf_event.h) up to version 5, 112 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Attributes {
    /// `PERF_TYPE_*` or the number of a PMU.
    pub kind: u32,
    pub(crate) size: u32,
    /// What of that type.
    pub config: u64,
    /// Period or frequency.
    pub sample_period: u64,
    /// `PERF_SAMPLE_*`
    pub sample_type: u64,
    pub(crate) read_format: u64,
    /// See [`flag`].
    pub flags: u64,
    /// Events or bytes.
    pub wakeup: u32,
    /// `HW_BREAKPOINT_*`
    pub breakpoint_kind: u32,
    /// Breakpoint address, address of a kprobe's or uprobe's name.
    pub config1: u64,
    /// Breakpoint length, offset of a kprobe or uprobe.
    pub config2: u64,
    pub(crate) unused: [u64; 5],
}

/// Whose events are counted where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everybody on one CPU.
    Cpu(u32),
    /// One thread on all CPUs.
    Thread(u32),
}

/// `perf_event_open`
pub fn open(attributes: &Attributes, scope: Scope) -> io::Result<OwnedFd> {
    let attributes = Attributes {
        size: size_of::<Attributes>() as u32,
        ..*attributes
    };
    let (pid, cpu) = match scope {
        Scope::Cpu(cpu) => (-1, cpu as libc::c_int),
        Scope::Thread(tid) => (tid as libc::pid_t, -1),
    };
    // SAFETY: the attributes carry their size; names that they point to are kept alive by the callers here and below.
    owned(unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &raw const attributes,
            pid,
            cpu,
            -1,
            FLAG_FD_CLOEXEC,
        )
    })
}

/// `perf_event_open` of a kprobe or uprobe by the name of its function or file.
pub fn open_named(attributes: &Attributes, name: &CStr, scope: Scope) -> io::Result<OwnedFd> {
    let attributes = Attributes {
        config1: name.as_ptr() as u64,
        ..*attributes
    };
    open(&attributes, scope)
}

/// `PERF_EVENT_IOC_SET_BPF`
pub fn set_program(event: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: takes two descriptors.
    checked_libc(unsafe { libc::ioctl(event.as_raw_fd(), IOC_SET_BPF, program.as_raw_fd()) })
        .map(drop)
}

/// `PERF_EVENT_IOC_ENABLE`
pub fn enable(event: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: takes a descriptor and a number.
    checked_libc(unsafe { libc::ioctl(event.as_raw_fd(), IOC_ENABLE, 0) }).map(drop)
}
