//! `count()`, `sum(n)`, `min(n)`, `max(n)`, `avg(n)`, `stats(n)`, `hist(n[, bits])`, `lhist(n, min, max, step)`.
//!
//! Cells are per CPU and lie as [`fathom_bpf::Layout`] says; user space merges them.

use fathom_bpf::helper::Helper;
use fathom_bpf::map::Storage;
use fathom_syntax::ast;
use fathom_syntax::diagnostic::Diagnostic;

use super::Aggregation;
use crate::check::Checker;
use crate::hir::{Expr, MapRef};
use crate::ir::{AtomicOp, BinaryOp, Compare, Memory, Op, Value, Width};
use crate::lower::{Lowerer, MapKey, Place, assemble};
use crate::ty::Type;

/// Sub-buckets per power of two: 2^5 at most.
const MAX_HIST_BITS: i64 = 5;
/// Most buckets of a linear histogram.
const MAX_LHIST_BUCKETS: i64 = 1000;

/// All aggregations.
pub const TABLE: &[Aggregation] = &[
    Aggregation {
        name: "count",
        check: check_count,
    },
    Aggregation {
        name: "sum",
        check: |c, name, args| numeric(c, name, args, |signed| Type::Sum { signed }),
    },
    Aggregation {
        name: "min",
        check: |c, name, args| numeric(c, name, args, |signed| Type::Min { signed }),
    },
    Aggregation {
        name: "max",
        check: |c, name, args| numeric(c, name, args, |signed| Type::Max { signed }),
    },
    Aggregation {
        name: "avg",
        check: |c, name, args| numeric(c, name, args, |signed| Type::Avg { signed }),
    },
    Aggregation {
        name: "stats",
        check: |c, name, args| numeric(c, name, args, |signed| Type::Stats { signed }),
    },
    Aggregation {
        name: "hist",
        check: check_hist,
    },
    Aggregation {
        name: "lhist",
        check: check_lhist,
    },
];

type CheckResult = Option<(Type, Option<Expr>)>;

fn wrong_count(checker: &mut Checker<'_, '_>, name: &ast::Name, wanted: &str, got: usize) {
    checker.report(Diagnostic::error(
        "argument-count",
        name.span,
        format!("`{}` takes {wanted}, not {got}", name.text),
    ));
}

fn check_count(checker: &mut Checker<'_, '_>, name: &ast::Name, args: &[ast::Expr]) -> CheckResult {
    if !args.is_empty() {
        wrong_count(checker, name, "no arguments", args.len());
    }
    Some((Type::Count, None))
}

fn numeric(
    checker: &mut Checker<'_, '_>,
    name: &ast::Name,
    args: &[ast::Expr],
    ty: fn(bool) -> Type,
) -> CheckResult {
    let [arg] = args else {
        wrong_count(checker, name, "one argument", args.len());
        return None;
    };
    let value = checker.integer(arg);
    let signed = matches!(value.ty, Type::Int { signed: true, .. });
    Some((ty(signed), Some(value)))
}

fn check_hist(checker: &mut Checker<'_, '_>, name: &ast::Name, args: &[ast::Expr]) -> CheckResult {
    let (arg, bits) = match args {
        [arg] => (arg, 0),
        [arg, bits] => {
            let value = checker.constant_int(bits, "the number of bits")?;
            if !(0..=MAX_HIST_BITS).contains(&value) {
                checker.report(
                    Diagnostic::error(
                        "hist-bits",
                        bits.span,
                        format!("{value} bits are too many for a histogram"),
                    )
                    .label(format!("0 to {MAX_HIST_BITS}")),
                );
                return None;
            }
            (arg, value as u32)
        }
        _ => {
            wrong_count(checker, name, "one or two arguments", args.len());
            return None;
        }
    };
    let value = checker.integer(arg);
    Some((Type::Hist { bits }, Some(value)))
}

fn check_lhist(checker: &mut Checker<'_, '_>, name: &ast::Name, args: &[ast::Expr]) -> CheckResult {
    let [arg, min, max, step] = args else {
        wrong_count(
            checker,
            name,
            "four arguments (value, min, max, step)",
            args.len(),
        );
        return None;
    };
    let value = checker.integer(arg);
    let at = min.span.to(step.span);
    let min = checker.constant_int(min, "the lower bound")?;
    let max = checker.constant_int(max, "the upper bound")?;
    let step = checker.constant_int(step, "the step")?;
    let problem = if step <= 0 {
        Some("the step must be greater than zero".to_owned())
    } else if max <= min {
        Some("the upper bound must be greater than the lower one".to_owned())
    } else if i128::from(max) - i128::from(min) > i128::from(step) * i128::from(MAX_LHIST_BUCKETS) {
        Some(format!("more than {MAX_LHIST_BUCKETS} buckets"))
    } else {
        None
    };
    if let Some(problem) = problem {
        checker.report(
            Diagnostic::error("lhist-bounds", at, problem)
                .help("take a larger step or nearer bounds"),
        );
        return None;
    }
    Some((Type::Lhist { min, max, step }, Some(value)))
}

