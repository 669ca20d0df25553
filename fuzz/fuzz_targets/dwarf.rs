//! Any bytes are taken as a binary with debug information: functions and lines are looked up without a panic or a hang.
#![no_main]

use fathom_machine::Address;
use fathom_machine::dwarf::DebugInfo;
use fathom_machine::elf::Elf;
use fathom_machine::pattern::Pattern;
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;

/// Functions described for one input.
const MAX_FUNCTIONS: usize = 20;

fuzz_target!(|data: &[u8]| {
    let Ok(elf) = Elf::new("fuzzed", data.to_vec()) else {
        return;
    };
    let elf = Arc::new(elf);
    let Ok(debug) = DebugInfo::new(elf.clone()) else {
        return;
    };
    let addresses: Vec<Address> = elf
        .functions()
        .map(|function| function.address)
        .take(MAX_FUNCTIONS)
        .collect();
    for address in addresses {
        if let Ok(Some(function)) = debug.function_at(address) {
            for parameter in &function.parameters {
                let _ = function.types.name(parameter.type_index);
                let _ = function.types.size_of(parameter.type_index);
            }
        }
        let after = debug.after_prologue(address).ok().flatten();
        if let Ok(Some(scope)) = debug.variables_at(after.unwrap_or(address)) {
            for variable in &scope.variables {
                let _ = scope.types.name(variable.type_index);
            }
        }
    }
    let _ = debug.find_line("sample.c", 3, None);
    let _ = debug.functions_named(&Pattern::new("*"));
    let _ = debug.inlined_copies(&Pattern::new("*::*"));
    if let Ok(found) = debug.inlined_copies(&Pattern::new("*")) {
        for copy in found.copies.iter().take(20) {
            let _ = debug.variables_at(copy.entry);
        }
    }
});
