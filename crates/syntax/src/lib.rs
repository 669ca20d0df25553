//! Script text to tokens to syntax tree, with diagnostics, and back to text in one style.
//!
//! Nothing here does I/O, and nothing here knows a builtin, a function or a kind of probe by name: those are
//! identifiers and calls, so that a new one needs no change in this crate. Parsing never fails; what could not be
//! read is an explicit error node next to a [`Diagnostic`].
#![forbid(unsafe_code)]

pub mod ast;
pub mod constant;
pub mod diagnostic;
mod dump;
mod format;
pub mod lexer;
mod parser;
pub mod rewrite;
pub mod span;
pub mod token;
pub mod visit;

pub use diagnostic::{Diagnostic, Severity, suggest};
pub use dump::{Spans, dump_ast, dump_tokens};
pub use format::format;
pub use parser::{Lexed, ParseOptions, Parsed, lex, parse};
pub use span::{LineIndex, SourceId, Span};
