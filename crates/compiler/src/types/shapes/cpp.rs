//! C++: the standard library's types as libstdc++ lays them out (GCC 5 and later); others are shown by their members.

use fathom_bpf::shape::{Length, List, PointerStyle, ShapeKind, Tag, Text, Variant};
use fathom_machine::dwarf::{DebugType, TypeIndex};

use super::Maker;

pub(super) fn kind(maker: &mut Maker<'_>, index: TypeIndex) -> Option<ShapeKind> {
    let DebugType::Composite { name, scope, .. } = maker.graph.get(index) else {
        return None;
    };
    if scope != "std" && !scope.starts_with("std::") {
        return None;
    }
    let template = name.split('<').next().unwrap_or_default();
    match template {
        "basic_string" => string(maker, index),
        "basic_string_view" => string_view(maker, index),
        "vector" => vector(maker, index),
        "optional" => optional(maker, index),
        "unique_ptr" | "shared_ptr" | "__shared_ptr" => smart_pointer(maker, index),
        "map" | "set" | "multimap" | "multiset" => {
            count(maker, index, &["_M_t", "_M_impl", "_M_node_count"])
        }
        "unordered_map" | "unordered_set" | "unordered_multimap" | "unordered_multiset" => {
            count(maker, index, &["_M_h", "_M_element_count"])
        }
        "list" => count(maker, index, &["_M_impl", "_M_node", "_M_size"])
            .or_else(|| count(maker, index, &["_M_impl", "_M_node", "_M_storage"])),
        _ => None,
    }
}

/// Text of one-byte characters.
fn string(maker: &mut Maker<'_>, index: TypeIndex) -> Option<ShapeKind> {
    let (pointer, pointer_type) = maker.path(index, &["_M_dataplus", "_M_p"])?;
    let (length, _) = maker.path(index, &["_M_string_length"])?;
    let target = maker.target(pointer_type)?;
    sequence(maker, target, pointer, Length::Count(length))
}

fn string_view(maker: &mut Maker<'_>, index: TypeIndex) -> Option<ShapeKind> {
    let (pointer, pointer_type) = maker.path(index, &["_M_str"])?;
    let (length, _) = maker.path(index, &["_M_len"])?;
    let target = maker.target(pointer_type)?;
    sequence(maker, target, pointer, Length::Count(length))
}

/// Characters are text, wider ones a list.
fn sequence(
    maker: &mut Maker<'_>,
    target: TypeIndex,
    pointer: u32,
    length: Length,
) -> Option<ShapeKind> {
    match maker.size(target)? {
        1 => Some(ShapeKind::Text(Text {
            pointer,
            addend: 0,
            length,
        })),
        stride => Some(ShapeKind::List(List {
            pointer,
            addend: 0,
            length,
            element: maker.shape(target),
            stride,
        })),
    }
}

fn vector(maker: &mut Maker<'_>, index: TypeIndex) -> Option<ShapeKind> {
    let (pointer, pointer_type) = maker.path(index, &["_M_impl", "_M_start"])?;
    let (end, _) = maker.path(index, &["_M_impl", "_M_finish"])?;
    // Of `vector<bool>` the start is no pointer: it counts bits.
    let target = maker.target(pointer_type)?;
    let stride = maker.size(target).filter(|size| *size > 0)?;
    Some(ShapeKind::List(List {
        pointer,
        addend: 0,
        length: Length::End(end),
        element: maker.shape(target),
        stride,
    }))
}

/// `nullopt`, or the value.
fn optional(maker: &mut Maker<'_>, index: TypeIndex) -> Option<ShapeKind> {
    let (engaged, _) = maker.path(index, &["_M_payload", "_M_engaged"])?;
    let (value, value_type) = maker
        .path(index, &["_M_payload", "_M_payload", "_M_value"])
        .or_else(|| maker.path(index, &["_M_payload", "_M_payload"]))?;
    let size = maker.size(index)?;
    let inner = maker.shape(value_type);
    let some = maker.part(value, inner);
    let some = maker.add(size, some);
    let none = maker.add(0, ShapeKind::None);
    let variant = |name: &str, tags, shape| Variant {
        name: name.to_owned(),
        tags,
        shape,
    };
    Some(ShapeKind::Variants {
        tag: Some(Tag {
            offset: engaged,
            size: 1,
        }),
        variants: vec![
            variant("nullopt", vec![(0, 0)], none),
            variant("", Vec::new(), some),
        ],
    })
}

/// A pointer to the object it owns.
fn smart_pointer(maker: &mut Maker<'_>, index: TypeIndex) -> Option<ShapeKind> {
    let (offset, target) = maker
        .path(index, &["_M_ptr"])
        .and_then(|(offset, ty)| Some((offset, maker.target(ty)?)))
        .or_else(|| maker.first_pointer(index, 0))?;
    let to = maker.worth_following(target).then(|| maker.shape(target));
    let pointer = maker.add(
        8,
        ShapeKind::Pointer {
            to,
            style: PointerStyle::Address,
            addend: 0,
        },
    );
    Some(maker.part(offset, pointer))
}

/// A container whose elements are not followed: how many it has.
fn count(maker: &mut Maker<'_>, index: TypeIndex, path: &[&str]) -> Option<ShapeKind> {
    let (offset, ty) = maker.path(index, path)?;
    Some(maker.numbers(&[("size", offset, ty)]))
}
