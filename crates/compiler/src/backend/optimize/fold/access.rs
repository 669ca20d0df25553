//! Memory accesses: additions move into the offset, stored values lose what is not stored.

use super::arithmetic::immediate;
use super::{Folder, Known, Outcome};
use crate::ir::{BinaryOp, Op, Operand, Value, Width};

/// Memory.
impl Folder {
    /// Constant parts of addresses become offsets, stored constants immediates.
    pub(super) fn access(&self, op: &Op) -> Outcome {
        let mut new = op.clone();
        let mut changed = false;
        match &mut new {
            Op::Load {
                width: Width::B8,
                signed: signed @ true,
                ..
            } => {
                *signed = false;
                changed = true;
            }
            Op::Load { base, offset, .. }
            | Op::Atomic { base, offset, .. }
            | Op::Zero { base, offset, .. } => {
                changed = self.move_into_offset(base, offset);
            }
            Op::Store {
                base,
                offset,
                value,
                width,
                ..
            } => {
                changed = self.move_into_offset(base, offset) | self.stored(value, *width);
            }
            Op::Copy {
                to,
                to_offset,
                from,
                from_offset,
                ..
            } => {
                changed =
                    self.move_into_offset(to, to_offset) | self.move_into_offset(from, from_offset);
            }
            _ => {}
        }
        if changed {
            Outcome::Other(new)
        } else {
            Outcome::Keep
        }
    }

    pub(super) fn move_into_offset(&self, base: &mut Value, offset: &mut i32) -> bool {
        let Known::Binary {
            op: BinaryOp::Add,
            is_32: false,
            lhs,
            rhs: Operand::Imm(imm),
        } = self.known(*base)
        else {
            return false;
        };
        match offset.checked_add(imm) {
            Some(sum) if i16::try_from(sum).is_ok() => {
                (*base, *offset) = (lhs, sum);
                true
            }
            _ => false,
        }
    }

    pub(super) fn stored(&self, operand: &mut Operand, width: Width) -> bool {
        let Operand::Value(value) = *operand else {
            return false;
        };
        let new = match self.known(value) {
            Known::Const(constant) => match immediate(width != Width::B8, constant) {
                Some(imm) => Operand::Imm(imm),
                None => return false,
            },
            // Bytes that are not stored need not be right.
            Known::Extend { value, from, .. } if from >= width => value.into(),
            _ => return false,
        };
        *operand = new;
        true
    }
}