impl Lowerer<'_, '_> {
    /// `@x[key] = count()` and the like.
    pub(crate) fn aggregate(&mut self, map: MapRef, key: Option<&Expr>, value: Option<&Expr>) {
        let ty = self.map_type(map);
        let value = match value {
            Some(value) => self.scalar(value),
            None => self.b.constant(1),
        };
        match self.map_storage(map) {
            Storage::BucketArray => {
                let bucket = self.bucket(&ty, value);
                let place = self.temporary(4, "number of a bucket");
                self.b
                    .store(Width::B4, place.memory, place.base, place.offset, bucket);
                let cell = self.look_up(map, place.into());
                self.if_found(cell, |lower, cell| lower.add_to_cell(cell, 0, 1));
            }
            Storage::Buckets => {
                let bucket = self.bucket(&ty, value);
                let key = self.key(map, key);
                let at = self.out.key_size(self.map_id(map)) - 8;
                let place = key.place.plus(at);
                self.b
                    .store(Width::B8, place.memory, place.base, place.offset, bucket);
                self.update_or_insert(map, key, &Type::Count, value);
            }
            _ => {
                let is_keyed = key.is_some();
                let key = self.key(map, key);
                if is_keyed {
                    return self.update_or_insert(map, key, &ty, value);
                }
                let cell = self.look_up(map, key);
                self.if_found(cell, |lower, cell| lower.update_cell(&ty, cell, value));
            }
        }
    }

    fn if_found(&mut self, pointer: Value, then: impl FnOnce(&mut Self, Value)) {
        let (found, done) = (self.b.block(), self.b.block());
        self.b.branch(Compare::Ne, pointer, 0, found, done);
        self.b.enter(found);
        then(self, pointer);
        self.b.jump(done);
        self.b.enter(done);
    }

    fn update_or_insert(&mut self, map: MapRef, key: MapKey, ty: &Type, value: Value) {
        let Some(slots) = self.cpu_slots(map) else {
            return self.update_or_insert_in_hash(map, key, ty, value);
        };
        let (full, done) = (self.b.block(), self.b.block());
        self.aggregate_in_slot(
            slots,
            key,
            full,
            |lower, cell| lower.update_cell(ty, cell, value),
            |lower, cell| lower.start_cell(ty, cell, value),
        );
        self.b.jump(done);
        self.b.enter(full);
        self.update_or_insert_in_hash(map, key, ty, value);
        self.b.jump(done);
        self.b.enter(done);
    }

    fn update_or_insert_in_hash(&mut self, map: MapRef, key: MapKey, ty: &Type, value: Value) {
        let cell = self.look_up(map, key);
        let (found, missing, done) = (self.b.block(), self.b.block(), self.b.block());
        self.b.branch(Compare::Ne, cell, 0, found, missing);
        self.b.enter(found);
        self.update_cell(ty, cell, value);
        self.b.jump(done);
        self.b.enter(missing);
        let size = self.size_of(ty);
        let first = self.temporary(size, "first value of a key");
        self.start_cell(ty, first, value);
        self.update(map, key, first);
        self.b.jump(done);
        self.b.enter(done);
    }

    /// Writes a cell that holds one value.
    fn start_cell(&mut self, ty: &Type, cell: Place, value: Value) {
        let start = match ty {
            Type::Count => self.b.constant(1),
            _ => value,
        };
        self.b
            .store(Width::B8, cell.memory, cell.base, cell.offset, start);
        if self.size_of(ty) > 8 {
            self.b
                .store(Width::B8, cell.memory, cell.base, cell.offset + 8, 1);
        }
    }

    /// Adds a value to this CPU's cell.
    fn update_cell(&mut self, ty: &Type, cell: Value, value: Value) {
        match ty {
            Type::Count => self.add_to_cell(cell, 0, 1),
            Type::Sum { .. } => {
                self.add_value_to_cell(cell, value);
                self.b.store(Width::B8, Memory::Map, cell, 8, 1);
            }
            Type::Avg { .. } | Type::Stats { .. } => {
                self.add_value_to_cell(cell, value);
                self.add_to_cell(cell, 8, 1);
            }
            Type::Min { signed } => {
                let op = if *signed { Compare::Slt } else { Compare::Lt };
                self.keep_extreme(cell, value, op);
            }
            Type::Max { signed } => {
                let op = if *signed { Compare::Sgt } else { Compare::Gt };
                self.keep_extreme(cell, value, op);
            }
            other => unreachable!("lower: {other} has no single cell"),
        }
    }

