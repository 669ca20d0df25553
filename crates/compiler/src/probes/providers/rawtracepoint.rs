//! `rawtracepoint`: the kernel's tracepoints with the arguments that the kernel itself passes.
//!
//! Without `args` the program is of the plain kind, which can serve many tracepoints; with `args` it is bound to one by BTF, and
//! its pointers can be followed without helpers.

use std::sync::Arc;

use fathom_bpf::object::{BtfTarget, Place, ProgramKind};
use fathom_machine::btf::{Btf, Kind};
use fathom_machine::pattern::Pattern;
use fathom_machine::{Error, suggest};

use super::trampoline::words_of;
use crate::probes::context::ContextKind;
use crate::probes::expand::{Expander, Failure, Found, Part, Request};
use crate::probes::{ArgSource, Argument};
use crate::ty::{Space, Type};
use crate::types::Types;

/// What stands for the kernel itself where modules are named.
pub(super) const KERNEL: &str = "vmlinux";
/// Words that a plain raw tracepoint program may read.
const MAX_WORDS: u32 = 12;

pub(in crate::probes) fn expand(
    expander: &mut Expander<'_>,
    request: &Request<'_>,
) -> Result<Vec<Found>, Failure> {
    let (module, event) = match request.parts {
        [event] => (None, event),
        [module, event] => (Some(module), event),
        _ => return Err(request.misshapen()),
    };
    let pattern = Pattern::new(event.text.as_str());
    let typedef = format!("btf_trace_{}", event.text);
    match files(
        expander,
        module,
        pattern
            .is_literal()
            .then_some((Kind::Typedef, typedef.as_str())),
    ) {
        Ok(files) => in_files(expander, request, &files, &pattern, event),
        // The kernel knows its tracepoints by name also when it has no BTF to tell which there are.
        Err(Error::NoBtf { .. }) if pattern.is_literal() => {
            Ok(vec![plain(expander, request, request.text(), &event.text)])
        }
        Err(error) => Err(Failure::missing(no_tracepoint(
            request,
            event,
            error.nearest(),
            &error,
        ))),
    }
}

/// BTF of the kernel (`vmlinux`) or of one of its modules.
pub(super) type KernelFile = (String, Arc<Btf>);

/// The kernel and its modules, as far as their name matches. When the kernel itself has the one thing that is looked for, the
/// modules are not opened.
pub(super) fn files(
    expander: &Expander<'_>,
    module: Option<&Part>,
    only: Option<(Kind, &str)>,
) -> Result<Vec<KernelFile>, Error> {
    let wanted = Pattern::new(module.map_or("*", |module| module.text.as_str()));
    let mut files = Vec::new();
    let kernel = expander.machine.btf()?;
    if wanted.matches(KERNEL) {
        files.push((KERNEL.to_string(), kernel.clone()));
        if only.is_some_and(|(kind, name)| kernel.find(kind, name).is_some()) {
            return Ok(files);
        }
    }
    for name in expander
        .machine
        .btf_modules()?
        .iter()
        .filter(|name| wanted.matches(name))
    {
        if let Ok(btf) = expander.machine.module_btf(name) {
            files.push((name.clone(), btf));
        }
    }
    Ok(files)
}

fn in_files(
    expander: &Expander<'_>,
    request: &Request<'_>,
    files: &[KernelFile],
    pattern: &Pattern,
    event: &Part,
) -> Result<Vec<Found>, Failure> {
    let mut found = Vec::new();
    let mut all = Vec::new();
    for (module, btf) in files {
        for name in btf.raw_tracepoint_names() {
            if !pattern.matches(name) {
                all.push(name);
                continue;
            }
            let shown = format!("{}:{module}:{name}", request.provider.name);
            let is_typed = request.needs.args && expander.features.tracepoint_btf;
            let typed = if is_typed {
                typed(expander, request, (module.as_str(), btf), name)
            } else {
                None
            };
            found.push(typed.unwrap_or_else(|| plain(expander, request, shown, name)));
        }
    }
    if found.is_empty() {
        let nearest = suggest::nearest(&event.text, all);
        let error = Error::NotFound {
            kind: "raw tracepoint".into(),
            name: event.text.clone(),
            nearest: Vec::new(),
        };
        return Err(Failure::missing(no_tracepoint(
            request, event, &nearest, &error,
        )));
    }
    Ok(found)
}

