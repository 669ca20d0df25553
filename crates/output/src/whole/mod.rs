//! Whole values of traced programs: a sparse picture of memory, read by [`Shapes`] and shown as the programmer wrote them.
//!
//! The bytes are claims: wherever they do not fit, the value says so instead of guessing.

mod dynamic;
mod image;
mod json;
mod read;
mod scalar;
mod text;

pub use dynamic::{DynamicSource, DynamicType, DynamicTypes, ProgramPlace};
pub use image::{Chunk, Image};
pub use json::write_json;
pub use read::{Reader, UNKNOWN_ADDRESS};
pub use text::write_text;

/// A value of a traced program.
#[derive(Clone, Debug, PartialEq)]
pub enum Whole {
    /// Nothing: `()`.
    None,
    /// `true` or `false`.
    Bool(bool),
    /// A signed integer.
    Int(i64),
    /// An unsigned integer.
    Uint(u64),
    /// An integer that needs more than eight bytes, in decimal.
    Wide(String),
    /// A character.
    Character(char),
    /// A floating-point number.
    Float(f64),
    /// A floating-point number of four bytes.
    Float32(f32),
    /// A number that has a name.
    Name {
        /// As in the source; several joined by `|` for flags.
        name: String,
        /// The number.
        number: i64,
    },
    /// Text, at most as much as was copied.
    Text {
        /// The bytes that were copied.
        bytes: Vec<u8>,
        /// Bytes in all, if that is known; `None` when it was cut somewhere.
        length: Option<u64>,
    },
    /// A pointer to nothing, in the language's word.
    Null(&'static str),
    /// A pointer whose target is not shown.
    Address(u64),
    /// A pointer with what it leads to.
    Pointer {
        /// Where.
        address: u64,
        /// What.
        to: Box<Whole>,
        /// Whether the address matters to a reader.
        shows_address: bool,
    },
    /// Elements, at most as many as were copied.
    List {
        /// Those that were copied.
        items: Vec<Whole>,
        /// How many there are.
        length: u64,
    },
    /// Parts with names.
    Struct {
        /// Name and value.
        fields: Vec<(String, Whole)>,
    },
    /// Parts without names.
    Tuple(Vec<Whole>),
    /// Readings of the same bytes.
    Union(Vec<(String, Whole)>),
    /// One of several.
    Variant {
        /// Which.
        name: String,
        /// Its parts; [`Whole::None`] when it has none.
        parts: Box<Whole>,
    },
    /// A value with its type (Go's interfaces).
    Typed {
        /// The type's name.
        name: String,
        /// The value.
        value: Box<Whole>,
    },
    /// A moment by UTC, as RFC 3339 writes it.
    Moment(String),
    /// Not there; why.
    Missing(String),
}
