//! What a program does besides observing: `exit`, `signal`, `unwatch`.

use fathom_bpf::helper::Helper;
use fathom_bpf::object::ActionKind;
use fathom_syntax::diagnostic::Diagnostic;

use super::{Builtin, Use};
use crate::check::{Call, Checker};
use crate::hir::Expr;
use crate::lower::{Lowerer, Place, Rvalue};
use crate::ty::Type;

pub const TABLE: &[Builtin] = &[
    Builtin {
        name: "exit",
        check: check_exit,
        lower: lower_exit,
    },
    Builtin {
        name: "signal",
        check: |c, call| check_signal(c, call),
        lower: |l, u, _| send_signal(l, u, Helper::SEND_SIGNAL),
    },
    Builtin {
        name: "signal_thread",
        check: |c, call| check_signal(c, call),
        lower: |l, u, _| send_signal(l, u, Helper::SEND_SIGNAL_THREAD),
    },
    Builtin {
        name: "unwatch",
        check: check_unwatch,
        lower: lower_unwatch,
    },
];

fn check_exit(checker: &mut Checker<'_, '_>, call: &Call<'_>) -> Expr {
    checker.require_args(call, 0..=1);
    let code = call.args.first().map(|code| checker.integer(code));
    call.expr(Type::None, code.into_iter().collect())
}

/// Tells user space and leaves the probe.
fn lower_exit(lowerer: &mut Lowerer<'_, '_>, used: &Use<'_>, _to: Option<Place>) -> Rvalue {
    lowerer.send(used.args, |mut fields| ActionKind::Exit {
        code: fields.pop(),
    });
    lowerer.leave();
    Rvalue::Nothing
}

/// Signal names as `kill -l` knows them, from 1.
const SIGNALS: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

fn check_signal(checker: &mut Checker<'_, '_>, call: &Call<'_>) -> Expr {
    if !checker.require_args(call, 1..=1) {
        return Expr::error(call.at());
    }
    checker.require_unsafe(call.builtin.name, call.name_span);
    let signal = checker.expr(&call.args[0]);
    if let Some(text) = signal.as_text() {
        let name = String::from_utf8_lossy(text).into_owned();
        let bare = name.strip_prefix("SIG").unwrap_or(&name);
        let Some(index) = SIGNALS.iter().position(|signal| *signal == bare) else {
            return checker.fail(
                Diagnostic::error(
                    "unknown-signal",
                    call.args[0].span,
                    format!("there is no signal `{name}`"),
                )
                .help("for example \"SIGTERM\" or \"KILL\""),
            );
        };
        let number = Expr::int(index as i64 + 1, Type::I64, signal.span);
        return call.expr(Type::None, vec![number]);
    }
    let signal = checker.integer(&call.args[0]);
    if signal
        .as_int()
        .is_some_and(|number| !(1..=64).contains(&number))
    {
        return checker.fail(Diagnostic::error(
            "unknown-signal",
            call.args[0].span,
            "signals are numbered 1 to 64",
        ));
    }
    call.expr(Type::None, vec![signal])
}

fn send_signal(lowerer: &mut Lowerer<'_, '_>, used: &Use<'_>, helper: Helper) -> Rvalue {
    let signal = lowerer.scalar(&used.args[0]);
    lowerer.b.call(helper, &[signal]);
    Rvalue::Nothing
}

fn check_unwatch(checker: &mut Checker<'_, '_>, call: &Call<'_>) -> Expr {
    if !checker.require_args(call, 1..=1) {
        return Expr::error(call.at());
    }
    let address = checker.expr(&call.args[0]);
    call.expr(Type::None, vec![address])
}

fn lower_unwatch(lowerer: &mut Lowerer<'_, '_>, used: &Use<'_>, _to: Option<Place>) -> Rvalue {
    lowerer.send(used.args, |mut fields| ActionKind::Unwatch {
        address: fields.remove(0),
    });
    Rvalue::Nothing
}
