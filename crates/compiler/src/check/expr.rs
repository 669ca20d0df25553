//! Expressions.

use std::sync::Arc;

use fathom_syntax::Span;
use fathom_syntax::ast::{self, ExprKind as Ast};
use fathom_syntax::diagnostic::{Diagnostic, suggest};

use super::statement::read_type;
use super::{Call, Checker, join, span};
use crate::builtins;
use crate::hir::{Expr, ExprKind, MapRef};
use crate::ty::{Space, Type};

impl Checker<'_, '_> {
    /// Checks an expression; problems are reported and give [`Type::Error`].
    pub fn expr(&mut self, expr: &ast::Expr) -> Expr {
        let value = self.plain_expr(expr);
        self.counted_text(value)
    }

    fn plain_expr(&mut self, expr: &ast::Expr) -> Expr {
        let at = span(expr.span);
        match &expr.kind {
            Ast::Int(literal) => self.integer_literal(literal.value, at),
            Ast::Str(text) => self.string(&text.bytes, at),
            Ast::Bool(value) => Expr {
                kind: ExprKind::Bool(*value),
                ty: Type::Bool,
                span: at,
            },
            Ast::Param(number) => self.param(*number, expr),
            Ast::ParamCount => Expr::int(self.params.len() as i64, Type::I64, at),
            Ast::Ident(name) => self.ident(name, expr),
            Ast::Variable(name) => self.variable(name, expr),
            Ast::Map(name) => self.scalar_map(name, expr),
            Ast::MapElement { map, key } => self.map_element(map, key, expr),
            Ast::Index { base, index } => self.index(base, index, expr),
            Ast::Member { base, field, .. } => self.member(base, field, expr),
            Ast::Call { callee, args } => self.call(callee, args, expr),
            Ast::Unary { op, operand } => self.unary(*op, operand, expr),
            Ast::Step {
                op,
                position,
                target,
            } => self.step(*op, *position, target, expr),
            Ast::Binary {
                op, left, right, ..
            } => {
                let left = self.expr(left);
                let right = self.expr(right);
                self.binary(*op, left, right, expr.span)
            }
            Ast::Ternary {
                condition,
                then,
                otherwise,
            } => self.ternary(condition, then.as_deref(), otherwise, expr),
            Ast::Cast { ty, operand } => self.cast(ty, operand, expr),
            Ast::Sizeof(of) => self.sizeof(of, expr),
            Ast::Offsetof { of, path } => self.offsetof(of, path, expr),
            Ast::Typeinfo(_) => self.fail(
                Diagnostic::error(
                    "typeinfo",
                    expr.span,
                    "`typeinfo` is an unstable feature that is switched off",
                )
                .help("set `unstable_typeinfo = enable` in the config block"),
            ),
            Ast::Type(_) => self.fail(Diagnostic::error(
                "type-as-value",
                expr.span,
                "a type is no value",
            )),
            Ast::Tuple(elements) => self.tuple(elements, at),
            Ast::Record(fields) => self.record(fields, at),
            Ast::If(branches) => self.if_expr(branches, expr),
            Ast::Block(block) => self.block_expr(block, at),
            Ast::Comptime(inner) => self.comptime(inner),
            Ast::Error => Expr::error(at),
        }
    }

    fn integer_literal(&mut self, value: u64, at: fathom_bpf::object::SourceSpan) -> Expr {
        let ty = if value > i64::MAX as u64 {
            Type::U64
        } else {
            Type::I64
        };
        Expr::int(value as i64, ty, at)
    }

    /// A string constant.
    pub fn string(&mut self, bytes: &[u8], at: fathom_bpf::object::SourceSpan) -> Expr {
        let text: Arc<[u8]> = bytes.into();
        Expr {
            ty: Type::String {
                size: text.len() as u32 + 1,
            },
            kind: ExprKind::Str(text),
            span: at,
        }
    }

