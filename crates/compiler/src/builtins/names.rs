//! Numbers that are shown by name: `strerror`, `signal_name`, `syscall_name`.

use super::{Builtin, Use};
use crate::check::{Call, Checker};
use crate::hir::Expr;
use crate::lower::{Lowerer, Place, Rvalue};
use crate::ty::Type;

pub const TABLE: &[Builtin] = &[
    Builtin {
        name: "strerror",
        check: |c, call| named_number(c, call, Type::ErrorName),
        lower: number,
    },
    Builtin {
        name: "signal_name",
        check: |c, call| named_number(c, call, Type::SignalName),
        lower: number,
    },
    Builtin {
        name: "syscall_name",
        check: |c, call| named_number(c, call, Type::SyscallName),
        lower: number,
    },
];

fn named_number(checker: &mut Checker<'_, '_>, call: &Call<'_>, ty: Type) -> Expr {
    if !checker.require_args(call, 1..=1) {
        return Expr::error(call.at());
    }
    let number = checker.integer(&call.args[0]);
    call.expr(ty, vec![number])
}

fn number(lowerer: &mut Lowerer<'_, '_>, used: &Use<'_>, _to: Option<Place>) -> Rvalue {
    Rvalue::Scalar(lowerer.scalar(&used.args[0]))
}
