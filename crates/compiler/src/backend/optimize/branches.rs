//! Simplifies the flow: jumps over empty blocks, decisions made where they are known, blocks joined, dead ones removed.

use std::collections::HashMap;

use super::count_uses;
use crate::ir::cfg::Cfg;
use crate::ir::{BlockId, Function, Target, Terminator, Value, targets_mut};

/// One round; says whether anything changed.
pub(super) fn simplify(function: &mut Function) -> bool {
    let mut changed = clear_unreachable(function);
    changed |= pass_empty_blocks(function);
    changed |= clear_unreachable(function);
    changed |= join_blocks(function);
    changed
}

/// Empties blocks that nothing leads to.
fn clear_unreachable(function: &mut Function) -> bool {
    let cfg = Cfg::of(function);
    let mut changed = false;
    for (index, block) in function.blocks.iter_mut().enumerate() {
        if cfg.is_reachable(BlockId(index as u32)) {
            continue;
        }
        changed |= block.end != Terminator::Unreachable;
        block.params.clear();
        block.insts.clear();
        block.end = Terminator::Unreachable;
    }
    changed
}

/// A block without instructions whose parameters serve only its own end: whoever jumps there may as well end like it.
fn pass_empty_blocks(function: &mut Function) -> bool {
    let uses = count_uses(function);
    let is_empty: Vec<bool> = (0..function.blocks.len())
        .map(|index| is_passable(function, index, &uses))
        .collect();
    let mut changed = false;
    for index in 0..function.blocks.len() {
        // A chain of empty blocks is walked in one go, a circle of them not forever.
        for _ in 0..8 {
            let Some(end) = passed(function, index, &is_empty) else {
                break;
            };
            function.blocks[index].end = end;
            changed = true;
        }
    }
    changed
}

fn is_passable(function: &Function, index: usize, uses: &[u32]) -> bool {
    let block = &function.blocks[index];
    if index == 0 || !block.insts.is_empty() || block.end == Terminator::Unreachable {
        return false;
    }
    let mut own = HashMap::new();
    block
        .end
        .for_each_value(|value| *own.entry(value).or_insert(0) += 1);
    block
        .params
        .iter()
        .all(|param| uses[param.0 as usize] == own.get(param).copied().unwrap_or(0))
}

/// The end of the block with one step over an empty block, if there is one to make.
fn passed(function: &Function, index: usize, is_empty: &[bool]) -> Option<Terminator> {
    let can_pass =
        |target: &Target| is_empty[target.block.0 as usize] && target.block.0 as usize != index;
    let end = &function.blocks[index].end;
    match end {
        Terminator::Jump(target) if can_pass(target) => {
            let empty = function.block(target.block);
            Some(substituted(&empty.end, &empty.params, &target.args))
        }
        Terminator::Branch { .. } => {
            let mut new = end.clone();
            let mut any = false;
            for target in targets_mut(&mut new) {
                let empty = function.block(target.block);
                if let (true, Terminator::Jump(next)) = (can_pass(target), &empty.end) {
                    let jump =
                        substituted(&Terminator::Jump(next.clone()), &empty.params, &target.args);
                    if let Terminator::Jump(next) = jump {
                        *target = next;
                        any = true;
                    }
                }
            }
            any.then_some(new)
        }
        _ => None,
    }
}

/// The terminator with arguments in place of parameters.
fn substituted(end: &Terminator, params: &[Value], args: &[Value]) -> Terminator {
    let mut end = end.clone();
    end.for_each_value_mut(|value| {
        if let Some(index) = params.iter().position(|param| param == value) {
            *value = args[index];
        }
    });
    end
}

/// Appends a block to its only predecessor.
fn join_blocks(function: &mut Function) -> bool {
    let cfg = Cfg::of(function);
    let mut incoming: Vec<u32> = cfg
        .predecessors
        .iter()
        .map(|blocks| blocks.len() as u32)
        .collect();
    let mut replaced: HashMap<Value, Value> = HashMap::new();
    let mut changed = false;
    for block in &cfg.order {
        while let Terminator::Jump(target) = &function.block(*block).end {
            let next = target.block;
            if incoming[next.0 as usize] != 1 || next == *block || next.0 == 0 {
                break;
            }
            let args = target.args.clone();
            let taken = function.block_mut(next);
            let params = std::mem::take(&mut taken.params);
            let insts = std::mem::take(&mut taken.insts);
            let end = std::mem::replace(&mut taken.end, Terminator::Unreachable);
            let end_span = taken.end_span;
            replaced.extend(params.into_iter().zip(args));
            incoming[next.0 as usize] = 0;
            let block = function.block_mut(*block);
            block.insts.extend(insts);
            block.end = end;
            block.end_span = end_span;
            changed = true;
        }
    }
    replace_all(function, &replaced);
    changed
}

fn replace_all(function: &mut Function, replaced: &HashMap<Value, Value>) {
    if replaced.is_empty() {
        return;
    }
    let replace = |value: &mut Value| {
        while let Some(new) = replaced.get(value) {
            *value = *new;
        }
    };
    for block in &mut function.blocks {
        for inst in &mut block.insts {
            inst.op.for_each_value_mut(replace);
        }
        block.end.for_each_value_mut(replace);
    }
}

/// Leaves out unreachable blocks and numbers the others in the order of execution.
pub(super) fn renumber(function: &mut Function) {
    let cfg = Cfg::of(function);
    let mut old = std::mem::take(&mut function.blocks);
    for block in &cfg.order {
        let empty = crate::ir::Block {
            params: Vec::new(),
            insts: Vec::new(),
            end: Terminator::Unreachable,
            end_span: old[block.0 as usize].end_span,
        };
        let mut block = std::mem::replace(&mut old[block.0 as usize], empty);
        for target in targets_mut(&mut block.end) {
            let Some(position) = cfg.position[target.block.0 as usize] else {
                unreachable!("optimize: a reachable block leads to an unreachable one")
            };
            target.block = BlockId(position);
        }
        function.blocks.push(block);
    }
}
