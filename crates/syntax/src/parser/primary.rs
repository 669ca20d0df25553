//! Operands: literals, names, calls, parentheses, and the keywords that ask about types.

use super::Parser;
use crate::ast::{Expr, ExprKind, Name, RecordField, TypeOrExpr};
use crate::diagnostic::Diagnostic;
use crate::span::Span;
use crate::token::{Keyword, Mark, Token, TokenKind};

impl Parser<'_> {
    /// An operand without operators.
    pub(super) fn primary(&mut self) -> Expr {
        let token = self.token();
        let kind = match token.kind {
            TokenKind::Int(literal) => ExprKind::Int(literal),
            TokenKind::Str => ExprKind::Str(self.string_value(token.span)),
            TokenKind::Param(number) => ExprKind::Param(number),
            TokenKind::ParamCount => ExprKind::ParamCount,
            TokenKind::Variable => ExprKind::Variable(self.name_of(token).text),
            TokenKind::Map => ExprKind::Map(self.name_of(token).text),
            TokenKind::Ident => return self.name_or_call(),
            TokenKind::Keyword(keyword) => return self.keyword_operand(keyword, token),
            TokenKind::Mark(Mark::LeftParen) => return self.parenthesized(),
            TokenKind::Mark(Mark::LeftBrace) => return self.block_expr(),
            TokenKind::Error => {
                self.last_problem_at = Some(token.span.start);
                ExprKind::Error
            }
            _ => return self.no_operand(),
        };
        self.bump();
        self.expr(kind, token.span)
    }

    fn no_operand(&mut self) -> Expr {
        self.unexpected("an expression");
        let span = self.token().span.before();
        self.error_expr(span)
    }

    fn keyword_operand(&mut self, keyword: Keyword, token: Token) -> Expr {
        let kind = match keyword {
            Keyword::True => ExprKind::Bool(true),
            Keyword::False => ExprKind::Bool(false),
            Keyword::Config => ExprKind::Ident(keyword.text().to_owned()),
            Keyword::If => return self.if_expr(),
            Keyword::Sizeof => return self.sizeof(),
            Keyword::Offsetof => return self.offsetof(),
            Keyword::Typeinfo => return self.typeinfo(),
            Keyword::Typeof | Keyword::Struct | Keyword::Union | Keyword::Enum => {
                return self.type_operand();
            }
            _ => {
                self.report_here(Diagnostic::error(
                    "reserved-word",
                    token.span,
                    format!("`{}` is a reserved word and is no value", keyword.text()),
                ));
                return self.error_expr(token.span.before());
            }
        };
        self.bump();
        self.expr(kind, token.span)
    }

    fn name_or_call(&mut self) -> Expr {
        let token = self.bump();
        let name = self.name_of(token);
        if !self.at_mark(Mark::LeftParen) {
            if self.in_directive && name.text == "defined" && self.kind() == TokenKind::Ident {
                let inner = self.primary();
                let span = token.span.to(inner.span);
                return self.expr(
                    ExprKind::Call {
                        callee: name,
                        args: vec![inner],
                    },
                    span,
                );
            }
            return self.expr(ExprKind::Ident(name.text), token.span);
        }
        let args = self.arguments();
        let span = self.span_since(token.span);
        self.expr(ExprKind::Call { callee: name, args }, span)
    }

    /// `(a, b, …)` behind a name; a comma after the last is allowed.
    pub(super) fn arguments(&mut self) -> Vec<Expr> {
        let outside = std::mem::replace(&mut self.in_predicate, false);
        self.bump();
        let mut args = Vec::new();
        while !matches!(
            self.kind(),
            TokenKind::End | TokenKind::Mark(Mark::RightParen)
        ) {
            args.push(self.argument());
            if !self.eat(Mark::Comma) {
                break;
            }
        }
        self.in_predicate = outside;
        self.expect(Mark::RightParen, "behind the arguments");
        args
    }

    fn argument(&mut self) -> Expr {
        if self.type_ahead(0, &[Mark::Comma, Mark::RightParen]) {
            return self.type_operand();
        }
        let value = self.expression();
        if self.at_mark(Mark::Assign) {
            return self.assignment_as_condition(value);
        }
        value
    }

    fn type_operand(&mut self) -> Expr {
        let ty = self.type_expr();
        let span = ty.span;
        self.expr(ExprKind::Type(Box::new(ty)), span)
    }

    fn sizeof(&mut self) -> Expr {
        let start = self.bump().span;
        let of = Box::new(self.type_or_expr_in_parens("sizeof"));
        let span = self.span_since(start);
        self.expr(ExprKind::Sizeof(of), span)
    }

    fn typeinfo(&mut self) -> Expr {
        let start = self.bump().span;
        let of = Box::new(self.type_or_expr_in_parens("typeinfo"));
        let span = self.span_since(start);
        self.expr(ExprKind::Typeinfo(of), span)
    }

    /// `(type or expression)`
    pub(super) fn type_or_expr_in_parens(&mut self, keyword: &str) -> TypeOrExpr {
        if !self.expect(Mark::LeftParen, &format!("behind `{keyword}`")) {
            let span = self.token().span.before();
            return TypeOrExpr::Expr(self.error_expr(span));
        }
        let of = self.type_or_expr();
        self.expect(Mark::RightParen, &format!("to end `{keyword}(…)`"));
        of
    }

    fn type_or_expr(&mut self) -> TypeOrExpr {
        let outside = std::mem::replace(&mut self.in_predicate, false);
        let of = if self.type_ahead(0, &[Mark::Comma, Mark::RightParen]) {
            TypeOrExpr::Type(self.type_expr())
        } else {
            TypeOrExpr::Expr(self.expression())
        };
        self.in_predicate = outside;
        of
    }

    fn offsetof(&mut self) -> Expr {
        let start = self.bump().span;
        if !self.expect(Mark::LeftParen, "behind `offsetof`") {
            return self.error_expr(start);
        }
        let of = Box::new(self.type_or_expr());
        self.expect(Mark::Comma, "and a field behind the type");
        let mut path = Vec::new();
        loop {
            let token = self.token();
            if !matches!(token.kind, TokenKind::Ident | TokenKind::Keyword(_)) {
                self.unexpected("the name of a field");
                break;
            }
            self.bump();
            path.push(self.name_of(token));
            if !self.eat(Mark::Dot) && !self.eat(Mark::Arrow) {
                break;
            }
        }
        self.expect(Mark::RightParen, "to end `offsetof(…)`");
        let span = self.span_since(start);
        self.expr(ExprKind::Offsetof { of, path }, span)
    }

    /// `(e)`, a tuple or a record.
    pub(super) fn parenthesized(&mut self) -> Expr {
        let start = self.bump().span;
        let result = self.nested(|parser| parser.parenthesized_inside(start));
        result.unwrap_or_else(|| self.error_expr(start))
    }

    fn parenthesized_inside(&mut self, start: Span) -> Expr {
        if self.record_ahead() {
            return self.record(start);
        }
        if self.eat(Mark::RightParen) {
            let span = self.span_since(start);
            return self.expr(ExprKind::Tuple(Vec::new()), span);
        }
        let first = self.argument();
        if !self.at_mark(Mark::Comma) {
            self.expect(Mark::RightParen, "to close the parenthesis");
            return first;
        }
        let mut elements = vec![first];
        while self.eat(Mark::Comma) {
            if self.at_mark(Mark::RightParen) {
                break;
            }
            elements.push(self.expression());
        }
        self.expect(Mark::RightParen, "to close the tuple");
        let span = self.span_since(start);
        self.expr(ExprKind::Tuple(elements), span)
    }

    fn record_ahead(&mut self) -> bool {
        matches!(self.kind(), TokenKind::Ident | TokenKind::Keyword(_))
            && self.mark_ahead(1, Mark::Assign)
    }

    fn record(&mut self, start: Span) -> Expr {
        let mut fields: Vec<RecordField> = Vec::new();
        while self.record_ahead() {
            let token = self.bump();
            let name: Name = self.name_of(token);
            self.bump();
            if let Some(first) = fields.iter().find(|field| field.name.text == name.text) {
                let message = format!("the record has two fields `{}`", name.text);
                let first = first.name.span;
                self.report(
                    Diagnostic::error("repeated-field", name.span, message)
                        .also(first, "the first"),
                );
            }
            let value = self.expression();
            fields.push(RecordField { name, value });
            if !self.eat(Mark::Comma) {
                break;
            }
        }
        self.expect(Mark::RightParen, "to close the record");
        let span = self.span_since(start);
        self.expr(ExprKind::Record(fields), span)
    }
}
