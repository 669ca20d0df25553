//! Telling types from expressions by looking ahead: `(uint8)$x` is a cast, `(x) * y` is not.

use super::Parser;
use crate::token::{Keyword, Mark, TokenKind};

/// Names that are types wherever they stand. Others may be types too; only these are certain without declarations.
const TYPE_NAMES: &[&str] = &[
    "void", "bool", "int", "char", "short", "long", "unsigned", "signed", "int8", "int16", "int32",
    "int64", "uint8", "uint16", "uint32", "uint64", "string", "buffer", "inet", "size_t",
    "ssize_t",
];

/// Words of C's base types, which may follow each other.
pub(super) const C_BASE_WORDS: &[&str] = &[
    "void", "int", "char", "short", "long", "unsigned", "signed", "float", "double", "_Bool",
    "__int128",
];

/// How a run of tokens reads.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// It can only be a type.
    Type,
    /// It may be a type or an expression.
    Either,
}

impl Parser<'_> {
    /// Whether a cast starts here, at `(`. A name that may be a type or a value counts as a type if an operand follows
    /// and `guess` is set.
    pub(super) fn cast_ahead(&mut self, guess: bool) -> bool {
        if self.token_at(1).kind == TokenKind::Keyword(Keyword::Typeof) {
            return true;
        }
        let Some((reading, behind)) = self.type_extent(1) else {
            return false;
        };
        if !self.mark_ahead(behind, Mark::RightParen) {
            return false;
        }
        match (reading, self.token_at(behind + 1).kind) {
            (
                _,
                TokenKind::Ident
                | TokenKind::Variable
                | TokenKind::Map
                | TokenKind::Int(_)
                | TokenKind::Str
                | TokenKind::Param(_)
                | TokenKind::ParamCount
                | TokenKind::Mark(Mark::LeftParen | Mark::Bang | Mark::Tilde)
                | TokenKind::Keyword(
                    Keyword::Sizeof
                    | Keyword::Offsetof
                    | Keyword::True
                    | Keyword::False
                    | Keyword::Comptime,
                ),
            ) => guess || reading == Reading::Type,
            (
                Reading::Type,
                TokenKind::Mark(
                    Mark::Minus
                    | Mark::Star
                    | Mark::Ampersand
                    | Mark::Increment
                    | Mark::Decrement
                    | Mark::LeftBrace,
                ),
            ) => guess || !self.mark_ahead(behind + 1, Mark::LeftBrace),
            _ => false,
        }
    }

    /// Whether the tokens from `ahead` on can only be a type, up to one of `ends`.
    pub(super) fn type_ahead(&mut self, ahead: usize, ends: &[Mark]) -> bool {
        if self.token_at(ahead).kind == TokenKind::Keyword(Keyword::Typeof) {
            return true;
        }
        let Some((reading, behind)) = self.type_extent(ahead) else {
            return false;
        };
        reading == Reading::Type && ends.iter().any(|&end| self.mark_ahead(behind, end))
    }

    /// Where a type that starts at `ahead` would end, and how certain it is one.
    fn type_extent(&mut self, ahead: usize) -> Option<(Reading, usize)> {
        let mut at = ahead;
        let mut reading = Reading::Type;
        let token = self.token_at(at);
        match token.kind {
            TokenKind::Keyword(Keyword::Struct | Keyword::Union | Keyword::Enum) => at += 2,
            TokenKind::Ident => {
                let text = self.text(token.span);
                at += 1;
                if text == "const" {
                    return self.type_extent_bounded(at);
                }
                while C_BASE_WORDS.contains(&text) && self.is_base_word(at) {
                    at += 1;
                }
                if !TYPE_NAMES.contains(&text) && !text.ends_with("_t") {
                    reading = Reading::Either;
                }
            }
            _ => return None,
        }
        self.suffix_extent(reading, at)
    }

    /// A type behind `const`, which is not repeated.
    fn type_extent_bounded(&mut self, at: usize) -> Option<(Reading, usize)> {
        let token = self.token_at(at);
        let repeated = token.kind == TokenKind::Ident && self.text(token.span) == "const";
        if repeated {
            None
        } else {
            self.type_extent(at)
                .map(|(_, behind)| (Reading::Type, behind))
        }
    }

    fn is_base_word(&mut self, at: usize) -> bool {
        let token = self.token_at(at);
        token.kind == TokenKind::Ident && C_BASE_WORDS.contains(&self.text(token.span))
    }

    /// Goes on over `*` and `[N]`. Behind a name that may be a value, `*` before `)` or `,` still makes it a type.
    fn suffix_extent(&mut self, mut reading: Reading, mut at: usize) -> Option<(Reading, usize)> {
        loop {
            match self.token_at(at).kind {
                TokenKind::Mark(Mark::Star) => {
                    at += 1;
                    let next = self.token_at(at).kind;
                    if matches!(next, TokenKind::Mark(Mark::RightParen | Mark::Comma)) {
                        reading = Reading::Type;
                    }
                }
                TokenKind::Mark(Mark::LeftBracket) => {
                    let length = self.token_at(at + 1).kind;
                    if length == TokenKind::Mark(Mark::RightBracket) {
                        reading = Reading::Type;
                        at += 2;
                    } else if matches!(
                        length,
                        TokenKind::Int(_) | TokenKind::Param(_) | TokenKind::Ident
                    ) && self.mark_ahead(at + 2, Mark::RightBracket)
                    {
                        at += 3;
                    } else {
                        return None;
                    }
                }
                _ => return Some((reading, at)),
            }
        }
    }
}
