//! Text from the program: `printf`, `errorf`, `warnf`, `system`, `cat`, `join`.

use fathom_bpf::object::{ActionKind, FormatSink};
use fathom_bpf::{Field, Layout};
use fathom_output::printf::Format;
use fathom_syntax::diagnostic::Diagnostic;

use super::{Builtin, Use};
use crate::check::{Call, Checker};
use crate::hir::{Data, Expr};
use crate::ir::{BinaryOp, Compare, Width};
use crate::lower::event::{HEADER, is_sendable};
use crate::lower::{Lowerer, Place, Rvalue};
use crate::ty::{Space, Type};

/// Most strings that `join` takes.
const JOIN_LIMIT: u32 = 16;

pub const TABLE: &[Builtin] = &[
    Builtin {
        name: "printf",
        check: check_format,
        lower: |l, u, _| send_format(l, u, FormatSink::Print),
    },
    Builtin {
        name: "errorf",
        check: check_format,
        lower: |l, u, _| send_format(l, u, FormatSink::Error),
    },
    Builtin {
        name: "warnf",
        check: check_format,
        lower: |l, u, _| send_format(l, u, FormatSink::Warning),
    },
    Builtin {
        name: "system",
        check: |c, call| {
            c.require_unsafe("system", call.name_span);
            check_format(c, call)
        },
        lower: |l, u, _| send_format(l, u, FormatSink::System),
    },
    Builtin {
        name: "cat",
        check: check_format,
        lower: |l, u, _| send_format(l, u, FormatSink::Cat),
    },
    Builtin {
        name: "join",
        check: check_join,
        lower: lower_join,
    },
];

/// A constant format and arguments of the kinds it wants.
pub(super) fn check_format(checker: &mut Checker<'_, '_>, call: &Call<'_>) -> Expr {
    if !checker.require_args(call, 1..=usize::MAX) {
        return Expr::error(call.at());
    }
    let format = checker.constant_text(&call.args[0], "the format");
    let args: Vec<Expr> = call.args[1..].iter().map(|arg| checker.expr(arg)).collect();
    let Some(text) = format else {
        return Expr::error(call.at());
    };
    for (arg, written) in args.iter().zip(&call.args[1..]) {
        if arg.ty.is_known() && !is_sendable(&arg.ty) {
            let shown = checker.show(&arg.ty);
            checker.report(
                Diagnostic::error(
                    "not-printable",
                    written.span,
                    format!("{shown} cannot be printed this way"),
                )
                .help("maps and aggregations are printed with `print(@map)`"),
            );
            return Expr::error(call.at());
        }
    }
    if args.iter().all(|arg| arg.ty.is_known()) {
        check_conversions(checker, call, &text, &args);
    }
    call.expr_with(Type::None, args, Data::Text(text.into()))
}

fn check_conversions(checker: &mut Checker<'_, '_>, call: &Call<'_>, text: &str, args: &[Expr]) {
    let format = match Format::parse(text) {
        Ok(format) => format,
        Err(error) => {
            checker.report(Diagnostic::error(
                "bad-format",
                call.args[0].span,
                error.kind.to_string(),
            ));
            return;
        }
    };
    let layouts: Vec<Layout> = args
        .iter()
        .map(|arg| checker.types.layout(&arg.ty))
        .collect();
    if let Err(problem) = format.check(&layouts.iter().collect::<Vec<_>>()) {
        checker.report(Diagnostic::error(
            "bad-format",
            call.span,
            problem.to_string(),
        ));
    }
}

fn send_format(lowerer: &mut Lowerer<'_, '_>, used: &Use<'_>, sink: FormatSink) -> Rvalue {
    let Data::Text(format) = used.data else {
        return Rvalue::Nothing;
    };
    let format = format.to_string();
    lowerer.send(used.args, |args| ActionKind::Format { sink, format, args });
    Rvalue::Nothing
}

