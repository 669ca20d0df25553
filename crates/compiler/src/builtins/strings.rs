//! Strings and buffers: `str`, `buf`, `strlen`, `strncmp`, `strcontains`, `memcmp`, `strerror`, `signal_name`, `syscall_name`.

use fathom_syntax::ast::ExprKind as Ast;
use fathom_syntax::diagnostic::Diagnostic;

use super::{Builtin, Use};
use crate::check::{Call, Checker};
use crate::hir::{Data, Expr};
use crate::ir::{BinaryOp, BlockId, Compare, Memory, Op, Value, Width};
use crate::lower::{Lowerer, Place, Rvalue};
use crate::ty::{Space, Type};

pub const TABLE: &[Builtin] = &[
    Builtin {
        name: "str",
        check: check_str,
        lower: lower_str,
    },
    Builtin {
        name: "buf",
        check: check_buf,
        lower: lower_buf,
    },
    Builtin {
        name: "strlen",
        check: check_strlen,
        lower: lower_strlen,
    },
    Builtin {
        name: "strncmp",
        check: check_strncmp,
        lower: lower_strncmp,
    },
    Builtin {
        name: "strcontains",
        check: check_strcontains,
        lower: lower_strcontains,
    },
    Builtin {
        name: "memcmp",
        check: check_memcmp,
        lower: lower_memcmp,
    },
    Builtin {
        name: "strerror",
        check: |c, call| named_number(c, call, Type::ErrorName),
        lower: number,
    },
    Builtin {
        name: "signal_name",
        check: |c, call| named_number(c, call, Type::SignalName),
        lower: number,
    },
    Builtin {
        name: "syscall_name",
        check: |c, call| named_number(c, call, Type::SyscallName),
        lower: number,
    },
];

/// `str(pointer[, length])`; `str($1)` is the parameter's text.
fn check_str(checker: &mut Checker<'_, '_>, call: &Call<'_>) -> Expr {
    if !checker.require_args(call, 1..=2) {
        return Expr::error(call.at());
    }
    if let Ast::Param(number) = &call.args[0].kind {
        let text = checker
            .params
            .get((*number as usize).wrapping_sub(1))
            .cloned()
            .unwrap_or_default();
        return checker.string(text.as_bytes(), call.at());
    }
    let source = checker.expr(&call.args[0]);
    let is_text = matches!(
        source.ty,
        Type::Unknown
            | Type::Error
            | Type::Int { .. }
            | Type::Pointer { .. }
            | Type::String { .. }
            | Type::Array { .. }
    );
    if !is_text {
        let shown = checker.show(&source.ty);
        return checker.fail(
            Diagnostic::error(
                "not-a-string",
                call.args[0].span,
                format!("{shown} is no pointer to a string"),
            )
            .label(shown),
        );
    }
    let max = checker.max_string();
    let mut size = max;
    let mut args = vec![source];
    if let Some(length) = call.args.get(1) {
        let length = checker.integer(length);
        match length.as_int() {
            Some(constant) if constant >= 0 => {
                size = (constant + 1).clamp(1, i64::from(max)) as u32
            }
            _ => args.push(length),
        }
    } else if let Type::Array { len, .. } = &args[0].ty {
        size = (*len).clamp(1, max);
    }
    if let Type::String { size: known } = &args[0].ty {
        size = size.min(*known);
    }
    call.expr(Type::String { size }, args)
}

fn lower_str(lowerer: &mut Lowerer<'_, '_>, used: &Use<'_>, to: Option<Place>) -> Rvalue {
    let Type::String { size } = used.ty else {
        return Rvalue::Nothing;
    };
    match text_source(lowerer, used) {
        TextSource::Here(value) => {
            let place = to.unwrap_or_else(|| lowerer.temporary(*size, "a string"));
            lowerer.store_rvalue(&value, &used.args[0].ty, place, used.ty);
            Rvalue::Bytes(place)
        }
        TextSource::Elsewhere { address, space } => {
            let limit = text_limit(lowerer, used, *size);
            let place = to.unwrap_or_else(|| lowerer.temporary(*size, "a string"));
            lowerer.read_string(place, limit, address, space);
            Rvalue::Bytes(place)
        }
    }
}

