//! What the body of a probe asks of its attach points, seen before anything is typed.

use fathom_syntax::ast::{Expr, ExprKind, Script};
use fathom_syntax::visit;

use crate::probes::Needs;

/// One entry for each probe, in the order of the script.
pub fn of_probes(script: &Script) -> Vec<Needs> {
    script
        .probes()
        .map(|probe| {
            let mut needs = Needs::default();
            let mut pending: Vec<&Expr> = probe.predicate.iter().collect();
            visit::block_exprs(&probe.body, &mut |expr| pending.push(expr));
            while let Some(expr) = pending.pop() {
                if let ExprKind::Ident(name)
                | ExprKind::Call {
                    callee: fathom_syntax::ast::Name { text: name, .. },
                    ..
                } = &expr.kind
                {
                    match name.as_str() {
                        "probe" | "__builtin_probe" => needs.identity = true,
                        "func" | "__builtin_func" => needs.function = true,
                        "args" | "ctx" | "retval" => needs.args = true,
                        "call" => (needs.values, needs.goroutine) = (true, true),
                        "goid" | "frame" => needs.goroutine = true,
                        "kstack" | "ustack" | "dw_ustack" => needs.stacks = true,
                        name => needs.positional |= is_positional(name),
                    }
                }
                visit::child_exprs(&expr.kind, &mut |child| pending.push(child));
            }
            needs
        })
        .collect()
}

/// `arg0` …
fn is_positional(name: &str) -> bool {
    let number = name.strip_prefix("arg").unwrap_or_default();
    !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}
