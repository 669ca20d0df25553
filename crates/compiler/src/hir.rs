//! The typed script: every expression has a type, every name points at one declaration, globs and sugar are gone.
//!
//! One [`Body`] per group of attach points.

use std::sync::Arc;

use fathom_bpf::object::SourceSpan;

use crate::builtins::Builtin;
use crate::ir;
use crate::probes::Argument;
use crate::ty::Type;

/// A map of the script, by number in [`Maps`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MapRef(pub u32);

/// A scratch variable, by number in [`Body::variables`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VariableRef(pub u32);

/// All maps of the script with what was found out about them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Maps {
    /// Indexed by [`MapRef`].
    pub maps: Vec<MapInfo>,
}

/// One map of the script.
#[derive(Clone, Debug, PartialEq)]
pub struct MapInfo {
    /// Without `@`.
    pub name: String,
    /// First use or declaration.
    pub span: SourceSpan,
    /// `None` while unknown; `Some(Type::None)` for a scalar map.
    pub key: Option<Type>,
    /// [`Type::Unknown`] while unknown.
    pub value: Type,
    /// `let @m = lruhash(10)`.
    pub declared: Option<DeclaredMap>,
}

/// What a map declaration says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeclaredMap {
    /// Kernel type.
    pub kind: fathom_bpf::MapKind,
    /// Entries.
    pub max_entries: u32,
}

/// What runs at a group of attach points.
#[derive(Clone, Debug, PartialEq)]
pub struct Body {
    /// Scratch variables.
    pub variables: Vec<VariableInfo>,
    /// Run the block only if this holds.
    pub predicate: Option<Expr>,
    /// What to do.
    pub block: Block,
}

/// A scratch variable.
#[derive(Clone, Debug, PartialEq)]
pub struct VariableInfo {
    /// Without `$`.
    pub name: String,
    /// Joined over all assignments.
    pub ty: Type,
    /// Declaration or first assignment.
    pub span: SourceSpan,
    /// Used inside a loop body that becomes a callback, but declared outside of it (or in another callback).
    pub is_captured: bool,
}

/// Statements with an optional value.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// In order.
    pub statements: Vec<Stmt>,
    /// The block's value.
    pub value: Option<Box<Expr>>,
}

/// A statement.
#[derive(Clone, Debug, PartialEq)]
pub struct Stmt {
    /// What it is.
    pub kind: StmtKind,
    /// Where it stands.
    pub span: SourceSpan,
}

/// What a statement is.
#[derive(Clone, Debug, PartialEq)]
pub enum StmtKind {
    /// For its effect.
    Expr(Expr),
    /// `$x = e`, converted to the variable's type when stored.
    SetVariable {
        variable: VariableRef,
        value: Expr,
    },
    /// `let $x;`: zero.
    ZeroVariable(VariableRef),
    /// `@x[key] = e`
    SetMap {
        map: MapRef,
        key: Option<Expr>,
        value: Expr,
    },
    /// `@x[key] = count()` and the like.
    Aggregate {
        map: MapRef,
        key: Option<Expr>,
        value: Option<Expr>,
    },
    /// `@x[key] += e`: one atomic add where the result is not used.
    AddMap {
        map: MapRef,
        key: Option<Expr>,
        value: Expr,
        is_subtraction: bool,
    },
    /// `while`
    While {
        condition: Expr,
        body: Block,
    },
    /// `for ($kv : @map)`
    ForMap {
        variable: VariableRef,
        map: MapRef,
        body: Block,
    },
    /// `for ($i : a..b)`
    ForRange {
        variable: VariableRef,
        start: Expr,
        end: Expr,
        body: Block,
    },
    /// `unroll`, the count known.
    Unroll {
        count: u32,
        body: Block,
    },
    Break,
    Continue,
    /// Leaves the probe (with a result for `test` probes).
    Return(Option<Expr>),
}

/// A typed expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    pub kind: ExprKind,
    pub ty: Type,
    pub span: SourceSpan,
}