/// Writes the text of a `str(…)` to `to` and gives what the kernel's helpers give: its length with the NUL, or a negative number.
pub(crate) fn read_text(lowerer: &mut Lowerer<'_, '_>, used: &Use<'_>, to: Place) -> Option<Value> {
    let Type::String { size } = used.ty else {
        return None;
    };
    let (address, space) = match text_source(lowerer, used) {
        TextSource::Elsewhere { address, space } => (address, space),
        TextSource::Here(value) => {
            let place = lowerer.temporary(*size, "a string");
            lowerer.store_rvalue(&value, &used.args[0].ty, place, used.ty);
            (lowerer.address(place), Space::Kernel)
        }
    };
    let limit = text_limit(lowerer, used, *size);
    Some(lowerer.read_string(to, limit, address, space))
}

/// Where the text of a `str(…)` is.
enum TextSource {
    Here(Rvalue),
    Elsewhere { address: Value, space: Space },
}

fn text_source(lowerer: &mut Lowerer<'_, '_>, used: &Use<'_>) -> TextSource {
    let source = &used.args[0];
    let (address, space) = match (&source.ty, lowerer.rvalue(source)) {
        (Type::Pointer { space, .. }, value) => (lowerer.word(value, &source.ty), *space),
        (Type::Int { .. }, value) => (lowerer.word(value, &source.ty), Space::Unknown),
        (_, Rvalue::Remote { address, space }) => (address, space),
        (_, value) => return TextSource::Here(value),
    };
    let space = match space {
        Space::Own => Space::Kernel,
        other => other,
    };
    TextSource::Elsewhere { address, space }
}

/// Bytes to read at most, the NUL included.
fn text_limit(lowerer: &mut Lowerer<'_, '_>, used: &Use<'_>, size: u32) -> Value {
    let Some(length) = used.args.get(1) else {
        return lowerer.b.constant(i64::from(size));
    };
    let length = lowerer.scalar(length);
    let wanted = lowerer.b.binary(BinaryOp::Add, length, 1);
    at_most(lowerer, wanted, size)
}

/// The smaller of a value and a limit, as the verifier can see it.
fn at_most(lowerer: &mut Lowerer<'_, '_>, value: Value, limit: u32) -> Value {
    let result = lowerer.b.variable();
    let most = lowerer.b.constant(i64::from(limit));
    lowerer.b.write(result, most);
    let (smaller, done) = (lowerer.b.block(), lowerer.b.block());
    lowerer
        .b
        .branch(Compare::Lt, value, limit as i32, smaller, done);
    lowerer.b.enter(smaller);
    lowerer.b.write(result, value);
    lowerer.b.jump(done);
    lowerer.b.enter(done);
    lowerer.b.read(result)
}

/// `buf(pointer[, length])`
fn check_buf(checker: &mut Checker<'_, '_>, call: &Call<'_>) -> Expr {
    if !checker.require_args(call, 1..=2) {
        return Expr::error(call.at());
    }
    let source = checker.expr(&call.args[0]);
    let max = checker.max_string();
    let mut args = vec![source];
    let mut size = max;
    match call.args.get(1) {
        Some(length) => {
            let length = checker.integer(length);
            match length.as_int() {
                Some(constant) if constant > 0 => {
                    size = constant.clamp(1, i64::from(max)) as u32;
                    args.push(Expr::int(i64::from(size), Type::U32, length.span));
                }
                _ => args.push(length),
            }
        }
        None => {
            let known = match &args[0].ty {
                Type::Array { .. } => Some(checker.types.size_of(&args[0].ty)),
                Type::String { size } => Some(*size),
                _ => None,
            };
            let Some(known) = known.filter(|size| *size > 0) else {
                return checker.fail(
                    Diagnostic::error(
                        "buffer-length",
                        call.span,
                        "the length of the buffer is not known",
                    )
                    .help("give it: `buf(pointer, length)`"),
                );
            };
            size = known.min(max);
            args.push(Expr::int(i64::from(size), Type::U32, call.at()));
        }
    }
    call.expr(Type::Buffer { size }, args)
}

