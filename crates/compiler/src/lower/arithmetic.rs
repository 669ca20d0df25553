//! Integer arithmetic, division above all.

use super::Lowerer;
use crate::hir::Expr;
use crate::ir::{BinaryOp, Compare, Value};

impl Lowerer<'_, '_> {
    /// `left op right` of numbers that are converted already.
    pub(super) fn arithmetic(
        &mut self,
        op: BinaryOp,
        is_signed: bool,
        left: &Expr,
        right: &Expr,
    ) -> Value {
        let lhs = self.scalar(left);
        if !matches!(op, BinaryOp::Div | BinaryOp::Rem) {
            let rhs = self.operand(right);
            return self.b.binary(op, lhs, rhs);
        }
        if right.as_int().is_some() {
            return self.division(op, is_signed, lhs, right);
        }
        // As in bpftrace, the result of dividing by zero is 1.
        let divisor = self.scalar(right);
        let result = self.b.variable();
        let one = self.b.constant(1);
        self.b.write(result, one);
        let (divide, done) = (self.b.block(), self.b.block());
        self.b.branch(Compare::Ne, divisor, 0, divide, done);
        self.b.enter(divide);
        let quotient = match is_signed {
            true => self.signed_division(op, lhs, divisor),
            false => self.b.binary(op, lhs, divisor),
        };
        self.b.write(result, quotient);
        self.b.jump(done);
        self.b.enter(done);
        self.b.read(result)
    }

    /// By a constant that is not zero.
    fn division(&mut self, op: BinaryOp, is_signed: bool, lhs: Value, right: &Expr) -> Value {
        if is_signed {
            let rhs = self.scalar(right);
            return self.signed_division(op, lhs, rhs);
        }
        let rhs = self.operand(right);
        self.b.binary(op, lhs, rhs)
    }

    /// Division by sign: the magnitudes are divided, then the sign put back (instruction set before v4 has no `sdiv`).
    fn signed_division(&mut self, op: BinaryOp, lhs: Value, rhs: Value) -> Value {
        let magnitude = |lower: &mut Self, value: Value| {
            let sign = lower.b.binary(BinaryOp::Sar, value, 63);
            let flipped = lower.b.binary(BinaryOp::Xor, value, sign);
            (lower.b.binary(BinaryOp::Sub, flipped, sign), sign)
        };
        let (dividend, dividend_sign) = magnitude(self, lhs);
        let (divisor, divisor_sign) = magnitude(self, rhs);
        let result = self.b.binary(op, dividend, divisor);
        let sign = match op {
            BinaryOp::Div => self.b.binary(BinaryOp::Xor, dividend_sign, divisor_sign),
            _ => dividend_sign,
        };
        let flipped = self.b.binary(BinaryOp::Xor, result, sign);
        self.b.binary(BinaryOp::Sub, flipped, sign)
    }
}
