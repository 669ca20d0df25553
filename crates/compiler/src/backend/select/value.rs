//! Values in registers, and memory operands: what is made again where it is used, and what is kept.

use super::{REUSE_DISTANCE, Remade, Selector, fits_i32, is_cheap, vreg};
use crate::backend::vcode::{At, Step};
use crate::ir::{BinaryOp, Memory, Op, Operand, Value};
use fathom_bpf::insn::{AluOp, Width};
use fathom_bpf::object::RelocationKind;
use regalloc2::{Operand as Place, RegClass, VReg};

/// Values in registers.
impl Selector<'_> {
    pub(super) fn new_reg(&mut self) -> VReg {
        self.code.vreg_count += 1;
        VReg::new(self.code.vreg_count - 1, RegClass::Int)
    }

    pub(super) fn remade(&self, value: Value) -> Option<Remade> {
        Some(match self.definitions[value.0 as usize]? {
            Op::Const(constant) => Remade::Const(*constant),
            Op::SlotAddress { slot, offset } => Remade::Address(*slot, *offset),
            Op::Map(map) => Remade::Pseudo(RelocationKind::Map(*map)),
            Op::MapValue { map, offset } => Remade::Pseudo(RelocationKind::MapValue {
                map: *map,
                offset: *offset,
            }),
            Op::FunctionAddress(id) => Remade::Pseudo(RelocationKind::FunctionAddress(id.0)),
            _ => return None,
        })
    }

    pub(super) fn constant(&self, value: Value) -> Option<i64> {
        match self.definitions[value.0 as usize]? {
            Op::Const(constant) => Some(*constant),
            _ => None,
        }
    }

    /// The value in a register; constants and addresses are made anew.
    pub(super) fn fresh_reg(&mut self, value: Value) -> VReg {
        match self.remade(value) {
            None => vreg(value),
            Some(what) => self.make(what),
        }
    }

    /// The value in a register that is only read; an address made shortly before serves again.
    pub(super) fn reg(&mut self, value: Value) -> VReg {
        match self.remade(value) {
            None => vreg(value),
            Some(what) => self.make_or_reuse(what),
        }
    }

    pub(super) fn make(&mut self, what: Remade) -> VReg {
        let def = self.new_reg();
        let step = match what {
            Remade::Const(value) => Step::Const(value),
            Remade::Address(slot, offset) => Step::Address { slot, offset },
            Remade::Pseudo(kind) => Step::Pseudo(kind),
        };
        self.code.push(step, self.span, &[Place::reg_def(def)]);
        def
    }

    pub(super) fn make_or_reuse(&mut self, what: Remade) -> VReg {
        let now = self.code.steps.len();
        self.recent
            .retain(|(_, _, made)| now - made <= REUSE_DISTANCE);
        if let Some((_, reg, _)) = self.recent.iter().find(|(known, _, _)| *known == what) {
            return *reg;
        }
        let reg = self.make(what);
        if !matches!(what, Remade::Const(value) if is_cheap(value)) {
            self.recent.push((what, reg, now));
        }
        reg
    }

    /// Operands of a comparison or of the right side of arithmetic.
    pub(super) fn sides(
        &mut self,
        is_32: bool,
        lhs: Value,
        rhs: Operand,
    ) -> (Option<i32>, Vec<Place>) {
        let lhs = Place::reg_use(self.reg(lhs));
        match self.immediate(is_32, rhs) {
            Ok(imm) => (Some(imm), vec![lhs]),
            Err(value) => (None, vec![lhs, Place::reg_use(self.reg(value))]),
        }
    }

    /// The operand as an immediate if it fits one.
    pub(super) fn immediate(&self, is_32: bool, operand: Operand) -> Result<i32, Value> {
        match operand {
            Operand::Imm(imm) => Ok(imm),
            Operand::Value(value) => match self.constant(value) {
                Some(constant) if is_32 => Ok(constant as i32),
                Some(constant) => fits_i32(constant).ok_or(value),
                None => Err(value),
            },
        }
    }

    /// Where `base + offset` is: in a slot, or relative to a register.
    pub(super) fn at(&mut self, base: Value, offset: i32) -> (At, Option<VReg>) {
        let (base, offset) = match self.remade(base) {
            Some(Remade::Address(slot, start)) => {
                return (
                    At {
                        slot: Some(slot),
                        offset: start + offset,
                    },
                    None,
                );
            }
            Some(Remade::Pseudo(RelocationKind::MapValue { map, offset: start }))
                if start
                    .checked_add_signed(offset)
                    .is_some_and(|sum| sum <= i16::MAX as u32 - 8) =>
            {
                let whole = Remade::Pseudo(RelocationKind::MapValue { map, offset: 0 });
                (self.make_or_reuse(whole), start as i32 + offset)
            }
            _ => (self.reg(base), offset),
        };
        if i16::try_from(offset).is_ok() {
            return (At { slot: None, offset }, Some(base));
        }
        let sum = self.new_reg();
        let step = Step::Alu {
            width: Width::W64,
            op: AluOp::Add,
            imm: Some(offset),
        };
        self.code.push(
            step,
            self.span,
            &[Place::reg_use(base), Place::reg_reuse_def(sum, 0)],
        );
        (
            At {
                slot: None,
                offset: 0,
            },
            Some(sum),
        )
    }

    /// What zero alignment `base + offset` has at least. Other objects than slots are aligned to 8.
    pub(super) fn alignment(&self, memory: Memory, base: Value, offset: i32) -> u32 {
        let (object, offset) = match self.definitions[base.0 as usize] {
            Some(Op::SlotAddress {
                slot,
                offset: start,
            }) => (
                crate::backend::slots::alignment(&self.function.slots[slot.0 as usize]),
                start + offset,
            ),
            Some(Op::Binary {
                op: BinaryOp::Add,
                rhs: Operand::Imm(start),
                lhs,
                ..
            }) => {
                return self.alignment(memory, *lhs, start.wrapping_add(offset));
            }
            Some(Op::Binary { .. }) if memory == Memory::Stack => (1, offset),
            _ => (8, offset),
        };
        object.min(1 << offset.trailing_zeros().min(3))
    }
}
