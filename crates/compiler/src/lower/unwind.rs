//! Walks the user stack of code without frame pointers: see [`fathom_bpf::unwind`] for the tables.
//!
//! One turn of a `bpf_loop` is one frame. The turns share their state on the main function's stack:
//!
//! ```text
//! 0  instruction pointer   24 frames so far         48 first region of the process
//! 8  stack pointer         32 hash of the addresses 56 number of its regions
//! 16 frame pointer         40 where addresses go
//! ```

use fathom_bpf::MapId;
use fathom_bpf::helper::Helper;
use fathom_bpf::object::Signature;
use fathom_bpf::slots::SPREAD;
use fathom_bpf::unwind::{
    BP_SAVED, MAX_FRAMES, RULE_BP, RULE_MASK, RULE_PLT, RULE_SP, UnwindTable,
};

use super::{Lowerer, Place};
use crate::ir::{
    BinaryOp, BlockId, Builder, Compare, FunctionId, Memory, Op, Value, Variable, Width,
};
use crate::probes::context::ContextKind;
use crate::probes::register_offset;

const IP: i32 = 0;
const SP: i32 = 8;
const BP: i32 = 16;
const COUNT: i32 = 24;
const HASH: i32 = 32;
const FRAMES: i32 = 40;
const FIRST_REGION: i32 = 48;
const REGIONS: i32 = 56;
const STATE_SIZE: u32 = 64;

/// Halvings that find one of 2^13 regions, and one of 2^20 rows.
const REGION_STEPS: i32 = 14;
const ROW_STEPS: i32 = 21;
/// No walk was possible (`ENOENT`).
const NOT_WALKED: i64 = -2;

/// A sorted table to search in.
struct Search {
    table: MapId,
    first: Value,
    count: Value,
    wanted: Value,
    key_width: Width,
    steps: i32,
}

impl Lowerer<'_, '_> {
    /// The number of the current task's user stack, and the map that has it. Negative when its process has no tables.
    pub(crate) fn walk_user_stack(&mut self) -> (Value, MapId) {
        let stacks = self.out.unwind_table(UnwindTable::Stacks);
        let processes = self.out.unwind_table(UnwindTable::Processes);
        let slot = self.b.slot(STATE_SIZE, 8, "state of a stack walk");
        let state = self.b.slot_address(slot);
        let frames = self.temporary(MAX_FRAMES * 8, "frames of a stack");
        let number = self.b.variable();
        let missing = self.b.constant(NOT_WALKED);
        self.b.write(number, missing);
        let id = self.b.call(Helper::GET_CURRENT_PID_TGID, &[]);
        let pid = self.b.binary(BinaryOp::Shr, id, 32);
        let process = self.look_up_number(processes, pid);
        let (known, done) = (self.b.block(), self.b.block());
        self.b.branch(Compare::Ne, process, 0, known, done);
        self.b.enter(known);
        self.zero(frames, MAX_FRAMES * 8);
        self.start_state(state, process, frames);
        let turn = self.unwind_turn();
        let turns = self.b.constant(i64::from(MAX_FRAMES));
        let function = self.b.emit(Op::FunctionAddress(turn));
        let flags = self.b.constant(0);
        self.b.call(Helper::LOOP, &[turns, function, state, flags]);
        let hash = self.b.load(Width::B8, Memory::Stack, state, HASH);
        let found = self.b.binary(BinaryOp::Shr, hash, 1);
        self.keep_stack(stacks, found, frames);
        self.b.write(number, found);
        self.b.jump(done);
        self.b.enter(done);
        (self.b.read(number), stacks)
    }

    fn look_up_number(&mut self, map: MapId, number: Value) -> Value {
        let slot = self.b.slot(4, 4, "key of an unwind table");
        let key = self.b.slot_address(slot);
        self.b.store(Width::B4, Memory::Stack, key, 0, number);
        let map = self.b.map(map);
        self.b.call(Helper::MAP_LOOKUP_ELEM, &[map, key])
    }

