//! Builds a [`Function`] block by block. Variables that change are turned into SSA on the way
//! (Braun et al., "Simple and Efficient Construction of Static Single Assignment Form", 2013).

use std::collections::HashMap;

use fathom_bpf::helper::Helper;
use fathom_bpf::map::MapId;
use fathom_bpf::object::{Signature, SourceSpan};

use super::*;

/// A scalar that may be assigned many times while building.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Variable(pub u32);

/// A function under construction. All emitting goes to the current block.
pub struct Builder {
    function: Function,
    current: BlockId,
    span: SourceSpan,
    variables: u32,
    definitions: HashMap<(BlockId, Variable), Value>,
    predecessors: Vec<Vec<BlockId>>,
    sealed: Vec<bool>,
    incomplete: Vec<Vec<(Variable, Value)>>,
}

impl Builder {
    /// A function with an empty entry block whose parameters are those of `signature`.
    pub fn new(name: impl Into<String>, signature: Signature) -> Builder {
        let mut builder = Builder {
            function: Function {
                name: name.into(),
                signature,
                blocks: Vec::new(),
                slots: Vec::new(),
                value_count: 0,
            },
            current: BlockId(0),
            span: SourceSpan::default(),
            variables: 0,
            definitions: HashMap::new(),
            predecessors: Vec::new(),
            sealed: Vec::new(),
            incomplete: Vec::new(),
        };
        let entry = builder.block();
        for _ in 0..parameter_count(signature) {
            let value = builder.new_value();
            builder.function.blocks[0].params.push(value);
        }
        builder.seal(entry);
        builder
    }

    /// The n-th parameter of the function.
    pub fn param(&self, index: usize) -> Value {
        self.function.blocks[0].params[index]
    }

    /// The finished function.
    pub fn finish(self) -> Function {
        debug_assert!(
            self.sealed.iter().all(|sealed| *sealed),
            "ir: a block was never sealed"
        );
        self.function
    }

    /// Place in the script for what is emitted from now on.
    pub fn set_span(&mut self, span: SourceSpan) {
        self.span = span;
    }

    /// See [`Builder::set_span`].
    pub fn span(&self) -> SourceSpan {
        self.span
    }

    /// A new, unsealed, empty block.
    pub fn block(&mut self) -> BlockId {
        let id = BlockId(self.function.blocks.len() as u32);
        self.function.blocks.push(Block {
            params: Vec::new(),
            insts: Vec::new(),
            end: Terminator::Unreachable,
            end_span: self.span,
        });
        self.predecessors.push(Vec::new());
        self.sealed.push(false);
        self.incomplete.push(Vec::new());
        id
    }

    /// Emits into `block` from now on.
    pub fn switch_to(&mut self, block: BlockId) {
        self.current = block;
    }

    /// The block being filled.
    pub fn current(&self) -> BlockId {
        self.current
    }

    /// Whether the current block still wants an end and can be reached.
    pub fn is_open(&self) -> bool {
        let block = &self.function.blocks[self.current.0 as usize];
        block.end == Terminator::Unreachable
    }

    /// Says that all jumps to `block` have been emitted.
    pub fn seal(&mut self, block: BlockId) {
        if std::mem::replace(&mut self.sealed[block.0 as usize], true) {
            return;
        }
        for (variable, param) in std::mem::take(&mut self.incomplete[block.0 as usize]) {
            self.fill_param(block, variable, param);
        }
    }

    /// Switches to `block` and seals it.
    pub fn enter(&mut self, block: BlockId) {
        self.switch_to(block);
        self.seal(block);
    }

    /// A new stack region.
    pub fn slot(&mut self, size: u32, align: u32, purpose: impl Into<String>) -> Slot {
        self.function.slots.push(SlotData {
            size,
            align,
            purpose: purpose.into(),
            span: self.span,
        });
        Slot(self.function.slots.len() as u32 - 1)
    }