fn plain(expander: &Expander<'_>, request: &Request<'_>, shown: String, name: &str) -> Found {
    let mut context = request.context(ContextKind::Words);
    context.positional = (0..MAX_WORDS).map(word_argument).collect();
    context.args_missing = Some(match expander.machine.btf() {
        Err(error) => error.to_string(),
        Ok(_) if expander.features.tracepoint_btf => {
            "the kernel's BTF does not tell their types".to_string()
        }
        Ok(_) => "typed arguments of raw tracepoints need Linux 5.5".to_string(),
    });
    context.filter_pid = expander.options.pid;
    request.found(
        shown,
        ProgramKind::RawTracepoint,
        context,
        Place::RawTracepoint {
            name: name.to_string(),
        },
    )
}

fn word_argument(index: u32) -> Argument {
    Argument {
        name: format!("arg{index}"),
        ty: Type::U64,
        source: ArgSource::Word { index },
    }
}

/// A program that is bound to the tracepoint's BTF type.
fn typed(
    expander: &Expander<'_>,
    request: &Request<'_>,
    (module, btf): (&str, &Arc<Btf>),
    name: &str,
) -> Option<Found> {
    let tracepoint = btf.raw_tracepoint(name).ok()?;
    let mut context = request.context(ContextKind::Words);
    let args = arguments(expander.types, btf, name)?;
    context.positional = args
        .iter()
        .enumerate()
        .filter_map(|(index, argument)| positional(index, argument))
        .collect();
    context.args = Some(args);
    context.filter_pid = expander.options.pid;
    let shown = format!("{}:{module}:{name}", request.provider.name);
    let module = (module != KERNEL).then(|| module.to_string());
    let target = BtfTarget::Kernel {
        name: name.to_string(),
        module,
        btf_id: tracepoint.typedef.0,
    };
    let place = Place::RawTracepoint {
        name: name.to_string(),
    };
    Some(request.found(shown, ProgramKind::TracepointBtf(target), context, place))
}

fn positional(index: usize, argument: &Argument) -> Option<Argument> {
    let name = format!("arg{index}");
    matches!(argument.source, ArgSource::Word { .. }).then(|| Argument {
        name,
        ty: Type::U64,
        source: argument.source.clone(),
    })
}

/// Arguments with their types; those without a name in BTF are `arg0`, `arg1` ….
pub(in crate::probes) fn arguments(
    types: &Types<'_>,
    btf: &Arc<Btf>,
    name: &str,
) -> Option<Vec<Argument>> {
    let tracepoint = btf.raw_tracepoint(name).ok()?;
    let params = tracepoint.args.iter().enumerate().map(|(index, arg)| {
        let name = if arg.name.is_empty() {
            format!("arg{index}")
        } else {
            arg.name.to_string()
        };
        (name, types.kernel_type(btf, arg.type_id, Space::Kernel))
    });
    Some(words_of(types, params).0)
}

fn no_tracepoint(
    request: &Request<'_>,
    event: &Part,
    nearest: &[String],
    error: &Error,
) -> fathom_syntax::Diagnostic {
    let message = format!("there is no raw tracepoint `{}`", event.text);
    let problem = request
        .missing("no-tracepoint", event.span, message)
        .label("not in this kernel or its modules");
    match nearest.first() {
        Some(best) => problem.fix(format!("did you mean `{best}`?"), event.span, best.clone()),
        None if error.is_missing() => problem.help("`fathom list 'rawtracepoint:*'` shows all"),
        None => problem.note(error.to_string()),
    }
}
