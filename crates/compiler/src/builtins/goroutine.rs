//! `goid` and `frame`: which goroutine runs, and which call of a function it is in.

use fathom_machine::go::{GPointer, Goroutine};
use fathom_syntax::ast::Name;
use fathom_syntax::diagnostic::Diagnostic;

use super::{Builtin, Use};
use crate::check::{Call, Checker};
use crate::hir::{Expr, ExprKind};
use crate::ir::{BinaryOp, Compare, Memory, Value, Width};
use crate::lower::{Lowerer, Place, Rvalue};
use crate::probes;
use crate::ty::{Space, Type};

pub const TABLE: &[Builtin] = &[
    Builtin {
        name: "goid",
        check: check_goid,
        lower: lower_goid,
    },
    Builtin {
        name: "frame",
        check: check_frame,
        lower: lower_frame,
    },
];

/// Where `runtime.g` has the upper end of its stack.
const STACK_HIGH: i32 = 8;

fn check_goid(checker: &mut Checker<'_, '_>, call: &Call<'_>) -> Expr {
    checker.require_args(call, 0..=0);
    match checker.group.context.goroutine {
        Some(goroutine) => with_goroutine(checker, call, &goroutine),
        None => {
            let provider = checker.group.context.provider;
            checker.fail(
                Diagnostic::error("no-goroutine", call.span, "`goid` is not known here")
                    .label(format!("this {provider} probe is not in a function of a Go program"))
                    .help("it is known where `uprobe` and `uretprobe` name functions of a Go program (1.9 or later)"),
            )
        }
    }
}

fn check_frame(checker: &mut Checker<'_, '_>, call: &Call<'_>) -> Expr {
    checker.require_args(call, 0..=0);
    if checker.group.context.call_frame.is_none() {
        let provider = checker.group.context.provider;
        return checker.fail(
            Diagnostic::error("no-frame", call.span, "`frame` is not known here")
                .label(format!(
                    "this {provider} probe is not where a function of a program is entered or left"
                ))
                .help("`uprobe` and `uretprobe` of a function's name have it"),
        );
    }
    match checker.group.context.goroutine {
        Some(goroutine) => with_goroutine(checker, call, &goroutine),
        None => call.expr(Type::U64, Vec::new()),
    }
}

/// The call, with the thread's base address as its argument where the goroutine is in thread-local storage.
fn with_goroutine(checker: &mut Checker<'_, '_>, call: &Call<'_>, goroutine: &Goroutine) -> Expr {
    if goroutine.pointer == GPointer::R14 {
        return call.expr(Type::U64, Vec::new());
    }
    let ty = super::process::task_pointer(checker);
    let mut base = Expr {
        kind: ExprKind::Builtin {
            builtin: super::find("curtask").unwrap_or(call.builtin),
            args: Vec::new(),
            data: Default::default(),
        },
        ty,
        span: call.at(),
    };
    for field in ["thread", "fsbase"] {
        let name = Name {
            text: field.to_owned(),
            span: call.span,
        };
        base = checker.member_value(base, &name, call.span);
    }
    call.expr(Type::U64, vec![base])
}

fn lower_goid(lowerer: &mut Lowerer<'_, '_>, used: &Use<'_>, _to: Option<Place>) -> Rvalue {
    let Some(goroutine) = lowerer.group.context.goroutine else {
        return Rvalue::Nothing;
    };
    let g = pointer(lowerer, used, &goroutine);
    Rvalue::Scalar(id(lowerer, g, &goroutine))
}

/// The canonical frame address; in Go its distance from the upper end of the stack, which stays when the stack moves.
fn lower_frame(lowerer: &mut Lowerer<'_, '_>, used: &Use<'_>, _to: Option<Place>) -> Rvalue {
    if let Some(rule) = lowerer.group.context.frame.clone() {
        let nowhere = lowerer.b.constant(0);
        return Rvalue::Scalar(lowerer.evaluate(&rule, nowhere));
    }
    let (Some(above), goroutine) = (
        lowerer.group.context.call_frame,
        lowerer.group.context.goroutine,
    ) else {
        return Rvalue::Nothing;
    };
    let stack_pointer = register(lowerer, "sp");
    let address = lowerer.b.binary(BinaryOp::Add, stack_pointer, above);
    let Some(goroutine) = goroutine else {
        return Rvalue::Scalar(address);
    };
    let result = lowerer.b.variable();
    lowerer.b.write(result, address);
    let g = pointer(lowerer, used, &goroutine);
    let id = id(lowerer, g, &goroutine);
    let (moves, done) = (lowerer.b.block(), lowerer.b.block());
    // Stacks of threads (number 0) stay where they are, and there are many of them.
    lowerer.b.branch(Compare::Ne, id, 0, moves, done);
    lowerer.b.enter(moves);
    let at = lowerer.b.binary(BinaryOp::Add, g, STACK_HIGH);
    let high = lowerer.read_remote_scalar(at, Space::User, 8, false);
    let distance = lowerer.b.binary(BinaryOp::Sub, high, address);
    lowerer.b.write(result, distance);
    lowerer.b.jump(done);
    lowerer.b.enter(done);
    Rvalue::Scalar(lowerer.b.read(result))
}

/// The pointer to `runtime.g`.
fn pointer(lowerer: &mut Lowerer<'_, '_>, used: &Use<'_>, goroutine: &Goroutine) -> Value {
    match (goroutine.pointer, used.args.first()) {
        (GPointer::ThreadLocal(offset), Some(base)) => {
            let base = lowerer.scalar(base);
            let offset = lowerer.b.constant(offset);
            let at = lowerer.b.binary(BinaryOp::Add, base, offset);
            lowerer.read_remote_scalar(at, Space::User, 8, false)
        }
        _ => register(lowerer, "r14"),
    }
}

fn id(lowerer: &mut Lowerer<'_, '_>, g: Value, goroutine: &Goroutine) -> Value {
    let at = lowerer
        .b
        .binary(BinaryOp::Add, g, goroutine.id_offset as i32);
    lowerer.read_remote_scalar(at, Space::User, 8, false)
}

fn register(lowerer: &mut Lowerer<'_, '_>, name: &str) -> Value {
    let context = lowerer.context();
    let offset = probes::register_offset(name).unwrap_or_default() as i32;
    lowerer.b.load(Width::B8, Memory::Context, context, offset)
}
