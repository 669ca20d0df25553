//! One place in a binary: a function, so far behind its start, or an address.

use fathom_bpf::object::{Place, ProgramKind, UprobeSite};
use fathom_machine::elf::{Function, is_mangled};
use fathom_machine::pattern::Pattern;
use fathom_machine::{Address, FileOffset, suggest};
use fathom_syntax::Diagnostic;

use super::many::places;
use super::{Target, go, unwound};
use crate::probes::context::ContextKind;
use crate::probes::expand::{Expander, Failure, Found, Part, Request};
use crate::probes::providers::uprobe_values::{self, Told};
use crate::probes::{Context, registers};

/// Bytes of the return address, which is pushed last before a function is entered.
pub(super) const RETURN_ADDRESS: i32 = 8;

pub(super) fn single(
    expander: &mut Expander<'_>,
    request: &Request<'_>,
    target: &Target<'_>,
    (part, name, offset, is_cpp): (&Part, &str, Option<u64>, bool),
) -> Result<Vec<Found>, Failure> {
    let elf = target.elf;
    let pattern = Pattern::new(name);
    let plain = if is_cpp {
        None
    } else {
        elf.find_function(name)
    };
    let demangled = || elf.match_demangled(&pattern).collect::<Vec<_>>();
    let mut functions = plain.map_or_else(demangled, |function| vec![function]);
    if expander.options.with_inlined && offset.is_none() && !is_cpp {
        functions.extend(elf.copies_of(name));
    }
    if functions.is_empty() {
        let offset = offset.unwrap_or(0);
        return in_debug_file(expander, request, target, (part, name, offset));
    }
    let mut found = Vec::new();
    for function in functions {
        if offset.is_none() && go::convention(elf, &function).is_some() {
            found.extend(go::single(
                expander,
                request,
                target,
                (part, name, function),
            )?);
            continue;
        }
        let offset = offset.unwrap_or(0);
        let inside = if offset != 0 {
            format!("+{offset}")
        } else {
            String::new()
        };
        let is_asked_for = is_cpp || function.names().any(|known| known == name);
        let name = match is_asked_for || is_mangled(function.name()) {
            true => name,
            false => function.name(),
        };
        let shown = format!("{}{name}{inside}", if is_cpp { "cpp:" } else { "" });
        if inside.is_empty() && unwound::is_unwound(expander, target, &function) {
            let returns = unwound_returns(expander, request, target, (part, &shown, function))?;
            found.extend(returns);
            continue;
        }
        let at = (function.offset, shown.as_str(), Some((function, offset)));
        found.push(site(expander, request, target, part, at)?);
    }
    Ok(found)
}

