//! Which values an operation or a terminator reads, and what may be said of an operation without running it.

use super::*;

impl Op {
    /// Calls `visit` for each value that is read, in order, with repeats.
    pub fn for_each_value(&self, mut visit: impl FnMut(Value)) {
        match self {
            Op::Const(_)
            | Op::SlotAddress { .. }
            | Op::Map(_)
            | Op::MapValue { .. }
            | Op::FunctionAddress(_) => {}
            Op::Binary { lhs, rhs, .. } | Op::Compare { lhs, rhs, .. } => {
                visit(*lhs);
                if let Operand::Value(value) = rhs {
                    visit(*value);
                }
            }
            Op::Negate { value } | Op::Extend { value, .. } | Op::SwapBytes { value, .. } => {
                visit(*value)
            }
            Op::Load { base, .. } | Op::Zero { base, .. } => visit(*base),
            Op::Store { base, value, .. } => {
                visit(*base);
                if let Operand::Value(value) = value {
                    visit(*value);
                }
            }
            Op::Atomic { base, value, .. } => {
                visit(*base);
                visit(*value);
            }
            Op::Copy { to, from, .. } => {
                visit(*to);
                visit(*from);
            }
            Op::Call { args, .. } | Op::CallKernel { args, .. } => {
                args.iter().for_each(|arg| visit(*arg))
            }
        }
    }

    /// Calls `visit` for each value that is read, to be replaced.
    pub fn for_each_value_mut(&mut self, mut visit: impl FnMut(&mut Value)) {
        match self {
            Op::Const(_)
            | Op::SlotAddress { .. }
            | Op::Map(_)
            | Op::MapValue { .. }
            | Op::FunctionAddress(_) => {}
            Op::Binary { lhs, rhs, .. } | Op::Compare { lhs, rhs, .. } => {
                visit(lhs);
                if let Operand::Value(value) = rhs {
                    visit(value);
                }
            }
            Op::Negate { value } | Op::Extend { value, .. } | Op::SwapBytes { value, .. } => {
                visit(value)
            }
            Op::Load { base, .. } | Op::Zero { base, .. } => visit(base),
            Op::Store { base, value, .. } => {
                visit(base);
                if let Operand::Value(value) = value {
                    visit(value);
                }
            }
            Op::Atomic { base, value, .. } => {
                visit(base);
                visit(value);
            }
            Op::Copy { to, from, .. } => {
                visit(to);
                visit(from);
            }
            Op::Call { args, .. } | Op::CallKernel { args, .. } => {
                args.iter_mut().for_each(visit);
            }
        }
    }

    /// Whether the operation only computes its result from its operands: same operands, same result, no memory.
    pub fn is_arithmetic(&self) -> bool {
        matches!(
            self,
            Op::Const(_)
                | Op::Binary { .. }
                | Op::Negate { .. }
                | Op::Extend { .. }
                | Op::SwapBytes { .. }
                | Op::Compare { .. }
                | Op::SlotAddress { .. }
                | Op::Map(_)
                | Op::MapValue { .. }
                | Op::FunctionAddress(_)
        )
    }

    /// Whether the value can be made again anywhere by one or two instructions without operands.
    pub fn is_constant_like(&self) -> bool {
        matches!(
            self,
            Op::Const(_)
                | Op::SlotAddress { .. }
                | Op::Map(_)
                | Op::MapValue { .. }
                | Op::FunctionAddress(_)
        )
    }

    /// Whether the operation always yields a value (`Call` and fetching atomics may, `Store` never).
    pub fn must_have_result(&self) -> bool {
        self.is_arithmetic() || matches!(self, Op::Load { .. })
    }

    /// Whether the operation may have a result at all.
    pub fn may_have_result(&self) -> bool {
        match self {
            Op::Atomic { op, .. } => *op != AtomicOp::Add,
            Op::Call { .. } | Op::CallKernel { .. } => true,
            other => other.must_have_result(),
        }
    }
}

impl Terminator {
    /// Calls `visit` for each value that is read, arguments of targets included.
    pub fn for_each_value(&self, mut visit: impl FnMut(Value)) {
        match self {
            Terminator::Jump(target) => target.args.iter().for_each(|arg| visit(*arg)),
            Terminator::Branch {
                lhs,
                rhs,
                then,
                otherwise,
                ..
            } => {
                visit(*lhs);
                if let Operand::Value(value) = rhs {
                    visit(*value);
                }
                then.args
                    .iter()
                    .chain(&otherwise.args)
                    .for_each(|arg| visit(*arg));
            }
            Terminator::Return(Operand::Value(value)) => visit(*value),
            Terminator::Return(Operand::Imm(_)) | Terminator::Unreachable => {}
        }
    }

    /// Calls `visit` for each value that is read, to be replaced.
    pub fn for_each_value_mut(&mut self, mut visit: impl FnMut(&mut Value)) {
        match self {
            Terminator::Jump(target) => target.args.iter_mut().for_each(visit),
            Terminator::Branch {
                lhs,
                rhs,
                then,
                otherwise,
                ..
            } => {
                visit(lhs);
                if let Operand::Value(value) = rhs {
                    visit(value);
                }
                then.args
                    .iter_mut()
                    .chain(&mut otherwise.args)
                    .for_each(visit);
            }
            Terminator::Return(Operand::Value(value)) => visit(value),
            Terminator::Return(Operand::Imm(_)) | Terminator::Unreachable => {}
        }
    }
}

