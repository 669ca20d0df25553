//! `fentry` and `fexit`: kernel functions, and functions of loaded BPF programs, with typed arguments.

use std::sync::Arc;

use fathom_bpf::object::{BtfTarget, Place, ProgramKind};
use fathom_machine::btf::{Btf, Kind, TypeId};
use fathom_machine::pattern::Pattern;
use fathom_machine::{Error, suggest};

use super::kprobe::{is_known_untraceable, traceable};
use super::rawtracepoint::{KERNEL, KernelFile, files};
use crate::probes::context::ContextKind;
use crate::probes::expand::{Expander, Failure, Found, Part, Request};
use crate::probes::{ArgSource, Argument, Context, number};
use crate::ty::{Space, Type};
use crate::types::Types;

/// Words of arguments that a trampoline takes.
const MAX_WORDS: u32 = 12;

pub(in crate::probes) fn entry(
    expander: &mut Expander<'_>,
    request: &Request<'_>,
) -> Result<Vec<Found>, Failure> {
    expand(expander, request, false)
}

pub(in crate::probes) fn result(
    expander: &mut Expander<'_>,
    request: &Request<'_>,
) -> Result<Vec<Found>, Failure> {
    expand(expander, request, true)
}

fn expand(
    expander: &mut Expander<'_>,
    request: &Request<'_>,
    on_return: bool,
) -> Result<Vec<Found>, Failure> {
    let (module, function) = match request.parts {
        [bpf, program] if bpf.text == "bpf" => {
            return of_program(request, None, program, on_return);
        }
        [bpf, id, program] if bpf.text == "bpf" => {
            return of_program(request, Some(id), program, on_return);
        }
        [function] => (None, function),
        [module, function] => (Some(module), function),
        _ => return Err(request.misshapen()),
    };
    let pattern = Pattern::new(function.text.as_str());
    let files = match files(
        expander,
        module,
        pattern
            .is_literal()
            .then_some((Kind::Func, pattern.as_str())),
    ) {
        Ok(files) => files,
        Err(error) => {
            let message = format!("`{}` needs this kernel's BTF", request.provider.name);
            let problem = request
                .missing("no-btf", request.span, message)
                .label("types of functions are not known");
            return Err(Failure::missing(
                problem
                    .note(error.to_string())
                    .help("use `kprobe`, which does without"),
            ));
        }
    };
    let listed = match pattern.is_literal() {
        true => None,
        false => traceable(expander),
    };
    let may_trace = |name: &str| match &listed {
        Some(listed) => listed.contains(name),
        None => !is_known_untraceable(name),
    };
    let mut found = Vec::new();
    for (module, btf) in &files {
        for (id, name) in matching(btf, &pattern) {
            if !pattern.is_literal() && !may_trace(name) {
                continue;
            }
            found.extend(of_function(
                expander,
                request,
                on_return,
                (module.as_str(), btf, id, name),
            ));
        }
    }
    if !found.is_empty() {
        return Ok(found);
    }
    let problem = match why_unknown(expander, &pattern, &files) {
        Some((message, label)) => request
            .missing("no-function", function.span, message)
            .label(label)
            .help("use a kprobe, which needs no types"),
        None => no_function(request, function, &files),
    };
    Err(Failure::missing(problem))
}

