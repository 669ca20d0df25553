//! Integers as text, without allocation.

use std::io::Write;

/// Two digits at a time.
const PAIRS: &[u8; 200] = b"0001020304050607080910111213141516171819\
2021222324252627282930313233343536373839\
4041424344454647484950515253545556575859\
6061626364656667686970717273747576777879\
8081828384858687888990919293949596979899";

/// Appends a decimal number.
pub(crate) fn write_unsigned(mut number: u64, out: &mut Vec<u8>) {
    let mut text = [0u8; 20];
    let mut start = text.len();
    while number >= 100 {
        let pair = (number % 100) as usize * 2;
        number /= 100;
        start -= 2;
        text[start..start + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
    }
    if number >= 10 {
        let pair = number as usize * 2;
        start -= 2;
        text[start..start + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
    } else {
        start -= 1;
        text[start] = b'0' + number as u8;
    }
    out.extend_from_slice(&text[start..]);
}

/// Appends a decimal number with its sign.
pub(crate) fn write_decimal(number: i64, out: &mut Vec<u8>) {
    if number < 0 {
        out.push(b'-');
    }
    write_unsigned(number.unsigned_abs(), out);
}

/// Appends a number that may be wider than 64 bits.
pub(crate) fn write_wide(number: i128, out: &mut Vec<u8>) {
    match (i64::try_from(number), u64::try_from(number)) {
        (Ok(number), _) => write_decimal(number, out),
        (_, Ok(number)) => write_unsigned(number, out),
        _ => append(out, format_args!("{number}")),
    }
}

/// Appends formatted text; writing to memory cannot fail.
pub(crate) fn append(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(text);
}

/// A number with sign, prefix and leading zeros as printf(3) has them.
pub(crate) struct Digits {
    pub magnitude: u64,
    /// 8, 10 or 16.
    pub base: u64,
    pub is_upper: bool,
    pub sign: &'static str,
    pub prefix: &'static str,
    /// At least so many digits; zero shows nothing for the number zero.
    pub precision: Option<usize>,
    /// Zeros fill up to this many columns.
    pub zeros_to: Option<usize>,
}

impl Digits {
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let mut text = [0u8; 24];
        let mut start = text.len();
        let mut number = self.magnitude;
        while number > 0 || (start == text.len() && self.precision != Some(0)) {
            let digit = (number % self.base) as u8;
            number /= self.base;
            start -= 1;
            text[start] = match digit {
                0..=9 => b'0' + digit,
                _ if self.is_upper => b'A' + digit - 10,
                _ => b'a' + digit - 10,
            };
        }
        let digits = &text[start..];
        let prefix = match (self.base, digits.first()) {
            (8, Some(b'0')) => "",
            _ => self.prefix,
        };
        let ahead = self.sign.len() + prefix.len();
        let zeros = match (self.precision, self.zeros_to) {
            (Some(precision), _) if self.base == 8 => {
                precision.saturating_sub(digits.len() + prefix.len())
            }
            (Some(precision), _) => precision.saturating_sub(digits.len()),
            (None, Some(columns)) => columns.saturating_sub(digits.len() + ahead),
            (None, None) => 0,
        };
        out.extend_from_slice(self.sign.as_bytes());
        out.extend_from_slice(prefix.as_bytes());
        out.resize(out.len() + zeros, b'0');
        out.extend_from_slice(digits);
    }
}
