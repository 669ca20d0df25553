//! Makes the IR smaller and faster. [`optimize`] shows the order of the passes.
//!
//! The kernel's verifier must still find its proofs afterwards. What all passes keep:
//! - a bounds check narrows the very value that is used after it: arithmetic on a value that is compared anywhere is
//!   shared only within a block, and additions are not joined over a compared value in between;
//! - a pointer that may be null is compared with 0 as it is, and nothing is computed from it above that check;
//! - loads move down (they are dropped for an earlier equal one), never up.

mod branches;
mod cse;
mod dead;
mod fold;
mod params;
mod stores;
mod unused;

use fathom_bpf::helper::Helper;

use crate::ir::verify::verify_function;
use crate::ir::{Function, Op, Operand, Program, Terminator, Value};

/// Rounds after which the rest of the gain is not worth the time.
const MAX_ROUNDS: usize = 6;

type Pass = (&'static str, fn(&mut Function) -> bool);

/// Each says whether it changed something.
const PASSES: [Pass; 6] = [
    ("params", params::remove_trivial),
    ("fold", fold::fold),
    ("branches", branches::simplify),
    ("cse", cse::share),
    ("stores", stores::remove_dead),
    ("dead", dead::remove),
];

/// Optimizes all functions.
pub fn optimize(program: &mut Program) {
    let functions = program.functions.len();
    for function in &mut program.functions {
        optimize_function(function, functions);
    }
    unused::remove(program);
}

fn optimize_function(function: &mut Function, functions: usize) {
    for _ in 0..MAX_ROUNDS {
        let mut changed = false;
        for (name, pass) in PASSES {
            changed |= pass(function);
            check(function, functions, name);
        }
        if !changed {
            break;
        }
    }
    branches::renumber(function);
    check(function, functions, "renumber");
}

fn check(function: &Function, functions: usize, pass: &str) {
    if cfg!(debug_assertions) {
        let problems = verify_function(function, functions);
        if !problems.is_empty() {
            unreachable!("optimize: after {pass}: {problems:#?}\n{function}");
        }
    }
}

/// Values that are to be replaced by others.
struct Replacements {
    by: Vec<Option<Value>>,
    any: bool,
}

impl Replacements {
    fn new(function: &Function) -> Replacements {
        Replacements {
            by: vec![None; function.value_count as usize],
            any: false,
        }
    }

    fn replace(&mut self, old: Value, new: Value) {
        self.by[old.0 as usize] = Some(new);
        self.any = true;
    }

    /// What stands for the value now.
    fn resolve(&self, value: Value) -> Value {
        let mut value = value;
        while let Some(Some(next)) = self.by.get(value.0 as usize) {
            value = *next;
        }
        value
    }

    fn apply(&self, function: &mut Function) {
        if !self.any {
            return;
        }
        for block in &mut function.blocks {
            for inst in &mut block.insts {
                inst.op
                    .for_each_value_mut(|value| *value = self.resolve(*value));
            }
            block
                .end
                .for_each_value_mut(|value| *value = self.resolve(*value));
        }
    }
}

/// For each value whether it is compared anywhere: the verifier may learn its bounds there.
fn compared_values(function: &Function) -> Vec<bool> {
    let mut compared = vec![false; function.value_count as usize];
    let mut note = |lhs: Value, rhs: Operand| {
        compared[lhs.0 as usize] = true;
        if let Operand::Value(rhs) = rhs {
            compared[rhs.0 as usize] = true;
        }
    };
    for block in &function.blocks {
        for inst in &block.insts {
            if let Op::Compare { lhs, rhs, .. } = inst.op {
                note(lhs, rhs);
            }
        }
        if let Terminator::Branch { lhs, rhs, .. } = block.end {
            note(lhs, rhs);
        }
    }
    compared
}

fn count_uses(function: &Function) -> Vec<u32> {
    let mut uses = vec![0; function.value_count as usize];
    function.for_each_use(|value| uses[value.0 as usize] += 1);
    uses
}

/// Helpers that answer the same throughout one run of a program and have no other effect.
fn is_fixed_during_run(helper: Helper) -> bool {
    matches!(
        helper,
        Helper::GET_CURRENT_PID_TGID
            | Helper::GET_CURRENT_UID_GID
            | Helper::GET_CURRENT_TASK
            | Helper::GET_CURRENT_TASK_BTF
            | Helper::GET_SMP_PROCESSOR_ID
            | Helper::GET_NUMA_NODE_ID
            | Helper::GET_CURRENT_CGROUP_ID
            | Helper::GET_ATTACH_COOKIE
            | Helper::GET_FUNC_IP
    )
}

/// Clocks: one reading serves until something takes time, which is a call of another helper, or a way through blocks that may have one.
fn is_clock(helper: Helper) -> bool {
    matches!(
        helper,
        Helper::KTIME_GET_NS | Helper::KTIME_GET_BOOT_NS | Helper::JIFFIES64
    )
}
