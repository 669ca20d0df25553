//! What the kernel says to a uprobe at an instruction, without asking it.
//!
//! `arch/x86/kernel/uprobes.c` looks at the first instruction of a site: a few prefixes and opcodes are refused (errno 524), some
//! instructions are emulated (fast), the rest is single-stepped out of line (slow: two traps). One refused site makes a whole
//! uprobe.multi link fail, so sites are sorted out before. The rules here are those of
//! Linux 3.19 and later.

use super::{Architecture, Elf, Function};
use crate::FileOffset;
use iced_x86::{Decoder, DecoderOptions, Instruction};
use std::fmt;

/// The longest instruction the kernel copies.
const MAX_INSN_BYTES: usize = 16;
/// The largest function that is walked for instruction boundaries.
const MAX_FUNCTION_BYTES: usize = 16 << 20;

/// How expensive a hit at this site is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SiteCost {
    /// The five-byte nop, which newer kernels turn into a call.
    OptimizedNop,
    /// Emulated by the kernel: one trap.
    Emulated,
    /// Executed out of line: more than one trap, up to 15 times slower.
    SingleStepped,
}

/// Why the kernel would refuse a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unprobeable {
    /// The file has no bytes there.
    OutsideFile,
    /// The bytes are no instruction, or are cut off.
    Invalid,
    /// It has a `lock` prefix.
    LockPrefix,
    /// It has an `es`, `cs`, `ss` or `ds` prefix.
    SegmentPrefix,
    /// It is an instruction that is never probed: port I/O, traps, hlt, and some vector instructions.
    Opcode,
    /// A jump or call with a 16-bit operand prefix, on which processors disagree.
    NarrowBranch,
    /// It changes the stack segment, which delays traps.
    StackSegment,
    /// `xchg %rax,%r8`: the kernel takes it for a nop and skips it, so that the program goes on with wrong registers.
    TakenForNop,
}

impl fmt::Display for Unprobeable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unprobeable::OutsideFile => "there is no code at this place",
            Unprobeable::Invalid => "there is no valid instruction at this place",
            Unprobeable::LockPrefix => "its first instruction has a lock prefix, which the kernel cannot execute out of line",
            Unprobeable::SegmentPrefix => "its first instruction has a segment prefix, which the kernel refuses",
            Unprobeable::Opcode => "the kernel refuses its first instruction",
            Unprobeable::NarrowBranch => "its first instruction is a branch with a 16-bit prefix",
            Unprobeable::StackSegment => "its first instruction changes the stack segment",
            Unprobeable::TakenForNop => "the kernel would skip its first instruction, an exchange of registers that it takes for a nop",
        })
    }
}

/// What would happen to a uprobe on the instruction that starts `code`.
pub fn probeable(code: &[u8], architecture: Architecture) -> Result<SiteCost, Unprobeable> {
    let bits = match architecture {
        Architecture::X86_64 => 64,
        Architecture::X86 => 32,
        Architecture::Other(_) => return Ok(SiteCost::SingleStepped),
    };
    if code.is_empty() {
        return Err(Unprobeable::OutsideFile);
    }
    let code = &code[..code.len().min(MAX_INSN_BYTES)];
    let instruction = Decoder::new(bits, code, DecoderOptions::NONE).decode();
    if instruction.is_invalid() {
        return Err(Unprobeable::Invalid);
    }
    let shape = Shape::of(&code[..instruction.len()], bits).ok_or(Unprobeable::Invalid)?;
    shape.check(bits)?;
    Ok(shape.cost(code))
}

/// Prefixes and opcode of an instruction as the kernel's own decoder sees them.
#[derive(Debug, Clone, Copy)]
struct Shape {
    has_lock: bool,
    has_segment: bool,
    has_operand_size: bool,
    /// The lowest bit of a REX prefix: another register than the opcode names.
    has_rex_base: bool,
    is_vector: bool,
    /// First opcode byte; for VEX and EVEX the byte in their map.
    first: u8,
    /// The byte after `0f`.
    second: u8,
    /// 1, 2 or 3.
    opcode_bytes: u8,
    modrm: u8,
}

