//! The syntax tree of a script: plain data, each node with its place in the text.
//!
//! Names stand as written. Builtins are [`ExprKind::Ident`] or [`ExprKind::Call`]; `$x` and `@x` are stored without
//! their sigil. Every [`Expr`] has an [`ExprId`], dense from 0 within a script, for side tables such as types.

pub mod c;
mod pattern;

pub use c::CDefs;
pub use pattern::{AttachPattern, Piece, Segment};

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

/// A type or an expression, in `sizeof` and its kin. A lone name is [`TypeOrExpr::Expr`] with [`ExprKind::Ident`] unless
/// it can only be a type; whoever resolves names decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TypeOrExpr {
    /// Certainly a type.
    Type(TypeExpr),
    /// An expression, or a lone name.
    Expr(Expr),
}

/// An integer literal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IntLit {
    /// Its value; of a duration in nanoseconds.
    pub value: u64,
    /// The unit written behind it.
    pub unit: Option<DurationUnit>,
}

/// Unit of a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DurationUnit {
    /// `ns`
    Nanoseconds,
    /// `us`
    Microseconds,
    /// `ms`
    Milliseconds,
    /// `s`
    Seconds,
    /// `m`
    Minutes,
    /// `h`
    Hours,
    /// `d`
    Days,
}

impl DurationUnit {
    /// As written behind a number.
    pub fn suffix(self) -> &'static str {
        match self {
            DurationUnit::Nanoseconds => "ns",
            DurationUnit::Microseconds => "us",
            DurationUnit::Milliseconds => "ms",
            DurationUnit::Seconds => "s",
            DurationUnit::Minutes => "m",
            DurationUnit::Hours => "h",
            DurationUnit::Days => "d",
        }
    }

    /// Its length in nanoseconds.
    pub fn nanoseconds(self) -> u64 {
        match self {
            DurationUnit::Nanoseconds => 1,
            DurationUnit::Microseconds => 1_000,
            DurationUnit::Milliseconds => 1_000_000,
            DurationUnit::Seconds => 1_000_000_000,
            DurationUnit::Minutes => 60_000_000_000,
            DurationUnit::Hours => 3_600_000_000_000,
            DurationUnit::Days => 86_400_000_000_000,
        }
    }
}

/// A string literal with its escapes resolved; `\x` escapes can make it something else than UTF-8.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct StrLit {
    /// The bytes, without a terminating zero.
    pub bytes: Vec<u8>,
}

impl StrLit {
    /// As text, if it is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.bytes).ok()
    }

    /// As text, with replacement characters where it is not UTF-8.
    pub fn to_text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }
}

/// A prefix operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UnaryOp {
    /// `-`
    Negate,
    /// `!`
    Not,
    /// `~`
    Complement,
    /// `*`
    Dereference,
    /// `&`
    AddressOf,
}

impl UnaryOp {
    /// As written.
    pub fn symbol(self) -> &'static str {
        match self {
            UnaryOp::Negate => "-",
            UnaryOp::Not => "!",
            UnaryOp::Complement => "~",
            UnaryOp::Dereference => "*",
            UnaryOp::AddressOf => "&",
        }
    }
}

/// `++` or `--`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StepOp {
    /// `++`
    Increment,
    /// `--`
    Decrement,
}

impl StepOp {
    /// As written.
    pub fn symbol(self) -> &'static str {
        match self {
            StepOp::Increment => "++",
            StepOp::Decrement => "--",
        }
    }
}

/// On which side `++` or `--` stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StepPosition {
    /// `++x`: the value is the new one.
    Prefix,
    /// `x++`: the value is the old one.
    Postfix,
}

/// An infix operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`
    Remainder,
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `<<`
    ShiftLeft,
    /// `>>`
    ShiftRight,
    /// `<`
    Less,
    /// `<=`
    LessEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterEqual,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `&`
    BitAnd,
    /// `^`
    BitXor,
    /// `|`
    BitOr,
    /// `&&`
    And,
    /// `||`
    Or,
}

impl BinaryOp {
    /// As written.
    pub fn symbol(self) -> &'static str {
        match self {
            BinaryOp::Multiply => "*",
            BinaryOp::Divide => "/",
            BinaryOp::Remainder => "%",
            BinaryOp::Add => "+",
            BinaryOp::Subtract => "-",
            BinaryOp::ShiftLeft => "<<",
            BinaryOp::ShiftRight => ">>",
            BinaryOp::Less => "<",
            BinaryOp::LessEqual => "<=",
            BinaryOp::Greater => ">",
            BinaryOp::GreaterEqual => ">=",
            BinaryOp::Equal => "==",
            BinaryOp::NotEqual => "!=",
            BinaryOp::BitAnd => "&",
            BinaryOp::BitXor => "^",
            BinaryOp::BitOr => "|",
            BinaryOp::And => "&&",
            BinaryOp::Or => "||",
        }
    }

    /// How tightly it binds: a larger number binds tighter; all are left-associative.
    pub fn precedence(self) -> u8 {
        match self {
            BinaryOp::Multiply | BinaryOp::Divide | BinaryOp::Remainder => 10,
            BinaryOp::Add | BinaryOp::Subtract => 9,
            BinaryOp::ShiftLeft | BinaryOp::ShiftRight => 8,
            BinaryOp::Less | BinaryOp::LessEqual | BinaryOp::Greater | BinaryOp::GreaterEqual => 7,
            BinaryOp::Equal | BinaryOp::NotEqual => 6,
            BinaryOp::BitAnd => 5,
            BinaryOp::BitXor => 4,
            BinaryOp::BitOr => 3,
            BinaryOp::And => 2,
            BinaryOp::Or => 1,
        }
    }
}

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
