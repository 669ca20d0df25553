//! Blocks and statements.

use super::Parser;
use crate::ast::{BinaryOp, Block, Expr, ExprKind, ForOver, Stmt, StmtKind};
use crate::diagnostic::Diagnostic;
use crate::span::Span;
use crate::token::{Keyword, Mark, TokenKind};

impl Parser<'_> {
    /// `{ … }`; the next token must be `{`.
    pub(super) fn block(&mut self) -> Block {
        let start = self.bump().span;
        let outside = std::mem::replace(&mut self.in_predicate, false);
        let block = self.nested(|parser| parser.block_inside(start));
        self.in_predicate = outside;
        block.unwrap_or_else(|| {
            self.skip_braces();
            Block {
                statements: Vec::new(),
                value: None,
                span: self.span_since(start),
            }
        })
    }

    /// Skips to behind the `}` of a block whose `{` was taken.
    fn skip_braces(&mut self) {
        let mut depth = 1usize;
        while depth > 0 && self.kind() != TokenKind::End {
            match self.bump().kind {
                TokenKind::Mark(Mark::LeftBrace) => depth += 1,
                TokenKind::Mark(Mark::RightBrace) => depth -= 1,
                _ => {}
            }
        }
    }

    fn block_inside(&mut self, start: Span) -> Block {
        let mut statements: Vec<Stmt> = Vec::new();
        let mut value = None;
        while !matches!(
            self.kind(),
            TokenKind::End | TokenKind::Mark(Mark::RightBrace)
        ) && !self.probe_ahead()
        {
            if self.eat(Mark::Semicolon) {
                continue;
            }
            let before = self.at;
            let mut statement = self.statement();
            let ended = self.eat(Mark::Semicolon);
            if let StmtKind::Expr(expr) = &mut statement.kind {
                if !ended && self.at_mark(Mark::RightBrace) {
                    value = Some(Box::new(std::mem::replace(
                        expr,
                        placeholder(statement.span),
                    )));
                    break;
                }
                discard_expr_value(expr);
            }
            let needs_end = !ended && !ends_itself(&statement.kind);
            statements.push(statement);
            if needs_end {
                self.statement_end();
            }
            if self.at == before {
                self.bump();
            }
        }
        if !self.eat(Mark::RightBrace) {
            self.unclosed_block(start);
        }
        Block {
            statements,
            value,
            span: self.span_since(start),
        }
    }

    fn unclosed_block(&mut self, start: Span) {
        let span = self.token().span;
        self.report_here(
            Diagnostic::error("open-block", span, "a `}` is missing before this")
                .also(start, "the block starts here")
                .help("close the block with `}`"),
        );
    }

    /// Handles a statement that is not followed by `;`.
    fn statement_end(&mut self) {
        let token = self.token();
        if token.kind == TokenKind::Mark(Mark::RightBrace) {
            return;
        }
        if token.first_on_line && token.kind != TokenKind::End {
            self.missing_semicolon(self.previous_span());
            return;
        }
        self.unexpected("`;` or `}` behind the statement");
        self.skip_statement();
    }

    /// Reports that a `;` is missing behind `span`.
    pub(super) fn missing_semicolon(&mut self, span: Span) {
        let place = span.after();
        self.report_here(
            Diagnostic::error("missing-semicolon", place, "a `;` is missing here").fix(
                "put it there",
                place,
                ";",
            ),
        );
    }

    fn statement(&mut self) -> Stmt {
        let start = self.token().span;
        let kind = self.nested(Self::statement_kind).unwrap_or_else(|| {
            self.skip_statement();
            StmtKind::Error
        });
        Stmt {
            kind,
            span: self.span_since(start),
        }
    }

    fn statement_kind(&mut self) -> StmtKind {
        match self.kind() {
            TokenKind::Keyword(Keyword::Let) => self.let_statement(),
            TokenKind::Keyword(Keyword::While) => self.while_statement(),
            TokenKind::Keyword(Keyword::For) => self.for_statement(),
            TokenKind::Keyword(Keyword::Unroll) => self.unroll_statement(),
            TokenKind::Keyword(Keyword::Break) => self.word(StmtKind::Break),
            TokenKind::Keyword(Keyword::Continue) => self.word(StmtKind::Continue),
            TokenKind::Keyword(Keyword::Return) => self.return_statement(),
            TokenKind::Keyword(Keyword::Import) => StmtKind::Import(self.import()),
            TokenKind::Keyword(Keyword::If) => StmtKind::Expr(self.if_expr()),
            TokenKind::Mark(Mark::LeftBrace) => StmtKind::Expr(self.block_expr()),
            TokenKind::Directive => self.directive_in_block(),
            _ => self.simple_statement(),
        }
    }

    fn word(&mut self, kind: StmtKind) -> StmtKind {
        self.bump();
        kind
    }

    fn directive_in_block(&mut self) -> StmtKind {
        let span = self.token().span;
        let message = "preprocessor lines can stand only before the first probe";
        self.report_here(Diagnostic::error("out-of-order", span, message));
        self.bump();
        StmtKind::Error
    }

    /// An assignment or an expression.
    fn simple_statement(&mut self) -> StmtKind {
        let token = self.token();
        let discard = token.kind == TokenKind::Ident && self.text(token.span) == "_";
        if discard && self.mark_ahead(1, Mark::Assign) {
            self.bump();
            self.bump();
            return StmtKind::Discard(self.expression());
        }
        let target = self.expression();
        let Some(op) = self.assignment() else {
            return StmtKind::Expr(target);
        };
        self.check_target(&target, "assigned to");
        self.bump();
        let value = self.expression();
        StmtKind::Assign { target, op, value }
    }

    /// Whether an assignment operator comes next, and which operator it is made of.
    fn assignment(&mut self) -> Option<Option<BinaryOp>> {
        let TokenKind::Mark(mark) = self.kind() else {
            return None;
        };
        Some(match mark {
            Mark::Assign => None,
            Mark::AddAssign => Some(BinaryOp::Add),
            Mark::SubtractAssign => Some(BinaryOp::Subtract),
            Mark::MultiplyAssign => Some(BinaryOp::Multiply),
            Mark::DivideAssign => Some(BinaryOp::Divide),
            Mark::RemainderAssign => Some(BinaryOp::Remainder),
            Mark::AndAssign => Some(BinaryOp::BitAnd),
            Mark::OrAssign => Some(BinaryOp::BitOr),
            Mark::XorAssign => Some(BinaryOp::BitXor),
            Mark::ShiftLeftAssign => Some(BinaryOp::ShiftLeft),
            Mark::ShiftRightAssign => Some(BinaryOp::ShiftRight),
            _ => return None,
        })
    }

    /// Reports a target that is no variable and no map.
    pub(super) fn check_target(&mut self, target: &Expr, done: &str) {
        let note = match &target.kind {
            ExprKind::Variable(_)
            | ExprKind::Map(_)
            | ExprKind::MapElement { .. }
            | ExprKind::Error => return,
            // A parameter of a macro may turn out to be a variable or a map.
            ExprKind::Ident(_) if done != "assigned to" => return,
            ExprKind::Member { .. } | ExprKind::Index { .. } => {
                "fields and elements are read-only; build a new value and assign it as a whole"
            }
            _ => "only variables (`$x`) and maps (`@x`, `@x[key]`) can change",
        };
        let message = format!("this cannot be {done}");
        self.report(Diagnostic::error("bad-target", target.span, message).note(note));
    }

    fn let_statement(&mut self) -> StmtKind {
        self.bump();
        if self.kind() == TokenKind::Map {
            let span = self.token().span;
            self.report_here(
                Diagnostic::error(
                    "map-in-block",
                    span,
                    "maps are declared at the top level, not in a block",
                )
                .help("a map needs no declaration: assign to it"),
            );
            self.skip_to_semicolon();
            return StmtKind::Error;
        }
        if self.kind() != TokenKind::Variable {
            self.unexpected("a variable behind `let`, such as `$x`");
            self.skip_to_semicolon();
            return StmtKind::Error;
        }
        let token = self.bump();
        let name = self.name_of(token);
        let ty = if self.eat(Mark::Colon) {
            Some(self.type_expr())
        } else {
            None
        };
        let value = if self.eat(Mark::Assign) {
            Some(self.expression())
        } else {
            None
        };
        StmtKind::Let { name, ty, value }
    }

    fn skip_to_semicolon(&mut self) {
        while !matches!(
            self.kind(),
            TokenKind::End | TokenKind::Mark(Mark::Semicolon | Mark::RightBrace)
        ) {
            self.bump();
        }
    }

    fn while_statement(&mut self) -> StmtKind {
        self.bump();
        let condition = self.condition();
        StmtKind::While {
            condition,
            body: self.loop_body("of the loop"),
        }
    }

    fn unroll_statement(&mut self) -> StmtKind {
        self.bump();
        let count = self.condition();
        StmtKind::Unroll {
            count,
            body: self.loop_body("of the loop"),
        }
    }

    fn for_statement(&mut self) -> StmtKind {
        self.bump();
        let parenthesis = self.eat(Mark::LeftParen);
        if self.kind() != TokenKind::Variable {
            let wanted = "a loop variable: `for ($kv : @map)` or `for ($i : 0..10)`";
            self.unexpected(wanted);
            while !matches!(
                self.kind(),
                TokenKind::End | TokenKind::Mark(Mark::LeftBrace | Mark::RightBrace)
            ) {
                self.bump();
            }
            if self.at_mark(Mark::LeftBrace) {
                self.block();
            }
            return StmtKind::Error;
        }
        let token = self.bump();
        let variable = self.name_of(token);
        self.expect(Mark::Colon, "behind the loop variable");
        let start = self.expression();
        let over = if self.eat(Mark::Range) {
            ForOver::Range {
                start,
                end: self.expression(),
            }
        } else {
            ForOver::Elements(start)
        };
        if parenthesis {
            self.expect(Mark::RightParen, "behind what the loop goes over");
        }
        StmtKind::For {
            variable,
            over,
            body: self.loop_body("of the loop"),
        }
    }

    fn return_statement(&mut self) -> StmtKind {
        self.bump();
        let ends = matches!(
            self.kind(),
            TokenKind::End | TokenKind::Mark(Mark::Semicolon | Mark::RightBrace)
        );
        StmtKind::Return(if ends { None } else { Some(self.expression()) })
    }

    fn loop_body(&mut self, whose: &str) -> Block {
        let mut body = self.body(whose);
        discard_value(&mut body);
        body
    }

    /// The block behind a condition; a lone statement there is reported and taken as the block.
    pub(super) fn body(&mut self, whose: &str) -> Block {
        if self.at_mark(Mark::LeftBrace) {
            return self.block();
        }
        let start = self.token().span;
        let ends = matches!(
            self.kind(),
            TokenKind::End | TokenKind::Mark(Mark::Semicolon | Mark::RightBrace)
        );
        if ends || self.kind() == TokenKind::Error {
            self.unexpected(&format!("`{{` and the block {whose}"));
            return Block {
                statements: Vec::new(),
                value: None,
                span: start.before(),
            };
        }
        self.report_here(
            Diagnostic::error(
                "missing-braces",
                start,
                format!("the block {whose} must stand in braces"),
            )
            .help("write `{ … }` around it"),
        );
        let statement = self.statement();
        self.eat(Mark::Semicolon);
        Block {
            statements: vec![statement],
            value: None,
            span: self.span_since(start),
        }
    }
}

