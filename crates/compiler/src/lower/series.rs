//! `tseries()`: a value goes into the cell of the interval in which it comes.
//!
//! Cells lie in a ring, by the interval's number modulo how many are kept. One that still holds an older interval starts anew:
//!
//! ```text
//! value │ count │ time of the newest value: which interval this is
//! ```
//!
//! A user-space probe that another one interrupts on the same CPU, just when an interval starts anew, may lose a value.

use fathom_bpf::helper::Helper;
use fathom_bpf::layout::SeriesAggregation;
use fathom_bpf::map::Storage;

use super::{Lowerer, MapKey, Place};
use crate::hir::{Expr, MapRef};
use crate::ir::{BinaryOp, Compare, Memory, Value, Width};
use crate::ty::Type;

const COUNT: i32 = 8;
const TIME: i32 = 16;

/// A value and when it comes.
#[derive(Clone, Copy)]
struct Sample {
    value: Value,
    now_ns: Value,
    /// `now_ns / interval_ns`
    interval: Value,
    interval_ns: Value,
    aggregation: SeriesAggregation,
    signed: bool,
}

impl Lowerer<'_, '_> {
    pub(super) fn add_to_series(
        &mut self,
        map: MapRef,
        key: Option<&Expr>,
        ty: &Type,
        value: Value,
    ) {
        let &Type::TimeSeries {
            interval_ns,
            buckets,
            aggregation,
            signed,
        } = ty
        else {
            unreachable!("lower: {ty} is no time series")
        };
        let key = self.key(map, key);
        let now_ns = self.b.call(Helper::KTIME_GET_TAI_NS, &[]);
        let interval_ns = self.b.constant(interval_ns as i64);
        let interval = self.b.binary(BinaryOp::Div, now_ns, interval_ns);
        let bucket = self.b.binary(BinaryOp::Rem, interval, buckets as i32);
        let sample = Sample {
            value,
            now_ns,
            interval,
            interval_ns,
            aggregation,
            signed,
        };
        if self.map_storage(map) == Storage::BucketArray {
            let place = self.temporary(4, "number of an interval");
            self.b
                .store(Width::B4, place.memory, place.base, place.offset, bucket);
            let cell = self.look_up(map, place.into());
            return self.if_found(cell, |lower, cell| lower.update_interval(cell, sample));
        }
        let at = self.out.key_size(self.map_id(map)) - 8;
        let place = key.place.plus(at);
        self.b
            .store(Width::B8, place.memory, place.base, place.offset, bucket);
        let size = self.size_of(ty);
        self.update_or_insert_interval(map, key, sample, size);
    }

    fn update_or_insert_interval(&mut self, map: MapRef, key: MapKey, sample: Sample, size: u32) {
        let cell = self.look_up(map, key);
        let (found, missing, done) = (self.b.block(), self.b.block(), self.b.block());
        self.b.branch(Compare::Ne, cell, 0, found, missing);
        self.b.enter(found);
        self.update_interval(cell, sample);
        self.b.jump(done);
        self.b.enter(missing);
        let first = self.temporary(size, "first value of an interval");
        self.start_interval(first, sample);
        self.update(map, key, first);
        self.b.jump(done);
        self.b.enter(done);
    }

    fn update_interval(&mut self, cell: Value, sample: Sample) {
        let (same, other, done) = (self.b.block(), self.b.block(), self.b.block());
        let before_ns = self.b.load(Width::B8, Memory::Map, cell, TIME);
        let before = self.b.binary(BinaryOp::Div, before_ns, sample.interval_ns);
        self.b
            .branch(Compare::Eq, before, sample.interval, same, other);
        self.b.enter(same);
        self.join_interval(cell, sample);
        self.b
            .store(Width::B8, Memory::Map, cell, TIME, sample.now_ns);
        self.b.jump(done);
        self.b.enter(other);
        let place = Place {
            base: cell,
            offset: 0,
            memory: Memory::Map,
        };
        self.start_interval(place, sample);
        self.b.jump(done);
        self.b.enter(done);
    }

    /// Writes a cell that holds one value.
    fn start_interval(&mut self, cell: Place, sample: Sample) {
        let Place {
            base,
            offset,
            memory,
        } = cell;
        self.b.store(Width::B8, memory, base, offset, sample.value);
        self.b.store(Width::B8, memory, base, offset + COUNT, 1);
        self.b
            .store(Width::B8, memory, base, offset + TIME, sample.now_ns);
    }

    fn join_interval(&mut self, cell: Value, sample: Sample) {
        let value = sample.value;
        match (sample.aggregation, sample.signed) {
            (SeriesAggregation::None, _) => {
                self.b.store(Width::B8, Memory::Map, cell, 0, value);
            }
            (SeriesAggregation::Avg | SeriesAggregation::Sum, _) => {
                self.add_value_to_cell(cell, value);
                self.add_to_cell(cell, COUNT, 1);
            }
            (SeriesAggregation::Min, true) => self.keep_extreme(cell, value, Compare::Slt),
            (SeriesAggregation::Min, false) => self.keep_extreme(cell, value, Compare::Lt),
            (SeriesAggregation::Max, true) => self.keep_extreme(cell, value, Compare::Sgt),
            (SeriesAggregation::Max, false) => self.keep_extreme(cell, value, Compare::Gt),
        }
    }
}
