//! Places stack slots in the frame.

use crate::ir::{Function, SlotData};

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

/// Finds a place for each slot.
pub(super) fn place(function: &Function) -> Frame {
    let mut offsets = Vec::new();
    let mut size = 0;
    for slot in &function.slots {
        size = (size + slot.size).next_multiple_of(alignment(slot));
        offsets.push(-(size as i32));
    }
    Frame { offsets, size: size.next_multiple_of(8) }
}
