//! An instruction taken apart: [`Operation`]. Everything that reads programs (text, interpreter) matches on it.

use super::class;
use super::{
    AluOp, AtomicOp, ByteOrder, Insn, JumpOp, Operand, PSEUDO_CALL, PSEUDO_KFUNC_CALL, Reg, Size,
    Width,
};
use crate::helper::Helper;

/// What an instruction does. Offsets of jumps and local calls count slots from the next instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "fields are told by the variant's own words")]
pub enum Operation {
    /// `dst op= operand`
    Alu {
        width: Width,
        op: AluOp,
        dst: Reg,
        operand: Operand,
    },
    /// `dst = src`, sign-extended from that size.
    MovSigned {
        width: Width,
        dst: Reg,
        src: Reg,
        from: Size,
    },
    /// `dst = -dst`
    Neg { width: Width, dst: Reg },
    /// Byte order of the low `bits`.
    ByteSwap {
        order: ByteOrder,
        dst: Reg,
        bits: u32,
    },
    /// `dst = *(base + offset)`
    Load {
        size: Size,
        signed: bool,
        dst: Reg,
        base: Reg,
        offset: i16,
    },
    /// `*(base + offset) = value`
    Store {
        size: Size,
        base: Reg,
        offset: i16,
        value: Operand,
    },
    /// See [`AtomicOp`].
    Atomic {
        size: Size,
        op: AtomicOp,
        base: Reg,
        offset: i16,
        src: Reg,
    },
    /// `ld_imm64`, two slots.
    LoadImm64 { dst: Reg, value: PseudoImm },
    /// `if dst op operand goto +offset`
    Jump {
        width: Width,
        op: JumpOp,
        dst: Reg,
        operand: Operand,
        offset: i16,
    },
    /// `goto +offset`
    Goto { offset: i32 },
    /// `call helper`
    CallHelper(Helper),
    /// Call of a kernel function.
    CallKernelFunction { btf_id: u32, module_index: i16 },
    /// Call of a function of this program.
    CallFunction { offset: i32 },
    /// `exit`
    Exit,
}

/// What a `ld_imm64` loads (`BPF_PSEUDO_*` in include/uapi/linux/bpf.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "fields are told by the variant's own words")]
pub enum PseudoImm {
    /// A constant.
    Value(u64),
    /// Address of a map, by file descriptor.
    MapFd(i32),
    /// Address within the value of a one-entry array map, by file descriptor.
    MapValue { fd: i32, offset: u32 },
    /// Address of a kernel variable by BTF id, with the file descriptor of a module's BTF or 0.
    KernelVariable { btf_id: u32, module_fd: i32 },
    /// Address of a function of this program: slots from the next instruction (Linux 5.13).
    Function(i32),
    /// Address of a map, by index into the loader's array (Linux 5.14).
    MapIndex(i32),
    /// As `MapValue`, by index.
    MapValueIndex { index: i32, offset: u32 },
}

impl PseudoImm {
    /// `src`, and the immediates of the first and second slot.
    pub(super) fn parts(self) -> (u8, i32, i32) {
        match self {
            PseudoImm::Value(value) => (0, value as i32, (value >> 32) as i32),
            PseudoImm::MapFd(fd) => (1, fd, 0),
            PseudoImm::MapValue { fd, offset } => (2, fd, offset as i32),
            PseudoImm::KernelVariable { btf_id, module_fd } => (3, btf_id as i32, module_fd),
            PseudoImm::Function(offset) => (4, offset, 0),
            PseudoImm::MapIndex(index) => (5, index, 0),
            PseudoImm::MapValueIndex { index, offset } => (6, index, offset as i32),
        }
    }

    fn from_parts(src: u8, low: i32, high: i32) -> Option<PseudoImm> {
        let value = match src {
            0 => PseudoImm::Value(u64::from(low as u32) | u64::from(high as u32) << 32),
            1 => PseudoImm::MapFd(low),
            2 => PseudoImm::MapValue {
                fd: low,
                offset: high as u32,
            },
            3 => PseudoImm::KernelVariable {
                btf_id: low as u32,
                module_fd: high,
            },
            4 => PseudoImm::Function(low),
            5 => PseudoImm::MapIndex(low),
            6 => PseudoImm::MapValueIndex {
                index: low,
                offset: high as u32,
            },
            _ => return None,
        };
        Some(value)
    }
}

