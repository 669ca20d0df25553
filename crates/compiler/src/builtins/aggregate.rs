//! `count()`, `sum(n)`, `min(n)`, `max(n)`, `avg(n)`, `stats(n)`, `hist(n[, bits])`, `lhist(n, min, max, step)`.
//!
//! Here they are checked; `lower/aggregate.rs`, `buckets.rs` and `merge.rs` make code of them.

use fathom_syntax::ast;
use fathom_syntax::diagnostic::Diagnostic;

use super::Aggregation;
use crate::check::Checker;
use crate::hir::Expr;
use crate::ty::Type;

/// Sub-buckets per power of two: 2^5 at most.
const MAX_HIST_BITS: i64 = 5;
/// Most buckets of a linear histogram.
const MAX_LHIST_BUCKETS: i64 = 1000;

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
