//! Runs programs in the test process, without a kernel: the same results for the same instructions, and a [`Trap`] where
//! the verifier would have said no (uninitialised registers, memory out of bounds, endless loops).
//!
//! It knows maps, `bpf_loop`, `bpf_for_each_map_elem`, event output and reads of its own memory; every other helper is
//! a closure that the test supplies. There is one CPU.

mod alu;
mod calls;
mod maps;
mod memory;

pub use maps::MapState;
pub use memory::{Access, Memory};

use std::collections::HashMap;

use crate::helper::Helper;
use crate::insn::{Insn, InvalidInsn, JumpOp, Operand, Operation, PseudoImm, Reg, Size, Width};
use crate::link::{LinkError, link};
use crate::map::MapId;
use crate::object::{Object, ProgramId};

/// Bytes of stack that a function has.
const STACK_SIZE: usize = 512;
/// Calls within calls (`MAX_CALL_FRAMES`).
const MAX_DEPTH: u32 = 8;
/// Instructions run before a program counts as endless, unless told otherwise.
const STEP_LIMIT: u64 = 1_000_000;

/// Why a program was stopped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "fields are told by the variant's own words")]
pub enum Trap {
    /// See [`InvalidInsn`].
    #[error("{0}")]
    Insn(InvalidInsn),
    /// See [`LinkError`].
    #[error("{0}")]
    Link(LinkError),
    #[error("slot {slot}: r{register} is read before it is written")]
    UninitialisedRegister { slot: usize, register: u8 },
    #[error("slot {slot}: r10 is written")]
    FramePointerWritten { slot: usize },
    #[error("{size} bytes at {address:#x} are not memory of the program")]
    OutOfBounds { address: u64, size: u64 },
    #[error("{size} bytes at {address:#x} are read before they are written")]
    UninitialisedMemory { address: u64, size: u64 },
    #[error("{address:#x} is read-only")]
    ReadOnly { address: u64 },
    #[error("slot {slot}: jump out of the program")]
    BadJump { slot: usize },
    #[error("slot {slot}: no closure for helper `{helper}`")]
    UnknownHelper { slot: usize, helper: Helper },
    #[error("helper argument {number} is not set")]
    MissingArgument { number: usize },
    #[error("no map at {address:#x}")]
    NoMap { address: u64 },
    #[error("{what} cannot be run here")]
    Unsupported { what: &'static str },
    #[error("more than {limit} instructions")]
    TooLong { limit: u64 },
    #[error("more than 8 nested calls")]
    TooDeep,
}

/// Arguments of a helper: `r1` ..= `r5`, as far as the program set them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Args(pub [Option<u64>; 5]);

impl Args {
    /// The argument of that number, from 1.
    pub fn get(&self, number: usize) -> Result<u64, Trap> {
        let value = number.checked_sub(1).and_then(|index| *self.0.get(index)?);
        value.ok_or(Trap::MissingArgument { number })
    }
}

type HelperFunction<'a> = Box<dyn FnMut(&mut Memory, Args) -> Result<u64, Trap> + 'a>;

/// One program with its memory and maps.
pub struct Interpreter<'a> {
    /// All memory that the program can reach.
    pub memory: Memory,
    /// What the program wrote to ring buffers and perf event arrays, in order.
    pub events: Vec<Vec<u8>>,
    insns: Vec<Insn>,
    maps: Vec<MapState>,
    helpers: HashMap<Helper, HelperFunction<'a>>,
    step_limit: u64,
    steps: u64,
}

/// One running function.
struct Frame {
    registers: [Option<u64>; 11],
    slot: usize,
}

/// What an instruction does to the flow.
enum Flow {
    Next,
    Jump(i32),
    Exit,
}

