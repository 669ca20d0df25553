//! `kprobe` and `kretprobe`: any kernel function, by symbol.

use std::collections::HashSet;

use fathom_bpf::object::{KernelFunction, Place, ProgramKind};
use fathom_machine::kallsyms::Kallsyms;
use fathom_machine::pattern::Pattern;
use fathom_machine::{bytes, suggest};
use fathom_syntax::Diagnostic;

use super::trampoline::machine_problem;
use crate::probes::context::ContextKind;
use crate::probes::expand::{Expander, Failure, Found, Part, Request};
use crate::probes::{Context, number, registers};

/// Beginnings of names that no kernel lets probe: padding before functions, static-call stubs, entry code, the tracer's own path.
const UNTRACEABLE_STARTS: [&str; 9] = [
    "__pfx_",
    "__cfi_",
    "__SCT__",
    "__SCK__",
    "asm_",
    "bpf_prog_",
    "entry_SYSCALL",
    "ftrace_",
    "kprobe_",
];
/// Part of names that stand for split-off code without an entry of its own.
const COLD: &str = ".cold";

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

/// Whether a name says that the kernel refuses to probe the function.
pub(in crate::probes) fn is_known_untraceable(name: &str) -> bool {
    UNTRACEABLE_STARTS
        .iter()
        .any(|start| name.starts_with(start))
        || name.contains(COLD)
}

fn expand(
    expander: &mut Expander<'_>,
    request: &Request<'_>,
    on_return: bool,
) -> Result<Vec<Found>, Failure> {
    let (module, function) = match request.parts {
        [function] => (None, function),
        [module, function] => (Some(module), function),
        _ => return Err(request.misshapen()),
    };
    if let Some(address) = number::parse(&function.text) {
        return at_address(expander, request, (function, address), on_return);
    }
    let (name, offset) = split_offset(function)?;
    if on_return && offset != 0 {
        let problem = Diagnostic::error(
            "bad-probe",
            function.span,
            "a function returns as a whole: `kretprobe` takes no offset",
        );
        return Err(Failure::wrong(
            problem
                .label("an offset means nothing here")
                .help("use `kprobe` for a place inside"),
        ));
    }
    let symbols = expander.machine.kallsyms().map_err(|error| {
        Failure::missing(machine_problem(request, function, "no-kallsyms", &error))
    })?;
    let pattern = Pattern::new(name);
    let modules = Pattern::new(module.map_or("*", |module| module.text.as_str()));
    if pattern.is_literal() && (modules.is_literal() || module.is_none()) {
        return single(
            expander,
            request,
            (symbols, module, function),
            (name, offset, on_return),
        );
    }
    many(
        expander,
        request,
        (symbols, &modules, &pattern),
        (module.is_some(), on_return),
    )
    .ok_or_else(|| {
        let message = format!("no kernel function matches `{}`", function.text);
        Failure::missing(
            request
                .missing("no-function", function.span, message)
                .label("matches nothing that can be traced"),
        )
    })
}

/// `name+12`, `name+0x10`.
pub(super) fn split_offset(function: &Part) -> Result<(&str, u64), Failure> {
    let Some((name, offset)) = function.text.rsplit_once('+') else {
        return Ok((&function.text, 0));
    };
    match number::parse(offset) {
        Some(offset) => Ok((name, offset)),
        None => {
            let message = format!("`{offset}` is not an offset");
            Err(Failure::wrong(
                Diagnostic::error("bad-offset", function.span, message)
                    .label("a number must follow the `+`"),
            ))
        }
    }
}

fn context(expander: &Expander<'_>, request: &Request<'_>, on_return: bool) -> Context {
    let mut context = request.context(ContextKind::Registers);
    context.filter_pid = expander.options.pid;
    if on_return {
        context.retval = Some(registers::result());
        context.args_missing =
            Some("arguments are gone when a function returns; `fexit` keeps them".to_string());
    } else {
        context.positional = registers::positional(false);
        context.args_missing =
            Some("`kprobe` has no typed arguments; use `arg0` …, or `fentry`".to_string());
    }
    context
}

fn at_address(
    expander: &Expander<'_>,
    request: &Request<'_>,
    (part, address): (&Part, u64),
    on_return: bool,
) -> Result<Vec<Found>, Failure> {
    if !expander.options.allow_unsafe {
        let problem = Diagnostic::error(
            "unsafe-probe",
            part.span,
            "probing a bare kernel address can crash the machine",
        )
        .label("not checked against function starts")
        .help("name a function, or allow it with --unsafe");
        return Err(Failure::wrong(problem));
    }
    let function = KernelFunction {
        name: String::new(),
        module: None,
        address: Some(address),
    };
    let place = Place::Kprobe {
        function,
        offset: 0,
        on_return,
    };
    Ok(vec![request.found(
        request.text(),
        ProgramKind::Kprobe,
        context(expander, request, on_return),
        place,
    )])
}

