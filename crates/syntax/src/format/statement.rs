//! Blocks and statements.

use super::Printer;
use super::comments::Comments;
use super::doc::Doc;
use crate::ast::{Block, Expr, ExprKind, ForOver, If, Stmt, StmtKind};
use crate::span::Span;
use crate::visit;

impl Printer<'_> {
    pub(super) fn block(&self, block: &Block, comments: &mut Comments) -> Doc {
        Doc::Concat(vec![
            Doc::text("{"),
            self.block_behind_brace(block, comments),
        ])
    }

    /// The inside of a block and its `}`.
    pub(super) fn block_behind_brace(&self, block: &Block, comments: &mut Comments) -> Doc {
        let mut inside = Vec::new();
        let mut last = block.span.start + 1;
        let mut spans: Vec<Span> = block
            .statements
            .iter()
            .map(|statement| statement.span)
            .collect();
        spans.extend(block.value.iter().map(|value| self.with_parentheses(value)));
        let first = spans.first().map_or(block.span.end, |span| span.start);
        comments.trailing(last, first, &mut last, &mut inside);
        for (position, span) in spans.iter().enumerate() {
            inside.push(Doc::HardLine);
            if position == 0 && last == block.span.start + 1 {
                last = span.start;
            }
            comments.leading(span.start, &mut last, &mut inside);
            match (block.statements.get(position), &block.value) {
                (Some(statement), _) => inside.push(self.statement(statement, comments)),
                (None, Some(value)) => inside.push(self.whole(value, *span, "", comments)),
                (None, None) => {}
            }
            comments.skip_to(span.end);
            let limit = spans
                .get(position + 1)
                .map_or(block.span.end, |next| next.start);
            comments.trailing(
                self.behind_semicolon(span.end),
                limit,
                &mut last,
                &mut inside,
            );
        }
        self.rest_of_block(block.span, last, &mut inside, comments);
        if inside.is_empty() {
            return Doc::text("}");
        }
        Doc::Concat(vec![Doc::indent(inside), Doc::HardLine, Doc::text("}")])
    }

    /// The comments between the last statement and the `}`.
    pub(super) fn rest_of_block(
        &self,
        block: Span,
        mut last: u32,
        inside: &mut Vec<Doc>,
        comments: &mut Comments,
    ) {
        let end = block.end.saturating_sub(1);
        if !comments.any_between(0, end) {
            return;
        }
        inside.push(Doc::HardLine);
        comments.leading(end, &mut last, inside);
        while matches!(inside.last(), Some(Doc::HardLine | Doc::BlankLine)) {
            inside.pop();
        }
    }

    /// The span of `expr` with the parentheses around it.
    fn with_parentheses(&self, expr: &Expr) -> Span {
        let mut span = expr.span;
        loop {
            let first = self
                .tokens
                .partition_point(|token| token.span.start < span.start);
            let behind = self
                .tokens
                .partition_point(|token| token.span.start < span.end);
            let (Some(before), Some(after)) = (
                first.checked_sub(1).map(|i| &self.tokens[i]),
                self.tokens.get(behind),
            ) else {
                return span;
            };
            if self.text(before.span) != "(" || self.text(after.span) != ")" {
                return span;
            }
            span = before.span.to(after.span);
        }
    }

    fn statement(&self, statement: &Stmt, comments: &mut Comments) -> Doc {
        if self.has_loose_comment(
            statement.span,
            |seen| collect_blocks(statement, seen),
            comments,
        ) {
            comments.skip_to(statement.span.end);
            let semicolon = if needs_semicolon(&statement.kind) {
                ";"
            } else {
                ""
            };
            return Doc::Concat(vec![self.as_written(statement.span), Doc::text(semicolon)]);
        }
        let head = match &statement.kind {
            StmtKind::Expr(expr) => self.expr(expr, comments),
            StmtKind::Assign { target, op, value } => {
                let target = self.expr(target, comments);
                let op = format!(" {}=", op.map_or("", |op| op.symbol()));
                Doc::Concat(vec![target, self.assigned(op, value, comments)])
            }
            StmtKind::Discard(value) => self.assigned("_ =".to_owned(), value, comments),
            StmtKind::Let { name, ty, value } => {
                let mut docs = vec![Doc::text(format!("let ${}", name.text))];
                if let Some(ty) = ty {
                    docs.push(Doc::text(" : "));
                    docs.push(self.ty(ty, comments));
                }
                docs.extend(
                    value
                        .iter()
                        .map(|value| self.assigned(" =".to_owned(), value, comments)),
                );
                Doc::Concat(docs)
            }
            StmtKind::While { condition, body } => {
                self.loop_statement("while", condition, body, comments)
            }
            StmtKind::Unroll { count, body } => {
                self.loop_statement("unroll", count, body, comments)
            }
            StmtKind::For {
                variable,
                over,
                body,
            } => self.for_statement(&variable.text, over, body, comments),
            StmtKind::Break => Doc::text("break"),
            StmtKind::Continue => Doc::text("continue"),
            StmtKind::Return(None) => Doc::text("return"),
            StmtKind::Return(Some(value)) => {
                Doc::Concat(vec![Doc::text("return "), self.expr(value, comments)])
            }
            StmtKind::Import(import) => {
                Doc::text(format!("import {}", self.text(import.path_span)))
            }
            StmtKind::Error => self.as_written(statement.span),
        };
        let semicolon = if needs_semicolon(&statement.kind) {
            ";"
        } else {
            ""
        };
        Doc::Concat(vec![head, Doc::text(semicolon)])
    }

    /// `value` as the value of a block; as it was written if a comment stands in its middle.
    fn whole(&self, value: &Expr, span: Span, behind: &str, comments: &mut Comments) -> Doc {
        if self.has_loose_comment(span, |seen| collect_expr_blocks(value, seen), comments) {
            comments.skip_to(span.end);
            return Doc::Concat(vec![self.as_written(span), Doc::text(behind)]);
        }
        Doc::Concat(vec![self.expr(value, comments), Doc::text(behind)])
    }

    /// Whether a comment stands in `span` outside of the blocks in it.
    fn has_loose_comment(
        &self,
        span: Span,
        blocks: impl FnOnce(&mut Vec<Span>),
        comments: &Comments,
    ) -> bool {
        if !comments.any_between(span.start, span.end) {
            return false;
        }
        let mut inner = Vec::new();
        blocks(&mut inner);
        inner.sort();
        let mut from = span.start;
        for block in inner {
            if comments.any_between(from, block.start) {
                return true;
            }
            from = from.max(block.end);
        }
        comments.any_between(from, span.end)
    }

    fn assigned(&self, op: String, value: &Expr, comments: &mut Comments) -> Doc {
        let stays = matches!(
            value.kind,
            ExprKind::If(_)
                | ExprKind::Block(_)
                | ExprKind::Call { .. }
                | ExprKind::Tuple(_)
                | ExprKind::Record(_)
        );
        let value = self.expr(value, comments);
        if stays {
            return Doc::Concat(vec![Doc::text(op), Doc::text(" "), value]);
        }
        Doc::group(vec![Doc::text(op), Doc::indent(vec![Doc::Line, value])])
    }

    fn loop_statement(
        &self,
        word: &str,
        head: &Expr,
        body: &Block,
        comments: &mut Comments,
    ) -> Doc {
        let head = self.condition(word, head, comments);
        Doc::Concat(vec![head, self.block_behind_brace(body, comments)])
    }

    /// `word (head) {`
    fn condition(&self, word: &str, head: &Expr, comments: &mut Comments) -> Doc {
        let (word, head) = match &head.kind {
            ExprKind::Comptime(inner) => (format!("{word} comptime ("), inner.as_ref()),
            _ => (format!("{word} ("), head),
        };
        let head = self.expr(head, comments);
        Doc::group(vec![
            Doc::text(word),
            Doc::indent(vec![Doc::SoftLine, head]),
            Doc::SoftLine,
            Doc::text(") {"),
        ])
    }

    fn for_statement(
        &self,
        variable: &str,
        over: &ForOver,
        body: &Block,
        comments: &mut Comments,
    ) -> Doc {
        let mut docs = vec![Doc::text(format!("for (${variable} : "))];
        match over {
            ForOver::Elements(elements) => docs.push(self.expr(elements, comments)),
            ForOver::Range { start, end } => {
                docs.push(self.expr(start, comments));
                docs.push(Doc::text(".."));
                docs.push(self.expr(end, comments));
            }
        }
        docs.push(Doc::text(") {"));
        docs.push(self.block_behind_brace(body, comments));
        Doc::Concat(docs)
    }

    pub(super) fn if_expr(&self, inner: &If, comments: &mut Comments) -> Doc {
        let head = self.condition("if", &inner.condition, comments);
        let mut docs = vec![head, self.block_behind_brace(&inner.then, comments)];
        if let Some(otherwise) = &inner.otherwise {
            docs.push(Doc::text(" else "));
            docs.push(self.expr(otherwise, comments));
        }
        Doc::Concat(docs)
    }
}

