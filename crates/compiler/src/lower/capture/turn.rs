//! One turn of copying: looks at the next pointer of the value at hand, or copies the next value that waits.
//!
//! The turns share their state in scratch memory. On the stack the verifier would follow each number through all turns; of
//! scratch memory it knows nothing, and one turn is like the next.

use fathom_bpf::capture::{
    CHUNK_HEADER, CUT, FAULT, KIND_COUNT, KIND_END, KIND_TEXT as LINK_TEXT, RECORD_SIZE,
};

use super::{Area, KIND_FETCH, KIND_SCAN, KIND_TEXT, MAX_WAITING, WAITING_SIZE};
use crate::ir::{BinaryOp, BlockId, Compare, Memory, Op, Value, Width};
use crate::lower::Lowerer;

/// Where the next chunk goes, in the event.
pub(super) const CURSOR: u32 = 0;
/// The next that waits.
pub(super) const HEAD: u32 = 8;
/// One behind the last that waits.
pub(super) const TAIL: u32 = 16;
/// The elements at hand: where they are in the event,
pub(super) const BASE: u32 = 24;
/// how far behind that the current one is,
pub(super) const POSITION: u32 = 32;
/// how many bytes there are,
pub(super) const END: u32 = 40;
/// how far it is to the next one,
pub(super) const STRIDE: u32 = 48;
/// the record of the first link of each,
pub(super) const FIRST: u32 = 56;
/// how many links each has,
pub(super) const LINKS: u32 = 64;
/// how many of the current one were not yet looked at,
pub(super) const LEFT: u32 = 72;
/// and how many pointers led here.
pub(super) const DEPTH: u32 = 80;
/// Bytes of the state.
pub(super) const STATE_SIZE: u32 = 88;

/// Addresses below this are no pointers.
const FIRST_PAGE: i64 = 4096;
/// User addresses end here.
const USER_END: i64 = 1 << 47;

/// What a turn works on.
pub(super) struct Turn<'t> {
    pub(super) area: &'t Area,
    /// Start of scratch memory.
    pub(super) scratch: Value,
}

/// A value that waits, taken out of the queue.
struct Item {
    address: Value,
    node: Value,
    bytes: Value,
    kind: Value,
    root: Value,
    depth: Value,
}

impl Lowerer<'_, '_> {
    fn get(&mut self, turn: &Turn<'_>, offset: u32) -> Value {
        let at = (turn.area.state + offset) as i32;
        self.b.load(Width::B8, Memory::Map, turn.scratch, at)
    }

    fn set(&mut self, turn: &Turn<'_>, offset: u32, value: Value) {
        let at = (turn.area.state + offset) as i32;
        self.b
            .store(Width::B8, Memory::Map, turn.scratch, at, value);
    }

    /// Goes on in a new block if the comparison holds, else to `otherwise`.
    fn require(&mut self, op: Compare, left: Value, right: Value, otherwise: BlockId) {
        let go_on = self.b.block();
        self.b.branch(op, left, right, go_on, otherwise);
        self.b.enter(go_on);
    }

    fn require_less(&mut self, left: Value, limit: u32, otherwise: BlockId) {
        let go_on = self.b.block();
        self.b
            .branch(Compare::Lt, left, limit as i32, go_on, otherwise);
        self.b.enter(go_on);
    }

    /// `next`: there is more to do; `stop`: nothing is left.
    pub(super) fn capture_turn(&mut self, turn: &Turn<'_>, next: BlockId, stop: BlockId) {
        let (follow, advance, again, fetch, check) = (
            self.b.block(),
            self.b.block(),
            self.b.block(),
            self.b.block(),
            self.b.block(),
        );
        let left = self.get(turn, LEFT);
        self.b.branch(Compare::Ne, left, 0, follow, advance);
        self.b.enter(advance);
        let links = self.get(turn, LINKS);
        self.b.branch(Compare::Ne, links, 0, check, fetch);
        self.b.enter(check);
        let (position, stride) = (self.get(turn, POSITION), self.get(turn, STRIDE));
        let position = self.b.binary(BinaryOp::Add, position, stride);
        let behind = self.b.binary(BinaryOp::Add, position, stride);
        let end = self.get(turn, END);
        self.b.branch(Compare::Le, behind, end, again, fetch);
        self.b.enter(again);
        self.set(turn, POSITION, position);
        self.set(turn, LEFT, links);
        self.b.jump(next);
        self.b.enter(fetch);
        self.fetch(turn, next, stop);
        self.b.enter(follow);
        self.follow(turn, left, next, stop);
    }

