//! BTF types as Rust values: small, copied freely, borrowing names and members from the file.

use super::Btf;
use super::raw::{RECORD, Record, malformed};
use crate::Result;
use crate::bytes::u32_at;
use std::fmt;

/// Number of a type; 0 is `void`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TypeId(pub u32);

impl TypeId {
    /// The type `void`.
    pub const VOID: TypeId = TypeId(0);
}

impl fmt::Display for TypeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

macro_rules! kinds {
    ($($number:literal $name:ident $doc:literal;)*) => {
        /// The kinds of BTF types, by their numbers in the format.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Kind { $(#[doc = $doc] $name = $number,)* }

        impl Kind {
            pub(super) fn from_raw(number: u32) -> Option<Kind> {
                match number { $($number => Some(Kind::$name),)* _ => None }
            }
        }
    };
}

kinds! {
    1 Int "An integer, char or bool.";
    2 Ptr "A pointer.";
    3 Array "An array.";
    4 Struct "A struct.";
    5 Union "A union.";
    6 Enum "An enum of up to 32 bits.";
    7 Fwd "A struct or union that is only declared.";
    8 Typedef "A typedef.";
    9 Volatile "`volatile`.";
    10 Const "`const`.";
    11 Restrict "`restrict`.";
    12 Func "A function.";
    13 FuncProto "A function's type.";
    14 Var "A global variable.";
    15 DataSec "An ELF data section.";
    16 Float "A floating point number.";
    17 DeclTag "A tag on a declaration.";
    18 TypeTag "A tag on a pointed-to type.";
    19 Enum64 "An enum of 64 bits.";
}

impl Kind {
    /// The word C has for it, for messages.
    pub fn keyword(self) -> &'static str {
        match self {
            Kind::Struct => "struct",
            Kind::Union => "union",
            Kind::Enum | Kind::Enum64 => "enum",
            Kind::Func | Kind::FuncProto => "function",
            Kind::Var => "variable",
            Kind::Typedef => "typedef",
            _ => "type",
        }
    }
}

/// A decoded type.
#[derive(Debug, Clone, Copy)]
pub enum Type<'a> {
    /// `void`.
    Void,
    /// An integer.
    Int(Int<'a>),
    /// A pointer to that type.
    Ptr(TypeId),
    /// An array.
    Array(Array),
    /// A struct.
    Struct(Composite<'a>),
    /// A union.
    Union(Composite<'a>),
    /// An enum, 32 or 64 bits wide.
    Enum(Enum<'a>),
    /// A declared but not defined struct or union.
    Fwd {
        /// Its name.
        name: &'a str,
        /// Whether it is a union.
        is_union: bool,
    },
    /// A typedef.
    Typedef {
        /// The new name.
        name: &'a str,
        /// What it names.
        target: TypeId,
    },
    /// `volatile T`.
    Volatile(TypeId),
    /// `const T`.
    Const(TypeId),
    /// `restrict T`.
    Restrict(TypeId),
    /// A function.
    Func {
        /// Its name.
        name: &'a str,
        /// Its [`Type::FuncProto`].
        proto: TypeId,
        /// Whether it is visible outside its file.
        linkage: Linkage,
    },
    /// Parameters and return type of a function.
    FuncProto(FuncProto<'a>),
    /// A global variable.
    Var(Variable<'a>),
    /// A data section.
    DataSec {
        /// Its name, such as `.data..percpu`.
        name: &'a str,
        /// Its size in bytes.
        size: u32,
    },
    /// A floating point number.
    Float {
        /// `float`, `double` …
        name: &'a str,
        /// In bytes.
        size: u32,
    },
    /// A tag on a declaration.
    DeclTag(DeclTag<'a>),
    /// A tag on a type, such as `user` or `percpu` behind a pointer.
    TypeTag {
        /// The tag.
        name: &'a str,
        /// The tagged type.
        target: TypeId,
    },
}

/// An integer type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Int<'a> {
    /// `unsigned int`, `char` …
    pub name: &'a str,
    /// In bytes.
    pub size: u32,
    /// How to read it.
    pub encoding: IntEncoding,
    /// Bits in use, less than `size * 8` in bitfields of old compilers.
    pub bits: u8,
    /// Where those bits start.
    pub bit_offset: u8,
}

/// How an integer's bits are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntEncoding {
    /// Unsigned.
    Unsigned,
    /// Signed.
    Signed,
    /// A character.
    Char,
    /// `_Bool`.
    Bool,
}

/// An array type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Array {
    /// Type of one element.
    pub element: TypeId,
    /// Number of elements; 0 for a flexible array.
    pub len: u32,
}

/// A struct or union.
#[derive(Debug, Clone, Copy)]
pub struct Composite<'a> {
    /// Empty for an anonymous one.
    pub name: &'a str,
    /// In bytes.
    pub size: u32,
    btf: &'a Btf,
    raw: &'a [u8],
    has_bitfields: bool,
}

/// A member of a struct or union.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member<'a> {
    /// Empty for an anonymous struct or union.
    pub name: &'a str,
    /// Its type.
    pub type_id: TypeId,
    /// Its place from the start of the composite.
    pub bit_offset: u32,
    /// Width in bits when it is a bitfield.
    pub bitfield_bits: Option<u8>,
}

/// An enum.
#[derive(Debug, Clone, Copy)]
pub struct Enum<'a> {
    /// Empty for an anonymous one.
    pub name: &'a str,
    /// In bytes.
    pub size: u32,
    /// Whether its values can be negative.
    pub signed: bool,
    btf: &'a Btf,
    raw: &'a [u8],
    is_wide: bool,
}

