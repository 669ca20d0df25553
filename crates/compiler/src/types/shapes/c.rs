//! C: a pointer to `char` is text.

use fathom_bpf::shape::{Length, ShapeKind, Text};
use fathom_machine::dwarf::{BaseEncoding, DebugType, TypeIndex};

use super::Maker;

pub(super) fn kind(maker: &mut Maker<'_>, index: TypeIndex) -> Option<ShapeKind> {
    let target = maker.target(index)?;
    is_char(maker, target).then_some(ShapeKind::Text(Text {
        pointer: 0,
        addend: 0,
        length: Length::Terminated,
    }))
}

/// `char`, but neither `signed char` nor `unsigned char`, which are numbers.
pub(super) fn is_char(maker: &Maker<'_>, index: TypeIndex) -> bool {
    matches!(
        maker.graph.get(maker.graph.resolve(index)),
        DebugType::Base { name, size: 1, encoding: BaseEncoding::Char } if name == "char"
    )
}
