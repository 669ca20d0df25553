//! The order of expansion: each pattern goes to its provider, what the providers found is joined into groups.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use fathom_bpf::object::{MissingProbes, Place, ProgramKind};
use fathom_machine::Machine;
use fathom_machine::dwarf::DebugInfo;
use fathom_machine::pattern::has_wildcard;
use fathom_syntax::ast::{AttachPattern, Piece, Probe, Script};
use fathom_syntax::{Diagnostic, Span, suggest};

use super::provider::{self, Provider};
use super::{Context, Group, Point};
use crate::config::Config;
use crate::features::Features;
use crate::types::Types;

/// What expansion depends on besides the script and the machine.
pub struct ExpandOptions<'a> {
    /// `-p`: trace only this process.
    pub pid: Option<u32>,
    /// `-c`: the child that waits to be started, if it runs already.
    pub child_pid: Option<u32>,
    /// `-c`: the child's program; stands in where a pattern names no binary.
    pub child_path: Option<&'a str>,
    /// Positional parameters of the script.
    pub params: &'a [String],
    /// Inlined copies of functions are probed too.
    pub with_inlined: bool,
    /// Returns of functions that exceptions and panics may leave are waited for at their return instructions.
    pub spares_unwinding: bool,
    /// `--unsafe`
    pub allow_unsafe: bool,
    /// `--test`, `--bench`
    pub mode: Mode,
    /// `--traceable-functions`: the kernel functions that may be probed.
    pub traceable: Option<&'a HashSet<String>>,
    /// What the body of a probe asks for; by index of the probe.
    pub needs: &'a dyn Fn(usize) -> Needs,
}

/// Which probes run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// All but `test` and `bench`.
    #[default]
    Trace,
    /// Only `test`.
    Test,
    /// Only `bench`.
    Bench,
}

/// What a body asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// `probe`: the program must know at which attach point it runs.
    pub identity: bool,
    /// `func`: the program must know the function that it runs in.
    pub function: bool,
    /// `args`: types of arguments must be known.
    pub args: bool,
    /// `call()`: whole values must be known.
    pub values: bool,
    /// `kstack`, `ustack`: there are stack maps, which programs that sleep may not use.
    pub stacks: bool,
    /// `arg0` …
    pub positional: bool,
    /// `goid`, `frame`: the running goroutine must be known.
    pub goroutine: bool,
}

/// What came of all patterns.
#[derive(Debug, Default)]
pub struct Expansion {
    /// In the order of the script.
    pub groups: Vec<Group>,
    /// Mistakes and warnings.
    pub diagnostics: Vec<Diagnostic>,
    /// Patterns that matched nothing although `missing_probes` let it pass, with the reason.
    pub missing: Vec<String>,
}

/// Turns all patterns of a script into concrete attach points.
pub fn expand(
    script: &Script,
    types: &Types<'_>,
    config: &Config,
    features: &Features,
    options: &ExpandOptions<'_>,
) -> Expansion {
    let mut expander = Expander {
        types,
        machine: types.machine(),
        config,
        features,
        options,
        debug_infos: RefCell::default(),
        found: Vec::new(),
        result: Expansion::default(),
    };
    for (index, probe) in script.probes().enumerate() {
        expander.probe(index, probe);
    }
    expander.check_limits();
    expander.check_iterators();
    let Expander {
        found,
        features,
        mut result,
        ..
    } = expander;
    result.groups = join(found, features, options);
    if result.groups.len() as u64 > config.max_bpf_programs {
        result
            .diagnostics
            .push(too_many_programs(&result.groups, config));
    }
    result
}

/// One concrete place with all that its program sees.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    pub(super) probe: usize,
    pub(super) kind: ProgramKind,
    pub(super) context: Context,
    pub(super) names: Vec<String>,
    pub(super) place: Place,
    pub(super) span: Span,
}

/// Why a provider gives nothing.
pub(super) enum Failure {
    /// The pattern is written wrongly: always an error.
    Wrong(Box<Diagnostic>),
    /// What it names is not there: `missing_probes` decides.
    Missing(Box<Diagnostic>),
}

impl Failure {
    pub(super) fn wrong(problem: Diagnostic) -> Failure {
        Failure::Wrong(Box::new(problem))
    }