    /// The record of the plan with that number.
    fn record(&mut self, turn: &Turn<'_>, number: Value, otherwise: BlockId) -> Value {
        let Some((map, records)) = turn.area.plan else {
            return self.b.constant(0);
        };
        self.require_less(number, records, otherwise);
        let base = self.b.emit(Op::MapValue { map, offset: 0 });
        let offset = self.b.binary(BinaryOp::Mul, number, RECORD_SIZE as i32);
        self.b.binary(BinaryOp::Add, base, offset)
    }

    fn map_word(&mut self, record: Value, offset: i32) -> Value {
        self.b.load(Width::B4, Memory::Map, record, offset)
    }

    /// Eight bytes of the event.
    fn event_word(&mut self, turn: &Turn<'_>, at: Value, otherwise: BlockId) -> Value {
        self.require_less(at, turn.area.event_size() - 8, otherwise);
        let place = self.b.binary(BinaryOp::Add, turn.scratch, at);
        self.b
            .load(Width::B8, Memory::Map, place, turn.area.event as i32)
    }

    /// Has what the next pointer leads to wait.
    fn follow(&mut self, turn: &Turn<'_>, left: Value, next: BlockId, stop: BlockId) {
        let rest = self.b.binary(BinaryOp::Sub, left, 1);
        self.set(turn, LEFT, rest);
        let (first, links) = (self.get(turn, FIRST), self.get(turn, LINKS));
        let number = self.b.binary(BinaryOp::Add, first, links);
        let number = self.b.binary(BinaryOp::Sub, number, left);
        let link = self.record(turn, number, stop);
        let (base, position) = (self.get(turn, BASE), self.get(turn, POSITION));
        let element = self.b.binary(BinaryOp::Add, base, position);
        let offset = self.map_word(link, 0);
        let at = self.b.binary(BinaryOp::Add, element, offset);
        let pointer = self.event_word(turn, at, next);
        self.require_pointer(pointer, next);
        let depth = self.get(turn, DEPTH);
        let cost = self.map_word(link, 28);
        let depth = self.b.binary(BinaryOp::Add, depth, cost);
        self.require_less(depth, turn.area.limits.depth + 1, next);
        let kind = self.map_word(link, 4);
        let bytes = self.linked_bytes(turn, (link, kind, element, pointer), next);
        let zero = self.b.constant(0);
        self.require(Compare::Ne, bytes, zero, next);
        let addend = self.b.emit(Op::Load {
            width: Width::B4,
            signed: true,
            memory: Memory::Map,
            base: link,
            offset: 24,
        });
        let address = self.b.binary(BinaryOp::Add, pointer, addend);
        let is_text = self.b.compare(Compare::Eq, kind, LINK_TEXT as i32);
        let item = Item {
            address,
            node: self.map_word(link, 12),
            bytes,
            // KIND_FETCH or KIND_TEXT.
            kind: is_text,
            root: zero,
            depth,
        };
        self.enqueue(turn, &item, next);
        self.b.jump(next);
    }

    fn require_pointer(&mut self, pointer: Value, otherwise: BlockId) {
        let low = self.b.binary(BinaryOp::Sub, pointer, FIRST_PAGE as i32);
        let end = self.b.constant(USER_END - FIRST_PAGE);
        self.require(Compare::Lt, low, end, otherwise);
    }

