//! The C part: struct, union, enum and typedef definitions.

use super::Parser;
use super::declarator::Declared;
use crate::ast::c::{
    CAttributes, CDefs, CEnum, CEnumConstant, CField, CRecord, CRecordKind, CType, CTypedef,
};
use crate::ast::{Expr, Name};
use crate::diagnostic::Diagnostic;
use crate::span::Span;
use crate::token::{Keyword, Mark, TokenKind};

/// What stands before the declared names.
pub(super) struct Specifiers {
    pub(super) ty: CType,
    pub(super) attributes: CAttributes,
}

impl Parser<'_> {
    /// Whether `typedef` comes next; it is no reserved word of scripts.
    pub(super) fn at_typedef(&mut self) -> bool {
        let token = self.token();
        token.kind == TokenKind::Ident
            && self.text(token.span) == "typedef"
            && matches!(
                self.token_at(1).kind,
                TokenKind::Ident | TokenKind::Keyword(_)
            )
    }

    /// A preprocessor line or a definition.
    pub(super) fn c_item(&mut self, c: &mut CDefs) {
        if self.kind() == TokenKind::Directive {
            return self.directives(c);
        }
        let is_typedef = self.at_typedef();
        let start = self.token().span;
        if is_typedef {
            self.bump();
        }
        let mut specifiers = self.specifiers(c);
        // As bpftrace has it: nothing can be declared here, so the `;` may be missing.
        let is_definition = matches!(self.text(self.previous_span()), "}" | ")");
        if !is_typedef && is_definition && !self.at_c_declarator() {
            self.eat(Mark::Semicolon);
            return;
        }
        while !self.at_mark(Mark::Semicolon) {
            let before = self.at;
            let Declared { name, ty, .. } = self.declarator(&mut specifiers.ty);
            self.attributes();
            match name {
                Some(name) if is_typedef => c.typedefs.push(CTypedef {
                    name,
                    ty,
                    span: self.span_since(start),
                }),
                Some(name) => self.c_variable(&name),
                None => break,
            }
            if !self.eat(Mark::Comma) || self.at == before {
                break;
            }
        }
        if let Some(last) = c.typedefs.last_mut()
            && is_typedef
            && self.at_mark(Mark::Semicolon)
        {
            last.span = start.to(self.previous_span());
        }
        if !self.eat(Mark::Semicolon) {
            self.missing_semicolon(self.previous_span());
            if !self.token().first_on_line {
                self.skip_item();
            }
        }
    }

    /// Whether a variable is about to be declared, and not the next item.
    fn at_c_declarator(&mut self) -> bool {
        let ends_name = |kind| {
            matches!(
                kind,
                TokenKind::Mark(Mark::Semicolon | Mark::Comma | Mark::Assign | Mark::LeftBracket)
            )
        };
        match self.kind() {
            TokenKind::Mark(Mark::Star) => true,
            TokenKind::Ident => ends_name(self.token_at(1).kind),
            _ => false,
        }
    }

    fn c_variable(&mut self, name: &Name) {
        let message = format!(
            "`{}`: variables and functions cannot be defined in C here",
            name.text
        );
        self.report(
            Diagnostic::error("c-declaration", name.span, message)
                .note("structs, unions, enums and typedefs can"),
        );
    }

    /// Base type, qualifiers and attributes, with the definitions that stand inside.
    pub(super) fn specifiers(&mut self, c: &mut CDefs) -> Specifiers {
        let start = self.token().span;
        let mut words: Vec<String> = Vec::new();
        let mut attributes = CAttributes::default();
        let mut ty = None;
        loop {
            let token = self.token();
            match token.kind {
                TokenKind::Keyword(Keyword::Struct) => {
                    ty = Some(self.c_record(CRecordKind::Struct, c))
                }
                TokenKind::Keyword(Keyword::Union) => {
                    ty = Some(self.c_record(CRecordKind::Union, c))
                }
                TokenKind::Keyword(Keyword::Enum) => ty = Some(self.enumeration(c)),
                TokenKind::Ident => {
                    let text = self.text(token.span);
                    if self.attribute_words(&mut attributes) {
                        continue;
                    }
                    match text {
                        "const" | "volatile" | "static" | "extern" | "inline" | "register" => {}
                        _ if super::cast::C_BASE_WORDS.contains(&text) && ty.is_none() => {
                            words.push(text.to_owned())
                        }
                        _ if ty.is_none() && words.is_empty() => {
                            ty = Some(CType::Named(self.name_of(token)));
                        }
                        _ => break,
                    }
                    self.bump();
                }
                _ => break,
            }
        }
        let ty = match ty {
            Some(ty) => ty,
            None if words.is_empty() => {
                self.unexpected("a C type");
                CType::Error
            }
            None => base_type(&words, self.span_since(start)),
        };
        Specifiers { ty, attributes }
    }

    /// `struct tag`, `struct { … }` or `struct tag { … }`
    fn c_record(&mut self, kind: CRecordKind, c: &mut CDefs) -> CType {
        let start = self.bump().span;
        let mut attributes = self.attributes();
        let name = self.c_tag();
        if !self.at_mark(Mark::LeftBrace) {
            return match name {
                Some(name) => CType::Record(kind, name),
                None => {
                    self.unexpected("a name or `{`");
                    CType::Error
                }
            };
        }
        let fields = self.nested(|parser| parser.fields(c)).unwrap_or_else(|| {
            self.skip_item();
            Vec::new()
        });
        merge(&mut attributes, self.attributes());
        let record = CRecord {
            kind,
            name: name.clone(),
            fields,
            attributes,
            span: self.span_since(start),
        };
        match name {
            Some(name) => {
                c.records.push(record);
                CType::Record(kind, name)
            }
            None => CType::Inline(Box::new(record)),
        }
    }

    fn c_tag(&mut self) -> Option<Name> {
        if self.kind() != TokenKind::Ident {
            return None;
        }
        let token = self.bump();
        Some(self.name_of(token))
    }

    fn fields(&mut self, c: &mut CDefs) -> Vec<CField> {
        let open = self.bump().span;
        let mut fields = Vec::new();
        loop {
            self.directives(c);
            match self.kind() {
                TokenKind::End | TokenKind::Mark(Mark::RightBrace) => break,
                TokenKind::Mark(Mark::Semicolon) => {
                    self.bump();
                }
                _ => self.field_line(c, &mut fields),
            }
        }
        self.close_c_brace(open);
        fields
    }

    fn close_c_brace(&mut self, open: Span) {
        if !self.eat(Mark::RightBrace) {
            let span = self.token().span;
            self.report_here(
                Diagnostic::error("open-block", span, "a `}` is missing before this")
                    .also(open, "for this `{`"),
            );
        }
    }

    /// `type a, *b[4], c : 3;`
    fn field_line(&mut self, c: &mut CDefs, fields: &mut Vec<CField>) {
        let before = self.at;
        let start = self.token().span;
        let mut specifiers = self.specifiers(c);
        loop {
            let declared = self.declarator(&mut specifiers.ty);
            let bit_width = if self.eat(Mark::Colon) {
                Some(self.expression())
            } else {
                None
            };
            let mut attributes = specifiers.attributes.clone();
            merge(&mut attributes, self.attributes());
            let anonymous = matches!(declared.ty, CType::Inline(_));
            let hoisted = matches!(
                declared.ty,
                CType::Record(..) | CType::Enum(_) | CType::InlineEnum
            );
            if declared.name.is_some() || anonymous || bit_width.is_some() {
                let span = self.span_since(start);
                fields.push(CField {
                    name: declared.name,
                    ty: declared.ty,
                    bit_width,
                    attributes,
                    span,
                });
            } else if !hoisted {
                self.unexpected("the name of a field");
            }
            if !self.eat(Mark::Comma) {
                break;
            }
        }
        if !self.eat(Mark::Semicolon) {
            if self.token().first_on_line && self.at > before {
                self.missing_semicolon(self.previous_span());
            } else {
                self.unexpected("`;` behind the field");
                self.skip_statement();
            }
            if self.at == before {
                self.bump();
            }
        }
    }

    /// `enum tag`, `enum { … }` or `enum tag { … }`
    fn enumeration(&mut self, c: &mut CDefs) -> CType {
        let start = self.bump().span;
        let mut attributes = self.attributes();
        let name = self.c_tag();
        if self.at_mark(Mark::LeftBrace) {
            let constants = self.enum_constants(c);
            merge(&mut attributes, self.attributes());
            c.enums.push(CEnum {
                name: name.clone(),
                constants,
                attributes,
                span: self.span_since(start),
            });
        } else if name.is_none() {
            self.unexpected("a name or `{`");
            return CType::Error;
        }
        name.map_or(CType::InlineEnum, CType::Enum)
    }

    fn enum_constants(&mut self, c: &mut CDefs) -> Vec<CEnumConstant> {
        let open = self.bump().span;
        let mut constants = Vec::new();
        loop {
            self.directives(c);
            if self.kind() != TokenKind::Ident {
                break;
            }
            let token = self.bump();
            let name = self.name_of(token);
            self.attributes();
            let value: Option<Expr> = if self.eat(Mark::Assign) {
                Some(self.expression())
            } else {
                None
            };
            constants.push(CEnumConstant { name, value });
            if !self.eat(Mark::Comma) {
                break;
            }
        }
        self.directives(c);
        if !self.at_mark(Mark::RightBrace) {
            self.unexpected("`,` or `}` in the enum");
            while !matches!(
                self.kind(),
                TokenKind::End | TokenKind::Mark(Mark::RightBrace | Mark::Semicolon)
            ) {
                self.bump();
            }
        }
        self.close_c_brace(open);
        constants
    }
}

