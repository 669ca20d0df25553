//! `interval` (one CPU) and `profile` (every CPU): time itself.

use fathom_bpf::object::{Place, ProgramKind, Rate};
use fathom_syntax::Diagnostic;

use crate::probes::context::ContextKind;
use crate::probes::expand::{Expander, Failure, Found, Part, Request};
use crate::probes::number;

/// Highest rate: beyond it a timer has no time left between two hits.
const MAX_HERTZ: u64 = 1_000_000;
/// Nanoseconds in a second.
const SECOND_NS: u64 = 1_000_000_000;

pub(in crate::probes) fn interval(
    _: &mut Expander<'_>,
    request: &Request<'_>,
) -> Result<Vec<Found>, Failure> {
    let period_ns = match rate(request)? {
        Rate::Hertz(hertz) => SECOND_NS / hertz,
        Rate::PeriodNs(period) => period,
    };
    Ok(timer(request, Place::Interval { period_ns }, None))
}

pub(in crate::probes) fn profile(
    expander: &mut Expander<'_>,
    request: &Request<'_>,
) -> Result<Vec<Found>, Failure> {
    Ok(timer(
        request,
        Place::Profile(rate(request)?),
        expander.options.pid,
    ))
}

fn timer(request: &Request<'_>, place: Place, filter_pid: Option<u32>) -> Vec<Found> {
    let mut context = request.context(ContextKind::Registers);
    context.args_missing = Some(format!(
        "`{}` probes have no arguments",
        request.provider.name
    ));
    context.filter_pid = filter_pid;
    vec![request.found(request.text(), ProgramKind::PerfEvent, context, place)]
}

/// `1s`, `1000000`, `ms:100`, `hz:99`.
fn rate(request: &Request<'_>) -> Result<Rate, Failure> {
    match request.parts {
        [value] => period(value, number::duration_ns(&value.text)),
        [unit, value] if unit.text == "hz" => match number::parse(&value.text) {
            Some(hertz @ 1..=MAX_HERTZ) => Ok(Rate::Hertz(hertz)),
            _ => Err(bad_value(
                value,
                format!("a rate from 1 to {MAX_HERTZ} hertz"),
            )),
        },
        [unit, value] => match number::unit_ns(&unit.text) {
            Some(ns) => period(
                value,
                number::parse(&value.text).and_then(|count| count.checked_mul(ns)),
            ),
            None => {
                let problem = Diagnostic::error(
                    "bad-unit",
                    unit.span,
                    format!("there is no unit of time `{}`", unit.text),
                )
                .label("not hz, s, ms, us, ns, m, h or d");
                Err(Failure::wrong(problem))
            }
        },
        _ => Err(request.misshapen()),
    }
}

fn period(value: &Part, ns: Option<u64>) -> Result<Rate, Failure> {
    match ns {
        // Timers count in signed 64 bits.
        Some(ns) if ns > 0 && i64::try_from(ns).is_ok() => Ok(Rate::PeriodNs(ns)),
        _ => Err(bad_value(
            value,
            "a time above zero such as 100ms".to_string(),
        )),
    }
}

fn bad_value(value: &Part, wanted: String) -> Failure {
    let message = format!("`{}` is not {wanted}", value.text);
    Failure::wrong(
        Diagnostic::error("bad-time", value.span, message).label(format!("not {wanted}")),
    )
}