    /// How many bytes a link leads to.
    fn linked_bytes(
        &mut self,
        turn: &Turn<'_>,
        (link, kind, element, pointer): (Value, Value, Value, Value),
        otherwise: BlockId,
    ) -> Value {
        let count = self.b.variable();
        let (size, limit) = (self.map_word(link, 16), self.map_word(link, 20));
        self.b.write(count, limit);
        let [counted, not_counted, ended, known, cut, done] =
            std::array::from_fn(|_| self.b.block());
        self.b
            .branch(Compare::Eq, kind, KIND_COUNT as i32, counted, not_counted);
        self.b.enter(not_counted);
        self.b
            .branch(Compare::Eq, kind, KIND_END as i32, ended, done);
        self.b.enter(counted);
        let number = self.length_word(turn, link, element, otherwise);
        self.b.write(count, number);
        self.b.jump(known);
        self.b.enter(ended);
        let end = self.length_word(turn, link, element, otherwise);
        let distance = self.b.binary(BinaryOp::Sub, end, pointer);
        let number = self.b.binary(BinaryOp::Div, distance, size);
        self.b.write(count, number);
        self.b.jump(known);
        self.b.enter(known);
        let number = self.b.read(count);
        self.b.branch(Compare::Gt, number, limit, cut, done);
        self.b.enter(cut);
        self.b.write(count, limit);
        self.b.jump(done);
        self.b.enter(done);
        let number = self.b.read(count);
        self.b.binary(BinaryOp::Mul, number, size)
    }

    fn length_word(
        &mut self,
        turn: &Turn<'_>,
        link: Value,
        element: Value,
        otherwise: BlockId,
    ) -> Value {
        let offset = self.map_word(link, 8);
        let at = self.b.binary(BinaryOp::Add, element, offset);
        self.event_word(turn, at, otherwise)
    }

    fn enqueue(&mut self, turn: &Turn<'_>, item: &Item, full: BlockId) {
        let tail = self.get(turn, TAIL);
        self.require_less(tail, MAX_WAITING, full);
        let place = self.waiting_place(turn, tail);
        let at = turn.area.queue as i32;
        self.b
            .store(Width::B8, Memory::Map, place, at, item.address);
        let words = [
            (8, item.node),
            (12, item.bytes),
            (16, item.kind),
            (20, item.root),
            (24, item.depth),
        ];
        for (offset, word) in words {
            self.b
                .store(Width::B4, Memory::Map, place, at + offset, word);
        }
        let tail = self.b.binary(BinaryOp::Add, tail, 1);
        self.set(turn, TAIL, tail);
    }

    fn waiting_place(&mut self, turn: &Turn<'_>, number: Value) -> Value {
        let offset = self.b.binary(BinaryOp::Mul, number, WAITING_SIZE as i32);
        self.b.binary(BinaryOp::Add, turn.scratch, offset)
    }

    fn dequeue(&mut self, turn: &Turn<'_>, stop: BlockId) -> Item {
        let (head, tail) = (self.get(turn, HEAD), self.get(turn, TAIL));
        self.require(Compare::Lt, head, tail, stop);
        self.require_less(head, MAX_WAITING, stop);
        let behind = self.b.binary(BinaryOp::Add, head, 1);
        self.set(turn, HEAD, behind);
        let place = self.waiting_place(turn, head);
        let at = turn.area.queue as i32;
        Item {
            address: self.b.load(Width::B8, Memory::Map, place, at),
            node: self.map_word(place, at + 8),
            bytes: self.map_word(place, at + 12),
            kind: self.map_word(place, at + 16),
            root: self.map_word(place, at + 20),
            depth: self.map_word(place, at + 24),
        }
    }

