//! Removes writes to the stack that nobody reads: to slots that are never read, and bytes that are written again
//! before anyone looks. Constants stored side by side become one wider store.

use super::{is_clock, is_fixed_during_run};
use crate::backend::slots::{addresses, alignment};
use crate::ir::{Block, Function, Inst, Memory, Op, Operand, Slot, Terminator, Value, Width};

/// Slots larger than the whole stack fail later; they are not looked at.
const LIMIT: usize = 512;

/// Zeroing is split into so many pieces at most.
const MAX_PIECES: usize = 3;

/// Says whether anything changed.
pub(super) fn remove_dead(function: &mut Function) -> bool {
    let addresses = addresses(function);
    let usage = Usage::of(function, &addresses);
    let mut changed = false;
    let (blocks, slots) = (&mut function.blocks, &function.slots);
    for block in blocks {
        let before = block.insts.len();
        block
            .insts
            .retain(|inst| !usage.is_useless(&inst.op, &addresses));
        changed |= before != block.insts.len();
        let writes = block
            .insts
            .iter()
            .filter(|inst| written(&inst.op, &addresses).is_some())
            .count();
        if writes > 1 || (writes == 1 && matches!(block.end, Terminator::Return(_))) {
            changed |= Backward::new(&addresses, &usage, slots.len()).block(block);
        }
        changed |= merge_neighbours(block, |base| {
            addresses[base.0 as usize]
                .map(|(slot, offset)| (alignment(&slots[slot.0 as usize]), offset))
        });
    }
    changed
}

/// What happens to each slot anywhere in the function.
struct Usage {
    read: Vec<bool>,
    /// The address is used for more than direct accesses.
    escaped: Vec<bool>,
}

impl Usage {
    fn of(function: &Function, addresses: &[Option<(Slot, i32)>]) -> Usage {
        let mut usage = Usage {
            read: vec![false; function.slots.len()],
            escaped: vec![false; function.slots.len()],
        };
        let slot_of = |value: Value| addresses[value.0 as usize].map(|(slot, _)| slot.0 as usize);
        for block in &function.blocks {
            for inst in &block.insts {
                let read = match &inst.op {
                    Op::Load { base, .. } | Op::Atomic { base, .. } => Some(*base),
                    Op::Copy { from, .. } => Some(*from),
                    _ => None,
                };
                if let Some(slot) = read.and_then(slot_of) {
                    usage.read[slot] = true;
                }
                for_each_escape(&inst.op, |value| {
                    if let Some(slot) = slot_of(value) {
                        usage.escaped[slot] = true;
                    }
                });
            }
            block.end.for_each_value(|value| {
                if let Some(slot) = slot_of(value) {
                    usage.escaped[slot] = true;
                }
            });
        }
        usage
    }

    /// Whether the operation only writes to a slot that nobody reads.
    fn is_useless(&self, op: &Op, addresses: &[Option<(Slot, i32)>]) -> bool {
        written(op, addresses).is_some_and(|(slot, _, _)| {
            !self.read[slot.0 as usize] && !self.escaped[slot.0 as usize]
        })
    }
}

/// Values that are used otherwise than as the base of an access.
fn for_each_escape(op: &Op, mut visit: impl FnMut(Value)) {
    match op {
        Op::Load { .. } | Op::Zero { .. } | Op::Copy { .. } => {}
        Op::Store {
            value: Operand::Value(value),
            ..
        }
        | Op::Atomic { value, .. } => visit(*value),
        Op::Store { .. } => {}
        other => other.for_each_value(visit),
    }
}

/// The bytes of a slot that the operation certainly writes: slot, first byte, how many.
fn written(op: &Op, addresses: &[Option<(Slot, i32)>]) -> Option<(Slot, usize, usize)> {
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
            to, to_offset, len, ..
        } => (to, to_offset, len),
        _ => return None,
    };
    let (slot, start) = addresses[base.0 as usize]?;
    Some((slot, usize::try_from(start + offset).ok()?, len as usize))
}

/// A set of a slot's bytes.
type Bytes = [u64; LIMIT / 64];

fn for_each_byte(start: usize, len: usize, mut visit: impl FnMut(usize, u64)) {
    for byte in start..(start + len).min(LIMIT) {
        visit(byte / 64, 1 << (byte % 64));
    }
}

/// A walk from the end of a block to its start.
struct Backward<'a> {
    addresses: &'a [Option<(Slot, i32)>],
    usage: &'a Usage,
    /// For each slot the bytes that are written before they are read.
    overwritten: Vec<Bytes>,
    changed: bool,
}

