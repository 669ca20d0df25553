//! Names to declarations, expressions to types: syntax trees to [`hir`].
//!
//! Types of maps and variables come from all their uses, so all bodies are checked again and again until nothing new is
//! learned; the last round's result and diagnostics count. Checking never stops at the first problem.

mod address;
mod assign;
mod call;
mod constant;
mod counted_text;
mod evaluate;
mod expr;
mod join;
mod member;
mod operator;
mod statement;
mod types;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use fathom_bpf::object::SourceSpan;
use fathom_machine::Machine;
use fathom_syntax::ast;
use fathom_syntax::diagnostic::Diagnostic;
use fathom_syntax::span::{SourceId, Span};

pub use call::Call;
pub(crate) use constant::parse_number;
pub use join::{join, widened};
pub(crate) use types::smallest_int;

use crate::config::Config;
use crate::features::Features;
use crate::hir::{Body, Expr, MapInfo, MapRef, Maps, VariableInfo, VariableRef};
use crate::probes::Group;
use crate::ty::Type;
use crate::types::Types;

/// Rounds of inference before giving up; each round can only widen types, so real scripts need two or three.
const MAX_ROUNDS: usize = 16;

/// What checking works with and on.
pub struct Checker<'a, 'm> {
    /// Struct, enum and constant tables.
    pub types: &'a Types<'m>,
    /// The machine being traced.
    pub machine: &'m Machine,
    /// Settings of the script.
    pub config: &'a Config,
    /// What the kernel can do.
    pub features: &'a Features,
    /// Positional parameters.
    pub params: &'a [String],
    /// `--name[=value]` behind `--`.
    pub options: &'a BTreeMap<String, Option<String>>,
    /// Names that `getopt` asked for.
    pub used_options: BTreeSet<String>,
    /// `-c` child or `-p` process.
    pub child_pid: Option<u32>,
    /// `--unsafe` was given.
    pub allow_unsafe: bool,
    /// The script uses functions that act on the system.
    pub is_unsafe: bool,
    /// The group being checked.
    pub group: &'a Group,
    /// All maps of the script.
    pub maps: Maps,
    map_names: HashMap<String, MapRef>,
    /// Types learned in earlier rounds: per group, per variable in order of declaration.
    learned: Vec<Vec<Type>>,
    /// By group: variables that are assigned in inner blocks and read outside of them, with the first such place.
    hoisted: Vec<BTreeMap<String, Span>>,
    /// Variables of blocks that ended, in the body at hand.
    ended: BTreeSet<String>,
    group_index: usize,
    variables: Vec<VariableInfo>,
    /// Callback depth at which each variable was declared.
    variable_depth: Vec<u32>,
    /// Variables whose type was written: assignments do not widen it.
    typed_variables: HashSet<VariableRef>,
    /// Variables that came to be by an assignment, without `let`.
    implicit_variables: HashSet<VariableRef>,
    scopes: Vec<HashMap<String, VariableRef>>,
    loop_depth: u32,
    callback_depth: u32,
    is_final: bool,
    changed: bool,
    diagnostics: Vec<Diagnostic>,
}

/// What [`check`] needs to know besides the script.
pub struct Input<'a, 'm> {
    /// The script.
    pub script: &'a ast::Script,
    /// Where its bodies are attached.
    pub groups: &'a [Group],
    /// The machine being traced.
    pub machine: &'m Machine,
    /// Settings of the script.
    pub config: &'a Config,
    /// What the kernel can do.
    pub features: &'a Features,
    /// Positional parameters.
    pub params: &'a [String],
    /// `--name[=value]` behind `--`.
    pub options: &'a BTreeMap<String, Option<String>>,
    /// `-c` child or `-p` process.
    pub child_pid: Option<u32>,
    /// `--unsafe` was given.
    pub allow_unsafe: bool,
}

/// What checking gives.
pub struct Checked {
    /// One for each group.
    pub bodies: Vec<Body>,
    /// All maps.
    pub maps: Maps,
    /// The script uses functions that act on the system.
    pub is_unsafe: bool,
    /// Errors and warnings.
    pub diagnostics: Vec<Diagnostic>,
}

/// Checks the bodies of all groups.
pub fn check<'m>(input: &Input<'_, 'm>, types: &Types<'m>) -> Checked {
    let probes: Vec<&ast::Probe> = input.script.probes().collect();
    let Some(first) = input.groups.first() else {
        return Checked {
            bodies: Vec::new(),
            maps: Maps::default(),
            is_unsafe: false,
            diagnostics: Vec::new(),
        };
    };
    let mut checker = Checker::new(input, types, first);
    checker.declare_maps(input.script);
    let declaration_problems = std::mem::take(&mut checker.diagnostics);
    let mut bodies = Vec::new();
    for round in 0..MAX_ROUNDS {
        bodies = checker.round(input.groups, &probes);
        let is_settled = !checker.changed || round == MAX_ROUNDS - 2;
        if checker.is_final {
            break;
        }
        checker.is_final = is_settled;
    }
    checker.report_unknown_maps();
    checker.report_unknown_options(input.script);
    let mut diagnostics = declaration_problems;
    for diagnostic in checker.diagnostics {
        if !diagnostics.contains(&diagnostic) {
            diagnostics.push(diagnostic);
        }
    }
    Checked {
        bodies,
        maps: checker.maps,
        is_unsafe: checker.is_unsafe,
        diagnostics,
    }
}

