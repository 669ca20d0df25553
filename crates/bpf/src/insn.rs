//! eBPF instructions (Documentation/bpf/standardization/instruction-set.rst in the kernel).
//!
//! [`Insn`] is one slot as the kernel reads it; its constructors make every instruction. [`Operation`] is the same
//! instruction taken apart, for printing and running.
//!
//! ```text
//!  byte 0   1          2..3     4..7
//!  opcode   src | dst  offset   imm        opcode: class in bits 0..2, the rest by class
//! ```

mod decode;
mod make;

pub use decode::{InvalidInsn, Operation, PseudoImm};

/// One 8-byte instruction slot. `ld_imm64` takes two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Insn {
    /// Operation.
    pub opcode: u8,
    /// Destination register (0..=10).
    pub dst: u8,
    /// Source register (0..=10) or pseudo kind.
    pub src: u8,
    /// Signed offset.
    pub offset: i16,
    /// Signed immediate.
    pub imm: i32,
}

/// A register of the BPF machine: `r0` ..= `r10`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reg(u8);

impl Reg {
    /// Result of calls and of the program.
    pub const R0: Reg = Reg(0);
    /// First argument; the context at the start of a program.
    pub const R1: Reg = Reg(1);
    /// Second argument.
    pub const R2: Reg = Reg(2);
    /// Third argument.
    pub const R3: Reg = Reg(3);
    /// Fourth argument.
    pub const R4: Reg = Reg(4);
    /// Fifth argument.
    pub const R5: Reg = Reg(5);
    /// Kept over calls.
    pub const R6: Reg = Reg(6);
    /// Kept over calls.
    pub const R7: Reg = Reg(7);
    /// Kept over calls.
    pub const R8: Reg = Reg(8);
    /// Kept over calls.
    pub const R9: Reg = Reg(9);
    /// Frame pointer: one past the highest byte of the stack frame; cannot be written.
    pub const R10: Reg = Reg(10);
    /// All of them, by number.
    pub const ALL: [Reg; 11] = [
        Reg::R0,
        Reg::R1,
        Reg::R2,
        Reg::R3,
        Reg::R4,
        Reg::R5,
        Reg::R6,
        Reg::R7,
        Reg::R8,
        Reg::R9,
        Reg::R10,
    ];

    /// The register of that number, if there is one.
    pub const fn new(number: u8) -> Option<Reg> {
        if number <= 10 {
            Some(Reg(number))
        } else {
            None
        }
    }

    /// 0 ..= 10.
    pub const fn number(self) -> u8 {
        self.0
    }
}

impl std::fmt::Display for Reg {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "r{}", self.0)
    }
}

/// How much of the registers an arithmetic instruction or jump works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Width {
    /// The low half; arithmetic clears the upper half of the destination.
    W32,
    /// All of it.
    W64,
}

/// Bytes moved by a load or store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Size {
    /// 1 byte.
    B8,
    /// 2 bytes.
    B16,
    /// 4 bytes.
    B32,
    /// 8 bytes.
    B64,
}

impl Size {
    /// The size of that many bytes, if it is 1, 2, 4 or 8.
    pub const fn from_bytes(bytes: u32) -> Option<Size> {
        match bytes {
            1 => Some(Size::B8),
            2 => Some(Size::B16),
            4 => Some(Size::B32),
            8 => Some(Size::B64),
            _ => None,
        }
    }

    /// 1, 2, 4 or 8.
    pub const fn bytes(self) -> u32 {
        match self {
            Size::B8 => 1,
            Size::B16 => 2,
            Size::B32 => 4,
            Size::B64 => 8,
        }
    }

    const fn code(self) -> u8 {
        match self {
            Size::B32 => 0x00,
            Size::B16 => 0x08,
            Size::B8 => 0x10,
            Size::B64 => 0x18,
        }
    }
}

/// Second operand of arithmetic and jumps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operand {
    /// A register.
    Reg(Reg),
    /// A constant, sign-extended to the instruction's width.
    Imm(i32),
}

impl From<Reg> for Operand {
    fn from(reg: Reg) -> Operand {
        Operand::Reg(reg)
    }
}

impl From<i32> for Operand {
    fn from(imm: i32) -> Operand {
        Operand::Imm(imm)
    }
}

