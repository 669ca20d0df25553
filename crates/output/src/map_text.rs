//! Maps as text.

use crate::hist::write_histogram;
use crate::map::MapView;
use crate::value::Value;
use crate::value_text::{TextStyle, write_value};

/// Appends all rows; behind each histogram stands an empty line.
pub fn write_map(map: &MapView, style: &TextStyle, out: &mut Vec<u8>) {
    for row in &map.rows {
        write_entry(&map.name, row.key.as_ref(), &row.value, style, out);
    }
}

/// Appends one row with its newline.
fn write_entry(
    name: &str,
    key: Option<&Value>,
    value: &Value,
    style: &TextStyle,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(name.as_bytes());
    if let Some(key) = key {
        out.push(b'[');
        write_key(key, style, out);
        out.push(b']');
    }
    match value {
        Value::Histogram(histogram) => {
            out.extend_from_slice(b":\n");
            write_histogram(histogram, out);
        }
        Value::Series(_) => {
            out.extend_from_slice(b":\n");
            write_value(value, style, out);
        }
        _ => {
            out.extend_from_slice(b": ");
            write_value(value, style, out);
        }
    }
    out.push(b'\n');
}

/// The parts of a tuple key stand without parentheses.
fn write_key(key: &Value, style: &TextStyle, out: &mut Vec<u8>) {
    let Value::Tuple(parts) = key else {
        return write_value(key, style, out);
    };
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            out.extend_from_slice(b", ");
        }
        write_value(part, style, out);
    }
}
