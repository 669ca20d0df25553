//! Fathom as a library: from a script to a running session.
//!
//! ```no_run
//! use fathom::{Source, compile};
//! let source = Source::text("stdin", "begin { printf(\"hello\\n\"); exit(); }");
//! let machine = fathom::this_machine();
//! let compiled = compile(&source, &machine, &Default::default());
//! assert!(compiled.object.is_some());
//! ```
#![forbid(unsafe_code)]

pub mod report;

use fathom_compiler::{Compiled, Options};
use fathom_machine::Machine;
use fathom_syntax::{ParseOptions, parse};

/// A script and what to call it in messages.
#[derive(Clone, Debug)]
pub struct Source {
    /// File name; `stdin` for scripts given on the command line.
    pub name: String,
    /// The whole text.
    pub text: String,
}

impl Source {
    /// A script that is at hand.
    pub fn text(name: impl Into<String>, text: impl Into<String>) -> Source {
        Source {
            name: name.into(),
            text: text.into(),
        }
    }
}

/// The machine that this process runs on. Where /sys is not mounted, the kernel is asked for its BTF.
pub fn this_machine() -> Machine {
    let machine = Machine::at("/");
    if !machine.path("/sys/kernel/btf/vmlinux").exists()
        && let Ok(bytes) = fathom_runtime::vmlinux_btf()
    {
        // What the kernel gives is BTF; if not, the machine has none, and says so when it is asked.
        let _ = machine.set_btf(bytes);
    }
    machine
}

/// What scripts may ask the preprocessor about this machine.
pub fn parse_options(machine: &Machine) -> ParseOptions {
    let mut options = ParseOptions::default();
    if machine.path("/sys/kernel/btf/vmlinux").exists() {
        options.defines.push(("BPFTRACE_HAVE_BTF".to_owned(), 1));
    }
    options
}

/// Parses and compiles; problems of all stages are in the result's diagnostics.
pub fn compile(source: &Source, machine: &Machine, options: &Options) -> Compiled {
    let parsed = parse(&source.text, &parse_options(machine));
    if parsed.has_errors() {
        return Compiled {
            diagnostics: parsed.diagnostics,
            ..Compiled::default()
        };
    }
    let options = Options {
        source_name: source.name.clone(),
        ..options.clone()
    };
    let mut compiled = fathom_compiler::compile(&parsed.script, &source.text, machine, &options);
    compiled.diagnostics.splice(0..0, parsed.diagnostics);
    compiled
}
