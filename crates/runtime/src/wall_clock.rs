//! The time of day for moments that programs tell by the boot clock.

use crate::sys::time::{self, Clock};
use fathom_output::LocalZone;
use fathom_output::time::strftime_in;

/// What to add to the boot clock.
#[derive(Clone, Copy, Debug)]
pub struct WallClock {
    offset_ns: i64,
}

impl WallClock {
    /// As the clocks stand now.
    pub fn now() -> WallClock {
        WallClock {
            offset_ns: time::now_ns(Clock::Real) - time::now_ns(Clock::Boot),
        }
    }

    /// Nanoseconds between the boot clock's zero and 1970.
    pub fn boot_to_unix_ns(&self) -> i64 {
        self.offset_ns
    }

    /// The local time as strftime(3) writes it, for nanoseconds since 1970.
    pub fn format(&self, format: &str, unix_ns: i64) -> String {
        let zone = time::local_zone(unix_ns.div_euclid(1_000_000_000));
        let zone = zone.map_or_else(LocalZone::utc, |(offset_seconds, name)| LocalZone {
            offset_seconds,
            name,
        });
        strftime_in(format, unix_ns, zone)
    }
}
