//! Clocks and time: `nsecs`, `elapsed`, `jiffies`, `strftime`, `time`.

use fathom_bpf::helper::Helper;
use fathom_bpf::layout::TimeMode;
use fathom_bpf::object::ActionKind;
use fathom_syntax::ast::ExprKind as Ast;
use fathom_syntax::diagnostic::Diagnostic;

use super::Builtin;
use crate::check::{Call, Checker};
use crate::hir::{Data, Expr};
use crate::ir::{BinaryOp, Memory, Op, Width};
use crate::lower::Rvalue;
use crate::ty::Type;

/// Format of `time()` without arguments.
const DEFAULT_TIME_FORMAT: &str = "%H:%M:%S\n";

/// Modes of `nsecs(mode)`: name, number, helper.
const MODES: [(&str, TimeMode, Helper); 4] = [
    ("boot", TimeMode::Boot, Helper::KTIME_GET_BOOT_NS),
    ("monotonic", TimeMode::Monotonic, Helper::KTIME_GET_NS),
    ("tai", TimeMode::Tai, Helper::KTIME_GET_TAI_NS),
    ("sw_tai", TimeMode::Tai, Helper::KTIME_GET_TAI_NS),
];

pub const TABLE: &[Builtin] = &[
    Builtin {
        name: "nsecs",
        check: check_nsecs,
        lower: |l, u, _| {
            let Data::Int(mode) = u.data else {
                return Rvalue::Nothing;
            };
            Rvalue::Scalar(l.b.call(MODES[*mode as usize].2, &[]))
        },
    },
    Builtin {
        name: "elapsed",
        check: |c, call| {
            c.require_args(call, 0..=0);
            call.expr(Type::U64, Vec::new())
        },
        lower: |l, _, _| {
            let map = l.out.start_time();
            let base = l.b.emit(Op::MapValue { map, offset: 0 });
            let start = l.b.load(Width::B8, Memory::Map, base, 0);
            let now = l.b.call(Helper::KTIME_GET_BOOT_NS, &[]);
            Rvalue::Scalar(l.b.binary(BinaryOp::Sub, now, start))
        },
    },
    Builtin {
        name: "jiffies",
        check: |c, call| {
            c.require_args(call, 0..=0);
            call.expr(Type::U64, Vec::new())
        },
        lower: |l, _, _| Rvalue::Scalar(l.b.call(Helper::JIFFIES64, &[])),
    },
    Builtin {
        name: "strftime",
        check: check_strftime,
        lower: |l, u, _| Rvalue::Scalar(l.scalar(&u.args[0])),
    },
    Builtin {
        name: "time",
        check: check_time,
        lower: |l, u, _| {
            let Data::Text(format) = u.data else {
                return Rvalue::Nothing;
            };
            l.send_plain(ActionKind::Time {
                format: format.to_string(),
            });
            Rvalue::Nothing
        },
    },
];

fn check_nsecs(checker: &mut Checker<'_, '_>, call: &Call<'_>) -> Expr {
    checker.require_args(call, 0..=1);
    let mode = match call.args.first() {
        None => 0,
        Some(arg) => {
            let found = match &arg.kind {
                Ast::Ident(name) => MODES.iter().position(|(mode, ..)| mode == name),
                _ => None,
            };
            let Some(mode) = found else {
                return checker.fail(
                    Diagnostic::error("clock", arg.span, "there is no such clock")
                        .help("the clocks are boot, monotonic, tai and sw_tai"),
                );
            };
            mode
        }
    };
    if MODES[mode].1 == TimeMode::Tai && !checker.features.ktime_tai {
        return checker.fail(Diagnostic::error(
            "kernel-feature",
            call.span,
            "the TAI clock needs `bpf_ktime_get_tai_ns` (Linux 6.1)",
        ));
    }
    call.expr_with(Type::U64, Vec::new(), Data::Int(mode as i64))
}

/// `strftime(format, nanoseconds)`
fn check_strftime(checker: &mut Checker<'_, '_>, call: &Call<'_>) -> Expr {
    if !checker.require_args(call, 2..=2) {
        return Expr::error(call.at());
    }
    let format = checker.constant_text(&call.args[0], "the format");
    let is_tai = matches!(&call.args[1].kind, Ast::Call { callee, args } if callee.text == "nsecs"
        && matches!(args.first().map(|arg| &arg.kind), Some(Ast::Ident(name)) if name.ends_with("tai")));
    let time = checker.integer(&call.args[1]);
    let Some(format) = format else {
        return Expr::error(call.at());
    };
    let mode = if is_tai {
        TimeMode::Tai
    } else {
        TimeMode::Boot
    };
    call.expr(
        Type::Timestamp {
            mode,
            format: format.into(),
        },
        vec![time],
    )
}

fn check_time(checker: &mut Checker<'_, '_>, call: &Call<'_>) -> Expr {
    checker.require_args(call, 0..=1);
    let format = match call.args.first() {
        None => Some(DEFAULT_TIME_FORMAT.to_owned()),
        Some(arg) => checker.constant_text(arg, "the format"),
    };
    let Some(format) = format else {
        return Expr::error(call.at());
    };
    call.expr_with(Type::None, Vec::new(), Data::Text(format.into()))
}
