//! The syntax tree of a script: plain data, each node with its place in the text.
//!
//! Names stand as written. Builtins are [`ExprKind::Ident`] or [`ExprKind::Call`]; `$x` and `@x` are stored without
//! their sigil. Every [`Expr`] has an [`ExprId`], dense from 0 within a script, for side tables such as types.

pub mod c;
mod expr;
mod literal;
mod operator;
mod pattern;
mod type_expr;

pub use c::CDefs;
pub use expr::{Expr, ExprId, ExprKind, Field, If, RecordField};
pub use literal::{DurationUnit, IntLit, StrLit};
pub use operator::{BinaryOp, StepOp, StepPosition, UnaryOp};
pub use pattern::{AttachPattern, Piece, Segment};
pub use type_expr::{TypeExpr, TypeKind, TypeOrExpr};

use crate::span::Span;

/// A name as written, without sigil.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Name {
    /// The letters.
    pub text: String,
    /// Where they stand, sigil included.
    pub span: Span,
}

/// A whole script.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Script {
    /// The `#!` line.
    pub shebang: Option<Span>,
    /// Preprocessor lines and C definitions before the rest.
    pub c: CDefs,
    /// Everything else, as it stands.
    pub items: Vec<Item>,
    /// One more than the largest [`ExprId`] used.
    pub expr_count: u32,
}

impl Script {
    /// The probes, as they stand.
    pub fn probes(&self) -> impl Iterator<Item = &Probe> {
        self.items.iter().filter_map(|item| match item {
            Item::Probe(probe) => Some(probe),
            _ => None,
        })
    }

    /// The config block, the first if a broken script has several.
    pub fn config(&self) -> Option<&Config> {
        self.items.iter().find_map(|item| match item {
            Item::Config(config) => Some(config),
            _ => None,
        })
    }

    /// The imports, as they stand.
    pub fn imports(&self) -> impl Iterator<Item = &Import> {
        self.items.iter().filter_map(|item| match item {
            Item::Import(import) => Some(import),
            _ => None,
        })
    }
}

/// One thing at the top level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// `config = { … }`
    Config(Config),
    /// `import "path";`
    Import(Import),
    /// `let @m = hash(100);`
    MapDecl(MapDecl),
    /// `macro name(…) { … }`
    Macro(Macro),
    /// `fn name(…) : type { … }`
    Function(Function),
    /// A probe block.
    Probe(Probe),
    /// Text that could not be read; a diagnostic says why.
    Error(Span),
}

impl Item {
    /// Where it stands.
    pub fn span(&self) -> Span {
        match self {
            Item::Config(item) => item.span,
            Item::Import(item) => item.span,
            Item::MapDecl(item) => item.span,
            Item::Macro(item) => item.span,
            Item::Function(item) => item.span,
            Item::Probe(item) => item.span,
            Item::Error(span) => *span,
        }
    }
}

/// `config = { key = value; … }`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The settings.
    pub entries: Vec<ConfigEntry>,
    /// The whole block.
    pub span: Span,
}

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigEntry {
    /// The key as written (`stack_mode`, `STACK_MODE`, …).
    pub key: Name,
    /// The value.
    pub value: ConfigValue,
    /// Where the value stands.
    pub value_span: Span,
}

/// The value of a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigValue {
    /// An integer.
    Int(u64),
    /// A quoted string.
    Str(StrLit),
    /// `true` or `false`.
    Bool(bool),
    /// A bare word.
    Word(String),
    /// Unreadable; a diagnostic says why.
    Error,
}

/// `import "path";`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// The path as written.
    pub path: StrLit,
    /// Where the path stands.
    pub path_span: Span,
    /// The whole statement.
    pub span: Span,
}

/// `let @m = hash(100);`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapDecl {
    /// The map.
    pub map: Name,
    /// The kind of map (`hash`, `lruhash`, …).
    pub kind: Name,
    /// Arguments of the kind.
    pub args: Vec<Expr>,
    /// The whole declaration.
    pub span: Span,
}

