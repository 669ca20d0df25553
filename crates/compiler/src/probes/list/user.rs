//! Functions and static probes of programs and libraries.

use fathom_machine::Pid;
use fathom_machine::pattern::Pattern;

use super::{Job, Listings, ProbeListing, declaration, nothing};

/// The files of a search in user space: named in it, else those of the process.
fn files(job: &Job<'_, '_>, named: Option<&str>) -> Vec<fathom_machine::elf::Binary> {
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

pub(super) fn functions<'a>(job: Job<'a, '_>) -> Listings<'a> {
    // A search for all kinds of probes is not one for return probes of every function again.
    let is_all = job
        .search
        .provider
        .as_ref()
        .is_none_or(|provider| !provider.is_literal());
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
    let is_cpp = parts.len() > 2 && parts[1] == "cpp";
    let pattern = Pattern::new(if function.is_empty() { "*" } else { function });
    let (search, provider, machine) = (job.search.without_parts(), job.provider, job.machine);
    Box::new(files(&job, binary).into_iter().flat_map(move |file| {
        let Ok(elf) = machine.elf(&file.path) else {
            return Vec::new();
        };
        let matching: Vec<_> = if is_cpp {
            elf.match_demangled(&pattern).collect()
        } else {
            elf.match_functions(&pattern).collect()
        };
        let prefix = format!(
            "{provider}:{}:{}",
            file.shown.display(),
            if is_cpp { "cpp:" } else { "" }
        );
        let name = |function: &fathom_machine::elf::Function<'_>| match function.demangled() {
            Some(text) if is_cpp => format!("{prefix}\"{text}\""),
            _ => format!(
                "{prefix}{}",
                function
                    .names()
                    .find(|name| pattern.matches(name))
                    .unwrap_or(function.name())
            ),
        };
        let mut names: Vec<String> = matching
            .iter()
            .map(name)
            .filter(|name| search.accepts(name))
            .collect();
        names.sort_unstable();
        names
            .into_iter()
            .map(ProbeListing::named)
            .collect::<Vec<_>>()
    }))
}

pub(super) fn static_probes<'a>(job: Job<'a, '_>) -> Listings<'a> {
    let any = || Pattern::new("*");
    let part = |text: &String| {
        if text.is_empty() {
            any()
        } else {
            Pattern::new(text.as_str())
        }
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
        let listing = |probe: fathom_machine::usdt::UsdtProbe| {
            let full = format!(
                "usdt:{}:{}:{}",
                file.shown.display(),
                probe.provider,
                probe.name
            );
            let arg = |(number, argument): (usize, &fathom_machine::usdt::UsdtArg)| {
                let sign = if argument.signed { "" } else { "u" };
                let ty = format!("{sign}int{}", u32::from(argument.size) * 8);
                declaration(&ty, &format!("arg{number}"))
            };
            let args = if verbose {
                probe.arguments.iter().enumerate().map(arg).collect()
            } else {
                Vec::new()
            };
            ProbeListing { name: full, args }
        };
        probes
            .into_iter()
            .map(listing)
            .filter(|listing| search.accepts(&listing.name))
            .collect::<Vec<_>>()
    }))
}