fn lower_buf(lowerer: &mut Lowerer<'_, '_>, used: &Use<'_>, to: Option<Place>) -> Rvalue {
    let Type::Buffer { size } = used.ty else {
        return Rvalue::Nothing;
    };
    let (source, length) = (&used.args[0], &used.args[1]);
    let value = lowerer.rvalue(source);
    let (address, space) = match (&source.ty, value) {
        (Type::Pointer { space, .. }, value) => (lowerer.word(value, &source.ty), *space),
        (_, Rvalue::Remote { address, space }) => (address, space),
        (_, Rvalue::Bytes(place)) => (lowerer.address(place), Space::Kernel),
        (_, value) => (lowerer.word(value, &source.ty), Space::Unknown),
    };
    let space = if space == Space::Own {
        Space::Kernel
    } else {
        space
    };
    let length = lowerer.scalar(length);
    let length = at_most(lowerer, length, *size);
    let place = to.unwrap_or_else(|| lowerer.temporary(4 + size, "a buffer"));
    lowerer
        .b
        .store(Width::B4, place.memory, place.base, place.offset, length);
    let helper = lowerer.read_helper(space, false);
    let data = lowerer.address(place.plus(4));
    lowerer.b.call(helper, &[data, length, address]);
    Rvalue::Bytes(place)
}

fn check_strlen(checker: &mut Checker<'_, '_>, call: &Call<'_>) -> Expr {
    if !checker.require_args(call, 1..=1) {
        return Expr::error(call.at());
    }
    let text = checker.expr(&call.args[0]);
    if let Some(bytes) = text.as_text() {
        return Expr::int(bytes.len() as i64, Type::U64, call.at());
    }
    let text = require_string(checker, text, call, 0);
    call.expr(Type::U64, vec![text])
}

/// A string argument; a character array counts as one.
fn require_string(
    checker: &mut Checker<'_, '_>,
    text: Expr,
    call: &Call<'_>,
    index: usize,
) -> Expr {
    if !matches!(
        text.ty,
        Type::String { .. } | Type::Array { .. } | Type::Unknown | Type::Error
    ) {
        let shown = checker.show(&text.ty);
        checker.report(
            Diagnostic::error(
                "not-a-string",
                call.args[index].span,
                format!("a string is wanted here, not {shown}"),
            )
            .help("turn a pointer into a string with `str(pointer)`"),
        );
        return Expr::error(text.span);
    }
    text
}

/// The number of bytes before the NUL: reading the string into itself gives its length.
fn lower_strlen(lowerer: &mut Lowerer<'_, '_>, used: &Use<'_>, _to: Option<Place>) -> Rvalue {
    let place = lowerer.bytes(&used.args[0]);
    let size = lowerer.size_of(&used.args[0].ty);
    let copy = lowerer.temporary(size, "a string to measure");
    let from = lowerer.address(place);
    let size = lowerer.b.constant(i64::from(size));
    let length = lowerer.read_string(copy, size, from, Space::Kernel);
    Rvalue::Scalar(lowerer.b.binary(BinaryOp::Sub, length, 1))
}

/// `strncmp(a, b, n)`: 0 if the first n characters are equal.
fn check_strncmp(checker: &mut Checker<'_, '_>, call: &Call<'_>) -> Expr {
    if !checker.require_args(call, 3..=3) {
        return Expr::error(call.at());
    }
    let (left, right) = (checker.expr(&call.args[0]), checker.expr(&call.args[1]));
    let left = require_string(checker, left, call, 0);
    let right = require_string(checker, right, call, 1);
    let count = checker.constant_int(&call.args[2], "the number of characters");
    let Some(count) = count.filter(|count| *count >= 0) else {
        return Expr::error(call.at());
    };
    call.expr_with(Type::U64, vec![left, right], Data::Int(count))
}