/// The return instructions of one function, together.
fn unwound_returns(
    expander: &mut Expander<'_>,
    request: &Request<'_>,
    target: &Target<'_>,
    (part, shown, function): (&Part, &str, Function<'_>),
) -> Result<Vec<Found>, Failure> {
    let offsets = unwound::sites(target, &function).map_err(|why| {
        let message = format!("returns of `{shown}` cannot be probed");
        let problem = request.missing("not-probeable", part.span, message);
        Failure::missing(problem.label(why.to_string()))
    })?;
    unwound::warn_of_jumps(expander, target, part, &function);
    if offsets.is_empty() {
        return Ok(Vec::new());
    }
    let mut context = context(expander, request, target, Some((function, 0)));
    unwound::at_instruction(&mut context);
    add_values(expander, request, target, Some(function), &mut context);
    let sites = offsets.iter().map(|offset| UprobeSite {
        name: shown.to_string(),
        offset: offset.0,
        inside: offset.0 - function.offset.0,
        semaphore: 0,
    });
    let prefix = format!(
        "{}:{}:",
        request.provider.name,
        target.binary.shown.display()
    );
    let groups = (context, vec![sites.collect()], prefix.as_str());
    Ok(places(expander, request, target.binary, groups, false))
}

/// Symbols of a stripped binary may lie in a file of their own.
pub(super) fn in_debug_file(
    expander: &mut Expander<'_>,
    request: &Request<'_>,
    target: &Target<'_>,
    (part, name, offset): (&Part, &str, u64),
) -> Result<Vec<Found>, Failure> {
    let elf = target.elf;
    let debug = elf
        .find_debug_file(expander.machine.root(), expander.machine.debug_folders())
        .ok()
        .and_then(|path| expander.machine.elf(&path).ok());
    let place = debug.and_then(|debug| elf.file_offset(debug.find_function(name)?.address));
    match place {
        Some(at) => Ok(vec![site(
            expander,
            request,
            target,
            part,
            (FileOffset(at.0 + offset), name, None),
        )?]),
        None => Err(Failure::missing(no_function(request, target, part, name))),
    }
}

pub(super) fn at_address(
    expander: &mut Expander<'_>,
    request: &Request<'_>,
    target: &Target<'_>,
    (part, shown, address): (&Part, &str, Address),
) -> Result<Vec<Found>, Failure> {
    let outside = || {
        let message = format!(
            "there is no code at {address} in `{}`",
            target.binary.shown.display()
        );
        Failure::missing(
            request
                .missing("no-code", part.span, message)
                .label("an address as in the file's symbol table is wanted"),
        )
    };
    let offset = target
        .elf
        .file_offset(address)
        .filter(|_| target.elf.is_code(address))
        .ok_or_else(outside)?;
    let function = target.elf.function_containing(address);
    if function.is_none() && !expander.options.allow_unsafe {
        let problem = Diagnostic::error(
            "unsafe-probe",
            part.span,
            "it is not known whether an instruction starts at this address",
        )
        .label("no function with symbols is here; a probe inside an instruction breaks the program")
        .help("allow it with --unsafe");
        return Err(Failure::wrong(problem));
    }
    let start = function.map_or(offset, |(function, _)| function.offset);
    site(expander, request, target, part, (start, shown, function)).map(|found| vec![found])
}

/// One checked place: at `start`, or so far behind it in a function.
pub(super) fn site(
    expander: &mut Expander<'_>,
    request: &Request<'_>,
    target: &Target<'_>,
    part: &Part,
    (start, name, function): (FileOffset, &str, Option<(Function<'_>, u64)>),
) -> Result<Found, Failure> {
    let inside = function.map_or(0, |(_, inside)| inside);
    if let Some((function, inside)) = function.filter(|(_, inside)| *inside != 0)
        && !expander.options.allow_unsafe
        && target
            .elf
            .instruction_starts(&function)
            .binary_search(&inside)
            .is_err()
    {
        let problem = Diagnostic::error(
            "not-an-instruction",
            part.span,
            format!("no instruction starts at `{}+{inside}`", function.name()),
        )
        .label("a probe here would break the program")
        .help("choose the start of an instruction (objdump -d shows them)");
        return Err(Failure::wrong(problem));
    }
    let args_of = function
        .filter(|(_, inside)| *inside == 0)
        .map(|(function, _)| function);
    let mut context = context(expander, request, target, function);
    let shift = match (args_of, target.elf.address_of(FileOffset(start.0 + inside))) {
        (None, Some(address)) => {
            add_variables(expander, request, target, (address, name), &mut context);
            0
        }
        _ => add_values(expander, request, target, args_of, &mut context),
    };
    if let Some(function) = args_of.filter(|_| request.needs.values && !target.on_return) {
        warn_of_rounds(expander, target, part, &function);
    }
    let offset = match args_of {
        Some(function) if shift != 0 => FileOffset(function.offset.0.saturating_add(shift)),
        _ => FileOffset(start.0.saturating_add(inside)),
    };
    if let Err(why) = target.elf.probe_site(offset) {
        let message = format!(
            "`{name}` in `{}` cannot be probed",
            target.binary.shown.display()
        );
        return Err(Failure::missing(
            request
                .missing("not-probeable", part.span, message)
                .label(why.to_string()),
        ));
    }
    let full = format!(
        "{}:{}:{name}",
        request.provider.name,
        target.binary.shown.display()
    );
    let place = Place::Uprobe {
        path: target.binary.path.to_string_lossy().into_owned(),
        site: UprobeSite {
            name: name.to_string(),
            offset: offset.0,
            inside: function.map_or(0, |(function, _)| {
                offset.0.saturating_sub(function.offset.0)
            }),
            semaphore: 0,
        },
        on_return: target.on_return,
        pid: expander.target_pid(),
    };
    Ok(request.found(full, ProgramKind::Kprobe, context, place))
}

pub(super) fn context(
    expander: &Expander<'_>,
    request: &Request<'_>,
    target: &Target<'_>,
    function: Option<(Function<'_>, u64)>,
) -> Context {
    let mut context = request.context(ContextKind::Registers);
    context.is_user = true;
    let of_go = function.and_then(|(function, inside)| {
        let convention = go::convention(target.elf, &function)?;
        Some(go::Spot {
            function,
            inside,
            convention,
        })
    });
    if let Some(spot) = of_go {
        go::context(expander, request, target, &spot, &mut context);
        return context;
    }
    let function = function.filter(|(_, inside)| *inside == 0);
    context.call_frame = match (target.on_return, function) {
        (true, _) => Some(0),
        (false, Some(_)) => Some(RETURN_ADDRESS),
        (false, None) => None,
    };
    if target.on_return {
        context.retval = Some(registers::result());
        context.args_missing = Some(
            "arguments are gone when a function returns: keep them in a map by `tid` at its entry"
                .to_string(),
        );
        return context;
    }
    context.positional = registers::positional(true);
    context
}

/// Some functions begin with a loop, or call themselves by jumping back.
pub(super) fn warn_of_rounds(
    expander: &mut Expander<'_>,
    target: &Target<'_>,
    part: &Part,
    function: &Function<'_>,
) {
    if !target.elf.is_passed_once(function, 0) && go::convention(target.elf, function).is_none() {
        let message = format!(
            "`{}` jumps back to its own start: each round of that loop counts as a call",
            function.name()
        );
        expander.warn(Diagnostic::warning("rounds", part.span, message));
    }
}

/// Inside a function: adds the variables that exist there.
fn add_variables(
    expander: &Expander<'_>,
    request: &Request<'_>,
    target: &Target<'_>,
    (address, name): (Address, &str),
    context: &mut Context,
) {
    context.is_line = true;
    if !request.needs.values && !request.needs.args {
        return;
    }
    let line = name
        .rsplit_once(':')
        .and_then(|(_, line)| line.parse().ok());
    let told = uprobe_values::at_line(expander, target.elf, (address, line));
    add_told(expander, request, target, told.as_ref(), context);
}

/// Adds the values of a function, and gives how far behind its start they are to be taken.
pub(super) fn add_values(
    expander: &Expander<'_>,
    request: &Request<'_>,
    target: &Target<'_>,
    function: Option<Function<'_>>,
    context: &mut Context,
) -> u64 {
    if !request.needs.values && (!request.needs.args || context.is_go) {
        return 0;
    }
    let Some(function) = function else {
        let why = "values are known only where a function starts".to_owned();
        add_told(expander, request, target, Err(&why), context);
        return 0;
    };
    if target.on_return {
        let told = uprobe_values::at_return(expander, target.elf, &function);
        add_told(expander, request, target, told.as_ref(), context);
        return 0;
    }
    match uprobe_values::at_entry(expander, target.elf, &function) {
        Ok(entry) => {
            add_told(expander, request, target, Ok(&entry.told), context);
            context.frame = entry.frame;
            context.keeps_result = entry.keeps_result && request.needs.values;
            entry.shift
        }
        Err(why) => {
            add_told(expander, request, target, Err(&why), context);
            0
        }
    }
}

/// Puts values where the body looks for them. Go's arguments and results have their own way to be typed.
fn add_told(
    expander: &Expander<'_>,
    request: &Request<'_>,
    target: &Target<'_>,
    told: Result<&Told, &String>,
    context: &mut Context,
) {
    if request.needs.values {
        let whole = told.map(|told| told.whole(expander, target.elf));
        context.values = Some(whole.map_err(Clone::clone));
    }
    if !request.needs.args || context.is_go {
        return;
    }
    match told {
        Ok(told) if target.on_return => {
            let typed = told.result(expander, target.elf);
            context.retval = typed.or_else(|| context.retval.take());
        }
        Ok(told) => context.args = Some(told.arguments(expander, target.elf)),
        Err(why) if !target.on_return => context.args_missing = Some(why.clone()),
        Err(_) => {}
    }
}

pub(super) fn no_function(
    request: &Request<'_>,
    target: &Target<'_>,
    part: &Part,
    name: &str,
) -> Diagnostic {
    let shown = target.binary.shown.display();
    if target.elf.functions().len() == 0 {
        return request
            .missing("no-symbols", part.span, format!("`{shown}` has no symbols"))
            .label("stripped: no function is known by name")
            .help("install its debug symbols, or name an address with --unsafe");
    }
    let problem = request
        .missing(
            "no-function",
            part.span,
            format!("`{shown}` has no function `{name}`"),
        )
        .label("not among its symbols");
    let names = target
        .elf
        .functions()
        .flat_map(|function| function.names().collect::<Vec<_>>())
        .collect::<Vec<_>>();
    match suggest::nearest(name, names).first() {
        Some(best) => problem.fix(format!("did you mean `{best}`?"), part.span, best.clone()),
        None => problem.help(format!("`fathom list 'uprobe:{shown}:*'` shows all; inlined and stripped functions are not there")),
    }
}
