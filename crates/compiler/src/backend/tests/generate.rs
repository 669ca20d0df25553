//! Random programs that end: arithmetic, branches, counted loops, slots, calls, callbacks.

use fathom_bpf::helper::Helper;
use fathom_bpf::object::Signature;

use crate::ir::{
    AtomicOp, BinaryOp, Builder, Compare, Function, FunctionId, Memory, Op, Operand, Program, Slot,
    Terminator, Value, Variable, Width,
};

/// Bytes of context that programs may read.
pub const CONTEXT_SIZE: usize = 64;

/// A small generator of random numbers (xorshift64*).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 32) % limit
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}

/// A program that depends on nothing but the seed.
pub fn program(seed: u64) -> Program {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let has_callback = random.below(4) == 0;
    let statements = 3 + random.below(14);
    let main = function(&mut random, Signature::Main, statements, has_callback);
    let mut functions = vec![main];
    if has_callback {
        let statements = 1 + random.below(5);
        functions.push(function(
            &mut random,
            Signature::LoopCallback,
            statements,
            false,
        ));
    }
    Program { functions }
}

fn function(
    random: &mut Random,
    signature: Signature,
    statements: u64,
    calls_back: bool,
) -> Function {
    let is_main = signature == Signature::Main;
    let generator = Generator {
        builder: Builder::new(if is_main { "main" } else { "each" }, signature),
        random,
        variables: Vec::new(),
        slots: Vec::new(),
        slot_bytes: 0,
        is_main,
        calls_back,
        depth: 0,
    };
    generator.all(statements)
}

struct Generator<'a> {
    builder: Builder,
    random: &'a mut Random,
    variables: Vec<Variable>,
    /// Initialised slots and their sizes.
    slots: Vec<(Slot, u32)>,
    slot_bytes: u32,
    is_main: bool,
    calls_back: bool,
    depth: u32,
}

const BINARY: [BinaryOp; 11] = BinaryOp::ALL;

