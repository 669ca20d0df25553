//! Where a static probe's arguments lie: `SIZE@OPERAND` in the assembler's notation (x86).
//!
//! | Text | Meaning |
//! |---|---|
//! | `-4@$-1` | the constant −1 |
//! | `8@%rbx`, `1@%r15b` | a register, or its low part |
//! | `-4@112(%rsp)`, `8@(%rax,%rbx,8)` | memory at base + index × scale + offset |
//! | `-4@NBuffers(%rip)`, `-4@40+CheckpointStats(%rip)` | a variable of the binary |
//!
//! A negative size means a signed number; `f` behind it a floating point one.

use crate::Address;

/// Arguments taken of one probe; sdt.h allows 12.
const MAX_ARGUMENTS: usize = 32;

/// One argument of a static probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsdtArg {
    /// Bytes: 1, 2, 4 or 8.
    pub size: u8,
    /// Whether it is sign-extended.
    pub signed: bool,
    /// Where it is.
    pub kind: ArgumentKind,
}

/// Where an argument is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArgumentKind {
    /// A number in the note.
    Const(i64),
    /// In a register.
    Register {
        /// Which.
        reg: Register,
        /// Bytes of it that are named.
        size: u8,
        /// First bit, 8 for `%ah`.
        shift: u8,
    },
    /// In memory.
    Memory {
        /// Base register.
        base: Option<Register>,
        /// Added to it.
        offset: i64,
        /// Index register and what it is multiplied with.
        index: Option<(Register, u8)>,
    },
    /// In a variable of the binary, addressed from the instruction pointer.
    SymbolRelative {
        /// The variable.
        symbol: String,
        /// Added to its address.
        offset: i64,
        /// The address in the binary, offset included, when the variable was found. At run time it is moved as the probe's own
        /// location is.
        address: Option<Address>,
    },
    /// Something that cannot be read or is not understood: an XMM register, a segment.
    Unknown(String),
}

macro_rules! registers {
    ($($name:ident $pt_regs:literal $q:literal $d:literal $w:literal $b:literal;)*) => {
        /// A general register of x86-64.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[allow(missing_docs)]
        pub enum Register { $($name,)* }

        impl Register {
            /// Its place in the kernel's `struct pt_regs`.
            pub fn pt_regs_offset(self) -> u16 {
                match self { $(Register::$name => $pt_regs,)* }
            }

            /// Its 64-bit name without the percent sign.
            pub fn name(self) -> &'static str {
                match self { $(Register::$name => $q,)* }
            }

            /// The register of that name and how many of its bytes the name means.
            pub fn parse(name: &str) -> Option<(Register, u8)> {
                match name {
                    $($q => Some((Register::$name, 8)), $d => Some((Register::$name, 4)),
                      $w => Some((Register::$name, 2)), $b => Some((Register::$name, 1)),)*
                    _ => None,
                }
            }
        }
    };
}

registers! {
    Rax 80 "rax" "eax" "ax" "al";
    Rbx 40 "rbx" "ebx" "bx" "bl";
    Rcx 88 "rcx" "ecx" "cx" "cl";
    Rdx 96 "rdx" "edx" "dx" "dl";
    Rsi 104 "rsi" "esi" "si" "sil";
    Rdi 112 "rdi" "edi" "di" "dil";
    Rbp 32 "rbp" "ebp" "bp" "bpl";
    Rsp 152 "rsp" "esp" "sp" "spl";
    R8 72 "r8" "r8d" "r8w" "r8b";
    R9 64 "r9" "r9d" "r9w" "r9b";
    R10 56 "r10" "r10d" "r10w" "r10b";
    R11 48 "r11" "r11d" "r11w" "r11b";
    R12 24 "r12" "r12d" "r12w" "r12b";
    R13 16 "r13" "r13d" "r13w" "r13b";
    R14 8 "r14" "r14d" "r14w" "r14b";
    R15 0 "r15" "r15d" "r15w" "r15b";
    Rip 128 "rip" "eip" "ip" "ipl";
}

impl UsdtArg {
    /// Looks up the variable of a symbol-relative argument.
    pub(super) fn resolve(&mut self, address_of: impl Fn(&str) -> Option<Address>) {
        if let ArgumentKind::SymbolRelative {
            symbol,
            offset,
            address,
        } = &mut self.kind
        {
            *address =
                address_of(symbol).map(|found| Address(found.0.wrapping_add_signed(*offset)));
        }
    }

    fn parse(text: &str) -> UsdtArg {
        let unknown = || UsdtArg {
            size: 8,
            signed: false,
            kind: ArgumentKind::Unknown(text.to_string()),
        };
        // Without a size (old notes) it is a long.
        let (size_text, operand) = match text.split_once('@') {
            Some((size, operand)) => (size, operand),
            None => ("8", text),
        };
        let (size_text, is_float) = match size_text.strip_suffix('f') {
            Some(rest) => (rest, true),
            None => (size_text, false),
        };
        let Ok(size) = size_text.parse::<i8>() else {
            return unknown();
        };
        if !matches!(size.unsigned_abs(), 1 | 2 | 4 | 8) {
            return unknown();
        }
        let kind = if is_float {
            None
        } else {
            parse_operand(operand)
        };
        let kind = kind.unwrap_or_else(|| ArgumentKind::Unknown(operand.to_string()));
        UsdtArg {
            size: size.unsigned_abs(),
            signed: size < 0,
            kind,
        }
    }
}

