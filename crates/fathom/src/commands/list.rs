//! `fathom list`: probes and types.

use std::io::{BufWriter, Write};

use fathom::{Source, imports};
use fathom_compiler::probes::{ListOptions, ProbeListing, list, provider_names};
use fathom_machine::{Machine, suggest};
use fathom_runtime::{Feature, features, missing_right};
use fathom_syntax::ParseOptions;

use crate::failure::{Mistake, WRONG_INPUT};

/// Flags of `fathom list`.
#[derive(clap::Args)]
#[command(
    after_help = "A pattern without a colon is searched in the whole name. Kinds that this kernel cannot do are listed only when
they are named. No root is needed for what the user may read; tracepoints of a machine without tracefs are.

Exit codes: 0 something matches · 1 nothing does

Examples:
  fathom list '*sleep*'
  fathom list 'tracepoint:syscalls:*open*'
  fathom list -v tracepoint:sched:sched_switch
  fathom list 'uprobe:/bin/bash:read*'
  fathom list 'usdt:/usr/bin/python3:*'
  fathom list 'struct sock'
  fathom list -v 'enum *state*'"
)]
pub struct Args {
    /// Patterns with wildcards, such as `kprobe:vfs_*`, `struct sock` or `*sleep*`; commas separate several
    pattern: Vec<String>,
    /// Also arguments of probes, and definitions of all types that match
    #[arg(short, long)]
    verbose: bool,
    /// Also functions and static probes of the files that this process has mapped
    #[arg(short, long, value_name = "PID")]
    pid: Option<u32>,
}

/// How to list.
pub struct Listing {
    /// Also arguments.
    pub verbose: bool,
    /// Also what this process has mapped.
    pub pid: Option<u32>,
    /// How types are shown.
    pub definitions: Definitions,
}

/// When a type is shown with its members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Definitions {
    /// Also when it is the one that was asked for.
    WhenNamed,
    /// Only with `-v`.
    WhenVerbose,
}

/// Prints what matches; 1 if nothing does.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    let listing = Listing {
        verbose: args.verbose,
        pid: args.pid,
        definitions: Definitions::WhenNamed,
    };
    let patterns = match args.pattern.is_empty() {
        true => vec![String::new()],
        false => args.pattern.clone(),
    };
    let missing = print(&patterns, &listing)?;
    for pattern in &missing {
        eprintln!("nothing matches `{pattern}`{}", explanation(pattern));
    }
    Ok(if missing.is_empty() { 0 } else { WRONG_INPUT })
}

/// Why nothing matches, as far as one can tell: what cannot be read, or a name that was probably meant.
fn explanation(pattern: &str) -> String {
    let machine = fathom::this_machine();
    if let Some(problem) = unreadable(pattern, &machine) {
        return format!(": {problem}");
    }
    let quoted: Vec<String> = nearest(pattern, &machine)
        .iter()
        .map(|name| format!("`{name}`"))
        .collect();
    match quoted.as_slice() {
        [] => String::new(),
        names => format!("; did you mean {}?", names.join(" or ")),
    }
}

/// What the list would have been read from, if that is the trouble.
fn unreadable(pattern: &str, machine: &Machine) -> Option<fathom_machine::Error> {
    let mut parts = pattern.split(':');
    let (kind, second) = (parts.next()?, parts.next());
    match kind {
        "tracepoint" | "t" => machine.tracefs().and_then(|tracefs| tracefs.events()).err(),
        "kprobe" | "k" | "kretprobe" | "kr" => machine.kallsyms().err(),
        "rawtracepoint" | "rt" | "fentry" | "f" | "fexit" | "fr" | "iter" | "it" => {
            machine.btf().err()
        }
        "uprobe" | "u" | "uretprobe" | "ur" | "usdt" | "U" => {
            let file = second.filter(|file| !file.is_empty() && *file != "*")?;
            match machine.resolve_binary(file, None) {
                Ok(files) => files.iter().find_map(|file| machine.elf(&file.path).err()),
                Err(problem) => Some(problem),
            }
        }
        _ if kind.starts_with("struct ") || kind.starts_with("enum ") => machine.btf().err(),
        _ => None,
    }
}