/// Functions of the file itself whose name matches; a literal name is looked up.
fn matching<'a>(
    btf: &'a Btf,
    pattern: &'a Pattern,
) -> Box<dyn Iterator<Item = (TypeId, &'a str)> + 'a> {
    if pattern.is_literal() {
        // In a module, the kernel's own function of that name comes first.
        let is_own = |id: &TypeId| {
            btf.base()
                .is_none_or(|base| id.0 as usize >= base.type_count())
        };
        return Box::new(
            btf.find(Kind::Func, pattern.as_str())
                .filter(is_own)
                .map(|id| (id, btf.name(id)))
                .into_iter(),
        );
    }
    Box::new(
        btf.functions()
            .filter(move |(_, name)| pattern.matches(name)),
    )
}

fn of_function(
    expander: &Expander<'_>,
    request: &Request<'_>,
    on_return: bool,
    (module, btf, id, name): (&str, &Arc<Btf>, TypeId, &str),
) -> Option<Found> {
    let (args, retval) = signature(expander.types, btf, id)?;
    let has_structs = args
        .iter()
        .any(|argument| matches!(argument.ty, Type::Struct(_)));
    if has_structs && !expander.features.struct_arguments {
        return None;
    }
    let mut context = request.context(ContextKind::Words);
    context.positional = args
        .iter()
        .enumerate()
        .filter(|(_, argument)| matches!(argument.source, ArgSource::Word { .. }))
        .map(|(index, argument)| Argument {
            name: format!("arg{index}"),
            ty: Type::U64,
            source: argument.source.clone(),
        })
        .collect();
    context.args = Some(args);
    context.retval = retval.filter(|_| on_return);
    context.filter_pid = expander.options.pid;
    let shown = format!("{}:{module}:{name}", request.provider.name);
    let module = (module != KERNEL).then(|| module.to_string());
    let target = BtfTarget::Kernel {
        name: name.to_string(),
        module,
        btf_id: id.0,
    };
    Some(request.found(shown, kind(target, on_return), context, Place::Trampoline))
}

fn kind(target: BtfTarget, on_return: bool) -> ProgramKind {
    if on_return {
        ProgramKind::Fexit(target)
    } else {
        ProgramKind::Fentry(target)
    }
}

/// Arguments and result of a kernel function as a trampoline hands them over; `None` when it cannot.
pub(in crate::probes) fn signature(
    types: &Types<'_>,
    btf: &Arc<Btf>,
    id: TypeId,
) -> Option<(Vec<Argument>, Option<Argument>)> {
    let proto = btf.func_proto(id).ok()??;
    if proto.is_variadic() {
        return None;
    }
    let params = proto.params().enumerate().map(|(index, param)| {
        let name = if param.name.is_empty() {
            format!("arg{index}")
        } else {
            param.name.to_string()
        };
        (name, types.kernel_type(btf, param.type_id, Space::Kernel))
    });
    let (args, words) = words_of(types, params);
    if words > MAX_WORDS {
        return None;
    }
    let result = types.kernel_type(btf, proto.return_type, Space::Kernel);
    if matches!(result, Type::Struct(_)) {
        return None;
    }
    let is_void = matches!(&result, Type::Opaque(name) if &**name == "void");
    let source = ArgSource::Word { index: words };
    Some((
        args,
        (!is_void).then(|| Argument {
            name: "retval".to_string(),
            ty: result,
            source,
        }),
    ))
}

/// Values in `u64 args[]`: one word each, structs by value as many as they need. Also gives the number of words.
pub(super) fn words_of(
    types: &Types<'_>,
    params: impl Iterator<Item = (String, Type)>,
) -> (Vec<Argument>, u32) {
    let mut index = 0;
    let mut args = Vec::new();
    for (name, ty) in params {
        let is_aggregate = matches!(
            ty,
            Type::Struct(_) | Type::Array { .. } | Type::String { .. }
        );
        let size = types.size_of(&ty);
        let source = match is_aggregate {
            true => ArgSource::Context {
                offset: index * 8,
                size,
            },
            false => ArgSource::Word { index },
        };
        index += if is_aggregate {
            size.div_ceil(8).max(1)
        } else {
            1
        };
        args.push(Argument { name, ty, source });
    }
    (args, index)
}

/// `fentry:bpf:PROGRAM`: which programs are loaded is known to the running side.
fn of_program(
    request: &Request<'_>,
    id: Option<&Part>,
    program: &Part,
    on_return: bool,
) -> Result<Vec<Found>, Failure> {
    let program_id = match id {
        Some(id) => Some(
            number::parse(&id.text)
                .and_then(|id| u32::try_from(id).ok())
                .ok_or_else(|| request.misshapen())?,
        ),
        None => None,
    };
    let context = Context {
        args_missing: Some("types of BPF programs' arguments are not known".to_string()),
        ..request.context(ContextKind::Words)
    };
    let target = BtfTarget::Bpf {
        name: program.text.clone(),
        program_id,
    };
    Ok(vec![request.found(
        request.text(),
        kind(target, on_return),
        context,
        Place::Trampoline,
    )])
}

/// The function exists, but a trampoline cannot serve it: why.
fn why_unknown(
    expander: &Expander<'_>,
    pattern: &Pattern,
    files: &[KernelFile],
) -> Option<(String, &'static str)> {
    let name = pattern.as_str();
    if !pattern.is_literal() {
        return None;
    }
    if files
        .iter()
        .any(|(_, btf)| matching(btf, pattern).next().is_some())
    {
        let message = format!("the kernel hands no typed arguments of `{name}` to programs");
        return Some((message, "structs by value, or too many arguments"));
    }
    let symbols = expander.machine.kallsyms().ok()?;
    let symbol = symbols.find(name).find(|symbol| symbol.is_function())?;
    Some(match symbol.module {
        Some(module) => (
            format!("the types of `{name}` are not known: module `{module}` has no BTF"),
            "modules have BTF since Linux 5.11, if built so",
        ),
        None => (
            format!("the types of `{name}` are not known: it is not in the kernel's BTF"),
            "left out when the kernel was built",
        ),
    })
}

fn no_function(
    request: &Request<'_>,
    function: &Part,
    files: &[KernelFile],
) -> fathom_syntax::Diagnostic {
    let message = format!("there is no kernel function `{}`", function.text);
    let problem = request
        .missing("no-function", function.span, message)
        .label("not in the BTF of this kernel or its modules");
    let names = files
        .iter()
        .flat_map(|(_, btf)| btf.functions().map(|(_, name)| name));
    match suggest::nearest(&function.text, names).first() {
        Some(best) => problem.fix(
            format!("did you mean `{best}`?"),
            function.span,
            best.clone(),
        ),
        None => problem.help(format!(
            "`fathom list '{}:*'` shows all",
            request.provider.name
        )),
    }
}

/// Used where an error of the machine is told next to a part of a pattern.
pub(super) fn machine_problem(
    request: &Request<'_>,
    part: &Part,
    code: &'static str,
    error: &Error,
) -> fathom_syntax::Diagnostic {
    let problem = request.missing(code, part.span, error.to_string());
    match error.nearest().first() {
        Some(best) => problem.label("not there").fix(
            format!("did you mean `{best}`?"),
            part.span,
            best.clone(),
        ),
        None => problem.label("not usable"),
    }
}