/// Arithmetic with two operands. Division by zero gives 0, remainder by zero leaves the destination
/// (its upper half cleared in 32-bit form), shift counts are taken modulo the width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AluOp {
    /// `dst += src`
    Add,
    /// `dst -= src`
    Sub,
    /// `dst *= src`
    Mul,
    /// `dst /= src`, unsigned.
    Div,
    /// `dst /= src`, signed (instruction set v4, Linux 6.6).
    SignedDiv,
    /// `dst |= src`
    Or,
    /// `dst &= src`
    And,
    /// `dst <<= src`
    Lsh,
    /// `dst >>= src`, unsigned.
    Rsh,
    /// `dst %= src`, unsigned.
    Mod,
    /// `dst %= src`, signed (instruction set v4, Linux 6.6).
    SignedMod,
    /// `dst ^= src`
    Xor,
    /// `dst = src`
    Mov,
    /// `dst >>= src`, signed.
    Arsh,
}

impl AluOp {
    /// Operation bits of the opcode, and the offset that tells signed division.
    const fn code(self) -> (u8, i16) {
        match self {
            AluOp::Add => (0x00, 0),
            AluOp::Sub => (0x10, 0),
            AluOp::Mul => (0x20, 0),
            AluOp::Div => (0x30, 0),
            AluOp::SignedDiv => (0x30, 1),
            AluOp::Or => (0x40, 0),
            AluOp::And => (0x50, 0),
            AluOp::Lsh => (0x60, 0),
            AluOp::Rsh => (0x70, 0),
            AluOp::Mod => (0x90, 0),
            AluOp::SignedMod => (0x90, 1),
            AluOp::Xor => (0xa0, 0),
            AluOp::Mov => (0xb0, 0),
            AluOp::Arsh => (0xc0, 0),
        }
    }
}

/// Order of bytes that [`Insn::byte_swap`] makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ByteOrder {
    /// `dst = htole(dst)`
    Little,
    /// `dst = htobe(dst)`
    Big,
    /// Swapped whatever the machine's order is (instruction set v4, Linux 6.6).
    Swap,
}

/// Condition of a jump. `Lt`, `Le`, `SignedLt` and `SignedLe` came with Linux 4.14.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JumpOp {
    /// `dst == src`
    Eq,
    /// `dst > src`, unsigned.
    Gt,
    /// `dst >= src`, unsigned.
    Ge,
    /// `dst & src` is not zero.
    Set,
    /// `dst != src`
    Ne,
    /// `dst > src`, signed.
    SignedGt,
    /// `dst >= src`, signed.
    SignedGe,
    /// `dst < src`, unsigned.
    Lt,
    /// `dst <= src`, unsigned.
    Le,
    /// `dst < src`, signed.
    SignedLt,
    /// `dst <= src`, signed.
    SignedLe,
}

impl JumpOp {
    const fn code(self) -> u8 {
        match self {
            JumpOp::Eq => 0x10,
            JumpOp::Gt => 0x20,
            JumpOp::Ge => 0x30,
            JumpOp::Set => 0x40,
            JumpOp::Ne => 0x50,
            JumpOp::SignedGt => 0x60,
            JumpOp::SignedGe => 0x70,
            JumpOp::Lt => 0xa0,
            JumpOp::Le => 0xb0,
            JumpOp::SignedLt => 0xc0,
            JumpOp::SignedLe => 0xd0,
        }
    }

    /// The condition that holds when this one does not; `Set` has none.
    pub const fn negated(self) -> Option<JumpOp> {
        match self {
            JumpOp::Eq => Some(JumpOp::Ne),
            JumpOp::Ne => Some(JumpOp::Eq),
            JumpOp::Gt => Some(JumpOp::Le),
            JumpOp::Le => Some(JumpOp::Gt),
            JumpOp::Ge => Some(JumpOp::Lt),
            JumpOp::Lt => Some(JumpOp::Ge),
            JumpOp::SignedGt => Some(JumpOp::SignedLe),
            JumpOp::SignedLe => Some(JumpOp::SignedGt),
            JumpOp::SignedGe => Some(JumpOp::SignedLt),
            JumpOp::SignedLt => Some(JumpOp::SignedGe),
            JumpOp::Set => None,
        }
    }
}

