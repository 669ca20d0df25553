//! Printing of blocks, statements, expressions and types.

use super::{Dump, Node, quote};
use crate::ast::{
    Block, Expr, ExprKind, Field, ForOver, StepPosition, Stmt, StmtKind, TypeExpr, TypeKind,
    TypeOrExpr,
};

impl Dump {
    pub(super) fn block(&self, block: &Block) -> Node {
        let statements = block
            .statements
            .iter()
            .map(|statement| self.statement(statement));
        let value = block
            .value
            .iter()
            .map(|value| self.list("value", None, [self.expr(value)]));
        self.list("block", Some(block.span), statements.chain(value))
    }

    fn statement(&self, statement: &Stmt) -> Node {
        let span = Some(statement.span);
        match &statement.kind {
            StmtKind::Expr(expr) => self.expr(expr),
            StmtKind::Assign { target, op, value } => {
                let op = format!("{}=", op.map_or("", |op| op.symbol()));
                self.list(
                    "assign",
                    span,
                    [Node::Atom(op), self.expr(target), self.expr(value)],
                )
            }
            StmtKind::Discard(value) => self.list("discard", span, [self.expr(value)]),
            StmtKind::Let { name, ty, value } => {
                let mut nodes = vec![Node::atom(format!("${}", name.text))];
                nodes.extend(ty.iter().map(|ty| self.list("type", None, [self.ty(ty)])));
                nodes.extend(value.iter().map(|value| self.expr(value)));
                self.list("let", span, nodes)
            }
            StmtKind::While { condition, body } => {
                self.list("while", span, [self.expr(condition), self.block(body)])
            }
            StmtKind::For {
                variable,
                over,
                body,
            } => {
                let over = match over {
                    ForOver::Elements(elements) => {
                        self.list("elements", None, [self.expr(elements)])
                    }
                    ForOver::Range { start, end } => {
                        self.list("range", None, [self.expr(start), self.expr(end)])
                    }
                };
                self.list(
                    "for",
                    span,
                    [
                        Node::atom(format!("${}", variable.text)),
                        over,
                        self.block(body),
                    ],
                )
            }
            StmtKind::Unroll { count, body } => {
                self.list("unroll", span, [self.expr(count), self.block(body)])
            }
            StmtKind::Break => self.list("break", span, []),
            StmtKind::Continue => self.list("continue", span, []),
            StmtKind::Return(value) => {
                self.list("return", span, value.iter().map(|value| self.expr(value)))
            }
            StmtKind::Import(import) => {
                self.list("import", span, [Node::Atom(quote(&import.path.bytes))])
            }
            StmtKind::Error => self.list("error", span, []),
        }
    }

