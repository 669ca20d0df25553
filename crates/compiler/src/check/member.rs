//! `args.x`, `task->comm`, `$tuple.0`, `ip.src`.

use fathom_syntax::ast::{self, ExprKind as Ast, Field};
use fathom_syntax::diagnostic::{Diagnostic, suggest};
use fathom_syntax::span::Span;

use super::{Checker, span};
use crate::builtins;
use crate::hir::{Expr, ExprKind};
use crate::probes::{ArgSource, Argument};
use crate::ty::{StructRef, Type};

impl Checker<'_, '_> {
    pub(super) fn member(&mut self, base: &ast::Expr, field: &Field, expr: &ast::Expr) -> Expr {
        if let Ast::Ident(name) = &base.kind
            && let Field::Named(member) = field
        {
            if matches!(name.as_str(), "args" | "ctx") && self.group.context.args.is_some() {
                return self.argument(member);
            }
            if name == "args" {
                return self.no_args(base.span);
            }
            if name == "retval"
                && let Some(result) = self.result_named(&member.text)
            {
                return self.value_of_argument(&result, expr.span);
            }
            if let Some(builtin) = builtins::packet::field(name, &member.text) {
                return builtins::packet::check(self, builtin, expr.span);
            }
            if builtins::packet::is_layer(name) && self.group.context.is_packet() {
                return self.fail(builtins::packet::unknown_field(name, member));
            }
        }
        if let Ast::Ident(name) = &base.kind
            && let Field::Position(number, _) = field
            && name == "retval"
            && let Some(result) = self.group.context.results.get(*number as usize).cloned()
        {
            return self.value_of_argument(&result, expr.span);
        }
        let mut base_expr = self.expr(base);
        if let Some(string) = self.string_behind(&base_expr, field) {
            base_expr = string;
        }
        self.member_of(base_expr, base.span, field, expr.span)
    }

    fn member_of(&mut self, base: Expr, base_span: Span, field: &Field, at: Span) -> Expr {
        match (&base.ty, field) {
            (Type::Unknown | Type::Error, _) => Expr {
                ty: base.ty.clone(),
                ..Expr::error(span(at))
            },
            (Type::Tuple(elements), Field::Position(index, place)) => {
                match elements.get(*index as usize).cloned() {
                    Some(ty) => Expr {
                        kind: ExprKind::Element {
                            base: Box::new(base),
                            index: *index,
                        },
                        ty,
                        span: span(at),
                    },
                    None => self.fail(
                        Diagnostic::error(
                            "tuple-index",
                            *place,
                            format!("a tuple of {} has no such element", elements.len()),
                        )
                        .label(format!(
                            "the last one is .{}",
                            elements.len().saturating_sub(1)
                        )),
                    ),
                }
            }
            (Type::Record(fields), Field::Named(name)) => {
                match fields
                    .iter()
                    .position(|(candidate, _)| *candidate == name.text)
                {
                    Some(index) => {
                        let ty = fields[index].1.clone();
                        let kind = ExprKind::Element {
                            base: Box::new(base),
                            index: index as u32,
                        };
                        Expr {
                            kind,
                            ty,
                            span: span(at),
                        }
                    }
                    None => {
                        let names: Vec<&str> =
                            fields.iter().map(|(name, _)| name.as_str()).collect();
                        let diagnostic = unknown_field("the record", name, &names);
                        self.fail(diagnostic)
                    }
                }
            }
            (Type::Struct(definition), Field::Named(name)) => {
                let definition = *definition;
                self.struct_member(base, definition, name, at)
            }
            (Type::Pointer { to, .. }, Field::Named(name)) => match &**to {
                Type::Struct(definition) => {
                    let definition = *definition;
                    let pointee = Type::Struct(definition);
                    let place = base.span;
                    let target = Expr {
                        kind: ExprKind::Dereference(Box::new(base)),
                        ty: pointee,
                        span: place,
                    };
                    self.struct_member(target, definition, name, at)
                }
                _ => self.not_a_struct(&base.ty, base_span),
            },
            _ => self.not_a_struct(&base.ty, base_span),
        }
    }

    fn struct_member(
        &mut self,
        base: Expr,
        definition: StructRef,
        name: &ast::Name,
        at: Span,
    ) -> Expr {
        let Some((offset, bits, ty)) = self.types.member(definition, &name.text) else {
            return self.unknown_member(definition, name);
        };
        let ty = self.in_space_of(&base, ty);
        let kind = ExprKind::Member {
            base: Box::new(base),
            offset,
            bits,
        };
        Expr {
            kind,
            ty,
            span: span(at),
        }
    }

    /// Says that a struct has no such field.
    pub(crate) fn unknown_member(&mut self, definition: StructRef, name: &ast::Name) -> Expr {
        let owner = self.types.name(definition);
        let mut diagnostic = Diagnostic::error(
            "unknown-field",
            name.span,
            format!("`{owner}` has no field `{}`", name.text),
        )
        .label("no such field on this machine");
        if let Some(near) = self.types.suggest_member(definition, &name.text).first() {
            diagnostic = diagnostic.fix(format!("did you mean `{near}`?"), name.span, near.clone());
        }
        self.fail(diagnostic)
    }

