//! Goes over all statements and expressions of a body, outer ones first.

use super::{Block, Body, Expr, ExprKind, Stmt, StmtKind};

/// What is told of a body.
pub trait Visitor {
    /// A statement, before what is in it.
    fn statement(&mut self, statement: &Stmt);
    /// An expression, before its operands.
    fn expr(&mut self, expr: &Expr);
}

/// Tells everything in a body.
pub fn walk(body: &Body, visitor: &mut impl Visitor) {
    if let Some(predicate) = &body.predicate {
        walk_expr(predicate, visitor);
    }
    walk_block(&body.block, visitor);
}

fn walk_block(block: &Block, visitor: &mut impl Visitor) {
    for statement in &block.statements {
        walk_statement(statement, visitor);
    }
    if let Some(value) = &block.value {
        walk_expr(value, visitor);
    }
}

fn walk_statement(statement: &Stmt, visitor: &mut impl Visitor) {
    visitor.statement(statement);
    match &statement.kind {
        StmtKind::Expr(expr) | StmtKind::SetVariable { value: expr, .. } => {
            walk_expr(expr, visitor);
        }
        StmtKind::SetMap { key, value, .. } | StmtKind::AddMap { key, value, .. } => {
            walk_all(key.iter().chain([value]), visitor);
        }
        StmtKind::Aggregate { key, value, .. } => walk_all(key.iter().chain(value), visitor),
        StmtKind::While { condition, body } => {
            walk_expr(condition, visitor);
            walk_block(body, visitor);
        }
        StmtKind::ForRange {
            start, end, body, ..
        } => {
            walk_all([start, end], visitor);
            walk_block(body, visitor);
        }
        StmtKind::ForMap { body, .. } | StmtKind::Unroll { body, .. } => walk_block(body, visitor),
        StmtKind::Return(value) => walk_all(value, visitor),
        StmtKind::ZeroVariable(_) | StmtKind::Break | StmtKind::Continue => {}
    }
}

fn walk_all<'e>(exprs: impl IntoIterator<Item = &'e Expr>, visitor: &mut impl Visitor) {
    for expr in exprs {
        walk_expr(expr, visitor);
    }
}

fn walk_expr(expr: &Expr, visitor: &mut impl Visitor) {
    visitor.expr(expr);
    match &expr.kind {
        ExprKind::Error
        | ExprKind::Int(_)
        | ExprKind::Bool(_)
        | ExprKind::Str(_)
        | ExprKind::Variable(_)
        | ExprKind::Argument(_)
        | ExprKind::Type => {}
        ExprKind::Map { key, .. } => walk_all(key.as_deref(), visitor),
        ExprKind::Member { base, .. }
        | ExprKind::Element { base, .. }
        | ExprKind::Dereference(base)
        | ExprKind::AddressOf(base)
        | ExprKind::Negate(base)
        | ExprKind::Complement(base)
        | ExprKind::Not(base)
        | ExprKind::Cast(base)
        | ExprKind::Step { target: base, .. } => walk_expr(base, visitor),
        ExprKind::Index { base: a, index: b }
        | ExprKind::Arithmetic {
            left: a, right: b, ..
        }
        | ExprKind::Compare {
            left: a, right: b, ..
        }
        | ExprKind::SameBytes {
            left: a, right: b, ..
        }
        | ExprKind::And(a, b)
        | ExprKind::Or(a, b)
        | ExprKind::Elvis {
            value: a,
            otherwise: b,
        } => walk_all([&**a, &**b], visitor),
        ExprKind::Choose {
            condition,
            then,
            otherwise,
        } => walk_all([&**condition, &**then, &**otherwise], visitor),
        ExprKind::If {
            condition,
            then,
            otherwise,
        } => {
            walk_expr(condition, visitor);
            walk_block(then, visitor);
            if let Some(otherwise) = otherwise {
                walk_block(otherwise, visitor);
            }
        }
        ExprKind::Block(block) => walk_block(block, visitor),
        ExprKind::Tuple(elements)
        | ExprKind::Record(elements)
        | ExprKind::Builtin { args: elements, .. } => walk_all(elements, visitor),
    }
}
