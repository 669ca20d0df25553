//! Constructors: one for each kind of instruction.

use super::class;
use super::{
    AluOp, AtomicOp, ByteOrder, Insn, JumpOp, Operand, PSEUDO_CALL, PSEUDO_KFUNC_CALL, PseudoImm,
    Reg, Size, Width,
};
use crate::helper::Helper;

/// Arithmetic.
impl Insn {
    /// `dst op= operand`.
    pub fn alu(width: Width, op: AluOp, dst: Reg, operand: impl Into<Operand>) -> Insn {
        let (code, offset) = op.code();
        let class = match width {
            Width::W32 => class::ALU32,
            Width::W64 => class::ALU64,
        };
        Insn::with_operand(code | class, dst, operand.into(), offset)
    }

    /// `dst = operand`, 64 bits; an immediate is sign-extended.
    pub fn mov(dst: Reg, operand: impl Into<Operand>) -> Insn {
        Insn::alu(Width::W64, AluOp::Mov, dst, operand)
    }

    /// `dst = operand`, 32 bits, upper half cleared.
    pub fn mov32(dst: Reg, operand: impl Into<Operand>) -> Insn {
        Insn::alu(Width::W32, AluOp::Mov, dst, operand)
    }

    /// `dst = src` with the low bytes of `src` sign-extended to `width` (instruction set v4, Linux 6.6).
    /// `from` is 1, 2 or, for 64 bits, 4 bytes.
    pub fn mov_signed(width: Width, dst: Reg, src: Reg, from: Size) -> Insn {
        Insn {
            offset: from.bytes() as i16 * 8,
            ..Insn::alu(width, AluOp::Mov, dst, src)
        }
    }

    /// `dst = -dst`.
    pub fn neg(width: Width, dst: Reg) -> Insn {
        let class = match width {
            Width::W32 => class::ALU32,
            Width::W64 => class::ALU64,
        };
        Insn {
            opcode: class::NEG | class,
            dst: dst.0,
            ..Insn::default()
        }
    }

    /// The low `bits` (16, 32 or 64) of `dst` in that byte order; bits above are cleared.
    pub fn byte_swap(order: ByteOrder, dst: Reg, bits: u32) -> Insn {
        let opcode = match order {
            ByteOrder::Little => class::END | class::ALU32,
            ByteOrder::Big => class::END | class::ALU32 | class::SOURCE_REG,
            ByteOrder::Swap => class::END | class::ALU64,
        };
        Insn {
            opcode,
            dst: dst.0,
            imm: bits as i32,
            ..Insn::default()
        }
    }

    fn with_operand(opcode: u8, dst: Reg, operand: Operand, offset: i16) -> Insn {
        let (source, src, imm) = match operand {
            Operand::Reg(reg) => (class::SOURCE_REG, reg.0, 0),
            Operand::Imm(imm) => (0, 0, imm),
        };
        Insn {
            opcode: opcode | source,
            dst: dst.0,
            src,
            offset,
            imm,
        }
    }
}

/// Memory.
impl Insn {
    /// `dst = *(uN *)(base + offset)`.
    pub fn load(size: Size, dst: Reg, base: Reg, offset: i16) -> Insn {
        Insn {
            opcode: class::LDX | class::MODE_MEM | size.code(),
            dst: dst.0,
            src: base.0,
            offset,
            imm: 0,
        }
    }

    /// `dst = *(sN *)(base + offset)`, sign-extended (instruction set v4, Linux 6.6). Not for 8 bytes.
    pub fn load_signed(size: Size, dst: Reg, base: Reg, offset: i16) -> Insn {
        Insn {
            opcode: class::LDX | class::MODE_MEM_SIGNED | size.code(),
            ..Insn::load(size, dst, base, offset)
        }
    }

    /// `*(uN *)(base + offset) = value`; an 8-byte store sign-extends an immediate.
    pub fn store(size: Size, base: Reg, offset: i16, value: impl Into<Operand>) -> Insn {
        let (class, src, imm) = match value.into() {
            Operand::Reg(reg) => (class::STX, reg.0, 0),
            Operand::Imm(imm) => (class::ST, 0, imm),
        };
        Insn {
            opcode: class | class::MODE_MEM | size.code(),
            dst: base.0,
            src,
            offset,
            imm,
        }
    }

    /// Atomic operation on 4 or 8 bytes at `base + offset`.
    pub fn atomic(size: Size, op: AtomicOp, base: Reg, offset: i16, src: Reg) -> Insn {
        Insn {
            opcode: class::STX | class::MODE_ATOMIC | size.code(),
            dst: base.0,
            src: src.0,
            offset,
            imm: op.code(),
        }
    }

    /// `dst = value`, in two slots.
    pub fn load_imm64(dst: Reg, value: u64) -> [Insn; 2] {
        Insn::load_pseudo(dst, PseudoImm::Value(value))
    }

    /// `dst = ` an address or constant told by `what`, in two slots.
    pub fn load_pseudo(dst: Reg, what: PseudoImm) -> [Insn; 2] {
        let (src, low, high) = what.parts();
        let first = Insn {
            opcode: class::LOAD_IMM64,
            dst: dst.0,
            src,
            offset: 0,
            imm: low,
        };
        let second = Insn {
            imm: high,
            ..Insn::default()
        };
        [first, second]
    }
}

/// Control flow. Jump offsets count slots from the next instruction.
impl Insn {
    /// `if dst op operand goto +offset`.
    pub fn jump(
        width: Width,
        op: JumpOp,
        dst: Reg,
        operand: impl Into<Operand>,
        offset: i16,
    ) -> Insn {
        let class = match width {
            Width::W32 => class::JMP32,
            Width::W64 => class::JMP,
        };
        Insn::with_operand(op.code() | class, dst, operand.into(), offset)
    }

    /// `goto +offset`.
    pub fn goto(offset: i16) -> Insn {
        Insn {
            opcode: class::JMP,
            offset,
            ..Insn::default()
        }
    }

    /// `goto +offset` with 32 bits of offset (instruction set v4, Linux 6.6).
    pub fn goto_far(offset: i32) -> Insn {
        Insn {
            opcode: class::JMP32,
            imm: offset,
            ..Insn::default()
        }
    }

    /// `call helper`.
    pub fn call(helper: Helper) -> Insn {
        Insn {
            opcode: class::JMP | class::CALL,
            imm: helper.0 as i32,
            ..Insn::default()
        }
    }

    /// Call of a kernel function by its BTF id (Linux 5.13); `module_index` indexes the loader's array of module BTFs,
    /// 0 is the kernel itself.
    pub fn call_kernel_function(btf_id: u32, module_index: i16) -> Insn {
        Insn {
            opcode: class::JMP | class::CALL,
            src: PSEUDO_KFUNC_CALL,
            offset: module_index,
            imm: btf_id as i32,
            ..Insn::default()
        }
    }

    /// Call of a function of this program; `offset` counts slots from the next instruction.
    pub fn call_function(offset: i32) -> Insn {
        Insn {
            opcode: class::JMP | class::CALL,
            src: PSEUDO_CALL,
            imm: offset,
            ..Insn::default()
        }
    }

    /// `exit`: return `r0`.
    pub fn exit() -> Insn {
        Insn {
            opcode: class::JMP | class::EXIT,
            ..Insn::default()
        }
    }
}
