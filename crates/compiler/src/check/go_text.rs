//! Strings of Go: a pointer and a length in the program, a text in scripts. `.str` and `.len` give the parts.

use fathom_syntax::ast::{Field, Name};

use super::Checker;
use crate::builtins;
use crate::hir::{Expr, ExprKind};
use crate::ir::BinaryOp;
use crate::ty::Type;

/// Bytes of a string: a pointer and a length.
const STRING_BYTES: u32 = 16;

impl Checker<'_, '_> {
    /// A string of Go as a text; other values as they are.
    pub(super) fn go_text(&mut self, value: Expr) -> Expr {
        if !self.is_go_string(&value.ty) {
            return value;
        }
        let at = value.span;
        let place = fathom_syntax::Span::new(Default::default(), at.start, at.end);
        let part = |checker: &mut Self, text: &str| {
            let name = Name {
                text: text.to_owned(),
                span: place,
            };
            checker.member_value(value.clone(), &name, place)
        };
        let (start, length) = (part(self, "str"), part(self, "len"));
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

    /// The string behind a text that [`Checker::go_text`] made, for `.str` and `.len`.
    pub(super) fn go_string_behind(&self, text: &Expr, field: &Field) -> Option<Expr> {
        let Field::Named(name) = field else {
            return None;
        };
        if !matches!(name.text.as_str(), "str" | "len") {
            return None;
        }
        let ExprKind::Builtin { args, .. } = &text.kind else {
            return None;
        };
        let ExprKind::Member { base, .. } = &args.first()?.kind else {
            return None;
        };
        (matches!(text.ty, Type::String { .. }) && self.is_go_string(&base.ty))
            .then(|| (**base).clone())
    }

    /// The length for `str`: that of a Go string does not count the NUL that texts end with, as there is none.
    pub(crate) fn length_of_text(&self, length: Expr) -> Expr {
        let ExprKind::Member { base, .. } = &length.kind else {
            return length;
        };
        if self.is_go_string(&base.ty) {
            with_end(length)
        } else {
            length
        }
    }

    /// Each type that is made of `string` has a name of its own; all look alike.
    fn is_go_string(&self, ty: &Type) -> bool {
        let Type::Struct(definition) = ty else {
            return false;
        };
        if !self.group.context.is_go || self.types.size_of(ty) != STRING_BYTES {
            return false;
        }
        let start = self.types.member(*definition, "str");
        let length = self.types.member(*definition, "len");
        let is_text = |ty: &Type| matches!(ty, Type::Pointer { to, .. } if **to == Type::U8);
        start.is_some_and(|(offset, _, ty)| offset == 0 && is_text(&ty))
            && length.is_some_and(|(_, _, ty)| ty == Type::I64)
    }
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
