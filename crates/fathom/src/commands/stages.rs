//! Stages of the compiler as text.

use fathom_bpf::{Object, ProgramId};
use fathom_compiler::Compiled;

/// The typed script.
pub fn typed(compiled: &Compiled) -> String {
    format!("{:#?}\n{:#?}\n", compiled.maps, compiled.bodies)
}

/// The programs before optimization.
pub fn intermediate(compiled: &Compiled) -> String {
    let programs = compiled.programs.iter();
    programs.map(|program| format!("{program}\n")).collect()
}

/// The programs as the kernel gets them.
pub fn instructions(object: &Object) -> String {
    let numbers = (0..object.programs.len() as u32).map(ProgramId);
    numbers
        .map(|number| fathom_bpf::text::program(object, number))
        .collect()
}
