//! Assignments to variables and maps.

use fathom_syntax::ast::{self, BinaryOp, ExprKind as Ast};
use fathom_syntax::diagnostic::Diagnostic;
use fathom_syntax::span::Span;

use super::{Checker, join, place, span, widened};
use crate::builtins;
use crate::hir::{Expr, ExprKind, MapRef, StmtKind, VariableRef};
use crate::ty::Type;

impl Checker<'_, '_> {
    pub(super) fn assign(
        &mut self,
        target: &ast::Expr,
        op: Option<BinaryOp>,
        value: &ast::Expr,
        at: Span,
    ) -> Option<StmtKind> {
        match &target.kind {
            Ast::Variable(name) => self.assign_variable(name, target, op, value),
            Ast::Map(_) | Ast::MapElement { .. } => self.assign_map(target, op, value, at),
            _ => {
                self.expr(value);
                None
            }
        }
    }

    fn assign_variable(
        &mut self,
        name: &str,
        target: &ast::Expr,
        op: Option<BinaryOp>,
        value: &ast::Expr,
    ) -> Option<StmtKind> {
        let value = match op {
            None => self.expr(value),
            Some(op) => {
                let left = self.expr(target);
                let right = self.expr(value);
                self.binary(op, left, right, target.span.to(value.span))
            }
        };
        let variable = match self.lookup(name) {
            Some(variable) => variable,
            None => {
                let name = ast::Name {
                    text: name.to_owned(),
                    span: target.span,
                };
                let variable = self.declare(&name, Type::Unknown);
                self.implicit_variables.insert(variable);
                variable
            }
        };
        if matches!(value.ty, Type::None) || value.ty.is_aggregation() {
            self.report(
                Diagnostic::error(
                    "no-value",
                    target.span,
                    format!("`${name}` cannot hold {}", self.show(&value.ty)),
                )
                .help("keep aggregations in a map: `@x = count()`"),
            );
            return None;
        }
        let known = self.variables[variable.0 as usize].ty.clone();
        if self.typed_variables.contains(&variable) {
            // The result of an operator is cut to the type, as in C.
            if op.is_none() || !value.ty.is_int() {
                self.require_assignable(&known, &value, target.span);
            }
            return Some(StmtKind::SetVariable { variable, value });
        }
        let ty = self.fit_literal(&known, &value);
        if !self.learn_variable(variable, &ty) {
            let known = self.variables[variable.0 as usize].ty.clone();
            self.mismatch(&format!("${name}"), &known, &value.ty, target.span);
        }
        Some(StmtKind::SetVariable { variable, value })
    }

    /// Takes note that values of a type are put into a variable.
    pub fn assign_type(&mut self, variable: VariableRef, ty: &Type, at: Span) {
        if !self.learn_variable(variable, &widened(ty)) {
            let info = self.variables[variable.0 as usize].clone();
            self.mismatch(&format!("${}", info.name), &info.ty, ty, at);
        }
    }

    /// The type that reading a map's value has.
    pub fn map_read_type(&self, map: MapRef) -> Type {
        super::statement::read_type(&self.map(map).value)
    }

    fn assign_map(
        &mut self,
        target: &ast::Expr,
        op: Option<BinaryOp>,
        value: &ast::Expr,
        at: Span,
    ) -> Option<StmtKind> {
        if op.is_none()
            && let Ast::Call { callee, args } = &value.kind
            && let Some(aggregation) = builtins::aggregation(&callee.text)
        {
            let (map, key) = self.map_place(target)?;
            let (ty, argument) = (aggregation.check)(self, callee, args)?;
            self.store_in_map(map, &ty, target.span);
            return Some(StmtKind::Aggregate {
                map,
                key,
                value: argument,
            });
        }
        match op {
            Some(BinaryOp::Add) => {
                let right = self.integer(value);
                self.add_to_map(target, right, false, at)
            }
            Some(BinaryOp::Subtract) => {
                let right = self.integer(value);
                self.add_to_map(target, right, true, at)
            }
            _ => {
                let value = match op {
                    None => self.expr(value),
                    Some(op) => {
                        let left = self.expr(target);
                        let right = self.expr(value);
                        self.binary(op, left, right, at)
                    }
                };
                self.set_map(target, value)
            }
        }
    }

