//! From a script's syntax tree to a [`fathom_bpf::Object`].
//!
//! [`compile`] shows the order of the stages. The compiler asks the `machine` crate what exists (types, tracepoints,
//! symbols) and never talks to the kernel itself; what the kernel can do arrives as a [`features::Features`] value.
#![forbid(unsafe_code)]

pub mod backend;
pub mod builtins;
pub mod check;
pub mod config;
pub mod features;
pub mod hir;
pub mod ir;
pub mod lower;
mod macros;
mod needs;
mod object;
pub mod probes;
pub mod ty;
pub mod types;

use std::collections::{BTreeMap, HashSet};

use fathom_bpf::Object;
use fathom_bpf::object::Source;
use fathom_machine::Machine;
use fathom_syntax::Diagnostic;
use fathom_syntax::ast::Script;

use crate::config::Config;
use crate::features::Features;
use crate::probes::{ExpandOptions, Mode};
use crate::types::Types;

/// What compilation depends on besides the script and the machine.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Positional parameters.
    pub params: Vec<String>,
    /// `BPFTRACE_*` and the like.
    pub environment: BTreeMap<String, String>,
    /// What the kernel can do.
    pub features: Features,
    /// `-p`
    pub pid: Option<u32>,
    /// `-c`: the process that waits to be started.
    pub child_pid: Option<u32>,
    /// `-c`: its program.
    pub child_path: Option<String>,
    /// `--dwarf-pid`: stacks of further processes are walked.
    pub watches_others: bool,
    /// `--unsafe`
    pub allow_unsafe: bool,
    /// `--test`, `--bench`
    pub mode: Mode,
    /// Inlined copies of functions are probed too.
    pub with_inlined: bool,
    /// Returns of functions that exceptions and panics may leave are waited for at their return instructions.
    pub spares_unwinding: bool,
    /// How much of whole values `call()` copies.
    pub capture: fathom_bpf::capture::Limits,
    /// `--traceable-functions`
    pub traceable: Option<HashSet<String>>,
}

/// What came of a script: each stage as far as it got.
#[derive(Debug, Default)]
pub struct Compiled {
    /// Settings of the script.
    pub config: Config,
    /// Attach points, in groups.
    pub groups: Vec<probes::Group>,
    /// The typed script, one body for each group.
    pub bodies: Vec<hir::Body>,
    /// The script's maps.
    pub maps: hir::Maps,
    /// One program for each group, before optimization.
    pub programs: Vec<ir::Program>,
    /// The whole; `None` after an error.
    pub object: Option<Object>,
    /// Errors and warnings of all stages.
    pub diagnostics: Vec<Diagnostic>,
}

impl Compiled {
    /// Whether an error was found.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }
}

/// Positional parameters, and the script's own options (`--name`, `--name=value`) with their values.
fn split_params(all: &[String]) -> (Vec<String>, BTreeMap<String, Option<String>>) {
    let mut positional = Vec::new();
    let mut named = BTreeMap::new();
    for param in all {
        match param.strip_prefix("--").filter(|rest| !rest.is_empty()) {
            Some(option) => match option.split_once('=') {
                Some((name, value)) => named.insert(name.to_owned(), Some(value.to_owned())),
                None => named.insert(option.to_owned(), None),
            },
            None => {
                positional.push(param.clone());
                None
            }
        };
    }
    (positional, named)
}

/// Compiles a script that was parsed without errors. Spans point into `sources` by their index.
pub fn compile(
    script: &Script,
    sources: &[Source],
    machine: &Machine,
    options: &Options,
) -> Compiled {
    let mut result = Compiled::default();
    let (config, problems) = Config::read(script.config(), &options.environment, &options.features);
    result.config = config;
    result.diagnostics.extend(problems);

    for import in script.imports() {
        result.diagnostics.push(
            Diagnostic::error("import", import.span, "this was not imported").label("not read"),
        );
    }
    let (script, problems) = macros::expand(script);
    result.diagnostics.extend(problems);
    let script = &script;
    let (params, named) = split_params(&options.params);
    let types = Types::new(machine, &script.c);
    let needs = needs::of_probes(script);
    let expand_options = ExpandOptions {
        pid: options.pid,
        child_pid: options.child_pid,
        child_path: options.child_path.as_deref(),
        params: &params,
        allow_unsafe: options.allow_unsafe,
        with_inlined: options.with_inlined,
        spares_unwinding: options.spares_unwinding,
        mode: options.mode,
        traceable: options.traceable.as_ref(),
        needs: &|probe| needs.get(probe).copied().unwrap_or_default(),
    };
    let expansion = probes::expand(
        script,
        &types,
        &result.config,
        &options.features,
        &expand_options,
    );
    result.diagnostics.extend(expansion.diagnostics);
    result.groups = expansion.groups;

    let checked = check::check(
        &check::Input {
            script,
            groups: &result.groups,
            machine,
            config: &result.config,
            features: &options.features,
            params: &params,
            options: &named,
            child_pid: options.child_pid,
            allow_unsafe: options.allow_unsafe,
        },
        &types,
    );
    let is_incomplete = result.has_errors();
    let told = checked.diagnostics.into_iter();
    // Without the probes that are missing, nobody knows what would be stored.
    result
        .diagnostics
        .extend(told.filter(|problem| !(is_incomplete && problem.code == "undefined-map")));
    result.diagnostics.extend(types.take_problems());
    result.bodies = checked.bodies;
    result.maps = checked.maps;
    if result.has_errors() {
        return result;
    }

    let input = object::Input {
        groups: &result.groups,
        bodies: &result.bodies,
        maps: &result.maps,
        types: &types,
        config: &result.config,
        features: &options.features,
        capture: options.capture,
        machine,
    };
    match object::build(&input) {
        Ok(built) => {
            result.programs = built.programs;
            let mut object = built.object;
            object.sources = sources.to_vec();
            object.settings.is_unsafe = checked.is_unsafe;
            object.missing = expansion.missing;
            result.object = Some(object);
        }
        Err(diagnostic) => result.diagnostics.push(*diagnostic),
    }
    result
}
