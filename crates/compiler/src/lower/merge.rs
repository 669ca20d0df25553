//! The cells of all CPUs: read as one value (`bpf_map_lookup_percpu_elem`, Linux 5.19), or deleted.

use fathom_bpf::helper::Helper;
use fathom_bpf::map::Storage;

use super::{Lowerer, MapKey, Place, assemble};
use crate::hir::{Expr, MapRef};
use crate::ir::{BinaryOp, Compare, Memory, Value, Width};
use crate::ty::Type;

impl Lowerer<'_, '_> {
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
            let layout = self.layout(&self.map_type(map));
            self.for_each_cpu(map, key, |lower, cell| {
                let place = Place {
                    base: cell,
                    offset: 0,
                    memory: Memory::Map,
                };
                lower.zero(place, assemble::bucket_size(&layout));
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
