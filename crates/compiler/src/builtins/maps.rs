//! Whole maps: `clear`, `zero`, `delete`, `has_key`, `len`.

use fathom_bpf::helper::Helper;
use fathom_bpf::object::ActionKind;
use fathom_syntax::ast::{Expr as Ast, ExprKind as AstKind};
use fathom_syntax::diagnostic::Diagnostic;

use super::{Builtin, Use};
use crate::check::{Call, Checker};
use crate::hir::{Data, Expr, ExprKind, MapRef};
use crate::ir::Compare;
use crate::lower::assemble::MAX_STACK_FRAMES;
use crate::lower::{Lowerer, Place, Rvalue};
use crate::ty::Type;

pub const TABLE: &[Builtin] = &[
    Builtin {
        name: "clear",
        check: check_whole,
        lower: |l, u, _| send(l, u, |map| ActionKind::ClearMap { map }),
    },
    Builtin {
        name: "zero",
        check: check_whole,
        lower: |l, u, _| send(l, u, |map| ActionKind::ZeroMap { map }),
    },
    Builtin {
        name: "delete",
        check: check_delete,
        lower: lower_delete,
    },
    Builtin {
        name: "has_key",
        check: check_has_key,
        lower: lower_has_key,
    },
    Builtin {
        name: "find",
        check: check_find,
        lower: lower_find,
    },
    Builtin {
        name: "len",
        check: check_len,
        lower: lower_len,
    },
];

/// An argument that must be a map without key.
fn map_argument(checker: &mut Checker<'_, '_>, arg: &Ast) -> Option<MapRef> {
    match &arg.kind {
        AstKind::Map(name) => Some(checker.map_ref(name, arg.span)),
        _ => {
            checker.expr(arg);
            checker.report(Diagnostic::error(
                "not-a-map",
                arg.span,
                "a map is wanted here, without a key",
            ));
            None
        }
    }
}

fn check_whole(checker: &mut Checker<'_, '_>, call: &Call<'_>) -> Expr {
    if !checker.require_args(call, 1..=1) {
        return Expr::error(call.at());
    }
    match map_argument(checker, &call.args[0]) {
        Some(map) => call.expr_with(Type::None, Vec::new(), Data::Map(map)),
        None => Expr::error(call.at()),
    }
}

fn send(
    lowerer: &mut Lowerer<'_, '_>,
    used: &Use<'_>,
    kind: fn(fathom_bpf::MapId) -> ActionKind,
) -> Rvalue {
    if let Data::Map(map) = used.data {
        let map = lowerer.map_id(*map);
        lowerer.send_plain(kind(map));
    }
    Rvalue::Nothing
}

/// `delete(@m, key)`, `delete(@scalar)`, and the older `delete(@m[key])`.
fn check_delete(checker: &mut Checker<'_, '_>, call: &Call<'_>) -> Expr {
    if !checker.require_args(call, 1..=2) {
        return Expr::error(call.at());
    }
    if call.args.len() == 1 {
        return match checker.map_place(&call.args[0]) {
            Some((map, key)) => {
                call.expr_with(Type::Bool, key.into_iter().collect(), Data::Map(map))
            }
            None => Expr::error(call.at()),
        };
    }
    let Some(map) = map_argument(checker, &call.args[0]) else {
        return Expr::error(call.at());
    };
    let key = checker.map_key(map, &call.args[1]);
    call.expr_with(Type::Bool, vec![key], Data::Map(map))
}

fn lower_delete(lowerer: &mut Lowerer<'_, '_>, used: &Use<'_>, _to: Option<Place>) -> Rvalue {
    let Data::Map(map) = used.data else {
        return Rvalue::Nothing;
    };
    Rvalue::Scalar(lowerer.delete(*map, used.args.first()))
}

fn check_has_key(checker: &mut Checker<'_, '_>, call: &Call<'_>) -> Expr {
    if !checker.require_args(call, 2..=2) {
        return Expr::error(call.at());
    }
    let Some(map) = map_argument(checker, &call.args[0]) else {
        return Expr::error(call.at());
    };
    let key = checker.map_key(map, &call.args[1]);
    call.expr_with(Type::Bool, vec![key], Data::Map(map))
}

fn lower_has_key(lowerer: &mut Lowerer<'_, '_>, used: &Use<'_>, _to: Option<Place>) -> Rvalue {
    let (Data::Map(map), Some(key)) = (used.data, used.args.first()) else {
        return Rvalue::Nothing;
    };
    Rvalue::Scalar(lowerer.has_key(*map, key))
}