    fn start_state(&mut self, state: Value, process: Value, frames: Place) {
        let (regs, memory) = self.user_registers();
        for (name, at) in [("ip", IP), ("sp", SP), ("bp", BP)] {
            let offset = register_offset(name).unwrap_or_default() as i32;
            let value = self.b.load(Width::B8, memory, regs, offset);
            self.b.store(Width::B8, Memory::Stack, state, at, value);
        }
        self.b.store(Width::B8, Memory::Stack, state, COUNT, 0);
        self.b.store(Width::B8, Memory::Stack, state, HASH, 0);
        let frames = self.address(frames);
        self.b
            .store(Width::B8, Memory::Stack, state, FRAMES, frames);
        for (from, to) in [(0, FIRST_REGION), (4, REGIONS)] {
            let value = self.b.load(Width::B4, Memory::Map, process, from);
            self.b.store(Width::B8, Memory::Stack, state, to, value);
        }
    }

    /// `struct pt_regs` of the task in user space: the context's own, or those saved when it entered the kernel (Linux 5.15).
    fn user_registers(&mut self) -> (Value, Memory) {
        let context = &self.group.context;
        if context.is_user && context.kind == ContextKind::Registers {
            return (self.context(), Memory::Context);
        }
        let task = self.b.call(Helper::GET_CURRENT_TASK_BTF, &[]);
        let regs = self.b.call(Helper::TASK_PT_REGS, &[task]);
        (regs, Memory::Kernel)
    }

    /// Keeps the stack unless an equal one is there.
    fn keep_stack(&mut self, stacks: MapId, number: Value, frames: Place) {
        let slot = self.b.slot(8, 8, "number of a stack");
        let key = self.b.slot_address(slot);
        self.b.store(Width::B8, Memory::Stack, key, 0, number);
        let map = self.b.map(stacks);
        let known = self.b.call(Helper::MAP_LOOKUP_ELEM, &[map, key]);
        let (new, failed, done) = (self.b.block(), self.b.block(), self.b.block());
        self.b.branch(Compare::Eq, known, 0, new, done);
        self.b.enter(new);
        let value = self.address(frames);
        let flags = self.b.constant(0);
        let result = self
            .b
            .call(Helper::MAP_UPDATE_ELEM, &[map, key, value, flags]);
        self.b.branch(Compare::Eq, result, 0, done, failed);
        self.b.enter(failed);
        self.count_error("map_update_elem", result);
        self.b.jump(done);
        self.b.enter(done);
    }

    /// The callback `long turn(u64 index, state)`: 0 goes on, 1 ends the walk.
    fn unwind_turn(&mut self) -> FunctionId {
        if let Some(known) = self.unwind_turn {
            return known;
        }
        let number = self.callbacks + 1;
        self.callbacks = number;
        let builder = Builder::new(format!("unwind_{number}"), Signature::LoopCallback);
        let outer = std::mem::replace(&mut self.b, builder);
        let span = outer.span();
        self.b.set_span(span);
        let stop = self.b.block();
        self.turn_body(stop);
        self.b.enter(stop);
        self.b.ret(1);
        let turn = std::mem::replace(&mut self.b, outer);
        self.finished.push((number, turn.finish()));
        let turn = FunctionId(number);
        self.unwind_turn = Some(turn);
        turn
    }

    fn turn_body(&mut self, stop: BlockId) {
        let (index, state) = (self.b.param(0), self.b.param(1));
        let ip = self.b.load(Width::B8, Memory::Stack, state, IP);
        self.keep_frame(state, ip, stop);
        // A return address may be the first of the next function: what called ends one byte earlier.
        let is_return = self.b.compare(Compare::Ne, index, 0);
        let pc = self.b.binary(BinaryOp::Sub, ip, is_return);
        let region = self.region_of(state, pc, stop);
        let row = self.row_of(region, pc, stop);
        let rule = self.b.load(Width::B1, Memory::Map, row, 8);
        let cfa = self.canonical_address(state, row, rule, stop);
        self.unwind_to_caller(state, row, rule, cfa, stop);
    }

