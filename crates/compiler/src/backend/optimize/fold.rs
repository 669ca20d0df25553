//! Folds constants and simplifies arithmetic, comparisons, accesses and branches, each by its operands' definitions.

mod access;
mod arithmetic;
mod comparison;

use super::{Replacements, compared_values, count_uses};
use crate::ir::cfg::Cfg;
use crate::ir::{
    BinaryOp, Compare, Function, Inst, Op, Operand, Terminator, Value, Width, swap_bytes,
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
