//! Probe blocks: name, patterns, predicate, body.

use super::Parser;
use super::statement::discard_value;
use crate::ast::{Block, Expr, Item, Name, Probe};
use crate::diagnostic::Diagnostic;
use crate::token::{Mark, TokenKind};

impl Parser<'_> {
    /// `[name =] pattern, … [/predicate/] { … }`
    pub(super) fn probe(&mut self) -> Item {
        let start = self.token().span;
        let Some(first) = self.provider() else {
            return self.not_a_probe();
        };
        let mut name = None;
        let mut patterns = Vec::new();
        if self.lexer.assign_ahead() {
            self.bump();
            name = Some(Name {
                text: self.text(first).to_owned(),
                span: first,
            });
        } else {
            patterns.push(self.pattern(first));
        }
        while patterns.is_empty() || self.eat(Mark::Comma) {
            if !patterns.is_empty()
                && matches!(self.kind(), TokenKind::Mark(Mark::LeftBrace | Mark::Slash))
            {
                break;
            }
            match self.provider() {
                Some(provider) => patterns.push(self.pattern(provider)),
                None => {
                    self.unexpected("a probe");
                    break;
                }
            }
        }
        let predicate = if self.at_mark(Mark::Slash) {
            Some(self.predicate())
        } else {
            None
        };
        self.check_before_body(
            predicate.is_some(),
            patterns.last().map(|pattern| pattern.text.as_str()),
        );
        let body = self.item_block("of the probe").map(without_value);
        match body {
            Some(body) => Item::Probe(Probe {
                name,
                patterns,
                predicate,
                body,
                span: self.span_since(start),
            }),
            None => Item::Error(self.span_since(start)),
        }
    }

    fn not_a_probe(&mut self) -> Item {
        self.unexpected("a probe, such as `begin` or `kprobe:do_nanosleep`");
        Item::Error(self.skip_item())
    }

    fn predicate(&mut self) -> Expr {
        self.bump();
        let outside = std::mem::replace(&mut self.in_predicate, true);
        let predicate = self.expression();
        self.in_predicate = outside;
        if !self.expect(Mark::Slash, "to end the predicate") {
            while !matches!(
                self.kind(),
                TokenKind::End | TokenKind::Mark(Mark::LeftBrace)
            ) {
                self.bump();
            }
        }
        predicate
    }

    /// Says what is likely wrong if something else than a block follows.
    fn check_before_body(&mut self, has_predicate: bool, last_pattern: Option<&str>) {
        if self.at_mark(Mark::LeftBrace) || has_predicate {
            return;
        }
        let token = self.token();
        let found = self.describe(token);
        let message =
            format!("expected `,`, a `/predicate/` or `{{` behind the probe, found {found}");
        let mut diagnostic = Diagnostic::error("unexpected-token", token.span, message);
        if last_pattern.is_some_and(|text| text.contains('/')) {
            diagnostic = diagnostic
                .help("a predicate needs a blank before its `/`, else it belongs to the probe");
        }
        if token.kind == TokenKind::Mark(Mark::LeftParen) {
            diagnostic = diagnostic.help("a condition stands between slashes: `/condition/`");
        }
        self.report_here(diagnostic);
    }
}

fn without_value(mut block: Block) -> Block {
    discard_value(&mut block);
    block
}
