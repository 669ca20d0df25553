//! Chooses instructions: IR to [`Vcode`].
//!
//! Constants and addresses are made again where they are used, as immediates and offsets where they fit, so that they
//! never occupy a register over a call. Edges between a block with two successors and one with two predecessors get a
//! block of their own, where the register allocator can put moves; it vanishes when nothing is put there.

use fathom_bpf::insn::{AluOp, JumpOp, Size, Width};
use fathom_bpf::object::{RelocationKind, SourceSpan};
use regalloc2::{Block, Operand as Place, PReg, RegClass, VReg};

mod inst;
mod value;

use super::Options;
use super::vcode::{Step, VBlock, Vcode};
use crate::ir::cfg::Cfg;
use crate::ir::{
    self, BinaryOp, BlockId, Compare, Function, Op, Operand, Target, Terminator, Value,
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