    /// Writes the address behind those before it.
    fn keep_frame(&mut self, state: Value, ip: Value, stop: BlockId) {
        let go_on = self.b.block();
        let count = self.b.load(Width::B8, Memory::Stack, state, COUNT);
        self.b
            .branch(Compare::Lt, count, MAX_FRAMES as i32, go_on, stop);
        self.b.enter(go_on);
        let frames = self.b.load(Width::B8, Memory::Stack, state, FRAMES);
        let at = self.b.binary(BinaryOp::Shl, count, 3);
        let at = self.b.binary(BinaryOp::Add, frames, at);
        self.b.store(Width::B8, Memory::Map, at, 0, ip);
        let count = self.b.binary(BinaryOp::Add, count, 1);
        self.b.store(Width::B8, Memory::Stack, state, COUNT, count);
        let hash = self.b.load(Width::B8, Memory::Stack, state, HASH);
        let mixed = self.b.binary(BinaryOp::Xor, hash, ip);
        let spread = self.b.constant(SPREAD as i64);
        let mixed = self.b.binary(BinaryOp::Mul, mixed, spread);
        let high = self.b.binary(BinaryOp::Shr, mixed, 29);
        let hash = self.b.binary(BinaryOp::Xor, mixed, high);
        self.b.store(Width::B8, Memory::Stack, state, HASH, hash);
    }

    /// The mapping that the address is in.
    fn region_of(&mut self, state: Value, pc: Value, stop: BlockId) -> Value {
        let search = Search {
            table: self.out.unwind_table(UnwindTable::Regions),
            first: self.b.load(Width::B8, Memory::Stack, state, FIRST_REGION),
            count: self.b.load(Width::B8, Memory::Stack, state, REGIONS),
            wanted: pc,
            key_width: Width::B8,
            steps: REGION_STEPS,
        };
        let region = self.last_not_above(&search, stop);
        let inside = self.b.block();
        let end = self.b.load(Width::B8, Memory::Map, region, 8);
        self.b.branch(Compare::Lt, pc, end, inside, stop);
        self.b.enter(inside);
        region
    }

    fn row_of(&mut self, region: Value, pc: Value, stop: BlockId) -> Value {
        let delta = self.b.load(Width::B8, Memory::Map, region, 16);
        let relative = self.b.binary(BinaryOp::Sub, pc, delta);
        let high = self.b.binary(BinaryOp::Shr, relative, 32);
        let near = self.b.block();
        self.b.branch(Compare::Eq, high, 0, near, stop);
        self.b.enter(near);
        let search = Search {
            table: self.out.unwind_table(UnwindTable::Rows),
            first: self.b.load(Width::B4, Memory::Map, region, 24),
            count: self.b.load(Width::B4, Memory::Map, region, 28),
            wanted: relative,
            key_width: Width::B4,
            steps: ROW_STEPS,
        };
        self.last_not_above(&search, stop)
    }

    /// The last entry whose key, its first word, is not above the wanted one.
    fn last_not_above(&mut self, search: &Search, stop: BlockId) -> Value {
        let [low, high, step, best]: [Variable; 4] = std::array::from_fn(|_| self.b.variable());
        let zero = self.b.constant(0);
        for variable in [low, step, best] {
            self.b.write(variable, zero);
        }
        self.b.write(high, search.count);
        let [head, open, inside, there, take, leave, next, ended]: [BlockId; 8] =
            std::array::from_fn(|_| self.b.block());
        self.b.jump(head);
        self.b.switch_to(head);
        let turn = self.b.read(step);
        self.b.branch(Compare::Lt, turn, search.steps, open, ended);
        self.b.enter(open);
        let (from, to) = (self.b.read(low), self.b.read(high));
        self.b.branch(Compare::Lt, from, to, inside, ended);
        self.b.enter(inside);
        let sum = self.b.binary(BinaryOp::Add, from, to);
        let middle = self.b.binary(BinaryOp::Shr, sum, 1);
        let index = self.b.binary(BinaryOp::Add, search.first, middle);
        let entry = self.look_up_number(search.table, index);
        self.b.branch(Compare::Ne, entry, 0, there, stop);
        self.b.enter(there);
        let key = self.b.load(search.key_width, Memory::Map, entry, 0);
        self.b.branch(Compare::Le, key, search.wanted, take, leave);
        self.b.enter(take);
        let behind = self.b.binary(BinaryOp::Add, middle, 1);
        self.b.write(low, behind);
        self.b.write(best, entry);
        self.b.jump(next);
        self.b.enter(leave);
        self.b.write(high, middle);
        self.b.jump(next);
        self.b.enter(next);
        let turn = self.b.read(step);
        let turn = self.b.binary(BinaryOp::Add, turn, 1);
        self.b.write(step, turn);
        self.b.jump(head);
        self.b.seal(head);
        self.b.enter(ended);
        let found = self.b.block();
        let best = self.b.read(best);
        self.b.branch(Compare::Ne, best, 0, found, stop);
        self.b.enter(found);
        best
    }

