//! Probe patterns to concrete attach points, grouped by argument types: after this stage globs are gone.
//!
//! A provider is one file here and one row in its table; it turns a pattern into places, which [`expand()`] joins into groups. Each group becomes
//! one BPF program, so a probe's body is checked once per distinct signature and not once per match.

mod arguments;
pub mod context;
mod expand;
mod go_abi;
mod list;
mod number;
mod provider;
mod providers;
mod registers;
mod results;
#[cfg(test)]
mod tests;

use fathom_bpf::object::{Place, ProgramKind};
use fathom_syntax::span::Span;

pub use context::{ArgSource, Argument, Context};
pub(crate) use expand::tells_places_apart;
pub use expand::{ExpandOptions, Expansion, Mode, Needs, expand};
pub use list::{ListOptions, ProbeListing, list};
pub use provider::{names as provider_names, provider_name};
pub use registers::{register_names, register_offset};

/// Attach points that can share one program.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Index of the probe in the script (in order of [`fathom_syntax::ast::Script::probes`]).
    pub probe: usize,
    /// How the program is loaded.
    pub kind: ProgramKind,
    /// The program may fault (uprobe.multi.s, sleepable iterators …).
    pub sleepable: bool,
    /// What the body can see.
    pub context: Context,
    /// Where it is attached; never empty.
    pub points: Vec<Point>,
}

/// One attach point, or several functions of one multi link (then `names` has one for each cookie).
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Full names as `probe` shows them; one, or one per site of a multi link.
    pub names: Vec<String>,
    /// What the runtime attaches. Cookies in multi places are filled in later.
    pub place: Place,
    /// The pattern in the script.
    pub span: Span,
}
