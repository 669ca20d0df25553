//! `software` and `hardware`: events that the kernel or the processor counts.

use fathom_bpf::object::{Place, ProgramKind};
use fathom_machine::pattern::Pattern;
use fathom_machine::suggest;
use fathom_syntax::Diagnostic;

use crate::probes::context::ContextKind;
use crate::probes::expand::{Expander, Failure, Found, Request};
use crate::probes::number;

/// Name, alias, `perf_event_attr.config`, and how many events make a hit when the script does not say.
pub(in crate::probes) type Row = (&'static str, &'static str, u64, u64);

/// `PERF_COUNT_SW_…`
pub(in crate::probes) const SOFTWARE: [Row; 11] = [
    ("alignment-faults", "", 7, 1),
    ("bpf-output", "", 10, 1),
    ("context-switches", "cs", 3, 1000),
    ("cpu-clock", "cpu", 0, 1_000_000),
    ("cpu-migrations", "", 4, 1),
    ("dummy", "", 9, 1),
    ("emulation-faults", "", 8, 1),
    ("major-faults", "", 6, 1),
    ("minor-faults", "", 5, 100),
    ("page-faults", "faults", 2, 100),
    ("task-clock", "", 1, 1),
];

/// `PERF_COUNT_HW_…`
pub(in crate::probes) const HARDWARE: [Row; 10] = [
    ("backend-stalls", "", 8, 1_000_000),
    ("branch-instructions", "branches", 4, 100_000),
    ("branch-misses", "", 5, 100_000),
    ("bus-cycles", "", 6, 100_000),
    ("cache-misses", "", 3, 1_000_000),
    ("cache-references", "", 2, 1_000_000),
    ("cpu-cycles", "cycles", 0, 1_000_000),
    ("frontend-stalls", "", 7, 1_000_000),
    ("instructions", "", 1, 1_000_000),
    ("ref-cycles", "", 9, 1_000_000),
];

/// Where the kernel shows that the processor has counters.
const COUNTERS: [&str; 3] = ["cpu", "cpu_core", "cpu_atom"];

pub(in crate::probes) fn software(
    expander: &mut Expander<'_>,
    request: &Request<'_>,
) -> Result<Vec<Found>, Failure> {
    expand(expander, request, &SOFTWARE, |config, period| {
        Place::Software { config, period }
    })
}

pub(in crate::probes) fn hardware(
    expander: &mut Expander<'_>,
    request: &Request<'_>,
) -> Result<Vec<Found>, Failure> {
    if !COUNTERS
        .iter()
        .any(|name| expander.machine.pmu(name).is_ok())
    {
        let problem = request
            .missing(
                "no-counters",
                request.span,
                "this machine offers no hardware counters",
            )
            .label("needs a PMU, which most virtual machines hide")
            .help("use `profile:hz:99` to sample by time, or `software:cpu-clock:`");
        return Err(Failure::missing(problem));
    }
    expand(expander, request, &HARDWARE, |config, period| {
        Place::Hardware { config, period }
    })
}

fn expand(
    expander: &Expander<'_>,
    request: &Request<'_>,
    rows: &[Row],
    place: fn(u64, u64) -> Place,
) -> Result<Vec<Found>, Failure> {
    let (event, count) = match request.parts {
        [event] => (event, None),
        [event, count] => (event, (!count.text.is_empty()).then_some(count)),
        _ => return Err(request.misshapen()),
    };
    let given = match count {
        Some(count) => Some(
            number::parse(&count.text)
                .filter(|count| *count > 0)
                .ok_or_else(|| {
                    let message = format!("`{}` is not a number of events", count.text);
                    Failure::wrong(
                        Diagnostic::error("bad-count", count.span, message)
                            .label("not a number above zero"),
                    )
                })?,
        ),
        None => None,
    };
    let pattern = Pattern::new(event.text.as_str());
    let mut found = Vec::new();
    for (name, alias, config, default) in rows {
        let is_alias = !alias.is_empty() && pattern.is_literal() && pattern.matches(alias);
        if !pattern.matches(name) && !is_alias {
            continue;
        }
        let mut context = request.context(ContextKind::Registers);
        context.args_missing = Some(format!(
            "`{}` probes have no arguments",
            request.provider.name
        ));
        context.filter_pid = expander.options.pid;
        let shown = if is_alias { alias } else { name };
        let count = count.map_or("", |count| count.text.as_str());
        let full = format!("{}:{shown}:{count}", request.provider.name);
        let place = place(*config, given.unwrap_or(*default));
        found.push(request.found(full, ProgramKind::PerfEvent, context, place));
    }
    if found.is_empty() {
        let message = format!(
            "there is no {} event `{}`",
            request.provider.name, event.text
        );
        let names: Vec<&str> = rows.iter().map(|(name, ..)| *name).collect();
        let problem = request
            .missing("unknown-event", event.span, message)
            .label("not an event of this kind");
        return Err(Failure::missing(
            match suggest::nearest(&event.text, names.iter().copied()).first() {
                Some(best) => {
                    problem.fix(format!("did you mean `{best}`?"), event.span, best.clone())
                }
                None => problem.note(format!("events: {}", names.join(", "))),
            },
        ));
    }
    Ok(found)
}
