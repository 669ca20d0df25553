//! printf formats: parsed and checked once, then rendered straight from event bytes.

mod parse;
mod render;

pub use parse::{
    Conversion, Format, FormatError, FormatErrorKind, Length, Piece, Size, Spec, Wants,
};
pub use render::FormatPlan;