/// Bytes that are not an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("slot {slot} is not a BPF instruction (opcode {opcode:#04x})")]
pub struct InvalidInsn {
    /// Where.
    pub slot: usize,
    /// Its first byte.
    pub opcode: u8,
}

impl Operation {
    /// The instruction that starts at `slot`. Its size is [`Insn::slots`].
    pub fn decode(insns: &[Insn], slot: usize) -> Result<Operation, InvalidInsn> {
        let Some(insn) = insns.get(slot) else {
            return Err(InvalidInsn { slot, opcode: 0 });
        };
        let operation = match insn.opcode & 0x07 {
            class::LD => decode_load_imm64(insn, insns.get(slot + 1)),
            class::LDX => decode_load(insn),
            class::ST | class::STX => decode_store(insn),
            class::ALU32 | class::ALU64 => decode_alu(insn),
            _ => decode_jump(insn),
        };
        operation.ok_or(InvalidInsn {
            slot,
            opcode: insn.opcode,
        })
    }
}

fn decode_load_imm64(insn: &Insn, next: Option<&Insn>) -> Option<Operation> {
    let next = next?;
    let second = Insn {
        imm: next.imm,
        ..Insn::default()
    };
    if insn.opcode != class::LOAD_IMM64 || insn.offset != 0 || *next != second {
        return None;
    }
    Some(Operation::LoadImm64 {
        dst: Reg::new(insn.dst)?,
        value: PseudoImm::from_parts(insn.src, insn.imm, next.imm)?,
    })
}

fn decode_load(insn: &Insn) -> Option<Operation> {
    let size = decode_size(insn.opcode);
    let signed = match insn.opcode & 0xe0 {
        class::MODE_MEM => false,
        class::MODE_MEM_SIGNED if size != Size::B64 => true,
        _ => return None,
    };
    if insn.imm != 0 {
        return None;
    }
    Some(Operation::Load {
        size,
        signed,
        dst: Reg::new(insn.dst)?,
        base: Reg::new(insn.src)?,
        offset: insn.offset,
    })
}

fn decode_store(insn: &Insn) -> Option<Operation> {
    let size = decode_size(insn.opcode);
    let base = Reg::new(insn.dst)?;
    let src = Reg::new(insn.src)?;
    let offset = insn.offset;
    let is_register = insn.opcode & 0x07 == class::STX;
    match (insn.opcode & 0xe0, is_register) {
        (class::MODE_MEM, true) if insn.imm == 0 => Some(Operation::Store {
            size,
            base,
            offset,
            value: Operand::Reg(src),
        }),
        (class::MODE_MEM, false) if insn.src == 0 => Some(Operation::Store {
            size,
            base,
            offset,
            value: Operand::Imm(insn.imm),
        }),
        (class::MODE_ATOMIC, true) if matches!(size, Size::B32 | Size::B64) => {
            Some(Operation::Atomic {
                size,
                op: decode_atomic(insn.imm)?,
                base,
                offset,
                src,
            })
        }
        _ => None,
    }
}

fn decode_alu(insn: &Insn) -> Option<Operation> {
    let is_64 = insn.opcode & 0x07 == class::ALU64;
    let width = if is_64 { Width::W64 } else { Width::W32 };
    let dst = Reg::new(insn.dst)?;
    let code = insn.opcode & 0xf0;
    match code {
        class::NEG => (*insn == Insn::neg(width, dst)).then_some(Operation::Neg { width, dst }),
        class::END => decode_byte_swap(insn, dst),
        class::MOV if insn.offset != 0 => decode_mov_signed(insn, width, dst),
        _ => Some(Operation::Alu {
            width,
            op: decode_alu_op(code, insn.offset)?,
            dst,
            operand: decode_operand(insn)?,
        }),
    }
}

fn decode_byte_swap(insn: &Insn, dst: Reg) -> Option<Operation> {
    let bits = u32::try_from(insn.imm).ok()?;
    if !matches!(bits, 16 | 32 | 64) {
        return None;
    }
    let orders = [ByteOrder::Little, ByteOrder::Big, ByteOrder::Swap];
    let order = orders
        .into_iter()
        .find(|order| Insn::byte_swap(*order, dst, bits) == *insn)?;
    Some(Operation::ByteSwap { order, dst, bits })
}