fn lower_strncmp(lowerer: &mut Lowerer<'_, '_>, used: &Use<'_>, _to: Option<Place>) -> Rvalue {
    let Data::Int(count) = *used.data else {
        return Rvalue::Nothing;
    };
    let (left, right) = (&used.args[0], &used.args[1]);
    let result = lowerer.b.variable();
    let (same, other, done) = (lowerer.b.block(), lowerer.b.block(), lowerer.b.block());
    match (left.as_text(), right.as_text()) {
        (Some(text), _) => compare_with(lowerer, right, text, count as usize, same, other),
        (_, Some(text)) => compare_with(lowerer, left, text, count as usize, same, other),
        (None, None) => {
            let (a, b) = (lowerer.bytes(left), lowerer.bytes(right));
            let size = lowerer
                .size_of(&left.ty)
                .min(lowerer.size_of(&right.ty))
                .min(count as u32);
            lowerer.branch_on_string_loop(a, b, size, same, other);
        }
    }
    finish_choice(lowerer, result, (same, 0), (other, 1), done)
}

fn compare_with(
    lowerer: &mut Lowerer<'_, '_>,
    value: &Expr,
    text: &[u8],
    count: usize,
    same: BlockId,
    other: BlockId,
) {
    let place = lowerer.bytes(value);
    lowerer.branch_on_literal(place, &value.ty, text, Some(count), same, other);
}

fn finish_choice(
    lowerer: &mut Lowerer<'_, '_>,
    result: crate::ir::Variable,
    first: (BlockId, i64),
    second: (BlockId, i64),
    done: BlockId,
) -> Rvalue {
    for (block, value) in [first, second] {
        lowerer.b.enter(block);
        let value = lowerer.b.constant(value);
        lowerer.b.write(result, value);
        lowerer.b.jump(done);
    }
    lowerer.b.enter(done);
    Rvalue::Scalar(lowerer.b.read(result))
}

/// `strcontains(haystack, needle)`
fn check_strcontains(checker: &mut Checker<'_, '_>, call: &Call<'_>) -> Expr {
    if !checker.require_args(call, 2..=2) {
        return Expr::error(call.at());
    }
    let (left, right) = (checker.expr(&call.args[0]), checker.expr(&call.args[1]));
    let left = require_string(checker, left, call, 0);
    let Some(needle) = right.as_text() else {
        if right.ty.is_known() {
            return checker.fail(
                Diagnostic::error(
                    "not-constant",
                    call.args[1].span,
                    "the string to look for must be a constant",
                )
                .label("depends on run time"),
            );
        }
        return Expr::error(call.at());
    };
    if needle.is_empty() {
        return Expr {
            kind: crate::hir::ExprKind::Bool(true),
            ty: Type::Bool,
            span: call.at(),
        };
    }
    call.expr(Type::Bool, vec![left, right])
}