impl Backward<'_> {
    fn new<'a>(
        addresses: &'a [Option<(Slot, i32)>],
        usage: &'a Usage,
        slots: usize,
    ) -> Backward<'a> {
        Backward {
            addresses,
            usage,
            overwritten: vec![[0; LIMIT / 64]; slots],
            changed: false,
        }
    }

    fn block(mut self, block: &mut Block) -> bool {
        if matches!(block.end, Terminator::Return(_)) {
            self.overwritten.fill([u64::MAX; LIMIT / 64]);
        }
        let mut kept = Vec::with_capacity(block.insts.len());
        for inst in std::mem::take(&mut block.insts).into_iter().rev() {
            self.inst(inst, &mut kept);
        }
        kept.reverse();
        block.insts = kept;
        self.changed
    }

    fn inst(&mut self, inst: Inst, kept: &mut Vec<Inst>) {
        let write =
            written(&inst.op, self.addresses).filter(|(_, start, len)| start + len <= LIMIT);
        if let Some((slot, start, len)) = write {
            let overwritten = &mut self.overwritten[slot.0 as usize];
            let mut is_covered = true;
            for_each_byte(start, len, |word, bit| {
                is_covered &= overwritten[word] & bit != 0
            });
            if is_covered {
                self.changed = true;
                return;
            }
            let pieces = wanted_pieces(&inst.op, start, len, overwritten);
            for_each_byte(start, len, |word, bit| overwritten[word] |= bit);
            self.note_reads(&inst.op);
            if let (Op::Zero { offset, .. }, Some(pieces)) = (&inst.op, pieces) {
                let shift = *offset - start as i32;
                kept.extend(
                    pieces
                        .into_iter()
                        .rev()
                        .map(|piece| zero_piece(&inst, piece, shift)),
                );
                self.changed = true;
                return;
            }
        } else {
            self.note_reads(&inst.op);
        }
        kept.push(inst);
    }

    fn note_reads(&mut self, op: &Op) {
        match *op {
            Op::Load {
                base,
                offset,
                width,
                memory,
                ..
            } => self.read(base, offset, width.bytes(), memory),
            Op::Atomic {
                base,
                offset,
                width,
                ..
            } => self.read(base, offset, width.bytes(), Memory::Stack),
            Op::Copy {
                from,
                from_offset,
                len,
                from_memory,
                ..
            } => self.read(from, from_offset, len, from_memory),
            Op::Call { helper, .. } if !is_fixed_during_run(helper) && !is_clock(helper) => {
                self.read_escaped()
            }
            Op::CallKernel { .. } => self.read_escaped(),
            _ => {}
        }
    }

    fn read(&mut self, base: Value, offset: i32, len: u32, memory: Memory) {
        match self.addresses[base.0 as usize] {
            Some((slot, start)) => {
                let overwritten = &mut self.overwritten[slot.0 as usize];
                for_each_byte(
                    (start + offset).max(0) as usize,
                    len as usize,
                    |word, bit| overwritten[word] &= !bit,
                );
            }
            None if memory == Memory::Stack => self.read_escaped(),
            None => {}
        }
    }

    /// Somebody reads through a pointer that we do not know.
    fn read_escaped(&mut self) {
        for (overwritten, escaped) in self.overwritten.iter_mut().zip(&self.usage.escaped) {
            if *escaped {
                *overwritten = [0; LIMIT / 64];
            }
        }
    }
}

/// When zeroing needs to do less: the pieces that remain (start and length in the slot), whole 8-byte words.
fn wanted_pieces(
    op: &Op,
    start: usize,
    len: usize,
    overwritten: &Bytes,
) -> Option<Vec<(usize, usize)>> {
    let Op::Zero { .. } = op else { return None };
    let mut pieces: Vec<(usize, usize)> = Vec::new();
    let mut remaining = 0;
    let mut at = start;
    while at < start + len {
        let end = ((at / 8 + 1) * 8).min(start + len);
        let mut is_covered = true;
        for_each_byte(at, end - at, |word, bit| {
            is_covered &= overwritten[word] & bit != 0
        });
        if !is_covered {
            remaining += end - at;
            match pieces.last_mut() {
                Some((first, length)) if *first + *length == at => *length += end - at,
                _ => pieces.push((at, end - at)),
            }
        }
        at = end;
    }
    (remaining < len && pieces.len() <= MAX_PIECES).then_some(pieces)
}

fn zero_piece(inst: &Inst, (start, len): (usize, usize), shift: i32) -> Inst {
    let mut inst = inst.clone();
    if let Op::Zero {
        offset,
        len: length,
        ..
    } = &mut inst.op
    {
        *offset = start as i32 + shift;
        *length = len as u32;
    }
    inst
}

/// Joins a constant's store with the next one where both make an aligned wider one.
fn merge_neighbours(block: &mut Block, object: impl Fn(Value) -> Option<(u32, i32)>) -> bool {
    if cfg!(target_endian = "big") {
        return false;
    }
    let mut changed = false;
    let mut merged: Vec<Inst> = Vec::with_capacity(block.insts.len());
    for inst in block.insts.drain(..) {
        merged.push(inst);
        while let [.., first, second] = &merged[..] {
            let Some(op) = merge(&first.op, &second.op, &object) else {
                break;
            };
            merged.pop();
            if let Some(last) = merged.last_mut() {
                last.op = op;
            }
            changed = true;
        }
    }
    block.insts = merged;
    changed
}

fn merge(first: &Op, second: &Op, object: impl Fn(Value) -> Option<(u32, i32)>) -> Option<Op> {
    let constant = |op: &Op| match *op {
        Op::Store {
            width,
            memory,
            base,
            offset,
            value: Operand::Imm(imm),
        } => Some((width, memory, base, offset, i64::from(imm))),
        _ => None,
    };
    let (width, memory, base, offset, imm) = constant(first)?;
    let (other_width, _, other_base, other_offset, other_imm) = constant(second)?;
    let bytes = width.bytes() as i32;
    if width != other_width || base != other_base || (offset - other_offset).abs() != bytes {
        return None;
    }
    let wide = Width::from_bytes(2 * width.bytes())?;
    let low = offset.min(other_offset);
    let (align, start) = object(base).unwrap_or((8, 0));
    if memory == Memory::Packet || wide.bytes() > align || (start + low) % wide.bytes() as i32 != 0
    {
        return None;
    }
    let (low_imm, high_imm) = if offset < other_offset {
        (imm, other_imm)
    } else {
        (other_imm, imm)
    };
    let mask = (1i64 << (8 * bytes)) - 1;
    let joined = (low_imm & mask) | (high_imm << (8 * bytes));
    let value = match wide {
        Width::B8 => i32::try_from(joined).ok()?,
        _ => joined as i32,
    };
    Some(Op::Store {
        width: wide,
        memory,
        base,
        offset: low,
        value: Operand::Imm(value),
    })
}
