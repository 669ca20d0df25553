//! Rust: the layout is the compiler's choice, so everything is found by the members' names in the debug information.

use fathom_bpf::shape::{Length, List, PointerStyle, ShapeKind, Text};
use fathom_machine::dwarf::{DebugType, TypeIndex};

use super::Maker;

pub(super) fn kind(maker: &mut Maker<'_>, index: TypeIndex) -> Option<ShapeKind> {
    match maker.graph.get(index) {
        DebugType::Composite { name, .. } if name == "&str" || name == "&mut str" => {
            let (pointer, length) = fat_pointer(maker, index)?;
            Some(ShapeKind::Text(Text { pointer, length }))
        }
        DebugType::Composite { name, .. } if is_slice(name) => {
            let (pointer, length) = fat_pointer(maker, index)?;
            let (_, pointer_type) = maker.path(index, &["data_ptr"])?;
            let element = maker.target(pointer_type)?;
            list(maker, pointer, length, element)
        }
        DebugType::Composite { name, .. } if name == "String" => {
            let (vec, vec_type) = maker.path(index, &["vec"])?;
            let (pointer, length) = vec_parts(maker, vec_type)?;
            Some(ShapeKind::Text(Text {
                pointer: vec + pointer,
                length: Length::Count(vec + length),
            }))
        }
        DebugType::Pointer { target, .. } => {
            let target = *target;
            Some(ShapeKind::Pointer {
                to: maker.worth_following(target).then(|| maker.shape(target)),
                style: PointerStyle::Transparent,
                addend: 0,
            })
        }
        _ => None,
    }
}

/// `&[T]`, `&mut [T]`, `Box<[T]>`
fn is_slice(name: &str) -> bool {
    name.starts_with("&[") || name.starts_with("&mut [") || name.starts_with("Box<[")
}

fn fat_pointer(maker: &Maker<'_>, index: TypeIndex) -> Option<(u32, Length)> {
    let (pointer, _) = maker.path(index, &["data_ptr"])?;
    let (length, _) = maker.path(index, &["length"])?;
    Some((pointer, Length::Count(length)))
}

/// Where a `Vec` has its pointer and its length.
fn vec_parts(maker: &Maker<'_>, vec: TypeIndex) -> Option<(u32, u32)> {
    let (buffer, buffer_type) = maker.path(vec, &["buf"])?;
    let (pointer, _) = maker.first_pointer(buffer_type, 0)?;
    let (length, _) = maker.path(vec, &["len"])?;
    Some((buffer + pointer, length))
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
        length,
        element: maker.shape(element),
        stride,
    }))
}
