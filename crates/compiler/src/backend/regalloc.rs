//! Register allocation by regalloc2, whose checker proves each result in debug builds and tests.
//!
//! | Registers | Use |
//! |---|---|
//! | r0 | result of calls and of the function |
//! | r1–r5 | arguments; lost over calls |
//! | r6–r9 | kept over calls |
//! | r10 | frame pointer, not ours to allocate |
//!
//! No register is set aside for moves between spill slots: regalloc2 takes one that is free at that place, or saves and
//! restores one around the moves.

use regalloc2::{
    Algorithm, Block, Function, Inst, InstRange, MachineEnv, Operand, Output, PRegSet,
    RegAllocError, RegClass, RegallocOptions, VReg,
};

use super::BackendError;
use super::select::register;
use super::vcode::{Step, Vcode};

/// Finds a register or spill slot for each operand, and the moves between them.
pub(super) fn allocate(code: &Vcode) -> Result<Output, BackendError> {
    let options = RegallocOptions {
        verbose_log: false,
        validate_ssa: cfg!(debug_assertions),
        algorithm: Algorithm::Ion,
    };
    let environment = environment();
    let output = regalloc2::run(code, &environment, &options).map_err(failure)?;
    if cfg!(debug_assertions) {
        check(code, &environment, &output);
    }
    Ok(output)
}

fn failure(error: RegAllocError) -> BackendError {
    BackendError::RegisterAllocation(error.to_string())
}

fn check(code: &Vcode, environment: &MachineEnv, output: &Output) {
    let mut checker = regalloc2::checker::Checker::new(code, environment);
    checker.prepare(output);
    if let Err(errors) = checker.run() {
        unreachable!("regalloc: the allocation is wrong: {errors:?}");
    }
}

/// Registers lost over calls are tried first: saving the others costs the function's prologue something.
fn environment() -> MachineEnv {
    let set = |range: std::ops::RangeInclusive<usize>| range.map(register).collect::<PRegSet>();
    MachineEnv {
        preferred_regs_by_class: [set(0..=5), PRegSet::empty(), PRegSet::empty()],
        non_preferred_regs_by_class: [set(6..=9), PRegSet::empty(), PRegSet::empty()],
        scratch_by_class: [None; 3],
        fixed_stack_slots: Vec::new(),
    }
}

impl Function for Vcode {
    fn num_insts(&self) -> usize {
        self.steps.len()
    }

    fn num_blocks(&self) -> usize {
        self.blocks.len()
    }

    fn entry_block(&self) -> Block {
        Block::new(0)
    }

    fn block_insns(&self, block: Block) -> InstRange {
        let (start, end) = self.blocks[block.index()].range;
        InstRange::new(Inst::new(start as usize), Inst::new(end as usize))
    }

    fn block_succs(&self, block: Block) -> &[Block] {
        &self.blocks[block.index()].successors
    }

    fn block_preds(&self, block: Block) -> &[Block] {
        &self.blocks[block.index()].predecessors
    }

    fn block_params(&self, block: Block) -> &[VReg] {
        &self.blocks[block.index()].params
    }

    fn is_ret(&self, step: Inst) -> bool {
        matches!(self.steps[step.index()], Step::Return { .. })
    }

    fn is_branch(&self, step: Inst) -> bool {
        self.steps[step.index()].is_branch()
    }

    fn branch_blockparams(&self, block: Block, _: Inst, successor: usize) -> &[VReg] {
        &self.blocks[block.index()].args[successor]
    }

    fn inst_operands(&self, step: Inst) -> &[Operand] {
        self.operands_of(step.index())
    }

    fn inst_clobbers(&self, step: Inst) -> PRegSet {
        match self.steps[step.index()] {
            Step::Call(_) | Step::CallKernel(_) => (1..=5).map(register).collect(),
            _ => PRegSet::empty(),
        }
    }

    fn num_vregs(&self) -> usize {
        self.vreg_count
    }

    fn spillslot_size(&self, _: RegClass) -> usize {
        1
    }
}
