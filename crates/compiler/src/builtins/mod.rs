//! Builtin values and functions. One family is one file; a builtin is one row: its name, its check and its lowering.

pub mod aggregate;
mod assert;
mod call;
mod clock;
mod comm;
mod control;
mod debug;
mod goroutine;
mod machine;
mod maps;
mod names;
mod network;
mod options;
mod output;
pub mod packet;
mod pointers;
mod print;
mod probe;
mod process;
mod search;
mod seen;
mod stack;
pub(crate) mod strings;
mod symbols;

use std::fmt;

use fathom_bpf::object::SourceSpan;
use fathom_syntax::ast;

use crate::check::{Call, Checker};
use crate::hir::{Data, Expr};
use crate::lower::{Lowerer, Place, Rvalue};
use crate::ty::Type;

/// A builtin value (`pid`) or function (`str(…)`).
pub struct Builtin {
    /// As written in scripts.
    pub name: &'static str,
    /// Checks a use and types it.
    pub check: fn(&mut Checker<'_, '_>, &Call<'_>) -> Expr,
    /// Generates code. Values larger than a word may be written straight to the place offered.
    pub lower: fn(&mut Lowerer<'_, '_>, &Use<'_>, Option<Place>) -> Rvalue,
}

/// A use of a builtin, as its lowering sees it.
pub struct Use<'u> {
    /// Typed arguments, as its check left them.
    pub args: &'u [Expr],
    /// What its check noted.
    pub data: &'u Data,
    /// The value's type.
    pub ty: &'u Type,
    /// Where it stands.
    pub span: SourceSpan,
}

/// How an aggregation's call is checked; `None` after a problem was reported.
pub type AggregationCheck =
    fn(&mut Checker<'_, '_>, &ast::Name, &[ast::Expr]) -> Option<(Type, Option<Expr>)>;

/// An aggregation: a function whose result can only be assigned to a map.
pub struct Aggregation {
    /// As written in scripts.
    pub name: &'static str,
    /// Gives the type of the map's values and the number to aggregate.
    pub check: AggregationCheck,
}

const TABLES: [&[Builtin]; 21] = [
    assert::TABLE,
    call::TABLE,
    clock::TABLE,
    control::TABLE,
    debug::TABLE,
    goroutine::TABLE,
    machine::TABLE,
    maps::TABLE,
    names::TABLE,
    network::TABLE,
    options::TABLE,
    output::TABLE,
    packet::TABLE,
    pointers::TABLE,
    print::TABLE,
    probe::TABLE,
    process::TABLE,
    search::TABLE,
    stack::TABLE,
    strings::TABLE,
    symbols::TABLE,
];

/// The builtin of that name. `__builtin_X` is an older spelling of `X`.
pub fn find(name: &str) -> Option<&'static Builtin> {
    let name = name.strip_prefix("__builtin_").unwrap_or(name);
    TABLES
        .iter()
        .flat_map(|table| table.iter())
        .find(|builtin| builtin.name == name)
}

/// All names, for suggestions.
pub fn names() -> impl Iterator<Item = &'static str> {
    TABLES
        .iter()
        .flat_map(|table| table.iter())
        .map(|builtin| builtin.name)
}

/// The aggregation of that name.
pub fn aggregation(name: &str) -> Option<&'static Aggregation> {
    aggregate::TABLE
        .iter()
        .find(|aggregation| aggregation.name == name)
}

impl PartialEq for Builtin {
    fn eq(&self, other: &Builtin) -> bool {
        self.name == other.name
    }
}

impl fmt::Debug for Builtin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Lowering of builtins that leave nothing to do at run time.
fn nothing(_lowerer: &mut Lowerer<'_, '_>, _used: &Use<'_>, _to: Option<Place>) -> Rvalue {
    Rvalue::Nothing
}
