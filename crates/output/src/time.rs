//! strftime(3) in the C locale, with `%f` for microseconds.

use crate::resolve::{LocalZone, Resolver};
use std::fmt::Write;

const WEEKDAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const SECONDS_PER_DAY: i64 = 86_400;
const NS_PER_SECOND: i64 = 1_000_000_000;

/// A moment in a civil calendar.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Civil {
    year: i64,
    /// 0..=11
    month: usize,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    /// Sunday is 0.
    weekday: i64,
    /// 0..=365
    year_day: i64,
    microsecond: i64,
    unix_seconds: i64,
    zone: LocalZone,
}

/// Local time of `unix_ns` (nanoseconds since 1970) by a strftime format.
pub fn strftime(format: &str, unix_ns: i64, resolver: &dyn Resolver) -> String {
    let zone = resolver.local_zone(unix_ns.div_euclid(NS_PER_SECOND));
    strftime_in(format, unix_ns, zone)
}

/// The same in a time zone that is at hand.
pub fn strftime_in(format: &str, unix_ns: i64, zone: LocalZone) -> String {
    let civil = civil(unix_ns, zone);
    let mut out = String::with_capacity(format.len() + 16);
    expand(format, &civil, &mut out);
    out
}

fn civil(unix_ns: i64, zone: LocalZone) -> Civil {
    let unix_seconds = unix_ns.div_euclid(NS_PER_SECOND);
    let local = unix_seconds + i64::from(zone.offset_seconds);
    let (days, seconds) = (
        local.div_euclid(SECONDS_PER_DAY),
        local.rem_euclid(SECONDS_PER_DAY),
    );
    let (year, month, day) = date_of_day(days);
    Civil {
        year,
        month,
        day,
        hour: seconds / 3600,
        minute: seconds / 60 % 60,
        second: seconds % 60,
        weekday: (days + 4).rem_euclid(7),
        year_day: days - day_of_date(year, 0, 1),
        microsecond: unix_ns.rem_euclid(NS_PER_SECOND) / 1000,
        unix_seconds,
        zone,
    }
}

/// Gregorian date of a day number (0 is 1970-01-01). Years are taken to begin in March, so that the leap day is last;
/// 400 years are always 146,097 days.
fn date_of_day(days: i64) -> (i64, usize, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = (march_month + 2) % 12;
    let year = year_of_era + era * 400 + i64::from(month < 2);
    (year, month as usize, day)
}

