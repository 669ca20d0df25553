//! Writes the instructions of one function: steps and moves with their registers, blocks in order, jumps patched.

use fathom_bpf::insn::{
    AluOp, AtomicOp, ByteOrder, Insn, JumpOp, Operand, PseudoImm, Reg, Size, Width,
};
use fathom_bpf::object::{Line, Relocation, RelocationKind, SourceSpan};
use regalloc2::{Allocation, Block, Edit, InstOrEdit, Output};

use super::slots::Frame;
use super::vcode::{At, Step, Vcode};
use super::{BackendError, Options};

/// Instructions of one function; indices count from its start.
#[derive(Debug, Default)]
pub(super) struct Emitted {
    pub insns: Vec<Insn>,
    pub relocations: Vec<Relocation>,
    pub lines: Vec<Line>,
}

/// Emits a function whose values have been given registers.
pub(super) fn emit(
    code: &Vcode,
    output: &Output,
    frame: &Frame,
    options: &Options,
) -> Result<Emitted, BackendError> {
    let mut emitter = Emitter {
        code,
        output,
        frame,
        options,
        forwards: forwards(code, output),
        starts: vec![None; code.blocks.len()],
        jumps: Vec::new(),
        span: None,
        result: Emitted::default(),
    };
    let layout = emitter.layout();
    for (index, block) in layout.iter().enumerate() {
        emitter.block(*block, layout.get(index + 1).copied());
    }
    emitter.patch_jumps()?;
    Ok(emitter.result)
}

struct Emitter<'a> {
    code: &'a Vcode,
    output: &'a Output,
    frame: &'a Frame,
    options: &'a Options,
    /// For each block where a jump to it really goes.
    forwards: Vec<Block>,
    /// Index of the first instruction of each block that was emitted.
    starts: Vec<Option<u32>>,
    /// Jump instructions and their targets.
    jumps: Vec<(usize, Block)>,
    /// Span of the last line entry.
    span: Option<SourceSpan>,
    result: Emitted,
}

/// Whether the allocator put moves into the block.
fn has_moves(code: &Vcode, output: &Output, block: Block) -> bool {
    output
        .block_insts_and_edits(code, block)
        .any(|item| match item {
            InstOrEdit::Edit(Edit::Move { from, to }) => from != to,
            InstOrEdit::Inst(_) => false,
        })
}

/// Jumps to a block that only jumps on go on at once.
fn forwards(code: &Vcode, output: &Output) -> Vec<Block> {
    let next = |block: Block| {
        let data = &code.blocks[block.index()];
        let is_empty =
            data.range.1 - data.range.0 == 1 && code.steps[data.range.0 as usize] == Step::Jump;
        (is_empty && !has_moves(code, output, block)).then(|| data.successors[0])
    };
    let follow = |start: Block| {
        let mut at = start;
        // An endless loop of empty blocks ends somewhere in it.
        for _ in 0..code.blocks.len() {
            match next(at) {
                Some(next) => at = next,
                None => break,
            }
        }
        at
    };
    (0..code.blocks.len())
        .map(|index| follow(Block::new(index)))
        .collect()
}

