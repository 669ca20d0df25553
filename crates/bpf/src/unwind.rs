//! Tables by which a program walks user stacks that have no frame pointers (`dw_ustack`).
//!
//! User space turns each mapped file's `.eh_frame` into rows and says where processes have the files mapped; a program
//! finds the row of an address by two binary searches and computes the caller's frame from it.
//!
//! ```text
//! processes   hash, u32 pid → u32 first region, u32 regions
//! regions     array of      u64 start, u64 end, u64 delta, u32 first row, u32 rows        by start
//! rows        array of      u32 address - delta, s16 cfa offset, s16 bp offset, u8 rule   by address
//! stacks      hash, u64 hash of the addresses → the addresses, innermost first, then zeros
//! ```
//!
//! The canonical frame address (CFA) is the stack pointer before the call; the return address lies right below it.
//! Source: System V ABI for x86-64, "DWARF definition" and "Stack unwind algorithm"; LSB 5.0, "Exception frames".

/// Bytes of a region.
pub const REGION_SIZE: u32 = 32;
/// Bytes of a row.
pub const ROW_SIZE: u32 = 16;
/// Regions of all processes together.
pub const MAX_REGIONS: u32 = 1 << 13;
/// Rows of all files together.
pub const MAX_ROWS: u32 = 1 << 20;
/// Processes that are walked.
pub const MAX_PROCESSES: u32 = 1 << 8;
/// Frames of a stack.
pub const MAX_FRAMES: u32 = 127;
/// Different stacks that are kept.
pub const MAX_STACKS: u32 = 1 << 14;

/// Nothing is known, or there is no caller.
pub const RULE_END: u8 = 0;
/// CFA = stack pointer + offset.
pub const RULE_SP: u8 = 1;
/// CFA = frame pointer + offset.
pub const RULE_BP: u8 = 2;
/// An entry of the procedure linkage table: CFA = stack pointer + 8, and 8 more behind the push in its second half.
pub const RULE_PLT: u8 = 3;
/// Added to a rule: the caller's frame pointer is saved at CFA + bp offset.
pub const BP_SAVED: u8 = 0x10;
/// The bits of a rule without [`BP_SAVED`].
pub const RULE_MASK: u8 = 0x0f;

/// Which of the tables a map is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnwindTable {
    /// Where a process's regions are.
    Processes,
    /// Executable mappings.
    Regions,
    /// How to get from a frame to its caller's.
    Rows,
    /// The stacks that were walked.
    Stacks,
}

/// How to get to the caller's frame from addresses at and behind this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Relative to the file's load address.
    pub address: u32,
    /// See [`RULE_SP`], [`RULE_BP`].
    pub cfa_offset: i16,
    /// See [`BP_SAVED`].
    pub bp_offset: i16,
    /// One of the rules, with or without [`BP_SAVED`].
    pub rule: u8,
}

impl Row {
    /// The row's bytes in the table, as two words.
    pub fn words(&self) -> [u64; 2] {
        let low = u64::from(self.address)
            | u64::from(self.cfa_offset as u16) << 32
            | u64::from(self.bp_offset as u16) << 48;
        [low, u64::from(self.rule)]
    }
}