    /// The member of a value that was checked already.
    pub fn member_value(&mut self, base: Expr, name: &ast::Name, at: Span) -> Expr {
        self.member_of(base, at, &Field::Named(name.clone()), at)
    }

    /// Pointers in user memory point to user memory.
    fn in_space_of(&self, base: &Expr, ty: Type) -> Type {
        match pointer_space(base) {
            Some(space @ (crate::ty::Space::User | crate::ty::Space::Kernel)) => {
                crate::types::in_space(ty, space)
            }
            _ => ty,
        }
    }

    fn not_a_struct(&mut self, ty: &Type, at: Span) -> Expr {
        let shown = self.show(ty);
        self.fail(
            Diagnostic::error("no-fields", at, format!("{shown} has no fields"))
                .label(shown)
                .help("cast it to a pointer to a struct first, for example `((struct sock *)arg0)->…`"),
        )
    }

    /// `args.name`
    fn argument(&mut self, name: &ast::Name) -> Expr {
        let args = self.group.context.args.as_deref().unwrap_or_default();
        if let Some(argument) = args.iter().find(|argument| argument.name == name.text) {
            let argument = argument.clone();
            return self.value_of_argument(&argument, name.span);
        }
        let names: Vec<&str> = args.iter().map(|argument| argument.name.as_str()).collect();
        let probe = self
            .group
            .points
            .first()
            .and_then(|point| point.names.first())
            .cloned()
            .unwrap_or_default();
        let diagnostic = unknown_field(&format!("`args` of {probe}"), name, &names);
        self.fail(diagnostic)
    }

    /// One of several results by its name.
    fn result_named(&self, name: &str) -> Option<Argument> {
        let results = &self.group.context.results;
        let found = results.iter().find(|result| result.name == name);
        found.filter(|_| results.len() > 1).cloned()
    }

    /// An argument or result as an expression, if it can be had at all.
    pub(crate) fn value_of_argument(&mut self, argument: &Argument, at: Span) -> Expr {
        if let ArgSource::Unreadable(why) = &argument.source {
            let message = format!("`{}` cannot be read", argument.name);
            return self.fail(Diagnostic::error("unreadable", at, message).label(why.clone()));
        }
        Expr {
            ty: argument.ty.clone(),
            kind: ExprKind::Argument(Box::new(argument.clone())),
            span: span(at),
        }
    }

    pub(crate) fn no_args(&mut self, at: Span) -> Expr {
        let provider = self.group.context.provider;
        let reason = self.group.context.args_missing.clone();
        let mut diagnostic = Diagnostic::error(
            "no-args",
            at,
            format!("`args` is not known for this {provider} probe"),
        );
        if let Some(reason) = reason {
            diagnostic = diagnostic.note(reason);
        }
        if !self.group.context.positional.is_empty() {
            diagnostic = diagnostic.help("use `arg0`, `arg1` … and casts instead");
        }
        self.fail(diagnostic)
    }

    /// `arg0` …
    pub(super) fn positional(&mut self, number: usize, at: Span) -> Expr {
        match self.group.context.positional.get(number) {
            Some(argument) => Expr {
                ty: argument.ty.clone(),
                kind: ExprKind::Argument(Box::new(argument.clone())),
                span: span(at),
            },
            None => {
                let provider = self.group.context.provider;
                let count = self.group.context.positional.len();
                let message = if count == 0 {
                    format!("a {provider} probe has no `arg{number}`")
                } else {
                    format!("this {provider} probe has {count} arguments, so no `arg{number}`")
                };
                self.fail(Diagnostic::error("no-argument", at, message))
            }
        }
    }
}

/// The address space in which an lvalue lies, if that is known.
pub(crate) fn pointer_space(expr: &Expr) -> Option<crate::ty::Space> {
    match &expr.kind {
        ExprKind::Dereference(pointer) => match &pointer.ty {
            Type::Pointer { space, .. } => Some(*space),
            _ => None,
        },
        ExprKind::Member { base, .. } | ExprKind::Index { base, .. } => match &base.ty {
            Type::Pointer { space, .. } => Some(*space),
            _ => pointer_space(base),
        },
        _ => None,
    }
}

fn unknown_field(owner: &str, name: &ast::Name, names: &[&str]) -> Diagnostic {
    let diagnostic = Diagnostic::error(
        "unknown-field",
        name.span,
        format!("{owner} has no field `{}`", name.text),
    );
    if let Some(near) = suggest(&name.text, names.iter().copied()) {
        return diagnostic.fix(format!("did you mean `{near}`?"), name.span, near);
    }
    if names.is_empty() {
        return diagnostic;
    }
    diagnostic.help(format!("the fields are: {}", names.join(", ")))
}
