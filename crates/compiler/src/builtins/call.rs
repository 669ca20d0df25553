//! `call()`: tells that the function at hand was called or returned, with its values as the programmer wrote them.

use fathom_bpf::object::CallMoment;
use fathom_syntax::diagnostic::Diagnostic;

use super::{Builtin, Use};
use crate::check::{Call, Checker};
use crate::hir::Expr;
use crate::lower::{Lowerer, Place, Rvalue};
use crate::ty::Type;

pub const TABLE: &[Builtin] = &[Builtin {
    name: "call",
    check,
    lower,
}];

fn check(checker: &mut Checker<'_, '_>, call: &Call<'_>) -> Expr {
    if !checker.require_args(call, 0..=0) {
        return Expr::error(call.at());
    }
    let context = &checker.group.context;
    match &context.values {
        Some(Ok(_)) => call.expr(Type::None, Vec::new()),
        Some(Err(why)) => {
            let problem =
                Diagnostic::error("no-values", call.span, "the call's values are not known")
                    .label(why.clone());
            checker.fail(problem)
        }
        None => {
            let provider = context.provider;
            let message = format!("a {provider} probe is at no call of a function");
            let problem = Diagnostic::error("no-call", call.span, message)
                .help("`call()` works in uprobe and uretprobe");
            checker.fail(problem)
        }
    }
}

fn lower(lowerer: &mut Lowerer<'_, '_>, _used: &Use<'_>, _to: Option<Place>) -> Rvalue {
    let context = &lowerer.group.context;
    let moment = match context.retval.is_some() {
        true => CallMoment::Return,
        false => CallMoment::Entry,
    };
    if let Some(Ok(values)) = &context.values {
        let values = values.clone();
        lowerer.send_call(&values, moment);
    }
    Rvalue::Nothing
}
