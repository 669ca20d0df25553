//! `usdt`: places that the authors of programs and libraries marked, with arguments.

use fathom_bpf::object::{Place, ProgramKind, UprobeSite};
use fathom_machine::Pid;
use fathom_machine::elf::Binary;
use fathom_machine::pattern::Pattern;
use fathom_machine::usdt::{ArgumentKind, UsdtArg, UsdtProbe};

use super::trampoline::machine_problem;
use super::uprobe::{binaries, places};
use crate::probes::context::ContextKind;
use crate::probes::expand::{Expander, Failure, Found, Part, Request};
use crate::probes::{ArgSource, Argument, Context, registers};
use crate::ty::Type;

pub(in crate::probes) fn expand(
    expander: &mut Expander<'_>,
    request: &Request<'_>,
) -> Result<Vec<Found>, Failure> {
    let (binary, provider, name) = match request.parts {
        [name] => (None, None, name),
        [first, name] if is_provider(expander, first) => (None, Some(first), name),
        [binary, name] => (Some(binary), None, name),
        [binary, provider, name] => (Some(binary), Some(provider), name),
        _ => return Err(request.misshapen()),
    };
    if name.text.is_empty() {
        return Err(request.misshapen());
    }
    let binary = binary.filter(|binary| !binary.text.is_empty());
    let files = if binary.is_none() && expander.target_pid().is_some() {
        // The probe may be in any library of the process.
        let everything = Part {
            text: "*".to_string(),
            is_quoted: false,
            span: request.span,
        };
        binaries(expander, request, Some(&everything))?
    } else {
        binaries(expander, request, binary)?
    };
    let provider = provider
        .filter(|provider| !provider.text.is_empty())
        .map(|provider| Pattern::new(provider.text.as_str()));
    let wanted = Pattern::new(name.text.as_str());
    let mut found = Vec::new();
    let mut problem = None;
    for file in &files {
        let probes = expander
            .machine
            .elf(&file.path)
            .and_then(|elf| elf.match_usdt(provider.as_ref(), &wanted));
        match probes {
            Ok(probes) => found.extend(in_binary(expander, request, file, probes)),
            Err(error) => problem = Some(error),
        }
    }
    match problem {
        Some(error) if found.is_empty() => {
            Err(Failure::missing(no_probe(request, name, &files, &error)))
        }
        _ => Ok(found),
    }
}

/// With `-p` the path may be left out; then the first word is no file.
fn is_provider(expander: &Expander<'_>, first: &Part) -> bool {
    let Some(pid) = expander.target_pid() else {
        return false;
    };
    first.text.is_empty()
        || (!first.text.contains('/')
            && expander
                .machine
                .resolve_binary(&first.text, Some(Pid(pid)))
                .is_err())
}

/// Sites with equal arguments share a program.
fn in_binary(
    expander: &Expander<'_>,
    request: &Request<'_>,
    binary: &Binary,
    probes: Vec<UsdtProbe>,
) -> Vec<Found> {
    let prefix = format!("{}:{}:", request.provider.name, binary.shown.display());
    let is_one = probes.len() == 1;
    let mut groups: Vec<(Context, Vec<UprobeSite>)> = Vec::new();
    for probe in probes {
        let context = context(request, &probe);
        let site = UprobeSite {
            name: format!("{}:{}", probe.provider, probe.name),
            offset: probe.offset.0,
            inside: 0,
            semaphore: probe.semaphore.map_or(0, |place| place.0),
        };
        match groups.iter_mut().find(|(known, _)| *known == context) {
            Some((_, sites)) => sites.push(site),
            None => groups.push((context, vec![site])),
        }
    }
    let in_groups = groups
        .into_iter()
        .flat_map(|(context, mut sites)| match sites.pop() {
            Some(site) if is_one => {
                let name = format!("{prefix}{}", site.name);
                let path = binary.path.to_string_lossy().into_owned();
                let place = Place::Uprobe {
                    path,
                    site,
                    on_return: false,
                    pid: expander.target_pid(),
                };
                vec![request.found(name, ProgramKind::Kprobe, context, place)]
            }
            last => {
                sites.extend(last);
                places(
                    expander,
                    request,
                    binary,
                    (
                        context,
                        sites.into_iter().map(|site| vec![site]).collect(),
                        prefix.as_str(),
                    ),
                    false,
                )
            }
        });
    in_groups.collect()
}

fn context(request: &Request<'_>, probe: &UsdtProbe) -> Context {
    let mut context = request.context(ContextKind::Registers);
    context.is_user = true;
    context.args_missing = Some("`usdt` arguments have no names: use `arg0`, `arg1` …".to_string());
    context.positional = probe
        .arguments
        .iter()
        .enumerate()
        .filter_map(|(number, argument)| positional(number, argument, probe))
        .collect();
    context
}

fn positional(number: usize, argument: &UsdtArg, probe: &UsdtProbe) -> Option<Argument> {
    let size = u32::from(argument.size);
    let ty = Type::Int {
        size,
        signed: argument.signed,
    };
    Some(Argument {
        name: format!("arg{number}"),
        ty,
        source: source(argument, probe)?,
    })
}

/// `None` for operands that no program can read (XMM registers, segments).
fn source(argument: &UsdtArg, probe: &UsdtProbe) -> Option<ArgSource> {
    let (size, signed) = (u32::from(argument.size), argument.signed);
    Some(match &argument.kind {
        ArgumentKind::Const(value) => ArgSource::Constant(*value),
        ArgumentKind::Register {
            reg,
            size: named,
            shift,
        } => ArgSource::Register {
            offset: u32::from(reg.pt_regs_offset()) + u32::from(*shift) / 8,
            size: size.min(u32::from(*named)),
            signed,
        },
        ArgumentKind::Memory {
            base: Some(base),
            offset,
            index,
        } => ArgSource::Memory {
            register_offset: base.pt_regs_offset().into(),
            index_register_offset: index.map(|(register, _)| register.pt_regs_offset().into()),
            scale: index.map_or(1, |(_, scale)| scale.into()),
            displacement: *offset,
            size,
            signed,
            user: true,
        },
        // The instruction pointer is at the probe, and the variable is as far from there as in the file.
        ArgumentKind::SymbolRelative {
            address: Some(address),
            ..
        } => ArgSource::Memory {
            register_offset: registers::offset("ip"),
            index_register_offset: None,
            scale: 1,
            displacement: address.0.wrapping_sub(probe.location.0) as i64,
            size,
            signed,
            user: true,
        },
        ArgumentKind::Memory { base: None, .. }
        | ArgumentKind::SymbolRelative { .. }
        | ArgumentKind::Unknown(_) => return None,
    })
}

fn no_probe(
    request: &Request<'_>,
    name: &Part,
    files: &[Binary],
    error: &fathom_machine::Error,
) -> fathom_syntax::Diagnostic {
    let [file] = files else {
        let message = format!(
            "none of {} files has a static probe `{}`",
            files.len(),
            name.text
        );
        return request
            .missing("no-usdt", name.span, message)
            .label("not in their notes");
    };
    if !error.is_missing() {
        return machine_problem(request, name, "no-usdt", error);
    }
    let message = format!(
        "`{}` has no static probe `{}`",
        file.shown.display(),
        name.text
    );
    let problem = request
        .missing("no-usdt", name.span, message)
        .label("not in its notes");
    match error.nearest().first() {
        Some(best) => problem.fix(format!("did you mean `{best}`?"), name.span, best.clone()),
        None => problem.help(format!(
            "`fathom list 'usdt:{}:*'` shows those it has",
            file.shown.display()
        )),
    }
}
