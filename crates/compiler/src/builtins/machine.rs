//! The machine: `cpu`, `ncpus`, `numaid`, `rand`, `usermode`.

use fathom_bpf::helper::Helper;
use fathom_bpf::object::ProgramKind;
use fathom_syntax::diagnostic::Diagnostic;

use super::{Builtin, Use};
use crate::check::{Call, Checker};
use crate::hir::Expr;
use crate::ir::{BinaryOp, Compare, Memory, Op, Width};
use crate::lower::{Lowerer, Place, Rvalue};
use crate::probes::{self, context::ContextKind};
use crate::ty::Type;

pub const TABLE: &[Builtin] = &[
    Builtin {
        name: "cpu",
        check: |c, call| plain(c, call, Type::U32),
        lower: |l, _, _| Rvalue::Scalar(l.b.call(Helper::GET_SMP_PROCESSOR_ID, &[])),
    },
    Builtin {
        name: "ncpus",
        check: |c, call| plain(c, call, Type::U64),
        lower: |l, _, _| {
            let count = i64::from(l.env.cpu_count);
            Rvalue::Scalar(l.b.constant(count))
        },
    },
    Builtin {
        name: "numaid",
        check: |c, call| plain(c, call, Type::U32),
        lower: |l, _, _| Rvalue::Scalar(l.b.call(Helper::GET_NUMA_NODE_ID, &[])),
    },
    Builtin {
        name: "rand",
        check: |c, call| plain(c, call, Type::U32),
        lower: |l, _, _| {
            let value = l.b.call(Helper::GET_PRANDOM_U32, &[]);
            Rvalue::Scalar(l.b.emit(Op::Extend {
                value,
                from: Width::B4,
                signed: false,
            }))
        },
    },
    Builtin {
        name: "usermode",
        check: check_usermode,
        lower: lower_usermode,
    },
];

fn plain(checker: &mut Checker<'_, '_>, call: &Call<'_>, ty: Type) -> Expr {
    checker.require_args(call, 0..=0);
    call.expr(ty, Vec::new())
}

fn check_usermode(checker: &mut Checker<'_, '_>, call: &Call<'_>) -> Expr {
    checker.require_args(call, 0..=0);
    if checker.group.kind == ProgramKind::TestRun {
        // Our own process runs these, by a system call.
        return Expr::int(1, Type::U8, call.at());
    }
    if checker.group.context.kind != ContextKind::Registers {
        let provider = checker.group.context.provider;
        return checker.fail(
            Diagnostic::error("no-registers", call.span, format!("a {provider} probe has no registers"))
                .help("`usermode` works in begin, end, profile, interval, software, hardware, kprobe and uprobe probes"),
        );
    }
    call.expr(Type::U8, Vec::new())
}

/// The low two bits of CS are the privilege level: 3 in user mode.
fn lower_usermode(lowerer: &mut Lowerer<'_, '_>, _used: &Use<'_>, _to: Option<Place>) -> Rvalue {
    let offset = probes::register_offset("cs").unwrap_or_default();
    let context = lowerer.context();
    let cs = lowerer
        .b
        .load(Width::B8, Memory::Context, context, offset as i32);
    let level = lowerer.b.binary(BinaryOp::And, cs, 3);
    Rvalue::Scalar(lowerer.b.compare(Compare::Eq, level, 3))
}