    /// User-space probes can be preempted by others on the same CPU: their additions are atomic.
    fn add_to_cell(&mut self, cell: Value, offset: i32, amount: i32) {
        if self.group.context.is_user {
            let value = self.b.constant(i64::from(amount));
            self.b.effect(Op::Atomic {
                op: AtomicOp::Add,
                width: Width::B8,
                base: cell,
                offset,
                value,
            });
            return;
        }
        let before = self.b.load(Width::B8, Memory::Map, cell, offset);
        let after = self.b.binary(BinaryOp::Add, before, amount);
        self.b.store(Width::B8, Memory::Map, cell, offset, after);
    }

    fn add_value_to_cell(&mut self, cell: Value, value: Value) {
        if self.group.context.is_user {
            self.b.effect(Op::Atomic {
                op: AtomicOp::Add,
                width: Width::B8,
                base: cell,
                offset: 0,
                value,
            });
            return;
        }
        let before = self.b.load(Width::B8, Memory::Map, cell, 0);
        let after = self.b.binary(BinaryOp::Add, before, value);
        self.b.store(Width::B8, Memory::Map, cell, 0, after);
    }

    fn keep_extreme(&mut self, cell: Value, value: Value, better: Compare) {
        let (compare, take, done) = (self.b.block(), self.b.block(), self.b.block());
        let uses = self.b.load(Width::B8, Memory::Map, cell, 8);
        self.b.branch(Compare::Eq, uses, 0, take, compare);
        self.b.enter(compare);
        let before = self.b.load(Width::B8, Memory::Map, cell, 0);
        self.b.branch(better, value, before, take, done);
        self.b.enter(take);
        self.b.store(Width::B8, Memory::Map, cell, 0, value);
        self.b.store(Width::B8, Memory::Map, cell, 8, 1);
        self.b.jump(done);
        self.b.enter(done);
    }

