//! `count()`, `sum(n)`, `min(n)`, `max(n)`, `avg(n)`, `stats(n)`, `hist(n[, bits])`, `lhist(n, min, max, step)`,
//! `tseries(n, interval_ns, intervals[, aggregation])`.
//!
//! Here they are checked; `lower/aggregate.rs`, `buckets.rs`, `series.rs` and `merge.rs` make code of them.

use std::ops::RangeInclusive;

use fathom_bpf::layout::SeriesAggregation;

use fathom_syntax::ast;
use fathom_syntax::diagnostic::Diagnostic;

use super::Aggregation;
use crate::check::Checker;
use crate::config::Unstable;
use crate::hir::Expr;
use crate::ty::Type;

/// Sub-buckets per power of two: 2^5 at most.
const MAX_HIST_BITS: i64 = 5;
/// Most buckets of a linear histogram.
const MAX_LHIST_BUCKETS: i64 = 1000;

/// Most intervals of a time series.
const MAX_INTERVALS: i64 = 1_000_000;
/// What can be done with the values of an interval; without one of these words, the last one counts.
const SERIES_AGGREGATIONS: [(&str, SeriesAggregation); 4] = [
    ("avg", SeriesAggregation::Avg),
    ("max", SeriesAggregation::Max),
    ("min", SeriesAggregation::Min),
    ("sum", SeriesAggregation::Sum),
];

/// All aggregations.
pub const TABLE: &[Aggregation] = &[
    Aggregation {
        name: "count",
        check: check_count,
    },
    Aggregation {
        name: "sum",
        check: |c, name, args| numeric(c, name, args, |signed| Type::Sum { signed }),
    },
    Aggregation {
        name: "min",
        check: |c, name, args| numeric(c, name, args, |signed| Type::Min { signed }),
    },
    Aggregation {
        name: "max",
        check: |c, name, args| numeric(c, name, args, |signed| Type::Max { signed }),
    },
    Aggregation {
        name: "avg",
        check: |c, name, args| numeric(c, name, args, |signed| Type::Avg { signed }),
    },
    Aggregation {
        name: "stats",
        check: |c, name, args| numeric(c, name, args, |signed| Type::Stats { signed }),
    },
    Aggregation {
        name: "hist",
        check: check_hist,
    },
    Aggregation {
        name: "lhist",
        check: check_lhist,
    },
    Aggregation {
        name: "tseries",
        check: check_tseries,
    },
];

type CheckResult = Option<(Type, Option<Expr>)>;

fn wrong_count(checker: &mut Checker<'_, '_>, name: &ast::Name, wanted: &str, got: usize) {
    checker.report(Diagnostic::error(
        "argument-count",
        name.span,
        format!("`{}` takes {wanted}, not {got}", name.text),
    ));
}

fn check_count(checker: &mut Checker<'_, '_>, name: &ast::Name, args: &[ast::Expr]) -> CheckResult {
    if !args.is_empty() {
        wrong_count(checker, name, "no arguments", args.len());
    }
    Some((Type::Count, None))
}

fn numeric(
    checker: &mut Checker<'_, '_>,
    name: &ast::Name,
    args: &[ast::Expr],
    ty: fn(bool) -> Type,
) -> CheckResult {
    let [arg] = args else {
        wrong_count(checker, name, "one argument", args.len());
        return None;
    };
    let value = checker.integer(arg);
    let signed = matches!(value.ty, Type::Int { signed: true, .. });
    Some((ty(signed), Some(value)))
}

fn check_hist(checker: &mut Checker<'_, '_>, name: &ast::Name, args: &[ast::Expr]) -> CheckResult {
    let (arg, bits) = match args {
        [arg] => (arg, 0),
        [arg, bits] => {
            let value = checker.constant_int(bits, "the number of bits")?;
            if !(0..=MAX_HIST_BITS).contains(&value) {
                checker.report(
                    Diagnostic::error(
                        "hist-bits",
                        bits.span,
                        format!("{value} bits are too many for a histogram"),
                    )
                    .label(format!("0 to {MAX_HIST_BITS}")),
                );
                return None;
            }
            (arg, value as u32)
        }
        _ => {
            wrong_count(checker, name, "one or two arguments", args.len());
            return None;
        }
    };
    let value = checker.integer(arg);
    Some((Type::Hist { bits }, Some(value)))
}