/// What an expression is.
#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    /// After an error.
    Error,
    Int(i64),
    Bool(bool),
    Str(Arc<[u8]>),
    Variable(VariableRef),
    /// `@x`, `@x[key]`: missing keys give zeros. For aggregations: the sum over CPUs.
    Map {
        map: MapRef,
        key: Option<Box<Expr>>,
    },
    /// `args.x`, `arg0`, `retval`.
    Argument(Box<Argument>),
    /// `base.member` of a struct or union: `base` is the struct (an lvalue in some memory).
    Member {
        base: Box<Expr>,
        offset: u32,
        bits: Option<(u32, u32)>,
    },
    /// The n-th element of a tuple or field of a record.
    Element {
        base: Box<Expr>,
        index: u32,
    },
    /// `*p`: an lvalue at the pointer's target.
    Dereference(Box<Expr>),
    /// `a[i]`, an lvalue within the array.
    Index {
        base: Box<Expr>,
        index: Box<Expr>,
    },
    /// `&$x`, `&@m[k]`: the operand's address.
    AddressOf(Box<Expr>),
    Negate(Box<Expr>),
    Complement(Box<Expr>),
    Not(Box<Expr>),
    /// Integer and pointer arithmetic; operands already scaled and converted.
    Arithmetic {
        op: ir::BinaryOp,
        is_signed: bool,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    /// Integers, pointers and booleans.
    Compare {
        op: ir::Compare,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    /// Strings, buffers, arrays, tuples: equal or not.
    SameBytes {
        negated: bool,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    /// `c ? a : b`, `if` with a value.
    Choose {
        condition: Box<Expr>,
        then: Box<Expr>,
        otherwise: Box<Expr>,
    },
    /// `a ?: b`
    Elvis {
        value: Box<Expr>,
        otherwise: Box<Expr>,
    },
    /// `if` without a value.
    If {
        condition: Box<Expr>,
        then: Box<Block>,
        otherwise: Option<Box<Block>>,
    },
    /// A block with or without a value.
    Block(Box<Block>),
    /// To the expression's type.
    Cast(Box<Expr>),
    Tuple(Vec<Expr>),
    /// In the order of the type's fields.
    Record(Vec<Expr>),
    /// `++`, `--`.
    Step {
        target: Box<Expr>,
        delta: i64,
        is_prefix: bool,
    },
    /// A builtin value or function.
    Builtin {
        builtin: &'static Builtin,
        args: Vec<Expr>,
        data: Data,
    },
    /// A type used as an argument (`sizeof`-like builtins take it apart).
    Type,
}

/// What a builtin's check found out and its lowering needs, besides typed arguments.
#[derive(Clone, Debug, PartialEq, Default)]
pub enum Data {
    #[default]
    None,
    Int(i64),
    Text(Arc<str>),
    Map(MapRef),
    /// `print(@m, top, div)`
    PrintMap {
        map: MapRef,
        top: Option<u64>,
        divisor: Option<u64>,
    },
}

impl Expr {
    /// Stands for an expression that was already complained about.
    pub fn error(span: SourceSpan) -> Expr {
        Expr {
            kind: ExprKind::Error,
            ty: Type::Error,
            span,
        }
    }

    /// An integer constant.
    pub fn int(value: i64, ty: Type, span: SourceSpan) -> Expr {
        Expr {
            kind: ExprKind::Int(value),
            ty,
            span,
        }
    }

    /// The value of an integer (or boolean) constant.
    pub fn as_int(&self) -> Option<i64> {
        match &self.kind {
            ExprKind::Int(value) => Some(*value),
            ExprKind::Bool(value) => Some(i64::from(*value)),
            _ => None,
        }
    }

    /// The text of a string constant.
    pub fn as_text(&self) -> Option<&[u8]> {
        match &self.kind {
            ExprKind::Str(bytes) => Some(bytes),
            _ => None,
        }
    }
}
