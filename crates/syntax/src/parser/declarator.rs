//! C declarators such as `*a[4]` and `(*callback)(int)`, and `__attribute__`.

use super::Parser;
use super::c::merge;
use crate::ast::c::{CAttributes, CType};
use crate::ast::{Expr, Name};
use crate::diagnostic::Diagnostic;
use crate::token::{Mark, TokenKind};

/// How many `*`, `[]` and `()` one declarator may have.
const MODIFIERS_MAX: usize = 32;

/// A declared name with its type.
pub(super) struct Declared {
    pub(super) name: Option<Name>,
    pub(super) ty: CType,
}

/// One step from the name outwards: `*a[4]` is an array, then a pointer.
enum Modifier {
    Pointer,
    Array(Option<Expr>),
    Function,
}

impl Parser<'_> {
    /// A declarator for the type `base`; may have no name. A struct without a tag is moved out of `base`, not copied:
    /// copies in copies would grow without bound.
    pub(super) fn declarator(&mut self, base: &mut CType) -> Declared {
        let mut modifiers = Vec::new();
        let name = self.declarator_name(&mut modifiers);
        if modifiers.len() > MODIFIERS_MAX {
            self.too_deep();
            return Declared {
                name,
                ty: CType::Error,
            };
        }
        let mut ty = if matches!(base, CType::Inline(_)) {
            std::mem::replace(base, CType::Error)
        } else {
            if matches!(base, CType::Error) {
                self.second_of_untagged(name.as_ref());
            }
            base.clone()
        };
        for modifier in modifiers.into_iter().rev() {
            ty = match modifier {
                Modifier::Pointer => CType::Pointer(Box::new(ty)),
                Modifier::Array(len) => CType::Array {
                    of: Box::new(ty),
                    len,
                },
                Modifier::Function => CType::Function,
            };
        }
        Declared { name, ty }
    }

    fn second_of_untagged(&mut self, name: Option<&Name>) {
        let Some(name) = name.filter(|_| self.diagnostics.is_empty()) else {
            return;
        };
        self.report(
            Diagnostic::error(
                "untagged",
                name.span,
                "a struct without a name can have one field only",
            )
            .help("give the struct a name"),
        );
    }

    /// Reads a declarator; adds its modifiers from the name outwards.
    fn declarator_name(&mut self, modifiers: &mut Vec<Modifier>) -> Option<Name> {
        let pointers = self.pointers();
        let mut name = None;
        if self.at_mark(Mark::LeftParen) {
            self.bump();
            name = self
                .nested(|parser| parser.declarator_name(modifiers))
                .flatten();
            self.expect(Mark::RightParen, "in the declaration");
        } else if self.kind() == TokenKind::Ident && !self.at_attribute() {
            let token = self.bump();
            name = Some(self.name_of(token));
        }
        while modifiers.len() <= MODIFIERS_MAX {
            if self.eat(Mark::LeftBracket) {
                let len = if self.at_mark(Mark::RightBracket) {
                    None
                } else {
                    Some(self.expression())
                };
                self.expect(Mark::RightBracket, "behind the length");
                modifiers.push(Modifier::Array(len));
            } else if self.at_mark(Mark::LeftParen) {
                self.skip_parentheses();
                modifiers.push(Modifier::Function);
            } else {
                break;
            }
        }
        modifiers.extend((0..pointers).map(|_| Modifier::Pointer));
        name
    }

    /// Counts the `*` that come next; qualifiers between them change no layout.
    fn pointers(&mut self) -> usize {
        let mut pointers = 0;
        loop {
            let token = self.token();
            match token.kind {
                TokenKind::Mark(Mark::Star) => pointers = (pointers + 1).min(MODIFIERS_MAX + 1),
                TokenKind::Ident
                    if matches!(
                        self.text(token.span),
                        "const" | "volatile" | "restrict" | "__restrict" | "__user"
                    ) => {}
                _ => return pointers,
            }
            self.bump();
        }
    }

    /// Skips to behind the `)` that closes the `(` that comes next.
    fn skip_parentheses(&mut self) {
        let mut depth = 0usize;
        loop {
            match self.kind() {
                TokenKind::Mark(Mark::LeftParen) => depth += 1,
                TokenKind::Mark(Mark::RightParen) => depth -= 1,
                TokenKind::End
                | TokenKind::Directive
                | TokenKind::Mark(Mark::RightBrace | Mark::LeftBrace) => {
                    self.unexpected("`)`");
                    return;
                }
                _ => {}
            }
            self.bump();
            if depth == 0 {
                return;
            }
        }
    }

    fn at_attribute(&mut self) -> bool {
        let token = self.token();
        token.kind == TokenKind::Ident
            && matches!(
                self.text(token.span),
                "__attribute__" | "__attribute" | "__packed" | "__aligned"
            )
    }

    /// The attributes that come next.
    pub(super) fn attributes(&mut self) -> CAttributes {
        let mut attributes = CAttributes::default();
        while self.attribute_words(&mut attributes) {}
        attributes
    }

    /// One `__attribute__((…))`, `__packed` or `__aligned(…)`, if it comes next.
    pub(super) fn attribute_words(&mut self, attributes: &mut CAttributes) -> bool {
        if !self.at_attribute() {
            return false;
        }
        let token = self.token();
        if !self.text(token.span).starts_with("__attribute") {
            self.attribute(attributes);
            return true;
        }
        self.bump();
        let double =
            self.expect(Mark::LeftParen, "behind `__attribute__`") && self.eat(Mark::LeftParen);
        while matches!(self.kind(), TokenKind::Ident | TokenKind::Keyword(_)) {
            self.attribute(attributes);
            if !self.eat(Mark::Comma) {
                break;
            }
        }
        self.expect(Mark::RightParen, "to end `__attribute__`");
        if double {
            self.expect(Mark::RightParen, "to end `__attribute__`");
        }
        true
    }

    /// One attribute; those that change no layout are passed over.
    fn attribute(&mut self, attributes: &mut CAttributes) {
        let token = self.bump();
        match self.text(token.span).trim_matches('_') {
            "packed" => attributes.packed = true,
            "aligned" if self.eat(Mark::LeftParen) => {
                let aligned = Some(self.expression());
                self.expect(Mark::RightParen, "behind the alignment");
                merge(
                    attributes,
                    CAttributes {
                        aligned,
                        ..CAttributes::default()
                    },
                );
            }
            "aligned" => attributes.aligned_max = true,
            _ if self.at_mark(Mark::LeftParen) => self.skip_parentheses(),
            _ => {}
        }
    }
}
