//! The text form of every value.

use crate::hist::write_histogram;
use crate::number::{append, write_decimal, write_unsigned, write_wide};
use crate::printf::Conversion;
use crate::series::write_series;
use crate::stack;
use crate::value::{Summary, Value};

/// What the text form depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextStyle {
    /// Behind strings that were cut.
    pub trailer: String,
}

impl Default for TextStyle {
    fn default() -> Self {
        TextStyle {
            trailer: "..".into(),
        }
    }
}

/// Appends the text form.
pub fn write_value(value: &Value, style: &TextStyle, out: &mut Vec<u8>) {
    match value {
        Value::None => {}
        Value::Bool(truth) => out.extend_from_slice(if *truth { b"true" } else { b"false" }),
        Value::Int(number) => write_decimal(*number, out),
        Value::Uint(number) => write_unsigned(*number, out),
        Value::Enum { name, number } => match name {
            Some(name) => out.extend_from_slice(name.as_bytes()),
            None => write_decimal(*number, out),
        },
        Value::Pointer(address) => append(out, format_args!("{address:#x}")),
        Value::String {
            bytes,
            is_truncated,
        } => {
            out.extend_from_slice(bytes);
            if *is_truncated {
                out.extend_from_slice(style.trailer.as_bytes());
            }
        }
        Value::Buffer(bytes) => write_buffer(bytes, Conversion::Buffer, out),
        Value::Array(elements) => write_list(elements, ("[", ",", "]"), style, out),
        Value::Tuple(elements) => write_list(elements, ("(", ", ", ")"), style, out),
        Value::Record(fields) => write_record(fields, style, out),
        Value::Stack { mode, frames } => stack::write_frames(frames, *mode, out),
        Value::BuildIdStack(frames) => stack::write_build_ids(frames, out),
        Value::Symbol { frame, is_user } => stack::write_symbol(frame, *is_user, out),
        Value::Named { text, .. } | Value::Timestamp { text, .. } => {
            out.extend_from_slice(text.as_bytes());
        }
        Value::Inet(address) => append(out, format_args!("{address}")),
        Value::Mac([a, b, c, d, e, f]) => append(
            out,
            format_args!("{a:02X}:{b:02X}:{c:02X}:{d:02X}:{e:02X}:{f:02X}"),
        ),
        Value::Average(summary) => write_wide(summary.shown_average(), out),
        Value::Stats(summary) => write_stats(summary, out),
        Value::Histogram(histogram) => write_histogram(histogram, out),
        Value::Series(series) => write_series(series, out),
    }
}

fn write_list(
    elements: &[Value],
    (open, between, close): (&str, &str, &str),
    style: &TextStyle,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(open.as_bytes());
    for (index, element) in elements.iter().enumerate() {
        if index > 0 {
            out.extend_from_slice(between.as_bytes());
        }
        write_value(element, style, out);
    }
    out.extend_from_slice(close.as_bytes());
}

fn write_record(fields: &[(String, Value)], style: &TextStyle, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{ ");
    for (index, (name, value)) in fields.iter().enumerate() {
        if index > 0 {
            out.extend_from_slice(b", ");
        }
        append(out, format_args!(".{name} = "));
        write_value(value, style, out);
    }
    out.extend_from_slice(b" }");
}

fn write_stats(summary: &Summary, out: &mut Vec<u8>) {
    append(
        out,
        format_args!(
            "{{ .count = {}, .average = {}, .total = {} }}",
            summary.count,
            summary.shown_average(),
            summary.total()
        ),
    );
}

/// Appends bytes in one of the buffer conversions.
pub(crate) fn write_buffer(bytes: &[u8], conversion: Conversion, out: &mut Vec<u8>) {
    for (index, &byte) in bytes.iter().enumerate() {
        match conversion {
            Conversion::BufferHex if index > 0 => append(out, format_args!(" {byte:02x}")),
            Conversion::BufferHex => append(out, format_args!("{byte:02x}")),
            Conversion::Buffer if (0x20..0x7f).contains(&byte) => out.push(byte),
            _ => append(out, format_args!("\\x{byte:02x}")),
        }
    }
}
