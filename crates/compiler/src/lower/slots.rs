//! Entries in slot tables: see [`fathom_bpf::slots`] for the bytes.
//!
//! Two kinds of table. Aggregations have a copy for each CPU; a slot is never given back by programs. If a probe
//! interrupts another one between claiming a slot and filling it, the same key gets a second slot: user space adds
//! them up. A table keyed by `tid` is shared by all CPUs; its slots are given back by `delete`. Only the thread itself
//! looks for its key, so no two CPUs insert the same key at a time.

use fathom_bpf::MapId;
use fathom_bpf::helper::Helper;
use fathom_bpf::slots::{FIRST_COPY, KEY, READY, SPREAD, SlotTable, WINDOW};

use super::tables::Side;
use super::{Lowerer, MapKey, Place};
use crate::hir::MapRef;
use crate::ir::{AtomicOp, BinaryOp, BlockId, Compare, Memory, Op, Value, Variable, Width};

/// A key's window in a table.
struct Window {
    table: SlotTable,
    /// Address of its first slot.
    first: Value,
    /// The key's words, each with its offset in a slot.
    words: Vec<(Width, i32, Value)>,
}

impl Window {
    fn offset(&self, index: u32, field: u32) -> i32 {
        (index * self.table.slot_size() + field) as i32
    }
}

impl Lowerer<'_, '_> {
    /// The slot table of an aggregation.
    pub(crate) fn cpu_slots(&self, map: MapRef) -> Option<(MapId, SlotTable)> {
        match self.out.side(self.map_id(map)) {
            Some(Side::PerCpuSlots(id, table)) => Some((id, table)),
            _ => None,
        }
    }

    /// The slot table of a map that is keyed by `tid`.
    pub(super) fn thread_slots(&self, map: MapRef) -> Option<(MapId, SlotTable)> {
        match self.out.side(self.map_id(map)) {
            Some(Side::ThreadSlots(id, table)) => Some((id, table)),
            _ => None,
        }
    }

    /// Aggregates in this CPU's copy: `update` gets the cell of a known key, `first` writes that of a new one. Goes on in
    /// `full` when no slot is left.
    pub(crate) fn aggregate_in_slot(
        &mut self,
        (id, table): (MapId, SlotTable),
        key: MapKey,
        full: BlockId,
        update: impl FnOnce(&mut Self, Value),
        first: impl Fn(&mut Self, Place),
    ) {
        let window = self.window(id, table, key.place, full);
        let cell = self.b.variable();
        let (found, missing, done) = (self.b.block(), self.b.block(), self.b.block());
        self.find_slot(&window, cell, found, missing);
        self.b.enter(found);
        let cell = self.b.read(cell);
        update(self, cell);
        self.b.jump(done);
        self.b.enter(missing);
        self.claim_slot(&window, done, full, first);
        self.b.enter(done);
    }

    /// Address of the value of this thread's entry, null if there is none.
    pub(super) fn find_thread_entry(
        &mut self,
        map: MapRef,
        (id, table): (MapId, SlotTable),
        key: MapKey,
    ) -> Value {
        let nowhere = self.b.block();
        let window = self.window(id, table, key.place, nowhere);
        let value = self.b.variable();
        let (found, missing) = (self.b.block(), self.b.block());
        self.find_slot(&window, value, found, missing);
        self.b.enter(missing);
        let zero = self.b.constant(0);
        self.b.write(value, zero);
        let spilled = self.b.block();
        self.branch_on_spilled(id, spilled, found);
        self.b.enter(spilled);
        let in_hash = self.look_up_in_hash(map, key);
        self.b.write(value, in_hash);
        self.b.jump(found);
        self.b.enter(found);
        self.b.seal(nowhere);
        self.b.read(value)
    }

    /// A new entry of this thread; the hash map takes it when no slot is free.
    pub(super) fn insert_thread_entry(
        &mut self,
        map: MapRef,
        (id, table): (MapId, SlotTable),
        key: MapKey,
        value: Place,
    ) {
        let full = self.b.block();
        let window = self.window(id, table, key.place, full);
        let done = self.b.block();
        let width = Width::from_bytes(table.value_size).unwrap_or(Width::B8);
        self.claim_slot(&window, done, full, |lower, to| {
            lower.b.store(Width::B8, to.memory, to.base, to.offset, 0);
            let word = lower.b.load(width, value.memory, value.base, value.offset);
            lower.b.store(width, to.memory, to.base, to.offset, word);
        });
        self.b.enter(full);
        let header = self.b.emit(Op::MapValue { map: id, offset: 0 });
        self.b.store(Width::B8, Memory::Map, header, 0, 1);
        self.update_in_hash(map, key, value);
        self.b.jump(done);
        self.b.enter(done);
    }

    /// Deletes this thread's entry: 1 if it was there.
    pub(super) fn delete_thread_entry(
        &mut self,
        map: MapRef,
        (id, table): (MapId, SlotTable),
        key: MapKey,
    ) -> Value {
        let nowhere = self.b.block();
        let window = self.window(id, table, key.place, nowhere);
        let (value, result) = (self.b.variable(), self.b.variable());
        let one = self.b.constant(1);
        self.b.write(result, one);
        let (found, missing, spilled, done) = (
            self.b.block(),
            self.b.block(),
            self.b.block(),
            self.b.block(),
        );
        self.find_slot(&window, value, found, missing);
        self.b.enter(found);
        let value = self.b.read(value);
        let slot = -(table.value_offset() as i32);
        self.b
            .store(Width::B4, Memory::Map, value, slot + READY as i32, 0);
        self.add_claim(value, slot, -1);
        self.b.jump(done);
        self.b.enter(missing);
        let zero = self.b.constant(0);
        self.b.write(result, zero);
        self.branch_on_spilled(id, spilled, done);
        self.b.enter(spilled);
        let deleted = self.delete_in_hash(map, key);
        self.b.write(result, deleted);
        self.b.jump(done);
        self.b.enter(done);
        self.b.seal(nowhere);
        self.b.read(result)
    }

