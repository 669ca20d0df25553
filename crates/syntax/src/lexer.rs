//! Text to tokens, one at a time and on demand: the parser says whether a probe definition or ordinary text comes next,
//! because `/usr/lib/*:f` means something else in each.

pub mod number;
pub mod string;

use crate::ast::IntLit;
use crate::diagnostic::Diagnostic;
use crate::span::{SourceId, Span};
use crate::token::{Comment, Keyword, Mark, Token, TokenKind};

/// How many lexical problems are kept; the parser has its own, smaller limit for all.
const PROBLEMS_MAX: usize = 1000;

/// Which text of a probe definition comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatternPlace {
    /// The provider, where blanks and comments may stand before.
    Provider,
    /// Right behind a colon or another piece.
    Segment,
}

/// Reads tokens from a part of a source.
pub struct Lexer<'a> {
    source: &'a str,
    id: SourceId,
    at: usize,
    end: usize,
    after_dot: bool,
    /// Comments seen, in order.
    pub comments: Vec<Comment>,
    /// Problems seen, in order.
    pub problems: Vec<Diagnostic>,
}

impl<'a> Lexer<'a> {
    /// A lexer for the bytes `range` of `source`; both ends must lie between characters.
    pub fn new(source: &'a str, id: SourceId, range: std::ops::Range<usize>) -> Lexer<'a> {
        Lexer {
            source,
            id,
            at: range.start,
            end: range.end.min(source.len()),
            after_dot: false,
            comments: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// Forgets everything read at or behind `offset` and goes on from there.
    pub fn rewind(&mut self, offset: u32) {
        self.at = offset as usize;
        self.after_dot = false;
        while self
            .comments
            .last()
            .is_some_and(|comment| comment.span.start >= offset)
        {
            self.comments.pop();
        }
        while self
            .problems
            .last()
            .is_some_and(|problem| problem.span.start >= offset)
        {
            self.problems.pop();
        }
    }

    /// The next token of ordinary text.
    pub fn next_token(&mut self) -> Token {
        let first_on_line = self.skip_blanks();
        let start = self.at;
        let after_dot = std::mem::take(&mut self.after_dot);
        let kind = match self.byte(0) {
            None => TokenKind::End,
            Some(b'#') if start == 0 && self.byte(1) == Some(b'!') => self.shebang(),
            Some(b'#') if first_on_line => self.directive(),
            Some(b'0'..=b'9') => self.number(after_dot),
            Some(b'"') => self.string(),
            Some(b'$') => self.variable(),
            Some(b'@') => self.map(),
            Some(byte) if is_name_start(byte) => self.name(),
            Some(_) => self.mark_or_error(),
        };
        self.after_dot = matches!(kind, TokenKind::Mark(Mark::Dot | Mark::Arrow));
        Token {
            kind,
            span: self.span_from(start),
            first_on_line,
        }
    }

    /// The next piece of a probe definition, or `None` where the definition, or this segment of it, ends. A colon is
    /// [`Mark::Colon`].
    pub fn pattern_token(&mut self, place: PatternPlace) -> Option<Token> {
        let first_on_line = place == PatternPlace::Provider && self.skip_blanks();
        let start = self.at;
        let kind = match self.byte(0)? {
            b':' if place == PatternPlace::Segment => {
                self.at += 1;
                TokenKind::Mark(Mark::Colon)
            }
            b'"' => match self.string() {
                TokenKind::Str => TokenKind::PatternString,
                other => other,
            },
            b'$' if matches!(self.byte(1), Some(b'#' | b'0'..=b'9')) => self.variable(),
            byte if ends_pattern(byte, place) => return None,
            _ => self.pattern_text(place),
        };
        Some(Token {
            kind,
            span: self.span_from(start),
            first_on_line,
        })
    }

    /// The lines up to the `#else`, `#elif` or `#endif` that ends this branch, or up to the end.
    pub fn inactive_lines(&mut self) -> Token {
        let start = self.at;
        let mut depth = 0usize;
        while self.at < self.end {
            let line_end = self.source[self.at..self.end]
                .find('\n')
                .map_or(self.end, |length| self.at + length + 1);
            let line = self.source[self.at..line_end].trim_start();
            let word = line.strip_prefix('#').map(str::trim_start).unwrap_or("");
            if word.starts_with("if") {
                depth += 1;
            } else if depth == 0 && (word.starts_with("el") || word.starts_with("endif")) {
                break;
            } else if word.starts_with("endif") {
                depth -= 1;
            }
            self.at = line_end;
        }
        Token {
            kind: TokenKind::Inactive,
            span: self.span_from(start),
            first_on_line: true,
        }
    }

    /// Whether the next byte that is not blank is an `=` that is not `==`, as in `name = probe`.
    pub fn assign_ahead(&self) -> bool {
        let rest = self.source[self.at..self.end].trim_start();
        rest.starts_with('=') && !rest.starts_with("==")
    }

    /// Whether a colon comes next, with nothing before it.
    pub fn at_colon(&self) -> bool {
        self.byte(0) == Some(b':')
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        let at = self.at + ahead;
        if at < self.end {
            self.source.as_bytes().get(at).copied()
        } else {
            None
        }
    }

    fn rest(&self) -> &'a str {
        &self.source[self.at..self.end]
    }

    fn span_from(&self, start: usize) -> Span {
        Span::new(self.id, start as u32, self.at as u32)
    }

    fn problem(&mut self, diagnostic: Diagnostic) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(diagnostic);
        }
    }

