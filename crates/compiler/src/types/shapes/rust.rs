//! Rust: the layout is the compiler's choice, so everything is found by the members' names in the debug information.

use fathom_bpf::shape::{
    Length, List, PointerStyle, ShapeId, ShapeKind, StructForm, Tag, Text, Variant,
};
use fathom_machine::dwarf::{DebugMember, DebugType, DiscriminantValue, TypeIndex, VariantPart};

use super::Maker;

/// What a fat pointer's two members are called.
const FAT: [&str; 2] = ["data_ptr", "length"];

pub(super) fn kind(maker: &mut Maker<'_>, index: TypeIndex) -> Option<ShapeKind> {
    match maker.graph.get(index) {
        DebugType::Pointer { target, name, .. } => {
            let (target, is_raw) = (*target, name.starts_with('*'));
            Some(pointer(maker, target, is_raw))
        }
        DebugType::Composite {
            variant_part: Some(part),
            ..
        } => {
            let part = part.clone();
            Some(variants(maker, &part))
        }
        DebugType::Composite { name, scope, .. } => {
            let template = name.split('<').next().unwrap_or_default();
            let known = match (scope.as_str(), template) {
                ("alloc::string", "String") => string(maker, index),
                ("alloc::vec", "Vec") => vec(maker, index),
                ("alloc::rc", "Rc") => counted(maker, index, "value"),
                ("alloc::sync", "Arc") => counted(maker, index, "data"),
                ("std::collections::hash::map", "HashMap") => {
                    length_of(maker, index, &["base", "table", "table", "items"])
                }
                ("std::collections::hash::set", "HashSet") => {
                    length_of(maker, index, &["base", "map", "table", "table", "items"])
                }
                ("alloc::collections::btree::map", "BTreeMap") => {
                    length_of(maker, index, &["length"])
                }
                _ => fat(maker, index),
            };
            known.or_else(|| wrapper(maker, index))
        }
        _ => None,
    }
}

/// References and boxes are shown as what they lead to.
fn pointer(maker: &mut Maker<'_>, target: TypeIndex, is_raw: bool) -> ShapeKind {
    ShapeKind::Pointer {
        to: maker.worth_following(target).then(|| maker.shape(target)),
        style: match is_raw {
            true => PointerStyle::Address,
            false => PointerStyle::Transparent,
        },
        addend: 0,
    }
}

/// `&str`, `&[T]`, `Box<str>` …: a pointer with a length.
fn fat(maker: &mut Maker<'_>, index: TypeIndex) -> Option<ShapeKind> {
    let (pointer, pointer_type) = maker.path(index, &FAT[..1])?;
    let (length, _) = maker.path(index, &FAT[1..])?;
    let target = maker.target(pointer_type)?;
    let length = Length::Count(length);
    let is_text = matches!(
        maker.graph.get(index),
        DebugType::Composite { name, .. } if name.ends_with("str") || name.contains("str,")
            || name.ends_with("str>")
    );
    match is_text {
        true => Some(ShapeKind::Text(Text {
            pointer,
            addend: 0,
            length,
        })),
        false => list(maker, pointer, length, target),
    }
}

fn string(maker: &mut Maker<'_>, index: TypeIndex) -> Option<ShapeKind> {
    let (vec, vec_type) = maker.path(index, &["vec"])?;
    let (pointer, length) = vec_parts(maker, vec_type)?;
    Some(ShapeKind::Text(Text {
        pointer: vec + pointer,
        addend: 0,
        length: Length::Count(vec + length),
    }))
}

fn vec(maker: &mut Maker<'_>, index: TypeIndex) -> Option<ShapeKind> {
    let (pointer, length) = vec_parts(maker, index)?;
    let element = parameter(maker, index, "T")?;
    list(maker, pointer, Length::Count(length), element)
}

/// Where a `Vec` has its pointer and its length.
fn vec_parts(maker: &Maker<'_>, vec: TypeIndex) -> Option<(u32, u32)> {
    let (buffer, buffer_type) = maker.path(vec, &["buf"])?;
    let (pointer, _) = maker.first_pointer(buffer_type, 0)?;
    let (length, _) = maker.path(vec, &["len"])?;
    Some((buffer + pointer, length))
}

fn parameter(maker: &Maker<'_>, index: TypeIndex, wanted: &str) -> Option<TypeIndex> {
    match maker.graph.get(index) {
        DebugType::Composite {
            template_parameters,
            ..
        } => template_parameters
            .iter()
            .find(|(name, _)| name == wanted)
            .map(|(_, ty)| *ty),
        _ => None,
    }
}

