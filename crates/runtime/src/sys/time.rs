//! Clocks and the local time zone.

use std::ffi::CStr;

/// A clock of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// Since boot, without sleep.
    Monotonic,
    /// Since boot, with sleep.
    Boot,
    /// Since 1970 without leap seconds.
    Tai,
    /// Since 1970.
    Real,
}

/// A reading in nanoseconds.
pub fn now_ns(clock: Clock) -> i64 {
    let id = match clock {
        Clock::Monotonic => libc::CLOCK_MONOTONIC,
        Clock::Boot => libc::CLOCK_BOOTTIME,
        Clock::Tai => libc::CLOCK_TAI,
        Clock::Real => libc::CLOCK_REALTIME,
    };
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is one timespec; a failure leaves zeros.
    unsafe { libc::clock_gettime(id, &mut time) };
    time.tv_sec
        .wrapping_mul(1_000_000_000)
        .wrapping_add(time.tv_nsec)
}

/// Seconds east of Greenwich and the zone's name, at a moment.
pub fn local_zone(unix_seconds: i64) -> Option<(i32, String)> {
    // SAFETY: all-zero is a valid `tm`: numbers and a null pointer.
    let mut broken_down: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live values of the right types.
    let result = unsafe { libc::localtime_r(&unix_seconds, &mut broken_down) };
    if result.is_null() || broken_down.tm_zone.is_null() {
        return None;
    }
    // SAFETY: libc gives a NUL-terminated name that stays valid until the zone changes; it is copied at once.
    let name = unsafe { CStr::from_ptr(broken_down.tm_zone) };
    let offset = i32::try_from(broken_down.tm_gmtoff).ok()?;
    Some((offset, name.to_string_lossy().into_owned()))
}
