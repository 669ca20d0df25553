//! The text form, for people (`--emit ir`) and for tests, where `parse` reads it back.
//!
//! ```text
//! fn main(v0) {
//!   slot0: 16 align 8 "key of @x"
//! b0:
//!   v1 = call get_current_pid_tgid()
//!   v2 = shr64 v1, 32
//!   v3 = slot0 + 8
//!   store.w stack [v3 + 4], v2
//!   branch eq64 v2, 42 -> b1 | b2(v2)
//! ```
//! Widths of accesses are `b h w d` for 1, 2, 4 and 8 bytes.

use std::fmt::{Display, Formatter, Result};

use super::*;

impl Display for Program {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        for (index, function) in self.functions.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{function}")?;
        }
        Ok(())
    }
}

impl Display for Function {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let params = self.blocks.first().map_or(&[][..], |entry| &entry.params);
        writeln!(f, "fn {}({}) {{", self.name, List(params))?;
        for (index, slot) in self.slots.iter().enumerate() {
            writeln!(
                f,
                "  slot{index}: {} align {} {:?}",
                slot.size, slot.align, slot.purpose
            )?;
        }
        for (index, block) in self.blocks.iter().enumerate() {
            write!(f, "b{index}")?;
            if index > 0 && !block.params.is_empty() {
                write!(f, "({})", List(&block.params))?;
            }
            writeln!(f, ":")?;
            for inst in &block.insts {
                writeln!(f, "  {inst}")?;
            }
            writeln!(f, "  {}", block.end)?;
        }
        writeln!(f, "}}")
    }
}

impl Display for Inst {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        if let Some(result) = self.result {
            write!(f, "{result} = ")?;
        }
        write!(f, "{}", self.op)
    }
}

impl Display for Op {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Op::Const(value) => write!(f, "const {value}"),
            Op::Binary {
                op,
                is_32,
                lhs,
                rhs,
            } => {
                write!(f, "{}{} {lhs}, {rhs}", op.name(), bits(*is_32))
            }
            Op::Negate { value } => write!(f, "neg {value}"),
            Op::Extend {
                value,
                from,
                signed,
            } => {
                write!(
                    f,
                    "{}.{from} {value}",
                    if *signed { "sext" } else { "zext" }
                )
            }
            Op::SwapBytes { value, width } => write!(f, "swap.{width} {value}"),
            Op::Compare {
                op,
                is_32,
                lhs,
                rhs,
            } => {
                write!(f, "{}{} {lhs}, {rhs}", op.name(), bits(*is_32))
            }
            Op::SlotAddress { slot, offset: 0 } => write!(f, "slot{}", slot.0),
            Op::SlotAddress { slot, offset } => write!(f, "slot{} + {offset}", slot.0),
            Op::Map(map) => write!(f, "map{}", map.0),
            Op::MapValue { map, offset } => write!(f, "map{}[0] + {offset}", map.0),
            Op::FunctionAddress(id) => write!(f, "fn{}", id.0),
            Op::Call { helper, args } => write!(f, "call {helper}({})", List(args)),
            Op::CallKernel { btf_id, args } => {
                write!(f, "call_kernel {btf_id}({})", List(args))
            }
            other => fmt_memory(other, f),
        }
    }
}

fn fmt_memory(op: &Op, f: &mut Formatter<'_>) -> Result {
    match op {
        Op::Load {
            width,
            signed,
            memory,
            base,
            offset,
        } => {
            let name = if *signed { "sload" } else { "load" };
            write!(f, "{name}.{width} {memory} [{base} + {offset}]")
        }
        Op::Store {
            width,
            memory,
            base,
            offset,
            value,
        } => {
            write!(f, "store.{width} {memory} [{base} + {offset}], {value}")
        }
        Op::Atomic {
            op,
            width,
            base,
            offset,
            value,
        } => {
            let name = match op {
                AtomicOp::Add => "atomic_add",
                AtomicOp::FetchAdd => "fetch_add",
                AtomicOp::Exchange => "exchange",
            };
            write!(f, "{name}.{width} [{base} + {offset}], {value}")
        }
        Op::Zero {
            memory,
            base,
            offset,
            len,
        } => {
            write!(f, "zero {memory} [{base} + {offset}], {len}")
        }
        Op::Copy {
            to,
            to_offset,
            to_memory,
            from,
            from_offset,
            from_memory,
            len,
            align,
        } => write!(
            f,
            "copy {to_memory} [{to} + {to_offset}], {from_memory} [{from} + {from_offset}], {len} align {align}"
        ),
        other => unreachable!("text: no memory access: {other:?}"),
    }
}

