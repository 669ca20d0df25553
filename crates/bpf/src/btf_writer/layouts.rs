//! Types of map keys and values from their layouts, so that `bpftool map dump` shows them by name.
//!
//! A wrong type would keep the map from being created; whatever does not fit is written as plain bytes.

use super::types::{MAX_MEMBERS, Member, TypeId, Types};
use super::{MapTypes, identifier};
use crate::layout::{Field, Layout};
use crate::map::{Map, MapKind, MapRole, ScriptMap, Storage};

/// The kernel follows types this deep at most (`MAX_RESOLVE_DEPTH` is 32; pointers and wrappers take some).
const MAX_DEPTH: u32 = 20;

/// Types of the map's key and value; `None` for kinds of map that the kernel takes no types for.
pub(crate) fn map_types(types: &mut Types, map: &Map) -> Option<MapTypes> {
    let is_array = match map.kind {
        MapKind::Array | MapKind::PerCpuArray => true,
        MapKind::Hash | MapKind::PerCpuHash | MapKind::LruHash | MapKind::LruPerCpuHash => false,
        MapKind::StackTrace | MapKind::RingBuf | MapKind::PerfEventArray => return None,
    };
    if map.key_size == 0 || map.value_size == 0 {
        return None;
    }
    let script = match &map.role {
        MapRole::Script(script) => Some(script),
        _ => None,
    };
    let key = match script {
        // The kernel insists on an integer of 32 bits here.
        _ if is_array => types.int("__u32", 4, false),
        Some(script) => script_key(types, script, map.key_size),
        None => opaque(types, map.key_size),
    };
    let value = match (script, &map.role) {
        (Some(script), _) => script_value(types, script, map.value_size),
        (None, MapRole::Errors) => pair(types, map.value_size, ["count", "last_return_code"]),
        (None, _) => opaque(types, map.value_size),
    };
    Some(MapTypes { key, value })
}

fn script_key(types: &mut Types, script: &ScriptMap, size: u32) -> TypeId {
    let Some(layout) = &script.key else {
        return opaque(types, size);
    };
    if script.storage != Storage::Buckets {
        return sized(types, layout, size);
    }
    let bucket_offset = layout.size().next_multiple_of(8);
    if bucket_offset.checked_add(8) != Some(size) {
        return opaque(types, size);
    }
    let key = layout_type(types, layout, 1);
    let bucket = types.int("__u64", 8, false);
    let members = [
        Member::new("key", key, 0),
        Member::new("bucket", bucket, bucket_offset),
    ];
    types.structure("", size, &members)
}

fn script_value(types: &mut Types, script: &ScriptMap, size: u32) -> TypeId {
    let value = &script.value;
    match script.storage {
        Storage::Plain | Storage::PerCpu | Storage::PerCpuScalar => sized(types, value, size),
        Storage::Buckets | Storage::BucketArray => match value {
            Layout::TimeSeries { .. } => sized(types, value, size),
            _ => sized(types, &Layout::Count, size),
        },
        Storage::Scalar if value.size().checked_add(8).is_none_or(|total| total > size) => {
            opaque(types, size)
        }
        Storage::Scalar => {
            let is_set = types.int("__u64", 8, false);
            let value = layout_type(types, value, 1);
            let members = [
                Member::new("is_set", is_set, 0),
                Member::new("value", value, 8),
            ];
            types.structure("", size, &members)
        }
    }
}

/// The layout's type if it has exactly that many bytes; wrapped or replaced by bytes if not.
fn sized(types: &mut Types, layout: &Layout, size: u32) -> TypeId {
    match layout.size().cmp(&size) {
        std::cmp::Ordering::Equal => layout_type(types, layout, 0),
        std::cmp::Ordering::Greater => opaque(types, size),
        std::cmp::Ordering::Less => {
            let value = layout_type(types, layout, 1);
            types.structure("", size, &[Member::new("value", value, 0)])
        }
    }
}

fn layout_type(types: &mut Types, layout: &Layout, depth: u32) -> TypeId {
    let size = layout.size();
    if depth > MAX_DEPTH {
        return opaque(types, size);
    }
    match layout {
        Layout::Bool => types.boolean(),
        Layout::Int { signed, .. } | Layout::Enum { signed, .. } => int(types, size, *signed),
        Layout::ErrorName { .. } | Layout::SignalName { .. } => int(types, size, true),
        Layout::Username { .. } | Layout::SyscallName { .. } => int(types, size, false),
        Layout::Pointer | Layout::KernelSymbol => types.pointer(TypeId::VOID),
        Layout::String { .. } => {
            let character = types.character();
            types.array(character, size)
        }
        Layout::Array { element, len } => {
            let element = layout_type(types, element, depth + 1);
            types.array(element, *len)
        }
        Layout::Tuple { fields, .. } => structure(types, "", size, fields, depth),
        Layout::Record { name, fields, .. } => structure(types, name, size, fields, depth),
        Layout::Timestamp { .. }
        | Layout::CgroupPath { .. }
        | Layout::Probe
        | Layout::Count
        | Layout::Hist { .. }
        | Layout::Lhist { .. } => int(types, size, false),
        Layout::KernelStack { .. } => pair(types, size, ["id", "map"]),
        Layout::Sum { .. } => pair(types, size, ["sum", "uses"]),
        Layout::Min { .. } | Layout::Max { .. } => pair(types, size, ["value", "uses"]),
        Layout::Avg { .. } | Layout::Stats { .. } => pair(types, size, ["total", "count"]),
        Layout::None
        | Layout::Buffer { .. }
        | Layout::StringRef
        | Layout::UserStack { .. }
        | Layout::UserSymbol
        | Layout::Inet
        | Layout::MacAddress
        | Layout::TimeSeries { .. } => parts(types, layout),
    }
}

