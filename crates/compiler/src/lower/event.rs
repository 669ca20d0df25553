//! Events: what a program tells user space, as [`ActionKind`]s with their bytes.

use fathom_bpf::Field;
use fathom_bpf::helper::Helper;
use fathom_bpf::object::{Action, ActionKind};

use super::{Lowerer, Place, is_register};
use crate::hir::Expr;
use crate::ir::{BinaryOp, Compare, Memory, Value, Width};
use crate::ty::Type;

/// `u32 action; u32 total_length`
pub const HEADER: u32 = 8;

/// Flags of `bpf_perf_event_output`: the current CPU's buffer.
const CURRENT_CPU: i64 = 0xffff_ffff;

impl Lowerer<'_, '_> {
    /// Sends an event that carries the expressions' values.
    pub fn send(&mut self, args: &[Expr], kind: impl FnOnce(Vec<Field>) -> ActionKind) {
        let fields = self.event_fields(args);
        let total = event_size(&fields);
        let action = Action {
            kind: kind(fields.clone()),
            span: self.b.span(),
        };
        let number = self.out.action(action);
        let scalars: Vec<Option<Value>> = args
            .iter()
            .map(|arg| is_register(&arg.ty).then(|| self.scalar(arg)))
            .collect();
        self.with_event(number, total, |lower, event| {
            for ((arg, field), scalar) in args.iter().zip(&fields).zip(&scalars) {
                let place = event.plus(field.offset);
                match scalar {
                    Some(value) => lower.store_scalar(place, &arg.ty, *value),
                    None => lower.store(arg, place, &arg.ty),
                }
            }
        });
    }

    /// Places of the values in an event: after the header, each at its natural alignment.
    fn event_fields(&mut self, args: &[Expr]) -> Vec<Field> {
        let mut offset = HEADER;
        let mut fields = Vec::new();
        for arg in args {
            let layout = self.layout(&arg.ty);
            // Aggregates are written in words of eight bytes.
            let align = if is_register(&arg.ty) {
                layout.align()
            } else {
                8
            };
            offset = offset.next_multiple_of(align);
            let size = layout.size();
            fields.push(Field {
                name: String::new(),
                offset,
                bits: None,
                layout,
            });
            offset += size;
        }
        fields
    }

    /// Reserves an event, lets `fill` write it, and sends it. A full buffer is counted as a loss.
    pub fn with_event(&mut self, action: u32, total: u32, fill: impl FnOnce(&mut Self, Place)) {
        let header = i64::from(action) | i64::from(total) << 32;
        if !self.env.features.ring_buffer {
            return self.with_perf_event(header, total, fill);
        }
        let events = self.out.events();
        let map = self.b.map(events);
        let size = self.b.constant(i64::from(total));
        let flags = self.b.constant(0);
        let base = self.b.call(Helper::RINGBUF_RESERVE, &[map, size, flags]);
        let (reserved, full, done) = (self.b.block(), self.b.block(), self.b.block());
        self.b.branch(Compare::Ne, base, 0, reserved, full);
        self.b.enter(reserved);
        let event = Place {
            base,
            offset: 0,
            memory: Memory::Event,
        };
        let header = self.b.constant(header);
        self.b.store(Width::B8, Memory::Event, base, 0, header);
        fill(self, event);
        let flags = self.b.constant(0);
        self.b.call_effect(Helper::RINGBUF_SUBMIT, &[base, flags]);
        self.b.jump(done);
        self.b.enter(full);
        self.count_lost();
        self.b.jump(done);
        self.b.enter(done);
    }

    /// The same on kernels before 5.8: built in scratch memory, sent through the perf buffer.
    fn with_perf_event(&mut self, header: i64, total: u32, fill: impl FnOnce(&mut Self, Place)) {
        let location = self.scratch_location(total);
        let event = self.place(location);
        let header = self.b.constant(header);
        self.b
            .store(Width::B8, event.memory, event.base, event.offset, header);
        fill(self, event);
        let data = self.address(event);
        let size = self.b.constant(i64::from(total));
        let result = self.perf_output(data, size);
        let (full, done) = (self.b.block(), self.b.block());
        self.b.branch(Compare::Eq, result, 0, done, full);
        self.b.enter(full);
        self.count_lost();
        self.b.jump(done);
        self.b.enter(done);
    }

    /// Sends bytes through the perf buffer; gives the helper's result.
    pub(super) fn perf_output(&mut self, data: Value, size: Value) -> Value {
        let events = self.out.perf_events();
        let map = self.b.map(events);
        let context = self.context();
        let flags = self.b.constant(CURRENT_CPU);
        self.b.call(
            Helper::PERF_EVENT_OUTPUT,
            &[context, map, flags, data, size],
        )
    }

    pub(super) fn count_lost(&mut self) {
        let lost = self.out.lost();
        let slot = self.b.slot(4, 4, "key of the loss counter");
        let key = self.b.slot_address(slot);
        self.b.store(Width::B4, Memory::Stack, key, 0, 0);
        let map = self.b.map(lost);
        let cell = self.b.call(Helper::MAP_LOOKUP_ELEM, &[map, key]);
        let (found, done) = (self.b.block(), self.b.block());
        self.b.branch(Compare::Ne, cell, 0, found, done);
        self.b.enter(found);
        let count = self.b.load(Width::B8, Memory::Map, cell, 0);
        let count = self.b.binary(BinaryOp::Add, count, 1);
        self.b.store(Width::B8, Memory::Map, cell, 0, count);
        self.b.jump(done);
        self.b.enter(done);
    }

    /// Sends an event that carries one number that was computed already.
    pub fn send_number(&mut self, value: Value, kind: impl FnOnce(Vec<Field>) -> ActionKind) {
        let stand_in = Expr::int(0, Type::I64, self.b.span());
        let fields = self.event_fields(std::slice::from_ref(&stand_in));
        let (offset, total) = (fields[0].offset, event_size(&fields));
        let action = Action {
            kind: kind(fields),
            span: self.b.span(),
        };
        let number = self.out.action(action);
        self.with_event(number, total, |lower, event| {
            lower.store_scalar(event.plus(offset), &Type::I64, value);
        });
    }

    /// Sends an event without values.
    pub fn send_plain(&mut self, kind: ActionKind) {
        self.send(&[], |_| kind);
    }
}

/// Bytes of an event with these fields.
pub fn event_size(fields: &[Field]) -> u32 {
    let end = fields
        .iter()
        .map(|field| field.offset + field.layout.size())
        .max()
        .unwrap_or(HEADER);
    end.next_multiple_of(8)
}

/// Whether values of the type can be sent as they are.
pub fn is_sendable(ty: &Type) -> bool {
    !ty.is_aggregation() && !matches!(ty, Type::None | Type::Opaque(_) | Type::TimestampMode(_))
}