impl Display for Terminator {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Terminator::Jump(target) => write!(f, "jump {target}"),
            Terminator::Branch {
                op,
                is_32,
                lhs,
                rhs,
                then,
                otherwise,
            } => write!(
                f,
                "branch {}{} {lhs}, {rhs} -> {then} | {otherwise}",
                op.name(),
                bits(*is_32)
            ),
            Terminator::Return(value) => write!(f, "return {value}"),
            Terminator::Unreachable => write!(f, "unreachable"),
        }
    }
}

impl Display for Target {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "b{}", self.block.0)?;
        if !self.args.is_empty() {
            write!(f, "({})", List(&self.args))?;
        }
        Ok(())
    }
}

impl Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "v{}", self.0)
    }
}

impl Display for Operand {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Operand::Value(value) => value.fmt(f),
            Operand::Imm(imm) => imm.fmt(f),
        }
    }
}

impl Display for Width {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(match self {
            Width::B1 => "b",
            Width::B2 => "h",
            Width::B4 => "w",
            Width::B8 => "d",
        })
    }
}

impl Display for Memory {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(match self {
            Memory::Context => "ctx",
            Memory::Stack => "stack",
            Memory::Map => "map",
            Memory::Event => "event",
            Memory::Packet => "packet",
            Memory::Kernel => "kernel",
        })
    }
}

impl BinaryOp {
    /// All, for reading text.
    #[cfg(test)]
    pub(crate) const ALL: [BinaryOp; 11] = [
        BinaryOp::Add,
        BinaryOp::Sub,
        BinaryOp::Mul,
        BinaryOp::Div,
        BinaryOp::Rem,
        BinaryOp::And,
        BinaryOp::Or,
        BinaryOp::Xor,
        BinaryOp::Shl,
        BinaryOp::Shr,
        BinaryOp::Sar,
    ];

    /// In text.
    pub fn name(self) -> &'static str {
        match self {
            BinaryOp::Add => "add",
            BinaryOp::Sub => "sub",
            BinaryOp::Mul => "mul",
            BinaryOp::Div => "div",
            BinaryOp::Rem => "rem",
            BinaryOp::And => "and",
            BinaryOp::Or => "or",
            BinaryOp::Xor => "xor",
            BinaryOp::Shl => "shl",
            BinaryOp::Shr => "shr",
            BinaryOp::Sar => "sar",
        }
    }
}

impl Compare {
    /// All, for reading text.
    #[cfg(test)]
    pub(crate) const ALL: [Compare; 10] = [
        Compare::Eq,
        Compare::Ne,
        Compare::Lt,
        Compare::Le,
        Compare::Gt,
        Compare::Ge,
        Compare::Slt,
        Compare::Sle,
        Compare::Sgt,
        Compare::Sge,
    ];

    /// In text.
    pub fn name(self) -> &'static str {
        match self {
            Compare::Eq => "eq",
            Compare::Ne => "ne",
            Compare::Lt => "lt",
            Compare::Le => "le",
            Compare::Gt => "gt",
            Compare::Ge => "ge",
            Compare::Slt => "slt",
            Compare::Sle => "sle",
            Compare::Sgt => "sgt",
            Compare::Sge => "sge",
        }
    }
}

fn bits(is_32: bool) -> &'static str {
    if is_32 { "32" } else { "64" }
}

struct List<'a>(&'a [Value]);

impl Display for List<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        for (index, value) in self.0.iter().enumerate() {
            if index > 0 {
                write!(f, ", ")?;
            }
            write!(f, "{value}")?;
        }
        Ok(())
    }
}
