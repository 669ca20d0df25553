//! Where a probe finds the running goroutine, and its number in there.
//!
//! Compiled functions keep a pointer to `runtime.g` in `r14` (Go 1.17 and later); assembly and older programs have it in
//! thread-local storage only.

use super::{CallConvention, Go, GoVersion};
use crate::Address;
use crate::elf::{Elf, Function};
use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic, OpKind, Register};

/// Offset of `goid` in `runtime.g` by the first version that has it there. Before 1.9 the struct was another one.
const GOID_OFFSETS: [(u32, u32); 3] = [(9, 152), (23, 160), (25, 152)];
/// The place of the goroutine in thread-local storage of programs without C code.
const DEFAULT_THREAD_LOCAL: i64 = -8;
/// Functions in assembly that load the goroutine from thread-local storage.
const LOADERS: [&str; 4] = [
    "runtime.mcall",
    "runtime.systemstack",
    "runtime.asmcgocall",
    "runtime.gogo",
];
/// Instructions looked at in each.
const MAX_INSTRUCTIONS: usize = 200;

/// Where the pointer to `runtime.g` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GPointer {
    /// In the register `r14`.
    R14,
    /// At this distance from the thread's `fs` base.
    ThreadLocal(i64),
}

/// How to get at the running goroutine in a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Goroutine {
    /// Where the pointer to it is.
    pub pointer: GPointer,
    /// Where in `runtime.g` the number is.
    pub id_offset: u32,
}

impl Go<'_> {
    /// How to get at the goroutine in the function at an address; `None` when it is not known, or not a function of Go.
    pub fn goroutine(&self, entry: Address) -> Option<Goroutine> {
        let id_offset = goid_offset(self.version()?)?;
        let pointer = match self.convention(entry)? {
            CallConvention::Registers => GPointer::R14,
            CallConvention::Stack => GPointer::ThreadLocal(self.thread_local()?),
        };
        Some(Goroutine { pointer, id_offset })
    }

    /// Where thread-local storage has the goroutine: as the runtime itself loads it.
    fn thread_local(&self) -> Option<i64> {
        let loaded = LOADERS.iter().find_map(|name| {
            let function = self.elf.find_function(name).or_else(|| {
                let with_convention = format!("{name}.abi0");
                self.elf.find_function(&with_convention)
            })?;
            thread_local_of(&function)
        });
        let is_plain = !self.elf.is_position_independent() && !has_thread_storage(self.elf);
        loaded.or(is_plain.then_some(DEFAULT_THREAD_LOCAL))
    }
}

/// Where `goid` is in `runtime.g`.
fn goid_offset(version: GoVersion) -> Option<u32> {
    let known = GOID_OFFSETS.iter().rev();
    known
        .clone()
        .find(|(since, _)| version.minor >= *since)
        .map(|(_, offset)| *offset)
}

/// The distance at the first use of `fs`: in the instruction, or in a register that was given a constant before.
fn thread_local_of(function: &Function<'_>) -> Option<i64> {
    let decoder = Decoder::new(64, function.code(), DecoderOptions::NONE);
    let mut constant = None;
    for instruction in decoder.into_iter().take(MAX_INSTRUCTIONS) {
        if instruction.segment_prefix() == Register::FS && has_memory(&instruction) {
            return distance(&instruction, constant);
        }
        let is_constant = instruction.mnemonic() == Mnemonic::Mov
            && instruction.op1_kind() == OpKind::Immediate32to64;
        if is_constant {
            constant = Some((instruction.op0_register(), instruction.immediate32to64()));
        }
    }
    None
}

fn has_memory(instruction: &Instruction) -> bool {
    (0..instruction.op_count()).any(|i| instruction.op_kind(i) == OpKind::Memory)
}

fn distance(instruction: &Instruction, constant: Option<(Register, i64)>) -> Option<i64> {
    let inside = i64::from(instruction.memory_displacement64() as i32);
    match (instruction.memory_base(), instruction.memory_index()) {
        (Register::None, Register::None) => Some(inside),
        (base, Register::None) => {
            let (_, value) = constant.filter(|(register, _)| *register == base)?;
            value.checked_add(inside)
        }
        _ => None,
    }
}

/// Whether the program has thread-local storage of its own, as with C code.
fn has_thread_storage(elf: &Elf) -> bool {
    elf.has_section(".tdata")
}