fn needs_semicolon(kind: &StmtKind) -> bool {
    match kind {
        StmtKind::While { .. }
        | StmtKind::For { .. }
        | StmtKind::Unroll { .. }
        | StmtKind::Error => false,
        StmtKind::Expr(expr) => !matches!(expr.kind, ExprKind::If(_) | ExprKind::Block(_)),
        _ => true,
    }
}

/// The spans of the outermost blocks in a statement.
fn collect_blocks(statement: &Stmt, seen: &mut Vec<Span>) {
    match &statement.kind {
        StmtKind::While {
            condition: head,
            body,
        }
        | StmtKind::Unroll { count: head, body } => {
            collect_expr_blocks(head, seen);
            seen.push(body.span);
        }
        StmtKind::For { body, .. } => seen.push(body.span),
        _ => visit::statement_exprs(statement, &mut |expr| collect_expr_blocks(expr, seen)),
    }
}

fn collect_expr_blocks(expr: &Expr, seen: &mut Vec<Span>) {
    match &expr.kind {
        ExprKind::Block(block) => seen.push(block.span),
        ExprKind::If(inner) => {
            collect_expr_blocks(&inner.condition, seen);
            seen.push(inner.then.span);
            if let Some(otherwise) = &inner.otherwise {
                collect_expr_blocks(otherwise, seen);
            }
        }
        kind => visit::child_exprs(kind, &mut |child| collect_expr_blocks(child, seen)),
    }
}
