//! The shape of a function: order of blocks, predecessors, dominators.

use super::builder::targets;
use super::*;

/// Facts about the flow between blocks. Valid until an edge changes.
#[derive(Debug)]
pub struct Cfg {
    /// Reachable blocks in reverse post-order; the entry first.
    pub order: Vec<BlockId>,
    /// For each block its place in `order`; `None` when it cannot be reached.
    pub position: Vec<Option<u32>>,
    /// For each block the blocks that jump to it, once for each edge; reachable ones only.
    pub predecessors: Vec<Vec<BlockId>>,
    /// For each reachable block but the entry: its immediate dominator.
    immediate: Vec<Option<BlockId>>,
}

impl Cfg {
    /// Computes all.
    pub fn of(function: &Function) -> Cfg {
        let order = reverse_post_order(function);
        let mut position = vec![None; function.blocks.len()];
        for (index, block) in order.iter().enumerate() {
            position[block.0 as usize] = Some(index as u32);
        }
        let mut predecessors = vec![Vec::new(); function.blocks.len()];
        for block in &order {
            for target in targets(&function.block(*block).end) {
                predecessors[target.block.0 as usize].push(*block);
            }
        }
        let immediate = immediate_dominators(&order, &position, &predecessors);
        Cfg {
            order,
            position,
            predecessors,
            immediate,
        }
    }

    /// Whether the block can be reached.
    pub fn is_reachable(&self, block: BlockId) -> bool {
        self.position[block.0 as usize].is_some()
    }

    /// The closest block that every path to `block` passes.
    pub fn immediate_dominator(&self, block: BlockId) -> Option<BlockId> {
        self.immediate[block.0 as usize]
    }

    /// Whether every path to `below` passes `above` (each block dominates itself).
    pub fn dominates(&self, above: BlockId, below: BlockId) -> bool {
        let Some(limit) = self.position[above.0 as usize] else {
            return false;
        };
        let mut at = below;
        while self.position[at.0 as usize].is_some_and(|position| position > limit) {
            let Some(next) = self.immediate_dominator(at) else {
                return false;
            };
            at = next;
        }
        at == above
    }

    /// For each block those that it immediately dominates.
    pub fn dominator_children(&self) -> Vec<Vec<BlockId>> {
        let mut children = vec![Vec::new(); self.immediate.len()];
        for block in &self.order {
            if let Some(parent) = self.immediate_dominator(*block) {
                children[parent.0 as usize].push(*block);
            }
        }
        children
    }
}

/// The way that is not expected to be taken comes later: a failed null check, or else the `otherwise` side.
fn successors_unlikely_first(end: &Terminator) -> [Option<BlockId>; 2] {
    match end {
        Terminator::Jump(target) => [Some(target.block), None],
        Terminator::Branch {
            op: Compare::Eq,
            rhs: Operand::Imm(0),
            then,
            otherwise,
            ..
        } => [Some(then.block), Some(otherwise.block)],
        Terminator::Branch {
            then, otherwise, ..
        } => [Some(otherwise.block), Some(then.block)],
        Terminator::Return(_) | Terminator::Unreachable => [None, None],
    }
}

fn reverse_post_order(function: &Function) -> Vec<BlockId> {
    let mut seen = vec![false; function.blocks.len()];
    let mut order = Vec::with_capacity(function.blocks.len());
    let mut stack = Vec::new();
    if !function.blocks.is_empty() {
        seen[0] = true;
        stack.push((BlockId(0), 0));
    }
    while let Some((block, next)) = stack.last_mut() {
        let successors = successors_unlikely_first(&function.block(*block).end);
        let Some(Some(successor)) = successors.get(*next) else {
            order.push(*block);
            stack.pop();
            continue;
        };
        *next += 1;
        if !std::mem::replace(&mut seen[successor.0 as usize], true) {
            stack.push((*successor, 0));
        }
    }
    order.reverse();
    order
}

/// Cooper, Harvey, Kennedy: "A Simple, Fast Dominance Algorithm".
fn immediate_dominators(
    order: &[BlockId],
    position: &[Option<u32>],
    predecessors: &[Vec<BlockId>],
) -> Vec<Option<BlockId>> {
    // In terms of positions in `order`; the entry is its own dominator while computing.
    let mut dominator: Vec<Option<u32>> = vec![None; order.len()];
    if let Some(entry) = dominator.first_mut() {
        *entry = Some(0);
    }
    let mut changed = true;
    while changed {
        changed = false;
        for (index, block) in order.iter().enumerate().skip(1) {
            let mut new = None;
            for predecessor in &predecessors[block.0 as usize] {
                let Some(candidate) = position[predecessor.0 as usize] else {
                    continue;
                };
                if dominator[candidate as usize].is_some() {
                    new = Some(
                        new.map_or(candidate, |other| intersect(&dominator, other, candidate)),
                    );
                }
            }
            if dominator[index] != new {
                dominator[index] = new;
                changed = true;
            }
        }
    }
    let mut immediate = vec![None; position.len()];
    for (index, block) in order.iter().enumerate().skip(1) {
        immediate[block.0 as usize] = dominator[index].map(|position| order[position as usize]);
    }
    immediate
}

fn intersect(dominator: &[Option<u32>], mut a: u32, mut b: u32) -> u32 {
    while a != b {
        let further = if a > b { &mut a } else { &mut b };
        *further = dominator[*further as usize].unwrap_or(0);
    }
    a
}
