//! The values that an event begins with: from registers at once, from memory by the queue; and results whose place only the
//! function's entry tells.

use fathom_bpf::capture::CHUNK_HEADER;
use fathom_bpf::helper::Helper;
use fathom_machine::dwarf::Location;

use super::{Draft, KIND_FETCH, KIND_SCAN, RDI, Waiting};
use crate::ir::{BinaryOp, Compare, Memory, Value, Width};
use crate::lower::{Lowerer, Place};
use crate::probes::context::WholeValue;
use crate::ty::Space;

impl Lowerer<'_, '_> {
    /// The key of a call that is under way.
    fn call_key(&mut self, frame: Value) -> Value {
        let slot = self.b.slot(16, 8, "a call under way");
        let key = self.b.slot_address(slot);
        let thread = self.b.call(Helper::GET_CURRENT_PID_TGID, &[]);
        self.b.store(Width::B8, Memory::Stack, key, 0, thread);
        self.b.store(Width::B8, Memory::Stack, key, 8, frame);
        key
    }

    /// Remembers where the function was told to put its result.
    pub(super) fn keep_result(&mut self, frame: Value) {
        let key = self.call_key(frame);
        let slot = self.b.slot(8, 8, "address of a result");
        let value = self.b.slot_address(slot);
        let address = self.debug_register(RDI);
        self.b.store(Width::B8, Memory::Stack, value, 0, address);
        let kept = self.out.kept_results();
        let map = self.b.map(kept);
        let flags = self.b.constant(0);
        self.b
            .call(Helper::MAP_UPDATE_ELEM, &[map, key, value, flags]);
    }

    /// The address that was remembered; 0 for a call whose entry was not seen.
    fn kept_result(&mut self, frame: Value) -> Value {
        let key = self.call_key(frame);
        let address = self.b.variable();
        let zero = self.b.constant(0);
        self.b.write(address, zero);
        let kept = self.out.kept_results();
        let map = self.b.map(kept);
        let found = self.b.call(Helper::MAP_LOOKUP_ELEM, &[map, key]);
        let (there, done) = (self.b.block(), self.b.block());
        self.b.branch(Compare::Ne, found, 0, there, done);
        self.b.enter(there);
        let value = self.b.load(Width::B8, Memory::Map, found, 0);
        self.b.write(address, value);
        let map = self.b.map(kept);
        self.b.call(Helper::MAP_DELETE_ELEM, &[map, key]);
        self.b.jump(done);
        self.b.enter(done);
        self.b.read(address)
    }

    /// Puts a value that is at hand into the event, or has it wait.
    pub(super) fn root_value(&mut self, value: &WholeValue, root: u32, draft: &mut Draft) {
        let shapes = self.env.types.shapes();
        let size = shapes.get(value.shape).size;
        let node = draft.plan.node(&shapes, value.shape, &draft.area.limits);
        drop(shapes);
        let bias = self.load_bias(value.site);
        if let Location::Memory(expression) = &value.location {
            let address = match value.is_kept {
                true => self.kept_result(draft.frame),
                false => self.evaluate(expression, bias),
            };
            draft.waiting.push(Waiting {
                address,
                node,
                bytes: size.min(draft.area.chunk),
                kind: KIND_FETCH,
                root,
            });
            return;
        }
        let event = draft.event;
        let bytes = value.register_bytes();
        let place = event.plus(draft.cursor);
        self.b
            .store(Width::B8, place.memory, place.base, place.offset, 0);
        let header = self.b.constant(i64::from(size) | i64::from(root) << 32);
        self.b.store(
            Width::B8,
            place.memory,
            place.base,
            place.offset + 8,
            header,
        );
        let start = draft.cursor + CHUNK_HEADER;
        self.value_at_hand(&value.location, event.plus(start), bytes, bias);
        if draft.plan.has_links(node) {
            draft.waiting.push(Waiting {
                address: self.b.constant(i64::from(start)),
                node,
                bytes: size,
                kind: KIND_SCAN,
                root,
            });
        }
        draft.cursor = start + bytes;
    }

    /// Writes `bytes` bytes, a multiple of 8, of a value that is not as a whole in memory.
    pub(in crate::lower) fn value_at_hand(
        &mut self,
        location: &Location,
        to: Place,
        bytes: u32,
        bias: Value,
    ) {
        match location {
            Location::Register(number) => {
                let value = self.debug_register(*number);
                self.b
                    .store(Width::B8, to.memory, to.base, to.offset, value);
                self.zero(to.plus(8), bytes.saturating_sub(8));
            }
            Location::Value(expression) => {
                let value = self.evaluate(expression, bias);
                self.b
                    .store(Width::B8, to.memory, to.base, to.offset, value);
                self.zero(to.plus(8), bytes.saturating_sub(8));
            }
            Location::Constant(constant) => {
                let mut padded = constant.clone();
                padded.resize(bytes as usize, 0);
                self.store_bytes(&padded, to);
            }
            Location::Pieces(pieces) => {
                self.zero(to, bytes);
                let mut at = 0;
                for piece in pieces {
                    let size = u32::try_from(piece.size).unwrap_or(0);
                    if at + size <= bytes {
                        self.piece(&piece.location, to.plus(at), size, bias);
                    }
                    at += size;
                }
            }
            Location::Memory(_) | Location::Absent | Location::Unreadable(_) => {
                self.zero(to, bytes)
            }
        }
    }

    fn piece(&mut self, location: &Location, to: Place, size: u32, bias: Value) {
        let value = match location {
            Location::Register(number) => self.debug_register(*number),
            Location::Value(expression) => self.evaluate(expression, bias),
            Location::Memory(expression) => {
                let address = self.evaluate(expression, bias);
                return self.read_remote(to, size, address, Space::User);
            }
            Location::Constant(constant) => {
                let mut bytes = constant.clone();
                bytes.resize(size as usize, 0);
                return self.store_bytes(&bytes, to);
            }
            Location::Pieces(_) | Location::Absent | Location::Unreadable(_) => return,
        };
        // In halves, as sizes such as 3 and 6 occur.
        let (mut at, mut value) = (0, value);
        while at < size {
            let part = [8, 4, 2, 1].into_iter().find(|part| at + part <= size);
            let part = part.unwrap_or(1);
            let width = Width::from_bytes(part).unwrap_or(Width::B1);
            self.b
                .store(width, to.memory, to.base, to.offset + at as i32, value);
            at += part;
            if at < size {
                value = self.b.binary(BinaryOp::Shr, value, part as i32 * 8);
            }
        }
    }
}
