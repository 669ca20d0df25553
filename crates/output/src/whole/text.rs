//! Whole values as text: `{id: 42, name: "alice", tags: ["a", "b"]}`.

use super::Whole;
use crate::number::append;

/// Appends the value.
pub fn write_text(value: &Whole, out: &mut Vec<u8>) {
    match value {
        Whole::None => out.extend_from_slice(b"()"),
        Whole::Bool(truth) => append(out, format_args!("{truth}")),
        Whole::Int(number) => append(out, format_args!("{number}")),
        Whole::Uint(number) => append(out, format_args!("{number}")),
        Whole::Wide(number) => out.extend_from_slice(number.as_bytes()),
        Whole::Character(character) => append(out, format_args!("{character:?}")),
        Whole::Float(number) => append(out, format_args!("{number:?}")),
        Whole::Float32(number) => append(out, format_args!("{number:?}")),
        Whole::Name { name, .. } => out.extend_from_slice(name.as_bytes()),
        Whole::Text { bytes, length } => write_quoted(bytes, *length, out),
        Whole::Null(word) => out.extend_from_slice(word.as_bytes()),
        Whole::Address(address) => append(out, format_args!("{address:#x}")),
        Whole::Pointer { to, .. } => {
            out.push(b'&');
            write_text(to, out);
        }
        Whole::List { items, length } => write_list(items, *length, out),
        Whole::Struct { fields } => write_fields(fields, ", ", out),
        Whole::Union(fields) => write_fields(fields, " | ", out),
        Whole::Tuple(items) => {
            out.push(b'(');
            write_items(items, out);
            out.push(b')');
        }
        Whole::Variant { name, parts } => {
            out.extend_from_slice(name.as_bytes());
            match **parts {
                Whole::None => {}
                Whole::Struct { ref fields } if fields.is_empty() => {}
                _ => write_text(parts, out),
            }
        }
        Whole::Typed { name, value } => write_typed(name, value, out),
        Whole::Moment(text) => out.extend_from_slice(text.as_bytes()),
        Whole::Missing(why) => append(out, format_args!("<{why}>")),
    }
}

/// `main.Point{X: 1}`, `&main.MyErr{Code: 7}`, `int(42)`.
fn write_typed(name: &str, value: &Whole, out: &mut Vec<u8>) {
    if let (Some(target), Whole::Pointer { to, .. }) = (name.strip_prefix('*'), value) {
        out.push(b'&');
        return write_typed(target, to, out);
    }
    out.extend_from_slice(name.as_bytes());
    let is_bracketed = matches!(value, Whole::Struct { .. } | Whole::Tuple(_));
    out.extend_from_slice(if is_bracketed { b"" } else { b"(" });
    write_text(value, out);
    out.extend_from_slice(if is_bracketed { b"" } else { b")" });
}

fn write_items(items: &[Whole], out: &mut Vec<u8>) {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.extend_from_slice(b", ");
        }
        write_text(item, out);
    }
}

fn write_list(items: &[Whole], length: u64, out: &mut Vec<u8>) {
    out.push(b'[');
    write_items(items, out);
    let left = length.saturating_sub(items.len() as u64);
    if left > 0 {
        let comma = if items.is_empty() { "" } else { ", " };
        append(out, format_args!("{comma}… {left} more"));
    }
    out.push(b']');
}

fn write_fields(fields: &[(String, Whole)], between: &str, out: &mut Vec<u8>) {
    out.push(b'{');
    for (index, (name, value)) in fields.iter().enumerate() {
        if index > 0 {
            out.extend_from_slice(between.as_bytes());
        }
        if !name.is_empty() {
            append(out, format_args!("{name}: "));
        }
        write_text(value, out);
    }
    out.push(b'}');
}

/// Quoted, with control characters and bytes that are no UTF-8 escaped; behind it what is missing.
fn write_quoted(bytes: &[u8], length: Option<u64>, out: &mut Vec<u8>) {
    out.push(b'"');
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '"' | '\\' => append(out, format_args!("\\{character}")),
                '\n' => out.extend_from_slice(b"\\n"),
                '\r' => out.extend_from_slice(b"\\r"),
                '\t' => out.extend_from_slice(b"\\t"),
                control if control.is_control() => {
                    append(out, format_args!("\\x{:02x}", control as u32))
                }
                other => append(out, format_args!("{other}")),
            }
        }
        for byte in chunk.invalid() {
            append(out, format_args!("\\x{byte:02x}"));
        }
    }
    out.push(b'"');
    match length {
        Some(length) if length > bytes.len() as u64 => {
            append(out, format_args!("… {} more", length - bytes.len() as u64))
        }
        Some(_) => {}
        None => out.extend_from_slice("…".as_bytes()),
    }
}
