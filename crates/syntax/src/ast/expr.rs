//! Expressions.

use super::{
    BinaryOp, Block, IntLit, Name, StepOp, StepPosition, StrLit, TypeExpr, TypeOrExpr, UnaryOp,
};
use crate::span::Span;

/// Number of an expression: dense, unique within a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExprId(pub u32);

impl ExprId {
    /// As an index into a side table.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// An expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Where it stands; parentheses around it are not included.
    pub span: Span,
    /// Its number.
    pub id: ExprId,
}

/// What an expression is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExprKind {
    /// An integer or, in nanoseconds, a duration.
    Int(IntLit),
    /// A string.
    Str(StrLit),
    /// `true` or `false`
    Bool(bool),
    /// `$1`: a positional parameter, counted from 1 (`$0` got a diagnostic).
    Param(u32),
    /// `$#`: how many positional parameters there are.
    ParamCount,
    /// A bare name: builtin, macro without parentheses, macro parameter, constant, or a type where one may stand.
    Ident(String),
    /// `$name`
    Variable(String),
    /// `@name`, or `@` with an empty name.
    Map(String),
    /// `@name[key]`; several keys are a [`ExprKind::Tuple`].
    MapElement {
        /// The map.
        map: Name,
        /// The key.
        key: Box<Expr>,
    },
    /// `base[index]`
    Index {
        /// Array, pointer or tuple.
        base: Box<Expr>,
        /// The index.
        index: Box<Expr>,
    },
    /// `base.field`, `base->field`, `base.0`
    Member {
        /// Struct, record, tuple, or pointer to one.
        base: Box<Expr>,
        /// The field.
        field: Field,
        /// Written as `->`, which means the same.
        arrow: bool,
    },
    /// `name(args)`
    Call {
        /// The function or macro.
        callee: Name,
        /// The arguments; one that is a type is [`ExprKind::Type`].
        args: Vec<Expr>,
    },
    /// A prefix operator.
    Unary {
        /// The operator.
        op: UnaryOp,
        /// The operand.
        operand: Box<Expr>,
    },
    /// `++x`, `x--`, …
    Step {
        /// Up or down.
        op: StepOp,
        /// Before or after: the value is the new one or the old one.
        position: StepPosition,
        /// [`ExprKind::Variable`], [`ExprKind::Map`] or [`ExprKind::MapElement`]; anything else got a diagnostic.
        target: Box<Expr>,
    },
    /// An infix operator.
    Binary {
        /// The operator.
        op: BinaryOp,
        /// Where the operator stands.
        op_span: Span,
        /// The left operand.
        left: Box<Expr>,
        /// The right operand.
        right: Box<Expr>,
    },
    /// `condition ? then : otherwise`, or `condition ?: otherwise`
    Ternary {
        /// The condition.
        condition: Box<Expr>,
        /// The value if it holds; `None` means the condition's own value.
        then: Option<Box<Expr>>,
        /// The value if it does not.
        otherwise: Box<Expr>,
    },
    /// `(type)operand`
    Cast {
        /// The wanted type.
        ty: TypeExpr,
        /// The value.
        operand: Box<Expr>,
    },
    /// `sizeof(type or expression)`
    Sizeof(Box<TypeOrExpr>),
    /// `offsetof(type or expression, a.b.c)`
    Offsetof {
        /// The struct.
        of: Box<TypeOrExpr>,
        /// The path of fields.
        path: Vec<Name>,
    },
    /// `typeinfo(type or expression)`
    Typeinfo(Box<TypeOrExpr>),
    /// A type where a value may stand: `typeof(x)` or `struct x *` as an argument.
    Type(Box<TypeExpr>),
    /// `(a, b)`, `(a,)`, `()`
    Tuple(Vec<Expr>),
    /// `(name = a, …)`
    Record(Vec<RecordField>),
    /// `if condition { … } else …`, also when it stands as a statement.
    If(Box<If>),
    /// `{ … }`, also when it stands as a statement.
    Block(Box<Block>),
    /// `comptime expr`
    Comptime(Box<Expr>),
    /// Text that could not be read; a diagnostic says why.
    Error,
}

/// A field behind `.` or `->`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    /// `.name`
    Named(Name),
    /// `.0`
    Position(u32, Span),
}

/// One field of a record literal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordField {
    /// Its name.
    pub name: Name,
    /// Its value.
    pub value: Expr,
}

/// `if condition { … } [else …]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct If {
    /// The condition; `if comptime (c)` has [`ExprKind::Comptime`] here.
    pub condition: Expr,
    /// If it holds.
    pub then: Block,
    /// If not: an [`ExprKind::If`] or an [`ExprKind::Block`].
    pub otherwise: Option<Expr>,
}