fn single(
    expander: &Expander<'_>,
    request: &Request<'_>,
    (symbols, module, function): (&Kallsyms, Option<&Part>, &Part),
    (name, offset, on_return): (&str, u64, bool),
) -> Result<Vec<Found>, Failure> {
    let in_module = |symbol: &fathom_machine::kallsyms::KernelSymbol<'_>| {
        symbol.is_function()
            && module.is_none_or(|module| symbol.module.unwrap_or("vmlinux") == module.text)
    };
    let Some(symbol) = symbols.find(name).find(in_module) else {
        return Err(Failure::missing(no_function(
            request, symbols, function, name,
        )));
    };
    let refused = match expander.options.traceable {
        Some(listed) => !listed.contains(name),
        None => is_known_untraceable(name),
    };
    if refused && !expander.options.allow_unsafe {
        let problem = request
            .missing(
                "not-traceable",
                function.span,
                format!("the kernel function `{name}` cannot be traced"),
            )
            .label("the kernel refuses probes in it")
            .help("probe a function that calls it, or insist with --unsafe");
        return Err(Failure::missing(problem));
    }
    let module = symbol.module.map(str::to_string);
    let function = KernelFunction {
        name: name.to_string(),
        module,
        address: None,
    };
    let place = Place::Kprobe {
        function,
        offset,
        on_return,
    };
    Ok(vec![request.found(
        request.text(),
        ProgramKind::Kprobe,
        context(expander, request, on_return),
        place,
    )])
}

/// Functions that match, in one link if the kernel can; `None` if there are none.
fn many(
    expander: &Expander<'_>,
    request: &Request<'_>,
    (symbols, modules, pattern): (&Kallsyms, &Pattern, &Pattern),
    (shows_module, on_return): (bool, bool),
) -> Option<Vec<Found>> {
    let mut seen = HashSet::new();
    let listed = traceable(expander);
    let may_trace = |name: &str| {
        listed.as_ref().map_or_else(
            || !is_known_untraceable(name),
            |listed| listed.contains(name),
        )
    };
    let matching = symbols.functions(pattern, None).filter(|symbol| {
        modules.matches(symbol.module.unwrap_or("vmlinux"))
            && may_trace(symbol.name)
            && seen.insert(symbol.name)
    });
    let mut functions = Vec::new();
    let mut names = Vec::new();
    for symbol in matching {
        names.push(match symbol.module.filter(|_| shows_module) {
            Some(module) => format!("{}:{module}:{}", request.provider.name, symbol.name),
            None => format!("{}:{}", request.provider.name, symbol.name),
        });
        let module = symbol.module.map(str::to_string);
        functions.push(KernelFunction {
            name: symbol.name.to_string(),
            module,
            address: None,
        });
    }
    if functions.is_empty() {
        return None;
    }
    let context = context(expander, request, on_return);
    if expander.features.kprobe_multi {
        let place = Place::KprobeMulti {
            functions,
            cookies: Vec::new(),
            on_return,
        };
        return Some(vec![Found {
            names,
            ..request.found(String::new(), ProgramKind::KprobeMulti, context, place)
        }]);
    }
    let each = functions.into_iter().zip(names).map(|(function, name)| {
        let place = Place::Kprobe {
            function,
            offset: 0,
            on_return,
        };
        request.found(name, ProgramKind::Kprobe, context.clone(), place)
    });
    Some(each.collect())
}

/// The functions that may be probed: from the command line, else from the kernel if it lets us read its list.
pub(super) fn traceable(expander: &Expander<'_>) -> Option<HashSet<String>> {
    if let Some(listed) = expander.options.traceable {
        return Some(listed.clone());
    }
    let path = expander
        .machine
        .tracefs()
        .ok()?
        .folder()
        .join("available_filter_functions");
    let text = bytes::read_text(&path).ok()?;
    let names = text
        .lines()
        .filter_map(|line| line.split_ascii_whitespace().next())
        .map(str::to_string);
    Some(names.collect()).filter(|names: &HashSet<String>| !names.is_empty())
}

fn no_function(
    request: &Request<'_>,
    symbols: &Kallsyms,
    function: &Part,
    name: &str,
) -> Diagnostic {
    let message = format!("there is no kernel function `{name}`");
    let problem = request
        .missing("no-function", function.span, message)
        .label("not in /proc/kallsyms");
    let names = symbols
        .iter()
        .filter(|symbol| symbol.is_function())
        .map(|symbol| symbol.name);
    match suggest::nearest(name, names).first() {
        Some(best) => problem.fix(
            format!("did you mean `{best}`?"),
            function.span,
            best.clone(),
        ),
        None => problem.help(format!(
            "`fathom list '{}:*'` shows all; inlined functions cannot be traced",
            request.provider.name
        )),
    }
}
