//! Statements and blocks.

use std::collections::HashMap;

use fathom_syntax::ast::{self, ExprKind as Ast, ForOver};
use fathom_syntax::diagnostic::Diagnostic;
use fathom_syntax::span::Span;

use super::{Checker, span};
use crate::hir::{Block, Expr, ExprKind, Stmt, StmtKind};
use crate::ty::Type;

/// Most copies that `unroll` makes.
const MAX_UNROLL: i64 = 4096;

impl Checker<'_, '_> {
    /// A block in a scope of its own.
    pub(super) fn block(&mut self, block: &ast::Block) -> Block {
        self.scopes.push(HashMap::new());
        let result = self.block_here(block);
        self.end_scope();
        result
    }

    fn block_here(&mut self, block: &ast::Block) -> Block {
        let mut statements = Vec::new();
        for statement in &block.statements {
            if let Some(kind) = self.statement(statement) {
                statements.push(Stmt {
                    kind,
                    span: span(statement.span),
                });
            }
        }
        let value = block.value.as_ref().map(|value| Box::new(self.expr(value)));
        Block { statements, value }
    }

    fn statement(&mut self, statement: &ast::Stmt) -> Option<StmtKind> {
        Some(match &statement.kind {
            ast::StmtKind::Expr(expr) => self.expression_statement(expr)?,
            ast::StmtKind::Assign { target, op, value } => {
                self.assign(target, *op, value, statement.span)?
            }
            ast::StmtKind::Discard(expr) => StmtKind::Expr(self.expr(expr)),
            ast::StmtKind::Let { name, ty, value } => {
                self.let_statement(name, ty.as_ref(), value.as_ref())?
            }
            ast::StmtKind::While { condition, body } => {
                self.while_statement(condition, body, statement.span)
            }
            ast::StmtKind::For {
                variable,
                over,
                body,
            } => self.for_statement(variable, over, body)?,
            ast::StmtKind::Unroll { count, body } => self.unroll(count, body)?,
            ast::StmtKind::Break => self.jump(StmtKind::Break, "break", statement.span)?,
            ast::StmtKind::Continue => self.jump(StmtKind::Continue, "continue", statement.span)?,
            ast::StmtKind::Return(value) => {
                StmtKind::Return(value.as_ref().map(|value| self.expr(value)))
            }
            ast::StmtKind::Import(import) => {
                self.report(
                    Diagnostic::error(
                        "import-in-block",
                        import.span,
                        "`import` inside a block is for the standard library",
                    )
                    .help("put the `import` at the top of the script"),
                );
                return None;
            }
            ast::StmtKind::Error => return None,
        })
    }

    /// An expression for its effect; `@x++` and `@x--` become one atomic add.
    fn expression_statement(&mut self, expr: &ast::Expr) -> Option<StmtKind> {
        if let Ast::Step { op, target, .. } = &expr.kind
            && matches!(target.kind, Ast::Map(_) | Ast::MapElement { .. })
        {
            let one = Expr::int(1, Type::I64, span(expr.span));
            return self.add_to_map(target, one, *op == ast::StepOp::Decrement, expr.span);
        }
        Some(StmtKind::Expr(self.expr(expr)))
    }

    fn let_statement(
        &mut self,
        name: &ast::Name,
        ty: Option<&ast::TypeExpr>,
        value: Option<&ast::Expr>,
    ) -> Option<StmtKind> {
        if let Some(earlier) = self
            .scopes
            .iter()
            .rev()
            .find_map(|scope| scope.get(&name.text))
        {
            let earlier = self.variables[earlier.0 as usize].span;
            let earlier = Span::new(name.span.source, earlier.start, earlier.end);
            self.report(
                Diagnostic::error(
                    "shadowed-variable",
                    name.span,
                    format!("`${}` is declared already", name.text),
                )
                .label("declared again")
                .also(earlier, "first declared here")
                .help("use another name, or assign without `let`"),
            );
        }
        let declared = ty.map(|ty| self.type_expr(ty));
        let value = value.map(|value| self.expr(value));
        let start = declared.clone().unwrap_or(Type::Unknown);
        let variable = self.declare(name, start);
        if declared.is_some() {
            self.typed_variables.insert(variable);
        }
        let Some(value) = value else {
            return Some(StmtKind::ZeroVariable(variable));
        };
        match &declared {
            Some(declared) => self.require_assignable(declared, &value, name.span),
            None => {
                self.learn_variable(variable, &value.ty);
            }
        }
        Some(StmtKind::SetVariable { variable, value })
    }

    fn while_statement(&mut self, condition: &ast::Expr, body: &ast::Block, at: Span) -> StmtKind {
        self.report(
            Diagnostic::warning(
                "deprecated-while",
                Span {
                    end: at.start + 5,
                    ..at
                },
                "`while` is deprecated",
            )
            .help("use `for ($i : 0..N) { … }`, which the kernel can always prove to end"),
        );
        let condition = self.condition(condition);
        self.loop_depth += 1;
        let body = self.block(body);
        self.loop_depth -= 1;
        StmtKind::While { condition, body }
    }