    fn eat_while(&mut self, wanted: impl Fn(u8) -> bool) {
        while self.byte(0).is_some_and(&wanted) {
            self.at += 1;
        }
    }

    /// Skips blanks and comments; says whether what follows is the first on its line.
    fn skip_blanks(&mut self) -> bool {
        let mut first = self.at == 0 || self.source.as_bytes()[self.at - 1] == b'\n';
        loop {
            match (self.byte(0), self.byte(1)) {
                (Some(b'\n'), _) => {
                    first = true;
                    self.at += 1;
                }
                (Some(b' ' | b'\t' | b'\r' | 0x0B | 0x0C), _) => self.at += 1,
                (Some(b'\\'), Some(b'\n')) => self.at += 2,
                (Some(b'/'), Some(b'/')) => {
                    let start = self.at;
                    self.eat_while(|byte| byte != b'\n');
                    self.comments.push(Comment {
                        span: self.span_from(start),
                        first_on_line: first,
                    });
                }
                (Some(b'/'), Some(b'*')) => first |= self.block_comment(first),
                _ => return first,
            }
        }
    }

    /// Skips a `/* */` comment; says whether it holds a line end.
    fn block_comment(&mut self, first_on_line: bool) -> bool {
        let start = self.at;
        match self.rest()[2..].find("*/") {
            Some(length) => self.at += length + 4,
            None => {
                self.at = self.end;
                let opening = Span::new(self.id, start as u32, start as u32 + 2);
                self.problem(
                    Diagnostic::error("open-comment", opening, "this comment is never closed")
                        .label("starts here")
                        .help("close it with `*/`"),
                );
            }
        }
        let span = self.span_from(start);
        self.comments.push(Comment {
            span,
            first_on_line,
        });
        span.text(self.source).contains('\n')
    }

    fn shebang(&mut self) -> TokenKind {
        self.eat_while(|byte| byte != b'\n');
        TokenKind::Shebang
    }

    /// A preprocessor line with its continuation lines; comments with `/* */` belong to it, a `//` comment does not.
    fn directive(&mut self) -> TokenKind {
        let start = self.at;
        while let Some(byte) = self.byte(0) {
            match (byte, self.byte(1)) {
                (b'\n', _) | (b'/', Some(b'/')) => break,
                (b'\\', Some(b'\n')) => self.at += 2,
                (b'\\', Some(b'\r')) if self.byte(2) == Some(b'\n') => self.at += 3,
                (b'/', Some(b'*')) => {
                    self.at += self.rest()[2..]
                        .find("*/")
                        .map_or(self.end - self.at, |length| length + 4);
                }
                _ => self.at += 1,
            }
        }
        let text = &self.source[start..self.at];
        self.at = start + text.trim_end().len();
        TokenKind::Directive
    }

    fn name(&mut self) -> TokenKind {
        let start = self.at;
        self.eat_while(is_name);
        let text = &self.source[start..self.at];
        Keyword::from_text(text).map_or(TokenKind::Ident, TokenKind::Keyword)
    }

    fn variable(&mut self) -> TokenKind {
        let start = self.at;
        self.at += 1;
        match self.byte(0) {
            Some(b'#') => {
                self.at += 1;
                TokenKind::ParamCount
            }
            Some(b'0'..=b'9') => {
                self.eat_while(|byte| byte.is_ascii_digit());
                match self.source[start + 1..self.at].parse() {
                    Ok(number) if number > 0 => TokenKind::Param(number),
                    _ => self.wrong_param(start),
                }
            }
            Some(byte) if is_name_start(byte) => {
                self.eat_while(is_name);
                TokenKind::Variable
            }
            _ => {
                let span = self.span_from(start);
                self.problem(
                    Diagnostic::error("bad-variable", span, "a name is missing behind `$`")
                        .help("variables look like `$x`, positional parameters like `$1`, their count is `$#`"),
                );
                TokenKind::Error
            }
        }
    }

    fn wrong_param(&mut self, start: usize) -> TokenKind {
        let span = self.span_from(start);
        let text = span.text(self.source);
        self.problem(
            Diagnostic::error(
                "bad-param",
                span,
                format!("there is no positional parameter `{text}`"),
            )
            .note("positional parameters are counted from `$1`"),
        );
        TokenKind::Error
    }

    fn map(&mut self) -> TokenKind {
        self.at += 1;
        if self.byte(0).is_some_and(is_name_start) {
            self.eat_while(is_name);
        }
        TokenKind::Map
    }