    fn set_map(&mut self, target: &ast::Expr, value: Expr) -> Option<StmtKind> {
        let (map, key) = self.map_place(target)?;
        if value.ty == Type::None {
            self.report(Diagnostic::error(
                "no-value",
                target.span,
                "there is no value to store here",
            ));
            return None;
        }
        let known = self.map(map).value.clone();
        let ty = self.fit_literal(&known, &value);
        self.store_in_map(map, &ty, target.span);
        Some(StmtKind::SetMap { map, key, value })
    }

    /// `@x += n`, `@x++` and kin.
    pub(super) fn add_to_map(
        &mut self,
        target: &ast::Expr,
        value: Expr,
        is_subtraction: bool,
        at: Span,
    ) -> Option<StmtKind> {
        let (map, key) = self.map_place(target)?;
        let known = self.map(map).value.clone();
        if let Type::Pointer { to, .. } = &known {
            let scale = self.types.size_of(to).max(1);
            let value = self.scaled(value, scale);
            return Some(StmtKind::AddMap {
                map,
                key,
                value,
                is_subtraction,
            });
        }
        let ty = if is_subtraction {
            Type::I64
        } else {
            self.fit_literal(&known, &value)
        };
        let ty = if known == Type::Unknown && value.as_int().is_some() {
            Type::I64
        } else {
            ty
        };
        self.store_in_map(map, &ty, at);
        Some(StmtKind::AddMap {
            map,
            key,
            value,
            is_subtraction,
        })
    }

    fn store_in_map(&mut self, map: MapRef, ty: &Type, at: Span) {
        if !self.learn_map_value(map, ty) {
            let info = self.map(map).clone();
            self.mismatch(&format!("@{}", info.name), &info.value, ty, at);
        }
    }

    /// The map and key that an assignment or a map function names.
    pub fn map_place(&mut self, target: &ast::Expr) -> Option<(MapRef, Option<Expr>)> {
        match &target.kind {
            Ast::Map(name) => {
                let map = self.map_ref(name, target.span);
                self.use_as_scalar(map, target.span);
                Some((map, None))
            }
            Ast::MapElement { map, key } => {
                let reference = self.map_ref(&map.text, map.span);
                let key = self.map_key(reference, key);
                Some((reference, Some(key)))
            }
            _ => {
                self.expr(target);
                self.report(Diagnostic::error(
                    "not-a-map",
                    target.span,
                    "a map is wanted here",
                ));
                None
            }
        }
    }

    /// Checks a key and joins its type with the map's.
    pub fn map_key(&mut self, map: MapRef, key: &ast::Expr) -> Expr {
        let checked = self.expr(key);
        if matches!(checked.ty, Type::None) || checked.ty.is_aggregation() {
            self.report(
                Diagnostic::error(
                    "bad-key",
                    key.span,
                    format!("{} cannot be a key", self.show(&checked.ty)),
                )
                .label(self.show(&checked.ty)),
            );
            return Expr::error(checked.span);
        }
        let known = self.map(map).key.clone().unwrap_or(Type::Unknown);
        let ty = self.fit_literal(&known, &checked);
        if !self.learn_map_key(map, &ty) {
            let info = self.map(map).clone();
            let message = match &info.key {
                Some(Type::None) => format!("`@{}` is used without a key elsewhere", info.name),
                Some(known) => format!(
                    "`@{}` has keys of type {}, this is {}",
                    info.name,
                    self.show(known),
                    self.show(&checked.ty)
                ),
                None => format!("`@{}` cannot have this key", info.name),
            };
            let first = place(info.span);
            self.report(
                Diagnostic::error("key-mismatch", key.span, message)
                    .label(self.show(&checked.ty))
                    .also(first, "first used here"),
            );
        }
        checked
    }

    pub(super) fn use_as_scalar(&mut self, map: MapRef, at: Span) {
        if !self.learn_map_key(map, &Type::None) {
            let info = self.map(map).clone();
            let first = place(info.span);
            self.report(
                Diagnostic::error(
                    "key-missing",
                    at,
                    format!("`@{}` needs a key, as it has one elsewhere", info.name),
                )
                .label("no key given")
                .also(first, "first used here"),
            );
        }
    }

    /// A constant that fits takes the wanted type.
    pub(super) fn fit_literal(&self, wanted: &Type, value: &Expr) -> Type {
        match (&value.kind, wanted) {
            (ExprKind::Int(number), Type::Int { size, signed })
                if fits(*number, *size, *signed) =>
            {
                wanted.clone()
            }
            (ExprKind::Tuple(elements), Type::Tuple(wanted)) if elements.len() == wanted.len() => {
                Type::Tuple(std::sync::Arc::new(
                    elements
                        .iter()
                        .zip(wanted.iter())
                        .map(|(element, wanted)| self.fit_literal(wanted, element))
                        .collect(),
                ))
            }
            _ => value.ty.clone(),
        }
    }