    /// Appends an instruction that gives a value.
    pub fn emit(&mut self, op: Op) -> Value {
        let result = self.new_value();
        self.push(Some(result), op);
        result
    }

    /// Appends an instruction for its effect.
    pub fn effect(&mut self, op: Op) {
        self.push(None, op);
    }

    /// A value that [`Builder::define`] gives its instruction later, in a block that dominates all its uses.
    pub fn reserve_value(&mut self) -> Value {
        self.new_value()
    }

    /// Appends the instruction of a reserved value.
    pub fn define(&mut self, value: Value, op: Op) {
        self.push(Some(value), op);
    }

    /// Calls a helper that gives nothing.
    pub fn call_effect(&mut self, helper: Helper, args: &[Value]) {
        self.effect(Op::Call {
            helper,
            args: args.to_vec(),
        });
    }

    /// A constant.
    pub fn constant(&mut self, value: i64) -> Value {
        self.emit(Op::Const(value))
    }

    /// 64-bit arithmetic.
    pub fn binary(&mut self, op: BinaryOp, lhs: Value, rhs: impl Into<Operand>) -> Value {
        self.emit(Op::Binary {
            op,
            is_32: false,
            lhs,
            rhs: rhs.into(),
        })
    }

    /// 1 or 0 (64-bit comparison).
    pub fn compare(&mut self, op: Compare, lhs: Value, rhs: impl Into<Operand>) -> Value {
        self.emit(Op::Compare {
            op,
            is_32: false,
            lhs,
            rhs: rhs.into(),
        })
    }

    /// Zero-extending load.
    pub fn load(&mut self, width: Width, memory: Memory, base: Value, offset: i32) -> Value {
        self.emit(Op::Load {
            width,
            signed: false,
            memory,
            base,
            offset,
        })
    }

    /// Store.
    pub fn store(
        &mut self,
        width: Width,
        memory: Memory,
        base: Value,
        offset: i32,
        value: impl Into<Operand>,
    ) {
        self.effect(Op::Store {
            width,
            memory,
            base,
            offset,
            value: value.into(),
        });
    }

    /// Address of a slot.
    pub fn slot_address(&mut self, slot: Slot) -> Value {
        self.emit(Op::SlotAddress { slot, offset: 0 })
    }

    /// Address of a map.
    pub fn map(&mut self, map: MapId) -> Value {
        self.emit(Op::Map(map))
    }

    /// Calls a helper.
    pub fn call(&mut self, helper: Helper, args: &[Value]) -> Value {
        self.emit(Op::Call {
            helper,
            args: args.to_vec(),
        })
    }

    /// Calls a function of the kernel.
    pub fn call_kernel(&mut self, btf_id: u32, args: &[Value]) -> Value {
        self.emit(Op::CallKernel {
            btf_id,
            args: args.to_vec(),
        })
    }

    /// Ends the block with a jump.
    pub fn jump(&mut self, block: BlockId) {
        self.end(Terminator::Jump(Target::to(block)));
    }

    /// Ends the block with two ways.
    pub fn branch(
        &mut self,
        op: Compare,
        lhs: Value,
        rhs: impl Into<Operand>,
        then: BlockId,
        otherwise: BlockId,
    ) {
        self.end(Terminator::Branch {
            op,
            is_32: false,
            lhs,
            rhs: rhs.into(),
            then: Target::to(then),
            otherwise: Target::to(otherwise),
        });
    }

    /// Leaves the function.
    pub fn ret(&mut self, value: impl Into<Operand>) {
        self.end(Terminator::Return(value.into()));
    }

    /// A new variable, not yet written.
    pub fn variable(&mut self) -> Variable {
        self.variables += 1;
        Variable(self.variables - 1)
    }

    /// Assigns.
    pub fn write(&mut self, variable: Variable, value: Value) {
        self.definitions.insert((self.current, variable), value);
    }

    /// The value at this point. A variable read before any write is 0.
    pub fn read(&mut self, variable: Variable) -> Value {
        self.read_in(self.current, variable)
    }

