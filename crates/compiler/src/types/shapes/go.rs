//! Go: the compiler marks types with their kinds; what the runtime makes of maps and channels is described as well.

use fathom_bpf::shape::{Length, List, PointerStyle, ShapeKind, Text};
use fathom_machine::dwarf::{DebugType, GoKind, TypeGraph, TypeIndex};

use super::Maker;

/// Typedefs that are followed.
const MAX_TYPEDEFS: usize = 64;

/// The type behind typedefs, but not behind those that stand for maps, channels and interfaces.
pub(super) fn settle(graph: &TypeGraph, mut index: TypeIndex) -> TypeIndex {
    for _ in 0..MAX_TYPEDEFS {
        let is_own = graph.go(index).is_some_and(|go| {
            matches!(
                go.kind,
                GoKind::Map | GoKind::Chan | GoKind::Interface | GoKind::Func
            )
        });
        match graph.get(index) {
            DebugType::Typedef { target, .. } | DebugType::Qualified { target, .. } if !is_own => {
                index = *target
            }
            _ => return index,
        }
    }
    index
}

/// Bytes of a value; what the runtime makes of some kinds is not described everywhere.
pub(super) fn size_of(graph: &TypeGraph, index: TypeIndex) -> Option<u64> {
    match graph.go(index).map(|go| go.kind) {
        Some(GoKind::Map | GoKind::Chan | GoKind::Func | GoKind::UnsafePointer) => Some(8),
        Some(GoKind::Interface) => Some(16),
        _ => graph.size_of(index),
    }
}

pub(super) fn kind(maker: &mut Maker<'_>, index: TypeIndex) -> Option<ShapeKind> {
    match maker.graph.go(index)?.kind {
        GoKind::Struct if is_time(maker, index) => Some(ShapeKind::GoTime),
        GoKind::String => string(maker, index),
        GoKind::Slice => slice(maker, index),
        GoKind::Map => map(maker, index),
        GoKind::Chan => channel(maker, index),
        GoKind::Interface => Some(ShapeKind::Interface {
            has_methods: maker.path(index, &["tab"]).is_some(),
        }),
        GoKind::Func | GoKind::UnsafePointer => Some(ShapeKind::Pointer {
            to: None,
            style: PointerStyle::Go,
            addend: 0,
        }),
        _ => None,
    }
}

/// `time.Time`
fn is_time(maker: &Maker<'_>, index: TypeIndex) -> bool {
    matches!(
        maker.graph.get(index),
        DebugType::Composite { name, size: 24, .. } if name == "time.Time"
    )
}

fn string(maker: &mut Maker<'_>, index: TypeIndex) -> Option<ShapeKind> {
    let (pointer, _) = maker.path(index, &["str"])?;
    let (length, _) = maker.path(index, &["len"])?;
    Some(ShapeKind::Text(Text {
        pointer,
        addend: 0,
        length: Length::Count(length),
    }))
}

fn slice(maker: &mut Maker<'_>, index: TypeIndex) -> Option<ShapeKind> {
    let (pointer, pointer_type) = maker.path(index, &["array"])?;
    let (length, _) = maker.path(index, &["len"])?;
    let element = maker.target(pointer_type)?;
    Some(ShapeKind::List(List {
        pointer,
        addend: 0,
        length: Length::Count(length),
        element: maker.shape(element),
        stride: maker.size(element)?,
    }))
}

/// How many entries there are: `count` of `runtime.hmap`, since Go 1.24 `used` of `internal/runtime/maps.Map`.
fn map(maker: &mut Maker<'_>, index: TypeIndex) -> Option<ShapeKind> {
    let target = maker.target(index)?;
    let (offset, ty) = maker
        .path(target, &["count"])
        .or_else(|| maker.path(target, &["used"]))?;
    let numbers = maker.numbers(&[("len", offset, ty)]);
    behind(maker, target, numbers)
}

/// How much is in it, and how much fits.
fn channel(maker: &mut Maker<'_>, index: TypeIndex) -> Option<ShapeKind> {
    let target = maker.target(index)?;
    let (length, length_type) = maker.path(target, &["qcount"])?;
    let (capacity, capacity_type) = maker.path(target, &["dataqsiz"])?;
    let numbers = maker.numbers(&[
        ("len", length, length_type),
        ("cap", capacity, capacity_type),
    ]);
    behind(maker, target, numbers)
}

/// A pointer to what the runtime keeps, shown without the pointer.
fn behind(maker: &mut Maker<'_>, target: TypeIndex, shown: ShapeKind) -> Option<ShapeKind> {
    let size = maker.size(target)?;
    Some(ShapeKind::Pointer {
        to: Some(maker.add(size, shown)),
        style: PointerStyle::Handle,
        addend: 0,
    })
}
