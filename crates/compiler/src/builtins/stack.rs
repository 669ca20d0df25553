//! Stacks: `kstack`, `ustack`, `dw_ustack`. A stack is kept in a stack map and referred to by its number.

use fathom_bpf::helper::Helper;
use fathom_bpf::layout::StackMode;
use fathom_syntax::ast::{Expr as Ast, ExprKind as AstKind};
use fathom_syntax::diagnostic::Diagnostic;

use super::{Builtin, Use};
use crate::check::{Call, Checker};
use crate::config::Unstable;
use crate::hir::Expr;
use crate::ir::{BinaryOp, Compare, Value, Width};
use crate::lower::{Lowerer, Place, Rvalue};
use crate::ty::Type;

/// Frames shown unless the script says otherwise.
const DEFAULT_LIMIT: i64 = 127;
/// `BPF_F_USER_STACK`
const USER_STACK: i64 = 1 << 8;
/// Two different stacks fell on one place of the stack map.
const COLLISION: i32 = -17;

pub const TABLE: &[Builtin] = &[
    Builtin {
        name: "kstack",
        check: |c, call| check(c, call, |mode, limit| Type::KernelStack { mode, limit }),
        lower: |l, u, to| lower(l, u, to, false),
    },
    Builtin {
        name: "ustack",
        check: |c, call| check(c, call, |mode, limit| Type::UserStack { mode, limit }),
        lower: |l, u, to| lower(l, u, to, true),
    },
    Builtin {
        name: "dw_ustack",
        check: check_unwound,
        lower: lower_unwound,
    },
];

/// `kstack`, `kstack(limit)`, `kstack(mode)`, `kstack(mode, limit)`
fn check(checker: &mut Checker<'_, '_>, call: &Call<'_>, ty: fn(StackMode, u32) -> Type) -> Expr {
    if !checker.require_args(call, 0..=2) {
        return Expr::error(call.at());
    }
    let mut mode = checker.config.stack_mode;
    let mut limits = call.args;
    if let Some(AstKind::Ident(name)) = call.args.first().map(|arg| &arg.kind) {
        let Some(found) = stack_mode(name) else {
            return checker.fail(
                Diagnostic::error(
                    "stack-mode",
                    call.args[0].span,
                    format!("there is no stack mode `{name}`"),
                )
                .help("the modes are bpftrace, perf, raw and, for user stacks, build_id"),
            );
        };
        mode = found;
        limits = &call.args[1..];
    }
    let limit = match limits.first() {
        None => DEFAULT_LIMIT,
        Some(limit) => checker
            .constant_int(limit, "the number of frames")
            .unwrap_or(DEFAULT_LIMIT),
    };
    if !(1..=DEFAULT_LIMIT).contains(&limit) {
        let at = limits.first().map_or(call.span, |limit: &Ast| limit.span);
        return checker.fail(
            Diagnostic::error(
                "stack-limit",
                at,
                format!("a stack has 1 to {DEFAULT_LIMIT} frames"),
            )
            .label(limit.to_string()),
        );
    }
    call.expr(ty(mode, limit as u32), Vec::new())
}

/// `dw_ustack`: as `ustack`, for code without frame pointers.
fn check_unwound(checker: &mut Checker<'_, '_>, call: &Call<'_>) -> Expr {
    let problem = if checker.config.unstable_dw_ustack == Unstable::Error {
        Some("`dw_ustack` is switched off by `unstable_dw_ustack`")
    } else if !checker.features.bpf_loop || !checker.features.current_task_btf {
        Some("`dw_ustack` needs `bpf_loop` (Linux 5.17)")
    } else {
        None
    };
    if let Some(problem) = problem {
        return checker.fail(Diagnostic::error("kernel-feature", call.span, problem));
    }
    check(checker, call, |mode, limit| Type::UserStack { mode, limit })
}

fn lower_unwound(lowerer: &mut Lowerer<'_, '_>, _used: &Use<'_>, to: Option<Place>) -> Rvalue {
    let place = to.unwrap_or_else(|| lowerer.temporary(16, "a stack"));
    let (number, map) = lowerer.walk_user_stack();
    let map = lowerer.b.constant(i64::from(map.0));
    store_user_stack(lowerer, place, number, map);
    Rvalue::Bytes(place)
}

/// The number of a stack, the map it is in, and whose it is.
fn store_user_stack(lowerer: &mut Lowerer<'_, '_>, place: Place, number: Value, map: Value) {
    super::seen::remember_process(lowerer);
    let b = &mut lowerer.b;
    b.store(Width::B8, place.memory, place.base, place.offset, number);
    b.store(Width::B4, place.memory, place.base, place.offset + 8, map);
    let id = b.call(Helper::GET_CURRENT_PID_TGID, &[]);
    let pid = b.binary(BinaryOp::Shr, id, 32);
    b.store(Width::B4, place.memory, place.base, place.offset + 12, pid);
}

fn stack_mode(name: &str) -> Option<StackMode> {
    Some(match name {
        "bpftrace" => StackMode::Bpftrace,
        "perf" => StackMode::Perf,
        "raw" => StackMode::Raw,
        "build_id" => StackMode::BuildId,
        _ => return None,
    })
}

/// The kernel hashes the stack into a map; should another one be there already, a second map of another size is tried.
fn lower(
    lowerer: &mut Lowerer<'_, '_>,
    _used: &Use<'_>,
    to: Option<Place>,
    is_user: bool,
) -> Rvalue {
    let place = to.unwrap_or_else(|| lowerer.temporary(16, "a stack"));
    let flags = if is_user { USER_STACK } else { 0 };
    let number = lowerer.b.variable();
    let map = lowerer.b.variable();
    let first = stack_id(lowerer, 0, flags);
    lowerer.b.write(number, first.0);
    lowerer.b.write(map, first.1);
    let (again, done) = (lowerer.b.block(), lowerer.b.block());
    lowerer
        .b
        .branch(Compare::Eq, first.0, COLLISION, again, done);
    lowerer.b.enter(again);
    let second = stack_id(lowerer, 1, flags);
    lowerer.b.write(number, second.0);
    lowerer.b.write(map, second.1);
    lowerer.b.jump(done);
    lowerer.b.enter(done);
    let (number, map) = (lowerer.b.read(number), lowerer.b.read(map));
    if is_user {
        store_user_stack(lowerer, place, number, map);
    } else {
        let b = &mut lowerer.b;
        b.store(Width::B8, place.memory, place.base, place.offset, number);
        b.store(Width::B8, place.memory, place.base, place.offset + 8, map);
    }
    Rvalue::Bytes(place)
}

fn stack_id(lowerer: &mut Lowerer<'_, '_>, index: u32, flags: i64) -> (Value, Value) {
    let map = lowerer.out.stacks(index);
    let context = lowerer.context();
    let address = lowerer.b.map(map);
    let flags = lowerer.b.constant(flags);
    let id = lowerer
        .b
        .call(Helper::GET_STACKID, &[context, address, flags]);
    (id, lowerer.b.constant(i64::from(map.0)))
}
