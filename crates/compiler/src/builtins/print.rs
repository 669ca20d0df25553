//! `print(value)`, `print(@map[, top[, divisor]])`, `print(@map[key])`.

use fathom_bpf::object::ActionKind;
use fathom_syntax::ast::{Expr as Ast, ExprKind as AstKind};
use fathom_syntax::diagnostic::Diagnostic;

use super::{Builtin, Use};
use crate::check::{Call, Checker};
use crate::hir::{Data, Expr, ExprKind};
use crate::lower::event::is_sendable;
use crate::lower::{Lowerer, Place, Rvalue};
use crate::ty::Type;

pub const TABLE: &[Builtin] = &[Builtin {
    name: "print",
    check,
    lower,
}];

fn check(checker: &mut Checker<'_, '_>, call: &Call<'_>) -> Expr {
    if !checker.require_args(call, 1..=3) {
        return Expr::error(call.at());
    }
    if let AstKind::Map(name) = &call.args[0].kind {
        let map = checker.map_ref(name, call.args[0].span);
        return whole_map(checker, call, map);
    }
    if call.args.len() > 1 {
        return checker.fail(Diagnostic::error(
            "argument-count",
            call.span,
            "`top` and `divisor` go with a whole map, not with one value",
        ));
    }
    let value = checker.expr(&call.args[0]);
    if let ExprKind::Map { map, .. } = &value.kind
        && checker.map(*map).value.is_aggregation()
    {
        return call.expr(Type::None, vec![value]);
    }
    if value.ty.is_known() && !is_sendable(&value.ty) {
        let shown = checker.show(&value.ty);
        return checker.fail(Diagnostic::error(
            "not-printable",
            call.args[0].span,
            format!("{shown} cannot be printed"),
        ));
    }
    call.expr(Type::None, vec![value])
}

fn whole_map(checker: &mut Checker<'_, '_>, call: &Call<'_>, map: crate::hir::MapRef) -> Expr {
    let top = number(checker, call.args.get(1), "the number of entries");
    let divisor = number(checker, call.args.get(2), "the divisor");
    if checker.map(map).key == Some(Type::None)
        && checker.map(map).value.is_aggregation()
        && call.args.len() > 1
    {
        let name = checker.map(map).name.clone();
        checker.report(Diagnostic::warning(
            "scalar-map",
            call.args[1].span,
            format!("`@{name}` has a single value: there is no top of it"),
        ));
    }
    call.expr_with(Type::None, Vec::new(), Data::PrintMap { map, top, divisor })
}

fn number(checker: &mut Checker<'_, '_>, arg: Option<&Ast>, what: &str) -> Option<u64> {
    let arg = arg?;
    let value = checker.constant_int(arg, what)?;
    if value < 0 {
        checker.report(Diagnostic::error(
            "negative",
            arg.span,
            format!("{what} cannot be negative"),
        ));
        return None;
    }
    Some(value as u64)
}

fn lower(lowerer: &mut Lowerer<'_, '_>, used: &Use<'_>, _to: Option<Place>) -> Rvalue {
    if let Data::PrintMap { map, top, divisor } = used.data {
        let kind = ActionKind::PrintMap {
            map: lowerer.map_id(*map),
            top: *top,
            divisor: *divisor,
        };
        lowerer.send_plain(kind);
        return Rvalue::Nothing;
    }
    let Some(value) = used.args.first() else {
        return Rvalue::Nothing;
    };
    if let ExprKind::Map { map, key } = &value.kind
        && lowerer.map_type(*map).is_aggregation()
    {
        print_entry(lowerer, *map, key.as_deref());
        return Rvalue::Nothing;
    }
    lowerer.send(used.args, |mut fields| ActionKind::PrintValue {
        value: fields.remove(0),
    });
    Rvalue::Nothing
}

/// One key of an aggregation: user space looks it up, as its value lies in several cells.
fn print_entry(lowerer: &mut Lowerer<'_, '_>, map: crate::hir::MapRef, key: Option<&Expr>) {
    let id = lowerer.map_id(map);
    let Some(key) = key else {
        lowerer.send_plain(ActionKind::PrintMap {
            map: id,
            top: None,
            divisor: None,
        });
        return;
    };
    let wanted = lowerer.key_type(map);
    let key = Expr {
        kind: ExprKind::Cast(Box::new(key.clone())),
        ty: wanted,
        span: key.span,
    };
    let value_ty = lowerer.map_type(map);
    let layout = lowerer.layout(&value_ty);
    lowerer.send(&[key], |mut fields| {
        let key = fields.remove(0);
        let value = super::output::field(key.offset, layout);
        ActionKind::PrintMapEntry {
            map: id,
            key,
            value,
        }
    });
}
