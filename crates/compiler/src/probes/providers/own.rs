//! `begin`, `end`, `self`, `test` and `bench`: what happens in the tracer itself.

use fathom_bpf::object::{Place, ProgramKind};
use fathom_syntax::Diagnostic;

use crate::probes::context::ContextKind;
use crate::probes::expand::{Expander, Failure, Found, Request};

/// `SIGUSR1` on x86-64.
const SIGUSR1: i32 = 10;

type Result = std::result::Result<Vec<Found>, Failure>;

pub(in crate::probes) fn begin(_: &mut Expander<'_>, request: &Request<'_>) -> Result {
    without_parts(request, Place::Begin)
}

pub(in crate::probes) fn end(_: &mut Expander<'_>, request: &Request<'_>) -> Result {
    without_parts(request, Place::End)
}

pub(in crate::probes) fn test(_: &mut Expander<'_>, request: &Request<'_>) -> Result {
    with_name(request, Place::Test)
}

pub(in crate::probes) fn bench(_: &mut Expander<'_>, request: &Request<'_>) -> Result {
    with_name(request, Place::Bench)
}

pub(in crate::probes) fn signal(_: &mut Expander<'_>, request: &Request<'_>) -> Result {
    let [event, signal] = request.parts else {
        return Err(request.misshapen());
    };
    if event.text != "signal" {
        return Err(request.misshapen());
    }
    if signal.text != "SIGUSR1" && signal.text != "USR1" {
        let message = format!("`self` does not listen to the signal `{}`", signal.text);
        let problem = Diagnostic::error("bad-signal", signal.span, message)
            .label("only SIGUSR1 is free for scripts");
        return Err(Failure::wrong(problem.fix(
            "use SIGUSR1",
            signal.span,
            "SIGUSR1",
        )));
    }
    Ok(run_once(request, Place::Signal { number: SIGUSR1 }))
}

fn without_parts(request: &Request<'_>, place: Place) -> Result {
    if request.parts.is_empty() {
        Ok(run_once(request, place))
    } else {
        Err(request.misshapen())
    }
}

fn with_name(request: &Request<'_>, place: Place) -> Result {
    match request.parts {
        [name] if !name.text.is_empty() => Ok(run_once(request, place)),
        _ => Err(request.misshapen()),
    }
}

fn run_once(request: &Request<'_>, place: Place) -> Vec<Found> {
    let mut context = request.context(ContextKind::None);
    context.args_missing = Some(format!(
        "`{}` probes have no arguments",
        request.provider.name
    ));
    vec![request.found(request.text(), ProgramKind::TestRun, context, place)]
}
