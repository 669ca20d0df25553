//! Any bytes are taken as a Go program: its version, its table of functions and its code are read without a panic or a hang.
#![no_main]

use fathom_machine::elf::Elf;
use libfuzzer_sys::fuzz_target;

/// Functions looked into for one input.
const MAX_FUNCTIONS: usize = 100;

fuzz_target!(|data: &[u8]| {
    let Ok(elf) = Elf::new("fuzzed", data.to_vec()) else {
        return;
    };
    let Some(go) = elf.go() else {
        return;
    };
    let _ = go.version();
    for known in go.functions().take(MAX_FUNCTIONS) {
        let _ = go.function_at(known.entry);
        let _ = go.convention(known.entry);
    }
    for function in elf.functions().take(MAX_FUNCTIONS) {
        let _ = go.goroutine(function.address);
        let _ = elf.go_entry_site(&function);
        let _ = elf.go_return_sites(&function);
    }
});
