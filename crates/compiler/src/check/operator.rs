//! Operators and their result types.

use fathom_syntax::ast::{self, BinaryOp, ExprKind as Ast, StepOp, StepPosition, UnaryOp};
use fathom_syntax::diagnostic::Diagnostic;
use fathom_syntax::span::Span;

use super::evaluate::{evaluate, evaluate_compare, ir_op};
use super::{Checker, span};
use crate::hir::{Expr, ExprKind};
use crate::ir;
use crate::ty::{Space, Type};

impl Checker<'_, '_> {
    pub(super) fn unary(&mut self, op: UnaryOp, operand: &ast::Expr, expr: &ast::Expr) -> Expr {
        let at = span(expr.span);
        match op {
            UnaryOp::Not => {
                let operand = self.condition(operand);
                if let Some(value) = operand.as_int() {
                    return Expr {
                        kind: ExprKind::Bool(value == 0),
                        ty: Type::Bool,
                        span: at,
                    };
                }
                Expr {
                    kind: ExprKind::Not(Box::new(operand)),
                    ty: Type::Bool,
                    span: at,
                }
            }
            UnaryOp::Negate => {
                let operand = self.integer(operand);
                if let Some(value) = operand.as_int() {
                    return Expr::int(value.wrapping_neg(), Type::I64, at);
                }
                let ty = match operand.ty {
                    Type::U64 => Type::U64,
                    _ => Type::I64,
                };
                Expr {
                    kind: ExprKind::Negate(Box::new(operand)),
                    ty,
                    span: at,
                }
            }
            UnaryOp::Complement => {
                let operand = self.integer(operand);
                let ty = promoted(&operand.ty);
                if let Some(value) = operand.as_int() {
                    // As bpftrace has it: `~0` is the largest number.
                    let ty = if !value < 0 { Type::U64 } else { ty };
                    return Expr::int(!value, ty, at);
                }
                Expr {
                    kind: ExprKind::Complement(Box::new(operand)),
                    ty,
                    span: at,
                }
            }
            UnaryOp::Dereference => self.dereference(operand, expr),
            UnaryOp::AddressOf => self.address_of(operand, expr),
        }
    }

    fn dereference(&mut self, operand: &ast::Expr, expr: &ast::Expr) -> Expr {
        let pointer = self.expr(operand);
        let at = span(expr.span);
        let ty = match &pointer.ty {
            Type::Unknown | Type::Error => {
                return Expr {
                    ty: pointer.ty.clone(),
                    ..Expr::error(at)
                };
            }
            Type::Pointer { to, .. } if !matches!(**to, Type::Opaque(_)) => (**to).clone(),
            other => {
                let shown = self.show(other);
                return self.fail(
                    Diagnostic::error(
                        "not-a-pointer",
                        operand.span,
                        format!("{shown} cannot be dereferenced"),
                    )
                    .label(shown)
                    .help("cast it first, for example `*(uint64 *)arg0`"),
                );
            }
        };
        Expr {
            kind: ExprKind::Dereference(Box::new(pointer)),
            ty,
            span: at,
        }
    }

    fn address_of(&mut self, operand: &ast::Expr, expr: &ast::Expr) -> Expr {
        let at = span(expr.span);
        let place = self.expr(operand);
        let space = match &place.kind {
            ExprKind::Variable(variable) => {
                self.variables[variable.0 as usize].is_captured = true;
                Space::Own
            }
            ExprKind::Map { .. } => Space::Own,
            ExprKind::Dereference(_) | ExprKind::Member { .. } | ExprKind::Index { .. } => {
                super::member::pointer_space(&place).unwrap_or(Space::Unknown)
            }
            ExprKind::Error => {
                return Expr {
                    ty: place.ty.clone(),
                    ..Expr::error(at)
                };
            }
            _ => {
                return self.fail(Diagnostic::error(
                    "no-address",
                    operand.span,
                    "this value has no address",
                ));
            }
        };
        let ty = Type::pointer(place.ty.clone(), space);
        Expr {
            kind: ExprKind::AddressOf(Box::new(place)),
            ty,
            span: at,
        }
    }

