//! Drops callbacks that nothing refers to any more: the kernel takes a function for one only if its address is loaded somewhere.

use crate::ir::{Function, FunctionId, Op, Program};

/// Removes them and renumbers the others.
pub(super) fn remove(program: &mut Program) {
    let mut is_used = vec![false; program.functions.len()];
    let mut pending = vec![0];
    while let Some(index) = pending.pop() {
        if !std::mem::replace(&mut is_used[index], true) {
            pending.extend(callbacks_of(&program.functions[index]));
        }
    }
    if is_used.iter().all(|used| *used) {
        return;
    }
    let mut numbers = Vec::new();
    let mut next = 0;
    for used in &is_used {
        numbers.push(FunctionId(next));
        next += u32::from(*used);
    }
    let mut used = is_used.iter();
    program.functions.retain(|_| used.next() == Some(&true));
    for function in &mut program.functions {
        for inst in function
            .blocks
            .iter_mut()
            .flat_map(|block| &mut block.insts)
        {
            if let Op::FunctionAddress(id) = &mut inst.op {
                *id = numbers[id.0 as usize];
            }
        }
    }
}

fn callbacks_of(function: &Function) -> impl Iterator<Item = usize> {
    let insts = function.blocks.iter().flat_map(|block| &block.insts);
    insts.filter_map(|inst| match inst.op {
        Op::FunctionAddress(id) => Some(id.0 as usize),
        _ => None,
    })
}