/// Adds what `more` says to `attributes`.
pub(super) fn merge(attributes: &mut CAttributes, more: CAttributes) {
    attributes.packed |= more.packed;
    attributes.aligned_max |= more.aligned_max;
    if more.aligned.is_some() {
        attributes.aligned = more.aligned;
    }
}

/// One spelling for each base type, whatever the order of its words.
fn base_type(words: &[String], span: Span) -> CType {
    let count = |word: &str| words.iter().filter(|&w| w == word).count();
    let unsigned = count("unsigned") > 0;
    let text = if count("void") > 0 {
        return CType::Void;
    } else if let Some(word) = ["float", "_Bool"].into_iter().find(|word| count(word) > 0) {
        word.to_owned()
    } else if count("double") > 0 {
        (if count("long") > 0 {
            "long double"
        } else {
            "double"
        })
        .to_owned()
    } else if count("char") > 0 {
        (if unsigned {
            "unsigned char"
        } else if count("signed") > 0 {
            "signed char"
        } else {
            "char"
        })
        .to_owned()
    } else {
        let width = match (count("short"), count("long"), count("__int128")) {
            (_, _, 1..) => "__int128",
            (1.., _, _) => "short",
            (_, 0, _) => "int",
            (_, 1, _) => "long",
            _ => "long long",
        };
        if unsigned {
            format!("unsigned {width}")
        } else {
            width.to_owned()
        }
    };
    CType::Named(Name { text, span })
}