    pub(super) fn step(
        &mut self,
        op: StepOp,
        position: StepPosition,
        target: &ast::Expr,
        expr: &ast::Expr,
    ) -> Expr {
        let at = span(expr.span);
        if let Ast::Map(_) | Ast::MapElement { .. } = &target.kind
            && let Some((map, _)) = self.map_place(target)
        {
            let known = self.map(map).value.clone();
            let ty = if known == Type::Unknown {
                Type::I64
            } else {
                known
            };
            self.learn_map_value(map, &ty);
        }
        if let Ast::Variable(name) = &target.kind
            && self.lookup(name).is_none()
        {
            let name = ast::Name {
                text: name.clone(),
                span: target.span,
            };
            self.declare(&name, Type::I64);
        }
        if let Ast::Variable(name) = &target.kind
            && let Some(variable) = self.lookup(name)
            && !self.typed_variables.contains(&variable)
        {
            // Counting goes beyond a narrow type.
            let known = self.variables[variable.0 as usize].ty.clone();
            if known.is_int() {
                self.learn_variable(variable, &promoted(&known));
            }
        }
        let place = self.expr(target);
        let scale = match &place.ty {
            Type::Unknown | Type::Error => {
                return Expr {
                    ty: place.ty.clone(),
                    ..Expr::error(at)
                };
            }
            Type::Int { .. } => 1,
            Type::Pointer { to, .. } => i64::from(self.types.size_of(to).max(1)),
            other => {
                let shown = self.show(other);
                return self.fail(Diagnostic::error(
                    "bad-operand",
                    target.span,
                    format!("`{}` wants an integer, not {shown}", op.symbol()),
                ));
            }
        };
        let delta = if op == StepOp::Increment {
            scale
        } else {
            -scale
        };
        let ty = place.ty.clone();
        let is_prefix = position == StepPosition::Prefix;
        Expr {
            kind: ExprKind::Step {
                target: Box::new(place),
                delta,
                is_prefix,
            },
            ty,
            span: at,
        }
    }

    /// `left op right`, both checked.
    pub(super) fn binary(&mut self, op: BinaryOp, left: Expr, right: Expr, at: Span) -> Expr {
        if matches!(left.ty, Type::Error | Type::Unknown)
            || matches!(right.ty, Type::Error | Type::Unknown)
        {
            let ty = if left.ty == Type::Error || right.ty == Type::Error {
                Type::Error
            } else {
                Type::Unknown
            };
            return Expr {
                ty,
                ..Expr::error(span(at))
            };
        }
        match op {
            BinaryOp::And => Expr {
                kind: ExprKind::And(Box::new(left), Box::new(right)),
                ty: Type::Bool,
                span: span(at),
            },
            BinaryOp::Or => Expr {
                kind: ExprKind::Or(Box::new(left), Box::new(right)),
                ty: Type::Bool,
                span: span(at),
            },
            BinaryOp::Equal | BinaryOp::NotEqual => self.equality(op, left, right, at),
            BinaryOp::Less | BinaryOp::LessEqual | BinaryOp::Greater | BinaryOp::GreaterEqual => {
                self.ordering(op, left, right, at)
            }
            _ => self.arithmetic(op, left, right, at),
        }
    }

