//! Removes block parameters that only ever stand for one value.

use super::Replacements;
use crate::ir::{BlockId, Function, Inst, Op, Value, targets, targets_mut};

/// What a parameter is given by all jumps to its block.
#[derive(Clone, Copy, PartialEq)]
enum Given {
    Nothing,
    Value(Value),
    /// Different values, all this constant.
    Constant(i64),
    Many,
}

/// Replaces parameters that get the same value, or the same constant, from everywhere.
pub(super) fn remove_trivial(function: &mut Function) -> bool {
    let mut changed = false;
    loop {
        let given = collect(function);
        let mut replacements = Replacements::new(function);
        for (block, params) in given.iter().enumerate().skip(1) {
            remove_in(function, block, params, &mut replacements);
        }
        if !replacements.any {
            return changed;
        }
        replacements.apply(function);
        changed = true;
    }
}

fn collect(function: &Function) -> Vec<Vec<Given>> {
    let constants = constants(function);
    let mut given: Vec<Vec<Given>> = function
        .blocks
        .iter()
        .map(|block| vec![Given::Nothing; block.params.len()])
        .collect();
    for block in &function.blocks {
        for target in targets(&block.end) {
            let params = &function.block(target.block).params;
            for (index, arg) in target.args.iter().enumerate() {
                // A loop that passes the parameter on says nothing about it.
                if params[index] != *arg {
                    let place = &mut given[target.block.0 as usize][index];
                    *place = join(*place, *arg, &constants);
                }
            }
        }
    }
    given
}

fn join(before: Given, arg: Value, constants: &[Option<i64>]) -> Given {
    let constant = |value: Value| constants[value.0 as usize];
    match before {
        Given::Nothing => Given::Value(arg),
        Given::Value(value) if value == arg => before,
        Given::Value(value) => match (constant(value), constant(arg)) {
            (Some(a), Some(b)) if a == b => Given::Constant(a),
            _ => Given::Many,
        },
        Given::Constant(known) if constant(arg) == Some(known) => before,
        Given::Constant(_) | Given::Many => Given::Many,
    }
}

fn constants(function: &Function) -> Vec<Option<i64>> {
    let mut constants = vec![None; function.value_count as usize];
    for inst in function.blocks.iter().flat_map(|block| &block.insts) {
        if let (Some(result), Op::Const(value)) = (inst.result, &inst.op) {
            constants[result.0 as usize] = Some(*value);
        }
    }
    constants
}

fn remove_in(
    function: &mut Function,
    block: usize,
    given: &[Given],
    replacements: &mut Replacements,
) {
    for index in (0..given.len()).rev() {
        let param = function.blocks[block].params[index];
        match given[index] {
            // Replaced values may themselves have been replaced in this round: never make a circle.
            Given::Value(value) if replacements.resolve(value) != param => {
                replacements.replace(param, value)
            }
            Given::Constant(value) => {
                let data = &mut function.blocks[block];
                let span = data.insts.first().map_or(data.end_span, |inst| inst.span);
                data.insts.insert(
                    0,
                    Inst {
                        result: Some(param),
                        op: Op::Const(value),
                        span,
                    },
                );
                replacements.any = true;
            }
            _ => continue,
        }
        remove_param(function, BlockId(block as u32), index);
    }
}

/// Drops a parameter and what is passed for it. Its value must have another definition or no uses.
pub(super) fn remove_param(function: &mut Function, block: BlockId, index: usize) {
    function.block_mut(block).params.remove(index);
    for other in &mut function.blocks {
        for target in targets_mut(&mut other.end) {
            if target.block == block {
                target.args.remove(index);
            }
        }
    }
}