impl Shape {
    fn of(code: &[u8], bits: u32) -> Option<Shape> {
        let mut shape = Shape {
            has_lock: false,
            has_segment: false,
            has_operand_size: false,
            has_rex_base: false,
            is_vector: false,
            first: 0,
            second: 0,
            opcode_bytes: 1,
            modrm: 0,
        };
        let mut at = 0;
        loop {
            match *code.get(at)? {
                0xf0 => shape.has_lock = true,
                0x26 | 0x2e | 0x36 | 0x3e => shape.has_segment = true,
                0x66 => shape.has_operand_size = true,
                0x64 | 0x65 | 0x67 | 0xf2 | 0xf3 => {}
                _ => break,
            }
            at += 1;
        }
        if bits == 64 && matches!(code.get(at)?, 0x40..=0x4f) {
            shape.has_rex_base = code[at] & 1 != 0;
            at += 1;
        }
        shape.read_opcode(code, at, bits)
    }

    fn read_opcode(mut self, code: &[u8], at: usize, bits: u32) -> Option<Shape> {
        let first = *code.get(at)?;
        // In 32-bit mode c4, c5 and 62 are vector prefixes only when the next byte has its two top bits set.
        let is_vector_prefix = bits == 64 || code.get(at + 1).is_some_and(|next| next >> 6 == 3);
        let vector_len = match first {
            0xc5 if is_vector_prefix => 2,
            0xc4 if is_vector_prefix => 3,
            0x62 if is_vector_prefix => 4,
            _ => 0,
        };
        if vector_len != 0 {
            self.is_vector = true;
            self.first = *code.get(at + vector_len)?;
            return Some(self);
        }
        self.first = first;
        let mut after = at + 1;
        if first == 0x0f {
            self.second = *code.get(after)?;
            let has_third = matches!(self.second, 0x38 | 0x3a);
            self.opcode_bytes = if has_third { 3 } else { 2 };
            after += usize::from(self.opcode_bytes) - 1;
        }
        self.modrm = code.get(after).copied().unwrap_or(0);
        Some(self)
    }

    fn check(&self, bits: u32) -> Result<(), Unprobeable> {
        if self.has_lock {
            return Err(Unprobeable::LockPrefix);
        }
        if self.has_segment {
            return Err(Unprobeable::SegmentPrefix);
        }
        let is_mov_to_ss = self.first == 0x8e && (self.modrm >> 3) & 7 == 2;
        if !self.is_vector && is_mov_to_ss {
            return Err(Unprobeable::StackSegment);
        }
        let refused = if bits == 64 { REFUSED_64 } else { REFUSED_32 };
        if contains(refused, self.first) {
            return Err(Unprobeable::Opcode);
        }
        // The kernel emulates 90 whatever its prefixes say (`branch_setup_xol_ops`, seen on Linux 6.18).
        if !self.is_vector && self.first == 0x90 && self.has_rex_base {
            return Err(Unprobeable::TakenForNop);
        }
        if self.has_operand_size && self.is_relative_branch() {
            return Err(Unprobeable::NarrowBranch);
        }
        Ok(())
    }

    fn is_relative_branch(&self) -> bool {
        match (self.is_vector, self.opcode_bytes) {
            (true, _) => false,
            (_, 1) => matches!(self.first, 0xe8 | 0xe9 | 0xeb | 0x70..=0x7f),
            (_, 2) => matches!(self.second, 0x80..=0x8f),
            _ => false,
        }
    }

    fn cost(&self, code: &[u8]) -> SiteCost {
        if code.starts_with(&[0x0f, 0x1f, 0x44, 0x00, 0x00]) {
            return SiteCost::OptimizedNop;
        }
        let is_push = self.opcode_bytes == 1 && matches!(self.first, 0x50..=0x57);
        let is_nop = self.opcode_bytes == 1 && self.first == 0x90;
        if !self.is_vector && (is_push || is_nop || self.is_relative_branch()) {
            SiteCost::Emulated
        } else {
            SiteCost::SingleStepped
        }
    }
}

type Ranges = &'static [(u8, u8)];

