//! Probe patterns: provider and segments, read by the lexer's own rules for them.

use super::Parser;
use crate::ast::{AttachPattern, Name, Piece, Segment};
use crate::diagnostic::Diagnostic;
use crate::lexer::PatternPlace;
use crate::lexer::string::unescape;
use crate::span::Span;
use crate::token::{Mark, TokenKind};

impl Parser<'_> {
    /// The word before the first colon, if one follows.
    pub(super) fn provider(&mut self) -> Option<Span> {
        self.forget_lookahead();
        let token = self.pattern_token(PatternPlace::Provider)?;
        if token.kind == TokenKind::PatternText {
            return Some(token.span);
        }
        self.last_problem_at = None;
        let message = "a probe starts with the kind of probe, a plain word";
        self.report(Diagnostic::error("bad-provider", token.span, message));
        Some(token.span)
    }

    /// The rest of a pattern behind its provider.
    pub(super) fn pattern(&mut self, provider: Span) -> AttachPattern {
        let mut parts: Vec<Segment> = Vec::new();
        while !parts.is_empty() || self.lexer.at_colon() {
            let Some(token) = self.pattern_token(PatternPlace::Segment) else {
                break;
            };
            let piece = match token.kind {
                TokenKind::Mark(Mark::Colon) => {
                    parts.push(Segment {
                        pieces: Vec::new(),
                        span: token.span.after(),
                    });
                    continue;
                }
                TokenKind::PatternString => Piece::Quoted(self.quoted(token.span)),
                TokenKind::Param(number) => Piece::Param(number),
                TokenKind::ParamCount => Piece::ParamCount,
                TokenKind::Error => {
                    self.last_problem_at = Some(token.span.start);
                    continue;
                }
                _ => Piece::Plain(self.text(token.span).to_owned()),
            };
            match parts.last_mut() {
                Some(segment) => {
                    segment.span = Span {
                        start: segment.span.start,
                        ..token.span
                    };
                    segment.pieces.push(piece);
                }
                None => unreachable!("pattern: a piece before the first colon"),
            }
        }
        let span = self.span_since(provider);
        let text = self.text(span).to_owned();
        let provider = Name {
            text: self.text(provider).to_owned(),
            span: provider,
        };
        AttachPattern {
            text,
            provider,
            parts,
            span,
        }
    }

    fn quoted(&self, span: Span) -> String {
        let text = self.text(span);
        let inner = text
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'))
            .unwrap_or("");
        String::from_utf8_lossy(&unescape(inner).bytes).into_owned()
    }
}
