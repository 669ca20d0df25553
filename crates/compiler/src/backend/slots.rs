//! Places stack slots in the frame: slots that are never needed at the same time share bytes.
//!
//! A slot is needed at a point when it may have been touched before and may be touched after, with no full overwrite
//! in between. A slot whose address is kept somewhere (in memory, in another pointer) is needed everywhere.

use crate::ir::cfg::Cfg;
use crate::ir::{Function, Op, Operand, Slot, SlotData, Value, targets};

/// Where things lie below the frame pointer.
#[derive(Debug, Default)]
pub(super) struct Frame {
    /// For each slot the offset of its first byte from r10; 0 for a slot that is never used.
    pub offsets: Vec<i32>,
    /// Bytes taken by slots, a multiple of 8.
    pub size: u32,
}

/// Alignment of a slot in the frame: what it asks for, and enough to be cleared and copied by wide accesses.
pub(super) fn alignment(slot: &SlotData) -> u32 {
    slot.align.max(slot.size.next_power_of_two().min(8))
}

/// Finds a place for each slot that is used.
pub(super) fn place(function: &Function) -> Frame {
    if function.slots.is_empty() {
        return Frame::default();
    }
    let accesses = Accesses::of(function);
    let conflicts = conflicts(function, &accesses);
    let mut order: Vec<usize> = (0..function.slots.len())
        .filter(|slot| accesses.is_used[*slot])
        .collect();
    order.sort_by_key(|slot| {
        std::cmp::Reverse((
            alignment(&function.slots[*slot]),
            function.slots[*slot].size,
        ))
    });
    // Distances below the frame pointer: where a slot begins (nearer to it) and ends.
    let mut places: Vec<Option<(u32, u32)>> = vec![None; function.slots.len()];
    for slot in order {
        let mut taken: Vec<(u32, u32)> = conflicts[slot]
            .iter()
            .filter_map(|other| places[other])
            .collect();
        taken.sort_unstable();
        places[slot] = Some(first_fit(&function.slots[slot], &taken));
    }
    let size = places
        .iter()
        .flatten()
        .map(|(_, end)| *end)
        .max()
        .unwrap_or(0);
    let offsets = places
        .iter()
        .map(|place| place.map_or(0, |(_, end)| -i64::from(end) as i32))
        .collect();
    Frame {
        offsets,
        size: size.next_multiple_of(8),
    }
}

fn first_fit(slot: &SlotData, taken: &[(u32, u32)]) -> (u32, u32) {
    let mut end = slot.size.next_multiple_of(alignment(slot));
    for (begin, other_end) in taken {
        if end - slot.size < *other_end && *begin < end {
            end = (other_end + slot.size).next_multiple_of(alignment(slot));
        }
    }
    (end - slot.size, end)
}

/// A set of slots.
#[derive(Clone, Debug, PartialEq)]
struct Set(Vec<u64>);

impl Set {
    fn new(len: usize) -> Set {
        Set(vec![0; len.div_ceil(64)])
    }

    fn insert(&mut self, slot: usize) {
        self.0[slot / 64] |= 1 << (slot % 64);
    }

    fn remove(&mut self, slot: usize) {
        self.0[slot / 64] &= !(1 << (slot % 64));
    }

    fn add(&mut self, other: &Set) {
        for (word, more) in self.0.iter_mut().zip(&other.0) {
            *word |= more;
        }
    }

    fn common(&self, other: &Set) -> Set {
        Set(self.0.iter().zip(&other.0).map(|(a, b)| a & b).collect())
    }

    fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().flat_map(|(index, word)| {
            (0..64)
                .filter(move |bit| word >> bit & 1 != 0)
                .map(move |bit| index * 64 + bit)
        })
    }
}

/// A touch of a slot by an instruction.
#[derive(Clone, Copy)]
struct Access {
    inst: usize,
    slot: usize,
    /// All bytes are written and none read.
    overwrites: bool,
}

struct Accesses {
    /// For each block, in order.
    of_block: Vec<Vec<Access>>,
    is_used: Vec<bool>,
    /// The address goes where it cannot be followed.
    is_kept: Vec<bool>,
}

impl Accesses {
    fn of(function: &Function) -> Accesses {
        let addresses = addresses(function);
        let slots = function.slots.len();
        let mut accesses = Accesses {
            of_block: vec![Vec::new(); function.blocks.len()],
            is_used: vec![false; slots],
            is_kept: vec![false; slots],
        };
        let slot_of = |value: Value| addresses[value.0 as usize].map(|(slot, _)| slot.0 as usize);
        for (index, block) in function.blocks.iter().enumerate() {
            for (inst, data) in block.insts.iter().enumerate() {
                let overwritten = overwritten(&data.op, &addresses, &function.slots);
                data.op.for_each_value(|value| {
                    if let Some(slot) = slot_of(value) {
                        let overwrites = overwritten == Some(value);
                        accesses.of_block[index].push(Access {
                            inst,
                            slot,
                            overwrites,
                        });
                        accesses.is_used[slot] = true;
                    }
                });
                for_each_kept(&data.op, |value| {
                    if let Some(slot) = slot_of(value) {
                        accesses.is_kept[slot] = true;
                    }
                });
            }
            block.end.for_each_value(|value| {
                if let Some(slot) = slot_of(value) {
                    accesses.is_used[slot] = true;
                    accesses.is_kept[slot] = true;
                }
            });
        }
        accesses
    }
}

/// For each value that is the address of a slot: which, and where in it.
pub(super) fn addresses(function: &Function) -> Vec<Option<(Slot, i32)>> {
    let mut addresses = vec![None; function.value_count as usize];
    for inst in function.blocks.iter().flat_map(|block| &block.insts) {
        if let (Some(result), Op::SlotAddress { slot, offset }) = (inst.result, &inst.op) {
            addresses[result.0 as usize] = Some((*slot, *offset));
        }
    }
    addresses
}

