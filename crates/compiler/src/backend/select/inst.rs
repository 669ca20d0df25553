//! One IR instruction after the other.

use super::{Remade, Selector, alu_op, jump_op, reg_width, register, size, vreg};
use crate::backend::vcode::{At, Step};
use crate::ir::{self, BinaryOp, Inst, Memory, Op, Operand, Value};
use fathom_bpf::insn::{AluOp, AtomicOp, Size, Width};
use regalloc2::{Operand as Place, OperandConstraint, OperandKind, OperandPos, VReg};

/// Instructions.
impl Selector<'_> {
    pub(super) fn inst(&mut self, inst: &Inst) {
        match &inst.op {
            Op::Const(_)
            | Op::SlotAddress { .. }
            | Op::Map(_)
            | Op::MapValue { .. }
            | Op::FunctionAddress(_) => {}
            Op::Binary {
                op,
                is_32,
                lhs,
                rhs,
            } => self.binary(inst, *op, *is_32, *lhs, *rhs),
            Op::Negate { value } => self.in_place(inst, Step::Negate, *value),
            Op::Extend {
                value,
                from,
                signed,
            } => self.extend(inst, *value, *from, *signed),
            Op::SwapBytes { value, width } => {
                self.in_place(inst, Step::SwapBytes { size: size(*width) }, *value)
            }
            Op::Compare {
                op,
                is_32,
                lhs,
                rhs,
            } => {
                let (imm, mut places) = self.sides(*is_32, *lhs, *rhs);
                let def = self.result(inst);
                places.push(Place::new(
                    def,
                    OperandConstraint::Reg,
                    OperandKind::Def,
                    OperandPos::Early,
                ));
                let step = Step::SetIf {
                    width: reg_width(*is_32),
                    op: jump_op(*op),
                    imm,
                };
                self.code.push(step, self.span, &places);
            }
            Op::Load {
                width,
                signed,
                base,
                offset,
                ..
            } => self.load(inst, *width, *signed, *base, *offset),
            Op::Store {
                width,
                base,
                offset,
                value,
                ..
            } => {
                let (at, base) = self.at(*base, *offset);
                self.store(*width, at, base, *value);
            }
            Op::Atomic {
                op,
                width,
                base,
                offset,
                value,
            } => {
                let (at, base) = self.at(*base, *offset);
                self.atomic(inst, *op, size(*width), at, base, *value);
            }
            Op::Zero {
                memory,
                base,
                offset,
                len,
            } => self.zero(*memory, *base, *offset, *len),
            Op::Copy { .. } => self.copy(&inst.op),
            Op::Call { helper, args } => self.call(Step::Call(*helper), args, inst),
            Op::CallKernel { btf_id, args } => self.call(Step::CallKernel(*btf_id), args, inst),
        }
    }

    /// Arguments arrive in r1, r2, …; the result is in r0.
    fn call(&mut self, step: Step, args: &[Value], inst: &Inst) {
        let mut places: Vec<Place> = Vec::with_capacity(6);
        for (index, arg) in args.iter().enumerate() {
            let arg = self.fresh_reg(*arg);
            places.push(Place::reg_fixed_use(arg, register(index + 1)));
        }
        let def = self.result(inst);
        places.push(Place::reg_fixed_def(def, register(0)));
        self.code.push(step, self.span, &places);
        self.recent.clear();
    }

    fn result(&mut self, inst: &Inst) -> VReg {
        match inst.result {
            Some(result) => vreg(result),
            None => self.new_reg(),
        }
    }

    fn in_place(&mut self, inst: &Inst, step: Step, value: Value) {
        let value = self.reg(value);
        let def = self.result(inst);
        self.code.push(
            step,
            self.span,
            &[Place::reg_use(value), Place::reg_reuse_def(def, 0)],
        );
    }

    fn binary(&mut self, inst: &Inst, op: BinaryOp, is_32: bool, mut lhs: Value, mut rhs: Operand) {
        if let Operand::Value(right) = rhs {
            // The left side is overwritten: better one that is not needed any more.
            let is_dying = |value: Value| self.uses[value.0 as usize] == 1;
            let is_better = self.constant(lhs).is_some() || (is_dying(right) && !is_dying(lhs));
            if op.is_commutative() && self.constant(right).is_none() && is_better {
                (lhs, rhs) = (right, Operand::Value(lhs));
            }
        }
        let (imm, mut places) = self.sides(is_32, lhs, rhs);
        // A shift count beyond the width is refused by the kernel's verifier when it is an immediate.
        let is_shift = matches!(op, BinaryOp::Shl | BinaryOp::Shr | BinaryOp::Sar);
        let imm = imm.map(|imm| {
            if is_shift {
                imm & if is_32 { 31 } else { 63 }
            } else {
                imm
            }
        });
        let is_division = matches!(op, BinaryOp::Div | BinaryOp::Rem);
        let (imm, zero) = match imm {
            // So is division by the immediate zero.
            Some(0) if is_division => (None, Some(self.make(Remade::Const(0)))),
            imm => (imm, None),
        };
        places.extend(zero.map(Place::reg_use));
        let def = self.result(inst);
        places.push(Place::reg_reuse_def(def, 0));
        let step = Step::Alu {
            width: reg_width(is_32),
            op: alu_op(op),
            imm,
        };
        self.code.push(step, self.span, &places);
    }

    fn extend(&mut self, inst: &Inst, value: Value, from: ir::Width, signed: bool) {
        let mask = |imm| Step::Alu {
            width: Width::W64,
            op: AluOp::And,
            imm: Some(imm),
        };
        let has_instruction = self.options.sign_extension;
        match (from, signed) {
            (ir::Width::B1, false) => return self.in_place(inst, mask(0xff), value),
            (ir::Width::B2, false) => return self.in_place(inst, mask(0xffff), value),
            (ir::Width::B1 | ir::Width::B2 | ir::Width::B4, true) if !has_instruction => {
                return self.in_place(inst, Step::SignExtend { from: size(from) }, value);
            }
            _ => {}
        }
        let step = match (from, signed) {
            (ir::Width::B8, _) => Step::Alu {
                width: Width::W64,
                op: AluOp::Mov,
                imm: None,
            },
            (_, true) => Step::SignExtend { from: size(from) },
            (_, false) => Step::ZeroExtend32,
        };
        let value = self.reg(value);
        let def = self.result(inst);
        self.code.push(
            step,
            self.span,
            &[Place::reg_use(value), Place::reg_def(def)],
        );
    }

    fn load(&mut self, inst: &Inst, width: ir::Width, signed: bool, base: Value, offset: i32) {
        let (at, base) = self.at(base, offset);
        let signed = signed && width != ir::Width::B8;
        let def = self.result(inst);
        let places: Vec<Place> = base
            .map(Place::reg_use)
            .into_iter()
            .chain([Place::reg_def(def)])
            .collect();
        self.code.push(
            Step::Load {
                size: size(width),
                signed,
                at,
            },
            self.span,
            &places,
        );
    }

    fn store(&mut self, width: ir::Width, at: At, base: Option<VReg>, value: Operand) {
        let mut places: Vec<Place> = base.map(Place::reg_use).into_iter().collect();
        // Only as many bytes of the constant as are stored have to fit.
        let imm = match self.immediate(width != ir::Width::B8, value) {
            Ok(imm) => Some(imm),
            Err(value) => {
                places.push(Place::reg_use(self.reg(value)));
                None
            }
        };
        self.code.push(
            Step::Store {
                size: size(width),
                at,
                imm,
            },
            self.span,
            &places,
        );
    }

    fn atomic(
        &mut self,
        inst: &Inst,
        op: ir::AtomicOp,
        size: Size,
        at: At,
        base: Option<VReg>,
        value: Value,
    ) {
        let value = self.reg(value);
        let mut places: Vec<Place> = base.map(Place::reg_use).into_iter().collect();
        let index = places.len();
        places.push(Place::reg_use(value));
        let op = match op {
            ir::AtomicOp::Add => AtomicOp::Add,
            ir::AtomicOp::FetchAdd => AtomicOp::FetchAdd,
            ir::AtomicOp::Exchange => AtomicOp::Exchange,
        };
        if op != AtomicOp::Add {
            let def = self.result(inst);
            places.push(Place::reg_reuse_def(def, index));
        }
        self.code
            .push(Step::Atomic { size, op, at }, self.span, &places);
    }

    fn zero(&mut self, memory: Memory, base: Value, offset: i32, len: u32) {
        let alignment = self.alignment(memory, base, offset);
        for (at, width) in pieces(len, alignment) {
            let (at, base) = self.at(base, offset + at as i32);
            self.store(width, at, base, Operand::Imm(0));
        }
    }

    fn copy(&mut self, op: &Op) {
        let Op::Copy {
            to,
            to_offset,
            to_memory,
            from,
            from_offset,
            from_memory,
            len,
            align,
        } = *op
        else {
            unreachable!("select: not a copy: {op}")
        };
        let alignment = align
            .min(self.alignment(to_memory, to, to_offset))
            .min(self.alignment(from_memory, from, from_offset));
        for (piece, width) in pieces(len, alignment) {
            let temporary = self.new_reg();
            let (at, base) = self.at(from, from_offset + piece as i32);
            let places: Vec<Place> = base
                .map(Place::reg_use)
                .into_iter()
                .chain([Place::reg_def(temporary)])
                .collect();
            self.code.push(
                Step::Load {
                    size: size(width),
                    signed: false,
                    at,
                },
                self.span,
                &places,
            );
            let (at, base) = self.at(to, to_offset + piece as i32);
            let mut places: Vec<Place> = base.map(Place::reg_use).into_iter().collect();
            places.push(Place::reg_use(temporary));
            self.code.push(
                Step::Store {
                    size: size(width),
                    at,
                    imm: None,
                },
                self.span,
                &places,
            );
        }
    }
}

/// Cuts `len` bytes into the widest accesses that keep aligned, starting at an address of that alignment.
fn pieces(len: u32, alignment: u32) -> Vec<(u32, ir::Width)> {
    let mut pieces = Vec::new();
    let mut at = 0;
    while at < len {
        let width = [ir::Width::B8, ir::Width::B4, ir::Width::B2]
            .into_iter()
            .find(|width| {
                width.bytes() <= alignment && at % width.bytes() == 0 && at + width.bytes() <= len
            })
            .unwrap_or(ir::Width::B1);
        pieces.push((at, width));
        at += width.bytes();
    }
    pieces
}
