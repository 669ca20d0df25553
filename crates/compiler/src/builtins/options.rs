//! Options of the script itself: `getopt`, `config`.

use fathom_syntax::diagnostic::Diagnostic;

use super::{Builtin, nothing};
use crate::check::{Call, Checker};
use crate::config::Shown;
use crate::hir::{Expr, ExprKind};
use crate::ty::Type;

pub const TABLE: &[Builtin] = &[
    Builtin {
        name: "getopt",
        check: check_getopt,
        lower: nothing,
    },
    Builtin {
        name: "config",
        check: check_config,
        lower: nothing,
    },
];

/// `config`: a record of all settings.
fn check_config(checker: &mut Checker<'_, '_>, call: &Call<'_>) -> Expr {
    checker.require_args(call, 0..=0);
    let mut types = Vec::new();
    let mut values = Vec::new();
    for (name, shown) in checker.config.entries() {
        let value = match shown {
            Shown::Bool(value) => truth(value, call),
            Shown::Int(value) => Expr::int(value as i64, Type::U64, call.at()),
            Shown::Text(text) => checker.string(text.as_bytes(), call.at()),
        };
        types.push((name.to_owned(), value.ty.clone()));
        values.push(value);
    }
    Expr {
        kind: ExprKind::Record(values),
        ty: Type::Record(types.into()),
        span: call.at(),
    }
}

/// `getopt("name"[, default[, "help"]])`: the value of `--name=value` behind `--`, of the default's type.
fn check_getopt(checker: &mut Checker<'_, '_>, call: &Call<'_>) -> Expr {
    if !checker.require_args(call, 1..=3) {
        return Expr::error(call.at());
    }
    let name = checker.constant_text(&call.args[0], "the option's name");
    let default = match call.args.get(1) {
        None => truth(false, call),
        Some(default) => checker.expr(default),
    };
    if let Some(help) = call.args.get(2) {
        checker.constant_text(help, "the help");
    }
    let Some(name) = name else {
        return Expr::error(call.at());
    };
    checker.used_options.insert(name.clone());
    let given = checker.options.get(&name).cloned();
    let is_constant = default.as_int().is_some() || default.as_text().is_some();
    if !is_constant && default.ty.is_known() {
        return checker.fail(
            Diagnostic::error(
                "not-constant",
                call.args[1].span,
                "the default must be a constant",
            )
            .label("depends on run time"),
        );
    }
    match given {
        None => Expr {
            span: call.at(),
            ..default
        },
        Some(given) => given_value(checker, call, &default, &name, given.as_deref()),
    }
}

fn given_value(
    checker: &mut Checker<'_, '_>,
    call: &Call<'_>,
    default: &Expr,
    name: &str,
    given: Option<&str>,
) -> Expr {
    let wanted = match (&default.kind, given) {
        (ExprKind::Bool(_), None | Some("true")) => return truth(true, call),
        (ExprKind::Bool(_), Some("false")) => return truth(false, call),
        (ExprKind::Str(_), Some(text)) => return checker.string(text.as_bytes(), call.at()),
        (ExprKind::Int(_), Some(text)) => match crate::check::parse_number(text) {
            Some(number) => return Expr::int(number, Type::I64, call.at()),
            None => "a number",
        },
        (ExprKind::Int(_), None) => "a number",
        (ExprKind::Bool(_), Some(_)) => "true or false",
        _ => "a value",
    };
    let shown = given.map_or(String::new(), |given| format!("={given}"));
    checker.fail(
        Diagnostic::error(
            "bad-option",
            call.span,
            format!("`--{name}{shown}` was given, but this option wants {wanted}"),
        )
        .help(format!("write `--{name}=…` behind `--`")),
    )
}

fn truth(value: bool, call: &Call<'_>) -> Expr {
    Expr {
        kind: ExprKind::Bool(value),
        ty: Type::Bool,
        span: call.at(),
    }
}