/// `join(argv[, separator])`
fn check_join(checker: &mut Checker<'_, '_>, call: &Call<'_>) -> Expr {
    if !checker.require_args(call, 1..=2) {
        return Expr::error(call.at());
    }
    let argv = checker.expr(&call.args[0]);
    if !matches!(
        argv.ty,
        Type::Pointer { .. } | Type::Int { .. } | Type::Unknown | Type::Error
    ) {
        let shown = checker.show(&argv.ty);
        return checker.fail(
            Diagnostic::error(
                "not-an-array",
                call.args[0].span,
                format!("`join` wants an array of strings, not {shown}"),
            )
            .help("for example `join(args.argv)`"),
        );
    }
    let separator = match call.args.get(1) {
        None => Some(" ".to_owned()),
        Some(separator) => checker.constant_text(separator, "the separator"),
    };
    let Some(separator) = separator else {
        return Expr::error(call.at());
    };
    call.expr_with(Type::None, vec![argv], Data::Text(separator.into()))
}

/// Up to [`JOIN_LIMIT`] strings at fixed places in the event; the first null pointer ends them.
fn lower_join(lowerer: &mut Lowerer<'_, '_>, used: &Use<'_>, _to: Option<Place>) -> Rvalue {
    let Data::Text(separator) = used.data else {
        return Rvalue::Nothing;
    };
    let separator = separator.to_string();
    let space = match &used.args[0].ty {
        Type::Pointer { space, .. } => *space,
        _ => Space::Unknown,
    };
    let size = (lowerer.env.config.max_strlen.clamp(8, 1 << 12) as u32).next_multiple_of(8);
    let (count_offset, strings_offset) = (HEADER, HEADER + 8);
    let text_offset = strings_offset + JOIN_LIMIT * 8;
    let total = text_offset + JOIN_LIMIT * size;
    let kind = ActionKind::Join {
        separator,
        count_offset,
        strings_offset,
        limit: JOIN_LIMIT,
    };
    let span = lowerer.b.span();
    let number = lowerer
        .out
        .action(fathom_bpf::object::Action { kind, span });
    let argv = lowerer.scalar(&used.args[0]);
    lowerer.with_event(number, total, |lowerer, event| {
        let done = lowerer.b.block();
        lowerer.b.store(
            Width::B8,
            event.memory,
            event.base,
            event.offset + count_offset as i32,
            0,
        );
        for index in 0..JOIN_LIMIT {
            let slot = lowerer.b.binary(BinaryOp::Add, argv, index as i32 * 8);
            let pointer = lowerer.read_remote_scalar(slot, space, 8, false);
            let more = lowerer.b.block();
            lowerer.b.branch(Compare::Ne, pointer, 0, more, done);
            lowerer.b.enter(more);
            let text = text_offset + index * size;
            let limit = lowerer.b.constant(i64::from(size));
            let length = lowerer.read_string(event.plus(text), limit, pointer, space);
            store_reference(lowerer, event, strings_offset + index * 8, text, length);
            let count = event.offset + count_offset as i32;
            lowerer
                .b
                .store(Width::B8, event.memory, event.base, count, index as i32 + 1);
        }
        lowerer.b.jump(done);
        lowerer.b.enter(done);
    });
    Rvalue::Nothing
}

/// A [`Layout::StringRef`] to a string that was just read.
fn store_reference(
    lowerer: &mut Lowerer<'_, '_>,
    event: Place,
    at: u32,
    text: u32,
    length: crate::ir::Value,
) {
    let place = event.plus(at);
    lowerer.b.store(
        Width::B4,
        place.memory,
        place.base,
        place.offset,
        text as i32,
    );
    let result = lowerer.b.variable();
    let zero = lowerer.b.constant(0);
    lowerer.b.write(result, zero);
    let (read, done) = (lowerer.b.block(), lowerer.b.block());
    lowerer.b.branch(Compare::Sgt, length, 0, read, done);
    lowerer.b.enter(read);
    let without_nul = lowerer.b.binary(BinaryOp::Sub, length, 1);
    lowerer.b.write(result, without_nul);
    lowerer.b.jump(done);
    lowerer.b.enter(done);
    let length = lowerer.b.read(result);
    lowerer.b.store(
        Width::B4,
        place.memory,
        place.base,
        place.offset + 4,
        length,
    );
}

/// A field at a place in an event.
pub fn field(offset: u32, layout: Layout) -> Field {
    Field {
        name: String::new(),
        offset,
        bits: None,
        layout,
    }
}
