//! The script's macros: each use is replaced by the macro's body before anything is checked.
//!
//! A body sees its parameters and nothing else: its own variables get names that no other code can have, and maps it was not given
//! are an error. An expression parameter stands for the whole expression, as often as it is used.

use std::collections::HashMap;

use fathom_syntax::ast::{
    Block, Expr, ExprKind, Item, Macro, MacroParamKind, Name, Script, TypeExpr, TypeKind,
    TypeOrExpr,
};
use fathom_syntax::diagnostic::Diagnostic;
use fathom_syntax::rewrite::{Rewrite, walk_block, walk_expr, walk_type};
use fathom_syntax::span::Span;

/// Expansions in a script, after which something is taken to be wrong with it.
const MAX_EXPANSIONS: u32 = 10_000;

/// The script without macros, and what was wrong with their uses.
pub fn expand(script: &Script) -> (Script, Vec<Diagnostic>) {
    let mut expander = Expander::new(script);
    let mut script = script.clone();
    if !expander.macros.is_empty() {
        for item in &mut script.items {
            if let Item::Probe(probe) = item {
                probe
                    .predicate
                    .iter_mut()
                    .for_each(|expr| expander.expr(expr));
                walk_block(&mut expander, &mut probe.body);
            }
        }
    }
    (script, expander.diagnostics)
}

struct Expander<'s> {
    /// By name; overloads in the order of the script.
    macros: HashMap<&'s str, Vec<&'s Macro>>,
    /// Macros whose bodies are being expanded.
    open: Vec<&'s str>,
    expansions: u32,
    diagnostics: Vec<Diagnostic>,
}

impl<'s> Expander<'s> {
    fn new(script: &'s Script) -> Expander<'s> {
        let mut macros: HashMap<&str, Vec<&Macro>> = HashMap::new();
        for item in &script.items {
            if let Item::Macro(found) = item {
                macros
                    .entry(found.name.text.as_str())
                    .or_default()
                    .push(found);
            }
        }
        Expander {
            macros,
            open: Vec::new(),
            expansions: 0,
            diagnostics: Vec::new(),
        }
    }

    /// Replaces the use of a macro by its body. `args` are expanded already.
    fn expand(&mut self, name: &Name, args: &[Expr], at: Span) -> ExprKind {
        let overloads = &self.macros[name.text.as_str()];
        let Some(chosen) = choose(overloads, args) else {
            return self.refuse(no_overload(overloads, args, at));
        };
        let own_name = chosen.name.text.as_str();
        if self.open.contains(&own_name) {
            let message = format!("the macro `{own_name}` uses itself");
            return self.refuse(Diagnostic::error("recursive-macro", name.span, message));
        }
        self.expansions += 1;
        if self.expansions > MAX_EXPANSIONS {
            let message = format!("macros are used more than {MAX_EXPANSIONS} times");
            return self.refuse(Diagnostic::error("too-many-expansions", at, message));
        }
        let mut body = chosen.body.clone();
        let mut substitution = Substitution {
            definition: chosen,
            args,
            number: self.expansions,
            diagnostics: Vec::new(),
        };
        walk_block(&mut substitution, &mut body);
        self.diagnostics.append(&mut substitution.diagnostics);
        self.open.push(own_name);
        walk_block(self, &mut body);
        self.open.pop();
        match body {
            // A constant stays a constant.
            Block {
                statements,
                value: Some(value),
                ..
            } if statements.is_empty() => value.kind,
            body => ExprKind::Block(Box::new(body)),
        }
    }

    fn refuse(&mut self, diagnostic: Diagnostic) -> ExprKind {
        self.diagnostics.push(diagnostic);
        ExprKind::Error
    }

    /// Whether a name with so many arguments is a macro; a builtin of the same name serves the other uses.
    fn is_macro(&self, name: &str, count: usize) -> bool {
        let Some(overloads) = self.macros.get(name) else {
            return false;
        };
        let fits = overloads.iter().any(|found| found.params.len() == count);
        fits || crate::builtins::find(name).is_none()
    }
}

impl Rewrite for Expander<'_> {
    fn expr(&mut self, expr: &mut Expr) {
        walk_expr(self, expr);
        let (name, args) = match &expr.kind {
            ExprKind::Call { callee, args } => (callee.clone(), args.clone()),
            ExprKind::Ident(text) => {
                let name = Name {
                    text: text.clone(),
                    span: expr.span,
                };
                (name, Vec::new())
            }
            _ => return,
        };
        if self.is_macro(&name.text, args.len()) {
            expr.kind = self.expand(&name, &args, expr.span);
        }
    }
}

/// The overload whose parameters take the arguments' kinds; of several the one that says most about them.
fn choose<'s>(overloads: &[&'s Macro], args: &[Expr]) -> Option<&'s Macro> {
    let fits = |found: &&&Macro| {
        found.params.len() == args.len()
            && found
                .params
                .iter()
                .zip(args)
                .all(|(param, arg)| match param.kind {
                    MacroParamKind::Variable => matches!(arg.kind, ExprKind::Variable(_)),
                    MacroParamKind::Map => matches!(arg.kind, ExprKind::Map(_)),
                    MacroParamKind::Expr => true,
                })
    };
    let any_expr = |found: &&&Macro| {
        let kinds = found.params.iter().map(|param| param.kind);
        kinds.filter(|kind| *kind == MacroParamKind::Expr).count()
    };
    overloads.iter().filter(fits).min_by_key(any_expr).copied()
}

