//! The C part of a script: definitions taken apart, preprocessor lines kept.

use super::{Expr, Name};
use crate::span::Span;

/// Everything in the C part. Inactive `#if` branches are not in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CDefs {
    /// `#include` lines, as they stand.
    pub includes: Vec<CInclude>,
    /// `#define` lines, as they stand; a later one of the same name wins.
    pub defines: Vec<CDefine>,
    /// Named structs and unions with a body, those defined inside others too.
    pub records: Vec<CRecord>,
    /// Enums with a body, named or not, those defined inside records too.
    pub enums: Vec<CEnum>,
    /// `typedef` lines, as they stand.
    pub typedefs: Vec<CTypedef>,
    /// From the first to the last byte of the C part; `None` if the script has none.
    pub span: Option<Span>,
}

/// `#include <path>` or `#include "path"`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CInclude {
    /// The path.
    pub path: String,
    /// Written with `<>`.
    pub system: bool,
    /// The line.
    pub span: Span,
}

/// `#define NAME value`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CDefine {
    /// The name.
    pub name: Name,
    /// Parameters of a function-like macro.
    pub params: Option<Vec<String>>,
    /// The text behind the name, trimmed, line continuations joined.
    pub text: String,
    /// The value, if the text is an expression and there are no parameters.
    pub value: Option<Expr>,
    /// The line.
    pub span: Span,
}

/// `struct` or `union`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CRecordKind {
    /// `struct`
    Struct,
    /// `union`
    Union,
}

/// A struct or union with its fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CRecord {
    /// Struct or union.
    pub kind: CRecordKind,
    /// Its tag.
    pub name: Option<Name>,
    /// Its fields, as they stand.
    pub fields: Vec<CField>,
    /// What `__attribute__` says of it.
    pub attributes: CAttributes,
    /// From the keyword to the closing brace or the last attribute.
    pub span: Span,
}

/// What `__attribute__((…))` says, as far as it changes the layout.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CAttributes {
    /// `packed`
    pub packed: bool,
    /// `aligned(N)`; `aligned` alone is the machine's largest alignment, 16.
    pub aligned: Option<Expr>,
    /// `aligned` without a number.
    pub aligned_max: bool,
}

/// A field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CField {
    /// Its name; `None` for an anonymous struct or union, and for unnamed bit-field padding.
    pub name: Option<Name>,
    /// Its type.
    pub ty: CType,
    /// The width of a bit-field.
    pub bit_width: Option<Expr>,
    /// What `__attribute__` says of it.
    pub attributes: CAttributes,
    /// Where it stands.
    pub span: Span,
}

/// A C type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CType {
    /// `void`
    Void,
    /// A base type or a typedef name; the words of base types in one order: `unsigned long long`, `signed char`.
    Named(Name),
    /// `struct tag` or `union tag`.
    Record(CRecordKind, Name),
    /// `enum tag`
    Enum(Name),
    /// A struct or union without a tag, defined in place.
    Inline(Box<CRecord>),
    /// An enum without a tag, defined in place: an `unsigned int` (its constants are in [`CDefs::enums`]).
    InlineEnum,
    /// `T *`
    Pointer(Box<CType>),
    /// `T [N]`; without a length a flexible array.
    Array {
        /// The element.
        of: Box<CType>,
        /// How many.
        len: Option<Expr>,
    },
    /// What a function pointer points to.
    Function,
    /// Text that could not be read; a diagnostic says why.
    Error,
}

/// An enum with its constants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CEnum {
    /// Its tag.
    pub name: Option<Name>,
    /// Its constants, as they stand.
    pub constants: Vec<CEnumConstant>,
    /// What `__attribute__` says of it.
    pub attributes: CAttributes,
    /// From the keyword to the closing brace or the last attribute.
    pub span: Span,
}

/// A constant of an enum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CEnumConstant {
    /// Its name.
    pub name: Name,
    /// Its value if written; else one more than the one before.
    pub value: Option<Expr>,
}

/// `typedef T name;`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CTypedef {
    /// The new name.
    pub name: Name,
    /// What it stands for.
    pub ty: CType,
    /// The whole declaration.
    pub span: Span,
}
