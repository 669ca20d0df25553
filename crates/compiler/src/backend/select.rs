//! Chooses instructions: IR to [`Vcode`].
//!
//! Constants and addresses are made again where they are used, as immediates and offsets where they fit, so that they
//! never occupy a register over a call. Edges between a block with two successors and one with two predecessors get a
//! block of their own, where the register allocator can put moves; it vanishes when nothing is put there.

use fathom_bpf::insn::{AluOp, AtomicOp, JumpOp, Size, Width};
use fathom_bpf::object::{RelocationKind, SourceSpan};
use regalloc2::{
    Block, Operand as Place, OperandConstraint, OperandKind, OperandPos, PReg, RegClass, VReg,
};

use super::Options;
use super::vcode::{At, Step, VBlock, Vcode};
use crate::ir::cfg::Cfg;
use crate::ir::{
    self, BinaryOp, BlockId, Compare, Function, Inst, Memory, Op, Operand, Target, Terminator,
    Value,
};

/// The register of that number for the allocator.
pub(super) const fn register(number: usize) -> PReg {
    PReg::new(number, RegClass::Int)
}

/// Steps after which an address is made again instead of being kept in a register.
const REUSE_DISTANCE: usize = 24;

/// Translates one function. Blocks that cannot be reached are left out.
pub(super) fn select(function: &Function, options: &Options) -> Vcode {
    let cfg = Cfg::of(function);
    let mut selector = Selector {
        function,
        options,
        definitions: definitions(function),
        uses: count_uses(function),
        fused: vec![false; function.value_count as usize],
        code: Vcode {
            vreg_count: function.value_count as usize,
            ..Vcode::default()
        },
        block_of: vec![None; function.blocks.len()],
        pending: Vec::new(),
        recent: Vec::new(),
        span: SourceSpan::default(),
    };
    for block in &cfg.order {
        selector.block(&cfg, *block);
    }
    selector.resolve_targets();
    selector.code.connect();
    selector.code
}

/// For each value the operation that makes it, if it is not a parameter.
fn definitions(function: &Function) -> Vec<Option<&Op>> {
    let mut definitions = vec![None; function.value_count as usize];
    for inst in function.blocks.iter().flat_map(|block| &block.insts) {
        if let Some(result) = inst.result {
            definitions[result.0 as usize] = Some(&inst.op);
        }
    }
    definitions
}

fn count_uses(function: &Function) -> Vec<u32> {
    let mut uses = vec![0; function.value_count as usize];
    function.for_each_use(|value| uses[value.0 as usize] += 1);
    uses
}

/// Something that can be made from nothing.
#[derive(Clone, Copy, PartialEq)]
enum Remade {
    Const(i64),
    Address(ir::Slot, i32),
    Pseudo(RelocationKind),
}

struct Selector<'a> {
    function: &'a Function,
    options: &'a Options,
    definitions: Vec<Option<&'a Op>>,
    uses: Vec<u32>,
    /// Values whose only use does their work.
    fused: Vec<bool>,
    code: Vcode,
    block_of: Vec<Option<Block>>,
    /// Edges whose target block may not have been translated yet: block, index of the successor, target.
    pending: Vec<(usize, usize, BlockId)>,
    /// Addresses made lately in this block, and the step that made them.
    recent: Vec<(Remade, VReg, usize)>,
    span: SourceSpan,
}

