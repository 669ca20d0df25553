//! Tokens to tree, by recursive descent. Never fails: what cannot be read becomes an error node and a diagnostic, and
//! reading goes on at the next statement or probe.

mod c;
mod cast;
mod declarator;
mod directive;
mod expression;
mod item;
mod pattern;
mod primary;
mod probe;
mod recovery;
mod statement;
mod types;

use crate::ast::{Expr, ExprId, ExprKind, Name, Script};
use crate::diagnostic::Diagnostic;
use crate::lexer::{Lexer, PatternPlace};
use crate::span::{SourceId, Span};
use crate::token::{Comment, Keyword, Mark, Token, TokenKind};
use crate::visit;

/// How deep brackets, blocks and operators may stand in each other.
const NESTING_MAX: u32 = 100;
/// How high the tree of an expression may grow; long chains such as `a + b + …` grow it too.
const HEIGHT_MAX: u16 = 256;
/// How many problems are reported.
const DIAGNOSTICS_MAX: usize = 50;
/// Longest script that is read.
const SOURCE_BYTES_MAX: usize = 16 << 20;

/// What the parser is told from outside.
#[derive(Debug, Clone, Default)]
pub struct ParseOptions {
    /// Which source the spans point into.
    pub source: SourceId,
    /// Number of the first expression, so that imported scripts get numbers of their own.
    pub first_expr_id: u32,
    /// Symbols that `#ifdef` and `#if` know, with their values: `("BPFTRACE_HAVE_BTF", 1)`.
    pub defines: Vec<(String, i64)>,
}

/// A script read.
#[derive(Debug, Clone)]
pub struct Parsed {
    /// The tree; whole even if there are errors.
    pub script: Script,
    /// What is wrong, in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
}

impl Parsed {
    /// Whether the script cannot be used.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }
}

/// Words of a script.
#[derive(Debug, Clone)]
pub struct Lexed {
    /// The tokens; the last is [`TokenKind::End`].
    pub tokens: Vec<Token>,
    /// The comments.
    pub comments: Vec<Comment>,
    /// Problems with single words only.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads a script.
pub fn parse(source: &str, options: &ParseOptions) -> Parsed {
    let (script, parser) = run(source, options);
    Parsed {
        script,
        diagnostics: parser.into_diagnostics(),
    }
}

/// Splits a script into tokens; what is a token depends on where it stands, so this parses too.
pub fn lex(source: &str) -> Lexed {
    let options = ParseOptions::default();
    let (_, parser) = run(source, &options);
    Lexed {
        tokens: parser.tokens,
        comments: parser.lexer.comments,
        diagnostics: parser.lexer.problems,
    }
}

fn run<'a>(source: &'a str, options: &'a ParseOptions) -> (Script, Parser<'a>) {
    if source.len() > SOURCE_BYTES_MAX {
        let mut parser = Parser::new(source, options, 0..0);
        let message = format!("the script is larger than {} MiB", SOURCE_BYTES_MAX >> 20);
        parser.report(Diagnostic::error(
            "script-too-large",
            Span::new(options.source, 0, 0),
            message,
        ));
        return (Script::default(), parser);
    }
    let mut parser = Parser::new(source, options, 0..source.len());
    let script = parser.script();
    (script, parser)
}

/// The state of reading.
struct Parser<'a> {
    source: &'a str,
    options: &'a ParseOptions,
    lexer: Lexer<'a>,
    /// Tokens read so far, and those looked ahead at.
    tokens: Vec<Token>,
    /// Index of the next token.
    at: usize,
    diagnostics: Vec<Diagnostic>,
    left_out: usize,
    /// Token at which the last problem was reported: one problem for each is enough.
    last_problem_at: Option<u32>,
    depth: u32,
    /// Height of each expression's tree, by number.
    heights: Vec<u16>,
    first_expr_id: u32,
    /// In a predicate `/` before `{` ends the expression.
    in_predicate: bool,
    /// Known `#define`s and whether a name is defined.
    macros: directive::Macros,
    /// Reading the condition of `#if`.
    in_directive: bool,
}