    pub(super) fn missing(problem: Diagnostic) -> Failure {
        Failure::Missing(Box::new(problem))
    }
}

/// A part of a pattern with positional parameters filled in.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Part {
    pub(super) text: String,
    /// Written in quotes: `*` may stand for itself.
    pub(super) is_quoted: bool,
    pub(super) span: Span,
}

/// One pattern for one provider.
pub(super) struct Request<'r> {
    pub(super) probe: usize,
    /// Name the provider goes by: `kretprobe`, not `kr`.
    pub(super) provider: &'static Provider,
    pub(super) parts: &'r [Part],
    /// The whole pattern.
    pub(super) span: Span,
    pub(super) needs: Needs,
}

impl Request<'_> {
    /// The pattern with the provider's full name.
    pub(super) fn text(&self) -> String {
        let parts = self.parts.iter().map(|part| part.text.as_str());
        std::iter::once(self.provider.name)
            .chain(parts)
            .collect::<Vec<_>>()
            .join(":")
    }

    /// What is found at the place that the pattern names.
    pub(super) fn found(
        &self,
        name: String,
        kind: ProgramKind,
        context: Context,
        place: Place,
    ) -> Found {
        Found {
            probe: self.probe,
            kind,
            context,
            names: vec![name],
            place,
            span: self.span,
        }
    }

    /// A context of this provider without arguments.
    pub(super) fn context(&self, kind: super::context::ContextKind) -> Context {
        Context {
            provider: self.provider.name,
            kind,
            ..Context::default()
        }
    }

    /// The pattern has too few or too many parts.
    pub(super) fn misshapen(&self) -> Failure {
        let name = self.provider.name;
        let message = format!("`{name}` is written {}", self.provider.usage);
        Failure::wrong(Diagnostic::error("bad-probe", self.span, message).label("not of that form"))
    }

    /// Something that is not there.
    pub(super) fn missing(
        &self,
        code: &'static str,
        span: Span,
        message: impl Into<String>,
    ) -> Diagnostic {
        Diagnostic::error(code, span, message)
    }
}

/// The state of expansion.
pub(super) struct Expander<'a> {
    pub(super) types: &'a Types<'a>,
    pub(super) machine: &'a Machine,
    pub(super) config: &'a Config,
    pub(super) features: &'a Features,
    pub(super) options: &'a ExpandOptions<'a>,
    /// Debug information that was opened, by binary.
    pub(super) debug_infos: RefCell<HashMap<PathBuf, Arc<DebugInfo>>>,
    found: Vec<Found>,
    result: Expansion,
}

