//! Shares equal computations, loads and helper calls: the first one serves those that it dominates.

use std::collections::HashMap;

use fathom_bpf::helper::Helper;

use super::{Replacements, compared_values, is_clock, is_fixed_during_run};
use crate::ir::cfg::Cfg;
use crate::ir::{BlockId, Function, Inst, Memory, Op, Operand, Value, Width};

/// Removes instructions whose value is already there.
pub(super) fn share(function: &mut Function) -> bool {
    let cfg = Cfg::of(function);
    let children = cfg.dominator_children();
    let mut sharer = Sharer {
        compared: compared_values(function),
        replacements: Replacements::new(function),
        available: HashMap::new(),
        undo: Vec::new(),
        epochs: vec![Epochs::default(); function.blocks.len()],
        next_epoch: 1,
        changes_packets: changes_packets(function),
    };
    let mut stack = vec![Visit::Enter(BlockId(0))];
    while let Some(visit) = stack.pop() {
        match visit {
            Visit::Leave(mark) => sharer.forget(mark),
            Visit::Enter(block) => {
                stack.push(Visit::Leave(sharer.undo.len()));
                sharer.block(function, &cfg, block);
                stack.extend(
                    children[block.0 as usize]
                        .iter()
                        .map(|child| Visit::Enter(*child)),
                );
            }
        }
    }
    sharer.replacements.apply(function);
    sharer.replacements.any
}

enum Visit {
    Enter(BlockId),
    Leave(usize),
}

/// Changes when memory may have changed: a load is shared only within one epoch of its memory.
#[derive(Clone, Copy, Default)]
struct Epochs {
    stack: u32,
    map: u32,
    event: u32,
    kernel: u32,
    packet: u32,
    clock: u32,
}

/// An operation, and the epoch (or, for what must stay in its block, the block) in which it has its value.
type Key = (Op, u32);

struct Sharer {
    compared: Vec<bool>,
    replacements: Replacements,
    available: HashMap<Key, Value>,
    /// What to restore when the walk leaves a block.
    undo: Vec<(Key, Option<Value>)>,
    /// At the end of each block visited.
    epochs: Vec<Epochs>,
    next_epoch: u32,
    changes_packets: bool,
}

impl Sharer {
    fn block(&mut self, function: &mut Function, cfg: &Cfg, id: BlockId) {
        let mut epochs = self.at_start(cfg, id);
        let mut insts = std::mem::take(&mut function.block_mut(id).insts);
        insts.retain_mut(|inst| {
            let replacements = &self.replacements;
            inst.op
                .for_each_value_mut(|value| *value = replacements.resolve(*value));
            self.keep(inst, id, &mut epochs)
        });
        function.block_mut(id).insts = insts;
        self.epochs[id.0 as usize] = epochs;
    }

    fn at_start(&mut self, cfg: &Cfg, id: BlockId) -> Epochs {
        let predecessors = &cfg.predecessors[id.0 as usize];
        let before = cfg
            .immediate_dominator(id)
            .map(|block| self.epochs[block.0 as usize])
            .unwrap_or_default();
        if predecessors.len() == 1 {
            return before;
        }
        self.after_unknown_writes(before)
    }

    fn new_epoch(&mut self) -> u32 {
        self.next_epoch += 1;
        self.next_epoch
    }

    fn after_unknown_writes(&mut self, before: Epochs) -> Epochs {
        let new = self.new_epoch();
        let packet = if self.changes_packets {
            new
        } else {
            before.packet
        };
        Epochs {
            stack: new,
            map: new,
            event: new,
            kernel: new,
            packet,
            clock: new,
        }
    }

    /// Whether the instruction stays; if not, its value is replaced by an earlier one.
    fn keep(&mut self, inst: &Inst, block: BlockId, epochs: &mut Epochs) -> bool {
        if let Some(result) = inst.result
            && let Some(key) = self.key(&inst.op, block, epochs)
        {
            if let Some(earlier) = self.available.get(&key) {
                self.replacements.replace(result, *earlier);
                return false;
            }
            self.remember(key, result);
        }
        self.note_writes(&inst.op, epochs);
        true
    }

    fn remember(&mut self, key: Key, value: Value) {
        let before = self.available.insert(key.clone(), value);
        self.undo.push((key, before));
    }

