//! Checks what every pass may rely on. A problem found here is a mistake of ours, never of the script.

use super::builder::{parameter_count, targets};
use super::cfg::Cfg;
use super::*;

/// Problems of a whole program; empty when it is well formed.
pub fn verify(program: &Program) -> Vec<String> {
    let mut problems = Vec::new();
    for function in &program.functions {
        problems.extend(verify_function(function, program.functions.len()));
    }
    problems
}

/// Problems of one function of a program with so many functions.
pub fn verify_function(function: &Function, functions: usize) -> Vec<String> {
    if function.blocks.is_empty() {
        return vec![format!("{}: no entry block", function.name)];
    }
    let mut verifier = Verifier {
        functions,
        function,
        definitions: vec![None; function.value_count as usize],
        problems: Vec::new(),
        at: BlockId(0),
    };
    verifier.check_shape();
    verifier.collect_definitions();
    if verifier.problems.is_empty() {
        verifier.check_uses();
    }
    verifier.problems
}

/// Where a value is defined: block, and index of the instruction (`None`: parameter).
#[derive(Clone, Copy)]
struct Definition {
    block: BlockId,
    inst: Option<usize>,
}

struct Verifier<'a> {
    functions: usize,
    function: &'a Function,
    definitions: Vec<Option<Definition>>,
    problems: Vec<String>,
    at: BlockId,
}

impl Verifier<'_> {
    fn problem(&mut self, text: impl std::fmt::Display) {
        self.problems
            .push(format!("{} b{}: {text}", self.function.name, self.at.0));
    }

    /// Entry, targets, slots.
    fn check_shape(&mut self) {
        let wanted = parameter_count(self.function.signature);
        let given = self.function.blocks[0].params.len();
        if wanted != given {
            self.problem(format_args!(
                "the function takes {wanted} parameters, its entry has {given}"
            ));
        }
        for (index, slot) in self.function.slots.iter().enumerate() {
            if slot.size == 0 || !matches!(slot.align, 1 | 2 | 4 | 8) {
                self.problem(format_args!(
                    "slot{index}: size {} align {}",
                    slot.size, slot.align
                ));
            }
        }
        for (index, block) in self.function.blocks.iter().enumerate() {
            self.at = BlockId(index as u32);
            for target in targets(&block.end) {
                self.check_target(target);
            }
        }
    }

    fn check_target(&mut self, target: &Target) {
        let Some(block) = self.function.blocks.get(target.block.0 as usize) else {
            return self.problem(format_args!(
                "jump to b{}, which does not exist",
                target.block.0
            ));
        };
        if target.block.0 == 0 {
            self.problem("jump to the entry");
        }
        let (wanted, given) = (block.params.len(), target.args.len());
        if wanted != given {
            self.problem(format_args!(
                "b{} takes {wanted} values, {given} are passed",
                target.block.0
            ));
        }
    }

    fn collect_definitions(&mut self) {
        let function = self.function;
        for (index, block) in function.blocks.iter().enumerate() {
            self.at = BlockId(index as u32);
            for param in &block.params {
                self.define(*param, None);
            }
            for (inst_index, inst) in block.insts.iter().enumerate() {
                if let Some(result) = inst.result {
                    self.define(result, Some(inst_index));
                }
            }
        }
    }

    fn define(&mut self, value: Value, inst: Option<usize>) {
        let block = self.at;
        match self.definitions.get_mut(value.0 as usize) {
            None => self.problem(format_args!("v{} is beyond value_count", value.0)),
            Some(Some(_)) => self.problem(format_args!("v{} is defined twice", value.0)),
            Some(place) => *place = Some(Definition { block, inst }),
        }
    }

    fn check_uses(&mut self) {
        let cfg = Cfg::of(self.function);
        let function = self.function;
        for block in &cfg.order {
            self.at = *block;
            let data = function.block(*block);
            for (index, inst) in data.insts.iter().enumerate() {
                inst.op
                    .for_each_value(|value| self.check_use(&cfg, value, index));
                self.check_op(inst);
            }
            data.end
                .for_each_value(|value| self.check_use(&cfg, value, data.insts.len()));
            if data.end == Terminator::Unreachable {
                self.problem("reachable, but has no end");
            }
        }
    }

    fn check_use(&mut self, cfg: &Cfg, value: Value, at: usize) {
        let definition = self.definitions.get(value.0 as usize).copied().flatten();
        let Some(definition) = definition else {
            return self.problem(format_args!("v{} is used but never defined", value.0));
        };
        let is_before = if definition.block == self.at {
            definition.inst.is_none_or(|inst| inst < at)
        } else {
            cfg.dominates(definition.block, self.at)
        };
        if !is_before {
            self.problem(format_args!("v{} is used before its definition", value.0));
        }
    }

    fn check_op(&mut self, inst: &Inst) {
        if inst.op.must_have_result() && inst.result.is_none() {
            self.problem(format_args!("no result: {:?}", inst.op));
        }
        if inst.result.is_some() && !inst.op.may_have_result() {
            self.problem(format_args!("a result that cannot be: {:?}", inst.op));
        }
        match &inst.op {
            Op::Call { args, helper } if args.len() > 5 => {
                self.problem(format_args!("{helper} is passed {} arguments", args.len()));
            }
            Op::CallKernel { args, btf_id } if args.len() > 5 => {
                self.problem(format_args!(
                    "kernel function {btf_id} is passed {} arguments",
                    args.len()
                ));
            }
            Op::Atomic { width, .. } if width.bytes() < 4 => {
                self.problem("atomic on less than 4 bytes")
            }
            Op::SwapBytes {
                width: Width::B1, ..
            } => self.problem("swap of one byte"),
            Op::SlotAddress { slot, offset } => self.check_slot(*slot, *offset, 0),
            Op::FunctionAddress(id) if id.0 == 0 || id.0 as usize >= self.functions => {
                self.problem(format_args!(
                    "address of function {}, which is no callback",
                    id.0
                ));
            }
            Op::Load {
                base,
                offset,
                width,
                ..
            }
            | Op::Store {
                base,
                offset,
                width,
                ..
            }
            | Op::Atomic {
                base,
                offset,
                width,
                ..
            } => self.check_access(*base, *offset, width.bytes()),
            Op::Zero {
                base, offset, len, ..
            } => self.check_access(*base, *offset, *len),
            Op::Copy {
                to,
                to_offset,
                from,
                from_offset,
                len,
                align,
                ..
            } => {
                self.check_access(*to, *to_offset, *len);
                self.check_access(*from, *from_offset, *len);
                if !matches!(align, 1 | 2 | 4 | 8) {
                    self.problem(format_args!("copy with alignment {align}"));
                }
            }
            _ => {}
        }
    }

    /// An access through the address of a slot stays within that slot.
    fn check_access(&mut self, base: Value, offset: i32, len: u32) {
        let Some(Definition {
            block,
            inst: Some(index),
        }) = self.definitions[base.0 as usize]
        else {
            return;
        };
        if let Op::SlotAddress {
            slot,
            offset: start,
        } = self.function.block(block).insts[index].op
        {
            self.check_slot(slot, start.saturating_add(offset), len);
        }
    }

    fn check_slot(&mut self, slot: Slot, offset: i32, len: u32) {
        let Some(data) = self.function.slots.get(slot.0 as usize) else {
            return self.problem(format_args!("slot{} does not exist", slot.0));
        };
        if offset < 0 || offset as u64 + u64::from(len) > u64::from(data.size) {
            self.problem(format_args!(
                "{len} bytes at {offset} of slot{}, which has {}",
                slot.0, data.size
            ));
        }
    }
}