/// `macro name(…) { … }`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Macro {
    /// The name.
    pub name: Name,
    /// The parameters.
    pub params: Vec<MacroParam>,
    /// The body; its value is the value of the call.
    pub body: Block,
    /// The whole definition.
    pub span: Span,
}

/// A parameter of a macro.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MacroParam {
    /// What may be given for it.
    pub kind: MacroParamKind,
    /// Its name, without sigil.
    pub name: Name,
}

/// What may be given for a parameter of a macro.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MacroParamKind {
    /// `$v`: a scratch variable, which the macro may change.
    Variable,
    /// `@m`: a map.
    Map,
    /// `name`: any expression, put in as often as it is used.
    Expr,
}

/// `fn name($a : type, …) : type { … }`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// The name.
    pub name: Name,
    /// The parameters.
    pub params: Vec<FunctionParam>,
    /// The type of the result.
    pub result: Option<TypeExpr>,
    /// The body.
    pub body: Block,
    /// The whole definition.
    pub span: Span,
}

/// A parameter of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionParam {
    /// Its name, without `$`.
    pub name: Name,
    /// Its type.
    pub ty: TypeExpr,
}

/// `[name =] pattern, … [/predicate/] { … }`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// The name given to the probe.
    pub name: Option<Name>,
    /// What to attach to.
    pub patterns: Vec<AttachPattern>,
    /// Run the body only if this holds.
    pub predicate: Option<Expr>,
    /// What to do. Never has a value.
    pub body: Block,
    /// From the first pattern to the closing brace.
    pub span: Span,
}

/// Statements in braces, with an optional value: the last expression if no semicolon follows it.
///
/// Where no value can be used (probes, loops, `if` as a statement) the last expression is a statement and `value` is
/// `None`, whether or not a semicolon was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The statements.
    pub statements: Vec<Stmt>,
    /// The value.
    pub value: Option<Box<Expr>>,
    /// Braces included.
    pub span: Span,
}

/// A statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stmt {
    /// What it is.
    pub kind: StmtKind,
    /// Where it stands, semicolon not included.
    pub span: Span,
}

/// What a statement is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StmtKind {
    /// An expression for its effect; `if` and blocks too.
    Expr(Expr),
    /// `target = value`, or `target op= value`.
    Assign {
        /// [`ExprKind::Variable`], [`ExprKind::Map`] or [`ExprKind::MapElement`]; anything else got a diagnostic.
        target: Expr,
        /// The operator of a compound assignment.
        op: Option<BinaryOp>,
        /// The new value, or the right operand.
        value: Expr,
    },
    /// `_ = expr`
    Discard(Expr),
    /// `let $x [: type] [= value]`
    Let {
        /// The variable, without `$`.
        name: Name,
        /// Its type.
        ty: Option<TypeExpr>,
        /// Its first value.
        value: Option<Expr>,
    },
    /// `while (condition) { … }`
    While {
        /// Go on while this holds.
        condition: Expr,
        /// What to repeat.
        body: Block,
    },
    /// `for ($kv : @map) { … }` or `for ($i : a..b) { … }`
    For {
        /// The loop variable, without `$`.
        variable: Name,
        /// What to go over.
        over: ForOver,
        /// What to repeat.
        body: Block,
    },
    /// `unroll(count) { … }`
    Unroll {
        /// How many times.
        count: Expr,
        /// What to repeat.
        body: Block,
    },
    /// `break`
    Break,
    /// `continue`
    Continue,
    /// `return [value]`
    Return(Option<Expr>),
    /// `import "path"` inside a block.
    Import(Import),
    /// Text that could not be read; a diagnostic says why.
    Error,
}

/// What a `for` goes over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForOver {
    /// The elements of a map: usually [`ExprKind::Map`], checked later.
    Elements(Expr),
    /// From `start` up to `end`, which is not included.
    Range {
        /// First.
        start: Expr,
        /// One past the last.
        end: Expr,
    },
}
