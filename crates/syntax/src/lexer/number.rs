//! Integer literals: decimal, octal, hexadecimal, `1e6`, `1_000`, C suffixes, durations.

use crate::ast::{DurationUnit, IntLit};

/// Why a number cannot be read: message, and a way out if there is one.
#[derive(Debug, PartialEq, Eq)]
pub struct NumberProblem {
    /// One sentence.
    pub message: String,
    /// A way out.
    pub help: Option<&'static str>,
}

/// Reads `text`, a run of letters, digits and `_` that starts with a digit.
pub fn read_int(text: &str) -> Result<IntLit, NumberProblem> {
    let bare: String = text.chars().filter(|&c| c != '_').collect();
    if let Some(rest) = bare.strip_prefix("0x").or_else(|| bare.strip_prefix("0X")) {
        return read_hex(text, rest);
    }
    let digits_end = bare
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(bare.len());
    let (digits, rest) = bare.split_at(digits_end);
    let (exponent, suffix) = split_exponent(rest);
    let value = if digits.len() > 1
        && digits.starts_with('0')
        && exponent.is_empty()
        && !is_duration(suffix)
    {
        read_octal(text, digits)?
    } else {
        scale(digits, exponent).ok_or_else(|| too_large(text))?
    };
    with_suffix(text, value, suffix)
}

fn read_hex(text: &str, rest: &str) -> Result<IntLit, NumberProblem> {
    let end = rest
        .find(|c: char| !c.is_ascii_hexdigit())
        .unwrap_or(rest.len());
    let (digits, suffix) = rest.split_at(end);
    if digits.is_empty() {
        return Err(problem(format!("`{text}` has no hexadecimal digits"), None));
    }
    let value = u64::from_str_radix(digits, 16).map_err(|_| too_large(text))?;
    with_suffix(text, value, suffix)
}

fn read_octal(text: &str, digits: &str) -> Result<u64, NumberProblem> {
    if digits.contains(['8', '9']) {
        let message = format!("`{text}` starts with 0, so it is octal, and octal digits end at 7");
        return Err(problem(
            message,
            Some("leave the leading zeros out to mean a decimal number"),
        ));
    }
    u64::from_str_radix(digits, 8).map_err(|_| too_large(text))
}

/// Splits `e6ms` into `6` and `ms`; without an exponent the first is empty.
fn split_exponent(rest: &str) -> (&str, &str) {
    let Some(after) = rest.strip_prefix(['e', 'E']) else {
        return ("", rest);
    };
    let end = after
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(after.len());
    if end == 0 {
        ("", rest)
    } else {
        after.split_at(end)
    }
}

fn scale(digits: &str, exponent: &str) -> Option<u64> {
    let value: u64 = digits.parse().ok()?;
    if exponent.is_empty() || value == 0 {
        return Some(value);
    }
    let power: u32 = exponent.parse().ok()?;
    value.checked_mul(10u64.checked_pow(power)?)
}

fn is_duration(suffix: &str) -> bool {
    duration(suffix).is_some()
}

fn duration(suffix: &str) -> Option<DurationUnit> {
    Some(match suffix {
        "ns" => DurationUnit::Nanoseconds,
        "us" => DurationUnit::Microseconds,
        "ms" => DurationUnit::Milliseconds,
        "s" => DurationUnit::Seconds,
        "m" => DurationUnit::Minutes,
        "h" => DurationUnit::Hours,
        "d" => DurationUnit::Days,
        _ => return None,
    })
}

fn with_suffix(text: &str, value: u64, suffix: &str) -> Result<IntLit, NumberProblem> {
    if let Some(unit) = duration(suffix) {
        let value = value
            .checked_mul(unit.nanoseconds())
            .ok_or_else(|| too_large(text))?;
        return Ok(IntLit {
            value,
            unit: Some(unit),
        });
    }
    match suffix.to_ascii_lowercase().as_str() {
        "" | "u" | "l" | "ul" | "lu" | "ll" | "ull" | "llu" => Ok(IntLit { value, unit: None }),
        _ => Err(problem(
            format!("`{suffix}` is no suffix of a number"),
            Some(
                "durations end in ns, us, ms, s, m, h or d; integers may end in u, l, ul, ll or ull",
            ),
        )),
    }
}

fn too_large(text: &str) -> NumberProblem {
    problem(format!("`{text}` does not fit in 64 bits"), None)
}

fn problem(message: String, help: Option<&'static str>) -> NumberProblem {
    NumberProblem { message, help }
}