/// Read-modify-write of memory in one step, on 4 or 8 bytes. All but `Add` came with Linux 5.12.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AtomicOp {
    /// `*p += src`
    Add,
    /// `*p |= src`
    Or,
    /// `*p &= src`
    And,
    /// `*p ^= src`
    Xor,
    /// `src = *p; *p += src`
    FetchAdd,
    /// `src = *p; *p |= src`
    FetchOr,
    /// `src = *p; *p &= src`
    FetchAnd,
    /// `src = *p; *p ^= src`
    FetchXor,
    /// `src = *p; *p = src`
    Exchange,
    /// `r0 = *p`, and `*p = src` if it was equal to the old `r0`.
    CompareExchange,
}

impl AtomicOp {
    const fn code(self) -> i32 {
        match self {
            AtomicOp::Add => 0x00,
            AtomicOp::Or => 0x40,
            AtomicOp::And => 0x50,
            AtomicOp::Xor => 0xa0,
            AtomicOp::FetchAdd => 0x01,
            AtomicOp::FetchOr => 0x41,
            AtomicOp::FetchAnd => 0x51,
            AtomicOp::FetchXor => 0xa1,
            AtomicOp::Exchange => 0xe1,
            AtomicOp::CompareExchange => 0xf1,
        }
    }
}

/// Bits of opcodes.
mod class {
    pub const LD: u8 = 0x00;
    pub const LDX: u8 = 0x01;
    pub const ST: u8 = 0x02;
    pub const STX: u8 = 0x03;
    pub const ALU32: u8 = 0x04;
    pub const JMP: u8 = 0x05;
    pub const JMP32: u8 = 0x06;
    pub const ALU64: u8 = 0x07;
    /// Second operand is a register.
    pub const SOURCE_REG: u8 = 0x08;
    pub const MODE_MEM: u8 = 0x60;
    pub const MODE_MEM_SIGNED: u8 = 0x80;
    pub const MODE_ATOMIC: u8 = 0xc0;
    pub const NEG: u8 = 0x80;
    pub const MOV: u8 = 0xb0;
    pub const END: u8 = 0xd0;
    pub const CALL: u8 = 0x80;
    pub const EXIT: u8 = 0x90;
    /// `ld_imm64`: class LD, mode IMM, 8 bytes.
    pub const LOAD_IMM64: u8 = 0x18;
}

/// `src` of a call that is not to a helper.
const PSEUDO_CALL: u8 = 1;
const PSEUDO_KFUNC_CALL: u8 = 2;

/// Bytes.
impl Insn {
    /// Bytes in a slot.
    pub const BYTES: usize = 8;

    /// Slots taken by the instruction that starts here: 2 for `ld_imm64`, else 1.
    pub const fn slots(&self) -> usize {
        if self.opcode == class::LOAD_IMM64 {
            2
        } else {
            1
        }
    }

    /// As the kernel of this machine reads it.
    pub fn to_bytes(self) -> [u8; 8] {
        let registers = if cfg!(target_endian = "little") {
            self.src << 4 | (self.dst & 0xf)
        } else {
            self.dst << 4 | (self.src & 0xf)
        };
        let [o0, o1] = self.offset.to_ne_bytes();
        let [i0, i1, i2, i3] = self.imm.to_ne_bytes();
        [self.opcode, registers, o0, o1, i0, i1, i2, i3]
    }

    /// Inverse of [`Insn::to_bytes`]. Any bytes make an `Insn`; [`Operation::decode`] tells if it means something.
    pub fn from_bytes(bytes: [u8; 8]) -> Insn {
        let [opcode, registers, o0, o1, i0, i1, i2, i3] = bytes;
        let (dst, src) = if cfg!(target_endian = "little") {
            (registers & 0xf, registers >> 4)
        } else {
            (registers >> 4, registers & 0xf)
        };
        Insn {
            opcode,
            dst,
            src,
            offset: i16::from_ne_bytes([o0, o1]),
            imm: i32::from_ne_bytes([i0, i1, i2, i3]),
        }
    }
}

/// Bytes of a whole program.
pub fn to_bytes(insns: &[Insn]) -> Vec<u8> {
    insns.iter().flat_map(|insn| insn.to_bytes()).collect()
}

/// Inverse of [`to_bytes`]; `None` unless the length is a multiple of 8.
pub fn from_bytes(bytes: &[u8]) -> Option<Vec<Insn>> {
    let (slots, rest) = bytes.as_chunks::<{ Insn::BYTES }>();
    if !rest.is_empty() {
        return None;
    }
    Some(slots.iter().copied().map(Insn::from_bytes).collect())
}

#[cfg(test)]
mod tests;
