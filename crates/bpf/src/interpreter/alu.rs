//! Arithmetic, conditions and atomics on plain numbers.

use super::{JumpOp, Size, Width};
use crate::insn::{AluOp, AtomicOp, ByteOrder};

/// The value as a register of that width keeps it.
pub(super) fn narrow(width: Width, value: u64) -> u64 {
    match width {
        Width::W32 => u64::from(value as u32),
        Width::W64 => value,
    }
}

pub(super) fn sign_extend(value: u64, from: Size) -> u64 {
    match from {
        Size::B8 => i64::from(value as i8) as u64,
        Size::B16 => i64::from(value as i16) as u64,
        Size::B32 => i64::from(value as i32) as u64,
        Size::B64 => value,
    }
}

pub(super) fn compute(width: Width, op: AluOp, left: u64, right: u64) -> u64 {
    match width {
        Width::W64 => compute64(op, left, right),
        Width::W32 => u64::from(compute32(op, left as u32, right as u32)),
    }
}

fn compute64(op: AluOp, left: u64, right: u64) -> u64 {
    let (signed_left, signed_right) = (left as i64, right as i64);
    match op {
        AluOp::Add => left.wrapping_add(right),
        AluOp::Sub => left.wrapping_sub(right),
        AluOp::Mul => left.wrapping_mul(right),
        AluOp::Div => left.checked_div(right).unwrap_or(0),
        AluOp::Mod => left.checked_rem(right).unwrap_or(left),
        AluOp::SignedDiv if right == 0 => 0,
        AluOp::SignedDiv => signed_left.wrapping_div(signed_right) as u64,
        AluOp::SignedMod if right == 0 => left,
        AluOp::SignedMod => signed_left.wrapping_rem(signed_right) as u64,
        AluOp::Or => left | right,
        AluOp::And => left & right,
        AluOp::Xor => left ^ right,
        AluOp::Mov => right,
        // `wrapping_sh*` take the count modulo the width, as the machine does.
        AluOp::Lsh => left.wrapping_shl(right as u32),
        AluOp::Rsh => left.wrapping_shr(right as u32),
        AluOp::Arsh => signed_left.wrapping_shr(right as u32) as u64,
    }
}

fn compute32(op: AluOp, left: u32, right: u32) -> u32 {
    let (signed_left, signed_right) = (left as i32, right as i32);
    match op {
        AluOp::Add => left.wrapping_add(right),
        AluOp::Sub => left.wrapping_sub(right),
        AluOp::Mul => left.wrapping_mul(right),
        AluOp::Div => left.checked_div(right).unwrap_or(0),
        AluOp::Mod => left.checked_rem(right).unwrap_or(left),
        AluOp::SignedDiv if right == 0 => 0,
        AluOp::SignedDiv => signed_left.wrapping_div(signed_right) as u32,
        AluOp::SignedMod if right == 0 => left,
        AluOp::SignedMod => signed_left.wrapping_rem(signed_right) as u32,
        AluOp::Or => left | right,
        AluOp::And => left & right,
        AluOp::Xor => left ^ right,
        AluOp::Mov => right,
        AluOp::Lsh => left.wrapping_shl(right),
        AluOp::Rsh => left.wrapping_shr(right),
        AluOp::Arsh => signed_left.wrapping_shr(right) as u32,
    }
}

pub(super) fn byte_swap(order: ByteOrder, bits: u32, value: u64) -> u64 {
    let swap = match order {
        ByteOrder::Swap => true,
        ByteOrder::Big => cfg!(target_endian = "little"),
        ByteOrder::Little => cfg!(target_endian = "big"),
    };
    match (bits, swap) {
        (16, true) => u64::from((value as u16).swap_bytes()),
        (16, false) => u64::from(value as u16),
        (32, true) => u64::from((value as u32).swap_bytes()),
        (32, false) => u64::from(value as u32),
        (_, true) => value.swap_bytes(),
        (_, false) => value,
    }
}

pub(super) fn holds(width: Width, op: JumpOp, left: u64, right: u64) -> bool {
    let (left, right) = (narrow(width, left), narrow(width, right));
    let signed = |value: u64| match width {
        Width::W32 => i64::from(value as i32),
        Width::W64 => value as i64,
    };
    let (signed_left, signed_right) = (signed(left), signed(right));
    match op {
        JumpOp::Eq => left == right,
        JumpOp::Ne => left != right,
        JumpOp::Gt => left > right,
        JumpOp::Ge => left >= right,
        JumpOp::Lt => left < right,
        JumpOp::Le => left <= right,
        JumpOp::Set => left & right != 0,
        JumpOp::SignedGt => signed_left > signed_right,
        JumpOp::SignedGe => signed_left >= signed_right,
        JumpOp::SignedLt => signed_left < signed_right,
        JumpOp::SignedLe => signed_left <= signed_right,
    }
}

/// What an atomic leaves behind.
pub(super) struct AtomicOutcome {
    pub stored: u64,
    /// The old value goes to a register.
    pub fetches: bool,
    /// … namely `r0`, not the source register.
    pub fetched_to_r0: bool,
}

pub(super) fn atomic(
    op: AtomicOp,
    size: Size,
    old: u64,
    operand: u64,
    expected: u64,
) -> AtomicOutcome {
    let width = match size {
        Size::B32 => Width::W32,
        _ => Width::W64,
    };
    let stored = match op {
        AtomicOp::Add | AtomicOp::FetchAdd => old.wrapping_add(operand),
        AtomicOp::Or | AtomicOp::FetchOr => old | operand,
        AtomicOp::And | AtomicOp::FetchAnd => old & operand,
        AtomicOp::Xor | AtomicOp::FetchXor => old ^ operand,
        AtomicOp::Exchange => operand,
        AtomicOp::CompareExchange if narrow(width, expected) == old => operand,
        AtomicOp::CompareExchange => old,
    };
    let fetches = !matches!(
        op,
        AtomicOp::Add | AtomicOp::Or | AtomicOp::And | AtomicOp::Xor
    );
    AtomicOutcome {
        stored,
        fetches,
        fetched_to_r0: op == AtomicOp::CompareExchange,
    }
}
