//! Types as written.

use super::{Expr, Name};
use crate::span::Span;

/// A type as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeExpr {
    /// What it is.
    pub kind: TypeKind,
    /// Where it stands.
    pub span: Span,
}

/// What a type is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TypeKind {
    /// A bare name: `uint64`, `pid_t`, `string`, `count_t`; C's several words as one: `unsigned long`.
    Named(String),
    /// `string[N]`, `buffer[N]`, `inet[N]`: N is a size, not a count.
    Sized {
        /// `string`, `buffer` or `inet`.
        name: String,
        /// The size in bytes.
        len: Box<Expr>,
    },
    /// `struct X`
    Struct(Name),
    /// `union X`
    Union(Name),
    /// `enum X`
    Enum(Name),
    /// `T*`
    Pointer(Box<TypeExpr>),
    /// `T[N]`, or `T[]` with a length taken from the value.
    Array {
        /// The element.
        of: Box<TypeExpr>,
        /// How many.
        len: Option<Box<Expr>>,
    },
    /// `typeof(type or expression)`
    Typeof(Box<TypeOrExpr>),
    /// Text that could not be read; a diagnostic says why.
    Error,
}

/// A type or an expression, in `sizeof` and its kin. A lone name is [`TypeOrExpr::Expr`] with [`ExprKind::Ident`] unless
/// it can only be a type; whoever resolves names decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TypeOrExpr {
    /// Certainly a type.
    Type(TypeExpr),
    /// An expression, or a lone name.
    Expr(Expr),
}
