//! Numbers in probe patterns: `1000`, `0x10`, `1e6`, `1_000`, and with a unit of time `10ms`.

/// A number without a unit.
pub(super) fn parse(text: &str) -> Option<u64> {
    let digits = text.replace('_', "");
    if let Some(hex) = digits
        .strip_prefix("0x")
        .or_else(|| digits.strip_prefix("0X"))
    {
        return u64::from_str_radix(hex, 16)
            .ok()
            .filter(|_| !hex.starts_with('+'));
    }
    if !digits.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    match digits.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => {
            let power = 10u64.checked_pow(exponent.parse().ok()?)?;
            mantissa.parse::<u64>().ok()?.checked_mul(power)
        }
        None => digits.parse().ok(),
    }
}

/// Nanoseconds in a unit as written before or behind a number.
pub(super) fn unit_ns(unit: &str) -> Option<u64> {
    Some(match unit {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => 86_400_000_000_000,
        _ => return None,
    })
}

/// `10ms`, or nanoseconds without a unit.
pub(super) fn duration_ns(text: &str) -> Option<u64> {
    let unit_start = text
        .trim_end_matches(|last: char| last.is_ascii_alphabetic())
        .len();
    if let Some(value) = parse(text) {
        return Some(value);
    }
    let (number, unit) = text.split_at(unit_start);
    parse(number)?.checked_mul(unit_ns(unit)?)
}
