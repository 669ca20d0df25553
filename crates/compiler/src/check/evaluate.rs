//! Operators between constants.

use fathom_syntax::ast::BinaryOp;

use crate::ir;

/// The operation of the machine.
pub(super) fn ir_op(op: BinaryOp, signed: bool) -> ir::BinaryOp {
    match op {
        BinaryOp::Multiply => ir::BinaryOp::Mul,
        BinaryOp::Divide => ir::BinaryOp::Div,
        BinaryOp::Remainder => ir::BinaryOp::Rem,
        BinaryOp::Add => ir::BinaryOp::Add,
        BinaryOp::Subtract => ir::BinaryOp::Sub,
        BinaryOp::ShiftLeft => ir::BinaryOp::Shl,
        BinaryOp::ShiftRight if signed => ir::BinaryOp::Sar,
        BinaryOp::ShiftRight => ir::BinaryOp::Shr,
        BinaryOp::BitAnd => ir::BinaryOp::And,
        BinaryOp::BitXor => ir::BinaryOp::Xor,
        BinaryOp::BitOr => ir::BinaryOp::Or,
        _ => unreachable!("check: {op:?} is no arithmetic"),
    }
}

/// The result between constants.
pub(super) fn evaluate(op: BinaryOp, a: i64, b: i64, signed: bool) -> Option<i64> {
    Some(match op {
        BinaryOp::Multiply => a.wrapping_mul(b),
        BinaryOp::Add => a.wrapping_add(b),
        BinaryOp::Subtract => a.wrapping_sub(b),
        BinaryOp::Divide if signed => a.checked_div(b)?,
        BinaryOp::Remainder if signed => a.checked_rem(b)?,
        BinaryOp::Divide => (a as u64).checked_div(b as u64)? as i64,
        BinaryOp::Remainder => (a as u64).checked_rem(b as u64)? as i64,
        BinaryOp::ShiftLeft => a.wrapping_shl(b as u32),
        BinaryOp::ShiftRight if signed => a.wrapping_shr(b as u32),
        BinaryOp::ShiftRight => (a as u64).wrapping_shr(b as u32) as i64,
        BinaryOp::BitAnd => a & b,
        BinaryOp::BitXor => a ^ b,
        BinaryOp::BitOr => a | b,
        _ => return None,
    })
}

/// The same of comparisons.
pub(super) fn evaluate_compare(op: ir::Compare, a: i64, b: i64) -> bool {
    match op {
        ir::Compare::Eq => a == b,
        ir::Compare::Ne => a != b,
        ir::Compare::Lt => (a as u64) < b as u64,
        ir::Compare::Le => a as u64 <= b as u64,
        ir::Compare::Gt => a as u64 > b as u64,
        ir::Compare::Ge => a as u64 >= b as u64,
        ir::Compare::Slt => a < b,
        ir::Compare::Sle => a <= b,
        ir::Compare::Sgt => a > b,
        ir::Compare::Sge => a >= b,
    }
}
