//! Probes of the kernel and of the machine.

use std::collections::HashSet;

use fathom_machine::Machine;
use fathom_machine::btf::{Kind, TypeId};
use fathom_machine::kallsyms::KernelSymbol;
use fathom_machine::pattern::Pattern;
use fathom_machine::tracefs::Event;

use super::{Job, Listings, ProbeListing, declaration, nothing};
use crate::probes::providers::{event, kprobe, tracepoint};

pub(super) fn tracepoints<'a>(job: Job<'a, '_>) -> Listings<'a> {
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
    let is_wanted = |event: &&Event| {
        lone.as_ref()
            .is_none_or(|lone| lone.matches(&event.subsystem) || lone.matches(&event.name))
    };
    let mut named: Vec<(String, &Event)> = events
        .into_iter()
        .filter(is_wanted)
        .map(|event| {
            (
                format!("tracepoint:{}:{}", event.subsystem, event.name),
                event,
            )
        })
        .filter(|(name, _)| search.accepts(name))
        .collect();
    named.sort_unstable();
    Box::new(named.into_iter().map(move |(name, event)| {
        let args = match verbose {
            true => tracepoint::listed_fields(machine, event)
                .iter()
                .map(|(ty, name)| declaration(ty, name))
                .collect(),
            false => Vec::new(),
        };
        ProbeListing { name, args }
    }))
}

/// Kernel and modules by name, opened one after the other.
pub(super) fn kernel_files<'a>(
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

pub(super) fn raw_tracepoints<'a>(job: Job<'a, '_>) -> Listings<'a> {
    let patterns = job.search.last_parts(2);
    let (search, verbose) = (job.search.without_parts(), job.options.verbose);
    Box::new(
        kernel_files(job.machine, &patterns[0]).flat_map(move |(module, btf)| {
            let names = btf
                .raw_tracepoint_names()
                .filter(|name| patterns[1].matches(name));
            let mut listed: Vec<ProbeListing> = names
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
                            .map(|arg| declaration(&btf.c_name(arg.type_id), arg.name))
                            .collect()
                    });
                    ProbeListing { name: full, args }
                })
                .collect();
            listed.sort_unstable_by(|a, b| a.name.cmp(&b.name));
            listed
        }),
    )
}

pub(super) fn functions<'a>(job: Job<'a, '_>) -> Listings<'a> {
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
            let mut listed: Vec<ProbeListing> = matching
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
            listed.sort_unstable_by(|a, b| a.name.cmp(&b.name));
            listed
        }),
    )
}

fn signature(btf: &fathom_machine::btf::Btf, id: TypeId, with_result: bool) -> Vec<String> {
    let Ok(Some(proto)) = btf.func_proto(id) else {
        return Vec::new();
    };
    let mut args: Vec<String> = proto
        .params()
        .map(|param| declaration(&btf.c_name(param.type_id), param.name))
        .collect();
    if with_result && proto.return_type != TypeId::VOID {
        args.push(declaration(&btf.c_name(proto.return_type), "retval"));
    }
    args
}

pub(super) fn symbols<'a>(job: Job<'a, '_>) -> Listings<'a> {
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
    let full = symbols.iter().filter(wanted).filter_map(|symbol| {
        let module = symbol.module.unwrap_or("vmlinux");
        let name = match shows_module {
            true => format!("{provider}:{module}:{}", symbol.name),
            false => format!("{provider}:{}", symbol.name),
        };
        (search.accepts(&name) && seen.insert(symbol.name)).then_some((name, symbol.name))
    });
    let mut listed: Vec<(String, &str)> = full.collect();
    listed.sort_unstable();
    let (machine, verbose) = (job.machine, job.options.verbose);
    Box::new(listed.into_iter().map(move |(name, function)| {
        let found = match verbose {
            true => machine.find_type(Kind::Func, function).ok(),
            false => None,
        };
        let args = found.map_or_else(Vec::new, |(btf, id)| {
            signature(&btf, id, provider == "kretprobe")
        });
        ProbeListing { name, args }
    }))
}

pub(super) fn iterators<'a>(job: Job<'a, '_>) -> Listings<'a> {
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
                    let found = btf.field(iterator.context, field).ok()?;
                    Some(declaration(&btf.c_name(found.type_id), field))
                });
                listed.push(ProbeListing {
                    name,
                    args: typed.collect(),
                });
            }
            listed.sort_unstable_by(|a, b| a.name.cmp(&b.name));
            listed
        }),
    )
}

pub(super) fn software<'a>(job: Job<'a, '_>) -> Listings<'a> {
    counted(job, &event::SOFTWARE)
}

pub(super) fn hardware<'a>(job: Job<'a, '_>) -> Listings<'a> {
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
    let mut names: Vec<String> = rows
        .iter()
        .flat_map(|(name, alias, ..)| [*name, *alias])
        .filter(|name| !name.is_empty() && pattern.matches(name))
        .map(|name| format!("{provider}:{name}:"))
        .filter(|name| search.accepts(name))
        .collect();
    names.sort_unstable();
    Box::new(names.into_iter().map(ProbeListing::named))
}

/// Timers have no names, only units; they are listed when they are asked for.
pub(super) fn units<'a>(job: Job<'a, '_>) -> Listings<'a> {
    let provider = job.provider;
    let is_named = |wanted: &Pattern| wanted.is_literal() && wanted.matches(provider);
    if !job.search.provider.as_ref().is_some_and(is_named) {
        return nothing(job);
    }
    let pattern = job.search.last_parts(1).remove(0);
    let units = ["hz", "ms", "s", "us"].into_iter();
    Box::new(
        units
            .filter(move |unit| pattern.matches(unit))
            .map(move |unit| ProbeListing::named(format!("{provider}:{unit}:"))),
    )
}

pub(super) fn devices<'a>(job: Job<'a, '_>) -> Listings<'a> {
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