impl Function {
    /// The block.
    pub fn block(&self, id: BlockId) -> &Block {
        &self.blocks[id.0 as usize]
    }

    /// The block, to be changed.
    pub fn block_mut(&mut self, id: BlockId) -> &mut Block {
        &mut self.blocks[id.0 as usize]
    }

    /// A value that nothing defines yet.
    pub fn new_value(&mut self) -> Value {
        self.value_count += 1;
        Value(self.value_count - 1)
    }

    /// Calls `visit` for each use of each value in the function.
    pub fn for_each_use(&self, mut visit: impl FnMut(Value)) {
        for block in &self.blocks {
            for inst in &block.insts {
                inst.op.for_each_value(&mut visit);
            }
            block.end.for_each_value(&mut visit);
        }
    }
}

impl Compare {
    /// The comparison that holds exactly when this one does not.
    pub fn inverse(self) -> Compare {
        match self {
            Compare::Eq => Compare::Ne,
            Compare::Ne => Compare::Eq,
            Compare::Lt => Compare::Ge,
            Compare::Le => Compare::Gt,
            Compare::Gt => Compare::Le,
            Compare::Ge => Compare::Lt,
            Compare::Slt => Compare::Sge,
            Compare::Sle => Compare::Sgt,
            Compare::Sgt => Compare::Sle,
            Compare::Sge => Compare::Slt,
        }
    }

    /// The comparison that says the same with its sides exchanged.
    pub fn swapped(self) -> Compare {
        match self {
            Compare::Eq | Compare::Ne => self,
            Compare::Lt => Compare::Gt,
            Compare::Le => Compare::Ge,
            Compare::Gt => Compare::Lt,
            Compare::Ge => Compare::Le,
            Compare::Slt => Compare::Sgt,
            Compare::Sle => Compare::Sge,
            Compare::Sgt => Compare::Slt,
            Compare::Sge => Compare::Sle,
        }
    }

    /// What it gives for two constants.
    pub fn evaluate(self, is_32: bool, lhs: i64, rhs: i64) -> bool {
        let (lhs, rhs) = if is_32 {
            (lhs as i32 as i64, rhs as i32 as i64)
        } else {
            (lhs, rhs)
        };
        // Sign extension keeps the unsigned order of two 32-bit numbers too.
        let (unsigned_lhs, unsigned_rhs) = (lhs as u64, rhs as u64);
        match self {
            Compare::Eq => lhs == rhs,
            Compare::Ne => lhs != rhs,
            Compare::Lt => unsigned_lhs < unsigned_rhs,
            Compare::Le => unsigned_lhs <= unsigned_rhs,
            Compare::Gt => unsigned_lhs > unsigned_rhs,
            Compare::Ge => unsigned_lhs >= unsigned_rhs,
            Compare::Slt => lhs < rhs,
            Compare::Sle => lhs <= rhs,
            Compare::Sgt => lhs > rhs,
            Compare::Sge => lhs >= rhs,
        }
    }
}

impl BinaryOp {
    /// Whether the sides may be exchanged.
    pub fn is_commutative(self) -> bool {
        matches!(
            self,
            BinaryOp::Add | BinaryOp::Mul | BinaryOp::And | BinaryOp::Or | BinaryOp::Xor
        )
    }

    /// What the kernel computes for two constants.
    pub fn evaluate(self, is_32: bool, lhs: i64, rhs: i64) -> i64 {
        if is_32 {
            return i64::from(self.evaluate_32(lhs as u32, rhs as u32));
        }
        let (a, b) = (lhs as u64, rhs as u64);
        let result = match self {
            BinaryOp::Add => a.wrapping_add(b),
            BinaryOp::Sub => a.wrapping_sub(b),
            BinaryOp::Mul => a.wrapping_mul(b),
            BinaryOp::Div => a.checked_div(b).unwrap_or(0),
            BinaryOp::Rem => a.checked_rem(b).unwrap_or(a),
            BinaryOp::And => a & b,
            BinaryOp::Or => a | b,
            BinaryOp::Xor => a ^ b,
            BinaryOp::Shl => a << (b & 63),
            BinaryOp::Shr => a >> (b & 63),
            BinaryOp::Sar => (lhs >> (b & 63)) as u64,
        };
        result as i64
    }

    fn evaluate_32(self, a: u32, b: u32) -> u32 {
        match self {
            BinaryOp::Add => a.wrapping_add(b),
            BinaryOp::Sub => a.wrapping_sub(b),
            BinaryOp::Mul => a.wrapping_mul(b),
            BinaryOp::Div => a.checked_div(b).unwrap_or(0),
            BinaryOp::Rem => a.checked_rem(b).unwrap_or(a),
            BinaryOp::And => a & b,
            BinaryOp::Or => a | b,
            BinaryOp::Xor => a ^ b,
            BinaryOp::Shl => a << (b & 31),
            BinaryOp::Shr => a >> (b & 31),
            BinaryOp::Sar => ((a as i32) >> (b & 31)) as u32,
        }
    }
}

/// The low `from` bytes of `value`, extended to 64 bits.
pub fn extend(value: i64, from: Width, signed: bool) -> i64 {
    let shift = 64 - 8 * from.bytes();
    if signed {
        (value << shift) >> shift
    } else {
        (((value as u64) << shift) >> shift) as i64
    }
}

/// The low `width` bytes of `value` in the other byte order, the rest zero.
pub fn swap_bytes(value: i64, width: Width) -> i64 {
    (value.swap_bytes() as u64 >> (64 - 8 * width.bytes())) as i64
}
