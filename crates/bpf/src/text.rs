//! Programs and objects as text, for `fathom check --emit bpf|object` and for tests. Same value, same text.

mod insns;
mod layout;

pub use insns::{insns, program};
pub use layout::layout;

use std::fmt::Write;

use crate::btf_writer::LineTable;
use crate::layout::Field;
use crate::map::{Map, MapRole, Storage};
use crate::object::{Action, ActionKind, AttachPoint, ErrorSite, Object, ProgramId, SourceSpan};

/// The whole object: settings that differ, maps, attach points, actions, error sites, programs.
pub fn object(object: &Object) -> String {
    let lines = LineTable::new(&object.sources);
    let names: Vec<&str> = object.sources.iter().map(|s| s.name.as_str()).collect();
    let mut out = format!("source {}\nlicense {}\n", names.join(" "), object.license);
    let _ = writeln!(out, "settings {:?}", object.settings);
    section(&mut out, "maps", &object.maps, map);
    section(&mut out, "attach points", &object.attach_points, |point| {
        attach_point(object, point)
    });
    section(&mut out, "actions", &object.actions, |item| {
        action(&lines, item)
    });
    section(&mut out, "error sites", &object.error_sites, |site| {
        error_site(&lines, site)
    });
    section(&mut out, "missing", &object.missing, String::clone);
    for index in 0..object.programs.len() {
        out.push('\n');
        out.push_str(&program(object, ProgramId(index as u32)));
    }
    out
}

fn section<T>(out: &mut String, title: &str, items: &[T], text: impl Fn(&T) -> String) {
    if items.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n{title}:");
    for (index, item) in items.iter().enumerate() {
        let _ = writeln!(out, "  {index}: {}", text(item));
    }
}

fn map(map: &Map) -> String {
    let mut out = format!(
        "{} {:?} key {} value {} entries {}",
        map.name, map.kind, map.key_size, map.value_size, map.max_entries
    );
    if map.flags != 0 {
        let _ = write!(out, " flags {:#x}", map.flags);
    }
    match &map.role {
        MapRole::Script(script) => {
            let key = script.key.as_ref().map_or_else(String::new, layout);
            let _ = write!(
                out,
                "\n       {}[{key}] = {}",
                script.name,
                layout(&script.value)
            );
            if script.storage != Storage::Plain {
                let _ = write!(out, " as {:?}", script.storage);
            }
        }
        MapRole::ReadOnly(bytes) => {
            let _ = write!(out, " constant \"{}\"", bytes.escape_ascii());
        }
        role => {
            let _ = write!(out, " for {role:?}");
        }
    }
    out
}

fn attach_point(object: &Object, point: &AttachPoint) -> String {
    let index = point.program.0;
    let program = object.programs.get(index as usize);
    let name = program.map_or("?", |program| program.name.as_str());
    let mut out = format!("{} runs program {index} {name}", point.name);
    if let Some(cookie) = point.cookie {
        let _ = write!(out, " cookie {cookie}");
    }
    let _ = write!(out, "\n       {:?}", point.place);
    out
}

fn action(lines: &LineTable, action: &Action) -> String {
    let text = match &action.kind {
        ActionKind::Format { sink, format, args } => {
            let args: Vec<String> = args.iter().map(field).collect();
            format!("{sink:?} {format:?} ({})", args.join(", "))
        }
        ActionKind::PrintValue { value } => format!("PrintValue {}", field(value)),
        ActionKind::PrintMapEntry { map, key, value } => {
            format!(
                "PrintMapEntry map {} key {} value {}",
                map.0,
                field(key),
                field(value)
            )
        }
        ActionKind::Exit { code: Some(code) } => format!("Exit {}", field(code)),
        ActionKind::Unwatch { address } => format!("Unwatch {}", field(address)),
        ActionKind::LookAt { pid } => format!("LookAt {}", field(pid)),
        ActionKind::WritePacket { path, time, packet } => {
            format!(
                "WritePacket {path:?} time {} packet {}",
                field(time),
                field(packet)
            )
        }
        other => format!("{other:?}"),
    };
    format!("{text} at {}", position(lines, action.span))
}

fn field(field: &Field) -> String {
    format!("@{} {}", field.offset, layout(&field.layout))
}

fn error_site(lines: &LineTable, site: &ErrorSite) -> String {
    let loss = if site.is_loss { ", loss" } else { "" };
    format!("{}{loss} at {}", site.helper, position(lines, site.span))
}

fn position(lines: &LineTable, span: SourceSpan) -> String {
    let place = lines.locate(span);
    match span.source {
        0 => format!("{}:{}", place.line, place.column),
        _ => format!("{}:{}:{}", place.file, place.line, place.column),
    }
}

#[cfg(test)]
mod tests;