/// All arguments of a note.
pub(super) fn parse_all(text: &str) -> Vec<UsdtArg> {
    text.split_ascii_whitespace()
        .take(MAX_ARGUMENTS)
        .map(UsdtArg::parse)
        .collect()
}

fn parse_operand(text: &str) -> Option<ArgumentKind> {
    if let Some(number) = text.strip_prefix('$') {
        return parse_number(number).map(ArgumentKind::Const);
    }
    if let Some(name) = text.strip_prefix('%') {
        return parse_register_operand(name);
    }
    match text.strip_suffix(')') {
        Some(rest) => {
            let (displacement, registers) = rest.split_once('(')?;
            parse_memory(displacement, registers)
        }
        // A bare symbol is a variable at a fixed address, a bare number is memory at that address.
        None => match parse_displacement(text)? {
            (None, offset) => Some(ArgumentKind::Memory {
                base: None,
                offset,
                index: None,
            }),
            (Some(symbol), offset) => Some(symbol_relative(symbol, offset)),
        },
    }
}

fn parse_register_operand(name: &str) -> Option<ArgumentKind> {
    let high = match name {
        "ah" => Some(Register::Rax),
        "bh" => Some(Register::Rbx),
        "ch" => Some(Register::Rcx),
        "dh" => Some(Register::Rdx),
        _ => None,
    };
    if let Some(reg) = high {
        return Some(ArgumentKind::Register {
            reg,
            size: 1,
            shift: 8,
        });
    }
    let (reg, size) = Register::parse(name)?;
    Some(ArgumentKind::Register {
        reg,
        size,
        shift: 0,
    })
}

/// `disp(base,index,scale)`
fn parse_memory(displacement: &str, registers: &str) -> Option<ArgumentKind> {
    let (symbol, offset) = parse_displacement(displacement)?;
    let mut parts = registers.split(',').map(str::trim);
    let base = address_register(parts.next()?)?;
    let index = match parts.next() {
        Some(name) => address_register(name)?,
        None => None,
    };
    let scale = match parts.next() {
        Some(scale) => scale
            .parse::<u8>()
            .ok()
            .filter(|scale| matches!(scale, 1 | 2 | 4 | 8))?,
        None => 1,
    };
    match (symbol, base) {
        (Some(symbol), Some(Register::Rip)) if index.is_none() => {
            Some(symbol_relative(symbol, offset))
        }
        (Some(_), _) => None,
        (None, _) if base.is_none() && index.is_none() => None,
        (None, _) => Some(ArgumentKind::Memory {
            base,
            offset,
            index: index.map(|reg| (reg, scale)),
        }),
    }
}

/// A 64-bit register of an address, or nothing; `None` when it is neither.
#[allow(clippy::option_option)]
fn address_register(text: &str) -> Option<Option<Register>> {
    if text.is_empty() {
        return Some(None);
    }
    match Register::parse(text.strip_prefix('%')?)? {
        (reg, 8) => Some(Some(reg)),
        _ => None,
    }
}

fn symbol_relative(symbol: &str, offset: i64) -> ArgumentKind {
    ArgumentKind::SymbolRelative {
        symbol: symbol.to_string(),
        offset,
        address: None,
    }
}

/// `112`, `-8`, `NBuffers`, `40+CheckpointStats`, `CheckpointStats+40`, `x-8`, or nothing.
fn parse_displacement(text: &str) -> Option<(Option<&str>, i64)> {
    let mut symbol = None;
    let mut offset: i64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let (sign, tail) = match rest.as_bytes()[0] {
            b'-' => (-1, &rest[1..]),
            b'+' => (1, &rest[1..]),
            _ => (1, rest),
        };
        let end = tail.find(['+', '-']).unwrap_or(tail.len());
        let (term, tail) = tail.split_at(end);
        match parse_number(term) {
            Some(number) => offset = offset.checked_add(number.checked_mul(sign)?)?,
            None if symbol.is_none() && sign == 1 && is_symbol(term) => symbol = Some(term),
            None => return None,
        }
        rest = tail;
    }
    Some((symbol, offset))
}

fn is_symbol(text: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '$' | '@');
    text.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '.'))
        && text.chars().all(is_part)
}

/// Decimal or hexadecimal, with an optional sign; values above `i64::MAX` keep their bits.
fn parse_number(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let value = match digits.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok()?,
        None => digits.parse().ok()?,
    };
    Some(if negative {
        (value as i64).wrapping_neg()
    } else {
        value as i64
    })
}
