//! Which bucket of a histogram a value counts in.

use super::Lowerer;
use crate::ir::{BinaryOp, Compare, Value};
use crate::ty::Type;

impl Lowerer<'_, '_> {
    pub(super) fn bucket(&mut self, ty: &Type, value: Value) -> Value {
        match ty {
            Type::Hist { bits } => self.hist_bucket(value, *bits),
            Type::Lhist { min, max, step } => self.lhist_bucket(value, *min, *max, *step),
            other => unreachable!("lower: {other} has no buckets"),
        }
    }

    /// See [`fathom_bpf::layout::hist_bucket_count`] for the numbering.
    fn hist_bucket(&mut self, value: Value, bits: u32) -> Value {
        let sub_buckets = 1i32 << bits;
        let result = self.b.variable();
        let (positive, small, large, done) = (
            self.b.block(),
            self.b.block(),
            self.b.block(),
            self.b.block(),
        );
        let zero = self.b.constant(0);
        self.b.write(result, zero);
        self.b.branch(Compare::Slt, value, 0, done, positive);
        self.b.enter(positive);
        self.b.branch(Compare::Lt, value, sub_buckets, small, large);
        self.b.enter(small);
        let bucket = self.b.binary(BinaryOp::Add, value, 1);
        self.b.write(result, bucket);
        self.b.jump(done);
        self.b.enter(large);
        let power = self.highest_bit(value);
        let shift = self.b.binary(BinaryOp::Sub, power, bits as i32);
        let shifted = self.b.binary(BinaryOp::Shr, value, shift);
        let sub = self.b.binary(BinaryOp::And, shifted, sub_buckets - 1);
        let row = self.b.binary(BinaryOp::Shl, shift, bits as i32);
        let bucket = self.b.binary(BinaryOp::Add, row, sub);
        let bucket = self.b.binary(BinaryOp::Add, bucket, 1 + sub_buckets);
        self.b.write(result, bucket);
        self.b.jump(done);
        self.b.enter(done);
        self.b.read(result)
    }

    /// Number of the highest bit set, by halving. The value is not zero.
    fn highest_bit(&mut self, value: Value) -> Value {
        let rest = self.b.variable();
        let power = self.b.variable();
        self.b.write(rest, value);
        let zero = self.b.constant(0);
        self.b.write(power, zero);
        for step in [32, 16, 8, 4, 2, 1] {
            let (high, next) = (self.b.block(), self.b.block());
            let current = self.b.read(rest);
            let above = self.b.binary(BinaryOp::Shr, current, step);
            self.b.branch(Compare::Ne, above, 0, high, next);
            self.b.enter(high);
            self.b.write(rest, above);
            let before = self.b.read(power);
            let after = self.b.binary(BinaryOp::Add, before, step);
            self.b.write(power, after);
            self.b.jump(next);
            self.b.enter(next);
        }
        self.b.read(power)
    }

    fn lhist_bucket(&mut self, value: Value, min: i64, max: i64, step: i64) -> Value {
        let count = (max as i128 - min as i128) / step as i128;
        let result = self.b.variable();
        let zero = self.b.constant(0);
        self.b.write(result, zero);
        let (above, inside, over, done) = (
            self.b.block(),
            self.b.block(),
            self.b.block(),
            self.b.block(),
        );
        let low = self.b.constant(min);
        self.b.branch(Compare::Slt, value, low, done, above);
        self.b.enter(above);
        let high = self.b.constant(max);
        self.b.branch(Compare::Sge, value, high, over, inside);
        self.b.enter(over);
        let last = self.b.constant(count as i64 + 1);
        self.b.write(result, last);
        self.b.jump(done);
        self.b.enter(inside);
        let distance = self.b.binary(BinaryOp::Sub, value, low);
        let step = self.b.constant(step);
        let index = self.b.binary(BinaryOp::Div, distance, step);
        let bucket = self.b.binary(BinaryOp::Add, index, 1);
        self.b.write(result, bucket);
        self.b.jump(done);
        self.b.enter(done);
        self.b.read(result)
    }
}
