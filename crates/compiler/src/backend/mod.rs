//! From IR to BPF instructions: [`compile`] shows the order.

mod emit;
mod optimize;
mod regalloc;
mod select;
mod slots;
mod stack;
#[cfg(test)]
mod tests;
mod vcode;

pub use optimize::optimize;

use fathom_bpf::insn::{Insn, PseudoImm};
use fathom_bpf::object::{Function, Line, Relocation, RelocationKind, SourceSpan};

use crate::ir;
use emit::Emitted;

/// Bytes of stack that the kernel gives a chain of calls (`MAX_BPF_STACK`).
pub const STACK_LIMIT: u32 = 512;

/// How to compile.
#[derive(Clone, Debug)]
pub struct Options {
    /// Run the optimizer.
    pub optimize: bool,
    /// The kernel knows sign-extending loads and moves (instruction set v4, Linux 6.6).
    pub sign_extension: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            optimize: true,
            sign_extension: false,
        }
    }
}

/// The parts of a [`fathom_bpf::Program`] that come from code.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Compiled {
    /// Main function first, then callbacks.
    pub insns: Vec<Insn>,
    /// In order of `first_insn`.
    pub functions: Vec<Function>,
    /// Sorted by instruction.
    pub relocations: Vec<Relocation>,
    /// Sorted by instruction; the first instruction of each function has one.
    pub lines: Vec<Line>,
}

/// Why a program cannot become BPF.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum BackendError {
    /// More stack is needed at once than the kernel gives.
    #[error("{needed} bytes of stack are needed at once, the kernel gives {STACK_LIMIT}")]
    StackTooLarge {
        /// Bytes.
        needed: u32,
        /// The largest users, biggest first.
        biggest: Vec<StackUser>,
    },
    /// A jump does not reach its target.
    #[error(
        "the program is too large: a jump within {insns} instructions does not reach its target"
    )]
    ProgramTooLarge {
        /// Instructions of the function.
        insns: usize,
    },
    /// The register allocator gave up.
    #[error("no registers can be found: {0}")]
    RegisterAllocation(String),
}

/// Something on the stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackUser {
    /// See [`ir::SlotData::purpose`].
    pub purpose: String,
    /// Bytes.
    pub size: u32,
    /// Where in the script.
    pub span: SourceSpan,
}

/// Compiles one program. [`ir::verify`] must find nothing wrong with it.
pub fn compile(program: &ir::Program, options: &Options) -> Result<Compiled, BackendError> {
    debug_assert_eq!(
        ir::verify(program),
        Vec::<String>::new(),
        "backend: {program}"
    );
    if options.optimize {
        let mut program = program.clone();
        optimize(&mut program);
        return generate(&program, options);
    }
    generate(program, options)
}

/// Compiles one program as it is.
fn generate(program: &ir::Program, options: &Options) -> Result<Compiled, BackendError> {
    let mut compiled = Compiled::default();
    let mut frames = Vec::new();
    for function in &program.functions {
        let code = select::select(function, options);
        let allocation = regalloc::allocate(&code)?;
        let frame = slots::place(function);
        frames.push(stack::frame_size(&frame, &allocation));
        let emitted = emit::emit(&code, &allocation, &frame, options)?;
        compiled.append(function, emitted);
    }
    stack::check(program, &frames)?;
    compiled.link();
    Ok(compiled)
}

impl Compiled {
    /// Puts a function behind the others.
    fn append(&mut self, function: &ir::Function, emitted: Emitted) {
        let start = self.insns.len() as u32;
        self.functions.push(Function {
            name: function.name.clone(),
            first_insn: start,
            signature: function.signature,
        });
        let moved = |relocation: Relocation| Relocation {
            insn: relocation.insn + start,
            ..relocation
        };
        self.relocations
            .extend(emitted.relocations.into_iter().map(moved));
        self.lines
            .extend(emitted.lines.into_iter().map(|line| Line {
                insn: line.insn + start,
                ..line
            }));
        self.insns.extend(emitted.insns);
    }

    /// Fills in the distances to callbacks, now that it is known where they start.
    fn link(&mut self) {
        for relocation in &self.relocations {
            if let RelocationKind::FunctionAddress(id) = relocation.kind {
                let at = relocation.insn as usize;
                let distance = self.functions[id as usize].first_insn as i32 - (at as i32 + 1);
                let Some(dst) = fathom_bpf::insn::Reg::new(self.insns[at].dst) else {
                    continue;
                };
                let insns = Insn::load_pseudo(dst, PseudoImm::Function(distance));
                self.insns[at..at + 2].copy_from_slice(&insns);
            }
        }
    }
}