/// `find(@map, key, $out)`: whether the key is there; its value then goes to the variable.
fn check_find(checker: &mut Checker<'_, '_>, call: &Call<'_>) -> Expr {
    if !checker.require_args(call, 3..=3) {
        return Expr::error(call.at());
    }
    let Some(map) = map_argument(checker, &call.args[0]) else {
        return Expr::error(call.at());
    };
    let key = checker.map_key(map, &call.args[1]);
    let variable = checker.expr(&call.args[2]);
    let ExprKind::Variable(target) = variable.kind else {
        if matches!(variable.ty, Type::Error) {
            return variable;
        }
        return checker.fail(
            Diagnostic::error(
                "not-a-variable",
                call.args[2].span,
                "the value found goes to a variable, which is wanted here",
            )
            .help("write `let $value;` before, and give `$value`"),
        );
    };
    let value = checker.map_read_type(map);
    checker.assign_type(target, &value, call.args[2].span);
    call.expr_with(Type::Bool, vec![key, variable], Data::Map(map))
}

fn lower_find(lowerer: &mut Lowerer<'_, '_>, used: &Use<'_>, _to: Option<Place>) -> Rvalue {
    let (Data::Map(map), [key, variable]) = (used.data, used.args) else {
        return Rvalue::Nothing;
    };
    let ExprKind::Variable(target) = variable.kind else {
        return Rvalue::Nothing;
    };
    let found = lowerer.has_key(*map, key);
    let (there, done) = (lowerer.b.block(), lowerer.b.block());
    lowerer.b.branch(Compare::Ne, found, 0, there, done);
    lowerer.b.enter(there);
    let value = Expr {
        kind: ExprKind::Map {
            map: *map,
            key: Some(Box::new(key.clone())),
        },
        ty: variable.ty.clone(),
        span: used.span,
    };
    lowerer.write_variable(target, &value);
    lowerer.b.jump(done);
    lowerer.b.enter(done);
    Rvalue::Scalar(found)
}

/// `len(@map)`, `len(stack)`
fn check_len(checker: &mut Checker<'_, '_>, call: &Call<'_>) -> Expr {
    if !checker.require_args(call, 1..=1) {
        return Expr::error(call.at());
    }
    if let AstKind::Map(name) = &call.args[0].kind {
        let map = checker.map_ref(name, call.args[0].span);
        if !checker.features.for_each_map_elem {
            return checker.fail(Diagnostic::error(
                "kernel-feature",
                call.span,
                "`len` of a map needs `bpf_for_each_map_elem` (Linux 5.13)",
            ));
        }
        return call.expr_with(Type::I64, Vec::new(), Data::Map(map));
    }
    let value = checker.expr(&call.args[0]);
    match &value.ty {
        Type::Array { len, .. } => Expr::int(i64::from(*len), Type::I64, call.at()),
        Type::KernelStack { .. } | Type::UserStack { .. } | Type::Unknown | Type::Error => {
            call.expr(Type::I64, vec![value])
        }
        other => {
            let shown = checker.show(other);
            checker.fail(Diagnostic::error(
                "no-length",
                call.args[0].span,
                format!("{shown} has no length"),
            ))
        }
    }
}

/// A map's entries are counted by going over them; a stack's frames by asking for the stack itself.
fn lower_len(lowerer: &mut Lowerer<'_, '_>, used: &Use<'_>, _to: Option<Place>) -> Rvalue {
    if let Data::Map(map) = used.data {
        return Rvalue::Scalar(lowerer.count_entries(*map));
    }
    let Some(ExprKind::Builtin { builtin, .. }) = used.args.first().map(|arg| &arg.kind) else {
        return Rvalue::Scalar(lowerer.b.constant(0));
    };
    const USER_STACK: i64 = 1 << 8;
    let flags = if builtin.name == "ustack" {
        USER_STACK
    } else {
        0
    };
    let limit = match used.args.first().map(|arg| &arg.ty) {
        Some(Type::KernelStack { limit, .. } | Type::UserStack { limit, .. }) => *limit,
        _ => MAX_STACK_FRAMES,
    };
    let size = limit.min(MAX_STACK_FRAMES) * 8;
    let place = lowerer.temporary(size, "frames of a stack");
    let (context, address) = (lowerer.context(), lowerer.address(place));
    let size = lowerer.b.constant(i64::from(size));
    let flags = lowerer.b.constant(flags);
    let bytes = lowerer
        .b
        .call(Helper::GET_STACK, &[context, address, size, flags]);
    Rvalue::Scalar(lowerer.b.binary(crate::ir::BinaryOp::Sar, bytes, 3))
}
