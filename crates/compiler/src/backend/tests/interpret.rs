//! Runs IR as its documentation says, for comparison with the instructions made from it.

use std::collections::HashMap;

use fathom_bpf::helper::Helper;

use crate::ir::{
    AtomicOp, FunctionId, Op, Operand, Program, Target, Terminator, Value, Width, extend,
    swap_bytes,
};

/// What can be seen from outside: calls of `trace_printk`, and the result.
#[derive(Debug, PartialEq, Eq, Clone, Default)]
pub struct Observed {
    pub prints: Vec<Print>,
    pub result: u64,
}

/// Bytes and numbers that a program showed.
#[derive(Debug, PartialEq, Eq, Clone)]
pub struct Print {
    pub bytes: Vec<u8>,
    pub numbers: [u64; 3],
}

/// Answers that helpers give, the same to the IR and to the instructions.
#[derive(Clone)]
pub struct World {
    pub context: Vec<u8>,
    pub random: u64,
}

impl World {
    pub fn next_random(&mut self) -> u64 {
        self.random = self
            .random
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        self.random >> 33
    }

    /// What `probe_read_kernel` finds at an address.
    pub fn kernel_bytes(address: u64, len: usize) -> Vec<u8> {
        (0..len)
            .map(|index| {
                (address >> 3)
                    .wrapping_mul(31)
                    .wrapping_add(index as u64 * 7) as u8
            })
            .collect()
    }
}

pub const PID_TGID: u64 = 0x0000_1234_0000_5678;
pub const CLOCK: u64 = 0x1122_3344_5566_7788;

const CONTEXT: u64 = 1 << 40;
const STEP_LIMIT: u64 = 1_000_000;

/// Runs the main function.
pub fn interpret(program: &Program, world: World) -> Observed {
    let mut memory = HashMap::new();
    memory.insert(CONTEXT >> 20, world.context.clone());
    let mut run = Run {
        program,
        world,
        memory,
        next_region: 1 << 21,
        observed: Observed::default(),
        steps: 0,
    };
    run.observed.result = run.call(FunctionId(0), &[CONTEXT as i64]) as u64;
    run.observed
}

struct Run<'a> {
    program: &'a Program,
    world: World,
    /// By address / 1 MiB.
    memory: HashMap<u64, Vec<u8>>,
    next_region: u64,
    observed: Observed,
    steps: u64,
}

