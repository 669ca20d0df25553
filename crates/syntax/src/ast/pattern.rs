//! What a probe attaches to, as written: words between colons, taken apart no further.

use super::Name;
use crate::span::Span;

/// `uprobe:/bin/bash:readline`: a provider and the segments behind its colons.
///
/// Which segments a provider wants, and what `+offset`, `@file` or `*` mean in them, is known to later stages. A colon
/// inside quotes does not separate segments; `binary@file:line` does have its line as a segment of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachPattern {
    /// The whole as written, quotes included.
    pub text: String,
    /// What stands before the first colon; may hold wildcards.
    pub provider: Name,
    /// What stands between and behind the colons; may be empty strings.
    pub parts: Vec<Segment>,
    /// Where it stands.
    pub span: Span,
}

/// The text between two colons of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Its pieces, one after the other without space between.
    pub pieces: Vec<Piece>,
    /// Where it stands.
    pub span: Span,
}

/// A piece of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Plain text.
    Plain(String),
    /// Text in quotes, escapes resolved.
    Quoted(String),
    /// `$1`: the text of a positional parameter.
    Param(u32),
    /// `$#`: the number of positional parameters.
    ParamCount,
}

impl Segment {
    /// The text with positional parameters filled in: `param(n)` gives the n-th, counted from 1.
    pub fn text(&self, params: &[String]) -> String {
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Plain(part) | Piece::Quoted(part) => text.push_str(part),
                Piece::Param(number) => {
                    let index = (*number as usize).wrapping_sub(1);
                    text.push_str(params.get(index).map_or("", String::as_str));
                }
                Piece::ParamCount => text.push_str(&params.len().to_string()),
            }
        }
        text
    }

    /// Whether nothing is written.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Whether any piece is quoted.
    pub fn is_quoted(&self) -> bool {
        self.pieces
            .iter()
            .any(|piece| matches!(piece, Piece::Quoted(_)))
    }
}
