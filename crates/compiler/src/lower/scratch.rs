//! Scratch memory: what is too large for the stack lies in a per-CPU map value that belongs to one program.
//!
//! Most programs cannot be interrupted by themselves on a CPU, so one value is enough. Probes in user space can: a task
//! in the middle of one may be preempted, or sleep on a page fault, and the next task on that CPU runs the same program.
//! Those claim one of several values at their start and give it back at their end:
//!
//! ```text
//! 0  u32 claims: whoever adds the first one owns the value
//! 8  what the program keeps there
//! ```
//!
//! When all are taken, the run is left out and counted as a lost event.

use fathom_bpf::MapId;
use fathom_bpf::helper::Helper;

use super::{Location, Lowerer, SHARED_SCRATCH};
use crate::ir::{AtomicOp, BinaryOp, BlockId, Compare, Memory, Op, Value, Width};

/// Values on each CPU that programs which can be preempted claim from.
const COPIES: u32 = 4;
/// Larger values are too large for the kernel's per-CPU memory (`PCPU_MIN_UNIT_SIZE`): an array has them for all CPUs.
const MAX_PER_CPU: u32 = 32 << 10;
/// Bytes before what the program keeps in a claimed value.
const CLAIM_BYTES: u32 = 8;

/// The scratch memory of one program.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scratch {
    map: MapId,
    size: u32,
    is_claimed: bool,
}

impl Lowerer<'_, '_> {
    pub(super) fn scratch_location(&mut self, size: u32) -> Location {
        let is_claimed = self.group.context.is_user;
        let scratch = match &mut self.scratch {
            Some(scratch) => scratch,
            none => none.insert(Scratch {
                map: self.out.scratch(if is_claimed { COPIES } else { 1 }),
                size: if is_claimed { CLAIM_BYTES } else { 0 },
                is_claimed,
            }),
        };
        let offset = scratch.size;
        scratch.size += size.next_multiple_of(8);
        Location::Scratch(offset)
    }

    /// Where scratch memory starts, in the function being built.
    pub(super) fn scratch_base(&mut self) -> Value {
        if let Some(base) = self.function.scratch {
            return base;
        }
        let base = self.b.reserve_value();
        self.function.scratch = Some(base);
        base
    }

    /// Fills a function's entry block: scratch memory is at hand from `start` on.
    pub(super) fn enter_with_scratch(&mut self, start: BlockId) {
        let Some(scratch) = self.scratch else {
            return self.b.jump(start);
        };
        if self.function.is_callback {
            if let Some(base) = self.function.scratch {
                let shared = self.shared_base();
                let op = Op::Load {
                    width: Width::B8,
                    signed: false,
                    memory: Memory::Stack,
                    base: shared,
                    offset: SHARED_SCRATCH,
                };
                self.b.define(base, op);
            }
            return self.b.jump(start);
        }
        self.out.set_scratch_size(scratch.map, scratch.size);
        if scratch.size > MAX_PER_CPU {
            self.out.spread_scratch(scratch.map, self.env.cpu_count);
        }
        let base = self.scratch_base();
        let refused = self.b.block();
        match scratch.is_claimed {
            true => self.claim_scratch(scratch, base, refused),
            false => self.look_up_scratch(scratch, base, refused),
        }
        if let Some(slot) = self.shared_slot {
            let shared = self.b.slot_address(slot);
            self.b
                .store(Width::B8, Memory::Stack, shared, SHARED_SCRATCH, base);
        }
        self.b.jump(start);
        self.b.enter(refused);
        if scratch.is_claimed {
            self.count_lost();
        }
        self.b.ret(self.result);
    }

    /// Gives a claimed value back, at the end of the main function.
    pub(super) fn leave_scratch(&mut self) {
        if let (
            Some(Scratch {
                is_claimed: true, ..
            }),
            Some(base),
            false,
        ) = (
            self.scratch,
            self.function.scratch,
            self.function.is_callback,
        ) {
            self.add_scratch_claim(base, -1);
        }
    }

    fn look_up_scratch(&mut self, scratch: Scratch, base: Value, refused: BlockId) {
        let op = self.scratch_look_up(scratch, 0);
        self.b.define(base, op);
        let there = self.b.block();
        self.b.branch(Compare::Ne, base, 0, there, refused);
        self.b.enter(there);
    }

    fn scratch_look_up(&mut self, scratch: Scratch, number: u32) -> Op {
        let key = self.b.slot(4, 4, "key of scratch memory");
        let key = self.b.slot_address(key);
        let number = match scratch.size > MAX_PER_CPU {
            true => {
                let cpu = self.b.call(Helper::GET_SMP_PROCESSOR_ID, &[]);
                let copies = if scratch.is_claimed { COPIES } else { 1 };
                let first = self.b.binary(BinaryOp::Mul, cpu, copies as i32);
                self.b.binary(BinaryOp::Add, first, number as i32)
            }
            false => self.b.constant(i64::from(number)),
        };
        self.b.store(Width::B4, Memory::Stack, key, 0, number);
        let map = self.b.map(scratch.map);
        Op::Call {
            helper: Helper::MAP_LOOKUP_ELEM,
            args: vec![map, key],
        }
    }

    fn claim_scratch(&mut self, scratch: Scratch, base: Value, refused: BlockId) {
        let chosen = self.b.variable();
        let claimed = self.b.block();
        for number in 0..COPIES {
            let next = match number + 1 == COPIES {
                true => refused,
                false => self.b.block(),
            };
            let (there, taken, lost) = (self.b.block(), self.b.block(), self.b.block());
            let op = self.scratch_look_up(scratch, number);
            let value = self.b.emit(op);
            self.b.branch(Compare::Ne, value, 0, there, refused);
            self.b.enter(there);
            let before = self.add_scratch_claim(value, 1);
            self.b.branch(Compare::Eq, before, 0, taken, lost);
            self.b.enter(taken);
            self.b.write(chosen, value);
            self.b.jump(claimed);
            self.b.enter(lost);
            self.add_scratch_claim(value, -1);
            self.b.jump(next);
            if next != refused {
                self.b.enter(next);
            }
        }
        self.b.enter(claimed);
        let lhs = self.b.read(chosen);
        let op = Op::Binary {
            op: BinaryOp::Add,
            is_32: false,
            lhs,
            rhs: 0.into(),
        };
        self.b.define(base, op);
    }

    /// Adds to a value's claims and gives the number before. Without atomic fetching (before Linux 5.12) a preemption just
    /// between load and store can let two programs in.
    fn add_scratch_claim(&mut self, base: Value, by: i64) -> Value {
        let value = self.b.constant(by);
        if self.env.features.atomic_fetch {
            return self.b.emit(Op::Atomic {
                op: AtomicOp::FetchAdd,
                width: Width::B4,
                base,
                offset: 0,
                value,
            });
        }
        let before = self.b.load(Width::B4, Memory::Map, base, 0);
        let after = self.b.binary(BinaryOp::Add, before, value);
        self.b.store(Width::B4, Memory::Map, base, 0, after);
        before
    }
}