/// Tries each start in turn; the loop is bounded by the string's size.
fn lower_strcontains(lowerer: &mut Lowerer<'_, '_>, used: &Use<'_>, _to: Option<Place>) -> Rvalue {
    let (haystack, needle) = (
        &used.args[0],
        used.args[1].as_text().unwrap_or_default().to_vec(),
    );
    let place = lowerer.bytes(haystack);
    let size = lowerer.size_of(&haystack.ty);
    let result = lowerer.b.variable();
    let (found, missing, done) = (lowerer.b.block(), lowerer.b.block(), lowerer.b.block());
    let Some(last_start) = size.checked_sub(needle.len() as u32) else {
        lowerer.b.jump(missing);
        lowerer.b.enter(found);
        lowerer.b.jump(done);
        lowerer.b.enter(missing);
        let zero = lowerer.b.constant(0);
        lowerer.b.jump(done);
        lowerer.b.enter(done);
        return Rvalue::Scalar(zero);
    };
    let start = lowerer.b.variable();
    let zero = lowerer.b.constant(0);
    lowerer.b.write(start, zero);
    let base = lowerer.address(place);
    let (head, inside, next) = (lowerer.b.block(), lowerer.b.block(), lowerer.b.block());
    lowerer.b.jump(head);
    lowerer.b.switch_to(head);
    let index = lowerer.b.read(start);
    lowerer
        .b
        .branch(Compare::Lt, index, last_start as i32, inside, missing);
    lowerer.b.enter(inside);
    let here = lowerer.b.binary(BinaryOp::Add, base, index);
    for (at, wanted) in needle.iter().enumerate() {
        let got = byte_at(lowerer, place.memory, here, at as i32);
        let more = lowerer.b.block();
        if at == 0 {
            let not_end = lowerer.b.block();
            lowerer.b.branch(Compare::Eq, got, 0, missing, not_end);
            lowerer.b.enter(not_end);
        }
        lowerer
            .b
            .branch(Compare::Eq, got, i32::from(*wanted), more, next);
        lowerer.b.enter(more);
    }
    lowerer.b.jump(found);
    lowerer.b.enter(next);
    let index = lowerer.b.read(start);
    let index = lowerer.b.binary(BinaryOp::Add, index, 1);
    lowerer.b.write(start, index);
    lowerer.b.jump(head);
    lowerer.b.seal(head);
    finish_choice(lowerer, result, (found, 1), (missing, 0), done)
}

fn byte_at(lowerer: &mut Lowerer<'_, '_>, memory: Memory, base: Value, offset: i32) -> Value {
    lowerer.b.emit(Op::Load {
        width: Width::B1,
        signed: false,
        memory,
        base,
        offset,
    })
}

/// `memcmp(a, b, n)`: 0 if equal.
fn check_memcmp(checker: &mut Checker<'_, '_>, call: &Call<'_>) -> Expr {
    if !checker.require_args(call, 3..=3) {
        return Expr::error(call.at());
    }
    let (left, right) = (checker.expr(&call.args[0]), checker.expr(&call.args[1]));
    let Some(count) = checker.constant_int(&call.args[2], "the number of bytes") else {
        return Expr::error(call.at());
    };
    let sizes = [
        checker.types.size_of(&left.ty),
        checker.types.size_of(&right.ty),
    ];
    let least = sizes.into_iter().min().unwrap_or(0);
    if count < 0 || count > i64::from(least) {
        return checker.fail(Diagnostic::error(
            "memcmp-length",
            call.args[2].span,
            format!("there are only {least} bytes to compare"),
        ));
    }
    call.expr_with(Type::I64, vec![left, right], Data::Int(count))
}

fn lower_memcmp(lowerer: &mut Lowerer<'_, '_>, used: &Use<'_>, _to: Option<Place>) -> Rvalue {
    let Data::Int(count) = *used.data else {
        return Rvalue::Nothing;
    };
    let (a, b) = (lowerer.bytes(&used.args[0]), lowerer.bytes(&used.args[1]));
    let result = lowerer.b.variable();
    let (same, other, done) = (lowerer.b.block(), lowerer.b.block(), lowerer.b.block());
    lowerer.branch_on_bytes(a, b, count as u32, 1, same, other);
    finish_choice(lowerer, result, (same, 0), (other, 1), done)
}

fn named_number(checker: &mut Checker<'_, '_>, call: &Call<'_>, ty: Type) -> Expr {
    if !checker.require_args(call, 1..=1) {
        return Expr::error(call.at());
    }
    let number = checker.integer(&call.args[0]);
    call.expr(ty, vec![number])
}

fn number(lowerer: &mut Lowerer<'_, '_>, used: &Use<'_>, _to: Option<Place>) -> Rvalue {
    Rvalue::Scalar(lowerer.scalar(&used.args[0]))
}