    fn equality(&mut self, op: BinaryOp, left: Expr, right: Expr, at: Span) -> Expr {
        let negated = op == BinaryOp::NotEqual;
        if is_scalar(&left.ty) && is_scalar(&right.ty) {
            let compare = if negated {
                ir::Compare::Ne
            } else {
                ir::Compare::Eq
            };
            return self.compared(compare, left, right, at);
        }
        let comparable = match (&left.ty, &right.ty) {
            (Type::String { .. }, Type::String { .. })
            | (Type::Buffer { .. }, Type::Buffer { .. }) => true,
            (Type::Tuple(_), Type::Tuple(_)) | (Type::Record(_), Type::Record(_)) => {
                super::join(&left.ty, &right.ty).is_some()
            }
            (Type::Array { element: a, len: m }, Type::Array { element: b, len: n }) => {
                m == n && a == b
            }
            (Type::Probe, Type::String { .. }) | (Type::String { .. }, Type::Probe) => true,
            (a, b) => a == b && matches!(a, Type::Inet | Type::Mac | Type::Struct(_)),
        };
        if !comparable {
            return self.bad_operands(op, &left, &right, at);
        }
        let kind = ExprKind::SameBytes {
            negated,
            left: Box::new(left),
            right: Box::new(right),
        };
        Expr {
            kind,
            ty: Type::Bool,
            span: span(at),
        }
    }

    fn ordering(&mut self, op: BinaryOp, left: Expr, right: Expr, at: Span) -> Expr {
        if !is_scalar(&left.ty) || !is_scalar(&right.ty) {
            return self.bad_operands(op, &left, &right, at);
        }
        let signed = is_signed_pair(&left, &right);
        let compare = match (op, signed) {
            (BinaryOp::Less, true) => ir::Compare::Slt,
            (BinaryOp::LessEqual, true) => ir::Compare::Sle,
            (BinaryOp::Greater, true) => ir::Compare::Sgt,
            (BinaryOp::GreaterEqual, true) => ir::Compare::Sge,
            (BinaryOp::Less, false) => ir::Compare::Lt,
            (BinaryOp::LessEqual, false) => ir::Compare::Le,
            (BinaryOp::Greater, false) => ir::Compare::Gt,
            _ => ir::Compare::Ge,
        };
        self.compared(compare, left, right, at)
    }

    fn compared(&mut self, op: ir::Compare, left: Expr, right: Expr, at: Span) -> Expr {
        if let (Some(a), Some(b)) = (left.as_int(), right.as_int()) {
            return Expr {
                kind: ExprKind::Bool(evaluate_compare(op, a, b)),
                ty: Type::Bool,
                span: span(at),
            };
        }
        let kind = ExprKind::Compare {
            op,
            left: Box::new(left),
            right: Box::new(right),
        };
        Expr {
            kind,
            ty: Type::Bool,
            span: span(at),
        }
    }

    fn arithmetic(&mut self, op: BinaryOp, left: Expr, right: Expr, at: Span) -> Expr {
        match (&left.ty, &right.ty) {
            (Type::Pointer { .. }, _) | (_, Type::Pointer { .. }) => {
                return self.pointer_arithmetic(op, left, right, at);
            }
            (a, b) if is_number(a) && is_number(b) => {}
            _ => return self.bad_operands(op, &left, &right, at),
        }
        let signed = is_signed_pair(&left, &right) || op == BinaryOp::Subtract;
        let shift = matches!(op, BinaryOp::ShiftLeft | BinaryOp::ShiftRight);
        let signed = if shift {
            is_signed(&left.ty) && left.as_int().is_none()
        } else {
            signed
        };
        let ty = Type::Int { size: 8, signed };
        if let (Some(a), Some(b)) = (left.as_int(), right.as_int())
            && let Some(value) = evaluate(op, a, b, signed)
        {
            return Expr::int(value, ty, span(at));
        }
        if matches!(op, BinaryOp::Divide | BinaryOp::Remainder) && right.as_int() == Some(0) {
            return self.division_by_zero(&left, ty, at);
        }
        let kind = ExprKind::Arithmetic {
            op: ir_op(op, signed),
            is_signed: signed,
            left: Box::new(left),
            right: Box::new(right),
        };
        Expr {
            kind,
            ty,
            span: span(at),
        }
    }