    /// Complains unless `value` can be stored as `wanted` without losing anything.
    pub(super) fn require_assignable(&mut self, wanted: &Type, value: &Expr, at: Span) {
        if let (Type::Int { size, signed }, Some(number)) = (wanted, value.as_int()) {
            if !fits(number, *size, *signed) && value.ty.is_int() {
                self.report(
                    Diagnostic::error(
                        "out-of-range",
                        at,
                        format!("{number} does not fit {}", self.show(wanted)),
                    )
                    .help(format!(
                        "cast it if that is meant: ({}){number}",
                        self.show(wanted)
                    )),
                );
            }
            return;
        }
        if join(wanted, &value.ty).is_none() {
            self.mismatch("the declared type", wanted, &value.ty, at);
        }
    }

    fn mismatch(&mut self, what: &str, known: &Type, got: &Type, at: Span) {
        let (known, got) = (self.show(known), self.show(got));
        let text = format!("{what} is {known}, but this is {got}");
        let label = match known == got {
            true => format!("every {got} of a map has the same bounds"),
            false => format!("{got} does not go with {known}"),
        };
        self.report(Diagnostic::error("type-mismatch", at, text).label(label));
    }

    /// `value * scale`, for pointer arithmetic.
    pub(super) fn scaled(&mut self, value: Expr, scale: u32) -> Expr {
        if scale == 1 {
            return value;
        }
        if let Some(number) = value.as_int() {
            return Expr::int(number.wrapping_mul(i64::from(scale)), Type::I64, value.span);
        }
        let at = value.span;
        let factor = Expr::int(i64::from(scale), Type::I64, at);
        Expr {
            kind: ExprKind::Arithmetic {
                op: crate::ir::BinaryOp::Mul,
                is_signed: true,
                left: Box::new(value),
                right: Box::new(factor),
            },
            ty: Type::I64,
            span: at,
        }
    }

    /// `let @m = lruhash(10);` declarations.
    pub(super) fn declare_maps(&mut self, script: &ast::Script) {
        for item in &script.items {
            if let ast::Item::MapDecl(declaration) = item {
                self.declare_map(declaration);
            }
        }
    }

    fn declare_map(&mut self, declaration: &ast::MapDecl) {
        use fathom_bpf::MapKind;
        const KINDS: [(&str, MapKind); 4] = [
            ("hash", MapKind::Hash),
            ("lruhash", MapKind::LruHash),
            ("percpuhash", MapKind::PerCpuHash),
            ("percpulruhash", MapKind::LruPerCpuHash),
        ];
        let Some((_, kind)) = KINDS
            .iter()
            .find(|(name, _)| *name == declaration.kind.text)
        else {
            let names = KINDS.map(|(name, _)| name);
            self.report(
                Diagnostic::error(
                    "unknown-map-kind",
                    declaration.kind.span,
                    format!("there is no kind of map called `{}`", declaration.kind.text),
                )
                .help(format!("the kinds are {}", names.join(", "))),
            );
            return;
        };
        let entries = declaration.args.first().map(|entries| self.expr(entries));
        let Some(max_entries) = entries
            .as_ref()
            .and_then(Expr::as_int)
            .filter(|n| (1..=1 << 26).contains(n))
        else {
            self.report(
                Diagnostic::error(
                    "map-size",
                    declaration.span,
                    "a map declaration gives the number of entries",
                )
                .help(format!(
                    "for example `let @{} = {}(1000);`",
                    declaration.map.text, declaration.kind.text
                )),
            );
            return;
        };
        let map = self.map_ref(&declaration.map.text, declaration.map.span);
        let declared = crate::hir::DeclaredMap {
            kind: *kind,
            max_entries: max_entries as u32,
        };
        self.maps.maps[map.0 as usize].declared = Some(declared);
        self.maps.maps[map.0 as usize].span = span(declaration.map.span);
    }
}

/// Whether an integer type can hold the number.
pub(super) fn fits(number: i64, size: u32, signed: bool) -> bool {
    let bits = size * 8;
    match (bits, signed) {
        (64, true) => true,
        (64, false) => number >= 0,
        (_, true) => (-(1i64 << (bits - 1))..1i64 << (bits - 1)).contains(&number),
        (_, false) => (0..1i64 << bits).contains(&number),
    }
}
