//! Pointers and what is done to traced code: `container_of`, `write_user`, `override`.

use fathom_bpf::helper::Helper;
use fathom_syntax::ast::{self, ExprKind as Ast};
use fathom_syntax::diagnostic::Diagnostic;

use super::{Builtin, Use, nothing};
use crate::check::{Call, Checker};
use crate::hir::{Data, Expr, ExprKind};
use crate::ir;
use crate::lower::{Lowerer, Place, Rvalue};
use crate::ty::{Space, Type};

/// Bytes that `write_user` writes at most.
const MAX_WRITE: i64 = 1024;

pub const TABLE: &[Builtin] = &[
    Builtin {
        name: "container_of",
        check: check_container_of,
        lower: nothing,
    },
    Builtin {
        name: "write_user",
        check: check_write_user,
        lower: lower_write_user,
    },
    Builtin {
        name: "override",
        check: check_override,
        lower: |l, u, _| {
            let (context, result) = (l.context(), l.scalar(&u.args[0]));
            l.b.call(Helper::OVERRIDE_RETURN, &[context, result]);
            Rvalue::Nothing
        },
    },
];

/// `container_of(pointer, typeof(T), member)`: from a pointer to the member to one to the whole.
fn check_container_of(checker: &mut Checker<'_, '_>, call: &Call<'_>) -> Expr {
    if !checker.require_args(call, 3..=3) {
        return Expr::error(call.at());
    }
    let pointer = checker.expr(&call.args[0]);
    let Ast::Type(written) = &call.args[1].kind else {
        return checker.fail(
            Diagnostic::error("not-a-type", call.args[1].span, "a type is wanted here")
                .help("write `container_of(pointer, typeof(struct sock), __sk_common)`"),
        );
    };
    let whole = checker.type_expr(written);
    let Some(offset) = member_offset(checker, &whole, &call.args[2]) else {
        return Expr::error(call.at());
    };
    let space = match &pointer.ty {
        Type::Pointer { space, .. } => *space,
        _ => Space::Unknown,
    };
    let start = Expr {
        kind: ExprKind::Arithmetic {
            op: ir::BinaryOp::Sub,
            is_signed: false,
            left: Box::new(pointer),
            right: Box::new(Expr::int(i64::from(offset), Type::U64, call.at())),
        },
        ty: Type::U64,
        span: call.at(),
    };
    Expr {
        kind: ExprKind::Cast(Box::new(start)),
        ty: Type::pointer(whole, space),
        span: call.at(),
    }
}

/// Offset of `a.b.c` in a type.
fn member_offset(checker: &mut Checker<'_, '_>, whole: &Type, path: &ast::Expr) -> Option<u32> {
    let (outer, name) = match &path.kind {
        Ast::Ident(text) => {
            let name = ast::Name {
                text: text.clone(),
                span: path.span,
            };
            ((0, whole.clone()), name)
        }
        Ast::Member {
            base,
            field: ast::Field::Named(name),
            ..
        } => (checker.member_at(whole, base)?, name.clone()),
        _ => {
            checker.report(Diagnostic::error(
                "not-a-member",
                path.span,
                "the name of a member is wanted here",
            ));
            return None;
        }
    };
    let (start, ty) = outer;
    let (offset, _) = checker.member_named(&ty, &name)?;
    Some(start + offset)
}

impl Checker<'_, '_> {
    /// Offset and type of the member that a path names.
    fn member_at(&mut self, whole: &Type, path: &ast::Expr) -> Option<(u32, Type)> {
        match &path.kind {
            Ast::Ident(text) => {
                let name = ast::Name {
                    text: text.clone(),
                    span: path.span,
                };
                self.member_named(whole, &name)
            }
            Ast::Member {
                base,
                field: ast::Field::Named(name),
                ..
            } => {
                let (start, ty) = self.member_at(whole, base)?;
                let (offset, ty) = self.member_named(&ty, name)?;
                Some((start + offset, ty))
            }
            _ => None,
        }
    }

    fn member_named(&mut self, ty: &Type, name: &ast::Name) -> Option<(u32, Type)> {
        let Type::Struct(definition) = ty else {
            let shown = self.show(ty);
            let message = format!("{shown} has no fields");
            self.report(Diagnostic::error("no-fields", name.span, message));
            return None;
        };
        match self.types.member(*definition, &name.text) {
            Some((offset, _, ty)) => Some((offset, ty)),
            None => {
                self.unknown_member(*definition, name);
                None
            }
        }
    }
}

/// `write_user(to, from, length)`: whether the traced process's memory could be written.
fn check_write_user(checker: &mut Checker<'_, '_>, call: &Call<'_>) -> Expr {
    if !checker.require_args(call, 3..=3) {
        return Expr::error(call.at());
    }
    checker.require_unsafe(call.builtin.name, call.name_span);
    let (to, from) = (checker.expr(&call.args[0]), checker.expr(&call.args[1]));
    let length = checker.constant_int(&call.args[2], "the number of bytes");
    let Some(length) = length else {
        return Expr::error(call.at());
    };
    if !(1..=MAX_WRITE).contains(&length) {
        return checker.fail(Diagnostic::error(
            "write-length",
            call.args[2].span,
            format!("1 to {MAX_WRITE} bytes can be written"),
        ));
    }
    call.expr_with(Type::Bool, vec![to, from], Data::Int(length))
}

/// The bytes are copied to the program's own memory first: the kernel writes from nowhere else.
fn lower_write_user(lowerer: &mut Lowerer<'_, '_>, used: &Use<'_>, _to: Option<Place>) -> Rvalue {
    let Data::Int(length) = *used.data else {
        return Rvalue::Nothing;
    };
    let to = lowerer.scalar(&used.args[0]);
    let (address, space) = match (&used.args[1].ty, lowerer.rvalue(&used.args[1])) {
        (_, Rvalue::Remote { address, space }) => (address, space),
        (_, Rvalue::Bytes(place)) => (lowerer.address(place), Space::Kernel),
        (_, Rvalue::Literal(_)) => {
            let place = lowerer.bytes(&used.args[1]);
            (lowerer.address(place), Space::Kernel)
        }
        (
            Type::Pointer {
                space: Space::Own, ..
            },
            value,
        ) => (lowerer.word(value, &used.args[1].ty), Space::Kernel),
        (Type::Pointer { space, .. }, value) => (lowerer.word(value, &used.args[1].ty), *space),
        (ty, value) => (lowerer.word(value, ty), Space::Unknown),
    };
    let copy = lowerer.temporary(length as u32, "bytes to write");
    lowerer.read_remote(copy, length as u32, address, space);
    let (from, length) = (lowerer.address(copy), lowerer.b.constant(length));
    let result = lowerer
        .b
        .call(Helper::PROBE_WRITE_USER, &[to, from, length]);
    Rvalue::Scalar(lowerer.b.compare(ir::Compare::Eq, result, 0))
}

/// `override(result)`: the traced function does not run, its caller gets the result.
fn check_override(checker: &mut Checker<'_, '_>, call: &Call<'_>) -> Expr {
    if !checker.require_args(call, 1..=1) {
        return Expr::error(call.at());
    }
    checker.require_unsafe(call.builtin.name, call.name_span);
    let result = checker.integer(&call.args[0]);
    let provider = checker.group.context.provider;
    if provider != "kprobe" {
        return checker.fail(
            Diagnostic::error(
                "probe-kind",
                call.span,
                format!("a {provider} probe cannot override a result"),
            )
            .help("use a kprobe on a function that allows error injection"),
        );
    }
    call.expr(Type::None, vec![result])
}