impl Run<'_> {
    fn call(&mut self, id: FunctionId, args: &[i64]) -> i64 {
        let function = &self.program.functions[id.0 as usize];
        let mut values = vec![None; function.value_count as usize];
        let first_slot = self.next_region;
        for slot in &function.slots {
            self.memory
                .insert(self.next_region, vec![0xcc; slot.size as usize]);
            self.next_region += 1;
        }
        let mut block = &function.blocks[0];
        for (param, arg) in block.params.iter().zip(args) {
            values[param.0 as usize] = Some(*arg);
        }
        loop {
            for inst in &block.insts {
                self.steps += 1;
                assert!(self.steps < STEP_LIMIT, "interpret: endless");
                let result = self.op(&inst.op, &values, first_slot);
                if let Some(value) = inst.result {
                    values[value.0 as usize] = result;
                }
            }
            let target = match &block.end {
                Terminator::Jump(target) => target,
                Terminator::Branch {
                    op,
                    is_32,
                    lhs,
                    rhs,
                    then,
                    otherwise,
                } => {
                    let holds = op.evaluate(*is_32, value(&values, *lhs), operand(&values, *rhs));
                    if holds { then } else { otherwise }
                }
                Terminator::Return(result) => return operand(&values, *result),
                Terminator::Unreachable => panic!("interpret: unreachable was reached"),
            };
            let Target { block: next, args } = target;
            block = &function.blocks[next.0 as usize];
            let args: Vec<i64> = args.iter().map(|arg| value(&values, *arg)).collect();
            for (param, arg) in block.params.iter().zip(args) {
                values[param.0 as usize] = Some(arg);
            }
            self.steps += 1;
            assert!(self.steps < STEP_LIMIT, "interpret: endless");
        }
    }

    fn bytes(&mut self, address: i64, len: usize) -> &mut [u8] {
        let address = address as u64;
        let start = (address & 0xf_ffff) as usize;
        let region = self
            .memory
            .get_mut(&(address >> 20))
            .unwrap_or_else(|| panic!("interpret: no memory at {address:#x}"));
        &mut region[start..start + len]
    }

    fn load(&mut self, address: i64, width: Width) -> i64 {
        let mut bytes = [0; 8];
        let len = width.bytes() as usize;
        bytes[..len].copy_from_slice(self.bytes(address, len));
        i64::from_le_bytes(bytes)
    }

    fn store(&mut self, address: i64, width: Width, value: i64) {
        let len = width.bytes() as usize;
        self.bytes(address, len)
            .copy_from_slice(&value.to_le_bytes()[..len]);
    }

    fn op(&mut self, op: &Op, values: &[Option<i64>], first_slot: u64) -> Option<i64> {
        let get = |wanted: Value| value(values, wanted);
        Some(match op {
            Op::Const(value) => *value,
            Op::Binary {
                op,
                is_32,
                lhs,
                rhs,
            } => op.evaluate(*is_32, get(*lhs), operand(values, *rhs)),
            Op::Negate { value } => get(*value).wrapping_neg(),
            Op::Extend {
                value,
                from,
                signed,
            } => extend(get(*value), *from, *signed),
            Op::SwapBytes { value, width } => swap_bytes(get(*value), *width),
            Op::Compare {
                op,
                is_32,
                lhs,
                rhs,
            } => i64::from(op.evaluate(*is_32, get(*lhs), operand(values, *rhs))),
            Op::Load {
                width,
                signed,
                base,
                offset,
                ..
            } => {
                let raw = self.load(get(*base) + i64::from(*offset), *width);
                extend(raw, *width, *signed)
            }
            Op::Store {
                width,
                base,
                offset,
                value,
                ..
            } => {
                self.store(
                    get(*base) + i64::from(*offset),
                    *width,
                    operand(values, *value),
                );
                return None;
            }
            Op::Atomic {
                op,
                width,
                base,
                offset,
                value,
            } => {
                let address = get(*base) + i64::from(*offset);
                let old = self.load(address, *width);
                let new = if *op == AtomicOp::Exchange {
                    get(*value)
                } else {
                    old.wrapping_add(get(*value))
                };
                self.store(address, *width, new);
                old
            }
            Op::Zero {
                base, offset, len, ..
            } => {
                self.bytes(get(*base) + i64::from(*offset), *len as usize)
                    .fill(0);
                return None;
            }
            Op::Copy {
                to,
                to_offset,
                from,
                from_offset,
                len,
                ..
            } => {
                let bytes = self
                    .bytes(get(*from) + i64::from(*from_offset), *len as usize)
                    .to_vec();
                self.bytes(get(*to) + i64::from(*to_offset), *len as usize)
                    .copy_from_slice(&bytes);
                return None;
            }
            Op::SlotAddress { slot, offset } => {
                ((first_slot + u64::from(slot.0)) << 20) as i64 + i64::from(*offset)
            }
            Op::FunctionAddress(id) => i64::from(id.0),
            Op::Call { helper, args } => {
                let args: Vec<i64> = args.iter().map(|arg| get(*arg)).collect();
                self.helper(*helper, &args)
            }
            Op::CallKernel { btf_id, .. } => {
                panic!("interpret: kernel function {btf_id} is not generated")
            }
            Op::Map(_) | Op::MapValue { .. } => panic!("interpret: maps are not generated"),
        })
    }

    fn helper(&mut self, helper: Helper, args: &[i64]) -> i64 {
        match helper {
            Helper::GET_CURRENT_PID_TGID => PID_TGID as i64,
            Helper::KTIME_GET_NS => CLOCK as i64,
            Helper::GET_PRANDOM_U32 => self.world.next_random() as i64,
            Helper::PROBE_READ_KERNEL => {
                let bytes = World::kernel_bytes(args[2] as u64, args[1] as usize);
                self.bytes(args[0], args[1] as usize)
                    .copy_from_slice(&bytes);
                0
            }
            Helper::TRACE_PRINTK => {
                let bytes = self.bytes(args[0], args[1] as usize).to_vec();
                let numbers = [args[2] as u64, args[3] as u64, args[4] as u64];
                self.observed.prints.push(Print { bytes, numbers });
                self.observed.prints.len() as i64
            }
            Helper::LOOP => {
                let mut turns = 0;
                while turns < args[0] {
                    turns += 1;
                    if self.call(FunctionId(args[1] as u32), &[turns - 1, args[2]]) != 0 {
                        break;
                    }
                }
                turns
            }
            other => panic!("interpret: {other} is not generated"),
        }
    }
}

fn value(values: &[Option<i64>], wanted: Value) -> i64 {
    values[wanted.0 as usize].unwrap_or_else(|| panic!("interpret: {wanted} is not set"))
}

fn operand(values: &[Option<i64>], wanted: Operand) -> i64 {
    match wanted {
        Operand::Imm(imm) => i64::from(imm),
        Operand::Value(wanted) => value(values, wanted),
    }
}