impl<'a, 'm> Checker<'a, 'm> {
    fn new(input: &Input<'a, 'm>, types: &'a Types<'m>, group: &'a Group) -> Checker<'a, 'm> {
        Checker {
            types,
            machine: input.machine,
            config: input.config,
            features: input.features,
            params: input.params,
            options: input.options,
            used_options: BTreeSet::new(),
            child_pid: input.child_pid,
            allow_unsafe: input.allow_unsafe,
            is_unsafe: false,
            group,
            maps: Maps::default(),
            map_names: HashMap::new(),
            learned: vec![Vec::new(); input.groups.len()],
            hoisted: vec![BTreeMap::new(); input.groups.len()],
            ended: BTreeSet::new(),
            group_index: 0,
            variables: Vec::new(),
            variable_depth: Vec::new(),
            typed_variables: HashSet::new(),
            implicit_variables: HashSet::new(),
            scopes: Vec::new(),
            loop_depth: 0,
            callback_depth: 0,
            is_final: false,
            changed: false,
            diagnostics: Vec::new(),
        }
    }

    fn round(&mut self, groups: &'a [Group], probes: &[&ast::Probe]) -> Vec<Body> {
        self.changed = false;
        self.diagnostics.clear();
        let mut bodies = Vec::new();
        for (index, group) in groups.iter().enumerate() {
            self.group = group;
            self.group_index = index;
            bodies.push(self.body(probes[group.probe]));
        }
        bodies
    }

    fn body(&mut self, probe: &ast::Probe) -> Body {
        self.variables.clear();
        self.variable_depth.clear();
        self.typed_variables.clear();
        self.implicit_variables.clear();
        self.ended.clear();
        self.scopes = vec![HashMap::new()];
        let hoisted = self.hoisted[self.group_index].len();
        self.declare_hoisted();
        let predicate = probe
            .predicate
            .as_ref()
            .map(|predicate| self.condition(predicate));
        let block = self.block(&probe.body);
        // With another one at the front, variables are numbered anew.
        let is_renumbered = self.hoisted[self.group_index].len() != hoisted;
        self.learned[self.group_index] = match is_renumbered {
            true => Vec::new(),
            false => self.variables.iter().map(|info| info.ty.clone()).collect(),
        };
        Body {
            variables: std::mem::take(&mut self.variables),
            predicate,
            block,
        }
    }

    /// Older scripts read variables behind the blocks that assign them; they live through the whole body.
    fn declare_hoisted(&mut self) {
        for (text, at) in self.hoisted[self.group_index].clone() {
            self.report(
                Diagnostic::warning(
                    "variable-scope",
                    at,
                    format!("`${text}` is assigned in inner blocks only"),
                )
                .label("zero here if none of them ran")
                .help(format!("write `let ${text};` before them")),
            );
            let name = ast::Name { text, span: at };
            let variable = self.declare(&name, Type::Unknown);
            self.variables[variable.0 as usize].starts_zero = true;
        }
    }

    /// Leaves the innermost scope.
    fn end_scope(&mut self) {
        let scope = self.scopes.pop().unwrap_or_default();
        for (name, variable) in scope {
            if self.implicit_variables.contains(&variable) {
                self.ended.insert(name);
            }
        }
    }

    /// Notes that a variable is read behind its blocks; the next round knows it from the start. Says whether that helps.
    fn hoist(&mut self, name: &str, at: Span) -> bool {
        if self.is_final || !self.ended.contains(name) {
            return false;
        }
        self.hoisted[self.group_index].insert(name.to_owned(), at);
        self.changed = true;
        true
    }

    /// Whether the place at hand is inside a loop whose body becomes a callback.
    pub fn is_in_callback(&self) -> bool {
        self.callback_depth > 0
    }

    /// `max_strlen` as a size.
    pub fn max_string(&self) -> u32 {
        self.config.max_strlen.clamp(1, 1 << 16) as u32
    }