/// Values that outlive the operation in memory or in another value. Helpers do not keep what they are passed.
fn for_each_kept(op: &Op, mut visit: impl FnMut(Value)) {
    match op {
        Op::Store {
            value: Operand::Value(value),
            ..
        }
        | Op::Atomic { value, .. } => visit(*value),
        other if other.is_arithmetic() => other.for_each_value(visit),
        _ => {}
    }
}

/// The address of a slot of which the operation writes all bytes and reads none.
fn overwritten(op: &Op, addresses: &[Option<(Slot, i32)>], slots: &[SlotData]) -> Option<Value> {
    let (base, offset, len) = match *op {
        Op::Store {
            base,
            offset,
            width,
            ..
        } => (base, offset, width.bytes()),
        Op::Zero {
            base, offset, len, ..
        } => (base, offset, len),
        Op::Copy {
            to,
            to_offset,
            len,
            from,
            ..
        } if to != from => (to, to_offset, len),
        _ => return None,
    };
    let (slot, start) = addresses[base.0 as usize]?;
    (start + offset == 0 && len >= slots[slot.0 as usize].size).then_some(base)
}

/// For each slot those that must not share bytes with it.
fn conflicts(function: &Function, accesses: &Accesses) -> Vec<Set> {
    let cfg = Cfg::of(function);
    let count = function.slots.len();
    let mut conflicts = vec![Set::new(count); count];
    let before = touched_before(function, &cfg, accesses, count);
    let after = touched_after(function, &cfg, accesses, count);
    for block in &cfg.order {
        let accesses = &accesses.of_block[block.0 as usize];
        // What is still wanted after each access, from the last one to before the first.
        let mut later = vec![after[block.0 as usize].clone()];
        for access in accesses.iter().rev() {
            let mut set = later[later.len() - 1].clone();
            want(&mut set, access);
            later.push(set);
        }
        let mut earlier = before[block.0 as usize].clone();
        for (access, later) in accesses.iter().zip(later.iter().rev().skip(1)) {
            note(&mut conflicts, &earlier.common(later), Some(access.slot));
            earlier.insert(access.slot);
        }
        note(
            &mut conflicts,
            &before[block.0 as usize].common(&later[later.len() - 1]),
            None,
        );
        note(&mut conflicts, &earlier.common(&later[0]), None);
    }
    keep_apart(&mut conflicts, accesses);
    conflicts
}

/// Goes backward over an access.
fn want(later: &mut Set, access: &Access) {
    if access.overwrites {
        later.remove(access.slot);
    } else {
        later.insert(access.slot);
    }
}

/// What may have been touched after these accesses.
fn after_block(before: &Set, accesses: &[Access]) -> Set {
    let mut set = before.clone();
    for access in accesses {
        set.insert(access.slot);
    }
    set
}

/// Those needed at one point conflict, with the one being touched too.
fn note(conflicts: &mut [Set], needed: &Set, touched: Option<usize>) {
    for slot in needed.iter() {
        conflicts[slot].add(needed);
        if let Some(touched) = touched {
            conflicts[slot].insert(touched);
        }
    }
    if let Some(touched) = touched {
        conflicts[touched].add(needed);
    }
    for slot in needed.iter().chain(touched) {
        conflicts[slot].remove(slot);
    }
}

/// Slots whose address is kept conflict with all, and so do two that one instruction touches.
fn keep_apart(conflicts: &mut [Set], accesses: &Accesses) {
    let mut both = |a: usize, b: usize| {
        if a != b {
            conflicts[a].insert(b);
            conflicts[b].insert(a);
        }
    };
    for (slot, _) in accesses
        .is_kept
        .iter()
        .enumerate()
        .filter(|(_, kept)| **kept)
    {
        for other in 0..accesses.is_used.len() {
            both(slot, other);
        }
    }
    for block in &accesses.of_block {
        for (index, access) in block.iter().enumerate() {
            for other in block[index + 1..]
                .iter()
                .take_while(|other| other.inst == access.inst)
            {
                both(access.slot, other.slot);
            }
        }
    }
}

/// For each block the slots that may have been touched before its start.
fn touched_before(function: &Function, cfg: &Cfg, accesses: &Accesses, count: usize) -> Vec<Set> {
    let mut before = vec![Set::new(count); function.blocks.len()];
    let mut changed = true;
    while changed {
        changed = false;
        for block in &cfg.order {
            let after = after_block(
                &before[block.0 as usize],
                &accesses.of_block[block.0 as usize],
            );
            for target in targets(&function.block(*block).end) {
                let place = &mut before[target.block.0 as usize];
                let mut joined = place.clone();
                joined.add(&after);
                if joined != *place {
                    *place = joined;
                    changed = true;
                }
            }
        }
    }
    before
}

/// For each block the slots that may be read after its end before they are overwritten.
fn touched_after(function: &Function, cfg: &Cfg, accesses: &Accesses, count: usize) -> Vec<Set> {
    let mut at_end = vec![Set::new(count); function.blocks.len()];
    let mut at_start = at_end.clone();
    let mut changed = true;
    while changed {
        changed = false;
        for block in cfg.order.iter().rev() {
            let index = block.0 as usize;
            let mut set = Set::new(count);
            for target in targets(&function.block(*block).end) {
                set.add(&at_start[target.block.0 as usize]);
            }
            at_end[index] = set.clone();
            for access in accesses.of_block[index].iter().rev() {
                want(&mut set, access);
            }
            if at_start[index] != set {
                at_start[index] = set;
                changed = true;
            }
        }
    }
    at_end
}
