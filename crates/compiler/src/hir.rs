//! The typed script: every expression has a type, every name points at one declaration, globs and sugar are gone.
//!
//! One [`Body`] per group of attach points.

pub mod uses;
pub mod walk;

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
    /// Zero from the start of the program: it is read where an assignment in an inner block need not have run.
    pub starts_zero: bool,
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
        /// Which one.
        variable: VariableRef,
        /// What it becomes.
        value: Expr,
    },
    /// `let $x;`: zero.
    ZeroVariable(VariableRef),
    /// `@x[key] = e`
    SetMap {
        /// Whose entry.
        map: MapRef,
        /// `None` for a map without keys.
        key: Option<Expr>,
        /// What it becomes.
        value: Expr,
    },
    /// `@x[key] = count()` and the like.
    Aggregate {
        /// Whose entry.
        map: MapRef,
        /// `None` for a map without keys.
        key: Option<Expr>,
        /// The number to aggregate; `count()` has none.
        value: Option<Expr>,
    },
    /// `@x[key] += e`: one atomic add where the result is not used.
    AddMap {
        /// Whose entry.
        map: MapRef,
        /// `None` for a map without keys.
        key: Option<Expr>,
        /// What is added or taken away.
        value: Expr,
        /// `-=`
        is_subtraction: bool,
    },
    /// `while`
    While {
        /// Checked before each round.
        condition: Expr,
        /// One round.
        body: Block,
    },
    /// `for ($kv : @map)`
    ForMap {
        /// `$kv`: the entry as (key, value).
        variable: VariableRef,
        /// Whose entries.
        map: MapRef,
        /// Runs once for each entry.
        body: Block,
    },
    /// `for ($i : a..b)`
    ForRange {
        /// `$i`
        variable: VariableRef,
        /// First number.
        start: Expr,
        /// The first number that is not visited.
        end: Expr,
        /// Runs once for each number.
        body: Block,
    },
    /// `unroll`, the count known.
    Unroll {
        /// How many copies are made.
        count: u32,
        /// What is copied.
        body: Block,
    },
    /// Leaves the innermost loop.
    Break,
    /// Goes on with the next round of the innermost loop.
    Continue,
    /// Leaves the probe (with a result for `test` probes).
    Return(Option<Expr>),
}

/// A typed expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// What it gives.
    pub ty: Type,
    /// Where it stands.
    pub span: SourceSpan,
}

/// What an expression is.
#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    /// After an error.
    Error,
    /// An integer of the type's size.
    Int(i64),
    /// `true`, `false`
    Bool(bool),
    /// A string constant, without the NUL.
    Str(Arc<[u8]>),
    /// `$x`: an lvalue.
    Variable(VariableRef),
    /// `@x`, `@x[key]`: missing keys give zeros. For aggregations: the sum over CPUs.
    Map {
        /// Which one.
        map: MapRef,
        /// `None` for a map without keys.
        key: Option<Box<Expr>>,
    },
    /// `args.x`, `arg0`, `retval`.
    Argument(Box<Argument>),
    /// `base.member` of a struct or union: `base` is the struct (an lvalue in some memory).
    Member {
        /// The struct.
        base: Box<Expr>,
        /// Bytes from its start, as in [`crate::ty::Member::offset`].
        offset: u32,
        /// Bitfields: lowest bit and width, as in [`crate::ty::Member::bits`].
        bits: Option<(u32, u32)>,
    },
    /// The n-th element of a tuple or field of a record.
    Element {
        /// The tuple or record.
        base: Box<Expr>,
        /// From 0.
        index: u32,
    },
    /// `*p`: an lvalue at the pointer's target.
    Dereference(Box<Expr>),
    /// `a[i]`, an lvalue within the array.
    Index {
        /// The array.
        base: Box<Expr>,
        /// From 0.
        index: Box<Expr>,
    },
    /// `&$x`, `&@m[k]`: the operand's address.
    AddressOf(Box<Expr>),
    /// `-e`
    Negate(Box<Expr>),
    /// `~e`
    Complement(Box<Expr>),
    /// `!e`
    Not(Box<Expr>),
    /// Integer and pointer arithmetic; operands already scaled and converted.
    Arithmetic {
        /// Which operation.
        op: ir::BinaryOp,
        /// Matters to division, remainder and the right shift.
        is_signed: bool,
        /// Left operand.
        left: Box<Expr>,
        /// Right operand.
        right: Box<Expr>,
    },
    /// Integers, pointers and booleans.
    Compare {
        /// Which relation, with its sign.
        op: ir::Compare,
        /// Left operand.
        left: Box<Expr>,
        /// Right operand.
        right: Box<Expr>,
    },
    /// Strings, buffers, arrays, tuples: equal or not.
    SameBytes {
        /// `!=`
        negated: bool,
        /// Left operand.
        left: Box<Expr>,
        /// Right operand, of the same type.
        right: Box<Expr>,
    },
    /// `a && b`: the right side is left out when the left is false.
    And(Box<Expr>, Box<Expr>),
    /// `a || b`: the right side is left out when the left is true.
    Or(Box<Expr>, Box<Expr>),
    /// `c ? a : b`, `if` with a value.
    Choose {
        /// Decides.
        condition: Box<Expr>,
        /// The value if it holds.
        then: Box<Expr>,
        /// The value if it does not.
        otherwise: Box<Expr>,
    },
    /// `a ?: b`
    Elvis {
        /// Taken if not zero; evaluated once.
        value: Box<Expr>,
        /// Taken if it is.
        otherwise: Box<Expr>,
    },
    /// `if` without a value.
    If {
        /// Decides.
        condition: Box<Expr>,
        /// Runs if it holds.
        then: Box<Block>,
        /// Runs if it does not.
        otherwise: Option<Box<Block>>,
    },
    /// A block with or without a value.
    Block(Box<Block>),
    /// To the expression's type.
    Cast(Box<Expr>),
    /// In the order of the type's elements.
    Tuple(Vec<Expr>),
    /// In the order of the type's fields.
    Record(Vec<Expr>),
    /// `++`, `--`.
    Step {
        /// The variable or map entry.
        target: Box<Expr>,
        /// 1 or -1, times the pointee's size for pointers.
        delta: i64,
        /// The value is the one after the step.
        is_prefix: bool,
    },
    /// A builtin value or function.
    Builtin {
        /// Its row in the tables.
        builtin: &'static Builtin,
        /// As its check left them.
        args: Vec<Expr>,
        /// What its check found out.
        data: Data,
    },
    /// A type used as an argument (`sizeof`-like builtins take it apart).
    Type,
}

/// What a builtin's check found out and its lowering needs, besides typed arguments.
#[derive(Clone, Debug, PartialEq, Default)]
pub enum Data {
    #[default]
    /// Nothing.
    None,
    /// A number: a count, an offset, a signal.
    Int(i64),
    /// A text: a name, a format.
    Text(Arc<str>),
    /// The map that it works on.
    Map(MapRef),
    /// `print(@m, top, div)`
    PrintMap {
        /// Which one.
        map: MapRef,
        /// Only the largest so many entries.
        top: Option<u64>,
        /// Values are divided by it.
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
