//! The process at hand: `pid`, `tid`, `uid`, `gid`, `username`, `comm`, `cgroup`, `curtask`, `ppid`, `pcomm` ….

use fathom_bpf::helper::Helper;
use fathom_syntax::diagnostic::Diagnostic;

use super::{Builtin, Use};
use crate::check::{Call, Checker};
use crate::hir::Expr;
use crate::ir::{BinaryOp, Value};
use crate::lower::{Lowerer, Place, Rvalue};
use crate::ty::{Space, Type};

/// `TASK_COMM_LEN`
const COMM_SIZE: u32 = 16;

pub const TABLE: &[Builtin] = &[
    Builtin {
        name: "pid",
        check: check_id,
        lower: |l, u, _| Rvalue::Scalar(half(l, u, Helper::GET_CURRENT_PID_TGID, true)),
    },
    Builtin {
        name: "tid",
        check: check_id,
        lower: |l, u, _| Rvalue::Scalar(half(l, u, Helper::GET_CURRENT_PID_TGID, false)),
    },
    Builtin {
        name: "uid",
        check: plain_u32,
        lower: |l, u, _| Rvalue::Scalar(half(l, u, Helper::GET_CURRENT_UID_GID, false)),
    },
    Builtin {
        name: "gid",
        check: plain_u32,
        lower: |l, u, _| Rvalue::Scalar(half(l, u, Helper::GET_CURRENT_UID_GID, true)),
    },
    Builtin {
        name: "username",
        check: |c, call| plain(c, call, Type::Username),
        lower: |l, u, _| Rvalue::Scalar(half(l, u, Helper::GET_CURRENT_UID_GID, false)),
    },
    Builtin {
        name: "comm",
        check: check_comm,
        lower: lower_comm,
    },
    Builtin {
        name: "cgroup",
        check: |c, call| plain(c, call, Type::U64),
        lower: |l, _, _| Rvalue::Scalar(l.b.call(Helper::GET_CURRENT_CGROUP_ID, &[])),
    },
    Builtin {
        name: "curtask",
        check: |c, call| {
            let task = task_pointer(c);
            plain(c, call, task)
        },
        lower: |l, _, _| Rvalue::Scalar(l.b.call(Helper::GET_CURRENT_TASK, &[])),
    },
    Builtin {
        name: "ppid",
        check: check_ppid,
        lower: |l, u, _| l.rvalue(&u.args[0]),
    },
    Builtin {
        name: "pcomm",
        check: check_pcomm,
        lower: |l, u, _| l.rvalue(&u.args[0]),
    },
    Builtin {
        name: "leader_comm",
        check: check_leader_comm,
        lower: |l, u, _| l.rvalue(&u.args[0]),
    },
    Builtin {
        name: "leader_tid",
        check: check_leader_tid,
        lower: |l, u, _| l.rvalue(&u.args[0]),
    },
];

fn plain(checker: &mut Checker<'_, '_>, call: &Call<'_>, ty: Type) -> Expr {
    checker.require_args(call, 0..=0);
    call.expr(ty, Vec::new())
}

fn plain_u32(checker: &mut Checker<'_, '_>, call: &Call<'_>) -> Expr {
    plain(checker, call, Type::U32)
}

/// `pid`, `pid()`, `pid(init)`, `pid(curr_ns)`
fn check_id(checker: &mut Checker<'_, '_>, call: &Call<'_>) -> Expr {
    checker.require_args(call, 0..=1);
    if let Some(arg) = call.args.first() {
        let known = matches!(&arg.kind, fathom_syntax::ast::ExprKind::Ident(name) if name == "init" || name == "curr_ns");
        if !known {
            return checker.fail(
                Diagnostic::error(
                    "pid-namespace",
                    arg.span,
                    "the namespace of ids is `init` or `curr_ns`",
                )
                .label("unknown namespace"),
            );
        }
    }
    call.expr(Type::U32, Vec::new())
}

fn half(lowerer: &mut Lowerer<'_, '_>, _used: &Use<'_>, helper: Helper, high: bool) -> Value {
    let both = lowerer.b.call(helper, &[]);
    if high {
        return lowerer.b.binary(BinaryOp::Shr, both, 32);
    }
    lowerer.b.emit(crate::ir::Op::Extend {
        value: both,
        from: crate::ir::Width::B4,
        signed: false,
    })
}

/// `comm`, `comm(pid)`
fn check_comm(checker: &mut Checker<'_, '_>, call: &Call<'_>) -> Expr {
    checker.require_args(call, 0..=1);
    let ty = Type::String { size: COMM_SIZE };
    let Some(pid) = call.args.first() else {
        return call.expr(ty, Vec::new());
    };
    let pid = checker.integer(pid);
    match super::comm::why_not_of_others(checker, call.span) {
        Some(problem) => checker.fail(problem),
        None => call.expr(ty, vec![pid]),
    }
}

fn lower_comm(lowerer: &mut Lowerer<'_, '_>, used: &Use<'_>, to: Option<Place>) -> Rvalue {
    if let Some(pid) = used.args.first() {
        return Rvalue::Bytes(super::comm::lower_comm_of(lowerer, pid));
    }
    let place = to.unwrap_or_else(|| lowerer.temporary(COMM_SIZE, "comm"));
    super::comm::lower_current_comm(lowerer, COMM_SIZE, place);
    Rvalue::Bytes(place)
}

/// `struct task_struct *` of the kernel, as far as BTF knows it.
pub(super) fn task_pointer(checker: &mut Checker<'_, '_>) -> Type {
    let task = checker.types.struct_named(
        fathom_syntax::ast::c::CRecordKind::Struct,
        "task_struct",
        Default::default(),
    );
    Type::pointer(
        task.unwrap_or(Type::Opaque("struct task_struct".into())),
        Space::Kernel,
    )
}

/// The expression `task->a->b`, for values that are fields of the current task.
fn task_path(checker: &mut Checker<'_, '_>, call: &Call<'_>, path: &[&str]) -> Expr {
    checker.require_args(call, 0..=1);
    let mut value = match call.args.first() {
        Some(task) => checker.expr(task),
        None => {
            let ty = task_pointer(checker);
            let task = super::find("curtask").unwrap_or(call.builtin);
            Expr {
                kind: crate::hir::ExprKind::Builtin {
                    builtin: task,
                    args: Vec::new(),
                    data: Default::default(),
                },
                ty,
                span: call.at(),
            }
        }
    };
    for field in path {
        let name = fathom_syntax::ast::Name {
            text: (*field).to_owned(),
            span: call.span,
        };
        value = checker.member_value(value, &name, call.span);
    }
    let ty = value.ty.clone();
    call.expr(ty, vec![value])
}

fn check_ppid(checker: &mut Checker<'_, '_>, call: &Call<'_>) -> Expr {
    task_path(checker, call, &["real_parent", "tgid"])
}

fn check_pcomm(checker: &mut Checker<'_, '_>, call: &Call<'_>) -> Expr {
    task_path(checker, call, &["real_parent", "comm"])
}

fn check_leader_comm(checker: &mut Checker<'_, '_>, call: &Call<'_>) -> Expr {
    task_path(checker, call, &["group_leader", "comm"])
}

fn check_leader_tid(checker: &mut Checker<'_, '_>, call: &Call<'_>) -> Expr {
    task_path(checker, call, &["group_leader", "pid"])
}