    /// As in bpftrace, the result of dividing by zero is 1; between constants it is a mistake.
    fn division_by_zero(&mut self, left: &Expr, ty: Type, at: Span) -> Expr {
        let message = "this divides by zero";
        if left.as_int().is_some() {
            return self.fail(Diagnostic::error("division-by-zero", at, message));
        }
        let problem = Diagnostic::warning("division-by-zero", at, message);
        self.report(problem.label("1 is taken as the result"));
        Expr::int(1, ty, span(at))
    }

    fn pointer_arithmetic(&mut self, op: BinaryOp, left: Expr, right: Expr, at: Span) -> Expr {
        let (pointer_ty, scale) = match (&left.ty, &right.ty) {
            (Type::Pointer { .. }, Type::Pointer { .. }) => (Type::U64, 1),
            (Type::Pointer { to, .. }, _) => (left.ty.clone(), self.types.size_of(to).max(1)),
            (_, Type::Pointer { to, .. }) => (right.ty.clone(), self.types.size_of(to).max(1)),
            _ => unreachable!("check: pointer arithmetic without a pointer"),
        };
        let both = pointer_ty == Type::U64;
        let allowed = match op {
            BinaryOp::Add => !both,
            BinaryOp::Subtract => both || matches!(left.ty, Type::Pointer { .. }),
            _ => false,
        };
        if !allowed {
            return self.bad_operands(op, &left, &right, at);
        }
        let (left, right) = match (&left.ty, both) {
            (_, true) => (left, right),
            (Type::Pointer { .. }, _) => {
                let right = self.scaled(right, scale);
                (left, right)
            }
            _ => {
                let left = self.scaled(left, scale);
                (right, left)
            }
        };
        let kind = ExprKind::Arithmetic {
            op: ir_op(op, false),
            is_signed: false,
            left: Box::new(left),
            right: Box::new(right),
        };
        let ty = if both { Type::I64 } else { pointer_ty };
        Expr {
            kind,
            ty,
            span: span(at),
        }
    }

    fn bad_operands(&mut self, op: BinaryOp, left: &Expr, right: &Expr, at: Span) -> Expr {
        let (left, right) = (self.show(&left.ty), self.show(&right.ty));
        self.fail(
            Diagnostic::error(
                "bad-operands",
                at,
                format!("`{}` does not work on {left} and {right}", op.symbol()),
            )
            .label(format!("{left} {} {right}", op.symbol())),
        )
    }
}

/// One machine word that compares as a number.
pub(crate) fn is_scalar(ty: &Type) -> bool {
    matches!(
        ty,
        Type::Bool
            | Type::Int { .. }
            | Type::Enum(_)
            | Type::Pointer { .. }
            | Type::Username
            | Type::KernelSymbol
            | Type::ErrorName
            | Type::SignalName
            | Type::SyscallName
            | Type::Timestamp { .. }
            | Type::CgroupPath { .. }
            | Type::Stats { .. }
    )
}

fn is_number(ty: &Type) -> bool {
    matches!(
        ty,
        Type::Bool
            | Type::Int { .. }
            | Type::Enum(_)
            | Type::Username
            | Type::KernelSymbol
            | Type::Timestamp { .. }
    )
}

fn is_signed(ty: &Type) -> bool {
    match ty {
        Type::Int { signed, .. } => *signed,
        Type::Enum(definition) => definition.signed,
        _ => false,
    }
}

/// The type of a number in a register.
fn promoted(ty: &Type) -> Type {
    Type::Int {
        size: 8,
        signed: is_signed(ty),
    }
}

/// Whether the operation is a signed one: a constant that fits takes the other side's sign.
fn is_signed_pair(left: &Expr, right: &Expr) -> bool {
    let left_flexible = left.as_int().is_some_and(|value| value >= 0);
    let right_flexible = right.as_int().is_some_and(|value| value >= 0);
    match (left_flexible, right_flexible) {
        (true, false) => is_signed(&right.ty),
        (false, true) => is_signed(&left.ty),
        _ => is_signed(&left.ty) || is_signed(&right.ty),
    }
}
