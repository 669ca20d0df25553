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

/// Arguments of known types by the calling convention, as far as registers that programs can read carry them.
///
/// Floating-point arguments are in XMM registers, which no program can read; they are left out. Structs of up to 16 bytes take one
/// or two registers, larger ones lie on the stack.
#[derive(Debug)]
pub(super) struct CallingConvention {
    next_register: usize,
    next_stack_word: u32,
    is_user: bool,
}

impl CallingConvention {
    pub(super) fn new(is_user: bool) -> CallingConvention {
        CallingConvention {
            next_register: 0,
            next_stack_word: 0,
            is_user,
        }
    }

    /// A hidden argument: where a large result goes.
    pub(super) fn skip_register(&mut self) {
        self.next_register += 1;
    }

    /// The place of the next argument; `None` when it cannot be read.
    pub(super) fn place(&mut self, ty: &Type, size: u32) -> Option<ArgSource> {
        match ty {
            Type::Opaque(_) => None,
            Type::Struct(_) | Type::Array { .. } | Type::String { .. } if size > 16 => {
                let at = self.next_stack_word;
                self.next_stack_word += size.div_ceil(8);
                Some(stack_source(at, size, self.is_user))
            }
            Type::Struct(_) | Type::Array { .. } | Type::String { .. } => {
                let words = size.div_ceil(8) as usize;
                if self.next_register + words <= ARGUMENTS.len() {
                    // In two registers at once: there is no address to read it from.
                    self.next_register += words;
                    return None;
                }
                let at = self.next_stack_word;
                self.next_stack_word += words as u32;
                Some(stack_source(at, size, self.is_user))
            }
            _ => Some(self.scalar(ty, size.clamp(1, 8))),
        }
    }

    fn scalar(&mut self, ty: &Type, size: u32) -> ArgSource {
        let is_signed = matches!(ty, Type::Int { signed: true, .. })
            || matches!(ty, Type::Enum(of) if of.signed);
        match ARGUMENTS.get(self.next_register) {
            Some(register) => {
                self.next_register += 1;
                ArgSource::Register {
                    offset: offset(register),
                    size,
                    signed: is_signed,
                }
            }
            None => {
                let at = self.next_stack_word;
                self.next_stack_word += 1;
                stack_source(at, size, self.is_user)
            }
        }
    }
}
