//! Comparing and searching: `strncmp`, `memcmp`, `strcontains`, `strstr`.

use fathom_syntax::diagnostic::Diagnostic;

use super::strings::require_string;
use super::{Builtin, Use};
use crate::check::{Call, Checker};
use crate::hir::{Data, Expr};
use crate::ir::{BinaryOp, BlockId, Compare, Memory, Op, Value, Variable, Width};
use crate::lower::{Lowerer, Place, Rvalue};
use crate::ty::Type;

/// What `strstr` gives when there is nothing to find: the kernel's `-ENOENT`, as in bpftrace.
const NOT_FOUND: i64 = -2;
/// Steps that a search for a string that is not constant may take: the kernel's verifier walks each of them.
const MAX_SEARCH_STEPS: u32 = 1 << 13;

pub const TABLE: &[Builtin] = &[
    Builtin {
        name: "strncmp",
        check: check_strncmp,
        lower: lower_strncmp,
    },
    Builtin {
        name: "memcmp",
        check: check_memcmp,
        lower: lower_memcmp,
    },
    Builtin {
        name: "strcontains",
        check: |c, call| check_search(c, call, Type::Bool),
        lower: |l, u, _| {
            let index = search(l, u);
            Rvalue::Scalar(l.b.compare(Compare::Sge, index, 0))
        },
    },
    Builtin {
        name: "strstr",
        check: |c, call| check_search(c, call, Type::I64),
        lower: |l, u, _| Rvalue::Scalar(search(l, u)),
    },
];

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
    result: Variable,
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

/// `strcontains(haystack, needle)`, `strstr(haystack, needle)`
fn check_search(checker: &mut Checker<'_, '_>, call: &Call<'_>, ty: Type) -> Expr {
    if !checker.require_args(call, 2..=2) {
        return Expr::error(call.at());
    }
    let (left, right) = (checker.expr(&call.args[0]), checker.expr(&call.args[1]));
    let left = require_string(checker, left, call, 0);
    let right = require_string(checker, right, call, 1);
    let steps = checker.types.size_of(&left.ty) * checker.types.size_of(&right.ty);
    if right.as_text().is_none() && steps > MAX_SEARCH_STEPS && right.ty.is_known() {
        return checker.fail(
            Diagnostic::error(
                "search-too-long",
                call.span,
                "the kernel would refuse a search that may take so many steps",
            )
            .note(format!(
                "lengths multiplied give {steps}, at most {MAX_SEARCH_STEPS} are allowed"
            ))
            .help("cut the strings, for example `str(pointer, 64)`, or search for a constant"),
        );
    }
    call.expr(ty, vec![left, right])
}

/// Index of the second string in the first one, or [`NOT_FOUND`].
fn search(lowerer: &mut Lowerer<'_, '_>, used: &Use<'_>) -> Value {
    let haystack = lowerer.bytes(&used.args[0]);
    let size = lowerer.size_of(&used.args[0].ty);
    let result = lowerer.b.variable();
    let none = lowerer.b.constant(NOT_FOUND);
    lowerer.b.write(result, none);
    let (found, done) = (lowerer.b.block(), lowerer.b.block());
    match used.args[1].as_text() {
        Some(needle) => search_constant(lowerer, (haystack, size), needle, result, found, done),
        None => {
            let needle = lowerer.bytes(&used.args[1]);
            let needle_size = lowerer.size_of(&used.args[1].ty);
            search_string(
                lowerer,
                (haystack, size),
                (needle, needle_size),
                result,
                found,
                done,
            );
        }
    }
    lowerer.b.enter(found);
    lowerer.b.jump(done);
    lowerer.b.enter(done);
    lowerer.b.read(result)
}

/// Tries each start in turn. `result` is the start when `found` is reached and [`NOT_FOUND`] at `done`.
fn search_constant(
    lowerer: &mut Lowerer<'_, '_>,
    (place, size): (Place, u32),
    needle: &[u8],
    result: Variable,
    found: BlockId,
    done: BlockId,
) {
    let starts = size.saturating_sub(needle.len() as u32);
    let start = Counter::new(lowerer);
    let base = lowerer.address(place);
    let (inside, next) = (lowerer.b.block(), lowerer.b.block());
    let index = start.check(lowerer, starts, inside, done);
    let here = lowerer.b.binary(BinaryOp::Add, base, index);
    for (at, wanted) in needle.iter().enumerate() {
        let got = byte_at(lowerer, place.memory, here, at as i32);
        if at == 0 {
            let not_end = lowerer.b.block();
            lowerer.b.branch(Compare::Eq, got, 0, done, not_end);
            lowerer.b.enter(not_end);
        }
        let more = lowerer.b.block();
        lowerer
            .b
            .branch(Compare::Eq, got, i32::from(*wanted), more, next);
        lowerer.b.enter(more);
    }
    lowerer.b.write(result, index);
    lowerer.b.jump(found);
    lowerer.b.enter(next);
    start.repeat(lowerer);
}

