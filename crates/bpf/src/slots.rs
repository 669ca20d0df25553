//! Slot tables: a fixed number of places for the entries of a script's map, in memory that programs address directly.
//!
//! A look-up in a hash map is a call that hashes, walks a list and compares; here a program finds an entry by a
//! multiplication and one comparison. An entry that finds no free slot near its own lies in the hash map, which stays the
//! whole truth together with the table. The table is the only value of an array map:
//!
//! ```text
//! 0   u64 spilled: 1 since an entry found no slot (tables by thread only)
//! 8   copy 0: slot 0, slot 1 … slot (slots + WINDOW - 2)
//!     copy 1: …                  one copy for each CPU, or one for all
//!
//! slot:  0  u32 claims: 0 is free; whoever adds the first one owns it
//!        4  u32 ready: 1 when key and value are written
//!        8  key, padded with zeros to 8 bytes
//!        …  value, padded to 8 bytes
//! ```

use crate::map::MapId;

/// Slots that are looked at for one key: its own and the next ones.
pub const WINDOW: u32 = 4;
/// Where the copies start.
pub const FIRST_COPY: u32 = 8;
/// Offset of `ready` in a slot.
pub const READY: u32 = 4;
/// Offset of the key in a slot.
pub const KEY: u32 = 8;

/// What multiplication spreads keys with: 2^64 divided by the golden ratio.
pub const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

/// The shape of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotTable {
    /// The script's map whose entries it holds.
    pub of: MapId,
    /// 1, or one copy for each possible CPU.
    pub copies: u32,
    /// The number of slots that keys are spread over is two to this power.
    pub slot_bits: u32,
    /// Bytes of a key: those of the kernel's key of that map.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
}

impl SlotTable {
    /// Where the value lies in a slot.
    pub fn value_offset(&self) -> u32 {
        KEY + self.key_size.next_multiple_of(8)
    }

    /// Bytes of a slot.
    pub fn slot_size(&self) -> u32 {
        self.value_offset() + self.value_size.next_multiple_of(8)
    }

    /// Slots of one copy: the last key's window must fit.
    pub fn slots(&self) -> u32 {
        (1 << self.slot_bits) + WINDOW - 1
    }

    /// Bytes of one copy.
    pub fn copy_size(&self) -> u32 {
        self.slots() * self.slot_size()
    }

    /// Bytes of the map's value.
    pub fn total_size(&self) -> u32 {
        FIRST_COPY + self.copies * self.copy_size()
    }
}
