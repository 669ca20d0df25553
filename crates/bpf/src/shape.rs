//! What a programmer's value looks like in the memory of a traced program: enough to copy it in the kernel, pointers
//! followed, and to show it afterwards, whatever language it was written in.
//!
//! Shapes refer to each other by number, so that a list can hold itself. Offsets and sizes are in bytes, from the start
//! of the value the shape describes.

use std::sync::Arc;

/// Number of a shape in its [`Shapes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShapeId(pub u32);

/// Shapes that refer to each other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shapes {
    shapes: Vec<Shape>,
}

impl Shapes {
    /// Adds a shape.
    pub fn add(&mut self, shape: Shape) -> ShapeId {
        self.shapes.push(shape);
        ShapeId(self.shapes.len() as u32 - 1)
    }

    /// Puts another shape in the place of one that was added before what it refers to was known.
    pub fn set(&mut self, id: ShapeId, shape: Shape) {
        if let Some(place) = self.shapes.get_mut(id.0 as usize) {
            *place = shape;
        }
    }

    /// The shape of that number; one that says so if there is none.
    pub fn get(&self, id: ShapeId) -> &Shape {
        const NONE: &Shape = &Shape {
            size: 0,
            kind: ShapeKind::None,
        };
        self.shapes.get(id.0 as usize).unwrap_or(NONE)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.shapes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.shapes.is_empty()
    }
}

/// One shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// Of the value itself, without what its pointers lead to.
    pub size: u32,
    /// What it is.
    pub kind: ShapeKind,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq)]
pub enum ShapeKind {
    /// Nothing: `void`, `()`.
    None,
    /// An integer of the shape's size.
    Integer {
        /// Whether it can be negative.
        signed: bool,
    },
    /// `true` or `false`.
    Bool,
    /// A character; shown as one when it is printable.
    Character {
        /// A Unicode scalar value, not a byte of some text.
        is_unicode: bool,
    },
    /// A floating-point number of 4 or 8 bytes.
    Float,
    /// A number whose values have names.
    Enumeration {
        /// Whether it can be negative.
        signed: bool,
        /// Number and name.
        names: Arc<Vec<(i64, String)>>,
    },
    /// Eight bytes: where another value lies.
    Pointer {
        /// What lies there; `None` when it is not known or of no use (functions, `void *`).
        to: Option<ShapeId>,
        /// How it is shown.
        style: PointerStyle,
        /// Added to the pointer to get to the value (counters before an `Rc`'s value).
        addend: i64,
    },
    /// Text whose start is in a pointer.
    Text(Text),
    /// Elements whose start is in a pointer.
    List(List),
    /// Elements in place.
    Array {
        /// Each of them.
        element: ShapeId,
        /// How many.
        len: u32,
    },
    /// Named parts.
    Struct {
        /// As in the source, with its path; empty when it has none.
        name: String,
        /// In order of the source.
        fields: Vec<ShapeField>,
        /// What it is in the language.
        form: StructForm,
    },
    /// One of several, told by a number in the value (Rust).
    Variants {
        /// Where the number is; `None` when there is only one variant.
        tag: Option<Tag>,
        /// Those there are.
        variants: Vec<Variant>,
    },
    /// A value with its type beside it (Go's interfaces, two words).
    Interface {
        /// Whether the first word is an `itab` (with methods) rather than the type itself.
        has_methods: bool,
    },
    /// Go's `time.Time`, 24 bytes.
    GoTime,
    /// A value that cannot be shown, with the reason in words.
    Opaque(String),
}

impl ShapeKind {
    /// Whether it has parts, of which some may be there when others are not.
    pub fn is_composite(&self) -> bool {
        matches!(
            self,
            ShapeKind::Array { .. } | ShapeKind::Struct { .. } | ShapeKind::Variants { .. }
        )
    }
}

/// How a pointer is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PointerStyle {
    /// By its address, and with what it leads to: `0x7f… → {…}`.
    Address,
    /// Like the value itself: references, `Box`.
    Transparent,
    /// Go: `&{…}` or `nil`.
    Go,
    /// Go's maps and channels: like what the runtime keeps for them, or `nil`.
    Handle,
}

/// Text elsewhere in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Text {
    /// Where its address is.
    pub pointer: u32,
    /// Added to the address to get to the text.
    pub addend: u32,
    /// How long it is.
    pub length: Length,
}

/// Elements elsewhere in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct List {
    /// Where their address is.
    pub pointer: u32,
    /// Added to the address to get to the first.
    pub addend: u32,
    /// How many there are.
    pub length: Length,
    /// Each of them.
    pub element: ShapeId,
    /// From one to the next.
    pub stride: u32,
}

/// How long something elsewhere is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// Up to a zero byte.
    Terminated,
    /// A number of elements (for text: bytes) of 8 bytes at this offset.
    Count(u32),
    /// The address behind the last element is at this offset.
    End(u32),
    /// Always so many.
    Fixed(u32),
}

/// A part of a struct.
#[derive(Clone, Debug, PartialEq)]
pub struct ShapeField {
    /// Empty for anonymous ones, whose parts are shown as if they were the struct's own; and for elements of tuples.
    pub name: String,
    /// From the struct's start. For bitfields, of the byte with their lowest bit.
    pub offset: u32,
    /// Bitfield: lowest bit in that byte, and width.
    pub bits: Option<(u32, u32)>,
    /// What lies there.
    pub shape: ShapeId,
}

/// What named parts are in the language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StructForm {
    /// All parts have names.
    Struct,
    /// All parts lie at the same place: each is a reading of it.
    Union,
    /// Parts are told by their order.
    Tuple,
    /// Shown as its only part.
    Transparent,
}

/// The number that tells which variant a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Where it lies.
    pub offset: u32,
    /// 1, 2, 4, 8 or 16.
    pub size: u32,
}

/// One variant.
#[derive(Clone, Debug, PartialEq)]
pub struct Variant {
    /// As in the source.
    pub name: String,
    /// Numbers (from, to) that tell it; empty when it is what remains.
    pub tags: Vec<(u64, u64)>,
    /// Its parts.
    pub shape: ShapeId,
}