/// Names that look like one that is not there: kinds of probes, then probes of the kind, in the same file.
fn nearest(pattern: &str, machine: &Machine) -> Vec<String> {
    if let Some((kind @ ("struct" | "union" | "enum"), _)) = pattern.split_once(' ') {
        return near(pattern, &format!("{kind} *"), machine);
    }
    let (provider, rest) = pattern.split_once(':').unwrap_or((pattern, ""));
    let wider = match rest.rsplit_once(':') {
        _ if pattern.contains('*') => return Vec::new(),
        Some((file, _)) if file.starts_with('/') => format!("{provider}:{file}:*"),
        _ => format!("{provider}:*"),
    };
    if !provider_names().any(|name| name == provider)
        && list(&wider, machine, ListOptions::default())
            .next()
            .is_none()
    {
        return suggest::nearest(provider, provider_names());
    }
    near(pattern, &wider, machine)
}

/// Names of a wider search that look like the pattern.
fn near(pattern: &str, wider: &str, machine: &Machine) -> Vec<String> {
    let names: Vec<String> = list(wider, machine, ListOptions::default())
        .map(|found| found.name)
        .collect();
    let whole = suggest::nearest(pattern, names.iter().map(String::as_str));
    if !whole.is_empty() {
        return whole;
    }
    // The parts before may have been left out, as the module of `rawtracepoint:sched_switch`.
    let near = suggest::nearest(last_part(pattern), names.iter().map(|name| last_part(name)));
    let full = near.iter().filter_map(|part| {
        let full = names.iter().find(|name| last_part(name) == part);
        full.cloned()
    });
    full.collect()
}

fn last_part(name: &str) -> &str {
    name.rsplit(':').next().unwrap_or(name)
}

/// Kinds that this kernel cannot do, as far as this user can find out.
fn unsupported(machine: &Machine) -> &'static [&'static str] {
    if missing_right().is_some() {
        return &[];
    }
    let has = |feature| features::probe(feature, machine);
    match (has(Feature::Kprobe), has(Feature::Trampoline)) {
        (true, true) => &[],
        (true, false) => &["fentry", "fexit"],
        (false, true) => &["kprobe", "kretprobe"],
        (false, false) => &["fentry", "fexit", "kprobe", "kretprobe"],
    }
}

/// A pattern that leaves the kind open, so that it matters which the kernel can do.
fn is_open(search: &str) -> bool {
    let kind = search.split(':').next().unwrap_or_default();
    !search.contains(':') || kind.contains('*')
}

/// Prints what each search finds; the result is the searches that found nothing.
pub fn print(searches: &[String], listing: &Listing) -> anyhow::Result<Vec<String>> {
    let machine = fathom::this_machine();
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut missing = Vec::new();
    let is_open = searches.iter().any(|search| is_open(search));
    let unsupported = if is_open { unsupported(&machine) } else { &[] };
    for search in searches {
        let options = ListOptions {
            verbose: listing.verbose,
            pid: listing.pid,
            named_definitions: listing.definitions == Definitions::WhenNamed,
            unsupported,
        };
        let mut is_empty = true;
        for found in list(search, &machine, options) {
            is_empty = false;
            if write(&mut out, &found).is_err() {
                // A reader that went away has seen what it wanted.
                return Ok(Vec::new());
            }
        }
        if is_empty {
            missing.push(search.clone());
        }
    }
    let _ = out.flush();
    Ok(missing)
}

fn write(out: &mut impl Write, found: &ProbeListing) -> std::io::Result<()> {
    writeln!(out, "{}", found.name)?;
    for argument in &found.args {
        writeln!(out, "    {argument}")?;
    }
    Ok(())
}

/// The patterns of a script's probes, as they are written.
pub fn probes_of(source: Source) -> anyhow::Result<Vec<String>> {
    let loaded = imports::load(source, &ParseOptions::default());
    let sources = &loaded.sources;
    if loaded.has_errors() {
        super::show(sources, &loaded.diagnostics, true);
        anyhow::bail!(Mistake(format!("{} is not a script", sources[0].name)));
    }
    let patterns = loaded.script.probes().flat_map(|probe| &probe.patterns);
    let texts = patterns.filter_map(|pattern| {
        let source = sources.get(usize::from(pattern.span.source.0))?;
        source.text.get(pattern.span.range())
    });
    Ok(texts.map(str::to_owned).collect())
}
