//! Calls of builtin functions.

use fathom_bpf::object::SourceSpan;
use fathom_syntax::ast;
use fathom_syntax::diagnostic::{Diagnostic, suggest};
use fathom_syntax::span::Span;

use super::{Checker, span};
use crate::builtins::{self, Builtin};
use crate::hir::{Data, Expr, ExprKind};
use crate::ty::Type;

/// A use of a builtin, as its check sees it.
pub struct Call<'c> {
    /// Which one.
    pub builtin: &'static Builtin,
    /// Where its name stands.
    pub name_span: Span,
    /// As written.
    pub args: &'c [ast::Expr],
    /// `pid()` and not `pid`.
    pub has_parentheses: bool,
    /// The whole call.
    pub span: Span,
}

impl Call<'_> {
    /// The whole call, as the typed tree keeps it.
    pub fn at(&self) -> SourceSpan {
        span(self.span)
    }

    /// The typed expression for this use.
    pub fn expr(&self, ty: Type, args: Vec<Expr>) -> Expr {
        self.expr_with(ty, args, Data::None)
    }

    /// The same with something that only the builtin itself understands.
    pub fn expr_with(&self, ty: Type, args: Vec<Expr>, data: Data) -> Expr {
        Expr {
            kind: ExprKind::Builtin {
                builtin: self.builtin,
                args,
                data,
            },
            ty,
            span: self.at(),
        }
    }
}

impl Checker<'_, '_> {
    pub(super) fn call(
        &mut self,
        callee: &ast::Name,
        args: &[ast::Expr],
        expr: &ast::Expr,
    ) -> Expr {
        if let Some(builtin) = builtins::find(&callee.text) {
            let call = Call {
                builtin,
                name_span: callee.span,
                args,
                has_parentheses: true,
                span: expr.span,
            };
            return (builtin.check)(self, &call);
        }
        if builtins::aggregation(&callee.text).is_some() {
            return self.fail(
                Diagnostic::error(
                    "aggregation-place",
                    expr.span,
                    format!("`{}()` can only be assigned to a map", callee.text),
                )
                .help(format!("write `@name = {}(…);`", callee.text)),
            );
        }
        for arg in args {
            self.expr(arg);
        }
        let mut diagnostic = Diagnostic::error(
            "unknown-function",
            callee.span,
            format!("there is no function called `{}`", callee.text),
        );
        if let Some(near) = suggest(&callee.text, builtins::names()) {
            diagnostic = diagnostic.fix(format!("did you mean `{near}`?"), callee.span, near);
        }
        self.fail(diagnostic)
    }

    /// Complains unless the number of arguments is within the range.
    pub fn require_args(
        &mut self,
        call: &Call<'_>,
        range: std::ops::RangeInclusive<usize>,
    ) -> bool {
        if range.contains(&call.args.len()) {
            return true;
        }
        let name = call.builtin.name;
        let wanted = match (*range.start(), *range.end()) {
            (0, 0) => "no arguments".to_owned(),
            (1, 1) => "one argument".to_owned(),
            (least, most) if least == most => format!("{least} arguments"),
            (least, usize::MAX) => format!("at least {least}"),
            (least, most) => format!("{least} to {most} arguments"),
        };
        self.report(Diagnostic::error(
            "argument-count",
            call.span,
            format!("`{name}` takes {wanted}, not {}", call.args.len()),
        ));
        false
    }

    /// An argument that must be a constant integer.
    pub fn constant_int(&mut self, arg: &ast::Expr, what: &str) -> Option<i64> {
        let checked = self.expr(arg);
        let value = checked.as_int();
        if value.is_none() && checked.ty.is_known() {
            self.report(
                Diagnostic::error(
                    "not-constant",
                    arg.span,
                    format!("{what} must be a constant"),
                )
                .label("depends on run time"),
            );
        }
        value
    }

    /// An argument that must be a constant string. A positional parameter counts as its text.
    pub fn constant_text(&mut self, arg: &ast::Expr, what: &str) -> Option<String> {
        if let ast::ExprKind::Param(number) = &arg.kind {
            let text = self.params.get((*number as usize).wrapping_sub(1));
            return Some(text.cloned().unwrap_or_default());
        }
        let checked = self.expr(arg);
        let Some(bytes) = checked.as_text() else {
            if checked.ty.is_known() {
                self.report(
                    Diagnostic::error(
                        "not-constant",
                        arg.span,
                        format!("{what} must be a string constant"),
                    )
                    .label(self.show(&checked.ty)),
                );
            }
            return None;
        };
        Some(String::from_utf8_lossy(bytes).into_owned())
    }
}