/// Blocks.
impl Selector<'_> {
    fn block(&mut self, cfg: &Cfg, id: BlockId) {
        let block = self.function.block(id);
        self.block_of[id.0 as usize] = Some(Block::new(self.code.blocks.len()));
        let start = self.begin_block();
        if id.0 == 0 {
            self.params(&block.params);
        } else {
            self.code.blocks[start].params =
                block.params.iter().map(|param| vreg(*param)).collect();
        }
        if let Terminator::Branch {
            op,
            is_32,
            lhs,
            rhs,
            ..
        } = block.end
            && self.masked(op, is_32, lhs, rhs).is_some()
            && block.insts.iter().any(|inst| inst.result == Some(lhs))
        {
            self.fused[lhs.0 as usize] = true;
        }
        for inst in &block.insts {
            if inst
                .result
                .is_some_and(|result| self.fused[result.0 as usize])
            {
                continue;
            }
            self.span = inst.span;
            self.inst(inst);
        }
        self.span = block.end_span;
        self.end(cfg, start, &block.end);
    }

    /// Opens a block; returns its index.
    fn begin_block(&mut self) -> usize {
        self.recent.clear();
        let first = self.code.steps.len() as u32;
        self.code.blocks.push(VBlock {
            range: (first, first),
            ..VBlock::default()
        });
        self.code.blocks.len() - 1
    }

    fn params(&mut self, params: &[Value]) {
        let defs: Vec<Place> = params
            .iter()
            .enumerate()
            .map(|(index, param)| Place::reg_fixed_def(vreg(*param), register(index + 1)))
            .collect();
        self.code
            .push(Step::Params, self.function.blocks[0].end_span, &defs);
    }

    fn end(&mut self, cfg: &Cfg, block: usize, end: &Terminator) {
        match end {
            Terminator::Jump(target) => {
                let args = self.args(&target.args);
                self.code.push(Step::Jump, self.span, &[]);
                self.close(block);
                self.edge(block, target.block, args);
            }
            Terminator::Branch {
                op,
                is_32,
                lhs,
                rhs,
                then,
                otherwise,
            } => {
                let is_fused = self.fused[lhs.0 as usize];
                let mask = self.masked(*op, *is_32, *lhs, *rhs).filter(|_| is_fused);
                let (lhs, rhs) = mask.unwrap_or((*lhs, *rhs));
                let (imm, places) = self.sides(*is_32, lhs, rhs);
                let jump = if mask.is_some() {
                    JumpOp::Set
                } else {
                    jump_op(*op)
                };
                self.code.push(
                    Step::Branch {
                        width: reg_width(*is_32),
                        op: jump,
                        imm,
                    },
                    self.span,
                    &places,
                );
                self.close(block);
                let is_inverse = mask.is_some() && *op == Compare::Eq;
                for target in if is_inverse {
                    [otherwise, then]
                } else {
                    [then, otherwise]
                } {
                    self.branch_edge(cfg, block, target);
                }
            }
            Terminator::Return(Operand::Value(value)) => {
                match self.constant(*value).and_then(fits_i32) {
                    Some(imm) => self.return_constant(block, imm),
                    None => {
                        let value = self.reg(*value);
                        self.code.push(
                            Step::Return { imm: None },
                            self.span,
                            &[Place::reg_fixed_use(value, register(0))],
                        );
                        self.close(block);
                    }
                }
            }
            Terminator::Return(Operand::Imm(imm)) => self.return_constant(block, *imm),
            Terminator::Unreachable => self.return_constant(block, 0),
        }
    }

    /// `(x & y) != 0` or `== 0` where nothing else needs the `and`: its operands.
    fn masked(
        &self,
        op: Compare,
        is_32: bool,
        lhs: Value,
        rhs: Operand,
    ) -> Option<(Value, Operand)> {
        let is_zero = rhs == Operand::Imm(0) && matches!(op, Compare::Eq | Compare::Ne);
        match self.definitions[lhs.0 as usize]? {
            Op::Binary {
                op: BinaryOp::And,
                is_32: narrow,
                lhs: left,
                rhs: right,
            } if is_zero && *narrow == is_32 && self.uses[lhs.0 as usize] == 1 => {
                Some((*left, *right))
            }
            _ => None,
        }
    }

    fn return_constant(&mut self, block: usize, imm: i32) {
        self.code
            .push(Step::Return { imm: Some(imm) }, self.span, &[]);
        self.close(block);
    }

    fn close(&mut self, block: usize) {
        self.code.blocks[block].range.1 = self.code.steps.len() as u32;
    }

    fn edge(&mut self, from: usize, to: BlockId, args: Vec<VReg>) {
        let block = &mut self.code.blocks[from];
        self.pending.push((from, block.successors.len(), to));
        block.successors.push(Block::invalid());
        block.args.push(args);
    }

    /// An edge of a two-way branch, with a block of its own where moves or constants need a place.
    fn branch_edge(&mut self, cfg: &Cfg, from: usize, target: &Target) {
        let is_shared = cfg.predecessors[target.block.0 as usize].len() > 1;
        let has_constants = target.args.iter().any(|arg| self.remade(*arg).is_some());
        if !is_shared && !has_constants {
            let args = target.args.iter().map(|arg| vreg(*arg)).collect();
            return self.edge(from, target.block, args);
        }
        let between = self.begin_block();
        let args = self.args(&target.args);
        self.code.push(Step::Jump, self.span, &[]);
        self.close(between);
        self.edge(between, target.block, args);
        let block = &mut self.code.blocks[from];
        block.successors.push(Block::new(between));
        block.args.push(Vec::new());
    }

    fn args(&mut self, values: &[Value]) -> Vec<VReg> {
        values.iter().map(|value| self.fresh_reg(*value)).collect()
    }

    fn resolve_targets(&mut self) {
        for (from, index, to) in std::mem::take(&mut self.pending) {
            let Some(block) = self.block_of[to.0 as usize] else {
                unreachable!("select: b{} is a target but was not reached", to.0)
            };
            self.code.blocks[from].successors[index] = block;
        }
    }
}

