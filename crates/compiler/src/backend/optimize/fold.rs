//! Folds constants and simplifies arithmetic, comparisons, accesses and branches, each by its operands' definitions.

use super::{Replacements, compared_values, count_uses};
use crate::ir::cfg::Cfg;
use crate::ir::{
    BinaryOp, Compare, Function, Inst, Op, Operand, Target, Terminator, Value, Width, extend,
    swap_bytes,
};

/// One walk over the function; says whether anything changed.
pub(super) fn fold(function: &mut Function) -> bool {
    let mut folder = Folder {
        known: vec![Known::Unknown; function.value_count as usize],
        compared: compared_values(function),
        uses: count_uses(function),
        replacements: Replacements::new(function),
        changed: false,
    };
    for block in Cfg::of(function).order {
        let block = function.block_mut(block);
        block.insts.retain_mut(|inst| !folder.inst(inst));
        folder.end(&mut block.end);
    }
    folder.replacements.apply(function);
    folder.changed | folder.replacements.any
}

/// What defines a value, as far as folding looks at it.
#[derive(Clone, Copy)]
enum Known {
    Unknown,
    Const(i64),
    Binary {
        op: BinaryOp,
        is_32: bool,
        lhs: Value,
        rhs: Operand,
    },
    Extend {
        value: Value,
        from: Width,
        signed: bool,
    },
    Compare {
        op: Compare,
        is_32: bool,
        lhs: Value,
        rhs: Operand,
    },
    Load {
        width: Width,
        signed: bool,
    },
    Swapped(Width),
    Address,
}

/// What becomes of an operation.
enum Outcome {
    Keep,
    Constant(i64),
    Same(Value),
    Other(Op),
}

struct Folder {
    known: Vec<Known>,
    compared: Vec<bool>,
    uses: Vec<u32>,
    replacements: Replacements,
    changed: bool,
}

impl Folder {
    fn known(&self, value: Value) -> Known {
        self.known[value.0 as usize]
    }

    fn constant(&self, operand: Operand) -> Option<i64> {
        match operand {
            Operand::Imm(imm) => Some(i64::from(imm)),
            Operand::Value(value) => match self.known(value) {
                Known::Const(constant) => Some(constant),
                _ => None,
            },
        }
    }

    /// Folds an instruction; says whether it goes away.
    fn inst(&mut self, inst: &mut Inst) -> bool {
        let replacements = &self.replacements;
        inst.op
            .for_each_value_mut(|value| *value = replacements.resolve(*value));
        // Each outcome may open the next; the chain is as short as the table of rules is deep.
        for _ in 0..8 {
            match self.outcome(&inst.op) {
                Outcome::Keep => break,
                Outcome::Constant(value) => inst.op = Op::Const(value),
                Outcome::Other(op) => inst.op = op,
                Outcome::Same(value) => {
                    if let Some(result) = inst.result {
                        self.replacements.replace(result, value);
                    }
                    return true;
                }
            }
            self.changed = true;
        }
        if let Some(result) = inst.result {
            self.known[result.0 as usize] = describe(&inst.op);
        }
        false
    }

    fn outcome(&self, op: &Op) -> Outcome {
        match *op {
            Op::Binary {
                op,
                is_32,
                lhs,
                rhs,
            } => self.binary(op, is_32, lhs, rhs),
            Op::Negate { value } => match self.constant(value.into()) {
                Some(value) => Outcome::Constant(value.wrapping_neg()),
                None => Outcome::Keep,
            },
            Op::Extend {
                value,
                from,
                signed,
            } => self.extend(value, from, signed),
            Op::SwapBytes { value, width } => match self.constant(value.into()) {
                Some(value) => Outcome::Constant(swap_bytes(value, width)),
                None => Outcome::Keep,
            },
            Op::Compare {
                op,
                is_32,
                lhs,
                rhs,
            } => self.compare(op, is_32, lhs, rhs),
            Op::Load { .. }
            | Op::Store { .. }
            | Op::Atomic { .. }
            | Op::Zero { .. }
            | Op::Copy { .. } => self.access(op),
            _ => Outcome::Keep,
        }
    }

    fn end(&mut self, end: &mut Terminator) {
        let replacements = &self.replacements;
        end.for_each_value_mut(|value| *value = replacements.resolve(*value));
        if let Terminator::Return(operand @ Operand::Value(_)) = end
            && let Some(imm) = self
                .constant(*operand)
                .and_then(|value| i32::try_from(value).ok())
        {
            *operand = Operand::Imm(imm);
            self.changed = true;
        }
        for _ in 0..8 {
            let Some(new) = self.branch(end) else { break };
            *end = new;
            self.changed = true;
        }
    }
}

fn describe(op: &Op) -> Known {
    match *op {
        Op::Const(value) => Known::Const(value),
        Op::Binary {
            op,
            is_32,
            lhs,
            rhs,
        } => Known::Binary {
            op,
            is_32,
            lhs,
            rhs,
        },
        Op::Extend {
            value,
            from,
            signed,
        } => Known::Extend {
            value,
            from,
            signed,
        },
        Op::Compare {
            op,
            is_32,
            lhs,
            rhs,
        } => Known::Compare {
            op,
            is_32,
            lhs,
            rhs,
        },
        Op::Load { width, signed, .. } => Known::Load { width, signed },
        Op::SwapBytes { width, .. } => Known::Swapped(width),
        Op::SlotAddress { .. } | Op::Map(_) | Op::MapValue { .. } | Op::FunctionAddress(_) => {
            Known::Address
        }
        _ => Known::Unknown,
    }
}

/// Arithmetic.
impl Folder {
    fn binary(&self, op: BinaryOp, is_32: bool, lhs: Value, rhs: Operand) -> Outcome {
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

    fn extend(&self, value: Value, from: Width, signed: bool) -> Outcome {
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
    fn maximum(&self, value: Value) -> u64 {
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
fn immediate(is_32: bool, constant: i64) -> Option<i32> {
    if is_32 {
        Some(constant as i32)
    } else {
        i32::try_from(constant).ok()
    }
}

/// Comparisons and branches.
impl Folder {
    fn compare(&self, op: Compare, is_32: bool, lhs: Value, rhs: Operand) -> Outcome {
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

    fn branch(&self, end: &Terminator) -> Option<Terminator> {
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

/// Memory.
impl Folder {
    /// Constant parts of addresses become offsets, stored constants immediates.
    fn access(&self, op: &Op) -> Outcome {
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

    fn move_into_offset(&self, base: &mut Value, offset: &mut i32) -> bool {
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

    fn stored(&self, operand: &mut Operand, width: Width) -> bool {
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
