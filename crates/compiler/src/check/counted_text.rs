//! Strings that a program keeps as a pointer and a length: Go's, Rust's and C++'s. In scripts they are texts; the members give
//! the parts.

use fathom_syntax::ast::{Field, Name};

use super::Checker;
use crate::builtins;
use crate::hir::{Expr, ExprKind};
use crate::ir::BinaryOp;
use crate::ty::{StructRef, Type};

/// Members on the way to a string's start, and to its length.
struct Parts {
    start: &'static [&'static str],
    length: &'static [&'static str],
    /// What the type's name ends with, where the members alone do not tell.
    name: &'static str,
    is_go: bool,
}

const KINDS: [Parts; 6] = [
    // Each type that is made of Go's `string` has a name of its own.
    Parts {
        start: &["str"],
        length: &["len"],
        name: "",
        is_go: true,
    },
    Parts {
        start: &["data_ptr"],
        length: &["length"],
        name: "str",
        is_go: false,
    },
    Parts {
        start: &["vec", "buf", "inner", "ptr", "pointer", "pointer"],
        length: &["vec", "len"],
        name: "String",
        is_go: false,
    },
    // Rust before 1.82.
    Parts {
        start: &["vec", "buf", "ptr", "pointer", "pointer"],
        length: &["vec", "len"],
        name: "String",
        is_go: false,
    },
    Parts {
        start: &["_M_dataplus", "_M_p"],
        length: &["_M_string_length"],
        name: "",
        is_go: false,
    },
    Parts {
        start: &["_M_str"],
        length: &["_M_len"],
        name: "",
        is_go: false,
    },
];

impl Checker<'_, '_> {
    /// A string of the program as a text; other values as they are.
    pub(super) fn counted_text(&mut self, value: Expr) -> Expr {
        let Some(parts) = self.text_parts(&value.ty) else {
            return value;
        };
        let at = value.span;
        let (start, length) = (
            self.part(&value, parts.start),
            self.part(&value, parts.length),
        );
        let Some(builtin) = builtins::find("str") else {
            return value;
        };
        let size = self.max_string();
        Expr {
            kind: ExprKind::Builtin {
                builtin,
                args: vec![start, with_end(length)],
                data: Default::default(),
            },
            ty: Type::String { size },
            span: at,
        }
    }

    fn part(&mut self, value: &Expr, path: &[&str]) -> Expr {
        let at = value.span;
        let place = fathom_syntax::Span::new(Default::default(), at.start, at.end);
        path.iter().fold(value.clone(), |value, text| {
            let name = Name {
                text: (*text).to_owned(),
                span: place,
            };
            self.member_value(value, &name, place)
        })
    }

    /// The string behind a text that [`Checker::counted_text`] made, for a member of it.
    pub(super) fn string_behind(&self, text: &Expr, field: &Field) -> Option<Expr> {
        let (Field::Named(_), Type::String { .. }) = (field, &text.ty) else {
            return None;
        };
        let ExprKind::Builtin { args, .. } = &text.kind else {
            return None;
        };
        let mut inner = args.first()?;
        while let ExprKind::Member { base, .. } = &inner.kind {
            if self.text_parts(&base.ty).is_some() {
                return Some((**base).clone());
            }
            inner = base;
        }
        None
    }

    /// The length for `str`: that of a counted string does not count the NUL that texts end with, as there is none.
    pub(crate) fn length_of_text(&self, length: Expr) -> Expr {
        let mut inner = &length;
        while let ExprKind::Member { base, .. } = &inner.kind {
            if self.text_parts(&base.ty).is_some() {
                return with_end(length);
            }
            inner = base;
        }
        length
    }

    fn text_parts(&self, ty: &Type) -> Option<&'static Parts> {
        let Type::Struct(definition) = ty else {
            return None;
        };
        let context = &self.group.context;
        if !context.is_user {
            return None;
        }
        KINDS.iter().find(|parts| {
            parts.is_go == context.is_go
                && self.types.name(*definition).ends_with(parts.name)
                && self
                    .type_at(*definition, parts.start)
                    .is_some_and(|ty| is_pointer_to_byte(&ty))
                && self
                    .type_at(*definition, parts.length)
                    .is_some_and(|ty| matches!(ty, Type::Int { size: 8, .. }))
        })
    }

    /// The type of a member of a member.
    fn type_at(&self, of: StructRef, path: &[&str]) -> Option<Type> {
        let (first, rest) = path.split_first()?;
        let (_, _, ty) = self.types.member(of, first)?;
        match (rest, ty) {
            ([], ty) => Some(ty),
            (rest, Type::Struct(inner)) => self.type_at(inner, rest),
            _ => None,
        }
    }
}

fn is_pointer_to_byte(ty: &Type) -> bool {
    matches!(ty, Type::Pointer { to, .. } if matches!(**to, Type::Int { size: 1, .. }))
}

/// One more, for the NUL.
fn with_end(length: Expr) -> Expr {
    let (ty, span) = (length.ty.clone(), length.span);
    Expr {
        kind: ExprKind::Arithmetic {
            op: BinaryOp::Add,
            is_signed: true,
            left: Box::new(length),
            right: Box::new(Expr::int(1, ty.clone(), span)),
        },
        ty,
        span,
    }
}