    fn canonical_address(&mut self, state: Value, row: Value, rule: Value, stop: BlockId) -> Value {
        let kind = self.b.binary(BinaryOp::And, rule, i32::from(RULE_MASK));
        let offset = self.b.emit(Op::Load {
            width: Width::B2,
            signed: true,
            memory: Memory::Map,
            base: row,
            offset: 4,
        });
        let cfa = self.b.variable();
        let done = self.b.block();
        for (rule, register) in [(RULE_SP, SP), (RULE_BP, BP)] {
            let (this, other) = (self.b.block(), self.b.block());
            self.b
                .branch(Compare::Eq, kind, i32::from(rule), this, other);
            self.b.enter(this);
            let base = self.b.load(Width::B8, Memory::Stack, state, register);
            let address = self.b.binary(BinaryOp::Add, base, offset);
            self.b.write(cfa, address);
            self.b.jump(done);
            self.b.enter(other);
        }
        let plt = self.b.block();
        self.b
            .branch(Compare::Eq, kind, i32::from(RULE_PLT), plt, stop);
        self.b.enter(plt);
        // An entry has 16 bytes, and its push ends at the 11th.
        let ip = self.b.load(Width::B8, Memory::Stack, state, IP);
        let place = self.b.binary(BinaryOp::And, ip, 15);
        let is_pushed = self.b.compare(Compare::Ge, place, 11);
        let pushed = self.b.binary(BinaryOp::Shl, is_pushed, 3);
        let sp = self.b.load(Width::B8, Memory::Stack, state, SP);
        let address = self.b.binary(BinaryOp::Add, sp, pushed);
        let address = self.b.binary(BinaryOp::Add, address, 8);
        self.b.write(cfa, address);
        self.b.jump(done);
        self.b.enter(done);
        self.b.read(cfa)
    }

    /// Sets the registers to those of the caller.
    fn unwind_to_caller(
        &mut self,
        state: Value,
        row: Value,
        rule: Value,
        cfa: Value,
        stop: BlockId,
    ) {
        let [up, saved, kept, read, called]: [BlockId; 5] = std::array::from_fn(|_| self.b.block());
        // Stacks grow down: a caller's frame lies above.
        let sp = self.b.load(Width::B8, Memory::Stack, state, SP);
        self.b.branch(Compare::Gt, cfa, sp, up, stop);
        self.b.enter(up);
        self.b.store(Width::B8, Memory::Stack, state, SP, cfa);
        let is_saved = self.b.binary(BinaryOp::And, rule, i32::from(BP_SAVED));
        self.b.branch(Compare::Ne, is_saved, 0, saved, kept);
        self.b.enter(saved);
        let offset = self.b.emit(Op::Load {
            width: Width::B2,
            signed: true,
            memory: Memory::Map,
            base: row,
            offset: 6,
        });
        let from = self.b.binary(BinaryOp::Add, cfa, offset);
        self.read_user_word(state, BP, from);
        self.b.jump(kept);
        self.b.enter(kept);
        let from = self.b.binary(BinaryOp::Sub, cfa, 8);
        let result = self.read_user_word(state, IP, from);
        self.b.branch(Compare::Eq, result, 0, read, stop);
        self.b.enter(read);
        let ip = self.b.load(Width::B8, Memory::Stack, state, IP);
        self.b.branch(Compare::Ne, ip, 0, called, stop);
        self.b.enter(called);
        self.b.ret(0);
    }

    fn read_user_word(&mut self, state: Value, at: i32, from: Value) -> Value {
        let to = match at {
            0 => state,
            at => self.b.binary(BinaryOp::Add, state, at),
        };
        let len = self.b.constant(8);
        self.b.call(Helper::PROBE_READ_USER, &[to, len, from])
    }
}
