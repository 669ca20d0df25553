//! Any bytes are taken as a binary: symbols, instructions and static probes are read without a panic or a hang.
#![no_main]

use fathom_machine::elf::Elf;
use fathom_machine::pattern::Pattern;
use libfuzzer_sys::fuzz_target;

/// Functions looked into for one input.
const MAX_FUNCTIONS: usize = 100;

fuzz_target!(|data: &[u8]| {
    let Ok(elf) = Elf::new("fuzzed", data.to_vec()) else {
        return;
    };
    let _ = elf.build_id();
    let _ = elf.debug_link();
    let _ = elf.usdt_probes();
    let _ = elf.data_symbol("nothing");
    let _ = fathom_machine::unwind::rows(&elf);
    let _ = elf.match_demangled(&Pattern::new("*x*")).count();
    for function in elf.functions().take(MAX_FUNCTIONS) {
        let _ = elf.probe_site(function.offset);
        let _ = elf.instruction_starts(&function);
        let _ = elf.return_sites(&function);
    }
});