fn decode_mov_signed(insn: &Insn, width: Width, dst: Reg) -> Option<Operation> {
    let Operand::Reg(src) = decode_operand(insn)? else {
        return None;
    };
    let from = match (insn.offset, width) {
        (8, _) => Size::B8,
        (16, _) => Size::B16,
        (32, Width::W64) => Size::B32,
        _ => return None,
    };
    Some(Operation::MovSigned {
        width,
        dst,
        src,
        from,
    })
}

fn decode_jump(insn: &Insn) -> Option<Operation> {
    let is_64 = insn.opcode & 0x07 == class::JMP;
    let code = insn.opcode & 0xf0;
    match (code, is_64) {
        (0, true) => (*insn == Insn::goto(insn.offset)).then_some(Operation::Goto {
            offset: i32::from(insn.offset),
        }),
        (0, false) => {
            (*insn == Insn::goto_far(insn.imm)).then_some(Operation::Goto { offset: insn.imm })
        }
        (class::CALL, true) => decode_call(insn),
        (class::EXIT, true) => (*insn == Insn::exit()).then_some(Operation::Exit),
        _ => Some(Operation::Jump {
            width: if is_64 { Width::W64 } else { Width::W32 },
            op: decode_jump_op(code)?,
            dst: Reg::new(insn.dst)?,
            operand: decode_operand(insn)?,
            offset: insn.offset,
        }),
    }
}

fn decode_call(insn: &Insn) -> Option<Operation> {
    if insn.dst != 0 || insn.opcode & class::SOURCE_REG != 0 {
        return None;
    }
    match (insn.src, insn.offset) {
        (0, 0) => Some(Operation::CallHelper(Helper(insn.imm as u32))),
        (PSEUDO_CALL, 0) => Some(Operation::CallFunction { offset: insn.imm }),
        (PSEUDO_KFUNC_CALL, module_index) => Some(Operation::CallKernelFunction {
            btf_id: insn.imm as u32,
            module_index,
        }),
        _ => None,
    }
}

fn decode_operand(insn: &Insn) -> Option<Operand> {
    let is_register = insn.opcode & class::SOURCE_REG != 0;
    match is_register {
        true if insn.imm == 0 => Some(Operand::Reg(Reg::new(insn.src)?)),
        false if insn.src == 0 => Some(Operand::Imm(insn.imm)),
        _ => None,
    }
}

fn decode_size(opcode: u8) -> Size {
    match opcode & 0x18 {
        0x00 => Size::B32,
        0x08 => Size::B16,
        0x10 => Size::B8,
        _ => Size::B64,
    }
}

fn decode_alu_op(code: u8, offset: i16) -> Option<AluOp> {
    let all = [
        AluOp::Add,
        AluOp::Sub,
        AluOp::Mul,
        AluOp::Div,
        AluOp::SignedDiv,
        AluOp::Or,
        AluOp::And,
        AluOp::Lsh,
        AluOp::Rsh,
        AluOp::Mod,
        AluOp::SignedMod,
        AluOp::Xor,
        AluOp::Mov,
        AluOp::Arsh,
    ];
    all.into_iter().find(|op| op.code() == (code, offset))
}

fn decode_jump_op(code: u8) -> Option<JumpOp> {
    let all = [
        JumpOp::Eq,
        JumpOp::Gt,
        JumpOp::Ge,
        JumpOp::Set,
        JumpOp::Ne,
        JumpOp::SignedGt,
        JumpOp::SignedGe,
        JumpOp::Lt,
        JumpOp::Le,
        JumpOp::SignedLt,
        JumpOp::SignedLe,
    ];
    all.into_iter().find(|op| op.code() == code)
}

fn decode_atomic(imm: i32) -> Option<AtomicOp> {
    let all = [
        AtomicOp::Add,
        AtomicOp::Or,
        AtomicOp::And,
        AtomicOp::Xor,
        AtomicOp::FetchAdd,
        AtomicOp::FetchOr,
        AtomicOp::FetchAnd,
        AtomicOp::FetchXor,
        AtomicOp::Exchange,
        AtomicOp::CompareExchange,
    ];
    all.into_iter().find(|op| op.code() == imm)
}