    pub(super) fn expr(&self, expr: &Expr) -> Node {
        let span = Some(expr.span);
        let list = |head: &str, nodes: Vec<Node>| self.list(head, span, nodes);
        let word = |head: &str, text: String| self.list(head, span, [Node::Atom(text)]);
        match &expr.kind {
            ExprKind::Int(literal) => match literal.unit {
                Some(unit) => word("duration", format!("{} {}", literal.value, unit.suffix())),
                None => word("int", literal.value.to_string()),
            },
            ExprKind::Str(text) => word("str", quote(&text.bytes)),
            ExprKind::Bool(value) => word("bool", value.to_string()),
            ExprKind::Param(number) => word("param", number.to_string()),
            ExprKind::ParamCount => list("param-count", vec![]),
            ExprKind::Ident(name) => word("name", name.clone()),
            ExprKind::Variable(name) => word("var", name.clone()),
            ExprKind::Map(name) => word("map", format!("@{name}")),
            ExprKind::MapElement { map, key } => list(
                "element",
                vec![Node::atom(format!("@{}", map.text)), self.expr(key)],
            ),
            ExprKind::Index { base, index } => {
                list("index", vec![self.expr(base), self.expr(index)])
            }
            ExprKind::Member { base, field, arrow } => {
                let field = match field {
                    Field::Named(name) => name.text.clone(),
                    Field::Position(position, _) => position.to_string(),
                };
                list(
                    if *arrow { "->" } else { "." },
                    vec![self.expr(base), Node::Atom(field)],
                )
            }
            ExprKind::Call { callee, args } => {
                let args = args.iter().map(|arg| self.expr(arg));
                list(
                    "call",
                    std::iter::once(Node::atom(&callee.text))
                        .chain(args)
                        .collect(),
                )
            }
            ExprKind::Unary { op, operand } => {
                list("unary", vec![Node::atom(op.symbol()), self.expr(operand)])
            }
            ExprKind::Step {
                op,
                position,
                target,
            } => {
                let side = match position {
                    StepPosition::Prefix => "prefix",
                    StepPosition::Postfix => "postfix",
                };
                list(side, vec![Node::atom(op.symbol()), self.expr(target)])
            }
            ExprKind::Binary {
                op, left, right, ..
            } => list(
                "binary",
                vec![Node::atom(op.symbol()), self.expr(left), self.expr(right)],
            ),
            ExprKind::Ternary {
                condition,
                then,
                otherwise,
            } => {
                let mut nodes = vec![self.expr(condition)];
                nodes.extend(then.iter().map(|then| self.expr(then)));
                nodes.push(self.expr(otherwise));
                list("?:", nodes)
            }
            ExprKind::Cast { ty, operand } => list("cast", vec![self.ty(ty), self.expr(operand)]),
            ExprKind::Sizeof(of) => list("sizeof", vec![self.type_or_expr(of)]),
            ExprKind::Typeinfo(of) => list("typeinfo", vec![self.type_or_expr(of)]),
            ExprKind::Offsetof { of, path } => {
                let path: Vec<&str> = path.iter().map(|name| name.text.as_str()).collect();
                list(
                    "offsetof",
                    vec![self.type_or_expr(of), Node::Atom(path.join("."))],
                )
            }
            ExprKind::Type(ty) => list("type", vec![self.ty(ty)]),
            ExprKind::Tuple(elements) => list(
                "tuple",
                elements.iter().map(|element| self.expr(element)).collect(),
            ),
            ExprKind::Record(fields) => {
                let field = |field: &crate::ast::RecordField| {
                    Node::List(vec![Node::atom(&field.name.text), self.expr(&field.value)])
                };
                list("record", fields.iter().map(field).collect())
            }
            ExprKind::If(inner) => {
                let mut nodes = vec![self.expr(&inner.condition), self.block(&inner.then)];
                nodes.extend(inner.otherwise.iter().map(|otherwise| self.expr(otherwise)));
                list("if", nodes)
            }
            ExprKind::Block(block) => self.block(block),
            ExprKind::Comptime(inner) => list("comptime", vec![self.expr(inner)]),
            ExprKind::Error => list("error", vec![]),
        }
    }

    fn type_or_expr(&self, of: &TypeOrExpr) -> Node {
        match of {
            TypeOrExpr::Type(ty) => self.list("type", None, [self.ty(ty)]),
            TypeOrExpr::Expr(expr) => self.expr(expr),
        }
    }

    pub(super) fn ty(&self, ty: &TypeExpr) -> Node {
        let span = Some(ty.span);
        match &ty.kind {
            TypeKind::Named(name) => Node::atom(name),
            TypeKind::Sized { name, len } => self.list(name, span, [self.expr(len)]),
            TypeKind::Struct(name) => self.list("struct", span, [Node::atom(&name.text)]),
            TypeKind::Union(name) => self.list("union", span, [Node::atom(&name.text)]),
            TypeKind::Enum(name) => self.list("enum", span, [Node::atom(&name.text)]),
            TypeKind::Pointer(to) => self.list("pointer", span, [self.ty(to)]),
            TypeKind::Array { of, len } => {
                let mut nodes = vec![self.ty(of)];
                nodes.extend(len.iter().map(|len| self.expr(len)));
                self.list("array", span, nodes)
            }
            TypeKind::Typeof(of) => self.list("typeof", span, [self.type_or_expr(of)]),
            TypeKind::Error => self.list("error", span, []),
        }
    }
}
