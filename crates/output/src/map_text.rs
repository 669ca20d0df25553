//! Maps as text.

use crate::hist::write_histogram;
use crate::map::MapView;
use crate::number::write_wide;
use crate::value::{Summary, Value};
use crate::value_text::{TextStyle, write_value};

/// Appends all rows and, behind them, an empty line.
pub fn write_map(map: &MapView, style: &TextStyle, out: &mut Vec<u8>) {
    for row in &map.rows {
        write_entry(
            &map.name,
            row.key.as_ref(),
            &row.value,
            map.divisor,
            style,
            out,
        );
    }
    out.push(b'\n');
}

/// Appends one row with its newline.
pub(crate) fn write_entry(
    name: &str,
    key: Option<&Value>,
    value: &Value,
    divisor: u64,
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
            write_histogram(histogram, divisor, out);
        }
        Value::Series(_) => {
            out.extend_from_slice(b":\n");
            write_value(value, style, out);
        }
        _ => {
            out.extend_from_slice(b": ");
            write_divided(value, divisor, style, out);
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

fn write_divided(value: &Value, divisor: u64, style: &TextStyle, out: &mut Vec<u8>) {
    let divisor = i128::from(divisor.max(1));
    match value {
        Value::Int(number) => write_wide(i128::from(*number) / divisor, out),
        Value::Uint(number) => write_wide(i128::from(*number) / divisor, out),
        Value::Average(summary) => write_wide(summary.average() / divisor, out),
        Value::Stats(summary) if divisor > 1 => {
            let total = summary.total() / divisor;
            let divided = Summary {
                total: total as u64,
                ..*summary
            };
            write_value(&Value::Stats(divided), style, out);
        }
        _ => write_value(value, style, out),
    }
}
