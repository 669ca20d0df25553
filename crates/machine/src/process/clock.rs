//! From the kernel's clocks to wall-clock time.

use crate::{Error, Machine, Result, bytes};

/// When the machine was started, in seconds since 1970, from `/proc/stat`.
pub fn boot_time_seconds(machine: &Machine) -> Result<u64> {
    let path = machine.path("/proc/stat");
    let text = bytes::read_text(&path)?;
    let found = text
        .lines()
        .find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok());
    found.ok_or_else(|| Error::malformed(path.display().to_string(), "no btime"))
}

/// What to add to `CLOCK_BOOTTIME` (the clock of `nsecs`) to get nanoseconds since 1970, measured now.
pub fn boot_offset_ns() -> i64 {
    // Reads between two others bound the error; the closest of a few tries is taken.
    let tries = (0..5).map(|_| {
        let before = now(libc::CLOCK_BOOTTIME);
        let wall = now(libc::CLOCK_REALTIME);
        let after = now(libc::CLOCK_BOOTTIME);
        (after - before, wall - before - (after - before) / 2)
    });
    tries
        .min_by_key(|(error, _)| *error)
        .map_or(0, |(_, offset)| offset)
}

fn now(clock: libc::clockid_t) -> i64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a live timespec that the call fills; a failure leaves zeros.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    time.tv_sec
        .wrapping_mul(1_000_000_000)
        .wrapping_add(time.tv_nsec)
}
