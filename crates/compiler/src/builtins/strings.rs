//! Strings and buffers: `str`, `buf`, `strlen`, `strcap`, `str_concat`.

use fathom_syntax::ast::{BinaryOp as BinaryOperator, ExprKind as Ast};
use fathom_syntax::diagnostic::Diagnostic;

use super::{Builtin, Use, nothing};
use crate::check::{Call, Checker};
use crate::hir::Expr;
use crate::ir::{BinaryOp, Compare, Value, Width};
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
        name: "strcap",
        check: check_strcap,
        lower: nothing,
    },
    Builtin {
        name: "str_concat",
        check: check_concat,
        lower: lower_concat,
    },
    Builtin {
        name: "default_str_length",
        check: |c, call| {
            c.require_args(call, 0..=0);
            Expr::int(i64::from(c.max_string()), Type::U64, call.at())
        },
        lower: nothing,
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
        return constant_part(checker, call, text.as_bytes());
    }
    if let Some(text) = rest_of_param(checker, &call.args[0]) {
        return constant_part(checker, call, text.as_bytes());
    }
    let source = checker.expr(&call.args[0]);
    if let Some(text) = source.as_text() {
        let text = text.to_vec();
        return constant_part(checker, call, &text);
    }
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
        let length = checker.length_of_text(length);
        match length.as_int() {
            Some(constant) if constant >= 0 => {
                // The NUL is one of them.
                size = constant.clamp(1, i64::from(max)) as u32
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

/// A text known while compiling, cut to the length given.
fn constant_part(checker: &mut Checker<'_, '_>, call: &Call<'_>, text: &[u8]) -> Expr {
    let length = match call.args.get(1) {
        None => None,
        Some(length) => checker.constant_int(length, "the length of a parameter"),
    };
    let length = length.and_then(|length| usize::try_from(length).ok());
    let end = length.unwrap_or(text.len()).min(text.len());
    checker.string(&text[..end], call.at())
}

/// `str($1 + 2)`: the parameter's text without its first characters.
fn rest_of_param(checker: &mut Checker<'_, '_>, arg: &fathom_syntax::ast::Expr) -> Option<String> {
    let Ast::Binary {
        op: BinaryOperator::Add,
        left,
        right,
        ..
    } = &arg.kind
    else {
        return None;
    };
    let Ast::Param(number) = &left.kind else {
        return None;
    };
    let skipped = usize::try_from(checker.expr(right).as_int()?).ok()?;
    let text = checker.params.get((*number as usize).wrapping_sub(1))?;
    let start = text.floor_char_boundary(skipped.min(text.len()));
    Some(text[start..].to_owned())
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
            let length = lowerer.read_string(place, limit, address, space);
            if used.args.len() == 1 && u64::from(*size) == lowerer.env.config.max_strlen {
                mark_cut(lowerer, (place, *size), length, (address, space));
            }
            Rvalue::Bytes(place)
        }
    }
}

/// A text that fills its place may go on. The byte where the NUL stands is read for itself: a text without any NUL is one that was
/// cut, which is shown.
fn mark_cut(
    lowerer: &mut Lowerer<'_, '_>,
    (place, size): (Place, u32),
    length: Value,
    (address, space): (Value, Space),
) {
    let (full, done) = (lowerer.b.block(), lowerer.b.block());
    lowerer
        .b
        .branch(Compare::Eq, length, size as i32, full, done);
    lowerer.b.enter(full);
    let last = lowerer.b.binary(BinaryOp::Add, address, size as i32 - 1);
    lowerer.read_remote(place.plus(size - 1), 1, last, space);
    lowerer.b.jump(done);
    lowerer.b.enter(done);
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
    // No bytes at all would leave what was there before; one is the NUL.
    let is_none = lowerer.b.compare(Compare::Eq, length, 0);
    let wanted = lowerer.b.binary(BinaryOp::Add, length, is_none);
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
    let value = match lowerer.rvalue(source) {
        Rvalue::Literal(_) => Rvalue::Bytes(lowerer.bytes(source)),
        value => value,
    };
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
pub(super) fn require_string(
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

/// Bytes that a string may have, the NUL included.
fn check_strcap(checker: &mut Checker<'_, '_>, call: &Call<'_>) -> Expr {
    if !checker.require_args(call, 1..=1) {
        return Expr::error(call.at());
    }
    let text = checker.expr(&call.args[0]);
    let text = require_string(checker, text, call, 0);
    let size = checker.types.size_of(&text.ty);
    Expr::int(i64::from(size), Type::U64, call.at())
}

fn check_concat(checker: &mut Checker<'_, '_>, call: &Call<'_>) -> Expr {
    if !checker.require_args(call, 2..=2) {
        return Expr::error(call.at());
    }
    let mut args = Vec::new();
    let mut size = 0;
    for (index, arg) in call.args.iter().enumerate() {
        let text = checker.expr(arg);
        let text = require_string(checker, text, call, index);
        size += checker.types.size_of(&text.ty);
        args.push(text);
    }
    // One NUL is enough.
    let size = size.saturating_sub(1).clamp(1, checker.max_string());
    call.expr(Type::String { size }, args)
}

/// Reads the first string into place, then the second one behind it. Scratch memory is used: the stack may not be written at an
/// offset that is only known at run time on older kernels.
fn lower_concat(lowerer: &mut Lowerer<'_, '_>, used: &Use<'_>, _to: Option<Place>) -> Rvalue {
    let Type::String { size } = *used.ty else {
        return Rvalue::Nothing;
    };
    let (first, second) = (lowerer.bytes(&used.args[0]), lowerer.bytes(&used.args[1]));
    let first_size = lowerer.size_of(&used.args[0].ty).min(size);
    let second_size = lowerer.size_of(&used.args[1].ty);
    let place = lowerer.scratch_temporary(first_size + second_size);
    lowerer.zero(place, first_size + second_size);
    let from = lowerer.address(first);
    let limit = lowerer.b.constant(i64::from(first_size));
    let length = lowerer.read_string(place, limit, from, Space::Kernel);
    let length = lowerer.b.binary(BinaryOp::Sub, length, 1);
    // A failed read leaves an empty string.
    let length = at_most(lowerer, length, first_size - 1);
    let start = lowerer.address(place);
    let behind = lowerer.b.binary(BinaryOp::Add, start, length);
    let behind = Place {
        base: behind,
        offset: 0,
        memory: place.memory,
    };
    let from = lowerer.address(second);
    let limit = lowerer.b.constant(i64::from(second_size));
    lowerer.read_string(behind, limit, from, Space::Kernel);
    if first_size + second_size > size {
        let last = place.plus(size - 1);
        lowerer
            .b
            .store(Width::B1, last.memory, last.base, last.offset, 0);
    }
    Rvalue::Bytes(place)
}