impl Expander<'_> {
    /// The process that places are attached to: that of `-p`, or the child of `-c`.
    pub(super) fn target_pid(&self) -> Option<u32> {
        self.options.pid.or(self.options.child_pid)
    }

    pub(super) fn warn(&mut self, problem: Diagnostic) {
        self.result.diagnostics.push(problem);
    }

    fn probe(&mut self, index: usize, probe: &Probe) {
        let needs = (self.options.needs)(index);
        let before = self.found.len();
        let mut empty = Vec::new();
        for pattern in &probe.patterns {
            let parts: Vec<Part> = pattern
                .parts
                .iter()
                .map(|segment| self.part(segment))
                .collect();
            let Some(problem) = self.pattern(index, pattern, &parts, needs) else {
                continue;
            };
            let is_glob = |part: &Part| !part.is_quoted && has_wildcard(&part.text);
            match parts.iter().any(is_glob) {
                true => empty.push((pattern, problem)),
                false => self.missing(pattern, problem),
            }
        }
        // A glob may match nothing beside patterns that match something.
        let is_alone = self.found.len() == before;
        for (pattern, problem) in empty {
            match self.config.missing_probes {
                MissingProbes::Error if !is_alone => self.tolerate(pattern, &problem),
                _ => self.missing(pattern, problem),
            }
        }
    }

    fn part(&self, segment: &fathom_syntax::ast::Segment) -> Part {
        let is_quoted = matches!(segment.pieces[..], [Piece::Quoted(_)]);
        Part {
            text: segment.text(self.options.params),
            is_quoted,
            span: segment.span,
        }
    }

    /// Expands one pattern; gives the problem when it matches nothing.
    fn pattern(
        &mut self,
        probe: usize,
        pattern: &AttachPattern,
        parts: &[Part],
        needs: Needs,
    ) -> Option<Diagnostic> {
        let written = pattern.provider.text.as_str();
        if has_wildcard(written) {
            return self.any_provider(probe, pattern, parts, needs);
        }
        let Some(provider) = provider::find(written) else {
            self.warn(unknown_provider(pattern));
            return None;
        };
        let request = Request {
            probe,
            provider,
            parts,
            span: pattern.span,
            needs,
        };
        match self.ask(&request) {
            Ok(found) => self.found.extend(found),
            Err(Failure::Wrong(problem)) => self.warn(*problem),
            Err(Failure::Missing(problem)) => return Some(*problem),
        }
        None
    }

    fn ask(&mut self, request: &Request<'_>) -> Result<Vec<Found>, Failure> {
        if !request.provider.runs_in(self.options.mode) {
            return Ok(Vec::new());
        }
        (request.provider.expand)(self, request)
    }

    /// `*:sched:*`: each provider that can make sense of the rest.
    fn any_provider(
        &mut self,
        probe: usize,
        pattern: &AttachPattern,
        parts: &[Part],
        needs: Needs,
    ) -> Option<Diagnostic> {
        let names =
            fathom_machine::pattern::Pattern::new(pattern.provider.text.to_ascii_lowercase());
        let before = self.result.diagnostics.len();
        let mut found = Vec::new();
        for provider in
            provider::all().filter(|provider| provider.in_wildcards && names.matches(provider.name))
        {
            let request = Request {
                probe,
                provider,
                parts,
                span: pattern.span,
                needs,
            };
            found.extend(self.ask(&request).unwrap_or_default());
        }
        // What one provider lacks does not matter when another one has it.
        self.result.diagnostics.truncate(before);
        if found.is_empty() {
            let message = format!("nothing matches `{}`", pattern.text);
            let problem = Diagnostic::error("no-match", pattern.span, message)
                .label("no kind of probe has this");
            return Some(problem.help("`fathom list` shows what can be probed"));
        }
        self.found.extend(found);
        None
    }

    fn missing(&mut self, pattern: &AttachPattern, problem: Diagnostic) {
        match self.config.missing_probes {
            MissingProbes::Error => self.warn(problem),
            MissingProbes::Warn => self.tolerate(pattern, &problem),
            MissingProbes::Ignore => {}
        }
    }

    /// Goes on without the pattern, and says so.
    fn tolerate(&mut self, pattern: &AttachPattern, problem: &Diagnostic) {
        let reason = format!("{}: {}", pattern.text, problem.message);
        self.result.missing.push(reason);
    }

    fn check_limits(&mut self) {
        let total: usize = self.found.iter().map(|found| found.names.len()).sum();
        let limit = self.config.max_probes;
        if total as u64 <= limit {
            return;
        }
        let Some(largest) = self
            .found
            .iter()
            .max_by_key(|found| self.count_of(found.span))
        else {
            return;
        };
        let message = format!("{total} probes are more than {limit}, the limit of this script");
        let label = format!("matches {}", self.count_of(largest.span));
        let help = format!(
            "make the pattern narrower, or set max_probes={total} in the config block or BPFTRACE_MAX_PROBES={total}"
        );
        let problem = Diagnostic::error("too-many-probes", largest.span, message)
            .label(label)
            .help(help);
        self.warn(problem);
    }

    fn count_of(&self, span: Span) -> usize {
        self.found
            .iter()
            .filter(|found| found.span == span)
            .map(|found| found.names.len())
            .sum()
    }

    /// An iterator is read to its end and then the script is over; nothing can go on beside it.
    fn check_iterators(&mut self) {
        let is_iterator = |found: &&Found| matches!(found.kind, ProgramKind::Iter(_));
        let Some(iterator) = self.found.iter().find(is_iterator) else {
            return;
        };
        let Some(other) = self.found.iter().find(|found| found.span != iterator.span) else {
            return;
        };
        let problem = Diagnostic::error(
            "iterator-not-alone",
            iterator.span,
            "an `iter` probe must be the only probe of a script",
        )
        .label("read once to its end")
        .also(other.span, "another probe")
        .help("put the iterator into a script of its own");
        self.warn(problem);
    }
}

