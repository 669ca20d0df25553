//! What can be probed, for `fathom list`: names as they come, arguments only when asked for.

use std::collections::HashSet;

use fathom_machine::btf::{Kind, TypeId};
use fathom_machine::kallsyms::KernelSymbol;
use fathom_machine::pattern::Pattern;
use fathom_machine::{Machine, Pid};

use super::provider;
use super::providers::{event, kprobe, tracepoint};

/// How to list.
#[derive(Clone, Copy, Debug, Default)]
pub struct ListOptions {
    /// Also arguments.
    pub verbose: bool,
    /// Also programs and libraries of this process.
    pub pid: Option<u32>,
}

/// One line of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProbeListing {
    /// Full name of a probe, or the text of a type's definition.
    pub name: String,
    /// Type and name of each argument; `retval` last.
    pub args: Vec<(String, String)>,
}

impl ProbeListing {
    fn named(name: String) -> ProbeListing {
        ProbeListing {
            name,
            args: Vec::new(),
        }
    }
}

/// Listings as they are found.
pub type Listings<'a> = Box<dyn Iterator<Item = ProbeListing> + 'a>;

/// What is asked for, taken apart.
struct Search {
    /// `None` when the text has no colon: it may stand anywhere in the name.
    provider: Option<Pattern>,
    parts: Vec<String>,
    text: Pattern,
}

/// Probes and types that match: `tracepoint:sched:*`, `*sleep*`, `uprobe:/bin/sh:*`, `struct sock`. Several searches are separated
/// by commas; an empty text lists all probes of the kernel.
pub fn list<'a>(text: &str, machine: &'a Machine, options: ListOptions) -> Listings<'a> {
    let searches: Vec<String> = match text.trim() {
        "" => vec!["*:*".to_string()],
        text => text
            .split(',')
            .map(|search| search.trim().to_string())
            .filter(|search| !search.is_empty())
            .collect(),
    };
    Box::new(
        searches
            .into_iter()
            .flat_map(move |search| one(&search, machine, options)),
    )
}

fn one<'a>(text: &str, machine: &'a Machine, options: ListOptions) -> Listings<'a> {
    for (word, kind) in [
        ("struct ", Kind::Struct),
        ("union ", Kind::Union),
        ("enum ", Kind::Enum),
    ] {
        if let Some(name) = text.strip_prefix(word) {
            return types(machine, kind, name.trim());
        }
    }
    let search = Search::new(text);
    let asked = |name: &str| {
        search
            .provider
            .as_ref()
            .is_none_or(|wanted| wanted.matches(name))
    };
    let rows: Vec<(&'static str, Lister)> = LISTERS
        .into_iter()
        .filter(|(name, _)| asked(name))
        .collect();
    Box::new(rows.into_iter().flat_map(move |(name, lister)| {
        lister(Job {
            machine,
            options,
            provider: name,
            search: &search,
        })
    }))
}

impl Search {
    fn new(text: &str) -> Search {
        let mut words = split_unquoted(text).into_iter();
        let first = words.next().unwrap_or_default();
        let parts: Vec<String> = words.collect();
        let known = provider::find(&first);
        let is_provider = !parts.is_empty() || known.is_some();
        let name = known.map_or(first, |provider| provider.name.to_string());
        Search {
            provider: is_provider.then(|| Pattern::new(name)),
            parts,
            text: Pattern::new(text),
        }
    }

    fn without_parts(&self) -> Search {
        Search {
            provider: self.provider.clone(),
            parts: Vec::new(),
            text: self.text.clone(),
        }
    }

    /// Patterns for the last `count` parts of a name. Fewer written ones are the last (`kprobe:vfs_*` leaves the module open), but
    /// for a lone subsystem, which is the first.
    fn last_parts(&self, count: usize) -> Vec<Pattern> {
        let missing = count.saturating_sub(self.parts.len());
        let everything = std::iter::repeat_n(Pattern::new("*"), missing);
        let written = self
            .parts
            .iter()
            .skip(self.parts.len().saturating_sub(count));
        everything
            .chain(
                written.map(|part| Pattern::new(if part.is_empty() { "*" } else { part.as_str() })),
            )
            .collect()
    }

    /// Without a colon the whole name is searched.
    fn accepts(&self, name: &str) -> bool {
        self.provider.is_some() || self.text.matches(name)
    }
}

/// Parts between colons; quotes keep colons together (`cpp:"a::b"`).
fn split_unquoted(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut is_quoted = false;
    for letter in text.chars() {
        match (letter, parts.last_mut()) {
            ('"', _) => is_quoted = !is_quoted,
            (':', _) if !is_quoted => parts.push(String::new()),
            (_, Some(part)) => part.push(letter),
            (_, None) => {}
        }
    }
    parts
}

/// One provider's part of a listing.
#[derive(Clone, Copy)]
struct Job<'a, 's> {
    machine: &'a Machine,
    options: ListOptions,
    provider: &'static str,
    search: &'s Search,
}

type Lister = for<'a, 's> fn(Job<'a, 's>) -> Listings<'a>;

