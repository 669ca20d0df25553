//! Walking over the tree.

use crate::ast::{
    Block, Expr, ExprKind, ForOver, If, Stmt, StmtKind, TypeExpr, TypeKind, TypeOrExpr,
};

/// Calls `seen` for each expression directly inside an expression of this kind; those in its statements and types too.
pub fn child_exprs<'a>(kind: &'a ExprKind, seen: &mut dyn FnMut(&'a Expr)) {
    match kind {
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
        | ExprKind::Comptime(inner) => seen(inner),
        ExprKind::Index {
            base: left,
            index: right,
        }
        | ExprKind::Binary { left, right, .. } => {
            seen(left);
            seen(right);
        }
        ExprKind::Call { args: list, .. } | ExprKind::Tuple(list) => list.iter().for_each(seen),
        ExprKind::Ternary {
            condition,
            then,
            otherwise,
        } => {
            seen(condition);
            then.iter().for_each(|then| seen(then));
            seen(otherwise);
        }
        ExprKind::Cast { ty, operand } => {
            type_exprs(ty, seen);
            seen(operand);
        }
        ExprKind::Sizeof(of) | ExprKind::Typeinfo(of) | ExprKind::Offsetof { of, .. } => {
            type_or_expr(of, seen)
        }
        ExprKind::Type(ty) => type_exprs(ty, seen),
        ExprKind::Record(fields) => fields.iter().for_each(|field| seen(&field.value)),
        ExprKind::If(inner) => if_exprs(inner, seen),
        ExprKind::Block(block) => block_exprs(block, seen),
    }
}

fn if_exprs<'a>(inner: &'a If, seen: &mut dyn FnMut(&'a Expr)) {
    seen(&inner.condition);
    block_exprs(&inner.then, seen);
    inner.otherwise.iter().for_each(seen);
}

/// Calls `seen` for each outermost expression in a block.
pub fn block_exprs<'a>(block: &'a Block, seen: &mut dyn FnMut(&'a Expr)) {
    for statement in &block.statements {
        statement_exprs(statement, seen);
    }
    block.value.iter().for_each(|value| seen(value));
}

/// Calls `seen` for each outermost expression in a statement, those in its blocks and types too.
pub fn statement_exprs<'a>(statement: &'a Stmt, seen: &mut dyn FnMut(&'a Expr)) {
    match &statement.kind {
        StmtKind::Expr(expr) | StmtKind::Discard(expr) => seen(expr),
        StmtKind::Assign { target, value, .. } => {
            seen(target);
            seen(value);
        }
        StmtKind::Let { ty, value, .. } => {
            ty.iter().for_each(|ty| type_exprs(ty, seen));
            value.iter().for_each(seen);
        }
        StmtKind::While {
            condition: head,
            body,
        }
        | StmtKind::Unroll { count: head, body } => {
            seen(head);
            block_exprs(body, seen);
        }
        StmtKind::For { over, body, .. } => {
            match over {
                ForOver::Elements(elements) => seen(elements),
                ForOver::Range { start, end } => {
                    seen(start);
                    seen(end);
                }
            }
            block_exprs(body, seen);
        }
        StmtKind::Return(value) => value.iter().for_each(seen),
        StmtKind::Break | StmtKind::Continue | StmtKind::Import(_) | StmtKind::Error => {}
    }
}

/// Calls `seen` for each outermost expression in a type: lengths, and what `typeof` asks about.
pub fn type_exprs<'a>(ty: &'a TypeExpr, seen: &mut dyn FnMut(&'a Expr)) {
    match &ty.kind {
        TypeKind::Pointer(inner) => type_exprs(inner, seen),
        TypeKind::Array { of, len } => {
            type_exprs(of, seen);
            len.iter().for_each(|len| seen(len));
        }
        TypeKind::Sized { len, .. } => seen(len),
        TypeKind::Typeof(of) => type_or_expr(of, seen),
        TypeKind::Named(_)
        | TypeKind::Struct(_)
        | TypeKind::Union(_)
        | TypeKind::Enum(_)
        | TypeKind::Error => {}
    }
}

fn type_or_expr<'a>(of: &'a TypeOrExpr, seen: &mut dyn FnMut(&'a Expr)) {
    match of {
        TypeOrExpr::Type(ty) => type_exprs(ty, seen),
        TypeOrExpr::Expr(expr) => seen(expr),
    }
}