    /// `$1`: a number if it looks like one, else a string; a missing one is 0.
    fn param(&mut self, number: u32, expr: &ast::Expr) -> Expr {
        let at = span(expr.span);
        let Some(text) = self.params.get((number as usize).wrapping_sub(1)) else {
            return Expr::int(0, Type::I64, at);
        };
        match super::constant::parse_number(text) {
            Some(value) => Expr::int(value, Type::I64, at),
            None => {
                let text = text.clone();
                self.string(text.as_bytes(), at)
            }
        }
    }

    fn ident(&mut self, name: &str, expr: &ast::Expr) -> Expr {
        if let Some(builtin) = builtins::find(name) {
            let call = Call {
                builtin,
                name_span: expr.span,
                args: &[],
                has_parentheses: false,
                span: expr.span,
            };
            return (builtin.check)(self, &call);
        }
        if let Some(number) = name
            .strip_prefix("arg")
            .and_then(|digits| digits.parse::<usize>().ok())
        {
            return self.positional(number, expr.span);
        }
        if let Some((ty, value)) = self.types.enumerator(name) {
            return Expr::int(value, ty, span(expr.span));
        }
        if let Some(constant) = self.constant(name, expr.span) {
            return constant;
        }
        let mut diagnostic = Diagnostic::error(
            "unknown-name",
            expr.span,
            format!("there is nothing called `{name}`"),
        )
        .label("not a builtin, constant or enumerator");
        if let Some(near) = suggest(name, builtins::names()) {
            diagnostic = diagnostic.fix(format!("did you mean `{near}`?"), expr.span, near);
        }
        self.fail(diagnostic)
    }

    fn variable(&mut self, name: &str, expr: &ast::Expr) -> Expr {
        let Some(variable) = self.lookup(name) else {
            if self.hoist(name, expr.span) {
                return Expr {
                    ty: Type::Unknown,
                    ..Expr::error(span(expr.span))
                };
            }
            let names: Vec<String> = self
                .scopes
                .iter()
                .flat_map(|scope| scope.keys().cloned())
                .collect();
            let mut diagnostic = Diagnostic::error(
                "undefined-variable",
                expr.span,
                format!("`${name}` has no value here"),
            )
            .label("never assigned in this scope");
            if let Some(near) = suggest(name, names.iter().map(String::as_str)) {
                diagnostic = diagnostic.help(format!("did you mean `${near}`?"));
            }
            return self.fail(diagnostic);
        };
        let ty = self.variables[variable.0 as usize].ty.clone();
        Expr {
            kind: ExprKind::Variable(variable),
            ty,
            span: span(expr.span),
        }
    }

    /// The type of a map's entry where it is read: an aggregation has to be merged over the CPUs.
    fn type_of_entry(&mut self, map: MapRef, at: Span) -> Type {
        let value = &self.map(map).value;
        if value.is_aggregation() && !self.features.read_other_cpus {
            let message = "reading an aggregation in the script needs `bpf_map_lookup_percpu_elem` (Linux 5.19)";
            self.report(
                Diagnostic::error("kernel-feature", at, message)
                    .label("kept apart for each CPU")
                    .help("print the map, or count in a plain variable: `@n++`"),
            );
            return Type::Error;
        }
        read_type(value)
    }

    fn scalar_map(&mut self, name: &str, expr: &ast::Expr) -> Expr {
        let map = self.map_ref(name, expr.span);
        self.use_as_scalar(map, expr.span);
        let ty = self.type_of_entry(map, expr.span);
        Expr {
            kind: ExprKind::Map { map, key: None },
            ty,
            span: span(expr.span),
        }
    }

    fn map_element(&mut self, map: &ast::Name, key: &ast::Expr, expr: &ast::Expr) -> Expr {
        let map = self.map_ref(&map.text, map.span);
        let key = self.map_key(map, key);
        let ty = self.type_of_entry(map, expr.span);
        Expr {
            kind: ExprKind::Map {
                map,
                key: Some(Box::new(key)),
            },
            ty,
            span: span(expr.span),
        }
    }

