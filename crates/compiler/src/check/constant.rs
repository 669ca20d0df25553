//! Constants: `#define`s of the script and numbers in positional parameters.

use fathom_syntax::span::Span;

use super::{Checker, span};
use crate::hir::Expr;
use crate::ty::Type;
use crate::types::Constant;

impl Checker<'_, '_> {
    /// A `#define` of the script.
    pub(super) fn constant(&mut self, name: &str, at: Span) -> Option<Expr> {
        Some(match self.types.constant(name)? {
            Constant::Int(value) => {
                let ty = if value > i128::from(i64::MAX) {
                    Type::U64
                } else {
                    Type::I64
                };
                Expr::int(value as i64, ty, span(at))
            }
            Constant::Str(text) => self.string(&text.bytes, span(at)),
        })
    }
}

/// A whole number as written on a command line: decimal, octal or hex, with a sign.
pub(crate) fn parse_number(text: &str) -> Option<i64> {
    let (digits, negative) = match text.strip_prefix('-') {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    let value = if let Some(hex) = digits
        .strip_prefix("0x")
        .or_else(|| digits.strip_prefix("0X"))
    {
        u64::from_str_radix(hex, 16).ok()?
    } else if digits.len() > 1 && digits.starts_with('0') {
        u64::from_str_radix(&digits[1..], 8).ok()?
    } else if digits.starts_with('+') {
        return None;
    } else {
        digits.parse().ok()?
    };
    Some(if negative {
        (value as i64).wrapping_neg()
    } else {
        value as i64
    })
}

#[cfg(test)]
mod tests {
    use super::parse_number;

    #[test]
    fn numbers_of_all_bases() {
        let cases = [
            ("12", Some(12)),
            ("-3", Some(-3)),
            ("0x10", Some(16)),
            ("010", Some(8)),
            ("0", Some(0)),
            ("a", None),
            ("", None),
            ("1a", None),
            ("09", None),
            ("+1", None),
        ];
        for (text, want) in cases {
            assert_eq!(parse_number(text), want, "{text}");
        }
    }
}
