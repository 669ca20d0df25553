//! Going on after a mistake: where the next statement or the next probe starts.

use super::Parser;
use crate::span::Span;
use crate::token::{Keyword, Mark, TokenKind};

impl Parser<'_> {
    /// Skips to the end of a broken statement: behind `;`, before the block's `}`, or before a line that starts a
    /// statement. Brackets are skipped whole.
    pub(super) fn skip_statement(&mut self) {
        let mut depth = 0usize;
        let mut first = true;
        loop {
            let token = self.token();
            match token.kind {
                TokenKind::End => return,
                TokenKind::Mark(Mark::Semicolon) if depth == 0 => {
                    self.bump();
                    return;
                }
                TokenKind::Mark(Mark::RightBrace) if depth == 0 => return,
                _ if !first
                    && token.first_on_line
                    && (self.starts_statement() || self.probe_ahead()) =>
                {
                    return;
                }
                TokenKind::Mark(Mark::LeftBrace) => depth += 1,
                TokenKind::Mark(Mark::RightBrace) => {
                    depth -= 1;
                    if depth == 0 {
                        self.bump();
                        return;
                    }
                }
                _ => {}
            }
            self.bump();
            first = false;
        }
    }

    /// Whether the next token can only be the start of a statement.
    fn starts_statement(&mut self) -> bool {
        match self.kind() {
            TokenKind::Keyword(
                Keyword::If
                | Keyword::For
                | Keyword::While
                | Keyword::Unroll
                | Keyword::Let
                | Keyword::Return
                | Keyword::Break
                | Keyword::Continue,
            ) => true,
            TokenKind::Variable | TokenKind::Map => true,
            TokenKind::Ident => self.mark_ahead(1, Mark::LeftParen),
            _ => false,
        }
    }

    /// Whether a new probe seems to start inside a block whose `}` was forgotten: `name:` at the start of a line, where
    /// no statement can have a colon, or a name and `{` in the first column.
    pub(super) fn probe_ahead(&mut self) -> bool {
        let token = self.token();
        if token.kind != TokenKind::Ident || !token.first_on_line {
            return false;
        }
        let next = self.source.as_bytes().get(token.span.end as usize);
        let behind = self.source.as_bytes().get(token.span.end as usize + 1);
        if next == Some(&b':') && behind.is_some_and(|byte| !byte.is_ascii_whitespace()) {
            return true;
        }
        let column_one =
            token.span.start == 0 || self.source.as_bytes()[token.span.start as usize - 1] == b'\n';
        column_one && self.mark_ahead(1, Mark::LeftBrace)
    }

    /// Skips to where the next thing at the top level may start: behind a block, behind `;`, or at the start of a line.
    pub(super) fn skip_item(&mut self) -> Span {
        let start = self.token().span;
        let mut depth = 0usize;
        let mut first = true;
        loop {
            let token = self.token();
            match token.kind {
                TokenKind::End => break,
                _ if !first && depth == 0 && token.first_on_line => break,
                _ if depth > 0 && self.probe_ahead() => break,
                TokenKind::Mark(Mark::LeftBrace) => depth += 1,
                TokenKind::Mark(Mark::RightBrace) => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        self.bump();
                        break;
                    }
                }
                TokenKind::Mark(Mark::Semicolon) if depth == 0 => {
                    self.bump();
                    break;
                }
                _ => {}
            }
            self.bump();
            first = false;
        }
        self.span_since(start)
    }
}
