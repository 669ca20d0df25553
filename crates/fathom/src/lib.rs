//! Fathom as a library: from a script to a running session.
//!
//! ```no_run
//! use fathom::{Source, compile, load};
//! let source = Source::text("stdin", "begin { printf(\"hello\\n\"); exit(); }");
//! let machine = fathom::this_machine();
//! let compiled = compile(&load(source, &machine), &machine, &Default::default());
//! assert!(compiled.object.is_some());
//! ```
#![forbid(unsafe_code)]

pub mod imports;
pub mod report;

use std::path::{Path, PathBuf};

use fathom_compiler::{Compiled, Options};
use fathom_machine::Machine;
use fathom_machine::elf::Debuginfod;
use fathom_syntax::ParseOptions;

pub use imports::Loaded;

/// A script and what to call it in messages.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// File name; `stdin` for scripts given on the command line.
    pub name: String,
    /// The whole text.
    pub text: String,
    /// Where it lies, if in a file.
    pub path: Option<PathBuf>,
}

impl Source {
    /// A script that is at hand.
    pub fn text(name: impl Into<String>, text: impl Into<String>) -> Source {
        Source {
            name: name.into(),
            text: text.into(),
            path: None,
        }
    }

    /// The folder from which paths in it count.
    pub fn folder(&self) -> &Path {
        let folder = self.path.as_deref().and_then(Path::parent);
        folder.unwrap_or(Path::new(""))
    }
}

/// The machine that this process runs on. Where /sys is not mounted, the kernel is asked for its BTF. Debug files that are not
/// here are asked of the servers that `DEBUGINFOD_URLS` names, if it does.
pub fn this_machine() -> Machine {
    let servers = Debuginfod::from_variables(|name| std::env::var(name).ok());
    let machine = Machine::at("/").with_debug_servers(servers);
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

/// Reads what a script imports, and parses it all.
pub fn load(source: Source, machine: &Machine) -> Loaded {
    imports::load(source, &parse_options(machine))
}

/// Compiles; problems of all stages, loading included, are in the result's diagnostics.
pub fn compile(loaded: &Loaded, machine: &Machine, options: &Options) -> Compiled {
    if loaded.has_errors() {
        return Compiled {
            diagnostics: loaded.diagnostics.clone(),
            ..Compiled::default()
        };
    }
    let told = |source: &Source| fathom_bpf::object::Source {
        name: source.name.clone(),
        text: source.text.clone(),
    };
    let sources: Vec<_> = loaded.sources.iter().map(told).collect();
    let mut compiled = fathom_compiler::compile(&loaded.script, &sources, machine, options);
    compiled
        .diagnostics
        .splice(0..0, loaded.diagnostics.iter().cloned());
    compiled
}