fn check_lhist(checker: &mut Checker<'_, '_>, name: &ast::Name, args: &[ast::Expr]) -> CheckResult {
    let [arg, min, max, step] = args else {
        wrong_count(
            checker,
            name,
            "four arguments (value, min, max, step)",
            args.len(),
        );
        return None;
    };
    let value = checker.integer(arg);
    let at = min.span.to(step.span);
    let min = checker.constant_int(min, "the lower bound")?;
    let max = checker.constant_int(max, "the upper bound")?;
    let step = checker.constant_int(step, "the step")?;
    let problem = if step <= 0 {
        Some("the step must be greater than zero".to_owned())
    } else if max <= min {
        Some("the upper bound must be greater than the lower one".to_owned())
    } else if i128::from(max) - i128::from(min) > i128::from(step) * i128::from(MAX_LHIST_BUCKETS) {
        Some(format!("more than {MAX_LHIST_BUCKETS} buckets"))
    } else {
        None
    };
    if let Some(problem) = problem {
        checker.report(
            Diagnostic::error("lhist-bounds", at, problem)
                .help("take a larger step or nearer bounds"),
        );
        return None;
    }
    Some((Type::Lhist { min, max, step }, Some(value)))
}

fn check_tseries(
    checker: &mut Checker<'_, '_>,
    name: &ast::Name,
    args: &[ast::Expr],
) -> CheckResult {
    let (arg, interval, intervals, word) = match args {
        [arg, interval, intervals] => (arg, interval, intervals, None),
        [arg, interval, intervals, word] => (arg, interval, intervals, Some(word)),
        _ => {
            let wanted = "three or four arguments (value, interval, intervals, aggregation)";
            wrong_count(checker, name, wanted, args.len());
            return None;
        }
    };
    require_series(checker, name)?;
    let value = checker.integer(arg);
    let interval_ns = within(checker, interval, "the interval", 1..=i64::MAX)?;
    let buckets = within(
        checker,
        intervals,
        "the number of intervals",
        1..=MAX_INTERVALS,
    )?;
    let aggregation = match word {
        Some(word) => series_aggregation(checker, word)?,
        None => SeriesAggregation::None,
    };
    let ty = Type::TimeSeries {
        interval_ns: interval_ns as u64,
        buckets: buckets as u32,
        aggregation,
        signed: matches!(value.ty, Type::Int { signed: true, .. }),
    };
    Some((ty, Some(value)))
}

/// Time series are allowed by the script and possible in this kernel.
fn require_series(checker: &mut Checker<'_, '_>, name: &ast::Name) -> Option<()> {
    let problem = if checker.config.unstable_tseries == Unstable::Error {
        "`tseries` is switched off by `unstable_tseries`"
    } else if !checker.features.ktime_tai {
        "`tseries` needs `bpf_ktime_get_tai_ns` (Linux 6.1)"
    } else {
        if checker.config.unstable_tseries == Unstable::Warn {
            let text = "`tseries` is unstable: what it takes and prints may change";
            let help = "`config = { unstable_tseries = enable }` says that you know";
            checker.report(Diagnostic::warning("unstable", name.span, text).help(help));
        }
        return Some(());
    };
    checker.report(Diagnostic::error("kernel-feature", name.span, problem));
    None
}

/// A constant number with limits.
fn within(
    checker: &mut Checker<'_, '_>,
    arg: &ast::Expr,
    what: &str,
    range: RangeInclusive<i64>,
) -> Option<i64> {
    let number = checker.constant_int(arg, what)?;
    if range.contains(&number) {
        return Some(number);
    }
    let limit = match number < *range.start() {
        true => format!("at least {}", range.start()),
        false => format!("at most {}", range.end()),
    };
    let text = format!("{what} is {number}");
    checker.report(Diagnostic::error("series-bounds", arg.span, text).label(limit));
    None
}

fn series_aggregation(checker: &mut Checker<'_, '_>, arg: &ast::Expr) -> Option<SeriesAggregation> {
    let word = checker.constant_text(arg, "the aggregation")?;
    let found = SERIES_AGGREGATIONS.iter().find(|(name, _)| *name == word);
    if found.is_none() {
        let text = format!("`{word}` is no aggregation of a time series");
        let names = "there are `avg`, `max`, `min` and `sum`; without, the last value counts";
        checker.report(Diagnostic::error("series-aggregation", arg.span, text).help(names));
    }
    found.map(|(_, aggregation)| *aggregation)
}
