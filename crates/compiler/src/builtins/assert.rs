//! Checks: `assert` at run time; `static_assert`, `fail`, `is_…` and `kfunc_…` while compiling.

use fathom_bpf::object::{ActionKind, FormatSink};
use fathom_machine::btf::Kind;
use fathom_syntax::diagnostic::Diagnostic;

use super::{Builtin, Use, nothing};
use crate::check::{Call, Checker};
use crate::hir::{Data, Expr, ExprKind};
use crate::ir::Compare;
use crate::lower::{Lowerer, Place, Rvalue};
use crate::ty::Type;

/// The last errors that a pointer can carry (`MAX_ERRNO`).
const FIRST_ERROR: i32 = -4095;

pub const TABLE: &[Builtin] = &[
    Builtin {
        name: "assert",
        check: check_assert,
        lower: lower_assert,
    },
    Builtin {
        name: "is_err",
        check: check_is_err,
        lower: |l, u, _| {
            let value = l.scalar(&u.args[0]);
            Rvalue::Scalar(l.b.compare(Compare::Ge, value, FIRST_ERROR))
        },
    },
    Builtin {
        name: "kfunc_exist",
        check: check_kernel_function,
        lower: nothing,
    },
    Builtin {
        name: "kfunc_allowed",
        check: check_kernel_function,
        lower: nothing,
    },
    Builtin {
        name: "static_assert",
        check: check_static_assert,
        lower: nothing,
    },
    Builtin {
        name: "fail",
        check: check_fail,
        lower: nothing,
    },
    Builtin {
        name: "is_literal",
        check: |c, call| told(c, call, |e| e.as_int().is_some() || e.as_text().is_some()),
        lower: nothing,
    },
    Builtin {
        name: "is_str",
        check: |c, call| told(c, call, |e| matches!(e.ty, Type::String { .. })),
        lower: nothing,
    },
    Builtin {
        name: "is_ptr",
        check: |c, call| told(c, call, |e| matches!(e.ty, Type::Pointer { .. })),
        lower: nothing,
    },
    Builtin {
        name: "is_array",
        check: |c, call| told(c, call, |e| matches!(e.ty, Type::Array { .. })),
        lower: nothing,
    },
    Builtin {
        name: "is_integer",
        check: |c, call| told(c, call, |e| e.ty.is_int()),
        lower: nothing,
    },
    Builtin {
        name: "is_unsigned_integer",
        check: |c, call| told(c, call, |e| matches!(e.ty, Type::Int { signed: false, .. })),
        lower: nothing,
    },
];

/// `assert(condition, message)`: says so and ends the session with code 1 when the condition does not hold.
fn check_assert(checker: &mut Checker<'_, '_>, call: &Call<'_>) -> Expr {
    if !checker.require_args(call, 2..=2) {
        return Expr::error(call.at());
    }
    let condition = checker.condition(&call.args[0]);
    let Some(message) = checker.constant_text(&call.args[1], "the message") else {
        return Expr::error(call.at());
    };
    call.expr_with(Type::None, vec![condition], Data::Text(message.into()))
}

fn lower_assert(lowerer: &mut Lowerer<'_, '_>, used: &Use<'_>, _to: Option<Place>) -> Rvalue {
    let Data::Text(message) = used.data else {
        return Rvalue::Nothing;
    };
    let (failed, done) = (lowerer.b.block(), lowerer.b.block());
    lowerer.branch_on(&used.args[0], done, failed);
    lowerer.b.enter(failed);
    // The message is no format.
    let format = format!("assert failed: {}", message.replace('%', "%%"));
    lowerer.send(&[], |args| ActionKind::Format {
        sink: FormatSink::Error,
        format,
        args,
    });
    let code = Expr::int(1, Type::I64, used.span);
    lowerer.send(&[code], |mut fields| ActionKind::Exit {
        code: fields.pop(),
    });
    lowerer.leave();
    lowerer.b.jump(done);
    lowerer.b.enter(done);
    Rvalue::Nothing
}

/// `is_err(pointer)`: whether a kernel function's result is an error number instead of a pointer.
fn check_is_err(checker: &mut Checker<'_, '_>, call: &Call<'_>) -> Expr {
    if !checker.require_args(call, 1..=1) {
        return Expr::error(call.at());
    }
    let value = checker.expr(&call.args[0]);
    if !matches!(
        value.ty,
        Type::Pointer { .. } | Type::Int { .. } | Type::Unknown | Type::Error
    ) {
        let shown = checker.show(&value.ty);
        return checker.fail(Diagnostic::error(
            "not-a-pointer",
            call.args[0].span,
            format!("a pointer is wanted here, not {shown}"),
        ));
    }
    call.expr(Type::Bool, vec![value])
}

/// Whether the kernel has a function of that name.
fn check_kernel_function(checker: &mut Checker<'_, '_>, call: &Call<'_>) -> Expr {
    if !checker.require_args(call, 1..=1) {
        return Expr::error(call.at());
    }
    let Some(name) = checker.constant_text(&call.args[0], "the function's name") else {
        return Expr::error(call.at());
    };
    let exists = checker
        .machine
        .btf()
        .is_ok_and(|btf| btf.find(Kind::Func, &name).is_some());
    Expr {
        kind: ExprKind::Bool(exists),
        ty: Type::Bool,
        span: call.at(),
    }
}

fn check_static_assert(checker: &mut Checker<'_, '_>, call: &Call<'_>) -> Expr {
    if !checker.require_args(call, 1..=2) {
        return Expr::error(call.at());
    }
    let holds = checker.constant_int(&call.args[0], "the condition");
    let message = call
        .args
        .get(1)
        .and_then(|message| checker.constant_text(message, "the message"));
    if holds == Some(0) {
        let message = message.unwrap_or_else(|| "this does not hold".to_owned());
        checker.report(Diagnostic::error("static-assert", call.span, message));
    }
    empty(call)
}

fn check_fail(checker: &mut Checker<'_, '_>, call: &Call<'_>) -> Expr {
    if !checker.require_args(call, 1..=usize::MAX) {
        return Expr::error(call.at());
    }
    let message = checker
        .constant_text(&call.args[0], "the message")
        .unwrap_or_default();
    checker.fail(Diagnostic::error("fail", call.span, message))
}

fn empty(call: &Call<'_>) -> Expr {
    call.expr_with(Type::None, Vec::new(), Data::None)
}

/// A question about an expression's type, answered while compiling.
fn told(checker: &mut Checker<'_, '_>, call: &Call<'_>, holds: fn(&Expr) -> bool) -> Expr {
    if !checker.require_args(call, 1..=1) {
        return Expr::error(call.at());
    }
    let value = checker.expr(&call.args[0]);
    Expr {
        kind: ExprKind::Bool(holds(&value)),
        ty: Type::Bool,
        span: call.at(),
    }
}
