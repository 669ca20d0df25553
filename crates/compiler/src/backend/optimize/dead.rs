//! Removes what nobody needs: computations, loads, calls without effect, and block parameters.

use super::params::remove_param;
use super::{is_clock, is_fixed_during_run};
use crate::ir::{BlockId, Function, Op, Terminator, Value, targets};

/// Removes all that is not needed for an effect, a decision or the result.
pub(super) fn remove(function: &mut Function) -> bool {
    let needed = needed(function);
    let is_needed = |value: Value| needed[value.0 as usize];
    let mut changed = false;
    for block in &mut function.blocks {
        let before = block.insts.len();
        block
            .insts
            .retain(|inst| has_effect(&inst.op) || inst.result.is_some_and(is_needed));
        changed |= block.insts.len() != before;
    }
    for block in 1..function.blocks.len() {
        for index in (0..function.blocks[block].params.len()).rev() {
            if !is_needed(function.blocks[block].params[index]) {
                remove_param(function, BlockId(block as u32), index);
                changed = true;
            }
        }
    }
    changed
}

fn has_effect(op: &Op) -> bool {
    match op {
        Op::Store { .. } | Op::Atomic { .. } | Op::Zero { .. } | Op::Copy { .. } => true,
        Op::CallKernel { .. } => true,
        Op::Call { helper, .. } => !is_fixed_during_run(*helper) && !is_clock(*helper),
        _ => false,
    }
}

/// Where a needed value comes from.
#[derive(Clone, Copy)]
enum Source {
    Inst(usize, usize),
    Param(usize, usize),
}

fn needed(function: &Function) -> Vec<bool> {
    let mut search = Search::new(function);
    for block in &function.blocks {
        for inst in block.insts.iter().filter(|inst| has_effect(&inst.op)) {
            inst.op.for_each_value(|value| search.need(value));
        }
        match &block.end {
            Terminator::Branch { lhs, rhs, .. } => {
                search.need(*lhs);
                if let crate::ir::Operand::Value(rhs) = rhs {
                    search.need(*rhs);
                }
            }
            Terminator::Return(crate::ir::Operand::Value(value)) => search.need(*value),
            _ => {}
        }
    }
    search.run(function);
    search.needed
}

struct Search {
    sources: Vec<Option<Source>>,
    /// For each block the blocks that pass values to it.
    passers: Vec<Vec<usize>>,
    needed: Vec<bool>,
    work: Vec<Value>,
}

impl Search {
    fn new(function: &Function) -> Search {
        let mut sources = vec![None; function.value_count as usize];
        let mut passers = vec![Vec::new(); function.blocks.len()];
        for (index, block) in function.blocks.iter().enumerate() {
            for (param_index, param) in block.params.iter().enumerate() {
                sources[param.0 as usize] = Some(Source::Param(index, param_index));
            }
            for (inst_index, inst) in block.insts.iter().enumerate() {
                if let Some(result) = inst.result {
                    sources[result.0 as usize] = Some(Source::Inst(index, inst_index));
                }
            }
            for target in targets(&block.end) {
                passers[target.block.0 as usize].push(index);
            }
        }
        Search {
            sources,
            passers,
            needed: vec![false; function.value_count as usize],
            work: Vec::new(),
        }
    }

    fn need(&mut self, value: Value) {
        if !std::mem::replace(&mut self.needed[value.0 as usize], true) {
            self.work.push(value);
        }
    }

    fn run(&mut self, function: &Function) {
        while let Some(value) = self.work.pop() {
            match self.sources[value.0 as usize] {
                Some(Source::Inst(block, inst)) => {
                    function.blocks[block].insts[inst]
                        .op
                        .for_each_value(|value| self.need(value));
                }
                Some(Source::Param(block, index)) => {
                    for passer in self.passers[block].clone() {
                        for target in targets(&function.blocks[passer].end) {
                            if target.block.0 as usize == block {
                                self.need(target.args[index]);
                            }
                        }
                    }
                }
                None => {}
            }
        }
    }
}
