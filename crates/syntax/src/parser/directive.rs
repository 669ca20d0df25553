//! Preprocessor lines: `#include` and `#define` are kept, `#if` and its kin choose which lines are read.

use std::collections::HashMap;

use super::Parser;
use crate::ast::c::{CDefine, CDefs, CInclude};
use crate::ast::{Expr, ExprKind, Name};
use crate::constant::const_value;
use crate::diagnostic::Diagnostic;
use crate::span::Span;
use crate::token::TokenKind;

/// How deep `#if` may stand in `#if`.
const CONDITIONALS_MAX: usize = 64;

/// What the preprocessor knows.
pub(super) struct Macros {
    values: HashMap<String, Option<i128>>,
    open: Vec<Conditional>,
}

/// An `#if` that waits for its `#endif`.
struct Conditional {
    span: Span,
    /// One of its branches was read already.
    taken: bool,
    /// Its `#else` was seen.
    last_branch: bool,
}

impl Macros {
    pub(super) fn new(defines: &[(String, i64)]) -> Macros {
        let values = defines
            .iter()
            .map(|(name, value)| (name.clone(), Some(i128::from(*value))))
            .collect();
        Macros {
            values,
            open: Vec::new(),
        }
    }
}

impl<'src> Parser<'src> {
    /// Reads the directives that come next, if any.
    pub(super) fn directives(&mut self, c: &mut CDefs) {
        while self.kind() == TokenKind::Directive {
            self.directive(c);
        }
    }

    /// Reads the preprocessor line that comes next.
    fn directive(&mut self, c: &mut CDefs) {
        let span = self.bump().span;
        let (word, rest) = self.directive_parts(span);
        match word {
            "include" => self.include(c, span, rest),
            "define" => self.define(c, span, rest),
            "undef" => {
                let name = self.text(rest).trim().to_owned();
                self.macros.values.remove(&name);
                c.defines.retain(|define| define.name.text != name);
            }
            "ifdef" | "ifndef" => {
                let known = self.macros.values.contains_key(self.text(rest).trim());
                self.open_conditional(span, known == (word == "ifdef"));
            }
            "if" => {
                let holds = self.directive_condition(rest);
                self.open_conditional(span, holds);
            }
            "elif" | "else" => self.next_branch(span, word, rest),
            "endif" => {
                if self.macros.open.pop().is_none() {
                    self.without_if(span, word);
                }
            }
            "error" => {
                let message = format!("the script says: {}", self.text(rest).trim());
                self.report(Diagnostic::error("error-directive", span, message));
            }
            "" | "pragma" | "line" | "warning" => {}
            _ => {
                let message = format!("there is no preprocessor line `#{}`", word.escape_debug());
                self.report(Diagnostic::error("unknown-directive", span, message));
            }
        }
    }

    /// The word behind `#`, and where the rest of the line stands.
    fn directive_parts(&self, span: Span) -> (&'src str, Span) {
        let text = self.text(span);
        let behind_hash = text[1..].trim_start();
        let end = behind_hash
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(behind_hash.len());
        let (word, rest) = behind_hash.split_at(end);
        (
            word,
            Span {
                start: span.end - rest.len() as u32,
                ..span
            },
        )
    }

    fn include(&mut self, c: &mut CDefs, span: Span, rest: Span) {
        let text = self.text(rest).trim();
        let inner = |open, close| {
            text.strip_prefix(open)
                .and_then(|text: &str| text.split_once(close))
        };
        let found = inner('<', '>').map(|(path, _)| (path, true));
        let Some((path, system)) = found.or_else(|| inner('"', '"').map(|(path, _)| (path, false)))
        else {
            let message = "the path of an `#include` stands in `<>` or in quotes";
            self.report(Diagnostic::error("bad-include", span, message));
            return;
        };
        c.includes.push(CInclude {
            path: path.trim().to_owned(),
            system,
            span,
        });
    }

    fn define(&mut self, c: &mut CDefs, span: Span, rest: Span) {
        let text = self.text(rest);
        let lead = text.len() - text.trim_start().len();
        let body = &text[lead..];
        let length = body
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(body.len());
        if length == 0 || body.starts_with(|c: char| c.is_ascii_digit()) {
            self.report(Diagnostic::error(
                "bad-define",
                span,
                "`#define` wants a name",
            ));
            return;
        }
        let start = rest.start + lead as u32;
        let name_span = Span::new(span.source, start, start + length as u32);
        let name = Name {
            text: body[..length].to_owned(),
            span: name_span,
        };
        let behind = &body[length..];
        let (params, value_text) = match behind
            .strip_prefix('(')
            .and_then(|inside| inside.split_once(')'))
        {
            Some((list, value)) => (Some(split_params(list)), value),
            None => (None, behind),
        };
        let value_span = Span {
            start: span.end - value_text.len() as u32,
            ..span
        };
        let text = value_text
            .trim()
            .replace("\\\r\n", " ")
            .replace("\\\n", " ");
        let value = if params.is_none() && !text.is_empty() {
            self.directive_expr(value_span)
        } else {
            None
        };
        let number = value.as_ref().and_then(|value| self.known_value(value));
        self.macros.values.insert(name.text.clone(), number);
        c.defines.push(CDefine {
            name,
            params,
            text,
            value,
            span,
        });
    }

