//! Any text that parses is expanded, typed and compiled for a small fixed machine: problems are told, nothing panics or hangs.
//!
//! The machine is the folder `fuzz/machine`: two tracepoints, a few kernel types, no processes. Whatever compiles must also
//! survive being written as an ELF object.
#![no_main]

use fathom_compiler::{Options, compile};
use fathom_machine::Machine;
use fathom_syntax::{ParseOptions, parse};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static MACHINE: LazyLock<Machine> =
    LazyLock::new(|| Machine::at(concat!(env!("CARGO_MANIFEST_DIR"), "/machine")));

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let parsed = parse(&text, &ParseOptions::default());
    if parsed.diagnostics.iter().any(|problem| problem.is_error()) {
        return;
    }
    let compiled = compile(&parsed.script, &[], &MACHINE, &Options::default());
    assert!(
        compiled.object.is_some() || compiled.has_errors(),
        "no object, and no reason why"
    );
    if let Some(object) = compiled.object {
        let _ = fathom_bpf::elf::write(&object);
    }
});
