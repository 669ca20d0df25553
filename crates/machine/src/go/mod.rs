//! Go programs: what their runtime carries about itself, stripped or not.
//!
//! | File | Knows |
//! |---|---|
//! | `build_info.rs` | the version of Go |
//! | `pclntab.rs` | the table of functions that the runtime unwinds stacks with; stripping leaves it |
//! | `text_start.rs` | the address that the newer tables count from |
//! | `sites.rs` | where a call has passed the stack check, and where it returns |
//! | `goroutine.rs` | where the running goroutine and its number are found |

mod build_info;
mod goroutine;
mod pclntab;
mod sites;
#[cfg(test)]
mod tests;
mod text_start;

pub use build_info::GoVersion;
pub use goroutine::{GPointer, Goroutine};
pub use sites::EntrySite;

use crate::Address;
use crate::elf::{Architecture, Elf};
pub(crate) use pclntab::Table;

/// Sections by which Go programs are known.
const SECTIONS: [&str; 5] = [
    ".go.buildinfo",
    ".gopclntab",
    ".data.rel.ro.gopclntab",
    ".note.go.buildid",
    ".gosymtab",
];
/// Since this version of Go 1, compiled functions take arguments in registers and keep the goroutine in `r14`.
const REGISTER_ABI: u32 = 17;

/// What is kept of a Go program between questions.
#[derive(Debug)]
pub(crate) struct Program {
    version: Option<GoVersion>,
    table: Option<Table>,
}

impl Program {
    /// Reads it; `None` for a binary that is not of the Go compiler.
    pub(crate) fn read(elf: &Elf) -> Option<Box<Program>> {
        let is_go = SECTIONS.iter().any(|section| elf.has_section(section));
        is_go.then(|| {
            Box::new(Program {
                version: build_info::version(elf),
                table: Table::find(elf),
            })
        })
    }

    pub(crate) fn table(&self) -> Option<&Table> {
        self.table.as_ref()
    }
}

/// A Go program, to be asked about its functions.
#[derive(Debug, Clone, Copy)]
pub struct Go<'a> {
    elf: &'a Elf,
    program: &'a Program,
}

/// A function by the runtime's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GoFunction<'a> {
    /// Its name with the package: `main.(*Server).Handle`.
    pub name: &'a str,
    /// Where it starts.
    pub entry: Address,
    /// Bytes up to the next function, padding included.
    pub size: u64,
    /// Bytes that its callers reserve for arguments and results; `None` where assembly does not tell.
    pub argument_bytes: Option<u32>,
    /// Written in assembly.
    pub is_assembly: bool,
    /// The source file.
    pub file: Option<&'a str>,
    /// The line of its `func` (Go 1.20 and later), else that of its first instruction.
    pub line: Option<u32>,
}

/// How a function takes its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallConvention {
    /// All on the stack: assembly, and everything before Go 1.17.
    Stack,
    /// In registers as far as they go.
    Registers,
}

impl Elf {
    /// What a Go program knows about itself; `None` for other binaries.
    pub fn go(&self) -> Option<Go<'_>> {
        let program = self.go_program()?;
        Some(Go { elf: self, program })
    }
}

impl<'a> Go<'a> {
    /// The version of Go that made it.
    pub fn version(&self) -> Option<GoVersion> {
        self.program.version
    }

    /// Whether the runtime's table of functions was found.
    pub fn has_functions(&self) -> bool {
        self.program.table.is_some()
    }

    /// All functions in order of address.
    pub fn functions(&self) -> impl Iterator<Item = GoFunction<'a>> + use<'a> {
        let elf = self.elf;
        let table = self.program.table.iter();
        table.flat_map(move |table| (0..table.len()).filter_map(|i| table.describe(elf, i)))
    }

    /// The function that starts at an address.
    pub fn function_at(&self, entry: Address) -> Option<GoFunction<'a>> {
        let table = self.program.table.as_ref()?;
        table.describe(self.elf, table.index_of(self.elf.bytes(), entry)?)
    }

    /// How the function at an address takes its arguments; `None` when it is none of Go's (C code that was linked in).
    pub fn convention(&self, entry: Address) -> Option<CallConvention> {
        let known = self.function_at(entry);
        if known.is_none() && self.has_functions() {
            return None;
        }
        let is_assembly = known.is_some_and(|function| function.is_assembly);
        let is_old = self
            .version()
            .is_some_and(|version| version.minor < REGISTER_ABI);
        let uses_registers =
            !is_assembly && !is_old && self.elf.architecture() == Architecture::X86_64;
        Some(if uses_registers {
            CallConvention::Registers
        } else {
            CallConvention::Stack
        })
    }
}