    /// The expression that fills `span` wholly, if it is one.
    fn directive_expr(&mut self, span: Span) -> Option<Expr> {
        let mut part = self.part(span);
        let value = part.expression();
        let whole = part.kind() == TokenKind::End
            && part.diagnostics.is_empty()
            && part.lexer.problems.is_empty();
        self.adopt(part);
        (whole && !matches!(value.kind, ExprKind::Error)).then_some(value)
    }

    fn known_value(&self, expr: &Expr) -> Option<i128> {
        const_value(expr, &mut |name| {
            self.macros.values.get(name).copied().flatten()
        })
    }

    fn directive_condition(&mut self, span: Span) -> bool {
        let value = self
            .directive_expr(span)
            .and_then(|expr| self.condition_value(&expr));
        if value.is_none() {
            self.report(
                Diagnostic::warning(
                    "unknown-condition",
                    span,
                    "this condition cannot be decided here",
                )
                .label("taken as false")
                .note("C headers are not read; types come from the kernel's own description (BTF)"),
            );
        }
        value.is_some_and(|value| value != 0)
    }

    /// As in C: `defined(X)` asks whether X is known, and names that are not known are 0.
    fn condition_value(&self, expr: &Expr) -> Option<i128> {
        let replaced = self.replace_defined(expr);
        const_value(&replaced, &mut |name| {
            Some(self.macros.values.get(name).copied().flatten().unwrap_or(0))
        })
    }

    fn replace_defined(&self, expr: &Expr) -> Expr {
        let mut expr = expr.clone();
        self.fold_defined(&mut expr);
        expr
    }

    fn fold_defined(&self, expr: &mut Expr) {
        match &mut expr.kind {
            ExprKind::Call { callee, args } if callee.text == "defined" => {
                let [
                    Expr {
                        kind: ExprKind::Ident(name),
                        ..
                    },
                ] = args.as_slice()
                else {
                    return;
                };
                expr.kind = ExprKind::Bool(self.macros.values.contains_key(name));
            }
            ExprKind::Unary { operand, .. } => self.fold_defined(operand),
            ExprKind::Binary { left, right, .. } => {
                self.fold_defined(left);
                self.fold_defined(right);
            }
            ExprKind::Ternary {
                condition,
                then,
                otherwise,
            } => {
                self.fold_defined(condition);
                then.iter_mut().for_each(|then| self.fold_defined(then));
                self.fold_defined(otherwise);
            }
            _ => {}
        }
    }

    fn open_conditional(&mut self, span: Span, holds: bool) {
        if self.macros.open.len() >= CONDITIONALS_MAX {
            self.report(Diagnostic::error(
                "too-deep",
                span,
                "too many `#if` stand in each other",
            ));
            return;
        }
        self.macros.open.push(Conditional {
            span,
            taken: holds,
            last_branch: false,
        });
        if !holds {
            self.skip_inactive();
        }
    }

    fn next_branch(&mut self, span: Span, word: &str, rest: Span) {
        let is_else = word == "else";
        let taken = match self.macros.open.last_mut() {
            Some(conditional) if !conditional.last_branch => {
                conditional.last_branch = is_else;
                conditional.taken
            }
            _ => return self.without_if(span, word),
        };
        let read = !taken && (is_else || self.directive_condition(rest));
        if let Some(conditional) = self.macros.open.last_mut() {
            conditional.taken |= read;
        }
        if !read {
            self.skip_inactive();
        }
    }

    fn without_if(&mut self, span: Span, word: &str) {
        self.report(Diagnostic::error(
            "stray-directive",
            span,
            format!("this `#{word}` belongs to no `#if`"),
        ));
    }

    fn skip_inactive(&mut self) {
        self.forget_lookahead();
        let token = self.lexer.inactive_lines();
        if !token.span.is_empty() {
            self.tokens.push(token);
            self.at += 1;
        }
    }

    /// Reports each `#if` that has no `#endif`.
    pub(super) fn close_conditionals(&mut self) {
        for conditional in std::mem::take(&mut self.macros.open) {
            let message = "this `#if` has no `#endif`";
            self.report(Diagnostic::error(
                "open-conditional",
                conditional.span,
                message,
            ));
        }
    }
}

fn split_params(list: &str) -> Vec<String> {
    list.split(',')
        .map(|param| param.trim().to_owned())
        .filter(|param| !param.is_empty())
        .collect()
}
