//! One style for all scripts: `fathom fmt`.
//!
//! The tree is printed anew; comments are put back where they stood. A statement with a comment in its middle is left
//! as it was written. The result is read again and compared, so that a mistake here can never change a script.

mod comments;
mod doc;
mod expression;
mod item;
mod statement;

use crate::ast::Script;
use crate::diagnostic::Diagnostic;
use crate::dump::{Spans, dump_ast};
use crate::parser::{ParseOptions, lex, parse};
use crate::span::Span;
use comments::Comments;

/// Columns of a line, where it can be helped.
const WIDTH: usize = 80;

/// `source` in the one style, or why it cannot be read.
pub fn format(source: &str) -> Result<String, Vec<Diagnostic>> {
    let options = ParseOptions::default();
    let parsed = parse(source, &options);
    if parsed.has_errors() {
        return Err(parsed.diagnostics);
    }
    let formatted = print(source, &parsed.script);
    let again = parse(&formatted, &options);
    if again.has_errors()
        || dump_ast(&again.script, Spans::Hide) != dump_ast(&parsed.script, Spans::Hide)
    {
        let place = Span::new(options.source, 0, 0);
        let message = "the formatter would change what this script means; it is left as it is";
        return Err(vec![
            Diagnostic::error("format-unsafe", place, message)
                .note("this is a mistake in Fathom; please report it"),
        ]);
    }
    if lex(&formatted).comments.len() != lex(source).comments.len() {
        let place = Span::new(options.source, 0, 0);
        let message = "the formatter would lose a comment of this script; it is left as it is";
        return Err(vec![
            Diagnostic::error("format-unsafe", place, message)
                .help("move comments from the middle of a line to its end"),
        ]);
    }
    Ok(formatted)
}

fn print(source: &str, script: &Script) -> String {
    let lexed = lex(source);
    let printer = Printer {
        source,
        tokens: &lexed.tokens,
    };
    let mut comments = Comments::new(source, &lexed.comments);
    let doc = printer.script(script, &mut comments);
    let text = doc::lay_out(&doc, WIDTH);
    let text = text.trim_end();
    if text.is_empty() {
        String::new()
    } else {
        format!("{text}\n")
    }
}

/// What printing looks things up in.
struct Printer<'a> {
    source: &'a str,
    tokens: &'a [crate::token::Token],
}

impl<'a> Printer<'a> {
    fn text(&self, span: Span) -> &'a str {
        let source: &'a str = self.source;
        source.get(span.range()).unwrap_or("")
    }

    /// The token that ends before `offset` and the one that starts at or behind `end`.
    fn neighbours(&self, span: Span) -> (&'a str, &'a str) {
        let first = self
            .tokens
            .partition_point(|token| token.span.start < span.start);
        let behind = self
            .tokens
            .partition_point(|token| token.span.start < span.end);
        let text = |index: Option<usize>| {
            index
                .and_then(|i| self.tokens.get(i))
                .map_or("", |t| self.text(t.span))
        };
        (text(first.checked_sub(1)), text(Some(behind)))
    }
}
