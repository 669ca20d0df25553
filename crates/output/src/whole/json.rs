//! Whole values as JSON: structs are objects, lists arrays, pointers what they lead to.

use super::Whole;
use crate::json::{write_number, write_string};
use crate::number::append;

/// Appends the value.
pub fn write_json(value: &Whole, out: &mut Vec<u8>) {
    match value {
        Whole::None | Whole::Null(_) => out.extend_from_slice(b"null"),
        Whole::Bool(truth) => append(out, format_args!("{truth}")),
        Whole::Int(number) => write_number(i128::from(*number), out),
        Whole::Uint(number) => write_number(i128::from(*number), out),
        // As other integers that a double cannot hold.
        Whole::Wide(number) => write_string(number.as_bytes(), out),
        Whole::Character(character) => write_string(character.to_string().as_bytes(), out),
        Whole::Float(number) => write_float(*number, out),
        Whole::Float32(number) => write_float(f64::from(*number), out),
        Whole::Name { name, .. } => write_string(name.as_bytes(), out),
        Whole::Text { bytes, length } => write_cut_text(bytes, *length, out),
        Whole::Address(address) => append(out, format_args!("\"{address:#x}\"")),
        Whole::Pointer { to, .. } => write_json(to, out),
        Whole::List { items, length } if *length == items.len() as u64 => write_items(items, out),
        Whole::List { items, length } => {
            out.extend_from_slice(b"{\"items\":");
            write_items(items, out);
            append(out, format_args!(",\"length\":{length}}}"));
        }
        Whole::Tuple(items) => write_items(items, out),
        Whole::Struct { fields } | Whole::Union(fields) => write_fields(fields, out),
        // What C++'s `optional` has.
        Whole::Variant { name, parts } if name.is_empty() => write_json(parts, out),
        Whole::Variant { name, parts } => match **parts {
            Whole::None => write_string(name.as_bytes(), out),
            _ => write_pair(name, parts, out),
        },
        Whole::Typed { name, value } => {
            out.extend_from_slice(b"{\"type\":");
            write_string(name.as_bytes(), out);
            out.extend_from_slice(b",\"value\":");
            write_json(value, out);
            out.push(b'}');
        }
        Whole::Moment(text) => write_string(text.as_bytes(), out),
        Whole::Missing(why) => {
            out.extend_from_slice(b"{\"missing\":");
            write_string(why.as_bytes(), out);
            out.push(b'}');
        }
    }
}

/// JSON has no infinities.
fn write_float(number: f64, out: &mut Vec<u8>) {
    match number.is_finite() {
        true => append(out, format_args!("{number:?}")),
        false => append(out, format_args!("\"{number}\"")),
    }
}

fn write_cut_text(bytes: &[u8], length: Option<u64>, out: &mut Vec<u8>) {
    if length == Some(bytes.len() as u64) {
        return write_string(bytes, out);
    }
    out.extend_from_slice(b"{\"text\":");
    write_string(bytes, out);
    match length {
        Some(length) => append(out, format_args!(",\"length\":{length}}}")),
        None => out.extend_from_slice(b",\"length\":null}"),
    }
}

fn write_items(items: &[Whole], out: &mut Vec<u8>) {
    out.push(b'[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_json(item, out);
    }
    out.push(b']');
}

fn write_pair(name: &str, value: &Whole, out: &mut Vec<u8>) {
    out.push(b'{');
    write_string(name.as_bytes(), out);
    out.push(b':');
    write_json(value, out);
    out.push(b'}');
}

fn write_fields(fields: &[(String, Whole)], out: &mut Vec<u8>) {
    out.push(b'{');
    let mut is_first = true;
    write_members(fields, &mut is_first, out);
    out.push(b'}');
}

/// Members of unions without a name are the owner's.
fn write_members(fields: &[(String, Whole)], is_first: &mut bool, out: &mut Vec<u8>) {
    for (name, value) in fields {
        if let (true, Whole::Union(inner) | Whole::Struct { fields: inner }) =
            (name.is_empty(), value)
        {
            write_members(inner, is_first, out);
            continue;
        }
        if !std::mem::take(is_first) {
            out.push(b',');
        }
        write_string(name.as_bytes(), out);
        out.push(b':');
        write_json(value, out);
    }
}