/// Turns the value of a block, and of blocks that give it, into a statement.
pub(super) fn discard_value(block: &mut Block) {
    if let Some(value) = block.value.take() {
        let mut value = *value;
        discard_expr_value(&mut value);
        let span = value.span;
        block.statements.push(Stmt {
            kind: StmtKind::Expr(value),
            span,
        });
    }
}

fn discard_expr_value(expr: &mut Expr) {
    match &mut expr.kind {
        ExprKind::If(inner) => {
            discard_value(&mut inner.then);
            if let Some(otherwise) = &mut inner.otherwise {
                discard_expr_value(otherwise);
            }
        }
        ExprKind::Block(block) => discard_value(block),
        _ => {}
    }
}

/// Stands in for an expression that was moved out of a statement that is dropped at once.
fn placeholder(span: Span) -> Expr {
    Expr {
        kind: ExprKind::Error,
        span,
        id: crate::ast::ExprId(0),
    }
}

/// Whether a statement needs no `;` behind it.
fn ends_itself(kind: &StmtKind) -> bool {
    match kind {
        StmtKind::While { .. } | StmtKind::For { .. } | StmtKind::Unroll { .. } => true,
        StmtKind::Import(_) | StmtKind::Error => true,
        StmtKind::Expr(expr) => matches!(expr.kind, ExprKind::If(_) | ExprKind::Block(_)),
        _ => false,
    }
}