fn list(
    maker: &mut Maker<'_>,
    pointer: u32,
    length: Length,
    element: TypeIndex,
) -> Option<ShapeKind> {
    let stride = maker.size(element)?;
    Some(ShapeKind::List(List {
        pointer,
        addend: 0,
        length,
        element: maker.shape(element),
        stride,
    }))
}

/// `Rc` and `Arc`: the value lies behind two counters.
fn counted(maker: &mut Maker<'_>, index: TypeIndex, value: &str) -> Option<ShapeKind> {
    let (offset, inner) = maker.first_pointer(index, 0)?;
    let (addend, value_type) = maker.path(inner, &[value])?;
    let fat = maker.path(index, &["ptr", "pointer", FAT[1]]);
    if let Some((length, _)) = fat {
        let length = Length::Count(length);
        let is_text = matches!(
            maker.graph.get(index),
            DebugType::Composite { name, .. } if name.contains("<str")
        );
        return match is_text {
            true => Some(ShapeKind::Text(Text {
                pointer: offset,
                addend,
                length,
            })),
            false => Some(ShapeKind::Opaque("not followed".to_owned())),
        };
    }
    let to = maker.shape(value_type);
    let pointer = maker.add(
        8,
        ShapeKind::Pointer {
            to: Some(to),
            style: PointerStyle::Transparent,
            addend: i64::from(addend),
        },
    );
    Some(maker.part(offset, pointer))
}

/// A container whose elements are not followed.
fn length_of(maker: &mut Maker<'_>, index: TypeIndex, path: &[&str]) -> Option<ShapeKind> {
    let (offset, ty) = maker.path(index, path)?;
    Some(maker.numbers(&[("len", offset, ty)]))
}

/// Cells, smart pointers' insides and the like: types of the library around one value.
fn wrapper(maker: &mut Maker<'_>, index: TypeIndex) -> Option<ShapeKind> {
    let DebugType::Composite { scope, members, .. } = maker.graph.get(index) else {
        return None;
    };
    let is_library = ["core::", "alloc::", "std::"]
        .iter()
        .any(|root| scope.starts_with(root));
    let mut full = members
        .iter()
        .filter(|member| maker.size(member.type_index).unwrap_or(0) > 0);
    let (only, more) = (full.next()?, full.next());
    // `Some`, `Err` and other variants are shown with their part.
    if !is_library || more.is_some() || super::is_position(&only.name) {
        return None;
    }
    let (offset, ty) = (place(only)?, only.type_index);
    let shape = maker.shape(ty);
    Some(maker.part(offset, shape))
}

fn place(member: &DebugMember) -> Option<u32> {
    u32::try_from(member.bit_offset / 8).ok()
}

fn variants(maker: &mut Maker<'_>, part: &VariantPart) -> ShapeKind {
    let tag = part.discriminant.as_ref().and_then(|member| {
        Some(Tag {
            offset: place(member)?,
            size: maker.size(member.type_index)?,
        })
    });
    let bytes = tag.map_or(8, |tag| tag.size.min(8));
    let made = part.variants.iter().filter_map(|variant| {
        let member = variant.members.first()?;
        let shape = variant_parts(maker, member)?;
        let tags = variant.values.iter();
        Some(Variant {
            name: member.name.clone(),
            tags: tags.flat_map(|value| ranges(value, bytes)).collect(),
            shape,
        })
    });
    ShapeKind::Variants {
        tag,
        variants: made.collect(),
    }
}

/// The parts of a variant, which lie in the whole value.
fn variant_parts(maker: &mut Maker<'_>, member: &DebugMember) -> Option<ShapeId> {
    let offset = place(member)?;
    let inner = maker.shape(member.type_index);
    match offset {
        0 => Some(inner),
        _ => {
            let part = maker.part(offset, inner);
            Some(maker.add(0, part))
        }
    }
}

/// Values of a discriminant of so many bytes; what goes over the largest number is in two ranges.
fn ranges(value: &DiscriminantValue, bytes: u32) -> Vec<(u64, u64)> {
    let mask = u64::MAX >> (64 - bytes.clamp(1, 8) * 8);
    let (low, high) = (value.low as u64 & mask, value.high as u64 & mask);
    match low <= high {
        true => vec![(low, high)],
        false => vec![(low, mask), (0, high)],
    }
}

/// Whether parts without bytes are worth a word.
pub(super) fn form(members: &[DebugMember]) -> StructForm {
    let is_tuple = members
        .iter()
        .all(|member| super::is_position(&member.name));
    match is_tuple {
        true => StructForm::Tuple,
        false => StructForm::Struct,
    }
}