/// Parameters and return type of a function.
#[derive(Debug, Clone, Copy)]
pub struct FuncProto<'a> {
    /// What it returns.
    pub return_type: TypeId,
    btf: &'a Btf,
    raw: &'a [u8],
}

/// One parameter of a function; variadic functions end with an unnamed one of type `void`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Param<'a> {
    /// Often empty in function pointer types.
    pub name: &'a str,
    /// Its type.
    pub type_id: TypeId,
}

/// A global variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its type.
    pub type_id: TypeId,
    /// Whether it is visible outside its file.
    pub linkage: Linkage,
}

/// A tag on a declaration, such as `bpf_kfunc`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeclTag<'a> {
    /// The tag.
    pub name: &'a str,
    /// What is tagged.
    pub target: TypeId,
    /// Which member or parameter, when not the whole.
    pub component: Option<u32>,
}

/// Visibility of a function or variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Linkage {
    /// Only in its file.
    Static,
    /// Everywhere.
    Global,
    /// Defined elsewhere.
    Extern,
}

impl Linkage {
    fn from_raw(number: u32) -> Linkage {
        match number {
            0 => Linkage::Static,
            1 => Linkage::Global,
            _ => Linkage::Extern,
        }
    }
}

/// Iterator over members.
pub type Members<'a> = Box<dyn ExactSizeIterator<Item = Member<'a>> + 'a>;

impl<'a> Composite<'a> {
    /// The members in order, anonymous ones included.
    pub fn members(&self) -> impl ExactSizeIterator<Item = Member<'a>> + use<'a> {
        let (btf, has_bitfields) = (self.btf, self.has_bitfields);
        self.raw.chunks_exact(12).map(move |entry| {
            let offset = word(entry, 8);
            let (bit_offset, bits) = if has_bitfields {
                (offset & 0xff_ffff, (offset >> 24) as u8)
            } else {
                (offset, 0)
            };
            Member {
                name: btf.string(word(entry, 0)),
                type_id: TypeId(word(entry, 4)),
                bit_offset,
                bitfield_bits: (bits != 0).then_some(bits),
            }
        })
    }
}

impl<'a> Enum<'a> {
    /// Names and values in order. Unsigned 64-bit values above `i64::MAX` keep their bits.
    pub fn values(&self) -> impl ExactSizeIterator<Item = (&'a str, i64)> + use<'a> {
        let (btf, signed, is_wide) = (self.btf, self.signed, self.is_wide);
        self.raw
            .chunks_exact(if is_wide { 12 } else { 8 })
            .map(move |entry| {
                let low = word(entry, 4);
                let value = match (is_wide, signed) {
                    (true, _) => (u64::from(word(entry, 8)) << 32 | u64::from(low)) as i64,
                    (false, true) => i64::from(low as i32),
                    (false, false) => i64::from(low),
                };
                (btf.string(word(entry, 0)), value)
            })
    }

    /// The name of a value.
    pub fn name_of(&self, value: i64) -> Option<&'a str> {
        self.values()
            .find(|(_, v)| *v == value)
            .map(|(name, _)| name)
    }
}