    fn for_statement(
        &mut self,
        variable: &ast::Name,
        over: &ForOver,
        body: &ast::Block,
    ) -> Option<StmtKind> {
        match over {
            ForOver::Range { start, end } => {
                let start = self.integer(start);
                let end = self.integer(end);
                let (variable, body) = self.callback_body(variable, Type::I64, body);
                Some(StmtKind::ForRange {
                    variable,
                    start,
                    end,
                    body,
                })
            }
            ForOver::Elements(over) => {
                let Ast::Map(name) = &over.kind else {
                    self.expr(over);
                    self.report(
                        Diagnostic::error(
                            "not-a-map",
                            over.span,
                            "`for` goes over a map or a range",
                        )
                        .help("write `for ($kv : @map)` or `for ($i : 0..10)`"),
                    );
                    return None;
                };
                let map = self.map_ref(name, over.span);
                let info = self.map(map).clone();
                if info.key == Some(Type::None) {
                    self.report(
                        Diagnostic::error(
                            "scalar-map",
                            over.span,
                            format!("`@{name}` has no keys to go over"),
                        )
                        .label("a single value"),
                    );
                    return None;
                }
                if !self.features.for_each_map_elem {
                    self.report(
                        Diagnostic::error(
                            "kernel-feature",
                            over.span,
                            "`for` over a map needs `bpf_for_each_map_elem` (Linux 5.13)",
                        )
                        .label("this kernel has no way to visit all entries")
                        .help("print the map as a whole, `print(@map)`, or look up known keys"),
                    );
                    return None;
                }
                let element = Type::Tuple(std::sync::Arc::new(vec![
                    info.key.unwrap_or(Type::Unknown),
                    read_type(&info.value),
                ]));
                let (variable, body) = self.callback_body(variable, element, body);
                Some(StmtKind::ForMap {
                    variable,
                    map,
                    body,
                })
            }
        }
    }

    /// A loop body that becomes a callback: its variables live apart.
    fn callback_body(
        &mut self,
        name: &ast::Name,
        ty: Type,
        body: &ast::Block,
    ) -> (crate::hir::VariableRef, Block) {
        self.loop_depth += 1;
        self.callback_depth += 1;
        self.scopes.push(HashMap::new());
        let variable = self.declare(name, Type::Unknown);
        self.variables[variable.0 as usize].ty = ty;
        let body = self.block(body);
        self.end_scope();
        self.callback_depth -= 1;
        self.loop_depth -= 1;
        (variable, body)
    }

    fn unroll(&mut self, count: &ast::Expr, body: &ast::Block) -> Option<StmtKind> {
        let checked = self.expr(count);
        self.loop_depth += 1;
        let body = self.block(body);
        self.loop_depth -= 1;
        match checked.as_int() {
            Some(count) if (1..=MAX_UNROLL).contains(&count) => Some(StmtKind::Unroll {
                count: count as u32,
                body,
            }),
            Some(value) => {
                self.report(
                    Diagnostic::error(
                        "unroll-count",
                        count.span,
                        format!("cannot unroll {value} times"),
                    )
                    .label(format!("must be 1 to {MAX_UNROLL}")),
                );
                None
            }
            None if checked.ty == Type::Error => None,
            None => {
                self.report(
                    Diagnostic::error(
                        "unroll-count",
                        count.span,
                        "the count of `unroll` must be a constant",
                    )
                    .help("use `for ($i : 0..n)` when it is only known at run time"),
                );
                None
            }
        }
    }

    fn jump(&mut self, kind: StmtKind, word: &str, at: Span) -> Option<StmtKind> {
        if self.loop_depth > 0 {
            return Some(kind);
        }
        self.report(Diagnostic::error(
            "outside-loop",
            at,
            format!("`{word}` stands outside of any loop"),
        ));
        None
    }

    /// An expression used as a truth value.
    pub fn condition(&mut self, condition: &ast::Expr) -> Expr {
        let checked = self.expr(condition);
        let is_truth = matches!(
            checked.ty,
            Type::Unknown
                | Type::Error
                | Type::Bool
                | Type::Int { .. }
                | Type::Enum(_)
                | Type::Pointer { .. }
                | Type::Username
                | Type::KernelSymbol
        ) || (checked.ty.is_aggregation()
            && matches!(checked.kind, ExprKind::Map { .. }));
        if !is_truth {
            self.report(
                Diagnostic::error(
                    "not-a-condition",
                    condition.span,
                    format!(
                        "a value of type {} is neither true nor false",
                        self.show(&checked.ty)
                    ),
                )
                .help("compare it with something"),
            );
        }
        checked
    }

    /// An expression that must be an integer.
    pub fn integer(&mut self, expr: &ast::Expr) -> Expr {
        let checked = self.expr(expr);
        if !matches!(
            checked.ty,
            Type::Unknown | Type::Error | Type::Int { .. } | Type::Enum(_) | Type::Bool
        ) && !checked.ty.is_aggregation()
        {
            self.report(
                Diagnostic::error(
                    "not-an-integer",
                    expr.span,
                    format!("an integer is wanted here, not {}", self.show(&checked.ty)),
                )
                .label(self.show(&checked.ty)),
            );
        }
        checked
    }
}

/// The type that reading a map's value gives: aggregations of one number read as that number.
pub(super) fn read_type(value: &Type) -> Type {
    match value {
        Type::Count => Type::I64,
        Type::Sum { signed }
        | Type::Min { signed }
        | Type::Max { signed }
        | Type::Avg { signed } => Type::Int {
            size: 8,
            signed: *signed,
        },
        other => other.clone(),
    }
}
