//! What a type is, as debug information tells it.

/// Number of a type in its graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TypeIndex(pub u32);

/// A type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DebugType {
    /// `void`.
    Void,
    /// A number, character or truth value.
    Base {
        /// Its name in the source language.
        name: String,
        /// In bytes.
        size: u64,
        /// How to read it.
        encoding: BaseEncoding,
    },
    /// A pointer or a reference.
    Pointer {
        /// What it points to.
        target: TypeIndex,
        /// Whether the language calls it a reference.
        is_reference: bool,
    },
    /// A struct, class or union.
    Composite {
        /// Which of them.
        kind: CompositeKind,
        /// Empty for an anonymous one.
        name: String,
        /// In bytes; 0 when it is only declared.
        size: u64,
        /// In order of the source.
        members: Vec<DebugMember>,
    },
    /// An enum.
    Enum {
        /// Empty for an anonymous one.
        name: String,
        /// In bytes.
        size: u64,
        /// Names and values.
        values: Vec<(String, i64)>,
    },
    /// An array.
    Array {
        /// Type of one element.
        element: TypeIndex,
        /// Number of elements, when it is known.
        len: Option<u64>,
    },
    /// A typedef.
    Typedef {
        /// The new name.
        name: String,
        /// What it names.
        target: TypeIndex,
    },
    /// A qualified type.
    Qualified {
        /// By what.
        qualifier: Qualifier,
        /// The type without it.
        target: TypeIndex,
    },
    /// A function's type, behind function pointers.
    Function,
    /// A type that is not described, not understood, or beyond the graph's limit; with its name if there is one.
    Unknown(String),
}

/// How a base type's bytes are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BaseEncoding {
    /// An unsigned integer.
    Unsigned,
    /// A signed integer.
    Signed,
    /// A truth value.
    Bool,
    /// A character, signed or not.
    Char,
    /// A floating point number.
    Float,
    /// Something else: complex, decimal.
    Other,
}

/// Which composite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompositeKind {
    /// `struct`.
    Struct,
    /// `class`.
    Class,
    /// `union`.
    Union,
}

/// A qualifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Qualifier {
    /// `const`.
    Const,
    /// `volatile`.
    Volatile,
    /// `restrict`.
    Restrict,
    /// `_Atomic`.
    Atomic,
}

/// A member of a composite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DebugMember {
    /// Empty for an anonymous struct or union, and for a base class.
    pub name: String,
    /// Its type.
    pub type_index: TypeIndex,
    /// Its place from the start of the composite.
    pub bit_offset: u64,
    /// Width in bits when it is a bitfield.
    pub bitfield_bits: Option<u64>,
}
