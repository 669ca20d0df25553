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

/// Appends a number in a base of at most 16.
pub(crate) fn write_radix(mut number: u64, base: u64, is_upper: bool, out: &mut Vec<u8>) {
    let mut text = [0u8; 64];
    let mut start = text.len();
    loop {
        let digit = (number % base) as u8;
        number /= base;
        start -= 1;
        text[start] = match digit {
            0..=9 => b'0' + digit,
            _ if is_upper => b'A' + digit - 10,
            _ => b'a' + digit - 10,
        };
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&text[start..]);
}