impl<'a> Interpreter<'a> {
    /// Makes a program of the object ready to run, its maps empty (constants filled).
    pub fn new(object: &Object, program: ProgramId) -> Result<Interpreter<'a>, Trap> {
        let Some(program) = object.programs.get(program.0 as usize) else {
            return Err(Trap::Unsupported {
                what: "a program that the object does not have",
            });
        };
        let insns = link(program, |map, offset| match offset {
            None => PseudoImm::MapIndex(map.0 as i32),
            Some(offset) => PseudoImm::MapValueIndex {
                index: map.0 as i32,
                offset,
            },
        });
        let mut interpreter = Interpreter::from_insns(insns.map_err(Trap::Link)?);
        for map in &object.maps {
            let state = MapState::new(map, &mut interpreter.memory);
            interpreter.maps.push(state);
        }
        Ok(interpreter)
    }

    /// Makes bare instructions ready to run.
    pub fn from_insns(insns: Vec<Insn>) -> Interpreter<'a> {
        Interpreter {
            memory: Memory::default(),
            events: Vec::new(),
            insns,
            maps: Vec::new(),
            helpers: HashMap::new(),
            step_limit: STEP_LIMIT,
            steps: 0,
        }
    }

    /// Supplies a helper; goes before what the interpreter knows itself.
    pub fn helper(
        &mut self,
        helper: Helper,
        function: impl FnMut(&mut Memory, Args) -> Result<u64, Trap> + 'a,
    ) {
        self.helpers.insert(helper, Box::new(function));
    }

    /// Sets how many instructions one [`Interpreter::run`] may take.
    pub fn limit_steps(&mut self, limit: u64) {
        self.step_limit = limit;
    }

    /// Contents of a map.
    pub fn map(&self, map: MapId) -> Option<&MapState> {
        self.maps.get(map.0 as usize)
    }

    /// Value of a key, as user space would look it up.
    pub fn map_value(&self, map: MapId, key: &[u8]) -> Option<Vec<u8>> {
        let state = self.maps.get(map.0 as usize)?;
        let address = state.lookup(key)?;
        self.memory.read(address, u64::from(state.value_size)).ok()
    }

    /// All keys and values, sorted by the keys' bytes.
    pub fn map_entries(&self, map: MapId) -> Vec<(Vec<u8>, Vec<u8>)> {
        let Some(state) = self.maps.get(map.0 as usize) else {
            return Vec::new();
        };
        let keys = state.keys().into_iter();
        keys.filter_map(|key| Some((key.clone(), self.map_value(map, &key)?)))
            .collect()
    }

    /// Runs the main function with these values in `r1` and following; gives `r0`.
    pub fn run(&mut self, args: &[u64]) -> Result<u64, Trap> {
        self.steps = 0;
        self.call(0, args, 0)
    }

    /// Runs the function that begins at `slot`.
    fn call(&mut self, slot: usize, args: &[u64], depth: u32) -> Result<u64, Trap> {
        if depth >= MAX_DEPTH {
            return Err(Trap::TooDeep);
        }
        let stack = self.memory.push_stack(STACK_SIZE);
        let mut frame = Frame {
            registers: [None; 11],
            slot,
        };
        for (register, value) in frame.registers[1..=5].iter_mut().zip(args) {
            *register = Some(*value);
        }
        frame.registers[10] = Some(stack + STACK_SIZE as u64);
        let result = self.run_frame(&mut frame, depth);
        self.memory.pop_stack(stack);
        result
    }

    fn run_frame(&mut self, frame: &mut Frame, depth: u32) -> Result<u64, Trap> {
        loop {
            self.steps += 1;
            if self.steps > self.step_limit {
                let limit = self.step_limit;
                return Err(Trap::TooLong { limit });
            }
            let slot = frame.slot;
            if slot >= self.insns.len() {
                return Err(Trap::BadJump { slot });
            }
            let operation = Operation::decode(&self.insns, slot).map_err(Trap::Insn)?;
            let next = slot + self.insns[slot].slots();
            frame.slot = match self.step(frame, operation, depth)? {
                Flow::Next => next,
                Flow::Jump(offset) => {
                    let target = next as i64 + i64::from(offset);
                    usize::try_from(target).map_err(|_| Trap::BadJump { slot })?
                }
                Flow::Exit => return frame.read(Reg::R0),
            };
        }
    }

    fn step(&mut self, frame: &mut Frame, operation: Operation, depth: u32) -> Result<Flow, Trap> {
        match operation {
            Operation::Alu { .. }
            | Operation::MovSigned { .. }
            | Operation::Neg { .. }
            | Operation::ByteSwap { .. } => frame.arithmetic(operation)?,
            Operation::Load { .. } | Operation::Store { .. } | Operation::Atomic { .. } => {
                self.access(frame, operation)?;
            }
            Operation::LoadImm64 { dst, value } => {
                let value = self.pseudo_value(frame.slot, value)?;
                frame.write(dst, value)?;
            }
            Operation::Jump {
                width,
                op,
                dst,
                operand,
                offset,
            } => {
                let (left, right) = (frame.read(dst)?, frame.operand(operand)?);
                if alu::holds(width, op, left, right) {
                    return Ok(Flow::Jump(i32::from(offset)));
                }
            }
            Operation::Goto { offset } => return Ok(Flow::Jump(offset)),
            Operation::CallHelper(helper) => {
                let args = Args(std::array::from_fn(|index| frame.registers[index + 1]));
                let result = self.call_helper(frame.slot, helper, args, depth)?;
                frame.finish_call(result);
            }
            Operation::CallFunction { offset } => {
                let target = frame.slot as i64 + 1 + i64::from(offset);
                let slot =
                    usize::try_from(target).map_err(|_| Trap::BadJump { slot: frame.slot })?;
                let set = frame.registers[1..=5].iter().map_while(|value| *value);
                let args: Vec<u64> = set.collect();
                let result = self.call(slot, &args, depth + 1)?;
                frame.finish_call(result);
            }
            Operation::CallKernelFunction { .. } => {
                let what = "a kernel function";
                return Err(Trap::Unsupported { what });
            }
            Operation::Exit => return Ok(Flow::Exit),
        }
        Ok(Flow::Next)
    }

    fn access(&mut self, frame: &mut Frame, operation: Operation) -> Result<(), Trap> {
        match operation {
            Operation::Load {
                size,
                signed,
                dst,
                base,
                offset,
            } => {
                let address = frame.address(base, offset)?;
                let value = self.memory.load(address, size)?;
                let value = if signed {
                    alu::sign_extend(value, size)
                } else {
                    value
                };
                frame.write(dst, value)
            }
            Operation::Store {
                size,
                base,
                offset,
                value,
            } => {
                let value = frame.operand(value)?;
                self.memory.store(frame.address(base, offset)?, size, value)
            }
            Operation::Atomic {
                size,
                op,
                base,
                offset,
                src,
            } => {
                let address = frame.address(base, offset)?;
                let old = self.memory.load(address, size)?;
                let operand = frame.read(src)?;
                let expected = match op {
                    crate::insn::AtomicOp::CompareExchange => frame.read(Reg::R0)?,
                    _ => 0,
                };
                let outcome = alu::atomic(op, size, old, operand, expected);
                self.memory.store(address, size, outcome.stored)?;
                match outcome.fetched_to_r0 {
                    _ if !outcome.fetches => Ok(()),
                    true => frame.write(Reg::R0, old),
                    false => frame.write(src, old),
                }
            }
            _ => Ok(()),
        }
    }

    fn pseudo_value(&self, slot: usize, value: PseudoImm) -> Result<u64, Trap> {
        let map = |index: i32| {
            let state = self.maps.get(index as usize);
            let address = maps::handle(index as u32);
            state.ok_or(Trap::NoMap { address })
        };
        match value {
            PseudoImm::Value(value) => Ok(value),
            PseudoImm::MapIndex(index) => map(index).map(|_| maps::handle(index as u32)),
            PseudoImm::MapValueIndex { index, offset } => {
                let first = map(index)?.lookup(&0u32.to_ne_bytes());
                let first = first.ok_or(Trap::NoMap {
                    address: maps::handle(index as u32),
                })?;
                Ok(first + u64::from(offset))
            }
            PseudoImm::Function(offset) => {
                let target = slot as i64 + 1 + i64::from(offset);
                let target = usize::try_from(target).map_err(|_| Trap::BadJump { slot })?;
                Ok(calls::function_handle(target))
            }
            PseudoImm::MapFd(_) | PseudoImm::MapValue { .. } | PseudoImm::KernelVariable { .. } => {
                let what = "an address that only the kernel knows";
                Err(Trap::Unsupported { what })
            }
        }
    }
}

