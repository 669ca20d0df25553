//! Go: strings and slices are structs that the compiler describes by name.

use fathom_bpf::shape::{Length, List, ShapeKind, Text};
use fathom_machine::dwarf::{DebugType, TypeIndex};

use super::Maker;

pub(super) fn kind(maker: &mut Maker<'_>, index: TypeIndex) -> Option<ShapeKind> {
    let DebugType::Composite { name, .. } = maker.graph.get(index) else {
        return None;
    };
    if name == "string" {
        let (pointer, _) = maker.path(index, &["str"])?;
        let (length, _) = maker.path(index, &["len"])?;
        return Some(ShapeKind::Text(Text {
            pointer,
            length: Length::Count(length),
        }));
    }
    if name.starts_with("[]") {
        let (pointer, pointer_type) = maker.path(index, &["array"])?;
        let (length, _) = maker.path(index, &["len"])?;
        let element = maker.target(pointer_type)?;
        return Some(ShapeKind::List(List {
            pointer,
            length: Length::Count(length),
            element: maker.shape(element),
            stride: maker.size(element)?,
        }));
    }
    None
}