/// Providers that have something to list, in order.
const LISTERS: [(&str, Lister); 14] = [
    ("fentry", functions),
    ("fexit", functions),
    ("hardware", hardware),
    ("iter", iterators),
    ("kprobe", symbols),
    ("kretprobe", symbols),
    ("rawtracepoint", raw_tracepoints),
    ("software", software),
    ("tc", devices),
    ("tracepoint", tracepoints),
    ("uprobe", user_functions),
    ("uretprobe", user_functions),
    ("usdt", static_probes),
    ("xdp", devices),
];

fn nothing<'a>(_: Job<'a, '_>) -> Listings<'a> {
    Box::new(std::iter::empty())
}

fn tracepoints<'a>(job: Job<'a, '_>) -> Listings<'a> {
    let Ok(tracefs) = job.machine.tracefs() else {
        return nothing(job);
    };
    let mut patterns = job.search.last_parts(2);
    if job.search.parts.len() == 1 {
        // `tracepoint:sched` and `tracepoint:sys_enter_*` are both meant by somebody: either part may match.
        patterns = vec![Pattern::new("*"), Pattern::new("*")];
    }
    let lone = (job.search.parts.len() == 1).then(|| Pattern::new(job.search.parts[0].as_str()));
    let Ok(events) = tracefs.matching(&patterns[0], &patterns[1]) else {
        return nothing(job);
    };
    let search = job.search.without_parts();
    let (machine, verbose) = (job.machine, job.options.verbose);
    Box::new(events.into_iter().filter_map(move |event| {
        if lone
            .as_ref()
            .is_some_and(|lone| !lone.matches(&event.subsystem) && !lone.matches(&event.name))
        {
            return None;
        }
        let name = format!("tracepoint:{}:{}", event.subsystem, event.name);
        if !search.accepts(&name) {
            return None;
        }
        let args = if verbose {
            tracepoint::listed_fields(machine, event)
        } else {
            Vec::new()
        };
        Some(ProbeListing { name, args })
    }))
}

/// Kernel and modules by name, opened one after the other.
fn kernel_files<'a>(
    machine: &'a Machine,
    wanted: &Pattern,
) -> impl Iterator<Item = (String, std::sync::Arc<fathom_machine::btf::Btf>)> + use<'a> {
    let mut names = vec!["vmlinux".to_string()];
    names.extend(machine.btf_modules().unwrap_or_default());
    names.retain(|name| wanted.matches(name));
    names
        .into_iter()
        .filter_map(move |name| machine.module_btf(&name).ok().map(|btf| (name, btf)))
}

fn raw_tracepoints<'a>(job: Job<'a, '_>) -> Listings<'a> {
    let patterns = job.search.last_parts(2);
    let (search, verbose) = (job.search.without_parts(), job.options.verbose);
    Box::new(
        kernel_files(job.machine, &patterns[0]).flat_map(move |(module, btf)| {
            let names = btf
                .raw_tracepoint_names()
                .filter(|name| patterns[1].matches(name));
            let listed: Vec<ProbeListing> = names
                .map(|name| (name, format!("rawtracepoint:{module}:{name}")))
                .filter(|(_, full)| search.accepts(full))
                .map(|(name, full)| {
                    let raw = if verbose {
                        btf.raw_tracepoint(name).ok()
                    } else {
                        None
                    };
                    let args = raw.map_or_else(Vec::new, |raw| {
                        raw.args
                            .iter()
                            .map(|arg| (btf.c_name(arg.type_id), arg.name.to_string()))
                            .collect()
                    });
                    ProbeListing { name: full, args }
                })
                .collect();
            listed
        }),
    )
}

fn functions<'a>(job: Job<'a, '_>) -> Listings<'a> {
    let patterns = job.search.last_parts(2);
    let (search, verbose, provider) = (
        job.search.without_parts(),
        job.options.verbose,
        job.provider,
    );
    Box::new(
        kernel_files(job.machine, &patterns[0]).flat_map(move |(module, btf)| {
            let matching = btf.functions().filter(|(_, name)| {
                patterns[1].matches(name) && !kprobe::is_known_untraceable(name)
            });
            let listed: Vec<ProbeListing> = matching
                .map(|(id, name)| (id, format!("{provider}:{module}:{name}")))
                .filter(|(_, full)| search.accepts(full))
                .map(|(id, name)| ProbeListing {
                    name,
                    args: if verbose {
                        signature(&btf, id, provider == "fexit")
                    } else {
                        Vec::new()
                    },
                })
                .collect();
            listed
        }),
    )
}

fn signature(
    btf: &fathom_machine::btf::Btf,
    id: TypeId,
    with_result: bool,
) -> Vec<(String, String)> {
    let Ok(Some(proto)) = btf.func_proto(id) else {
        return Vec::new();
    };
    let mut args: Vec<(String, String)> = proto
        .params()
        .map(|param| (btf.c_name(param.type_id), param.name.to_string()))
        .collect();
    if with_result && proto.return_type != TypeId::VOID {
        args.push((btf.c_name(proto.return_type), "retval".to_string()));
    }
    args
}

