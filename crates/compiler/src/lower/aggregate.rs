//! Aggregations: a value goes into this CPU's cell, or counts in a bucket.
//!
//! Cells lie as [`fathom_bpf::Layout`] says; user space merges them.

use fathom_bpf::map::Storage;

use super::{Lowerer, MapKey, Place};
use crate::hir::{Expr, MapRef};
use crate::ir::{AtomicOp, BinaryOp, Compare, Memory, Op, Value, Width};
use crate::ty::Type;

impl Lowerer<'_, '_> {
    /// `@x[key] = count()` and the like.
    pub(crate) fn aggregate(&mut self, map: MapRef, key: Option<&Expr>, value: Option<&Expr>) {
        let ty = self.map_type(map);
        let value = match value {
            Some(value) => self.scalar(value),
            None => self.b.constant(1),
        };
        if let Type::TimeSeries { .. } = ty {
            return self.add_to_series(map, key, &ty, value);
        }
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

    pub(super) fn if_found(&mut self, pointer: Value, then: impl FnOnce(&mut Self, Value)) {
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
    pub(super) fn add_to_cell(&mut self, cell: Value, offset: i32, amount: i32) {
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

    pub(super) fn add_value_to_cell(&mut self, cell: Value, value: Value) {
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

    pub(super) fn keep_extreme(&mut self, cell: Value, value: Value, better: Compare) {
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
}
