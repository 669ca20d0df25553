//! Types as written in a script.

use super::Parser;
use super::cast::C_BASE_WORDS;
use crate::ast::{TypeExpr, TypeKind};
use crate::diagnostic::Diagnostic;
use crate::span::Span;
use crate::token::{Keyword, Mark, TokenKind};

/// How many `*` and `[N]` a type may have.
const SUFFIXES_MAX: usize = 32;

impl Parser<'_> {
    /// A type with its `*` and `[N]`, read left to right.
    pub(super) fn type_expr(&mut self) -> TypeExpr {
        let start = self.token().span;
        let read = self.nested(|parser| {
            let base = parser.base_type();
            parser.type_suffixes(base, start)
        });
        read.unwrap_or(TypeExpr {
            kind: TypeKind::Error,
            span: start.before(),
        })
    }

    fn base_type(&mut self) -> TypeKind {
        let token = self.token();
        match token.kind {
            TokenKind::Keyword(Keyword::Struct) => TypeKind::Struct(self.tag("a struct")),
            TokenKind::Keyword(Keyword::Union) => TypeKind::Union(self.tag("a union")),
            TokenKind::Keyword(Keyword::Enum) => TypeKind::Enum(self.tag("an enum")),
            TokenKind::Keyword(Keyword::Typeof) => {
                self.bump();
                TypeKind::Typeof(Box::new(self.type_or_expr_in_parens("typeof")))
            }
            TokenKind::Ident => self.named_type(),
            _ => {
                self.unexpected("a type");
                TypeKind::Error
            }
        }
    }

    fn tag(&mut self, whose: &str) -> crate::ast::Name {
        self.bump();
        self.expect_name(&format!("the name of {whose}"))
    }

    fn named_type(&mut self) -> TypeKind {
        let token = self.bump();
        let text = self.text(token.span);
        if text == "const" && matches!(self.kind(), TokenKind::Ident | TokenKind::Keyword(_)) {
            return self.nested(Self::base_type).unwrap_or(TypeKind::Error);
        }
        let mut name = text.to_owned();
        while C_BASE_WORDS.contains(&text) && self.kind() == TokenKind::Ident {
            let next = self.token();
            let word = self.text(next.span);
            if !C_BASE_WORDS.contains(&word) || name.len() > 40 {
                break;
            }
            name.push(' ');
            name.push_str(word);
            self.bump();
        }
        if matches!(name.as_str(), "string" | "buffer" | "inet") && self.at_mark(Mark::LeftBracket)
        {
            return self.sized(name);
        }
        TypeKind::Named(name)
    }

    fn sized(&mut self, name: String) -> TypeKind {
        self.bump();
        let len = Box::new(self.expression());
        self.expect(Mark::RightBracket, "behind the size");
        TypeKind::Sized { name, len }
    }

    fn type_suffixes(&mut self, base: TypeKind, start: Span) -> TypeExpr {
        let mut ty = TypeExpr {
            kind: base,
            span: self.span_since(start),
        };
        let mut suffixes = 0;
        while matches!(self.kind(), TokenKind::Mark(Mark::Star | Mark::LeftBracket)) {
            suffixes += 1;
            let of = Box::new(ty);
            let kind = if self.eat(Mark::Star) {
                TypeKind::Pointer(of)
            } else {
                self.array(of)
            };
            ty = TypeExpr {
                kind,
                span: self.span_since(start),
            };
            if suffixes == SUFFIXES_MAX {
                self.too_many_suffixes();
                break;
            }
        }
        ty
    }

    fn array(&mut self, of: Box<TypeExpr>) -> TypeKind {
        self.bump();
        if self.eat(Mark::RightBracket) {
            return TypeKind::Array { of, len: None };
        }
        let len = Some(Box::new(self.expression()));
        self.expect(Mark::RightBracket, "behind the length");
        TypeKind::Array { of, len }
    }

    fn too_many_suffixes(&mut self) {
        let span = self.token().span;
        let message = format!("a type can have at most {SUFFIXES_MAX} `*` and `[]`");
        self.report_here(Diagnostic::error("too-deep", span, message));
        while self.at_mark(Mark::Star) {
            self.bump();
        }
    }
}