fn symbols<'a>(job: Job<'a, '_>) -> Listings<'a> {
    let Ok(symbols) = job.machine.kallsyms() else {
        return nothing(job);
    };
    let patterns = job.search.last_parts(2);
    let shows_module = job.search.parts.len() > 1;
    let (search, provider) = (job.search.without_parts(), job.provider);
    let mut seen = HashSet::new();
    let wanted = move |symbol: &KernelSymbol<'_>| {
        symbol.is_function()
            && patterns[1].matches(symbol.name)
            && patterns[0].matches(symbol.module.unwrap_or("vmlinux"))
            && !kprobe::is_known_untraceable(symbol.name)
    };
    Box::new(symbols.iter().filter(wanted).filter_map(move |symbol| {
        let module = symbol.module.unwrap_or("vmlinux");
        let name = match shows_module {
            true => format!("{provider}:{module}:{}", symbol.name),
            false => format!("{provider}:{}", symbol.name),
        };
        (search.accepts(&name) && seen.insert(symbol.name)).then(|| ProbeListing::named(name))
    }))
}

fn iterators<'a>(job: Job<'a, '_>) -> Listings<'a> {
    let pattern = job.search.last_parts(1).remove(0);
    let (search, verbose) = (job.search.without_parts(), job.options.verbose);
    Box::new(
        kernel_files(job.machine, &Pattern::new("*")).flat_map(move |(_, btf)| {
            let mut listed: Vec<ProbeListing> = Vec::new();
            for iterator in btf
                .iterators()
                .filter(|iterator| pattern.matches(iterator.name))
            {
                let name = format!("iter:{}", iterator.name);
                if !search.accepts(&name) {
                    continue;
                }
                let fields = if verbose {
                    btf.field_names(iterator.context).unwrap_or_default()
                } else {
                    Vec::new()
                };
                let typed = fields.iter().filter_map(|field| {
                    Some((
                        btf.c_name(btf.field(iterator.context, field).ok()?.type_id),
                        field.to_string(),
                    ))
                });
                listed.push(ProbeListing {
                    name,
                    args: typed.collect(),
                });
            }
            listed
        }),
    )
}

fn software<'a>(job: Job<'a, '_>) -> Listings<'a> {
    counted(job, &event::SOFTWARE)
}

fn hardware<'a>(job: Job<'a, '_>) -> Listings<'a> {
    counted(job, &event::HARDWARE)
}

fn counted<'a>(job: Job<'a, '_>, rows: &'static [event::Row]) -> Listings<'a> {
    // Behind the name stands a count, which matches anything here.
    let written =
        job.search.parts.first().map_or(
            "*",
            |part| if part.is_empty() { "*" } else { part.as_str() },
        );
    let pattern = Pattern::new(written);
    let (search, provider) = (job.search.without_parts(), job.provider);
    Box::new(rows.iter().filter_map(move |(name, ..)| {
        let full = format!("{provider}:{name}:");
        (pattern.matches(name) && search.accepts(&full)).then(|| ProbeListing::named(full))
    }))
}

fn devices<'a>(job: Job<'a, '_>) -> Listings<'a> {
    let written =
        job.search.parts.first().map_or(
            "*",
            |part| if part.is_empty() { "*" } else { part.as_str() },
        );
    let pattern = Pattern::new(written);
    let (search, provider) = (job.search.without_parts(), job.provider);
    let ends: &[&str] = if provider == "tc" {
        &[":ingress", ":egress"]
    } else {
        &[""]
    };
    let names = job
        .machine
        .network_devices()
        .into_iter()
        .filter(move |name| pattern.matches(name));
    Box::new(names.flat_map(move |device| {
        let full: Vec<String> = ends
            .iter()
            .map(|end| format!("{provider}:{device}{end}"))
            .filter(|name| search.accepts(name))
            .collect();
        full.into_iter().map(ProbeListing::named)
    }))
}

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

fn user_functions<'a>(job: Job<'a, '_>) -> Listings<'a> {
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

fn static_probes<'a>(job: Job<'a, '_>) -> Listings<'a> {
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
                (
                    format!("{sign}int{}", u32::from(argument.size) * 8),
                    format!("arg{number}"),
                )
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

/// Definitions of kernel types whose name matches.
fn types<'a>(machine: &'a Machine, kind: Kind, name: &str) -> Listings<'a> {
    let pattern = Pattern::new(name);
    if pattern.is_literal() {
        let found = machine.find_type(kind, name).ok();
        return Box::new(
            found
                .into_iter()
                .map(|(btf, id)| ProbeListing::named(btf.c_definition(id))),
        );
    }
    Box::new(
        kernel_files(machine, &Pattern::new("*")).flat_map(move |(_, btf)| {
            let matching = btf.names(kind).filter(|(_, name)| pattern.matches(name));
            matching
                .map(|(id, _)| ProbeListing::named(btf.c_name(id)))
                .collect::<Vec<_>>()
        }),
    )
}
