//! Functions and static probes of programs and libraries.

use std::sync::Arc;

use fathom_machine::dwarf::DebugInfo;
use fathom_machine::elf::{Binary, Elf, Function};
use fathom_machine::pattern::Pattern;
use fathom_machine::usdt::UsdtProbe;
use fathom_machine::{Machine, Pid};

use super::{Job, Listings, ProbeListing, Search, declaration, nothing};

/// The files of a search in user space: named in it, else those of the process.
fn files(job: &Job<'_, '_>, named: Option<&str>) -> Vec<Binary> {
    let pid = job.options.pid.map(Pid);
    let is_open = named.is_none_or(|name| name.is_empty() || name == "*");
    match (named, pid) {
        (_, None) if is_open => Vec::new(),
        (_, Some(pid)) if is_open => job
            .machine
            .resolve_binary("*", Some(pid))
            .unwrap_or_default(),
        (Some(name), pid) => job.machine.resolve_binary(name, pid).unwrap_or_default(),
        (None, _) => Vec::new(),
    }
}

/// What is asked of each file, for functions.
struct Functions<'a> {
    machine: &'a Machine,
    provider: &'static str,
    search: Search,
    pattern: Pattern,
    /// By their names in C++.
    is_cpp: bool,
    verbose: bool,
}

pub(super) fn functions<'a>(job: Job<'a, '_>) -> Listings<'a> {
    // A search for all kinds of probes is not one for return probes of every function again.
    let is_named = |provider: &Pattern| provider.is_literal();
    let is_all = !job.search.provider.as_ref().is_some_and(is_named);
    if is_all && job.provider == "uretprobe" {
        return nothing(job);
    }
    let parts = &job.search.parts;
    let (binary, function) = match (&parts[..], job.options.pid) {
        ([function], Some(_)) if !function.contains('/') => (None, function.as_str()),
        ([binary], _) => (Some(binary.as_str()), "*"),
        ([binary, .., function], _) => (Some(binary.as_str()), function.as_str()),
        ([], _) => (None, "*"),
    };
    let asked = Functions {
        machine: job.machine,
        provider: job.provider,
        search: job.search.without_parts(),
        pattern: Pattern::new(if function.is_empty() { "*" } else { function }),
        is_cpp: parts.len() > 2 && parts[1] == "cpp",
        verbose: job.options.verbose,
    };
    let files = files(&job, binary).into_iter();
    Box::new(files.flat_map(move |file| asked.of_file(&file)))
}

impl Functions<'_> {
    fn of_file(&self, file: &Binary) -> Vec<ProbeListing> {
        let Ok(elf) = self.machine.elf(&file.path) else {
            return Vec::new();
        };
        let matching: Vec<Function<'_>> = match self.is_cpp {
            true => elf.match_demangled(&self.pattern).collect(),
            false => elf.match_functions(&self.pattern).collect(),
        };
        let debug = self.debug_info(&elf);
        let listing = |function: &Function<'_>| ProbeListing {
            name: self.name(file, function),
            args: debug
                .as_ref()
                .map_or_else(Vec::new, |debug| parameters(debug, function)),
        };
        let mut listed: Vec<ProbeListing> = matching
            .iter()
            .map(listing)
            .filter(|listing| self.search.accepts(&listing.name))
            .collect();
        listed.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        listed
    }

    fn debug_info(&self, elf: &Arc<Elf>) -> Option<DebugInfo> {
        if !self.verbose || self.provider != "uprobe" {
            return None;
        }
        DebugInfo::find(elf, self.machine.root(), self.machine.debug_folders()).ok()
    }

    fn name(&self, file: &Binary, function: &Function<'_>) -> String {
        let (provider, shown) = (self.provider, file.shown.display());
        match function.demangled() {
            Some(text) if self.is_cpp => format!("{provider}:{shown}:cpp:\"{text}\""),
            _ => {
                let asked = function.names().find(|name| self.pattern.matches(name));
                let name = asked.unwrap_or(function.name());
                format!("{provider}:{shown}:{name}")
            }
        }
    }
}

/// As the debug information has them; bpftrace writes no blank before a star here.
fn parameters(debug: &DebugInfo, function: &Function<'_>) -> Vec<String> {
    let Ok(Some(found)) = debug.function_at(function.address) else {
        return Vec::new();
    };
    let parameters = found.parameters.iter();
    let text = |parameter: &fathom_machine::dwarf::Parameter| {
        let ty = found.types.name(parameter.type_index).replace(" *", "*");
        declaration(&ty, &parameter.name)
    };
    parameters
        .filter(|parameter| !parameter.is_result)
        .map(text)
        .collect()
}

pub(super) fn static_probes<'a>(job: Job<'a, '_>) -> Listings<'a> {
    let any = || Pattern::new("*");
    let part = |text: &String| match text.as_str() {
        "" => any(),
        text => Pattern::new(text),
    };
    let (binary, provider, name) = match &job.search.parts[..] {
        [] => (None, any(), any()),
        [binary] => (Some(binary.as_str()), any(), any()),
        [binary, name] => (Some(binary.as_str()), any(), part(name)),
        [binary, provider, name, ..] => (Some(binary.as_str()), part(provider), part(name)),
    };
    let (search, machine, verbose) = (job.search.without_parts(), job.machine, job.options.verbose);
    Box::new(files(&job, binary).into_iter().flat_map(move |file| {
        let Ok(elf) = machine.elf(&file.path) else {
            return Vec::new();
        };
        let mut probes = elf.match_usdt(Some(&provider), &name).unwrap_or_default();
        probes.sort_by(|a, b| (&a.provider, &a.name).cmp(&(&b.provider, &b.name)));
        probes.dedup_by(|a, b| a.provider == b.provider && a.name == b.name);
        probes
            .iter()
            .map(|probe| static_probe(&file, probe, verbose))
            .filter(|listing| search.accepts(&listing.name))
            .collect::<Vec<_>>()
    }))
}

fn static_probe(file: &Binary, probe: &UsdtProbe, verbose: bool) -> ProbeListing {
    let shown = file.shown.display();
    let name = format!("usdt:{shown}:{}:{}", probe.provider, probe.name);
    let shown_arguments = if verbose { &probe.arguments[..] } else { &[] };
    let text = |(number, argument): (usize, &fathom_machine::usdt::UsdtArg)| {
        let sign = if argument.signed { "" } else { "u" };
        let ty = format!("{sign}int{}", u32::from(argument.size) * 8);
        declaration(&ty, &format!("arg{number}"))
    };
    ProbeListing {
        name,
        args: shown_arguments.iter().enumerate().map(text).collect(),
    }
}
