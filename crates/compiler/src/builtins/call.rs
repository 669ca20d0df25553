//! `call()`: tells that the function at hand was called or returned, with its values as the programmer wrote them.

use fathom_bpf::object::CallMoment;
use fathom_bpf::shape::ShapeId;
use fathom_machine::dwarf::Location;
use fathom_syntax::diagnostic::Diagnostic;

use super::{Builtin, Use};
use crate::check::{Call, Checker};
use crate::hir::Expr;
use crate::lower::{CallPlace, Lowerer, Place, Rvalue};
use crate::probes::context::WholeValue;
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
    let has_goroutine = context.goroutine.is_some();
    match context.values.clone() {
        Some(Ok(_)) => {}
        Some(Err(why)) => checker.report(
            Diagnostic::warning("no-values", call.span, why)
                .label("calls are shown without their values"),
        ),
        None => {
            let provider = context.provider;
            let message = format!("a {provider} probe is at no call of a function");
            let problem = Diagnostic::error("no-call", call.span, message)
                .help("`call()` works in uprobe and uretprobe");
            return checker.fail(problem);
        }
    }
    // Which call it is, for whoever joins it with its return.
    let identity: &[&str] = if has_goroutine {
        &["goid", "frame"]
    } else {
        &[]
    };
    let args = identity
        .iter()
        .filter_map(|name| super::find(name))
        .map(|builtin| {
            let own = Call {
                builtin,
                name_span: call.span,
                args: &[],
                has_parentheses: false,
                span: call.span,
            };
            (builtin.check)(checker, &own)
        })
        .collect();
    call.expr(Type::None, args)
}

fn lower(lowerer: &mut Lowerer<'_, '_>, used: &Use<'_>, _to: Option<Place>) -> Rvalue {
    let context = &lowerer.group.context;
    let moment = match (context.retval.is_some(), context.is_line) {
        (true, _) => CallMoment::Return,
        (false, true) => CallMoment::Line,
        (false, false) => CallMoment::Entry,
    };
    let values = match &context.values {
        Some(Ok(values)) => values.clone(),
        _ => vec![unknown()],
    };
    let mut identity = used.args.iter().map(|arg| lowerer.scalar(arg));
    let place = CallPlace {
        moment,
        goroutine: identity.next(),
        frame: identity.next(),
    };
    drop(identity);
    lowerer.send_call(&values, &place);
    Rvalue::Nothing
}

/// Stands for values of which nothing is known.
fn unknown() -> WholeValue {
    WholeValue {
        name: String::new(),
        shape: ShapeId(u32::MAX),
        location: Location::Absent,
        missing: Some("not known".to_owned()),
        gaps: Vec::new(),
        site: None,
        size: 0,
        is_kept: false,
    }
}
