//! Expressions and types. Parentheses that were written around an operand stay; others are put where they must be.

use super::Printer;
use super::comments::Comments;
use super::doc::Doc;
use crate::ast::{Expr, ExprKind, Field, StepPosition, TypeExpr, TypeKind, TypeOrExpr};

/// How tightly expressions bind, beside [`crate::ast::BinaryOp::precedence`].
const TERNARY: u8 = 0;
const UNARY: u8 = 11;
const POSTFIX: u8 = 12;

impl Printer<'_> {
    pub(super) fn expr(&self, expr: &Expr, comments: &mut Comments) -> Doc {
        match &expr.kind {
            ExprKind::Int(_) | ExprKind::Bool(_) | ExprKind::Error => {
                Doc::text(self.text(expr.span))
            }
            ExprKind::Str(_) => Doc::Verbatim(self.text(expr.span).to_owned()),
            ExprKind::Param(number) => Doc::text(format!("${number}")),
            ExprKind::ParamCount => Doc::text("$#"),
            ExprKind::Ident(name) => Doc::text(name),
            ExprKind::Variable(name) => Doc::text(format!("${name}")),
            ExprKind::Map(name) => Doc::text(format!("@{name}")),
            ExprKind::MapElement { map, key } => self.element(&map.text, key, comments),
            ExprKind::Index { base, index } => {
                let base = self.operand(base, POSTFIX, comments);
                Doc::Concat(vec![
                    base,
                    Doc::text("["),
                    self.expr(index, comments),
                    Doc::text("]"),
                ])
            }
            ExprKind::Member { base, field, arrow } => {
                let base = self.operand(base, POSTFIX, comments);
                let field = match field {
                    Field::Named(name) => name.text.clone(),
                    Field::Position(position, _) => position.to_string(),
                };
                Doc::Concat(vec![
                    base,
                    Doc::text(if *arrow { "->" } else { "." }),
                    Doc::Text(field),
                ])
            }
            ExprKind::Call { callee, args } => {
                let args = args.iter().map(|arg| self.expr(arg, comments)).collect();
                list(&format!("{}(", callee.text), args, ")")
            }
            ExprKind::Unary { op, operand } => {
                let doubled = matches!(&operand.kind, ExprKind::Unary { op: inner, .. } if inner == op)
                    || matches!(&operand.kind, ExprKind::Step { op: step, position: StepPosition::Prefix, .. }
                        if step.symbol().starts_with(op.symbol()));
                let gap = if doubled { " " } else { "" };
                let operand = self.operand(operand, UNARY, comments);
                Doc::Concat(vec![Doc::text(op.symbol()), Doc::text(gap), operand])
            }
            ExprKind::Step {
                op,
                position: StepPosition::Prefix,
                target,
            } => Doc::Concat(vec![
                Doc::text(op.symbol()),
                self.operand(target, UNARY, comments),
            ]),
            ExprKind::Step {
                op,
                position: StepPosition::Postfix,
                target,
            } => Doc::Concat(vec![
                self.operand(target, POSTFIX, comments),
                Doc::text(op.symbol()),
            ]),
            ExprKind::Binary { .. } => Doc::group(self.binary(expr, comments)),
            ExprKind::Ternary {
                condition,
                then,
                otherwise,
            } => self.ternary(condition, then.as_deref(), otherwise, comments),
            ExprKind::Cast { ty, operand } => {
                let ty = self.ty(ty, comments);
                Doc::Concat(vec![
                    Doc::text("("),
                    ty,
                    Doc::text(")"),
                    self.operand(operand, UNARY, comments),
                ])
            }
            ExprKind::Sizeof(of) => self.asked("sizeof(", of, comments, ")"),
            ExprKind::Typeinfo(of) => self.asked("typeinfo(", of, comments, ")"),
            ExprKind::Offsetof { of, path } => {
                let path: Vec<&str> = path.iter().map(|name| name.text.as_str()).collect();
                self.asked("offsetof(", of, comments, &format!(", {})", path.join(".")))
            }
            ExprKind::Type(ty) => self.ty(ty, comments),
            ExprKind::Tuple(elements) => self.tuple(elements, comments),
            ExprKind::Record(fields) => {
                let field = |field: &crate::ast::RecordField| {
                    Doc::Concat(vec![
                        Doc::text(format!("{}=", field.name.text)),
                        self.expr(&field.value, comments),
                    ])
                };
                list("(", fields.iter().map(field).collect(), ")")
            }
            ExprKind::If(inner) => self.if_expr(inner, comments),
            ExprKind::Block(block) => self.block(block, comments),
            ExprKind::Comptime(inner) => Doc::Concat(vec![
                Doc::text("comptime "),
                self.operand(inner, UNARY, comments),
            ]),
        }
    }

    /// `expr` as an operand of something that binds as tightly as `least`.
    fn operand(&self, expr: &Expr, least: u8, comments: &mut Comments) -> Doc {
        let written = self.neighbours(expr.span) == ("(", ")") && binding(expr) < POSTFIX;
        if binding(expr) >= least && !written {
            return self.expr(expr, comments);
        }
        Doc::group(vec![
            Doc::text("("),
            Doc::indent(vec![self.expr(expr, comments)]),
            Doc::text(")"),
        ])
    }

    /// A chain of infix operators, broken behind each operator if it is too long.
    fn binary(&self, expr: &Expr, comments: &mut Comments) -> Vec<Doc> {
        let ExprKind::Binary {
            op, left, right, ..
        } = &expr.kind
        else {
            return vec![self.expr(expr, comments)];
        };
        let same = matches!(&left.kind, ExprKind::Binary { op: inner, .. } if inner.precedence() == op.precedence())
            && self.neighbours(left.span) != ("(", ")");
        let mut docs = if same {
            self.binary(left, comments)
        } else {
            vec![self.operand(left, op.precedence(), comments)]
        };
        docs.push(Doc::text(format!(" {}", op.symbol())));
        docs.push(Doc::indent(vec![
            Doc::Line,
            self.operand(right, op.precedence() + 1, comments),
        ]));
        docs
    }

    fn ternary(
        &self,
        condition: &Expr,
        then: Option<&Expr>,
        otherwise: &Expr,
        comments: &mut Comments,
    ) -> Doc {
        let mut docs = vec![self.operand(condition, TERNARY + 1, comments)];
        match then {
            Some(then) => docs.push(Doc::indent(vec![
                Doc::Line,
                Doc::text("? "),
                self.operand(then, TERNARY, comments),
                Doc::Line,
                Doc::text(": "),
                self.operand(otherwise, TERNARY, comments),
            ])),
            None => docs.push(Doc::indent(vec![
                Doc::Line,
                Doc::text("?: "),
                self.operand(otherwise, TERNARY, comments),
            ])),
        }
        Doc::group(docs)
    }

    /// `@map[key]`; a tuple with several elements stands without its parentheses.
    fn element(&self, map: &str, key: &Expr, comments: &mut Comments) -> Doc {
        let keys: Vec<Doc> = match &key.kind {
            ExprKind::Tuple(elements) if elements.len() > 1 => elements
                .iter()
                .map(|element| self.expr(element, comments))
                .collect(),
            _ => {
                return Doc::Concat(vec![
                    Doc::text(format!("@{map}[")),
                    self.expr(key, comments),
                    Doc::text("]"),
                ]);
            }
        };
        list(&format!("@{map}["), keys, "]")
    }

    fn tuple(&self, elements: &[Expr], comments: &mut Comments) -> Doc {
        let docs: Vec<Doc> = elements
            .iter()
            .map(|element| self.expr(element, comments))
            .collect();
        if docs.len() == 1 {
            return Doc::Concat(vec![Doc::text("("), Doc::Concat(docs), Doc::text(",)")]);
        }
        list("(", docs, ")")
    }

    fn asked(&self, open: &str, of: &TypeOrExpr, comments: &mut Comments, close: &str) -> Doc {
        let of = match of {
            TypeOrExpr::Type(ty) => self.ty(ty, comments),
            TypeOrExpr::Expr(expr) => self.expr(expr, comments),
        };
        Doc::Concat(vec![Doc::text(open), of, Doc::text(close)])
    }

    pub(super) fn ty(&self, ty: &TypeExpr, comments: &mut Comments) -> Doc {
        match &ty.kind {
            TypeKind::Named(name) => Doc::text(name),
            TypeKind::Struct(name) => Doc::text(format!("struct {}", name.text)),
            TypeKind::Union(name) => Doc::text(format!("union {}", name.text)),
            TypeKind::Enum(name) => Doc::text(format!("enum {}", name.text)),
            TypeKind::Sized { name, len } => Doc::Concat(vec![
                Doc::text(format!("{name}[")),
                self.expr(len, comments),
                Doc::text("]"),
            ]),
            TypeKind::Pointer(to) => {
                let words = matches!(
                    to.kind,
                    TypeKind::Struct(_) | TypeKind::Union(_) | TypeKind::Enum(_)
                );
                Doc::Concat(vec![
                    self.ty(to, comments),
                    Doc::text(if words { " *" } else { "*" }),
                ])
            }
            TypeKind::Array { of, len } => {
                let mut docs = vec![self.ty(of, comments), Doc::text("[")];
                docs.extend(len.iter().map(|len| self.expr(len, comments)));
                docs.push(Doc::text("]"));
                Doc::Concat(docs)
            }
            TypeKind::Typeof(of) => self.asked("typeof(", of, comments, ")"),
            TypeKind::Error => self.as_written(ty.span),
        }
    }
}

/// Things between brackets, one a line if they do not fit.
fn list(open: &str, docs: Vec<Doc>, close: &str) -> Doc {
    if docs.is_empty() {
        return Doc::text(format!("{open}{close}"));
    }
    let mut inside = vec![Doc::SoftLine];
    for (position, doc) in docs.into_iter().enumerate() {
        if position > 0 {
            inside.push(Doc::text(","));
            inside.push(Doc::Line);
        }
        inside.push(doc);
    }
    Doc::group(vec![
        Doc::text(open),
        Doc::indent(inside),
        Doc::SoftLine,
        Doc::text(close),
    ])
}

fn binding(expr: &Expr) -> u8 {
    match &expr.kind {
        ExprKind::Ternary { .. } | ExprKind::If(_) => TERNARY,
        ExprKind::Binary { op, .. } => op.precedence(),
        ExprKind::Unary { .. }
        | ExprKind::Cast { .. }
        | ExprKind::Comptime(_)
        | ExprKind::Step {
            position: StepPosition::Prefix,
            ..
        } => UNARY,
        _ => POSTFIX,
    }
}