    fn read_in(&mut self, block: BlockId, variable: Variable) -> Value {
        if let Some(value) = self.definitions.get(&(block, variable)) {
            return *value;
        }
        let predecessors = &self.predecessors[block.0 as usize];
        let value = if !self.sealed[block.0 as usize] {
            let param = self.add_param(block);
            self.incomplete[block.0 as usize].push((variable, param));
            param
        } else if predecessors.is_empty() {
            self.zero_at_start(block)
        } else if let [only] = predecessors[..] {
            self.read_in(only, variable)
        } else {
            let param = self.add_param(block);
            self.definitions.insert((block, variable), param);
            self.fill_param(block, variable, param);
            param
        };
        self.definitions.insert((block, variable), value);
        value
    }

    /// An undefined variable: zero, put in front of the block's instructions.
    fn zero_at_start(&mut self, block: BlockId) -> Value {
        let result = self.new_value();
        let inst = Inst {
            result: Some(result),
            op: Op::Const(0),
            span: self.span,
        };
        self.function.blocks[block.0 as usize].insts.insert(0, inst);
        result
    }

    fn add_param(&mut self, block: BlockId) -> Value {
        let param = self.new_value();
        self.function.blocks[block.0 as usize].params.push(param);
        param
    }

    /// Passes the variable's value from each predecessor for `param`.
    /// Parameters that turn out to be copies are removed by the optimizer.
    fn fill_param(&mut self, block: BlockId, variable: Variable, param: Value) {
        let index = self.function.blocks[block.0 as usize]
            .params
            .iter()
            .position(|candidate| *candidate == param)
            .unwrap_or_else(|| unreachable!("ir: {param:?} is no parameter of {block:?}"));
        let mut done = Vec::new();
        for predecessor in self.predecessors[block.0 as usize].clone() {
            if done.contains(&predecessor) {
                continue;
            }
            done.push(predecessor);
            let value = self.read_in(predecessor, variable);
            for target in targets_mut(&mut self.function.blocks[predecessor.0 as usize].end) {
                if target.block == block {
                    let at = index.min(target.args.len());
                    target.args.insert(at, value);
                }
            }
        }
    }

    fn end(&mut self, terminator: Terminator) {
        if !self.is_open() {
            return;
        }
        let current = self.current;
        for target in targets(&terminator) {
            debug_assert!(
                !self.sealed[target.block.0 as usize],
                "ir: jump to sealed {:?}",
                target.block
            );
            self.predecessors[target.block.0 as usize].push(current);
        }
        let block = &mut self.function.blocks[current.0 as usize];
        block.end = terminator;
        block.end_span = self.span;
    }

    fn push(&mut self, result: Option<Value>, op: Op) {
        let span = self.span;
        if self.is_open() {
            self.function.blocks[self.current.0 as usize]
                .insts
                .push(Inst { result, op, span });
        }
    }

    fn new_value(&mut self) -> Value {
        self.function.value_count += 1;
        Value(self.function.value_count - 1)
    }
}

/// How many parameters a function has.
pub(super) fn parameter_count(signature: Signature) -> usize {
    match signature {
        Signature::Main => 1,
        Signature::LoopCallback => 2,
        Signature::MapCallback => 4,
    }
}

/// Where a terminator goes.
pub fn targets(end: &Terminator) -> Vec<&Target> {
    match end {
        Terminator::Jump(target) => vec![target],
        Terminator::Branch {
            then, otherwise, ..
        } => vec![then, otherwise],
        Terminator::Return(_) | Terminator::Unreachable => Vec::new(),
    }
}

/// Where a terminator goes, to be changed.
pub fn targets_mut(end: &mut Terminator) -> Vec<&mut Target> {
    match end {
        Terminator::Jump(target) => vec![target],
        Terminator::Branch {
            then, otherwise, ..
        } => vec![then, otherwise],
        Terminator::Return(_) | Terminator::Unreachable => Vec::new(),
    }
}