    fn forget(&mut self, mark: usize) {
        for (key, before) in self.undo.drain(mark..).rev() {
            match before {
                Some(value) => self.available.insert(key, value),
                None => self.available.remove(&key),
            };
        }
    }

    fn key(&self, op: &Op, block: BlockId, epochs: &Epochs) -> Option<Key> {
        let epoch = match op {
            Op::Load { memory, .. } => epoch(*memory, epochs),
            Op::Call { helper, .. } if is_fixed_during_run(*helper) => 0,
            Op::Call { helper, .. } if is_clock(*helper) => epochs.clock,
            // Bounds that the verifier learns about an operand later do not reach a result computed before.
            other if other.is_arithmetic() => {
                let mut is_compared = false;
                other.for_each_value(|value| is_compared |= self.compared[value.0 as usize]);
                if is_compared { u32::MAX - block.0 } else { 0 }
            }
            _ => return None,
        };
        Some((op.clone(), epoch))
    }

    fn note_writes(&mut self, op: &Op, epochs: &mut Epochs) {
        match op {
            Op::Store {
                memory,
                width,
                base,
                offset,
                value,
            } => {
                let new = self.new_epoch();
                set_epoch(*memory, epochs, new);
                // What was just stored is what a load finds, where nobody else writes.
                if let (Memory::Stack | Memory::Event, Width::B8, Operand::Value(value)) =
                    (memory, width, value)
                {
                    let load = Op::Load {
                        width: *width,
                        signed: false,
                        memory: *memory,
                        base: *base,
                        offset: *offset,
                    };
                    self.remember((load, new), *value);
                }
            }
            Op::Zero { memory, .. }
            | Op::Copy {
                to_memory: memory, ..
            } => {
                let new = self.new_epoch();
                set_epoch(*memory, epochs, new);
            }
            Op::Atomic { .. } => {
                let new = self.new_epoch();
                (epochs.stack, epochs.map, epochs.event) = (new, new, new);
            }
            Op::Call { helper, .. } if !is_fixed_during_run(*helper) && !is_clock(*helper) => {
                *epochs = self.after_unknown_writes(*epochs);
            }
            Op::CallKernel { .. } => *epochs = self.after_unknown_writes(*epochs),
            _ => {}
        }
    }
}

fn epoch(memory: Memory, epochs: &Epochs) -> u32 {
    match memory {
        Memory::Context | Memory::Packet => epochs.packet,
        Memory::Stack => epochs.stack,
        Memory::Map => epochs.map,
        Memory::Event => epochs.event,
        Memory::Kernel => epochs.kernel,
    }
}

fn set_epoch(memory: Memory, epochs: &mut Epochs, new: u32) {
    match memory {
        Memory::Context | Memory::Packet => epochs.packet = new,
        Memory::Stack => epochs.stack = new,
        Memory::Map => epochs.map = new,
        Memory::Event => epochs.event = new,
        Memory::Kernel => epochs.kernel = new,
    }
}

/// Whether the function calls a helper that may move packet bytes (`bpf_helper_changes_pkt_data` in the kernel): then
/// context and packet are read again after calls.
fn changes_packets(function: &Function) -> bool {
    function
        .blocks
        .iter()
        .flat_map(|block| &block.insts)
        .any(|inst| {
            matches!(
                inst.op,
                Op::Call {
                    helper: Helper::SKB_STORE_BYTES
                        | Helper::SKB_VLAN_PUSH
                        | Helper::SKB_VLAN_POP
                        | Helper::SKB_CHANGE_PROTO
                        | Helper::SKB_CHANGE_TAIL
                        | Helper::SKB_PULL_DATA
                        | Helper::SKB_CHANGE_HEAD
                        | Helper::SKB_ADJUST_ROOM
                        | Helper::L3_CSUM_REPLACE
                        | Helper::L4_CSUM_REPLACE
                        | Helper::CLONE_REDIRECT
                        | Helper::XDP_ADJUST_HEAD
                        | Helper::XDP_ADJUST_META
                        | Helper::XDP_ADJUST_TAIL
                        | Helper::XDP_STORE_BYTES
                        | Helper::MSG_PULL_DATA
                        | Helper::MSG_PUSH_DATA
                        | Helper::MSG_POP_DATA,
                    ..
                }
            )
        })
}