/// Day number of a Gregorian date; the inverse of [`date_of_day`].
fn day_of_date(year: i64, month: usize, day: i64) -> i64 {
    let year = year - i64::from(month < 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let march_month = (month as i64 + 10) % 12;
    let day_of_year = (153 * march_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn expand(format: &str, civil: &Civil, out: &mut String) {
    let mut rest = format.chars();
    while let Some(character) = rest.next() {
        if character != '%' {
            out.push(character);
            continue;
        }
        let mut flags = String::new();
        let mut conversion = rest.next();
        while let Some(flag @ ('-' | '_' | '0' | '^' | '#' | 'E' | 'O')) = conversion {
            flags.push(flag);
            conversion = rest.next();
        }
        match conversion {
            None => {
                out.push('%');
                out.push_str(&flags);
            }
            Some(conversion) => field(conversion, &flags, civil, out),
        }
    }
}

/// One conversion, by its flags: `-` no padding, `_` spaces, `0` zeros, `^` upper case.
fn field(conversion: char, flags: &str, civil: &Civil, out: &mut String) {
    let (number, width, pad) = match conversion {
        'd' => (civil.day, 2, '0'),
        'e' => (civil.day, 2, ' '),
        'H' => (civil.hour, 2, '0'),
        'k' => (civil.hour, 2, ' '),
        'I' => ((civil.hour + 11) % 12 + 1, 2, '0'),
        'l' => ((civil.hour + 11) % 12 + 1, 2, ' '),
        'M' => (civil.minute, 2, '0'),
        'S' => (civil.second, 2, '0'),
        'm' => (civil.month as i64 + 1, 2, '0'),
        'j' => (civil.year_day + 1, 3, '0'),
        'y' => (civil.year.rem_euclid(100), 2, '0'),
        'C' => (civil.year.div_euclid(100), 2, '0'),
        'Y' => (civil.year, 1, '0'),
        'G' => (iso_week(civil).0, 1, '0'),
        'g' => (iso_week(civil).0.rem_euclid(100), 2, '0'),
        'V' => (iso_week(civil).1, 2, '0'),
        'U' => ((civil.year_day + 7 - civil.weekday) / 7, 2, '0'),
        'W' => ((civil.year_day + 7 - (civil.weekday + 6) % 7) / 7, 2, '0'),
        'u' => ((civil.weekday + 6) % 7 + 1, 1, '0'),
        'w' => (civil.weekday, 1, '0'),
        's' => (civil.unix_seconds, 1, '0'),
        'f' => (civil.microsecond, 6, '0'),
        _ => return text_field(conversion, flags, civil, out),
    };
    let pad = match flags.chars().rfind(|flag| "-_0".contains(*flag)) {
        Some('_') => ' ',
        Some('0') => '0',
        Some(_) => {
            let _ = write!(out, "{number}");
            return;
        }
        None => pad,
    };
    let _ = match pad {
        '0' => write!(out, "{number:0width$}"),
        _ => write!(out, "{number:width$}"),
    };
}

fn text_field(conversion: char, flags: &str, civil: &Civil, out: &mut String) {
    let start = out.len();
    let weekday = WEEKDAYS[civil.weekday.rem_euclid(7) as usize];
    let month = MONTHS[civil.month % 12];
    match conversion {
        'a' => out.push_str(&weekday[..3]),
        'A' => out.push_str(weekday),
        'b' | 'h' => out.push_str(&month[..3]),
        'B' => out.push_str(month),
        'p' => out.push_str(if civil.hour < 12 { "AM" } else { "PM" }),
        'P' => out.push_str(if civil.hour < 12 { "am" } else { "pm" }),
        'c' => expand("%a %b %e %H:%M:%S %Y", civil, out),
        'x' | 'D' => expand("%m/%d/%y", civil, out),
        'X' | 'T' => expand("%H:%M:%S", civil, out),
        'r' => expand("%I:%M:%S %p", civil, out),
        'R' => expand("%H:%M", civil, out),
        'F' => expand("%Y-%m-%d", civil, out),
        'z' => {
            let minutes = civil.zone.offset_seconds / 60;
            let sign = if minutes < 0 { '-' } else { '+' };
            let _ = write!(
                out,
                "{sign}{:02}{:02}",
                minutes.abs() / 60,
                minutes.abs() % 60
            );
        }
        'Z' => out.push_str(&civil.zone.name),
        'n' => out.push('\n'),
        't' => out.push('\t'),
        '%' => out.push('%'),
        other => {
            out.push('%');
            out.push_str(flags);
            out.push(other);
        }
    }
    if flags.contains('^') {
        let upper = out[start..].to_uppercase();
        out.replace_range(start.., &upper);
    }
}

/// ISO 8601 year and week: the week belongs to the year that has its Thursday.
fn iso_week(civil: &Civil) -> (i64, i64) {
    let thursday = civil.year_day - (civil.weekday + 6) % 7 + 3;
    let days = |year| day_of_date(year + 1, 0, 1) - day_of_date(year, 0, 1);
    if thursday < 0 {
        return (civil.year - 1, (thursday + days(civil.year - 1)) / 7 + 1);
    }
    if thursday >= days(civil.year) {
        return (civil.year + 1, (thursday - days(civil.year)) / 7 + 1);
    }
    (civil.year, thursday / 7 + 1)
}
