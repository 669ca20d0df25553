//! What can be probed, for `fathom list`: names as they come, arguments only when asked for.

mod kernel;
mod user;

use fathom_machine::Machine;
use fathom_machine::btf::Kind;
use fathom_machine::pattern::Pattern;

use super::provider;
use kernel::kernel_files;

/// How to list.
#[derive(Clone, Copy, Debug, Default)]
pub struct ListOptions {
    /// Also arguments.
    pub verbose: bool,
    /// Also programs and libraries of this process.
    pub pid: Option<u32>,
    /// A type that is asked for by its full name is shown with its members, verbose or not.
    pub named_definitions: bool,
    /// Kinds of probes that are listed only when they are named in full.
    pub unsupported: &'static [&'static str],
}

/// One line of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProbeListing {
    /// Full name of a probe, or the text of a type's definition.
    pub name: String,
    /// Each argument as C declares it; `retval` last.
    pub args: Vec<String>,
}

impl ProbeListing {
    fn named(name: String) -> ProbeListing {
        ProbeListing {
            name,
            args: Vec::new(),
        }
    }
}

/// `char comm[16]` for a type `char[16]`; pointers keep a blank on both sides of the star and arrays without a length their
/// brackets (`__data_loc char[] name`), as bpftrace writes them.
fn declaration(ty: &str, name: &str) -> String {
    match ty.split_once('[') {
        Some((element, length)) if !element.contains('(') && !length.starts_with(']') => {
            format!("{element} {name}[{length}")
        }
        _ => format!("{ty} {name}"),
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
            return types(machine, kind, name.trim(), options);
        }
    }
    let search = Search::new(text);
    let asked = |name: &str| match &search.provider {
        Some(wanted) if wanted.is_literal() => wanted.matches(name),
        Some(wanted) => wanted.matches(name) && !options.unsupported.contains(&name),
        None => !options.unsupported.contains(&name),
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

    /// The whole name is looked at where the search does not name one kind.
    fn accepts(&self, name: &str) -> bool {
        self.provider.as_ref().is_some_and(Pattern::is_literal) || self.text.matches(name)
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
const LISTERS: [(&str, Lister); 16] = [
    ("fentry", kernel::functions),
    ("fexit", kernel::functions),
    ("hardware", kernel::hardware),
    ("interval", kernel::units),
    ("iter", kernel::iterators),
    ("kprobe", kernel::symbols),
    ("kretprobe", kernel::symbols),
    ("profile", kernel::units),
    ("rawtracepoint", kernel::raw_tracepoints),
    ("software", kernel::software),
    ("tc", kernel::devices),
    ("tracepoint", kernel::tracepoints),
    ("uprobe", user::functions),
    ("uretprobe", user::functions),
    ("usdt", user::static_probes),
    ("xdp", kernel::devices),
];

fn nothing<'a>(_: Job<'a, '_>) -> Listings<'a> {
    Box::new(std::iter::empty())
}

/// Definitions of kernel types whose name matches.
fn types<'a>(machine: &'a Machine, kind: Kind, name: &str, options: ListOptions) -> Listings<'a> {
    let pattern = Pattern::new(name);
    let defines = options.verbose;
    if pattern.is_literal() && (defines || options.named_definitions) {
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
            let shown = |id| match defines {
                true => btf.c_definition(id),
                false => btf.c_name(id),
            };
            let mut texts: Vec<String> = matching.map(|(id, _)| shown(id)).collect();
            texts.sort_unstable();
            texts.dedup();
            texts
                .into_iter()
                .map(ProbeListing::named)
                .collect::<Vec<_>>()
        }),
    )
}