/// Values in registers.
impl Selector<'_> {
    fn new_reg(&mut self) -> VReg {
        self.code.vreg_count += 1;
        VReg::new(self.code.vreg_count - 1, RegClass::Int)
    }

    fn remade(&self, value: Value) -> Option<Remade> {
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

    fn constant(&self, value: Value) -> Option<i64> {
        match self.definitions[value.0 as usize]? {
            Op::Const(constant) => Some(*constant),
            _ => None,
        }
    }

    /// The value in a register; constants and addresses are made anew.
    fn fresh_reg(&mut self, value: Value) -> VReg {
        match self.remade(value) {
            None => vreg(value),
            Some(what) => self.make(what),
        }
    }

    /// The value in a register that is only read; an address made shortly before serves again.
    fn reg(&mut self, value: Value) -> VReg {
        match self.remade(value) {
            None => vreg(value),
            Some(what) => self.make_or_reuse(what),
        }
    }

    fn make(&mut self, what: Remade) -> VReg {
        let def = self.new_reg();
        let step = match what {
            Remade::Const(value) => Step::Const(value),
            Remade::Address(slot, offset) => Step::Address { slot, offset },
            Remade::Pseudo(kind) => Step::Pseudo(kind),
        };
        self.code.push(step, self.span, &[Place::reg_def(def)]);
        def
    }

    fn make_or_reuse(&mut self, what: Remade) -> VReg {
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
    fn sides(&mut self, is_32: bool, lhs: Value, rhs: Operand) -> (Option<i32>, Vec<Place>) {
        let lhs = Place::reg_use(self.reg(lhs));
        match self.immediate(is_32, rhs) {
            Ok(imm) => (Some(imm), vec![lhs]),
            Err(value) => (None, vec![lhs, Place::reg_use(self.reg(value))]),
        }
    }

    /// The operand as an immediate if it fits one.
    fn immediate(&self, is_32: bool, operand: Operand) -> Result<i32, Value> {
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
    fn at(&mut self, base: Value, offset: i32) -> (At, Option<VReg>) {
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
    fn alignment(&self, memory: Memory, base: Value, offset: i32) -> u32 {
        let (object, offset) = match self.definitions[base.0 as usize] {
            Some(Op::SlotAddress {
                slot,
                offset: start,
            }) => (
                super::slots::alignment(&self.function.slots[slot.0 as usize]),
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

/// Instructions.
impl Selector<'_> {
    fn inst(&mut self, inst: &Inst) {
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
            Op::Call { helper, args } => {
                let mut places: Vec<Place> = Vec::with_capacity(6);
                for (index, arg) in args.iter().enumerate() {
                    let arg = self.fresh_reg(*arg);
                    places.push(Place::reg_fixed_use(arg, register(index + 1)));
                }
                let def = self.result(inst);
                places.push(Place::reg_fixed_def(def, register(0)));
                self.code.push(Step::Call(*helper), self.span, &places);
                self.recent.clear();
            }
        }
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

fn vreg(value: Value) -> VReg {
    VReg::new(value.0 as usize, RegClass::Int)
}

fn fits_i32(value: i64) -> Option<i32> {
    i32::try_from(value).ok()
}

/// Whether one short `mov` makes the constant.
fn is_cheap(value: i64) -> bool {
    i32::try_from(value).is_ok() || u32::try_from(value).is_ok()
}

fn reg_width(is_32: bool) -> Width {
    if is_32 { Width::W32 } else { Width::W64 }
}

fn size(width: ir::Width) -> Size {
    match width {
        ir::Width::B1 => Size::B8,
        ir::Width::B2 => Size::B16,
        ir::Width::B4 => Size::B32,
        ir::Width::B8 => Size::B64,
    }
}

fn alu_op(op: BinaryOp) -> AluOp {
    match op {
        BinaryOp::Add => AluOp::Add,
        BinaryOp::Sub => AluOp::Sub,
        BinaryOp::Mul => AluOp::Mul,
        BinaryOp::Div => AluOp::Div,
        BinaryOp::Rem => AluOp::Mod,
        BinaryOp::And => AluOp::And,
        BinaryOp::Or => AluOp::Or,
        BinaryOp::Xor => AluOp::Xor,
        BinaryOp::Shl => AluOp::Lsh,
        BinaryOp::Shr => AluOp::Rsh,
        BinaryOp::Sar => AluOp::Arsh,
    }
}

fn jump_op(op: Compare) -> JumpOp {
    match op {
        Compare::Eq => JumpOp::Eq,
        Compare::Ne => JumpOp::Ne,
        Compare::Lt => JumpOp::Lt,
        Compare::Le => JumpOp::Le,
        Compare::Gt => JumpOp::Gt,
        Compare::Ge => JumpOp::Ge,
        Compare::Slt => JumpOp::SignedLt,
        Compare::Sle => JumpOp::SignedLe,
        Compare::Sgt => JumpOp::SignedGt,
        Compare::Sge => JumpOp::SignedGe,
    }
}
