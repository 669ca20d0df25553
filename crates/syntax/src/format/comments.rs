//! Handing out comments in the order of the text.

use super::doc::Doc;
use crate::span::Span;
use crate::token::Comment;

/// Comments that are not printed yet.
pub(super) struct Comments<'a> {
    source: &'a str,
    list: &'a [Comment],
    at: usize,
}

impl<'a> Comments<'a> {
    pub(super) fn new(source: &'a str, list: &'a [Comment]) -> Comments<'a> {
        Comments {
            source,
            list,
            at: 0,
        }
    }

    fn peek(&self) -> Option<Comment> {
        self.list.get(self.at).copied()
    }

    /// Passes over the comments inside `span`, which is printed as it was written.
    pub(super) fn skip_to(&mut self, end: u32) {
        while self.peek().is_some_and(|comment| comment.span.start < end) {
            self.at += 1;
        }
    }

    /// Whether a comment that is not printed yet starts in `from..to`.
    pub(super) fn any_between(&self, from: u32, to: u32) -> bool {
        self.list[self.at..]
            .iter()
            .any(|comment| comment.span.start >= from && comment.span.start < to)
    }

    /// The comments before `offset`, each on its own line; `last` is where the text before ended.
    pub(super) fn leading(&mut self, offset: u32, last: &mut u32, out: &mut Vec<Doc>) {
        while let Some(comment) = self.peek().filter(|comment| comment.span.start < offset) {
            self.at += 1;
            self.blank_line(*last, comment.span.start, out);
            out.push(verbatim(comment.span.text(self.source)));
            out.push(Doc::HardLine);
            *last = comment.span.end;
        }
        self.blank_line(*last, offset, out);
    }

    /// Keeps one empty line where the text had any.
    fn blank_line(&self, from: u32, to: u32, out: &mut Vec<Doc>) {
        let between = Span {
            start: from,
            end: to.max(from),
            ..Span::default()
        }
        .text(self.source);
        if between.bytes().filter(|&byte| byte == b'\n').count() > 1 {
            out.push(Doc::BlankLine);
        }
    }

    /// Comments behind `end` on the same line, before `limit`; moves `last` behind them.
    pub(super) fn trailing(&mut self, end: u32, limit: u32, last: &mut u32, out: &mut Vec<Doc>) {
        *last = end;
        while let Some(comment) = self.peek().filter(|comment| comment.span.start < limit) {
            let between = Span {
                start: *last,
                end: comment.span.start.max(*last),
                ..Span::default()
            };
            let same_line =
                comment.span.start >= *last && !between.text(self.source).contains('\n');
            if !same_line {
                return;
            }
            self.at += 1;
            let text = comment.span.text(self.source);
            if text.contains('\n') {
                out.push(Doc::HardLine);
                out.push(verbatim(text));
            } else {
                out.push(Doc::Trailing(format!(" {}", text.trim_end())));
            }
            *last = comment.span.end;
        }
    }
}

fn verbatim(text: &str) -> Doc {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    Doc::Verbatim(lines.join("\n"))
}
