//! Comparisons and branches that are decided, or that can be decided on a simpler value.

use super::arithmetic::immediate;
use super::{Folder, Known, Outcome};
use crate::ir::{Compare, Op, Operand, Target, Terminator, Value, Width};

/// Comparisons and branches.
impl Folder {
    pub(super) fn compare(&self, op: Compare, is_32: bool, lhs: Value, rhs: Operand) -> Outcome {
        match self.comparison(op, is_32, lhs, rhs) {
            Comparison::Known(result) => Outcome::Constant(i64::from(result)),
            Comparison::Other(op, is_32, lhs, rhs) => Outcome::Other(Op::Compare {
                op,
                is_32,
                lhs,
                rhs,
            }),
            Comparison::Keep => Outcome::Keep,
        }
    }

    pub(super) fn branch(&self, end: &Terminator) -> Option<Terminator> {
        let Terminator::Branch {
            op,
            is_32,
            lhs,
            rhs,
            then,
            otherwise,
        } = end
        else {
            return None;
        };
        if then == otherwise {
            return Some(Terminator::Jump(then.clone()));
        }
        match self.comparison(*op, *is_32, *lhs, *rhs) {
            Comparison::Known(result) => {
                let target: &Target = if result { then } else { otherwise };
                Some(Terminator::Jump(target.clone()))
            }
            Comparison::Other(op, is_32, lhs, rhs) => {
                let (then, otherwise) = (then.clone(), otherwise.clone());
                Some(Terminator::Branch {
                    op,
                    is_32,
                    lhs,
                    rhs,
                    then,
                    otherwise,
                })
            }
            Comparison::Keep => None,
        }
    }

    fn comparison(&self, op: Compare, is_32: bool, lhs: Value, rhs: Operand) -> Comparison {
        let (left, right) = (self.constant(lhs.into()), self.constant(rhs));
        match (left, right, rhs) {
            (Some(left), Some(right), _) => {
                return Comparison::Known(op.evaluate(is_32, left, right));
            }
            (Some(_), None, Operand::Value(value)) => {
                return Comparison::Other(op.swapped(), is_32, value, lhs.into());
            }
            (None, Some(right), Operand::Value(_)) => {
                return match immediate(is_32, right) {
                    Some(imm) => Comparison::Other(op, is_32, lhs, Operand::Imm(imm)),
                    None => Comparison::Keep,
                };
            }
            _ => {}
        }
        match (self.known(lhs), rhs) {
            // A comparison's result compared with 0 or 1 is that comparison or its opposite.
            (
                Known::Compare {
                    op: inner,
                    is_32,
                    lhs,
                    rhs,
                },
                Operand::Imm(imm @ (0 | 1)),
            ) if matches!(op, Compare::Eq | Compare::Ne) => {
                let is_same = (op == Compare::Ne) == (imm == 0);
                Comparison::Other(
                    if is_same { inner } else { inner.inverse() },
                    is_32,
                    lhs,
                    rhs,
                )
            }
            (
                Known::Extend {
                    value,
                    from: Width::B4,
                    signed,
                },
                Operand::Imm(imm),
            ) if !is_32 => self.narrowed(op, lhs, value, signed, imm),
            (Known::Address, Operand::Imm(0)) if !is_32 && op == Compare::Ne => {
                Comparison::Known(true)
            }
            (Known::Address, Operand::Imm(0)) if !is_32 && op == Compare::Eq => {
                Comparison::Known(false)
            }
            _ => Comparison::Keep,
        }
    }

    /// A comparison is the only use of an extended value: the 32-bit comparison of the raw value says the same.
    fn narrowed(
        &self,
        op: Compare,
        extended: Value,
        raw: Value,
        signed: bool,
        imm: i32,
    ) -> Comparison {
        let is_signed_op = matches!(
            op,
            Compare::Slt | Compare::Sle | Compare::Sgt | Compare::Sge
        );
        let is_equality = matches!(op, Compare::Eq | Compare::Ne);
        let keeps_order = if signed {
            is_equality || is_signed_op
        } else {
            imm >= 0 && !is_signed_op
        };
        if keeps_order && self.uses[extended.0 as usize] == 1 {
            Comparison::Other(op, true, raw, Operand::Imm(imm))
        } else {
            Comparison::Keep
        }
    }
}

enum Comparison {
    Keep,
    Known(bool),
    Other(Compare, bool, Value, Operand),
}