    fn index(&mut self, base: &ast::Expr, index: &ast::Expr, expr: &ast::Expr) -> Expr {
        let checked_base = self.expr(base);
        let checked_index = self.integer(index);
        let at = span(expr.span);
        let element = match &checked_base.ty {
            Type::Unknown | Type::Error => {
                return Expr {
                    ty: checked_base.ty.clone(),
                    ..Expr::error(at)
                };
            }
            Type::Array { element, len } => {
                if let Some(number) = checked_index.as_int()
                    && *len > 0
                    && (number < 0 || number >= i64::from(*len))
                {
                    return self.fail(
                        Diagnostic::error(
                            "index-out-of-bounds",
                            index.span,
                            format!("the array has {len} elements"),
                        )
                        .label(format!("{number} is outside of it")),
                    );
                }
                (**element).clone()
            }
            Type::Pointer { to, .. } => (**to).clone(),
            Type::Tuple(elements) => {
                let number = checked_index.as_int().unwrap_or(-1);
                let Some(ty) = usize::try_from(number).ok().and_then(|n| elements.get(n)) else {
                    return self.fail(Diagnostic::error(
                        "tuple-index",
                        index.span,
                        format!("a tuple of {} has no such element", elements.len()),
                    ));
                };
                let ty = ty.clone();
                let kind = ExprKind::Element {
                    base: Box::new(checked_base),
                    index: number as u32,
                };
                return Expr { kind, ty, span: at };
            }
            Type::String { .. } | Type::Buffer { .. } => Type::I8,
            other => {
                let shown = self.show(other);
                return self.fail(
                    Diagnostic::error(
                        "not-an-array",
                        base.span,
                        format!("{shown} has no elements"),
                    )
                    .label(shown),
                );
            }
        };
        let kind = ExprKind::Index {
            base: Box::new(checked_base),
            index: Box::new(checked_index),
        };
        Expr {
            kind,
            ty: element,
            span: at,
        }
    }

    fn ternary(
        &mut self,
        condition: &ast::Expr,
        then: Option<&ast::Expr>,
        otherwise: &ast::Expr,
        expr: &ast::Expr,
    ) -> Expr {
        let Some(then) = then else {
            let value = Box::new(self.condition(condition));
            let otherwise = Box::new(self.expr(otherwise));
            let ty = self.joined_branches(&value, &otherwise, expr);
            return Expr {
                kind: ExprKind::Elvis { value, otherwise },
                ty,
                span: span(expr.span),
            };
        };
        let condition = Box::new(self.condition(condition));
        let then = Box::new(self.expr(then));
        let otherwise = Box::new(self.expr(otherwise));
        let ty = self.joined_branches(&then, &otherwise, expr);
        Expr {
            kind: ExprKind::Choose {
                condition,
                then,
                otherwise,
            },
            ty,
            span: span(expr.span),
        }
    }

    fn joined_branches(&mut self, then: &Expr, otherwise: &Expr, expr: &ast::Expr) -> Type {
        let left = self.fit_literal(&otherwise.ty, then);
        let right = self.fit_literal(&then.ty, otherwise);
        if let Some(ty) = join(&left, &right) {
            return ty;
        }
        let (left, right) = (self.show(&left), self.show(&right));
        self.report(
            Diagnostic::error(
                "branch-mismatch",
                expr.span,
                format!("one branch is {left}, the other {right}"),
            )
            .help("both branches must give the same type"),
        );
        Type::Error
    }

    fn if_expr(&mut self, branches: &ast::If, expr: &ast::Expr) -> Expr {
        if let Ast::Comptime(condition) = &branches.condition.kind {
            return self.comptime_if(condition, branches, expr);
        }
        let condition = Box::new(self.condition(&branches.condition));
        let then = self.block(&branches.then);
        let otherwise = branches
            .otherwise
            .as_ref()
            .map(|otherwise| self.expr(otherwise));
        let at = span(expr.span);
        if then.value.is_some()
            && let Some(otherwise) = otherwise
        {
            let ty = then
                .value
                .as_ref()
                .map_or(Type::None, |value| value.ty.clone());
            let then = Box::new(Expr {
                ty,
                kind: ExprKind::Block(Box::new(then)),
                span: at,
            });
            let otherwise = Box::new(otherwise);
            let ty = self.joined_branches(&then, &otherwise, expr);
            return Expr {
                kind: ExprKind::Choose {
                    condition,
                    then,
                    otherwise,
                },
                ty,
                span: at,
            };
        }
        let otherwise = branches
            .otherwise
            .as_ref()
            .map(|other| Box::new(self.as_block(other)));
        Expr {
            kind: ExprKind::If {
                condition,
                then: Box::new(then),
                otherwise,
            },
            ty: Type::None,
            span: at,
        }
    }