fn no_overload(overloads: &[&Macro], args: &[Expr], at: Span) -> Diagnostic {
    let signatures: Vec<String> = overloads.iter().map(|found| signature(found)).collect();
    let name = &overloads[0].name.text;
    let message = match overloads
        .iter()
        .any(|found| found.params.len() == args.len())
    {
        true => format!("the macro `{name}` does not take arguments of these kinds"),
        false => format!("the macro `{name}` does not take {} arguments", args.len()),
    };
    Diagnostic::error("macro-arguments", at, message)
        .also(overloads[0].name.span, "defined here")
        .help(format!("it is declared as {}", signatures.join(" and ")))
}

fn signature(found: &Macro) -> String {
    let params = found.params.iter().map(|param| {
        let sigil = match param.kind {
            MacroParamKind::Variable => "$",
            MacroParamKind::Map => "@",
            MacroParamKind::Expr => "",
        };
        format!("{sigil}{}", param.name.text)
    });
    let params: Vec<String> = params.collect();
    format!("`{}({})`", found.name.text, params.join(", "))
}

/// Puts arguments in the place of parameters, and renames the body's own variables.
struct Substitution<'a> {
    definition: &'a Macro,
    args: &'a [Expr],
    number: u32,
    diagnostics: Vec<Diagnostic>,
}

impl<'a> Substitution<'a> {
    fn argument(&self, kind: MacroParamKind, name: &str) -> Option<&'a Expr> {
        let params = self.definition.params.iter();
        let index = params
            .enumerate()
            .find(|(_, param)| param.kind == kind && param.name.text == name)
            .map(|(index, _)| index)?;
        self.args.get(index)
    }

    /// No variable of a script can have this name.
    fn own_name(&self, name: &str) -> String {
        format!("{name} of {} ({})", self.definition.name.text, self.number)
    }

    fn variable(&self, name: &str) -> String {
        match self
            .argument(MacroParamKind::Variable, name)
            .map(|arg| &arg.kind)
        {
            Some(ExprKind::Variable(given)) => given.clone(),
            _ => self.own_name(name),
        }
    }

    fn map(&mut self, name: &str, at: Span) -> String {
        if let Some(ExprKind::Map(given)) = self
            .argument(MacroParamKind::Map, name)
            .map(|arg| &arg.kind)
        {
            return given.clone();
        }
        let owner = &self.definition.name.text;
        self.diagnostics.push(
            Diagnostic::error(
                "macro-map",
                at,
                format!("the macro `{owner}` was not given `@{name}`"),
            )
            .label("a macro sees only its parameters")
            .help(format!("add `@{name}` to its parameters")),
        );
        name.to_owned()
    }
}

impl Rewrite for Substitution<'_> {
    fn expr(&mut self, expr: &mut Expr) {
        match &mut expr.kind {
            ExprKind::Variable(name) => *name = self.variable(name),
            ExprKind::Map(name) => *name = self.map(name, expr.span),
            ExprKind::MapElement { map, .. } => {
                map.text = self.map(&map.text, map.span);
                walk_expr(self, expr);
            }
            ExprKind::Ident(name) => {
                // What was put in is not the body's own: it stays as it is.
                if let Some(argument) = self.argument(MacroParamKind::Expr, name) {
                    *expr = argument.clone();
                }
            }
            ExprKind::Sizeof(_) | ExprKind::Offsetof { .. } | ExprKind::Typeinfo(_) => {
                walk_expr(self, expr);
                if let ExprKind::Sizeof(of) | ExprKind::Offsetof { of, .. } | ExprKind::Typeinfo(of) =
                    &mut expr.kind
                    && let Some(given) = given_type(of)
                {
                    **of = TypeOrExpr::Type(given);
                }
            }
            _ => walk_expr(self, expr),
        }
    }

    fn ty(&mut self, ty: &mut TypeExpr) {
        if let TypeKind::Named(name) = &ty.kind
            && let Some(argument) = self.argument(MacroParamKind::Expr, name)
            && let ExprKind::Type(given) = &argument.kind
        {
            *ty = (**given).clone();
            return;
        }
        walk_type(self, ty);
        if let TypeKind::Typeof(of) = &ty.kind
            && let Some(given) = given_type(of)
        {
            *ty = given;
        }
    }

    fn declared_variable(&mut self, name: &mut Name) {
        name.text = self.variable(&name.text);
    }
}

/// A type that was given as an argument and put where an expression stood.
fn given_type(of: &TypeOrExpr) -> Option<TypeExpr> {
    match of {
        TypeOrExpr::Expr(Expr {
            kind: ExprKind::Type(given),
            ..
        }) => Some((**given).clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::expand;
    use fathom_syntax::{ParseOptions, parse};

    /// Codes of what is wrong with a script's macros.
    fn problems(text: &str) -> Vec<String> {
        let parsed = parse(text, &ParseOptions::default());
        assert!(!parsed.has_errors(), "{text}: {:?}", parsed.diagnostics);
        let (_, diagnostics) = expand(&parsed.script);
        let codes = diagnostics
            .iter()
            .map(|diagnostic| diagnostic.code.to_string());
        codes.collect()
    }

    #[test]
    fn wrong_uses_are_told() {
        let cases: [(&str, &[&str]); 6] = [
            ("macro m(x) { x } begin { print(m(1)); }", &[]),
            (
                "macro m(x) { x } begin { print(m(1, 2)); }",
                &["macro-arguments"],
            ),
            (
                "macro m($x) { $x } begin { print(m(1)); }",
                &["macro-arguments"],
            ),
            ("macro m() { m() } begin { m(); }", &["recursive-macro"]),
            (
                "macro m() { n() } macro n() { m() } begin { m(); }",
                &["recursive-macro"],
            ),
            ("macro m() { @x = 1; } begin { m(); }", &["macro-map"]),
        ];
        for (text, wanted) in cases {
            assert_eq!(problems(text), wanted, "{text}");
        }
    }
}