    /// Copies the next value that waits into a new chunk, and makes it the one at hand.
    fn fetch(&mut self, turn: &Turn<'_>, next: BlockId, stop: BlockId) {
        let zero = self.b.constant(0);
        self.set(turn, LINKS, zero);
        let item = self.dequeue(turn, stop);
        let [scan, copy] = std::array::from_fn(|_| self.b.block());
        self.b
            .branch(Compare::Eq, item.kind, KIND_SCAN as i32, scan, copy);
        self.b.enter(scan);
        self.look_at(turn, &item, item.address, item.bytes, next);
        self.b.enter(copy);
        let cursor = self.get(turn, CURSOR);
        self.require_less(cursor, turn.area.total, stop);
        let chunk = self.b.binary(BinaryOp::Add, turn.scratch, cursor);
        let chunk = self.b.binary(BinaryOp::Add, chunk, turn.area.event as i32);
        let (size, flags) = self.copy_item(turn, &item, chunk);
        self.b.store(Width::B8, Memory::Map, chunk, 0, item.address);
        let marked = self.b.binary(BinaryOp::Or, size, flags);
        self.b.store(Width::B4, Memory::Map, chunk, 8, marked);
        self.b.store(Width::B4, Memory::Map, chunk, 12, item.root);
        let start = self.b.binary(BinaryOp::Add, cursor, CHUNK_HEADER as i32);
        let padded = self.b.binary(BinaryOp::Add, size, 7);
        let padded = self.b.binary(BinaryOp::And, padded, -8);
        let behind = self.b.binary(BinaryOp::Add, start, padded);
        self.set(turn, CURSOR, behind);
        self.require(Compare::Ne, size, zero, next);
        self.look_at(turn, &item, start, size, next);
    }

    /// Copies; gives the number of bytes and the chunk's flags.
    fn copy_item(&mut self, turn: &Turn<'_>, item: &Item, chunk: Value) -> (Value, Value) {
        let (size, flags, wanted) = (self.b.variable(), self.b.variable(), self.b.variable());
        let [large, bounded, text, plain, failed, read, cut, done] =
            std::array::from_fn(|_| self.b.block());
        self.b.write(wanted, item.bytes);
        let zero = self.b.constant(0);
        self.b.write(flags, zero);
        self.b.branch(
            Compare::Gt,
            item.bytes,
            turn.area.chunk as i32,
            large,
            bounded,
        );
        self.b.enter(large);
        let limit = self.b.constant(i64::from(turn.area.chunk));
        self.b.write(wanted, limit);
        self.b.jump(bounded);
        self.b.enter(bounded);
        let bytes = self.b.read(wanted);
        let to = self.b.binary(BinaryOp::Add, chunk, CHUNK_HEADER as i32);
        self.b
            .branch(Compare::Eq, item.kind, KIND_TEXT as i32, text, plain);
        self.b.enter(plain);
        let result = self.copy_bytes(to, bytes, item.address);
        self.b.write(size, bytes);
        self.b.branch(Compare::Eq, result, 0, done, failed);
        self.b.enter(text);
        let result = self.read_text(to, bytes, item.address);
        self.b.write(size, result);
        self.b.branch(Compare::Sgt, result, 0, read, failed);
        self.b.enter(read);
        // What fills the room has at least one byte more than is shown.
        self.b.branch(Compare::Eq, result, bytes, cut, done);
        self.b.enter(cut);
        let mark = self.b.constant(i64::from(CUT));
        self.b.write(flags, mark);
        self.b.jump(done);
        self.b.enter(failed);
        let fault = self.b.constant(i64::from(FAULT));
        self.b.write(flags, fault);
        self.b.write(size, zero);
        self.b.jump(done);
        self.b.enter(done);
        (self.b.read(size), self.b.read(flags))
    }

    /// Makes bytes of the event the value at hand, if its shape has pointers.
    fn look_at(&mut self, turn: &Turn<'_>, item: &Item, start: Value, bytes: Value, next: BlockId) {
        let node = self.record(turn, item.node, next);
        let (size, first, links) = (
            self.map_word(node, 0),
            self.map_word(node, 4),
            self.map_word(node, 8),
        );
        let zero = self.b.constant(0);
        let values = [
            (BASE, start),
            (POSITION, zero),
            (END, bytes),
            (STRIDE, size),
            (FIRST, first),
            (LINKS, links),
            (LEFT, links),
            (DEPTH, item.depth),
        ];
        for (offset, value) in values {
            self.set(turn, offset, value);
        }
        self.b.jump(next);
    }
}

const _: () = assert!(
    KIND_FETCH == 0 && KIND_TEXT == 1,
    "`follow` computes the kind"
);