    fn bucket(&mut self, ty: &Type, value: Value) -> Value {
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

    /// The aggregation's value now, over all CPUs (`bpf_map_lookup_percpu_elem`, Linux 5.19).
    pub(crate) fn aggregate_value(&mut self, map: MapRef, key: Option<&Expr>) -> Value {
        let key = self.key(map, key);
        self.merged_value(map, key)
    }

    fn merged_value(&mut self, map: MapRef, key: MapKey) -> Value {
        let ty = self.map_type(map);
        let total = self.b.variable();
        let uses = self.b.variable();
        let zero = self.b.constant(0);
        self.b.write(total, zero);
        self.b.write(uses, zero);
        self.for_each_cpu(map, key, |lower, cell| {
            let value = lower.b.load(Width::B8, Memory::Map, cell, 0);
            let so_far = lower.b.read(total);
            match &ty {
                Type::Min { signed } | Type::Max { signed } => {
                    let is_min = matches!(ty, Type::Min { .. });
                    lower.merge_extreme(cell, value, (total, uses), is_min, *signed);
                }
                _ => {
                    let sum = lower.b.binary(BinaryOp::Add, so_far, value);
                    lower.b.write(total, sum);
                    if matches!(ty, Type::Avg { .. } | Type::Stats { .. }) {
                        let more = lower.b.load(Width::B8, Memory::Map, cell, 8);
                        let count = lower.b.read(uses);
                        let count = lower.b.binary(BinaryOp::Add, count, more);
                        lower.b.write(uses, count);
                    }
                }
            }
        });
        let sum = self.b.read(total);
        match ty {
            Type::Avg { .. } | Type::Stats { .. } => {
                let count = self.b.read(uses);
                self.b.binary(BinaryOp::Div, sum, count)
            }
            _ => sum,
        }
    }

    fn merge_extreme(
        &mut self,
        cell: Value,
        value: Value,
        (total, uses): (crate::ir::Variable, crate::ir::Variable),
        is_min: bool,
        signed: bool,
    ) {
        let better = match (is_min, signed) {
            (true, true) => Compare::Slt,
            (true, false) => Compare::Lt,
            (false, true) => Compare::Sgt,
            (false, false) => Compare::Gt,
        };
        let (used, compare, take, done) = (
            self.b.block(),
            self.b.block(),
            self.b.block(),
            self.b.block(),
        );
        let cell_uses = self.b.load(Width::B8, Memory::Map, cell, 8);
        self.b.branch(Compare::Ne, cell_uses, 0, used, done);
        self.b.enter(used);
        let seen = self.b.read(uses);
        self.b.branch(Compare::Eq, seen, 0, take, compare);
        self.b.enter(compare);
        let so_far = self.b.read(total);
        self.b.branch(better, value, so_far, take, done);
        self.b.enter(take);
        self.b.write(total, value);
        let one = self.b.constant(1);
        self.b.write(uses, one);
        self.b.jump(done);
        self.b.enter(done);
    }

    /// Runs `visit` with each CPU's cell of a key.
    fn for_each_cpu(&mut self, map: MapRef, key: MapKey, visit: impl FnOnce(&mut Self, Value)) {
        let cpu = self.b.variable();
        let zero = self.b.constant(0);
        self.b.write(cpu, zero);
        let (head, inside, found, next, done) = (
            self.b.block(),
            self.b.block(),
            self.b.block(),
            self.b.block(),
            self.b.block(),
        );
        self.b.jump(head);
        self.b.switch_to(head);
        let number = self.b.read(cpu);
        let count = self.env.cpu_count as i32;
        self.b.branch(Compare::Lt, number, count, inside, done);
        self.b.enter(inside);
        let table = self.table(map, key);
        let key = self.address(key.place);
        let cell = self
            .b
            .call(Helper::MAP_LOOKUP_PERCPU_ELEM, &[table, key, number]);
        self.b.branch(Compare::Ne, cell, 0, found, next);
        self.b.enter(found);
        visit(self, cell);
        self.b.jump(next);
        self.b.enter(next);
        let number = self.b.read(cpu);
        let number = self.b.binary(BinaryOp::Add, number, 1);
        self.b.write(cpu, number);
        self.b.jump(head);
        self.b.seal(head);
        self.b.enter(done);
    }

    /// The value part of `$kv` for a per-CPU map: merged over CPUs when it is one number, else this CPU's cell.
    pub(crate) fn element_value(
        &mut self,
        map: MapRef,
        key: Place,
        value: Place,
        to: Place,
        ty: &Type,
    ) {
        let map_ty = self.map_type(map);
        if !map_ty.is_aggregation() {
            let layout = self.layout(ty);
            return self.copy(to, value, layout.size(), layout.align());
        }
        let merged = self.merged_value(map, key.into());
        self.store_scalar(to, ty, merged);
    }

    /// Deletes an aggregation that lies in several cells.
    pub(crate) fn delete_cells(&mut self, map: MapRef, key: Option<&Expr>) -> Value {
        let ty = self.map_type(map);
        match self.map_storage(map) {
            Storage::PerCpuScalar => {
                let key = self.key(map, None);
                let size = self.size_of(&ty);
                self.for_each_cpu(map, key, |lower, cell| {
                    let place = Place {
                        base: cell,
                        offset: 0,
                        memory: Memory::Map,
                    };
                    lower.zero(place, size);
                });
                self.b.constant(1)
            }
            storage => {
                let layout = self.layout(&ty);
                let buckets = assemble::bucket_count(&layout);
                self.delete_buckets(map, key, buckets, storage == Storage::Buckets)
            }
        }
    }

    fn delete_buckets(
        &mut self,
        map: MapRef,
        key: Option<&Expr>,
        buckets: u32,
        is_keyed: bool,
    ) -> Value {
        let key = self.key(map, key);
        let place = key.place;
        let at = self.out.key_size(self.map_id(map)) - if is_keyed { 8 } else { 4 };
        let bucket = self.b.variable();
        let zero = self.b.constant(0);
        self.b.write(bucket, zero);
        let (head, inside, done) = (self.b.block(), self.b.block(), self.b.block());
        self.b.jump(head);
        self.b.switch_to(head);
        let number = self.b.read(bucket);
        self.b
            .branch(Compare::Lt, number, buckets as i32, inside, done);
        self.b.enter(inside);
        let width = if is_keyed { Width::B8 } else { Width::B4 };
        self.b.store(
            width,
            place.memory,
            place.base,
            place.offset + at as i32,
            number,
        );
        if is_keyed {
            let table = self.table(map, key);
            let key = self.address(place);
            self.b.call(Helper::MAP_DELETE_ELEM, &[table, key]);
        } else {
            self.for_each_cpu(map, key, |lower, cell| {
                lower.b.store(Width::B8, Memory::Map, cell, 0, 0)
            });
        }
        let number = self.b.read(bucket);
        let number = self.b.binary(BinaryOp::Add, number, 1);
        self.b.write(bucket, number);
        self.b.jump(head);
        self.b.seal(head);
        self.b.enter(done);
        self.b.constant(1)
    }
}