impl<'a> FuncProto<'a> {
    /// The parameters in order.
    pub fn params(&self) -> impl ExactSizeIterator<Item = Param<'a>> + use<'a> {
        let btf = self.btf;
        self.raw.chunks_exact(8).map(move |entry| Param {
            name: btf.string(word(entry, 0)),
            type_id: TypeId(word(entry, 4)),
        })
    }

    /// Whether it takes `...`.
    pub fn is_variadic(&self) -> bool {
        self.params()
            .last()
            .is_some_and(|p| p.type_id == TypeId::VOID)
    }
}

/// A word of an entry whose length is known to suffice.
fn word(entry: &[u8], offset: usize) -> u32 {
    u32_at(entry, offset).unwrap_or(0)
}

/// Decodes the type whose record starts `bytes`.
pub(super) fn decode<'a>(btf: &'a Btf, bytes: &'a [u8]) -> Result<Type<'a>> {
    let record = Record::at(bytes, 0);
    let kind = record
        .kind()
        .ok_or_else(|| malformed("unknown kind of type"))?;
    let raw = bytes
        .get(RECORD..RECORD + record.extra(kind))
        .ok_or_else(|| malformed("type is cut off"))?;
    let name = btf.string(record.name);
    let target = TypeId(record.size_or_type);
    let size = record.size_or_type;
    let has_bitfields = record.flag();
    Ok(match kind {
        Kind::Int => Type::Int(int(name, size, word(raw, 0))),
        Kind::Ptr => Type::Ptr(target),
        Kind::Array => Type::Array(Array {
            element: TypeId(word(raw, 0)),
            len: word(raw, 8),
        }),
        Kind::Struct => Type::Struct(Composite {
            name,
            size,
            btf,
            raw,
            has_bitfields,
        }),
        Kind::Union => Type::Union(Composite {
            name,
            size,
            btf,
            raw,
            has_bitfields,
        }),
        Kind::Enum => Type::Enum(Enum {
            name,
            size,
            signed: record.flag(),
            btf,
            raw,
            is_wide: false,
        }),
        Kind::Enum64 => Type::Enum(Enum {
            name,
            size,
            signed: record.flag(),
            btf,
            raw,
            is_wide: true,
        }),
        Kind::Fwd => Type::Fwd {
            name,
            is_union: record.flag(),
        },
        Kind::Typedef => Type::Typedef { name, target },
        Kind::Volatile => Type::Volatile(target),
        Kind::Const => Type::Const(target),
        Kind::Restrict => Type::Restrict(target),
        Kind::Func => Type::Func {
            name,
            proto: target,
            linkage: Linkage::from_raw(record.vlen() as u32),
        },
        Kind::FuncProto => Type::FuncProto(FuncProto {
            return_type: target,
            btf,
            raw,
        }),
        Kind::Var => Type::Var(Variable {
            name,
            type_id: target,
            linkage: Linkage::from_raw(word(raw, 0)),
        }),
        Kind::DataSec => Type::DataSec { name, size },
        Kind::Float => Type::Float { name, size },
        Kind::DeclTag => {
            let component = word(raw, 0);
            Type::DeclTag(DeclTag {
                name,
                target,
                component: (component != u32::MAX).then_some(component),
            })
        }
        Kind::TypeTag => Type::TypeTag { name, target },
    })
}

fn int(name: &str, size: u32, word: u32) -> Int<'_> {
    let encoding = match (word >> 24) & 0xf {
        1 => IntEncoding::Signed,
        2 => IntEncoding::Char,
        4 => IntEncoding::Bool,
        _ => IntEncoding::Unsigned,
    };
    Int {
        name,
        size,
        encoding,
        bits: word as u8,
        bit_offset: (word >> 16) as u8,
    }
}