impl Frame {
    fn read(&self, register: Reg) -> Result<u64, Trap> {
        let number = register.number();
        self.registers[number as usize].ok_or(Trap::UninitialisedRegister {
            slot: self.slot,
            register: number,
        })
    }

    fn write(&mut self, register: Reg, value: u64) -> Result<(), Trap> {
        if register == Reg::R10 {
            return Err(Trap::FramePointerWritten { slot: self.slot });
        }
        self.registers[register.number() as usize] = Some(value);
        Ok(())
    }

    fn operand(&self, operand: Operand) -> Result<u64, Trap> {
        match operand {
            Operand::Reg(register) => self.read(register),
            Operand::Imm(imm) => Ok(i64::from(imm) as u64),
        }
    }

    fn address(&self, base: Reg, offset: i16) -> Result<u64, Trap> {
        Ok(self.read(base)?.wrapping_add_signed(i64::from(offset)))
    }

    /// Arguments are gone after a call.
    fn finish_call(&mut self, result: u64) {
        self.registers[1..=5].fill(None);
        self.registers[0] = Some(result);
    }

    fn arithmetic(&mut self, operation: Operation) -> Result<(), Trap> {
        match operation {
            Operation::Alu {
                width,
                op,
                dst,
                operand,
            } => {
                let right = self.operand(operand)?;
                // A move does not read its destination.
                let left = match op {
                    crate::insn::AluOp::Mov => 0,
                    _ => self.read(dst)?,
                };
                self.write(dst, alu::compute(width, op, left, right))
            }
            Operation::MovSigned {
                width,
                dst,
                src,
                from,
            } => {
                let value = alu::sign_extend(self.read(src)?, from);
                self.write(dst, alu::narrow(width, value))
            }
            Operation::Neg { width, dst } => {
                let value = self.read(dst)?.wrapping_neg();
                self.write(dst, alu::narrow(width, value))
            }
            Operation::ByteSwap { order, dst, bits } => {
                let value = self.read(dst)?;
                self.write(dst, alu::byte_swap(order, bits, value))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
