//! Where the x86-64 registers lie in `struct pt_regs`, and which of them carry arguments.

use super::{ArgSource, Argument};
use crate::ty::Type;

/// Names of registers, each with its offset; the first name of an offset is its usual one.
const OFFSETS: [(&str, u32); 23] = [
    ("r15", 0),
    ("r14", 8),
    ("r13", 16),
    ("r12", 24),
    ("bp", 32),
    ("bx", 40),
    ("r11", 48),
    ("r10", 56),
    ("r9", 64),
    ("r8", 72),
    ("ax", 80),
    ("cx", 88),
    ("dx", 96),
    ("si", 104),
    ("di", 112),
    ("orig_rax", 120),
    ("orig_ax", 120),
    ("ip", 128),
    ("pc", 128),
    ("cs", 136),
    ("flags", 144),
    ("sp", 152),
    ("ss", 160),
];

/// Registers of the first integer arguments of a C function.
pub(super) const ARGUMENTS: [&str; 6] = ["di", "si", "dx", "cx", "r8", "r9"];
/// How many `argN` there are where nothing tells the number.
const POSITIONAL: u32 = 10;

/// Offset of a register in `struct pt_regs`; 64-bit names such as `rdi` are taken too.
pub fn register_offset(name: &str) -> Option<u32> {
    let find = |wanted: &str| {
        OFFSETS
            .iter()
            .find(|(known, _)| *known == wanted)
            .map(|(_, at)| *at)
    };
    find(name).or_else(|| find(name.strip_prefix('r')?))
}

/// Names that [`register_offset`] knows, for messages.
pub fn register_names() -> impl Iterator<Item = &'static str> {
    OFFSETS.iter().map(|(name, _)| *name)
}

pub(super) fn offset(name: &str) -> u32 {
    register_offset(name).unwrap_or_else(|| unreachable!("registers: no {name}"))
}

/// Where the n-th integer argument of a C function is when the function is entered: in a register, then on the stack behind the
/// return address.
pub(super) fn argument_source(number: u32, is_user: bool) -> ArgSource {
    match ARGUMENTS.get(number as usize) {
        Some(register) => ArgSource::Register {
            offset: offset(register),
            size: 8,
            signed: false,
        },
        None => stack_source(number - ARGUMENTS.len() as u32, 8, is_user),
    }
}

/// The n-th word that was passed on the stack, when the function is entered.
pub(super) fn stack_source(word: u32, size: u32, is_user: bool) -> ArgSource {
    ArgSource::Memory {
        register_offset: offset("sp"),
        index_register_offset: None,
        scale: 1,
        displacement: 8 + i64::from(word) * 8,
        size,
        signed: false,
        user: is_user,
    }
}

/// `arg0` … of a function whose arguments are not known.
pub(super) fn positional(is_user: bool) -> Vec<Argument> {
    let argument = |number| Argument {
        name: format!("arg{number}"),
        ty: Type::U64,
        source: argument_source(number, is_user),
    };
    (0..POSITIONAL).map(argument).collect()
}

/// `retval` of a function whose type is not known.
pub(super) fn result() -> Argument {
    let source = ArgSource::Register {
        offset: offset("ax"),
        size: 8,
        signed: false,
    };
    Argument {
        name: "retval".to_string(),
        ty: Type::U64,
        source,
    }
}
