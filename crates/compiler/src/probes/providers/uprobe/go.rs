//! Functions of Go programs: entered behind the stack check, left by their return instructions.

use fathom_bpf::object::UprobeSite;
use fathom_machine::FileOffset;
use fathom_machine::elf::{Elf, Function, Unprobeable};
use fathom_machine::go::CallConvention;
use fathom_syntax::Diagnostic;

use super::Target;
use super::many::places;
use super::site::{self, RETURN_ADDRESS, site};
use crate::probes::expand::{Expander, Failure, Found, Part, Request};
use crate::probes::providers::uprobe_go;
use crate::probes::{Context, registers};

/// How a function of Go takes its arguments; `None` for all others.
pub(super) fn convention(elf: &Elf, function: &Function<'_>) -> Option<CallConvention> {
    elf.go()?.convention(function.address)
}

/// The places in the file where a function is entered or left: `Err` with the first one that cannot be probed.
pub(super) fn sites(
    target: &Target<'_>,
    function: &Function<'_>,
) -> Result<Vec<FileOffset>, Unprobeable> {
    let elf = target.elf;
    let inside = match target.on_return {
        true => elf.go_return_sites(function),
        false => vec![elf.go_entry_site(function).offset],
    };
    let offsets: Vec<FileOffset> = inside
        .iter()
        .map(|inside| FileOffset(function.offset.0.saturating_add(*inside)))
        .collect();
    match offsets.iter().find_map(|at| elf.probe_site(*at).err()) {
        Some(why) => Err(why),
        None => Ok(offsets),
    }
}

/// The probe of one function.
pub(super) fn single(
    expander: &mut Expander<'_>,
    request: &Request<'_>,
    target: &Target<'_>,
    (part, name, function): (&Part, &str, Function<'_>),
) -> Result<Vec<Found>, Failure> {
    let offsets = sites(target, &function).map_err(|why| {
        let message = format!(
            "`{name}` in `{}` cannot be probed",
            target.binary.shown.display()
        );
        let problem = request.missing("not-probeable", part.span, message);
        Failure::missing(problem.label(why.to_string()))
    })?;
    if !target.on_return {
        warn_of_loop(expander, target, part, &function);
        let start = offsets.first().copied().unwrap_or(function.offset);
        let at = (start, name, Some((function, 0)));
        return site(expander, request, target, part, at).map(|found| vec![found]);
    }
    if offsets.is_empty() {
        let message = format!("`{name}` never returns");
        let problem = request
            .missing("never-returns", part.span, message)
            .label("it has no return instruction");
        return Err(Failure::missing(problem));
    }
    let mut context = site::context(expander, request, target, Some((function, 0)));
    site::add_values(expander, request, target, Some(function), &mut context);
    let all = offsets.iter().map(|offset| UprobeSite {
        name: name.to_string(),
        offset: offset.0,
        inside: offset.0 - function.offset.0,
        semaphore: 0,
    });
    let prefix = format!(
        "{}:{}:",
        request.provider.name,
        target.binary.shown.display()
    );
    let groups = (context, vec![all.collect()], prefix.as_str());
    Ok(places(expander, request, target.binary, groups, false))
}

/// A place in a function of Go.
pub(super) struct Spot<'f> {
    pub(super) function: Function<'f>,
    /// Bytes behind the start, 0 for a probe of the function as such.
    pub(super) inside: u64,
    pub(super) convention: CallConvention,
}

/// What the program sees of a function of Go.
pub(super) fn context(
    expander: &Expander<'_>,
    request: &Request<'_>,
    target: &Target<'_>,
    spot: &Spot<'_>,
    context: &mut Context,
) {
    let Spot {
        function,
        convention,
        ..
    } = spot;
    context.call_frame = Some(RETURN_ADDRESS);
    context.is_go = true;
    if request.needs.goroutine {
        let go = target.elf.go();
        context.goroutine = go.and_then(|go| go.goroutine(function.address));
        // Without the goroutine, whose stack moves, the address says nothing.
        context.call_frame = context.goroutine.map(|_| RETURN_ADDRESS);
    }
    if spot.inside != 0 {
        context.call_frame = None;
        context.args_missing = Some("arguments are known only where a function starts".to_string());
        return;
    }
    let is_typed = request.needs.args;
    let signature =
        is_typed.then(|| uprobe_go::signature(expander, target.elf, function, *convention));
    if target.on_return {
        context.args_missing = Some(
            "arguments are gone when a function returns: keep them in a map by `goid` and `frame` at its entry"
                .to_string(),
        );
        let signature = signature.and_then(Result::ok);
        context.results = signature.map_or_else(Vec::new, |signature| signature.results);
        let first = context.results.first();
        context.retval = Some(first.cloned().unwrap_or_else(registers::result));
        return;
    }
    // Unless asked for, they would only keep functions apart.
    context.positional = if request.needs.positional {
        uprobe_go::positional(*convention)
    } else {
        registers::positional(true)
    };
    match signature.map(|known| known.and_then(|signature| signature.arguments)) {
        Some(Ok(arguments)) => context.args = Some(arguments),
        Some(Err(why)) => context.args_missing = Some(why),
        None => {}
    }
}

/// A loop that starts with the function's first instruction passes the probe again and again.
fn warn_of_loop(
    expander: &mut Expander<'_>,
    target: &Target<'_>,
    part: &Part,
    function: &Function<'_>,
) {
    if target.elf.go_entry_site(function).is_exact {
        return;
    }
    let message = format!("`{}` starts with a loop", function.name());
    let problem = Diagnostic::warning("inexact-entry", part.span, message)
        .label("the probe is passed in every round, not once a call");
    expander.warn(problem.help("count its returns with `uretprobe` instead"));
}