/// Layout.
impl Emitter<'_> {
    /// Blocks in order, without those that nothing goes to.
    fn layout(&self) -> Vec<Block> {
        let entry = self.forwards[0];
        let mut kept: Vec<Block> = (0..self.code.blocks.len())
            .map(Block::new)
            .filter(|block| self.forwards[block.index()] == *block)
            .collect();
        if entry.index() != 0 {
            kept.retain(|block| *block != entry);
            kept.insert(0, entry);
        }
        let mut is_wanted = vec![false; self.code.blocks.len()];
        is_wanted[entry.index()] = true;
        for (index, block) in kept.iter().enumerate() {
            let successors = &self.code.blocks[block.index()].successors;
            for successor in successors {
                let target = self.forwards[successor.index()];
                let is_next = kept.get(index + 1) == Some(&target);
                if successors.len() == 2 || is_next || self.constant_return(target).is_none() {
                    is_wanted[target.index()] = true;
                }
            }
        }
        kept.retain(|block| is_wanted[block.index()]);
        kept
    }

    /// The constant, if all that the block does is to return it.
    fn constant_return(&self, block: Block) -> Option<i32> {
        let (start, end) = self.code.blocks[block.index()].range;
        match self.code.steps[start as usize] {
            Step::Return { imm } if end - start == 1 => imm,
            _ => None,
        }
    }

    fn block(&mut self, block: Block, next: Option<Block>) {
        self.starts[block.index()] = Some(self.result.insns.len() as u32);
        let last = self.code.blocks[block.index()].range.1 as usize - 1;
        let (code, output) = (self.code, self.output);
        let mut upcoming = self.code.blocks[block.index()].range.0 as usize;
        for item in output.block_insts_and_edits(code, block) {
            match item {
                InstOrEdit::Edit(Edit::Move { from, to }) => {
                    self.line(upcoming);
                    self.move_value(*from, *to);
                }
                InstOrEdit::Inst(step) if step.index() == last => self.end(block, last, next),
                InstOrEdit::Inst(step) => {
                    self.line(step.index());
                    self.step(step.index());
                    upcoming = step.index() + 1;
                }
            }
        }
    }

    fn end(&mut self, block: Block, step: usize, next: Option<Block>) {
        let targets: Vec<Block> = self.code.blocks[block.index()]
            .successors
            .iter()
            .map(|target| self.forwards[target.index()])
            .collect();
        match (self.code.steps[step], &targets[..]) {
            (Step::Jump, [target]) => self.jump(step, *target, next),
            (Step::Branch { .. }, [then, otherwise]) if then == otherwise => {
                self.jump(step, *then, next)
            }
            (Step::Branch { width, op, imm }, [then, otherwise]) => {
                self.line(step);
                match op.negated() {
                    Some(op) if Some(*then) == next => {
                        self.branch(step, (width, op, imm), *otherwise)
                    }
                    _ => {
                        self.branch(step, (width, op, imm), *then);
                        self.jump(step, *otherwise, next);
                    }
                }
            }
            (Step::Return { imm }, []) => {
                self.line(step);
                self.leave(imm);
            }
            (other, _) => unreachable!("emit: a block ends with {other:?}"),
        }
    }

    fn leave(&mut self, imm: Option<i32>) {
        if let Some(imm) = imm {
            self.push(Insn::mov(Reg::R0, imm));
        }
        self.push(Insn::exit());
    }

    fn jump(&mut self, step: usize, target: Block, next: Option<Block>) {
        if Some(target) == next {
            return;
        }
        self.line(step);
        match self.constant_return(target) {
            Some(imm) => self.leave(Some(imm)),
            None => {
                self.jumps.push((self.result.insns.len(), target));
                self.push(Insn::goto(0));
            }
        }
    }

    fn branch(
        &mut self,
        step: usize,
        (width, op, imm): (Width, JumpOp, Option<i32>),
        target: Block,
    ) {
        let places = self.places(step);
        let lhs = reg(places[0]);
        self.jumps.push((self.result.insns.len(), target));
        self.push(Insn::jump(width, op, lhs, second(imm, places), 0));
    }

    fn patch_jumps(&mut self) -> Result<(), BackendError> {
        for (at, target) in std::mem::take(&mut self.jumps) {
            let Some(start) = self.starts[target.index()] else {
                unreachable!("emit: jump to {target:?}, which was not emitted")
            };
            let distance = i64::from(start) - (at as i64 + 1);
            let Ok(offset) = i16::try_from(distance) else {
                return Err(BackendError::ProgramTooLarge {
                    insns: self.result.insns.len(),
                });
            };
            self.result.insns[at].offset = offset;
        }
        Ok(())
    }
}

/// Steps.
impl<'a> Emitter<'a> {
    fn push(&mut self, insn: Insn) {
        self.result.insns.push(insn);
    }

    /// Notes where in the script the next instruction comes from.
    fn line(&mut self, step: usize) {
        let span = self.code.spans[step];
        if self.span != Some(span) {
            self.span = Some(span);
            self.result.lines.push(Line {
                insn: self.result.insns.len() as u32,
                span,
            });
        }
    }