impl Generator<'_> {
    fn all(mut self, statements: u64) -> Function {
        for _ in 0..3 + self.random.below(8) {
            let variable = self.builder.variable();
            let value = self.leaf();
            self.builder.write(variable, value);
            self.variables.push(variable);
        }
        self.statements(statements);
        let result = if self.is_main {
            self.value()
        } else {
            self.bit()
        };
        self.builder.ret(result);
        self.builder.finish()
    }

    fn bit(&mut self) -> Value {
        let value = self.value();
        self.builder.binary(BinaryOp::And, value, 1)
    }

    fn statements(&mut self, count: u64) {
        for _ in 0..count {
            if !self.builder.is_open() {
                return;
            }
            self.statement();
        }
    }

    fn statement(&mut self) {
        match self.random.below(20) {
            0..=5 => {
                let value = self.expression();
                let variable = self.random.pick(&self.variables);
                self.builder.write(variable, value);
            }
            6..=7 => self.new_slot(),
            8..=9 => self.store(),
            10 => self.copy(),
            11..=12 => self.print(),
            13 => self.read_kernel(),
            14..=16 if self.depth < 3 => self.condition(),
            17 if self.depth < 2 => self.counted_loop(),
            18 if self.calls_back && self.depth == 0 => self.call_back(),
            19 => self.atomic(),
            _ => self.print(),
        }
    }

    fn value(&mut self) -> Value {
        let variable = self.random.pick(&self.variables);
        self.builder.read(variable)
    }

    fn constant(&mut self) -> i64 {
        match self.random.below(6) {
            0 => self.random.next() as i64,
            1 => i64::from(self.random.next() as i32),
            2 => self.random.pick(&[
                0,
                1,
                -1,
                2,
                8,
                255,
                256,
                65535,
                0xffff_ffff,
                i64::MIN,
                i64::MAX,
                0x8000_0000,
            ]),
            _ => self.random.below(16) as i64,
        }
    }

    fn leaf(&mut self) -> Value {
        match self.random.below(8) {
            0 => self.builder.call(Helper::GET_CURRENT_PID_TGID, &[]),
            1 => self.builder.call(Helper::GET_PRANDOM_U32, &[]),
            2 => self.builder.call(Helper::KTIME_GET_NS, &[]),
            3..=5 if self.is_main => {
                let width = self.width();
                let offset = self
                    .random
                    .below(CONTEXT_SIZE as u64 / u64::from(width.bytes()))
                    as u32
                    * width.bytes();
                let signed = self.random.below(3) == 0;
                let base = self.builder.param(0);
                self.builder.emit(Op::Load {
                    width,
                    signed,
                    memory: Memory::Context,
                    base,
                    offset: offset as i32,
                })
            }
            3..=5 => self.builder.param(0),
            _ => {
                let value = self.constant();
                self.builder.constant(value)
            }
        }
    }

    fn width(&mut self) -> Width {
        self.random
            .pick(&[Width::B1, Width::B2, Width::B4, Width::B8, Width::B8])
    }

    fn operand(&mut self) -> Operand {
        match self.random.below(5) {
            0 => Operand::Imm(self.constant() as i32),
            1 => {
                let value = self.constant();
                self.builder.constant(value).into()
            }
            _ => self.value().into(),
        }
    }

    fn compare(&mut self) -> (Compare, bool, Value, Operand) {
        let op = self.random.pick(&Compare::ALL);
        (op, self.random.below(3) == 0, self.value(), self.operand())
    }

    fn expression(&mut self) -> Value {
        let op = match self.random.below(12) {
            0..=5 => {
                let (op, is_32) = (self.random.pick(&BINARY), self.random.below(3) == 0);
                Op::Binary {
                    op,
                    is_32,
                    lhs: self.value(),
                    rhs: self.operand(),
                }
            }
            6 => Op::Negate {
                value: self.value(),
            },
            7 => {
                let (from, signed) = (self.width(), self.random.below(2) == 0);
                Op::Extend {
                    value: self.value(),
                    from,
                    signed,
                }
            }
            8 => {
                let width = self.random.pick(&[Width::B2, Width::B4, Width::B8]);
                Op::SwapBytes {
                    value: self.value(),
                    width,
                }
            }
            9 => {
                let (op, is_32, lhs, rhs) = self.compare();
                Op::Compare {
                    op,
                    is_32,
                    lhs,
                    rhs,
                }
            }
            10 => match self.place() {
                Some((base, offset, width)) => {
                    let signed = self.random.below(3) == 0;
                    Op::Load {
                        width,
                        signed,
                        memory: Memory::Stack,
                        base,
                        offset,
                    }
                }
                None => Op::Const(self.constant()),
            },
            _ => return self.leaf(),
        };
        self.builder.emit(op)
    }

    fn new_slot(&mut self) {
        let size = self.random.pick(&[1, 2, 4, 8, 8, 12, 16, 20, 24, 40]);
        if self.slot_bytes + size > if self.is_main { 200 } else { 80 } {
            return self.store();
        }
        self.slot_bytes += size;
        let slot = self
            .builder
            .slot(size, if size.is_multiple_of(8) { 8 } else { 1 }, "random");
        self.slots.push((slot, size));
        let base = self.builder.slot_address(slot);
        self.builder.effect(Op::Zero {
            memory: Memory::Stack,
            base,
            offset: 0,
            len: size,
        });
    }

    /// A random aligned place in a slot: base, offset and width.
    fn place(&mut self) -> Option<(Value, i32, Width)> {
        if self.slots.is_empty() {
            return None;
        }
        let (slot, size) = self.random.pick(&self.slots);
        let mut width = self.width();
        while width.bytes() > size {
            width = Width::from_bytes(width.bytes() / 2)?;
        }
        let offset =
            (self.random.below(u64::from(size / width.bytes())) as u32 * width.bytes()) as i32;
        Some(match self.random.below(3) {
            0 => {
                let base = self.builder.emit(Op::SlotAddress { slot, offset });
                (base, 0, width)
            }
            1 => {
                let base = self.builder.slot_address(slot);
                let base = self.builder.binary(BinaryOp::Add, base, offset);
                (base, 0, width)
            }
            _ => (self.builder.slot_address(slot), offset, width),
        })
    }

    fn store(&mut self) {
        if let Some((base, offset, width)) = self.place() {
            let value = self.operand();
            self.builder
                .store(width, Memory::Stack, base, offset, value);
        }
    }

    fn atomic(&mut self) {
        let Some((base, offset, width)) = self.place() else {
            return;
        };
        if width.bytes() < 4 {
            return;
        }
        let value = self.value();
        match self
            .random
            .pick(&[AtomicOp::Add, AtomicOp::FetchAdd, AtomicOp::Exchange])
        {
            AtomicOp::Add => self.builder.effect(Op::Atomic {
                op: AtomicOp::Add,
                width,
                base,
                offset,
                value,
            }),
            op => {
                let old = self.builder.emit(Op::Atomic {
                    op,
                    width,
                    base,
                    offset,
                    value,
                });
                let variable = self.random.pick(&self.variables);
                self.builder.write(variable, old);
            }
        }
    }

    fn copy(&mut self) {
        if self.slots.len() < 2 {
            return;
        }
        let (to, to_size) = self.random.pick(&self.slots);
        let (from, from_size) = self.random.pick(&self.slots);
        if to == from {
            return;
        }
        let to = self.builder.slot_address(to);
        let from = self.builder.slot_address(from);
        self.builder.effect(Op::Copy {
            to,
            to_offset: 0,
            to_memory: Memory::Stack,
            from,
            from_offset: 0,
            from_memory: Memory::Stack,
            len: to_size.min(from_size),
            align: 8,
        });
    }

    fn print(&mut self) {
        let Some((slot, size)) = (!self.slots.is_empty()).then(|| self.random.pick(&self.slots))
        else {
            return;
        };
        let base = self.builder.slot_address(slot);
        let size = self.builder.constant(i64::from(size));
        let numbers = [self.value(), self.value(), self.value()];
        let result = self.builder.call(
            Helper::TRACE_PRINTK,
            &[base, size, numbers[0], numbers[1], numbers[2]],
        );
        if self.random.below(3) == 0 {
            let variable = self.random.pick(&self.variables);
            self.builder.write(variable, result);
        }
    }

    fn read_kernel(&mut self) {
        let Some((slot, size)) = (!self.slots.is_empty()).then(|| self.random.pick(&self.slots))
        else {
            return;
        };
        let to = self.builder.slot_address(slot);
        let size = self.builder.constant(i64::from(size));
        let from = self.value();
        self.builder
            .call(Helper::PROBE_READ_KERNEL, &[to, size, from]);
    }

    fn condition(&mut self) {
        let (op, is_32, lhs, rhs) = self.compare();
        let (then, otherwise, after) = (
            self.builder.block(),
            self.builder.block(),
            self.builder.block(),
        );
        if is_32 {
            let holds = self.builder.emit(Op::Compare {
                op,
                is_32,
                lhs,
                rhs,
            });
            self.builder.branch(Compare::Ne, holds, 0, then, otherwise);
        } else {
            self.builder.branch(op, lhs, rhs, then, otherwise);
        }
        let slots = self.slots.len();
        self.depth += 1;
        for block in [then, otherwise] {
            self.builder.enter(block);
            let count = self.random.below(4);
            self.statements(count);
            if self.builder.is_open() && self.random.below(8) == 0 {
                let result = if self.is_main {
                    self.value()
                } else {
                    self.bit()
                };
                self.builder.ret(result);
            }
            self.builder.jump(after);
            self.slots.truncate(slots);
        }
        self.depth -= 1;
        self.builder.enter(after);
    }

    fn counted_loop(&mut self) {
        let counter = self.builder.variable();
        let zero = self.builder.constant(0);
        self.builder.write(counter, zero);
        let (head, body, after) = (
            self.builder.block(),
            self.builder.block(),
            self.builder.block(),
        );
        let turns = self.random.below(5) as i32;
        self.builder.jump(head);
        self.builder.switch_to(head);
        let count = self.builder.read(counter);
        self.builder.branch(Compare::Lt, count, turns, body, after);
        self.builder.enter(body);
        let slots = self.slots.len();
        self.depth += 1;
        let statements = self.random.below(5);
        self.statements(statements);
        self.depth -= 1;
        self.slots.truncate(slots);
        let count = self.builder.read(counter);
        let count = self.builder.binary(BinaryOp::Add, count, 1);
        self.builder.write(counter, count);
        self.builder.jump(head);
        self.builder.seal(head);
        self.builder.enter(after);
    }

    fn call_back(&mut self) {
        let slot = self.builder.slot(16, 8, "context of callback");
        let context = self.builder.slot_address(slot);
        self.builder.effect(Op::Zero {
            memory: Memory::Stack,
            base: context,
            offset: 0,
            len: 16,
        });
        let turns = self.builder.constant(3);
        let callback = self.builder.emit(Op::FunctionAddress(FunctionId(1)));
        let flags = self.builder.constant(0);
        let turns = self
            .builder
            .call(Helper::LOOP, &[turns, callback, context, flags]);
        let variable = self.random.pick(&self.variables);
        self.builder.write(variable, turns);
    }
}

/// A program of about that many instructions, for measuring.
pub fn large(instructions: usize) -> Program {
    let mut random = Random(77);
    let mut statements = instructions as u64 / 4;
    loop {
        let main = function(&mut random, Signature::Main, statements, false);
        let count: usize = main.blocks.iter().map(|block| block.insts.len()).sum();
        if count >= instructions
            && main
                .blocks
                .iter()
                .all(|block| block.end != Terminator::Unreachable)
        {
            return Program {
                functions: vec![main],
            };
        }
        statements += statements / 8;
    }
}