/// The same with a needle known at run time.
fn search_string(
    lowerer: &mut Lowerer<'_, '_>,
    (haystack, size): (Place, u32),
    (needle, needle_size): (Place, u32),
    result: Variable,
    found: BlockId,
    done: BlockId,
) {
    let (hay_base, needle_base) = (lowerer.address(haystack), lowerer.address(needle));
    let (whole, next) = (lowerer.b.block(), lowerer.b.block());
    let start = Counter::new(lowerer);
    let inside = lowerer.b.block();
    let index = start.check(lowerer, size, inside, done);
    let at = Counter::new(lowerer);
    let inner = lowerer.b.block();
    let offset = at.check(lowerer, needle_size, inner, whole);
    let needle_here = lowerer.b.binary(BinaryOp::Add, needle_base, offset);
    let wanted = byte_at(lowerer, needle.memory, needle_here, 0);
    let not_whole = lowerer.b.block();
    lowerer.b.branch(Compare::Eq, wanted, 0, whole, not_whole);
    lowerer.b.enter(not_whole);
    let position = lowerer.b.binary(BinaryOp::Add, index, offset);
    let in_hay = lowerer.b.block();
    lowerer
        .b
        .branch(Compare::Lt, position, size as i32, in_hay, done);
    lowerer.b.enter(in_hay);
    let hay_here = lowerer.b.binary(BinaryOp::Add, hay_base, position);
    let got = byte_at(lowerer, haystack.memory, hay_here, 0);
    let not_end = lowerer.b.block();
    lowerer.b.branch(Compare::Eq, got, 0, done, not_end);
    lowerer.b.enter(not_end);
    let equal = lowerer.b.block();
    lowerer.b.branch(Compare::Eq, got, wanted, equal, next);
    lowerer.b.enter(equal);
    at.repeat(lowerer);
    lowerer.b.enter(whole);
    lowerer.b.write(result, index);
    lowerer.b.jump(found);
    lowerer.b.enter(next);
    start.repeat(lowerer);
}

/// A loop from 0 upwards.
struct Counter {
    number: Variable,
    head: BlockId,
}

impl Counter {
    fn new(lowerer: &mut Lowerer<'_, '_>) -> Counter {
        let number = lowerer.b.variable();
        let zero = lowerer.b.constant(0);
        lowerer.b.write(number, zero);
        let head = lowerer.b.block();
        lowerer.b.jump(head);
        lowerer.b.switch_to(head);
        Counter { number, head }
    }

    /// Goes on in `inside` with the number if it is below the limit, else to `out`.
    fn check(
        &self,
        lowerer: &mut Lowerer<'_, '_>,
        limit: u32,
        inside: BlockId,
        out: BlockId,
    ) -> Value {
        let number = lowerer.b.read(self.number);
        lowerer
            .b
            .branch(Compare::Lt, number, limit as i32, inside, out);
        lowerer.b.enter(inside);
        number
    }

    /// The next turn.
    fn repeat(&self, lowerer: &mut Lowerer<'_, '_>) {
        let number = lowerer.b.read(self.number);
        let number = lowerer.b.binary(BinaryOp::Add, number, 1);
        lowerer.b.write(self.number, number);
        lowerer.b.jump(self.head);
        lowerer.b.seal(self.head);
    }
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

/// `memcmp(a, b, n)`: 0 if equal, else the difference of the first bytes that differ.
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
    let (a_base, b_base) = (lowerer.address(a), lowerer.address(b));
    let result = lowerer.b.variable();
    let zero = lowerer.b.constant(0);
    lowerer.b.write(result, zero);
    let (inside, next, done) = (lowerer.b.block(), lowerer.b.block(), lowerer.b.block());
    let counter = Counter::new(lowerer);
    let index = counter.check(lowerer, count as u32, inside, done);
    let a_here = lowerer.b.binary(BinaryOp::Add, a_base, index);
    let x = byte_at(lowerer, a.memory, a_here, 0);
    let b_here = lowerer.b.binary(BinaryOp::Add, b_base, index);
    let y = byte_at(lowerer, b.memory, b_here, 0);
    let difference = lowerer.b.binary(BinaryOp::Sub, x, y);
    lowerer.b.write(result, difference);
    lowerer.b.branch(Compare::Eq, difference, 0, next, done);
    lowerer.b.enter(next);
    counter.repeat(lowerer);
    lowerer.b.enter(done);
    Rvalue::Scalar(lowerer.b.read(result))
}
