//! Operators: infix by precedence, then prefix and postfix ones.

use super::Parser;
use crate::ast::{BinaryOp, Block, Expr, ExprKind, Field, If, Name, StepOp, StepPosition, UnaryOp};
use crate::diagnostic::Diagnostic;
use crate::span::Span;
use crate::token::{Keyword, Mark, TokenKind};

impl Parser<'_> {
    /// Any expression.
    pub(super) fn expression(&mut self) -> Expr {
        self.nested_expr(Self::ternary)
    }

    fn nested_expr(&mut self, read: impl FnOnce(&mut Self) -> Expr) -> Expr {
        self.nested(read).unwrap_or_else(|| {
            let span = self.token().span.before();
            self.error_expr(span)
        })
    }

    fn ternary(&mut self) -> Expr {
        let condition = self.binary(1);
        self.ternary_behind(condition)
    }

    fn ternary_behind(&mut self, condition: Expr) -> Expr {
        if !self.eat(Mark::Question) {
            return condition;
        }
        let then = if self.at_mark(Mark::Colon) {
            None
        } else {
            Some(Box::new(self.expression()))
        };
        self.expect(Mark::Colon, "between the two values of `?`");
        let otherwise = Box::new(self.expression());
        let span = condition.span.to(otherwise.span);
        self.expr(
            ExprKind::Ternary {
                condition: Box::new(condition),
                then,
                otherwise,
            },
            span,
        )
    }

    /// Infix operators that bind at least as tightly as `least`.
    fn binary(&mut self, least: u8) -> Expr {
        let left = self.unary();
        self.binary_behind(left, least)
    }

    fn binary_behind(&mut self, mut left: Expr, least: u8) -> Expr {
        while let Some(op) = self.binary_op() {
            if op.precedence() < least {
                break;
            }
            let op_span = self.bump().span;
            let right = self.binary(op.precedence() + 1);
            let span = left.span.to(right.span);
            left = self.expr(
                ExprKind::Binary {
                    op,
                    op_span,
                    left: Box::new(left),
                    right: Box::new(right),
                },
                span,
            );
        }
        left
    }

    fn binary_op(&mut self) -> Option<BinaryOp> {
        let TokenKind::Mark(mark) = self.kind() else {
            return None;
        };
        Some(match mark {
            Mark::Star => BinaryOp::Multiply,
            Mark::Slash if self.in_predicate && self.mark_ahead(1, Mark::LeftBrace) => return None,
            Mark::Slash => BinaryOp::Divide,
            Mark::Percent => BinaryOp::Remainder,
            Mark::Plus => BinaryOp::Add,
            Mark::Minus => BinaryOp::Subtract,
            Mark::ShiftLeft => BinaryOp::ShiftLeft,
            Mark::ShiftRight => BinaryOp::ShiftRight,
            Mark::Less => BinaryOp::Less,
            Mark::LessEqual => BinaryOp::LessEqual,
            Mark::Greater => BinaryOp::Greater,
            Mark::GreaterEqual => BinaryOp::GreaterEqual,
            Mark::Equal => BinaryOp::Equal,
            Mark::NotEqual => BinaryOp::NotEqual,
            Mark::Ampersand => BinaryOp::BitAnd,
            Mark::Caret => BinaryOp::BitXor,
            Mark::Pipe => BinaryOp::BitOr,
            Mark::And => BinaryOp::And,
            Mark::Or => BinaryOp::Or,
            _ => return None,
        })
    }

    /// Prefix operators and casts.
    pub(super) fn unary(&mut self) -> Expr {
        let start = self.token().span;
        let op = match self.kind() {
            TokenKind::Mark(Mark::Minus) => UnaryOp::Negate,
            TokenKind::Mark(Mark::Bang) => UnaryOp::Not,
            TokenKind::Mark(Mark::Tilde) => UnaryOp::Complement,
            TokenKind::Mark(Mark::Star) => UnaryOp::Dereference,
            TokenKind::Mark(Mark::Ampersand) => UnaryOp::AddressOf,
            TokenKind::Mark(Mark::Increment) => return self.prefix_step(StepOp::Increment),
            TokenKind::Mark(Mark::Decrement) => return self.prefix_step(StepOp::Decrement),
            TokenKind::Mark(Mark::Plus) => return self.unary_plus(),
            TokenKind::Keyword(Keyword::Comptime) => return self.comptime(),
            TokenKind::Mark(Mark::LeftParen) if self.cast_ahead(true) => return self.cast(),
            _ => return self.postfix(),
        };
        self.bump();
        let operand = Box::new(self.nested_expr(Self::unary));
        let span = start.to(operand.span);
        self.expr(ExprKind::Unary { op, operand }, span)
    }

    fn unary_plus(&mut self) -> Expr {
        let span = self.token().span;
        let message = "there is no prefix `+`";
        self.report_here(Diagnostic::error("unary-plus", span, message).fix(
            "leave it out",
            span,
            "",
        ));
        self.bump();
        self.nested_expr(Self::unary)
    }

    fn prefix_step(&mut self, op: StepOp) -> Expr {
        let start = self.bump().span;
        let target = self.nested_expr(Self::unary);
        self.step(op, StepPosition::Prefix, target, start)
    }

    fn step(&mut self, op: StepOp, position: StepPosition, target: Expr, mark: Span) -> Expr {
        self.check_target(
            &target,
            if op == StepOp::Increment {
                "counted up"
            } else {
                "counted down"
            },
        );
        let span = target.span.to(mark);
        self.expr(
            ExprKind::Step {
                op,
                position,
                target: Box::new(target),
            },
            span,
        )
    }

    fn comptime(&mut self) -> Expr {
        let start = self.bump().span;
        let inner = Box::new(self.nested_expr(Self::unary));
        let span = start.to(self.previous_span()).to(inner.span);
        self.expr(ExprKind::Comptime(inner), span)
    }

    fn cast(&mut self) -> Expr {
        let start = self.bump().span;
        let ty = self.type_expr();
        self.expect(Mark::RightParen, "behind the type of the cast");
        let operand = Box::new(self.nested_expr(Self::unary));
        let span = start.to(operand.span);
        self.expr(ExprKind::Cast { ty, operand }, span)
    }

    /// Field accesses, indexing, `++` and `--` behind an operand.
    fn postfix(&mut self) -> Expr {
        let base = self.primary();
        self.postfix_behind(base)
    }

    fn postfix_behind(&mut self, mut base: Expr) -> Expr {
        loop {
            let token = self.token();
            base = match token.kind {
                TokenKind::Mark(Mark::Dot) => self.member(base, false),
                TokenKind::Mark(Mark::Arrow) => self.member(base, true),
                TokenKind::Mark(Mark::LeftBracket) => self.index(base),
                // On a line of its own `++` belongs to the next statement.
                TokenKind::Mark(Mark::Increment) if !token.first_on_line => {
                    self.bump();
                    self.step(StepOp::Increment, StepPosition::Postfix, base, token.span)
                }
                TokenKind::Mark(Mark::Decrement) if !token.first_on_line => {
                    self.bump();
                    self.step(StepOp::Decrement, StepPosition::Postfix, base, token.span)
                }
                _ => return base,
            };
        }
    }

    fn member(&mut self, base: Expr, arrow: bool) -> Expr {
        self.bump();
        let token = self.token();
        let field = match token.kind {
            TokenKind::Ident | TokenKind::Keyword(_) => Field::Named(self.name_of(token)),
            TokenKind::Int(literal) => {
                Field::Position(u32::try_from(literal.value).unwrap_or(u32::MAX), token.span)
            }
            _ => {
                self.unexpected("the name of a field");
                let span = self.span_since(base.span);
                return self.error_expr(span);
            }
        };
        self.bump();
        let span = base.span.to(token.span);
        self.expr(
            ExprKind::Member {
                base: Box::new(base),
                field,
                arrow,
            },
            span,
        )
    }

    /// `[…]` behind an operand; behind a map it is a key and may have several parts.
    fn index(&mut self, base: Expr) -> Expr {
        let bracket = self.bump().span;
        let outside = std::mem::replace(&mut self.in_predicate, false);
        let mut keys = vec![self.expression()];
        while self.eat(Mark::Comma) {
            keys.push(self.expression());
        }
        self.in_predicate = outside;
        let inside = bracket.after().to(self.previous_span());
        self.expect(Mark::RightBracket, "behind the index");
        let span = base.span.to(self.previous_span());
        let several = keys.len() > 1;
        let key = match keys.pop() {
            Some(only) if !several => only,
            Some(last) => {
                keys.push(last);
                self.expr(ExprKind::Tuple(keys), inside)
            }
            None => self.error_expr(inside),
        };
        if let ExprKind::Map(name) = base.kind {
            let map = Name {
                text: name,
                span: base.span,
            };
            return self.expr(
                ExprKind::MapElement {
                    map,
                    key: Box::new(key),
                },
                span,
            );
        }
        if several {
            let message = "only maps take several keys";
            self.report(Diagnostic::error("several-keys", inside, message));
        }
        self.expr(
            ExprKind::Index {
                base: Box::new(base),
                index: Box::new(key),
            },
            span,
        )
    }

    /// What stands between a keyword such as `if` and the block: parentheses are optional.
    pub(super) fn condition(&mut self) -> Expr {
        let condition = if self.at_mark(Mark::LeftParen) && !self.cast_ahead(false) {
            // `(x)` and a block: what follows the parenthesis is never the operand of a cast to `x`.
            let inside = self.parenthesized();
            let base = self.postfix_behind(inside);
            let left = self.binary_behind(base, 1);
            self.ternary_behind(left)
        } else {
            self.expression()
        };
        if self.at_mark(Mark::Assign) {
            self.assignment_as_condition(condition)
        } else {
            condition
        }
    }

    /// Reports `=` where a value is wanted and reads on as if it were `==`.
    pub(super) fn assignment_as_condition(&mut self, left: Expr) -> Expr {
        let token = self.token();
        self.report_here(
            Diagnostic::error(
                "assignment-as-value",
                token.span,
                "an assignment has no value",
            )
            .fix("to compare, write `==`", token.span, "=="),
        );
        let op_span = self.bump().span;
        let right = self.expression();
        let span = left.span.to(right.span);
        let kind = ExprKind::Binary {
            op: BinaryOp::Equal,
            op_span,
            left: Box::new(left),
            right: Box::new(right),
        };
        self.expr(kind, span)
    }

    /// `if condition { … } else …`
    pub(super) fn if_expr(&mut self) -> Expr {
        let start = self.bump().span;
        let condition = self.condition();
        let then = self.body("of `if`");
        let otherwise = if self.at_keyword(Keyword::Else) {
            self.bump();
            Some(self.else_branch())
        } else {
            None
        };
        let span = self.span_since(start);
        self.expr(
            ExprKind::If(Box::new(If {
                condition,
                then,
                otherwise,
            })),
            span,
        )
    }

    fn else_branch(&mut self) -> Expr {
        if self.at_keyword(Keyword::If) {
            return self.nested_expr(Self::if_expr);
        }
        let block = self.body("of `else`");
        let span = block.span;
        self.expr(ExprKind::Block(Box::new(block)), span)
    }

    /// `{ … }` as an expression.
    pub(super) fn block_expr(&mut self) -> Expr {
        let block: Block = self.block();
        let span = block.span;
        self.expr(ExprKind::Block(Box::new(block)), span)
    }
}