    fn number(&mut self, after_dot: bool) -> TokenKind {
        let start = self.at;
        if after_dot {
            self.eat_while(|byte| byte.is_ascii_digit());
        } else {
            self.eat_while(is_name);
        }
        let fraction = !after_dot
            && self.byte(0) == Some(b'.')
            && self.byte(1).is_some_and(|b| b.is_ascii_digit());
        if fraction {
            self.at += 1;
            self.eat_while(is_name);
            let span = self.span_from(start);
            self.problem(
                Diagnostic::error(
                    "float",
                    span,
                    "there are no fractional numbers in this language",
                )
                .help("count in a smaller unit, such as `1500ms` for 1.5 s"),
            );
            return TokenKind::Error;
        }
        match number::read_int(&self.source[start..self.at]) {
            Ok(value) => TokenKind::Int(value),
            Err(wrong) => {
                let mut diagnostic =
                    Diagnostic::error("bad-number", self.span_from(start), wrong.message);
                diagnostic
                    .help
                    .extend(wrong.help.map(|help| crate::diagnostic::Help {
                        message: help.to_owned(),
                        edit: None,
                    }));
                self.problem(diagnostic);
                TokenKind::Int(IntLit {
                    value: 0,
                    unit: None,
                })
            }
        }
    }

    fn string(&mut self) -> TokenKind {
        let start = self.at;
        self.at += 1;
        while let Some(byte) = self.byte(0) {
            match byte {
                b'"' => {
                    self.at += 1;
                    self.check_escapes(start);
                    return TokenKind::Str;
                }
                b'\\' => self.at = (self.at + 2).min(self.end),
                _ => self.at += 1,
            }
        }
        self.at = start;
        self.eat_while(|byte| byte != b'\n');
        let span = Span::new(self.id, start as u32, start as u32 + 1);
        self.problem(
            Diagnostic::error("open-string", span, "this string is never closed")
                .label("starts here")
                .help("close it with `\"`, and write `\\\"` for a quote inside"),
        );
        TokenKind::Error
    }

    fn check_escapes(&mut self, start: usize) {
        for (offset, length, message) in
            string::unescape(&self.source[start + 1..self.at - 1]).problems
        {
            let from = start + 1 + offset;
            let span = Span::new(self.id, from as u32, (from + length) as u32);
            self.problem(
                Diagnostic::error("bad-escape", span, message)
                    .note("the escapes are \\n \\t \\r \\\\ \\\" \\0nn (octal) and \\xnn"),
            );
        }
    }

    fn mark_or_error(&mut self) -> TokenKind {
        let rest = self.rest();
        for &(mark, text) in Mark::ALL {
            if rest.starts_with(text) {
                self.at += text.len();
                return TokenKind::Mark(mark);
            }
        }
        self.stray()
    }

    /// Characters that start no token; a run of them is one problem.
    fn stray(&mut self) -> TokenKind {
        let start = self.at;
        if self.byte(0) == Some(b'\'') {
            return self.character();
        }
        while let Some(letter) = self.rest().chars().next() {
            let known = letter.is_ascii()
                && (letter.is_ascii_alphanumeric() || " \t\r\n_\"'$@".contains(letter));
            if known || (self.at > start && letter.is_ascii_punctuation()) {
                break;
            }
            self.at += letter.len_utf8();
        }
        let span = self.span_from(start);
        let shown: String = span
            .text(self.source)
            .chars()
            .take(20)
            .flat_map(char::escape_debug)
            .collect();
        self.problem(Diagnostic::error(
            "stray-character",
            span,
            format!("`{shown}` has no meaning here"),
        ));
        TokenKind::Error
    }

    fn character(&mut self) -> TokenKind {
        let start = self.at;
        self.at += 1;
        let closing = self
            .rest()
            .char_indices()
            .take(6)
            .find(|&(_, letter)| letter == '\'' || letter == '\n');
        if let Some((length, '\'')) = closing {
            self.at += length + 1;
        }
        let span = self.span_from(start);
        self.problem(
            Diagnostic::error(
                "character",
                span,
                "there are no character literals in this language",
            )
            .help("strings stand in `\"`; for the code of a character write its number"),
        );
        TokenKind::Error
    }

    fn pattern_text(&mut self, place: PatternPlace) -> TokenKind {
        while let Some(byte) = self.byte(0) {
            let param = byte == b'$' && matches!(self.byte(1), Some(b'#' | b'0'..=b'9'));
            if byte == b':' || byte == b'"' || param || ends_pattern(byte, place) {
                break;
            }
            self.at += 1;
        }
        TokenKind::PatternText
    }
}

/// Whether no piece of a probe definition can hold `byte` unquoted.
fn ends_pattern(byte: u8, place: PatternPlace) -> bool {
    match byte {
        b' ' | b'\t' | b'\r' | b'\n' | 0x0B | 0x0C | b',' | b'{' | b'}' | b';' => true,
        b'/' | b'=' | b'(' | b')' | b':' | b'@' | b'#' => place == PatternPlace::Provider,
        _ => false,
    }
}

fn is_name_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_'
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}
