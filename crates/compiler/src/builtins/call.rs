//! `call()`, `call(ustack)`: tells that the function at hand was called or returned, with its values as the programmer wrote them.

use fathom_bpf::object::CallMoment;
use fathom_bpf::shape::ShapeId;
use fathom_machine::dwarf::Location;
use fathom_syntax::diagnostic::Diagnostic;

use super::{Builtin, Use};
use crate::check::{Call, Checker};
use crate::hir::{Data, Expr};
use crate::lower::{CallPlace, Lowerer, Place, Rvalue};
use crate::probes::context::WholeValue;
use crate::ty::Type;

pub const TABLE: &[Builtin] = &[Builtin {
    name: "call",
    check,
    lower,
}];

fn check(checker: &mut Checker<'_, '_>, call: &Call<'_>) -> Expr {
    if !checker.require_args(call, 0..=1) {
        return Expr::error(call.at());
    }
    let stack = call.args.first().map(|arg| checker.expr(arg));
    if let Some(stack) = &stack
        && !matches!(stack.ty, Type::UserStack { .. } | Type::Error)
    {
        return checker.fail(
            Diagnostic::error("call-stack", call.args[0].span, "`call` takes a user stack")
                .help("write `call(ustack)`, or `call(ustack(5))` for five frames"),
        );
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
    let args: Vec<Expr> = args;
    call.expr_with(
        Type::None,
        args.into_iter().chain(stack.clone()).collect(),
        Data::Int(i64::from(stack.is_some())),
    )
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
    let has_stack = matches!(used.data, Data::Int(1));
    let (identity, stack) = used.args.split_at(used.args.len() - usize::from(has_stack));
    let mut identity = identity.iter().map(|arg| lowerer.scalar(arg));
    let place = CallPlace {
        stack: stack.first(),
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