    fn places(&self, step: usize) -> &'a [Allocation] {
        self.output.inst_allocs(regalloc2::Inst::new(step))
    }

    fn step(&mut self, index: usize) {
        let places = self.places(index);
        match self.code.steps[index] {
            Step::Params => {}
            Step::Const(value) => self.constant(last(places), value),
            Step::Address { slot, offset } => {
                let dst = last(places);
                let offset = self.frame.offsets[slot.0 as usize] + offset;
                self.push(Insn::mov(dst, Reg::R10));
                self.push(Insn::alu(Width::W64, AluOp::Add, dst, offset));
            }
            Step::Pseudo(kind) => self.pseudo(last(places), kind),
            Step::Alu { width, op, imm } => {
                let insn = Insn::alu(width, op, last(places), second(imm, places));
                self.push(if op == AluOp::Mov {
                    Insn::mov(last(places), reg(places[0]))
                } else {
                    insn
                });
            }
            Step::Negate => self.push(Insn::neg(Width::W64, last(places))),
            Step::ZeroExtend32 => self.push(Insn::mov32(last(places), reg(places[0]))),
            Step::SignExtend { from } => self.sign_extend(last(places), reg(places[0]), from),
            Step::SwapBytes { size } => {
                let order = if cfg!(target_endian = "little") {
                    ByteOrder::Big
                } else {
                    ByteOrder::Little
                };
                self.push(Insn::byte_swap(order, last(places), size.bytes() * 8));
            }
            Step::SetIf { width, op, imm } => {
                let dst = last(places);
                self.push(Insn::mov(dst, 1));
                self.push(Insn::jump(
                    width,
                    op,
                    reg(places[0]),
                    second(imm, places),
                    1,
                ));
                self.push(Insn::mov(dst, 0));
            }
            Step::Load { size, signed, at } => self.load(size, signed, at, places),
            Step::Store { size, at, imm } => {
                let (base, offset) = self.address(at, places);
                let value = imm.map_or_else(|| Operand::Reg(last(places)), Operand::Imm);
                self.push(Insn::store(size, base, offset, value));
            }
            Step::Atomic { size, op, at } => self.atomic(size, op, at, places),
            Step::Call(helper) => self.push(Insn::call(helper)),
            Step::CallKernel(btf_id) => self.push(Insn::call_kernel_function(btf_id, 0)),
            end @ (Step::Jump | Step::Branch { .. } | Step::Return { .. }) => {
                unreachable!("emit: {end:?} within a block")
            }
        }
    }

    fn constant(&mut self, dst: Reg, value: i64) {
        if let Ok(imm) = i32::try_from(value) {
            self.push(Insn::mov(dst, imm));
        } else if let Ok(imm) = u32::try_from(value) {
            self.push(Insn::mov32(dst, imm as i32));
        } else {
            self.result
                .insns
                .extend(Insn::load_imm64(dst, value as u64));
        }
    }

    fn pseudo(&mut self, dst: Reg, kind: RelocationKind) {
        let what = match kind {
            RelocationKind::Map(_) => PseudoImm::MapFd(0),
            RelocationKind::MapValue { offset, .. } => PseudoImm::MapValue { fd: 0, offset },
            RelocationKind::FunctionAddress(_) | RelocationKind::FunctionCall(_) => {
                PseudoImm::Function(0)
            }
        };
        self.result.relocations.push(Relocation {
            insn: self.result.insns.len() as u32,
            kind,
        });
        self.result.insns.extend(Insn::load_pseudo(dst, what));
    }

    fn sign_extend(&mut self, dst: Reg, src: Reg, from: Size) {
        if self.options.sign_extension {
            return self.push(Insn::mov_signed(Width::W64, dst, src, from));
        }
        let shift = 64 - 8 * from.bytes() as i32;
        self.push(Insn::alu(Width::W64, AluOp::Lsh, dst, shift));
        self.push(Insn::alu(Width::W64, AluOp::Arsh, dst, shift));
    }

    fn load(&mut self, size: Size, signed: bool, at: At, places: &[Allocation]) {
        let dst = last(places);
        let (base, offset) = self.address(at, places);
        if signed && self.options.sign_extension {
            return self.push(Insn::load_signed(size, dst, base, offset));
        }
        self.push(Insn::load(size, dst, base, offset));
        if signed {
            self.sign_extend(dst, dst, size);
        }
    }

    fn atomic(&mut self, size: Size, op: AtomicOp, at: At, places: &[Allocation]) {
        let (base, offset) = self.address(at, places);
        self.push(Insn::atomic(size, op, base, offset, last(places)));
        if size == Size::B32 && op != AtomicOp::Add {
            // A 4-byte fetch leaves the upper half as the kernel's verifier believes it: zero. Say it too.
            self.push(Insn::mov32(last(places), last(places)));
        }
    }

    /// Base register and offset of an access.
    fn address(&self, at: At, places: &[Allocation]) -> (Reg, i16) {
        let (base, offset) = match at.slot {
            Some(slot) => (Reg::R10, self.frame.offsets[slot.0 as usize] + at.offset),
            None => (reg(places[0]), at.offset),
        };
        // `select` keeps offsets within 16 bits and `slots` the frame within 512 bytes.
        (base, offset as i16)
    }

    fn move_value(&mut self, from: Allocation, to: Allocation) {
        let insn = match (from.as_stack(), to.as_stack()) {
            _ if from == to => return,
            (None, None) => Insn::mov(reg(to), reg(from)),
            (Some(slot), None) => Insn::load(
                Size::B64,
                reg(to),
                Reg::R10,
                self.spill_offset(slot.index()),
            ),
            (None, Some(slot)) => Insn::store(
                Size::B64,
                Reg::R10,
                self.spill_offset(slot.index()),
                reg(from),
            ),
            (Some(_), Some(_)) => unreachable!("emit: move from {from} to {to}"),
        };
        self.push(insn);
    }

    /// Spilled values lie below the slots.
    fn spill_offset(&self, index: usize) -> i16 {
        -((self.frame.size as usize + 8 * (index + 1)) as i64) as i16
    }
}

fn reg(place: Allocation) -> Reg {
    place
        .as_reg()
        .and_then(|reg| Reg::new(reg.hw_enc() as u8))
        .unwrap_or_else(|| unreachable!("emit: {place} is no register"))
}

/// The register written (or, in a store, the value).
fn last(places: &[Allocation]) -> Reg {
    places.last().map_or_else(
        || unreachable!("emit: a step without operands"),
        |place| reg(*place),
    )
}

fn second(imm: Option<i32>, places: &[Allocation]) -> Operand {
    imm.map_or_else(|| Operand::Reg(reg(places[1])), Operand::Imm)
}
