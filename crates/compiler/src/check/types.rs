//! Types as written: casts, `let` types, `sizeof`, `offsetof`.

use fathom_syntax::ast::{self, ExprKind as Ast, TypeExpr, TypeOrExpr};
use fathom_syntax::diagnostic::Diagnostic;

use super::{Checker, span};
use crate::hir::{Expr, ExprKind};
use crate::ty::{Space, Type};

impl Checker<'_, '_> {
    /// The type that was written.
    #[expect(
        clippy::result_large_err,
        reason = "as in `types`: a diagnostic is rare"
    )]
    pub fn type_expr(&mut self, ty: &TypeExpr) -> Type {
        let types = self.types;
        match types.resolve(ty, &mut |of| Ok(self.type_of(of))) {
            Ok(Type::String { size: 0 }) => Type::String {
                size: self.max_string(),
            },
            Ok(Type::Buffer { size: 0 }) => Type::Buffer {
                size: self.max_string(),
            },
            Ok(found) => found,
            Err(problem) => {
                self.report(problem);
                Type::Error
            }
        }
    }

    /// The type of a type or an expression that is never run.
    pub(super) fn type_of(&mut self, of: &TypeOrExpr) -> Type {
        match of {
            TypeOrExpr::Type(ty) => self.type_expr(ty),
            TypeOrExpr::Expr(expr) => {
                if let Ast::Int(_) | Ast::Unary { .. } | Ast::Binary { .. } = &expr.kind {
                    return literal_type(self.expr(expr));
                }
                if let Ast::Ident(name) = &expr.kind
                    && crate::builtins::find(name).is_none()
                    && self.types.is_type_name(name)
                    && let Ok(ty) = self.types.resolve_name(name, expr.span)
                {
                    return ty;
                }
                self.expr(expr).ty
            }
        }
    }

    pub(super) fn sizeof(&mut self, of: &TypeOrExpr, expr: &ast::Expr) -> Expr {
        let ty = self.type_of(of);
        let at = span(expr.span);
        if matches!(ty, Type::Error | Type::Unknown) {
            return Expr {
                ty,
                ..Expr::error(at)
            };
        }
        Expr::int(i64::from(self.types.size_of(&ty)), Type::U64, at)
    }

    pub(super) fn offsetof(
        &mut self,
        of: &TypeOrExpr,
        path: &[ast::Name],
        expr: &ast::Expr,
    ) -> Expr {
        let mut ty = self.type_of(of);
        let mut offset = 0;
        for name in path {
            let Type::Struct(definition) = ty else {
                let shown = self.show(&ty);
                return self.fail(Diagnostic::error(
                    "no-fields",
                    name.span,
                    format!("{shown} has no fields"),
                ));
            };
            let Some((member_offset, _, member_ty)) = self.types.member(definition, &name.text)
            else {
                return self.unknown_member(definition, name);
            };
            offset += member_offset;
            ty = member_ty;
        }
        Expr::int(i64::from(offset), Type::U64, span(expr.span))
    }

    pub(super) fn cast(&mut self, ty: &TypeExpr, operand: &ast::Expr, expr: &ast::Expr) -> Expr {
        let wanted = self.type_expr(ty);
        let operand = self.expr(operand);
        let at = span(expr.span);
        if matches!(wanted, Type::Error) || matches!(operand.ty, Type::Error | Type::Unknown) {
            let ty = if wanted == Type::Error {
                Type::Error
            } else {
                wanted
            };
            return Expr {
                ty,
                ..Expr::error(at)
            };
        }
        let wanted = self.cast_target(wanted, &operand);
        if !self.is_castable(&wanted, &operand) {
            let (from, to) = (self.show(&operand.ty), self.show(&wanted));
            return self.fail(Diagnostic::error(
                "bad-cast",
                expr.span,
                format!("{from} cannot be cast to {to}"),
            ));
        }
        if let (Some(value), Type::Int { size, signed }) = (operand.as_int(), &wanted) {
            return Expr::int(truncate(value, *size, *signed), wanted.clone(), at);
        }
        Expr {
            kind: ExprKind::Cast(Box::new(operand)),
            ty: wanted,
            span: at,
        }
    }

    /// Fills in what a cast takes from its operand: the address space, the length of an array.
    fn cast_target(&mut self, wanted: Type, operand: &Expr) -> Type {
        match wanted {
            Type::Pointer {
                to,
                space: Space::Unknown,
            } => {
                let space = match &operand.ty {
                    Type::Pointer { space, .. } => *space,
                    _ => Space::Unknown,
                };
                Type::Pointer { to, space }
            }
            Type::Array { element, len: 0 } => {
                let whole = match operand.as_int() {
                    Some(number) => smallest_int(number),
                    None => self.types.size_of(&operand.ty),
                };
                let each = self.types.size_of(&element).max(1);
                Type::Array {
                    element,
                    len: whole / each,
                }
            }
            other => other,
        }
    }

    fn is_castable(&mut self, wanted: &Type, operand: &Expr) -> bool {
        let is_word = |ty: &Type| super::operator::is_scalar(ty) || matches!(ty, Type::UserSymbol);
        match (wanted, &operand.ty) {
            (a, b) if a == b => true,
            (a, b) if is_word(a) && is_word(b) => true,
            (Type::Int { .. }, aggregation) if aggregation.is_aggregation() => true,
            (Type::Int { size, .. }, Type::Array { .. })
            | (Type::Array { .. }, Type::Int { size, .. }) => {
                let array = if wanted.is_int() { &operand.ty } else { wanted };
                let is_literal = operand.as_int().is_some();
                let array_size = self.types.size_of(array);
                array_size == *size || is_literal && (1..=8).contains(&array_size)
            }
            (Type::String { .. }, Type::String { .. } | Type::Array { .. }) => true,
            (Type::Array { .. }, Type::String { .. } | Type::Array { .. }) => true,
            (Type::Buffer { .. }, Type::Buffer { .. }) => true,
            (Type::Tuple(a), Type::Tuple(b)) => a.len() == b.len(),
            (Type::Record(a), Type::Record(b)) => a.len() == b.len(),
            _ => false,
        }
    }
}

fn literal_type(expr: Expr) -> Type {
    match (expr.as_int(), &expr.ty) {
        (Some(number), Type::Int { signed: true, .. }) => Type::Int {
            size: smallest_int(number),
            signed: true,
        },
        _ => expr.ty,
    }
}

/// Bytes of the smallest signed integer that holds the number: the type of a literal in bpftrace.
pub(crate) fn smallest_int(number: i64) -> u32 {
    [1, 2, 4]
        .into_iter()
        .find(|size| super::assign::fits(number, *size, true))
        .unwrap_or(8)
}

/// The low bytes of a number, read as that type.
fn truncate(value: i64, size: u32, signed: bool) -> i64 {
    let shift = 64 - size * 8;
    if shift == 0 {
        return value;
    }
    if signed {
        (value << shift) >> shift
    } else {
        ((value << shift) as u64 >> shift) as i64
    }
}
