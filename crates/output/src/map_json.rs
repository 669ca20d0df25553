//! Maps as JSON.

use crate::json::write_string;
use crate::map::MapView;
use crate::value::Value;
use crate::value_json::write_json;
use crate::value_text::{TextStyle, write_value};

/// Appends `{"type": "map", "data": {"@x": …}}` and a newline.
pub fn write_map(map: &MapView, style: &TextStyle, out: &mut Vec<u8>) {
    let Some(first) = map.rows.first() else {
        return;
    };
    open(kind(&first.value), &map.name, out);
    match map.is_keyed {
        false => write_json(&first.value, style, out),
        true => {
            out.push(b'{');
            for (index, row) in map.rows.iter().enumerate() {
                if index > 0 {
                    out.extend_from_slice(b", ");
                }
                if let Some(key) = &row.key {
                    write_key(key, style, out);
                }
                write_json(&row.value, style, out);
            }
            out.push(b'}');
        }
    }
    out.extend_from_slice(b"}}\n");
}

fn open(kind: &str, name: &str, out: &mut Vec<u8>) {
    crate::printer::write_json_head(kind, out);
    out.push(b'{');
    write_string(name.as_bytes(), out);
    out.extend_from_slice(b": ");
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Stats(_) | Value::Average(_) => "stats",
        Value::Histogram(_) => "hist",
        Value::Series(_) => "tseries",
        _ => "map",
    }
}

/// Keys are strings; the parts of a tuple are joined with commas, tuples within keep their parentheses.
fn write_key(key: &Value, style: &TextStyle, out: &mut Vec<u8>) {
    let mut text = Vec::new();
    match key {
        Value::Tuple(parts) => join_parts(parts, style, &mut text),
        _ => write_value(key, style, &mut text),
    }
    write_string(&text, out);
    out.extend_from_slice(b": ");
}

fn join_parts(parts: &[Value], style: &TextStyle, text: &mut Vec<u8>) {
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            text.push(b',');
        }
        match part {
            Value::Tuple(parts) => {
                text.push(b'(');
                join_parts(parts, style, text);
                text.push(b')');
            }
            _ => write_value(part, style, text),
        }
    }
}