    fn branch_on_spilled(&mut self, id: MapId, spilled: BlockId, not: BlockId) {
        let header = self.b.emit(Op::MapValue { map: id, offset: 0 });
        let mark = self.b.load(Width::B8, Memory::Map, header, 0);
        self.b.branch(Compare::Ne, mark, 0, spilled, not);
    }

    /// Where a key's slots are. A CPU beyond those that the table was made for goes to `no_copy`.
    fn window(&mut self, id: MapId, table: SlotTable, key: Place, no_copy: BlockId) -> Window {
        let words = self.key_words(table.key_size, key);
        let spread = self.b.constant(SPREAD as i64);
        let mut hash = self.b.binary(BinaryOp::Mul, words[0].2, spread);
        for (_, _, word) in &words[1..] {
            let mixed = self.b.binary(BinaryOp::Xor, hash, *word);
            hash = self.b.binary(BinaryOp::Mul, mixed, spread);
        }
        let shift = 64 - table.slot_bits as i32;
        let slot = self.b.binary(BinaryOp::Shr, hash, shift);
        let offset = self.b.binary(BinaryOp::Mul, slot, table.slot_size() as i32);
        let mut first = self.b.emit(Op::MapValue {
            map: id,
            offset: FIRST_COPY,
        });
        if table.copies > 1 {
            let cpu = self.b.call(Helper::GET_SMP_PROCESSOR_ID, &[]);
            let known = self.b.block();
            self.b
                .branch(Compare::Lt, cpu, table.copies as i32, known, no_copy);
            self.b.enter(known);
            let copy = self.b.binary(BinaryOp::Mul, cpu, table.copy_size() as i32);
            first = self.b.binary(BinaryOp::Add, first, copy);
        }
        let first = self.b.binary(BinaryOp::Add, first, offset);
        Window {
            table,
            first,
            words,
        }
    }

    fn key_words(&mut self, size: u32, key: Place) -> Vec<(Width, i32, Value)> {
        let mut words = Vec::new();
        let mut at = 0;
        while at < size {
            let width = if size - at >= 8 { Width::B8 } else { Width::B4 };
            let word = self
                .b
                .load(width, key.memory, key.base, key.offset + at as i32);
            words.push((width, (KEY + at) as i32, word));
            at += width.bytes();
        }
        words
    }

    /// Goes to `found` with the address of the value in `value`, or to `missing`. The blocks stay unsealed.
    fn find_slot(&mut self, window: &Window, value: Variable, found: BlockId, missing: BlockId) {
        for index in 0..WINDOW {
            let next = match index + 1 == WINDOW {
                true => missing,
                false => self.b.block(),
            };
            for (width, offset, word) in &window.words {
                let same = self.b.block();
                let at = window.offset(index, 0) + offset;
                let stored = self.b.load(*width, Memory::Map, window.first, at);
                self.b.branch(Compare::Eq, stored, *word, same, next);
                self.b.enter(same);
            }
            let ready = self.b.load(
                Width::B4,
                Memory::Map,
                window.first,
                window.offset(index, READY),
            );
            let hit = self.b.block();
            self.b.branch(Compare::Ne, ready, 0, hit, next);
            self.b.enter(hit);
            let at = window.offset(index, window.table.value_offset());
            let address = self.b.binary(BinaryOp::Add, window.first, at);
            self.b.write(value, address);
            self.b.jump(found);
            if next != missing {
                self.b.enter(next);
            }
        }
    }

    /// Takes the first free slot, writes key and value and goes to `done`; to `full` if there is none.
    fn claim_slot(
        &mut self,
        window: &Window,
        done: BlockId,
        full: BlockId,
        first: impl Fn(&mut Self, Place),
    ) {
        for index in 0..WINDOW {
            let next = match index + 1 == WINDOW {
                true => full,
                false => self.b.block(),
            };
            let at = window.offset(index, 0);
            let (free, taken, lost) = (self.b.block(), self.b.block(), self.b.block());
            let claims = self.b.load(Width::B4, Memory::Map, window.first, at);
            self.b.branch(Compare::Eq, claims, 0, free, next);
            self.b.enter(free);
            let before = self.add_claim(window.first, at, 1);
            self.b.branch(Compare::Eq, before, 0, taken, lost);
            self.b.enter(lost);
            self.add_claim(window.first, at, -1);
            self.b.jump(next);
            self.b.enter(taken);
            for (width, offset, word) in &window.words {
                self.b
                    .store(*width, Memory::Map, window.first, at + offset, *word);
            }
            let value = Place {
                base: window.first,
                offset: window.offset(index, window.table.value_offset()),
                memory: Memory::Map,
            };
            first(self, value);
            let ready = at + READY as i32;
            self.b.store(Width::B4, Memory::Map, window.first, ready, 1);
            self.b.jump(done);
            if next != full {
                self.b.enter(next);
            }
        }
    }

    /// Adds to a slot's claims and gives the number before.
    fn add_claim(&mut self, base: Value, offset: i32, by: i64) -> Value {
        let value = self.b.constant(by);
        self.b.emit(Op::Atomic {
            op: AtomicOp::FetchAdd,
            width: Width::B4,
            base,
            offset,
            value,
        })
    }
}
