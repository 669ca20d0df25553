//! Arithmetic: constants, identities, sums joined, extensions that change nothing.

use super::{Folder, Known, Outcome};
use crate::ir::{BinaryOp, Op, Operand, Value, Width, extend};

/// Arithmetic.
impl Folder {
    pub(super) fn binary(&self, op: BinaryOp, is_32: bool, lhs: Value, rhs: Operand) -> Outcome {
        let (left, right) = (self.constant(lhs.into()), self.constant(rhs));
        if let (Some(left), Some(right)) = (left, right) {
            return Outcome::Constant(op.evaluate(is_32, left, right));
        }
        match (rhs, right) {
            (Operand::Value(value), None) => {
                self.binary_of_values(op, is_32, lhs, value, left.is_some())
            }
            (Operand::Value(_), Some(constant)) => match immediate(is_32, constant) {
                Some(imm) => Outcome::Other(Op::Binary {
                    op,
                    is_32,
                    lhs,
                    rhs: Operand::Imm(imm),
                }),
                None => Outcome::Keep,
            },
            (Operand::Imm(imm), _) => self.binary_immediate(op, is_32, lhs, imm),
        }
    }

    fn binary_of_values(
        &self,
        op: BinaryOp,
        is_32: bool,
        lhs: Value,
        rhs: Value,
        is_constant_left: bool,
    ) -> Outcome {
        if is_constant_left && op.is_commutative() {
            return Outcome::Other(Op::Binary {
                op,
                is_32,
                lhs: rhs,
                rhs: lhs.into(),
            });
        }
        match op {
            BinaryOp::Sub | BinaryOp::Xor if lhs == rhs => Outcome::Constant(0),
            BinaryOp::And | BinaryOp::Or if lhs == rhs && !is_32 => Outcome::Same(lhs),
            _ => Outcome::Keep,
        }
    }

    fn binary_immediate(&self, op: BinaryOp, is_32: bool, lhs: Value, imm: i32) -> Outcome {
        let other = |op, imm| {
            Outcome::Other(Op::Binary {
                op,
                is_32,
                lhs,
                rhs: Operand::Imm(imm),
            })
        };
        let unchanged = || match is_32 {
            false => Outcome::Same(lhs),
            true => Outcome::Other(Op::Extend {
                value: lhs,
                from: Width::B4,
                signed: false,
            }),
        };
        let shift_mask = if is_32 { 31 } else { 63 };
        let power = (imm > 0 && imm.count_ones() == 1).then(|| imm.trailing_zeros() as i32);
        match (op, imm, power) {
            (BinaryOp::Add | BinaryOp::Sub | BinaryOp::Or | BinaryOp::Xor, 0, _) => unchanged(),
            (BinaryOp::Shl | BinaryOp::Shr | BinaryOp::Sar, count, _)
                if count & shift_mask == 0 =>
            {
                unchanged()
            }
            (BinaryOp::Shl | BinaryOp::Shr | BinaryOp::Sar, count, _)
                if count & shift_mask != count =>
            {
                other(op, count & shift_mask)
            }
            (BinaryOp::Mul | BinaryOp::Div, 1, _)
            | (BinaryOp::And, -1, _)
            | (BinaryOp::Rem, 0, _) => unchanged(),
            (BinaryOp::Mul | BinaryOp::And | BinaryOp::Div, 0, _) | (BinaryOp::Rem, 1, _) => {
                Outcome::Constant(0)
            }
            (BinaryOp::Mul, _, Some(power)) => other(BinaryOp::Shl, power),
            (BinaryOp::Div, _, Some(power)) => other(BinaryOp::Shr, power),
            (BinaryOp::Rem, _, Some(_)) => other(BinaryOp::And, imm - 1),
            (BinaryOp::Sub, _, _) if imm != i32::MIN => other(BinaryOp::Add, -imm),
            (BinaryOp::And, _, _) if imm > 0 && self.maximum(lhs) & !(imm as u64) == 0 => {
                Outcome::Same(lhs)
            }
            _ => self.joined(op, is_32, lhs, imm),
        }
    }

    /// `(x op a) op b` is `x op (a op b)`, unless the verifier may know more about the value in between.
    fn joined(&self, op: BinaryOp, is_32: bool, lhs: Value, imm: i32) -> Outcome {
        let Known::Binary {
            op: inner,
            is_32: inner_32,
            lhs: start,
            rhs: Operand::Imm(first),
        } = self.known(lhs)
        else {
            return Outcome::Keep;
        };
        if inner != op || inner_32 != is_32 || self.compared[lhs.0 as usize] {
            return Outcome::Keep;
        }
        let joined = match op {
            BinaryOp::Add => first.checked_add(imm),
            BinaryOp::And => Some(first & imm),
            BinaryOp::Or => Some(first | imm),
            BinaryOp::Shr | BinaryOp::Shl if first + imm < if is_32 { 32 } else { 64 } => {
                Some(first + imm)
            }
            _ => None,
        };
        match joined {
            Some(imm) => Outcome::Other(Op::Binary {
                op,
                is_32,
                lhs: start,
                rhs: Operand::Imm(imm),
            }),
            None => Outcome::Keep,
        }
    }

    pub(super) fn extend(&self, value: Value, from: Width, signed: bool) -> Outcome {
        if from == Width::B8 {
            return Outcome::Same(value);
        }
        if let Some(constant) = self.constant(value.into()) {
            return Outcome::Constant(extend(constant, from, signed));
        }
        // The sign bit itself must be clear for a sign extension to do nothing.
        let limit = (1u64 << (8 * from.bytes() - u32::from(signed))) - 1;
        if self.maximum(value) <= limit {
            return Outcome::Same(value);
        }
        match self.known(value) {
            Known::Load {
                width,
                signed: true,
            } if signed && width <= from => Outcome::Same(value),
            Known::Extend {
                value: inner,
                from: narrow,
                signed: inner_signed,
            } => {
                if narrow >= from {
                    Outcome::Other(Op::Extend {
                        value: inner,
                        from,
                        signed,
                    })
                } else if inner_signed && signed {
                    Outcome::Same(value)
                } else {
                    Outcome::Keep
                }
            }
            _ => Outcome::Keep,
        }
    }

    /// No value is above this one (unsigned).
    pub(super) fn maximum(&self, value: Value) -> u64 {
        let of_width = |width: Width| u64::MAX >> (64 - 8 * width.bytes());
        match self.known(value) {
            Known::Const(value) => value as u64,
            Known::Load {
                width,
                signed: false,
            }
            | Known::Swapped(width) => of_width(width),
            Known::Extend {
                from,
                signed: false,
                ..
            } => of_width(from),
            Known::Compare { .. } => 1,
            Known::Binary {
                op: BinaryOp::And,
                rhs: Operand::Imm(mask),
                ..
            } if mask >= 0 => mask as u64,
            Known::Binary {
                op: BinaryOp::Shr,
                is_32: false,
                rhs: Operand::Imm(count),
                ..
            } => u64::MAX >> (count & 63),
            Known::Binary { is_32: true, .. } => u64::from(u32::MAX),
            _ => u64::MAX,
        }
    }
}

/// The constant as an immediate that means the same to an operation of that width.
pub(super) fn immediate(is_32: bool, constant: i64) -> Option<i32> {
    if is_32 {
        Some(constant as i32)
    } else {
        i32::try_from(constant).ok()
    }
}
