//! Code between the IR and instructions: BPF's operations, but on virtual registers and stack slots.
//!
//! Each [`Step`] becomes one to three instructions. Its operands are told apart by order: what it reads comes first
//! (base register, then the others), what it writes last.

use fathom_bpf::helper::Helper;
use fathom_bpf::insn::{AluOp, AtomicOp, JumpOp, Size, Width};
use fathom_bpf::object::{RelocationKind, SourceSpan};
use regalloc2::{Block, Operand, VReg};

use crate::ir::Slot;

/// A function ready for register allocation.
#[derive(Debug, Default)]
pub(super) struct Vcode {
    pub steps: Vec<Step>,
    pub spans: Vec<SourceSpan>,
    /// Operands of all steps, one after the other.
    pub operands: Vec<Operand>,
    /// For each step the end of its operands.
    pub operand_ends: Vec<u32>,
    /// In the order in which they are laid out.
    pub blocks: Vec<VBlock>,
    pub vreg_count: usize,
}

/// A basic block of [`Vcode`].
#[derive(Debug, Default)]
pub(super) struct VBlock {
    /// Indices of its first step and behind its last one.
    pub range: (u32, u32),
    pub params: Vec<VReg>,
    pub successors: Vec<Block>,
    pub predecessors: Vec<Block>,
    /// For each successor what is passed to it.
    pub args: Vec<Vec<VReg>>,
}

/// Where memory is accessed: in a slot, or relative to the step's first operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At {
    pub slot: Option<Slot>,
    pub offset: i32,
}

/// One operation. `imm: None` means that the second operand is a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Writes the function's parameters, which arrive in r1, r2, …
    Params,
    /// Writes a constant.
    Const(i64),
    /// Writes the address of a slot.
    Address { slot: Slot, offset: i32 },
    /// Writes an address that is known when the program is loaded.
    Pseudo(RelocationKind),
    /// Reads lhs (and rhs); the result takes the place of lhs.
    Alu {
        width: Width,
        op: AluOp,
        imm: Option<i32>,
    },
    /// The result takes the place of what it reads.
    Negate,
    /// Reads one register, writes its low half.
    ZeroExtend32,
    /// Sign extension of the low bytes; in place unless the kernel has an instruction for it.
    SignExtend { from: Size },
    /// In place: byte swap of the low bytes, the rest zero.
    SwapBytes { size: Size },
    /// Reads lhs (and rhs), writes 1 or 0.
    SetIf {
        width: Width,
        op: JumpOp,
        imm: Option<i32>,
    },
    /// Reads the base unless in a slot; writes.
    Load { size: Size, signed: bool, at: At },
    /// Reads the base unless in a slot, then the value unless a constant.
    Store {
        size: Size,
        at: At,
        imm: Option<i32>,
    },
    /// Reads the base unless in a slot, then the value; fetching ones write the old value in its place.
    Atomic { size: Size, op: AtomicOp, at: At },
    /// Reads r1 to r5 as needed, writes r0.
    Call(Helper),
    /// The same with a function of the kernel, by its BTF id.
    CallKernel(u32),
    /// Ends a block.
    Jump,
    /// Ends a block: reads lhs (and rhs), goes to the first successor if the condition holds.
    Branch {
        width: Width,
        op: JumpOp,
        imm: Option<i32>,
    },
    /// Ends a block: returns the constant, or r0.
    Return { imm: Option<i32> },
}

impl Step {
    /// Whether a block ends with it by going on to another.
    pub fn is_branch(&self) -> bool {
        matches!(self, Step::Jump | Step::Branch { .. })
    }
}

impl Vcode {
    /// Operands of a step.
    pub fn operands_of(&self, step: usize) -> &[Operand] {
        let start = if step == 0 {
            0
        } else {
            self.operand_ends[step - 1]
        };
        &self.operands[start as usize..self.operand_ends[step] as usize]
    }

    /// Appends a step.
    pub fn push(&mut self, step: Step, span: SourceSpan, operands: &[Operand]) {
        self.steps.push(step);
        self.spans.push(span);
        self.operands.extend_from_slice(operands);
        self.operand_ends.push(self.operands.len() as u32);
    }

    /// Fills in the predecessors from the successors.
    pub fn connect(&mut self) {
        for index in 0..self.blocks.len() {
            for successor in self.blocks[index].successors.clone() {
                self.blocks[successor.index()]
                    .predecessors
                    .push(Block::new(index));
            }
        }
    }
}