impl<'a> Parser<'a> {
    fn new(
        source: &'a str,
        options: &'a ParseOptions,
        range: std::ops::Range<usize>,
    ) -> Parser<'a> {
        Parser {
            source,
            options,
            lexer: Lexer::new(source, options.source, range),
            tokens: Vec::new(),
            at: 0,
            diagnostics: Vec::new(),
            left_out: 0,
            last_problem_at: None,
            depth: 0,
            heights: Vec::new(),
            first_expr_id: options.first_expr_id,
            in_predicate: false,
            macros: directive::Macros::new(&options.defines),
            in_directive: false,
        }
    }

    /// A parser for a part of the same source that goes on numbering expressions; see [`Parser::adopt`].
    fn part(&self, span: Span) -> Parser<'a> {
        let mut part = Parser::new(self.source, self.options, span.range());
        part.first_expr_id = self.first_expr_id + self.heights.len() as u32;
        part.depth = self.depth;
        part.in_directive = true;
        part
    }

    /// Takes over the expressions that `part` has numbered.
    fn adopt(&mut self, part: Parser<'a>) {
        self.heights.extend(part.heights);
    }

    fn into_diagnostics(mut self) -> Vec<Diagnostic> {
        let mut all = self.lexer.problems;
        all.append(&mut self.diagnostics);
        all.sort_by_key(|diagnostic| (diagnostic.span.start, diagnostic.span.end));
        let left_out = self.left_out + all.len().saturating_sub(DIAGNOSTICS_MAX);
        all.truncate(DIAGNOSTICS_MAX);
        if left_out > 0
            && let Some(last) = all.last_mut()
        {
            last.notes
                .push(format!("{left_out} more problems were left out"));
        }
        all
    }

    // Tokens.

    fn token_at(&mut self, ahead: usize) -> Token {
        while self.tokens.len() <= self.at + ahead {
            if let Some(last) = self.tokens.last()
                && last.kind == TokenKind::End
            {
                return *last;
            }
            let token = self.lexer.next_token();
            self.tokens.push(token);
        }
        self.tokens[self.at + ahead]
    }

    fn token(&mut self) -> Token {
        self.token_at(0)
    }

    fn kind(&mut self) -> TokenKind {
        self.token_at(0).kind
    }

    fn bump(&mut self) -> Token {
        let token = self.token_at(0);
        if token.kind != TokenKind::End {
            self.at += 1;
        }
        token
    }

    fn at_mark(&mut self, mark: Mark) -> bool {
        self.kind() == TokenKind::Mark(mark)
    }

    fn at_keyword(&mut self, keyword: Keyword) -> bool {
        self.kind() == TokenKind::Keyword(keyword)
    }

    fn mark_ahead(&mut self, ahead: usize, mark: Mark) -> bool {
        self.token_at(ahead).kind == TokenKind::Mark(mark)
    }

    fn eat(&mut self, mark: Mark) -> bool {
        let found = self.at_mark(mark);
        if found {
            self.bump();
        }
        found
    }

    /// Takes `mark`, or reports that it is missing in `place`.
    fn expect(&mut self, mark: Mark, place: &str) -> bool {
        if self.eat(mark) {
            return true;
        }
        self.unexpected(&format!("`{}` {place}", mark.text()));
        false
    }

    fn previous_span(&self) -> Span {
        match self.at.checked_sub(1) {
            Some(index) => self.tokens[index].span,
            None => Span::new(self.options.source, 0, 0),
        }
    }

    fn span_since(&self, start: Span) -> Span {
        if self.previous_span().end <= start.start {
            start.before()
        } else {
            start.to(self.previous_span())
        }
    }

    fn text(&self, span: Span) -> &'a str {
        let source: &'a str = self.source;
        source.get(span.range()).unwrap_or("")
    }

    /// Forgets what was looked ahead at, so that the lexer can be asked for the pieces of a probe definition.
    fn forget_lookahead(&mut self) {
        if let Some(next) = self.tokens.get(self.at) {
            let start = next.span.start;
            let from = self.previous_span().end.min(start);
            self.tokens.truncate(self.at);
            self.lexer.rewind(from);
        }
    }

    fn pattern_token(&mut self, place: PatternPlace) -> Option<Token> {
        debug_assert_eq!(
            self.tokens.len(),
            self.at,
            "lookahead before a probe definition"
        );
        let token = self.lexer.pattern_token(place)?;
        self.tokens.push(token);
        self.at += 1;
        Some(token)
    }

    // Problems.

    fn report(&mut self, diagnostic: Diagnostic) {
        if self.diagnostics.len() < DIAGNOSTICS_MAX {
            self.diagnostics.push(diagnostic);
        } else {
            self.left_out += 1;
        }
    }

    /// Reports that `wanted` should have come next, once for each token.
    fn unexpected(&mut self, wanted: &str) {
        let found = self.token();
        if self.silenced(found) {
            return;
        }
        let message = format!("expected {wanted}, found {}", self.describe(found));
        self.report(Diagnostic::error("unexpected-token", found.span, message));
    }

    /// Reports `diagnostic` about the next token unless something was already said about it.
    fn report_here(&mut self, diagnostic: Diagnostic) {
        let found = self.token();
        if !self.silenced(found) {
            self.report(diagnostic);
        }
    }

    /// What follows a word that could not be read, such as the line behind a string that is never closed, is not to blame.
    fn silenced(&mut self, found: Token) -> bool {
        let is_error = |token: &Token| token.kind == TokenKind::Error;
        let before = self.at.checked_sub(1).and_then(|at| self.tokens.get(at));
        let said = is_error(&found)
            || before.is_some_and(is_error)
            || self.last_problem_at == Some(found.span.start);
        self.last_problem_at = Some(found.span.start);
        said
    }

    fn describe(&self, token: Token) -> String {
        match token.kind {
            TokenKind::End => "the end of the script".to_owned(),
            TokenKind::Directive => "a preprocessor line".to_owned(),
            TokenKind::Str => "a string".to_owned(),
            _ => {
                let text = self.text(token.span);
                let mut shown: String =
                    text.chars().take(30).flat_map(char::escape_debug).collect();
                if text.chars().count() > 30 {
                    shown.push('…');
                }
                format!("`{shown}`")
            }
        }
    }

    /// Runs `read` one level deeper, or reports that the script is nested too deeply and gives nothing.
    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.depth >= NESTING_MAX {
            self.too_deep();
            return None;
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        Some(result)
    }

    fn too_deep(&mut self) {
        let span = self.token().span;
        self.report_here(
            Diagnostic::error("too-deep", span, "the script is nested too deeply here")
                .help("split it up: give parts a name with `let`, or use a macro"),
        );
    }

    // Nodes.

    fn expr(&mut self, kind: ExprKind, span: Span) -> Expr {
        let mut tallest = 0;
        visit::child_exprs(&kind, &mut |child: &Expr| {
            let index = child.id.0.wrapping_sub(self.first_expr_id) as usize;
            tallest = tallest.max(self.heights.get(index).copied().unwrap_or(0));
        });
        let id = ExprId(self.first_expr_id + self.heights.len() as u32);
        if tallest >= HEIGHT_MAX {
            self.heights.push(0);
            self.too_deep();
            return Expr {
                kind: ExprKind::Error,
                span,
                id,
            };
        }
        self.heights.push(tallest + 1);
        Expr { kind, span, id }
    }

    fn error_expr(&mut self, span: Span) -> Expr {
        self.expr(ExprKind::Error, span)
    }

    /// The name in `token`, without its sigil.
    fn name_of(&self, token: Token) -> Name {
        let text = self
            .text(token.span)
            .trim_start_matches(['$', '@'])
            .to_owned();
        Name {
            text,
            span: token.span,
        }
    }

    /// Takes a name, or reports that `wanted` is missing and gives an empty one.
    fn expect_name(&mut self, wanted: &str) -> Name {
        if self.kind() == TokenKind::Ident {
            let token = self.bump();
            return self.name_of(token);
        }
        let token = self.token();
        if let TokenKind::Keyword(keyword) = token.kind {
            self.report_here(Diagnostic::error(
                "reserved-word",
                token.span,
                format!(
                    "`{}` is a reserved word and cannot be {wanted}",
                    keyword.text()
                ),
            ));
            self.bump();
            return self.name_of(token);
        }
        self.unexpected(wanted);
        Name {
            text: String::new(),
            span: token.span.before(),
        }
    }
}