fn unknown_provider(pattern: &AttachPattern) -> Diagnostic {
    let name = &pattern.provider;
    let problem = Diagnostic::error(
        "unknown-provider",
        name.span,
        format!("there is no kind of probe `{}`", name.text),
    )
    .label("not a kind of probe");
    if let Some(instead) = provider::replacement(&name.text.to_ascii_lowercase()) {
        return problem.help(instead);
    }
    match suggest(&name.text, provider::names()) {
        Some(best) => problem.fix(format!("did you mean `{best}`?"), name.span, best),
        None => {
            let all: Vec<&str> = provider::all().map(|provider| provider.name).collect();
            problem.note(format!("kinds of probes: {}", all.join(", ")))
        }
    }
}

fn too_many_programs(groups: &[Group], config: &Config) -> Diagnostic {
    let count = groups.len();
    let span = groups
        .last()
        .and_then(|group| group.points.first())
        .map_or_else(Span::default, |point| point.span);
    let message = format!(
        "{count} BPF programs are more than {}, the limit of this script",
        config.max_bpf_programs
    );
    Diagnostic::error("too-many-programs", span, message)
        .label("each of these places needs a program of its own")
        .help(format!("make the pattern narrower, or set max_bpf_progs={count} in the config block or BPFTRACE_MAX_BPF_PROGS={count}"))
}

/// Joins places that can share one program: same body, same kind of program, same view of the context.
fn join(found: Vec<Found>, features: &Features, options: &ExpandOptions<'_>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut first_of_probe = 0;
    for found in found {
        let point = Point {
            names: found.names,
            place: found.place,
            span: found.span,
        };
        while groups
            .get(first_of_probe)
            .is_some_and(|group| group.probe != found.probe)
        {
            first_of_probe += 1;
        }
        let needs = (options.needs)(found.probe);
        let is_alone = (needs.identity && !tells_places_apart(&found.kind, features))
            || (needs.function && !features.function_address)
            || (needs.function
                && found.context.is_go
                && !tells_places_apart(&found.kind, features));
        // Looking at all groups would be quadratic for patterns that make thousands of them; alike ones come together.
        let fits = |group: &&mut Group| group.kind == found.kind && group.context == found.context;
        let recent = groups
            .len()
            .saturating_sub(MAX_COMPARED)
            .max(first_of_probe)
            .min(groups.len());
        match groups[recent..]
            .iter_mut()
            .rev()
            .find(fits)
            .filter(|_| !is_alone)
        {
            Some(group) => group.points.push(point),
            None => groups.push(Group {
                probe: found.probe,
                sleepable: may_sleep(&found.kind, &found.context, needs, features, options),
                kind: found.kind,
                context: found.context,
                points: vec![point],
            }),
        }
    }
    groups
}

/// Whether the program is to wait for pages of user memory that are not there: where whole values are asked for, which are worth
/// nothing with holes. Programs on perf events may sleep since Linux 6.0, those of multi links since 6.6.
fn may_sleep(
    kind: &ProgramKind,
    context: &Context,
    needs: Needs,
    features: &Features,
    options: &ExpandOptions<'_>,
) -> bool {
    let is_uprobe = matches!(context.provider, "uprobe" | "uretprobe")
        && matches!(kind, ProgramKind::Kprobe | ProgramKind::UprobeMulti);
    is_uprobe
        && features.uprobe_multi
        && !needs.stacks
        && (needs.values || (needs.args && options.with_inlined))
}

/// Groups that a place is compared with.
const MAX_COMPARED: usize = 256;

/// Whether `bpf_get_attach_cookie` tells a program where it runs.
pub(crate) fn tells_places_apart(kind: &ProgramKind, features: &Features) -> bool {
    match kind {
        ProgramKind::KprobeMulti
        | ProgramKind::KprobeSession
        | ProgramKind::UprobeMulti
        | ProgramKind::UprobeSession => true,
        ProgramKind::Kprobe | ProgramKind::Tracepoint | ProgramKind::PerfEvent => {
            features.attach_cookie
        }
        _ => false,
    }
}
