//! JSON texts: strings and numbers.

use crate::number::{append, write_wide};

/// Appends a JSON string; bytes that are not UTF-8 become U+FFFD.
pub fn write_string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for character in String::from_utf8_lossy(text).chars() {
        match character {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            '\u{8}' => out.extend_from_slice(b"\\b"),
            '\u{c}' => out.extend_from_slice(b"\\f"),
            control if control < ' ' => append(out, format_args!("\\u{:04x}", control as u32)),
            other => append(out, format_args!("{other}")),
        }
    }
    out.push(b'"');
}

/// Appends a number; as a string when a double cannot hold it.
pub fn write_number(number: i128, out: &mut Vec<u8>) {
    if (number as f64) as i128 == number {
        return write_wide(number, out);
    }
    out.push(b'"');
    write_wide(number, out);
    out.push(b'"');
}