fn contains(ranges: Ranges, byte: u8) -> bool {
    ranges
        .iter()
        .any(|(first, last)| (*first..=*last).contains(&byte))
}

/// Opcodes refused in 64-bit code: invalid ones, port I/O, int, iret, hlt, cli, sti. Instructions that start with `0f` all pass
/// since Linux 3.19; of vector instructions the kernel looks the opcode byte up as if it were a one-byte opcode.
const REFUSED_64: Ranges = &[
    (0x06, 0x07),
    (0x0e, 0x0e),
    (0x16, 0x17),
    (0x1e, 0x1f),
    (0x27, 0x27),
    (0x2f, 0x2f),
    (0x37, 0x37),
    (0x3f, 0x3f),
    (0x60, 0x62),
    (0x6c, 0x6f),
    (0x82, 0x82),
    (0x9a, 0x9a),
    (0xcc, 0xcf),
    (0xd4, 0xd6),
    (0xe4, 0xe7),
    (0xea, 0xea),
    (0xec, 0xef),
    (0xf1, 0xf1),
    (0xf4, 0xf4),
    (0xfa, 0xfb),
];

/// The same for 32-bit code.
const REFUSED_32: Ranges = &[
    (0x07, 0x07),
    (0x17, 0x17),
    (0x1f, 0x1f),
    (0x6c, 0x6f),
    (0xcc, 0xcf),
    (0xe4, 0xe7),
    (0xec, 0xef),
    (0xf1, 0xf1),
    (0xf4, 0xf4),
    (0xfa, 0xfb),
];

impl Elf {
    /// Up to `len` bytes of the file from an offset; fewer at its end.
    pub fn code(&self, offset: FileOffset, len: usize) -> &[u8] {
        let tail = usize::try_from(offset.0)
            .ok()
            .and_then(|start| self.bytes().get(start..))
            .unwrap_or_default();
        &tail[..tail.len().min(len)]
    }

    /// What would happen to a uprobe at this place in the file.
    pub fn probe_site(&self, offset: FileOffset) -> Result<SiteCost, Unprobeable> {
        probeable(self.code(offset, MAX_INSN_BYTES), self.architecture())
    }

    /// Where the instructions of a function start, in bytes from its beginning; ends where the bytes are no code.
    pub fn instruction_starts(&self, function: &Function<'_>) -> Vec<u64> {
        self.decode(function)
            .map(|instruction| instruction.ip())
            .collect()
    }

    /// Where a function returns, in bytes from its beginning: every `ret`.
    pub fn return_sites(&self, function: &Function<'_>) -> Vec<u64> {
        let all = self.decode(function);
        all.filter(|instruction| instruction.mnemonic() == iced_x86::Mnemonic::Ret)
            .map(|instruction| instruction.ip())
            .collect()
    }

    /// The instructions of a function; addresses count from its start.
    pub(crate) fn decode(
        &self,
        function: &Function<'_>,
    ) -> impl Iterator<Item = Instruction> + use<'_> {
        self.decode_from(function, 0)
    }

    /// The same from an instruction inside.
    pub(crate) fn decode_from(
        &self,
        function: &Function<'_>,
        start: u64,
    ) -> impl Iterator<Item = Instruction> + use<'_> {
        let bits = match self.architecture() {
            Architecture::X86_64 => Some(64),
            Architecture::X86 => Some(32),
            Architecture::Other(_) => None,
        };
        let extent = usize::try_from(function.extent())
            .unwrap_or(0)
            .min(MAX_FUNCTION_BYTES);
        let code = if bits.is_some() {
            self.code(function.offset, extent)
        } else {
            &[]
        };
        let rest = usize::try_from(start)
            .ok()
            .and_then(|start| code.get(start..));
        let mut decoder = Decoder::with_ip(
            bits.unwrap_or(64),
            rest.unwrap_or_default(),
            start,
            DecoderOptions::NONE,
        );
        std::iter::from_fn(move || {
            let instruction = decoder.can_decode().then(|| decoder.decode())?;
            (!instruction.is_invalid()).then_some(instruction)
        })
    }
}