/// Composites whose parts are fixed by the layout's kind.
fn parts(types: &mut Types, layout: &Layout) -> TypeId {
    let size = layout.size();
    let u32_type = types.int("__u32", 4, false);
    let u64_type = types.int("__u64", 8, false);
    let members = match layout {
        Layout::Buffer { size: capacity } => {
            let bytes = opaque(types, *capacity);
            vec![
                Member::new("length", u32_type, 0),
                Member::new("bytes", bytes, 4),
            ]
        }
        Layout::StringRef => {
            vec![
                Member::new("offset", u32_type, 0),
                Member::new("length", u32_type, 4),
            ]
        }
        Layout::UserStack { .. } | Layout::UserSymbol => vec![
            Member::new("id", u64_type, 0),
            Member::new("low", u32_type, 8),
            Member::new("high", u32_type, 12),
        ],
        Layout::Inet => {
            let bytes = opaque(types, 16);
            vec![
                Member::new("family", u64_type, 0),
                Member::new("address", bytes, 8),
            ]
        }
        Layout::TimeSeries { .. } => vec![
            Member::new("value", u64_type, 0),
            Member::new("count", u64_type, 8),
            Member::new("timestamp", u64_type, 16),
        ],
        _ => return opaque(types, size),
    };
    types.structure("", size, &members)
}

fn structure(types: &mut Types, name: &str, size: u32, fields: &[Field], depth: u32) -> TypeId {
    let fits = |field: &Field| {
        let end = field.offset.checked_add(field.layout.size());
        end.is_some_and(|end| end <= size)
    };
    // Offsets have 24 bits when a structure has bitfields; larger ones are not worth the trouble.
    if size >= 1 << 20 || fields.len() > MAX_MEMBERS || !fields.iter().all(fits) {
        return opaque(types, size);
    }
    let mut members: Vec<Member> = fields
        .iter()
        .enumerate()
        .map(|(index, field)| member(types, index, field, depth))
        .collect();
    // The kernel wants rising offsets; members of unions share theirs.
    members.sort_by_key(|member| member.bit_offset);
    // It also gives meaning to names of its own, such as `bpf_spin_lock`: never pretend to be one.
    let is_reserved = name.is_empty() || name.starts_with("bpf_");
    let name = if is_reserved {
        String::new()
    } else {
        identifier(name)
    };
    types.structure(&name, size, &members)
}

fn member(types: &mut Types, index: usize, field: &Field, depth: u32) -> Member {
    let name = match field.name.as_str() {
        "" => format!("_{index}"),
        name => identifier(name),
    };
    let ty = layout_type(types, &field.layout, depth + 1);
    let mut member = Member::new(&name, ty, field.offset);
    if let (Some((bit, width)), Layout::Int { size, .. }) = (field.bits, &field.layout)
        && width > 0
        && bit.checked_add(width).is_some_and(|end| end <= size * 8)
    {
        member.bit_offset += bit;
        member.bit_width = width;
    }
    member
}

/// Two words of 8 bytes.
fn pair(types: &mut Types, size: u32, names: [&str; 2]) -> TypeId {
    if size != 16 {
        return opaque(types, size);
    }
    let word = types.int("__s64", 8, true);
    let members = [
        Member::new(names[0], word, 0),
        Member::new(names[1], word, 8),
    ];
    types.structure("", size, &members)
}

fn int(types: &mut Types, size: u32, signed: bool) -> TypeId {
    let name = match (size, signed) {
        (1, false) => "__u8",
        (2, false) => "__u16",
        (4, false) => "__u32",
        (8, false) => "__u64",
        (1, true) => "__s8",
        (2, true) => "__s16",
        (4, true) => "__s32",
        (8, true) => "__s64",
        _ => return opaque(types, size),
    };
    types.int(name, size, signed)
}

fn opaque(types: &mut Types, size: u32) -> TypeId {
    let byte = types.int("__u8", 1, false);
    types.array(byte, size)
}
