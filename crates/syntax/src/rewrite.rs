//! Changing the tree in place.

use crate::ast::{
    Block, Expr, ExprKind, ForOver, Name, Stmt, StmtKind, TypeExpr, TypeKind, TypeOrExpr,
};

/// What to do at each node. A method that is overridden calls the `walk_…` function of its node where the parts are to be visited.
pub trait Rewrite {
    /// An expression.
    fn expr(&mut self, expr: &mut Expr) {
        walk_expr(self, expr);
    }

    /// A type as written.
    fn ty(&mut self, ty: &mut TypeExpr) {
        walk_type(self, ty);
    }

    /// The name in `let $x` and `for ($x : …)`.
    fn declared_variable(&mut self, _name: &mut Name) {}
}

/// Visits the parts of an expression.
pub fn walk_expr<R: Rewrite + ?Sized>(rewrite: &mut R, expr: &mut Expr) {
    match &mut expr.kind {
        ExprKind::Int(_)
        | ExprKind::Str(_)
        | ExprKind::Bool(_)
        | ExprKind::Param(_)
        | ExprKind::ParamCount
        | ExprKind::Ident(_)
        | ExprKind::Variable(_)
        | ExprKind::Map(_)
        | ExprKind::Error => {}
        ExprKind::MapElement { key: inner, .. }
        | ExprKind::Member { base: inner, .. }
        | ExprKind::Unary { operand: inner, .. }
        | ExprKind::Step { target: inner, .. }
        | ExprKind::Comptime(inner) => rewrite.expr(inner),
        ExprKind::Index {
            base: left,
            index: right,
        }
        | ExprKind::Binary { left, right, .. } => {
            rewrite.expr(left);
            rewrite.expr(right);
        }
        ExprKind::Call { args: list, .. } | ExprKind::Tuple(list) => {
            list.iter_mut().for_each(|expr| rewrite.expr(expr));
        }
        ExprKind::Ternary {
            condition,
            then,
            otherwise,
        } => {
            rewrite.expr(condition);
            then.iter_mut().for_each(|then| rewrite.expr(then));
            rewrite.expr(otherwise);
        }
        ExprKind::Cast { ty, operand } => {
            rewrite.ty(ty);
            rewrite.expr(operand);
        }
        ExprKind::Sizeof(of) | ExprKind::Typeinfo(of) | ExprKind::Offsetof { of, .. } => {
            walk_type_or_expr(rewrite, of);
        }
        ExprKind::Type(ty) => rewrite.ty(ty),
        ExprKind::Record(fields) => fields
            .iter_mut()
            .for_each(|field| rewrite.expr(&mut field.value)),
        ExprKind::If(inner) => {
            rewrite.expr(&mut inner.condition);
            walk_block(rewrite, &mut inner.then);
            inner
                .otherwise
                .iter_mut()
                .for_each(|expr| rewrite.expr(expr));
        }
        ExprKind::Block(block) => walk_block(rewrite, block),
    }
}

/// Visits the statements and the value of a block.
pub fn walk_block<R: Rewrite + ?Sized>(rewrite: &mut R, block: &mut Block) {
    for statement in &mut block.statements {
        walk_statement(rewrite, statement);
    }
    block.value.iter_mut().for_each(|value| rewrite.expr(value));
}

fn walk_statement<R: Rewrite + ?Sized>(rewrite: &mut R, statement: &mut Stmt) {
    match &mut statement.kind {
        StmtKind::Expr(expr) | StmtKind::Discard(expr) => rewrite.expr(expr),
        StmtKind::Assign { target, value, .. } => {
            rewrite.expr(target);
            rewrite.expr(value);
        }
        StmtKind::Let { name, ty, value } => {
            rewrite.declared_variable(name);
            ty.iter_mut().for_each(|ty| rewrite.ty(ty));
            value.iter_mut().for_each(|expr| rewrite.expr(expr));
        }
        StmtKind::While {
            condition: head,
            body,
        }
        | StmtKind::Unroll { count: head, body } => {
            rewrite.expr(head);
            walk_block(rewrite, body);
        }
        StmtKind::For {
            variable,
            over,
            body,
        } => {
            rewrite.declared_variable(variable);
            match over {
                ForOver::Elements(elements) => rewrite.expr(elements),
                ForOver::Range { start, end } => {
                    rewrite.expr(start);
                    rewrite.expr(end);
                }
            }
            walk_block(rewrite, body);
        }
        StmtKind::Return(value) => value.iter_mut().for_each(|expr| rewrite.expr(expr)),
        StmtKind::Break | StmtKind::Continue | StmtKind::Import(_) | StmtKind::Error => {}
    }
}

/// Visits what stands inside a type: lengths, and what `typeof` asks about.
pub fn walk_type<R: Rewrite + ?Sized>(rewrite: &mut R, ty: &mut TypeExpr) {
    match &mut ty.kind {
        TypeKind::Pointer(inner) => rewrite.ty(inner),
        TypeKind::Array { of, len } => {
            rewrite.ty(of);
            len.iter_mut().for_each(|len| rewrite.expr(len));
        }
        TypeKind::Sized { len, .. } => rewrite.expr(len),
        TypeKind::Typeof(of) => walk_type_or_expr(rewrite, of),
        TypeKind::Named(_)
        | TypeKind::Struct(_)
        | TypeKind::Union(_)
        | TypeKind::Enum(_)
        | TypeKind::Error => {}
    }
}

fn walk_type_or_expr<R: Rewrite + ?Sized>(rewrite: &mut R, of: &mut TypeOrExpr) {
    match of {
        TypeOrExpr::Type(ty) => rewrite.ty(ty),
        TypeOrExpr::Expr(expr) => rewrite.expr(expr),
    }
}