    /// Reports a problem; only the last round's are shown.
    pub fn report(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// Reports an error and gives a stand-in expression.
    pub fn fail(&mut self, diagnostic: Diagnostic) -> Expr {
        let span = span(diagnostic.span);
        self.report(diagnostic);
        Expr::error(span)
    }

    /// Notes that the script acts on the system and complains when that was not allowed.
    pub fn require_unsafe(&mut self, what: &str, at: Span) {
        self.is_unsafe = true;
        if !self.allow_unsafe {
            self.report(
                Diagnostic::error(
                    "unsafe",
                    at,
                    format!("`{what}` acts on the system and needs --unsafe"),
                )
                .label("not allowed without --unsafe")
                .help("run again with `--unsafe` if that is what you want"),
            );
        }
    }

    /// The map of that name, made known on first use.
    pub fn map_ref(&mut self, name: &str, at: Span) -> MapRef {
        if let Some(map) = self.map_names.get(name) {
            return *map;
        }
        let map = MapRef(self.maps.maps.len() as u32);
        self.maps.maps.push(MapInfo {
            name: name.to_owned(),
            span: span(at),
            key: None,
            value: Type::Unknown,
            declared: None,
        });
        self.map_names.insert(name.to_owned(), map);
        map
    }

    /// What is known of a map.
    pub fn map(&self, map: MapRef) -> &MapInfo {
        &self.maps.maps[map.0 as usize]
    }

    /// Takes note of a value stored in a map; says whether the types go together.
    pub fn learn_map_value(&mut self, map: MapRef, ty: &Type) -> bool {
        let known = self.maps.maps[map.0 as usize].value.clone();
        let Some(joined) = join(&known, &widened(ty)) else {
            return false;
        };
        if joined != known {
            self.changed = true;
            self.maps.maps[map.0 as usize].value = joined;
        }
        true
    }

    /// Takes note of a key used with a map; says whether the types go together.
    pub fn learn_map_key(&mut self, map: MapRef, ty: &Type) -> bool {
        let known = self.maps.maps[map.0 as usize]
            .key
            .clone()
            .unwrap_or(Type::Unknown);
        let Some(joined) = join(&known, &widened(ty)) else {
            return false;
        };
        if joined != known {
            self.changed = true;
            self.maps.maps[map.0 as usize].key = Some(joined);
        }
        true
    }

    /// A new variable in the innermost scope.
    fn declare(&mut self, name: &ast::Name, ty: Type) -> VariableRef {
        let variable = VariableRef(self.variables.len() as u32);
        let learned = self.learned[self.group_index]
            .get(variable.0 as usize)
            .cloned();
        let ty = match learned {
            Some(learned) if ty == Type::Unknown => learned,
            _ => ty,
        };
        self.variables.push(VariableInfo {
            name: name.text.clone(),
            ty,
            span: span(name.span),
            is_captured: false,
            starts_zero: false,
        });
        self.variable_depth.push(self.callback_depth);
        if let Some(scope) = self.scopes.last_mut() {
            scope.insert(name.text.clone(), variable);
        }
        variable
    }

    /// The variable of that name in reach; a use inside a callback of one from outside is noted.
    fn lookup(&mut self, name: &str) -> Option<VariableRef> {
        let variable = self
            .scopes
            .iter()
            .rev()
            .find_map(|scope| scope.get(name).copied())?;
        if self.variable_depth[variable.0 as usize] != self.callback_depth {
            self.variables[variable.0 as usize].is_captured = true;
        }
        Some(variable)
    }

    fn learn_variable(&mut self, variable: VariableRef, ty: &Type) -> bool {
        let info = &mut self.variables[variable.0 as usize];
        let Some(joined) = join(&info.ty, ty) else {
            return false;
        };
        if joined != info.ty {
            info.ty = joined;
            self.changed = true;
        }
        true
    }

    fn report_unknown_options(&mut self, script: &ast::Script) {
        let at = script
            .probes()
            .next()
            .map_or_else(Span::default, |probe| Span {
                end: probe.span.start,
                ..probe.span
            });
        for name in self.options.keys() {
            if self.used_options.contains(name) {
                continue;
            }
            let known: Vec<&str> = self.used_options.iter().map(String::as_str).collect();
            let diagnostic = Diagnostic::error(
                "unknown-option",
                at,
                format!("`--{name}` was given, but the script has no such option"),
            );
            let help = match known.is_empty() {
                true => "a script asks for options with `getopt(\"name\")`".to_owned(),
                false => format!("its options are: {}", known.join(", ")),
            };
            self.report(diagnostic.help(help));
        }
    }

    fn report_unknown_maps(&mut self) {
        for info in self.maps.maps.clone() {
            if info.value == Type::Unknown {
                let at = place(info.span);
                self.report(
                    Diagnostic::error(
                        "undefined-map",
                        at,
                        format!("`@{}` is read, but never given a value", info.name),
                    )
                    .label("nothing is stored here")
                    .help("assign to it somewhere, for example with `= count()`"),
                );
            }
        }
    }
}

/// A place that the object keeps, as a syntax span.
pub fn place(span: SourceSpan) -> Span {
    Span::new(SourceId(span.source), span.start, span.end)
}

/// A syntax span as the object keeps it.
pub fn span(span: Span) -> SourceSpan {
    SourceSpan {
        source: span.source.0,
        start: span.start,
        end: span.end,
    }
}