    /// An `else` branch as a block.
    fn as_block(&mut self, expr: &ast::Expr) -> crate::hir::Block {
        match &expr.kind {
            Ast::Block(block) => self.block(block),
            _ => {
                let checked = self.expr(expr);
                let kind = crate::hir::StmtKind::Expr(checked);
                let statement = crate::hir::Stmt {
                    kind,
                    span: span(expr.span),
                };
                crate::hir::Block {
                    statements: vec![statement],
                    value: None,
                }
            }
        }
    }

    fn comptime_if(&mut self, condition: &ast::Expr, branches: &ast::If, expr: &ast::Expr) -> Expr {
        let checked = self.comptime(condition);
        let at = span(expr.span);
        let Some(holds) = checked.as_int() else {
            return Expr::error(at);
        };
        if holds != 0 {
            return self.block_expr(&branches.then, at);
        }
        match &branches.otherwise {
            Some(otherwise) => self.expr(otherwise),
            None => {
                let empty = crate::hir::Block {
                    statements: Vec::new(),
                    value: None,
                };
                Expr {
                    kind: ExprKind::Block(Box::new(empty)),
                    ty: Type::None,
                    span: at,
                }
            }
        }
    }

    /// An expression whose value must be known while compiling.
    fn comptime(&mut self, inner: &ast::Expr) -> Expr {
        let checked = self.expr(inner);
        if checked.as_int().is_none() && checked.as_text().is_none() && checked.ty.is_known() {
            return self.fail(
                Diagnostic::error(
                    "not-constant",
                    inner.span,
                    "this is not known while compiling",
                )
                .label("depends on run time"),
            );
        }
        checked
    }

    fn block_expr(&mut self, block: &ast::Block, at: fathom_bpf::object::SourceSpan) -> Expr {
        let block = self.block(block);
        let ty = block
            .value
            .as_ref()
            .map_or(Type::None, |value| value.ty.clone());
        Expr {
            kind: ExprKind::Block(Box::new(block)),
            ty,
            span: at,
        }
    }

    fn tuple(&mut self, elements: &[ast::Expr], at: fathom_bpf::object::SourceSpan) -> Expr {
        let elements: Vec<Expr> = elements.iter().map(|element| self.expr(element)).collect();
        let ty = Type::Tuple(Arc::new(
            elements.iter().map(|element| element.ty.clone()).collect(),
        ));
        Expr {
            kind: ExprKind::Tuple(elements),
            ty,
            span: at,
        }
    }

    fn record(&mut self, fields: &[ast::RecordField], at: fathom_bpf::object::SourceSpan) -> Expr {
        let mut values = Vec::new();
        let mut types: Vec<(String, Type)> = Vec::new();
        for field in fields {
            if types.iter().any(|(name, _)| *name == field.name.text) {
                self.report(Diagnostic::error(
                    "duplicate-field",
                    field.name.span,
                    format!("the record has `{}` already", field.name.text),
                ));
                continue;
            }
            let value = self.expr(&field.value);
            types.push((field.name.text.clone(), value.ty.clone()));
            values.push(value);
        }
        Expr {
            kind: ExprKind::Record(values),
            ty: Type::Record(Arc::new(types)),
            span: at,
        }
    }

    /// The natural space of pointers in the probe at hand.
    pub fn natural_space(&self) -> Space {
        if self.group.context.is_user {
            Space::User
        } else {
            Space::Kernel
        }
    }

    /// A type in words.
    pub fn show(&self, ty: &Type) -> String {
        self.types.display(ty)
    }
}
