//! Spans of time as people write them.

/// Nanoseconds of `10s`, `1m30s`, `250ms`; a bare number is seconds.
pub fn parse_duration(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 7] = [
        ("ns", 1),
        ("us", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("m", 60_000_000_000),
        ("h", 3_600_000_000_000),
        ("d", 86_400_000_000_000),
    ];
    let mut rest = text.trim();
    let mut total = 0u64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest.get(..digits)?.parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let unit = match &rest[..letters] {
            "" if rest.is_empty() => "s",
            unit => unit,
        };
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
        total = total.checked_add(number.checked_mul(*factor)?)?;
        rest = &rest[letters..];
    }
    Some(total)
}

/// `850 ns`, `12.3 µs`, `4.56 ms`, `1.20 s`: three digits, and the unit that fits.
pub fn show_duration(nanoseconds: u64) -> String {
    const UNITS: [(&str, f64); 3] = [("µs", 1e3), ("ms", 1e6), ("s", 1e9)];
    if nanoseconds < 1000 {
        return format!("{nanoseconds} ns");
    }
    let fits = |(_, factor): &&(&str, f64)| (nanoseconds as f64) < factor * 999.5;
    let (unit, factor) = UNITS.iter().find(fits).unwrap_or(&UNITS[2]);
    let number = nanoseconds as f64 / factor;
    match number {
        number if number < 9.995 => format!("{number:.2} {unit}"),
        number if number < 99.95 => format!("{number:.1} {unit}"),
        number => format!("{number:.0} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_people_write_them() {
        let cases = [
            ("10s", Some(10_000_000_000)),
            ("1m30s", Some(90_000_000_000)),
            ("250ms", Some(250_000_000)),
            ("5", Some(5_000_000_000)),
            ("", None),
            ("s", None),
            ("1x", None),
            ("5 s", None),
            ("99999999999999d", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_duration(text), expected, "{text:?}");
        }
    }

    #[test]
    fn durations_have_three_digits() {
        let cases = [
            (0, "0 ns"),
            (999, "999 ns"),
            (1000, "1.00 µs"),
            (12_345, "12.3 µs"),
            (999_499, "999 µs"),
            (999_600, "1.00 ms"),
            (4_560_000, "4.56 ms"),
            (75_000_000_000, "75.0 s"),
            (7_500_000_000_000, "7500 s"),
        ];
        for (nanoseconds, expected) in cases {
            assert_eq!(show_duration(nanoseconds), expected);
        }
    }
}
