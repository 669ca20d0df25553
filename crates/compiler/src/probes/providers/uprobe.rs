//! `uprobe` and `uretprobe`: functions of programs and libraries.

use std::sync::Arc;

use fathom_bpf::object::{Place, ProgramKind, UprobeSite};
use fathom_machine::elf::{Binary, Elf, Function, demangle, demangle_short};
use fathom_machine::pattern::Pattern;
use fathom_machine::{Address, FileOffset, Pid, suggest};
use fathom_syntax::Diagnostic;

use super::kprobe::split_offset;
use super::trampoline::machine_problem;
use super::uprobe_args;
use crate::probes::context::ContextKind;
use crate::probes::expand::{Expander, Failure, Found, Part, Request};
use crate::probes::{Context, number, registers};

/// Functions named in a warning.
const MAX_NAMED: usize = 5;
/// Sections by which Go programs are known.
const GO_SECTIONS: [&str; 3] = [".go.buildinfo", ".gopclntab", ".note.go.buildid"];

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

/// What a pattern wants in each binary.
enum Wanted<'p> {
    /// A name or pattern, and how far behind the start.
    Function {
        part: &'p Part,
        name: &'p str,
        offset: u64,
        is_cpp: bool,
    },
    Address {
        part: &'p Part,
        address: u64,
    },
    Line {
        part: &'p Part,
        file: String,
        line: u64,
        column: Option<u64>,
    },
}

fn expand(
    expander: &mut Expander<'_>,
    request: &Request<'_>,
    on_return: bool,
) -> Result<Vec<Found>, Failure> {
    let (binary, wanted) = parse(request)?;
    let whole_only = matches!(wanted, Wanted::Function { offset: 0, .. });
    if on_return && !whole_only {
        let problem = Diagnostic::error(
            "bad-probe",
            request.span,
            "a function returns as a whole: `uretprobe` takes its name only",
        );
        return Err(Failure::wrong(
            problem
                .label("a place inside means nothing here")
                .help("use `uprobe` for a place inside"),
        ));
    }
    let binaries = binaries(expander, request, binary.as_ref())?;
    let mut found = Vec::new();
    let mut last_problem = None;
    for binary in &binaries {
        let sites = in_binary(expander, request, binary, &wanted, on_return);
        match sites {
            Ok(more) => found.extend(more),
            Err(failure) if binaries.len() == 1 => return Err(failure),
            Err(failure) => last_problem = Some(failure),
        }
    }
    match last_problem {
        Some(failure) if found.is_empty() => Err(failure),
        _ => Ok(found),
    }
}

fn parse<'p>(request: &'p Request<'_>) -> Result<(Option<Part>, Wanted<'p>), Failure> {
    if let [binary, line, rest @ ..] = request.parts
        && let Some((path, file)) = binary.text.rsplit_once('@')
        && let Some(line_number) = number::parse(&line.text)
        && rest.len() < 2
    {
        let column = rest
            .first()
            .map(|column| number::parse(&column.text).ok_or_else(|| request.misshapen()))
            .transpose()?;
        let binary = (!path.is_empty()).then(|| Part {
            text: path.to_string(),
            ..binary.clone()
        });
        return Ok((
            binary,
            Wanted::Line {
                part: line,
                file: file.to_string(),
                line: line_number,
                column,
            },
        ));
    }
    let (binary, function, is_cpp) = match request.parts {
        [function] => (None, function, false),
        [binary, function] => (Some(binary), function, false),
        [binary, language, function] if matches!(language.text.as_str(), "cpp" | "c") => {
            (Some(binary), function, language.text == "cpp")
        }
        _ => return Err(request.misshapen()),
    };
    if function.text.is_empty() {
        return Err(request.misshapen());
    }
    let wanted = match number::parse(&function.text) {
        Some(address) if !function.is_quoted => Wanted::Address {
            part: function,
            address,
        },
        // `operator+` and Go names have a plus that is no offset; then they are quoted.
        _ if function.is_quoted => Wanted::Function {
            part: function,
            name: &function.text,
            offset: 0,
            is_cpp,
        },
        _ => {
            let (name, offset) = split_offset(function)?;
            Wanted::Function {
                part: function,
                name,
                offset,
                is_cpp,
            }
        }
    };
    Ok((
        binary.filter(|binary| !binary.text.is_empty()).cloned(),
        wanted,
    ))
}

/// The files that a binary's name stands for; without a name, the program of `-p` or `-c`.
pub(super) fn binaries(
    expander: &Expander<'_>,
    request: &Request<'_>,
    named: Option<&Part>,
) -> Result<Vec<Binary>, Failure> {
    let pid = expander.target_pid().map(Pid);
    let own;
    let part = match named {
        Some(part) => part,
        None => {
            let text = match (expander.options.child_path, pid) {
                (Some(path), _) => Some(path.to_string()),
                (None, Some(pid)) => expander
                    .machine
                    .process(pid)
                    .exe()
                    .ok()
                    .map(|path| path.to_string_lossy().into_owned()),
                (None, None) => None,
            };
            let Some(text) = text else {
                let problem = Diagnostic::error(
                    "needs-process",
                    request.span,
                    format!("`{}` needs a binary", request.provider.name),
                )
                .label("no binary is named")
                .help(format!(
                    "write it as {}, or name a process with -p PID",
                    request.provider.usage
                ));
                return Err(Failure::wrong(problem));
            };
            own = Part {
                text,
                is_quoted: true,
                span: request.span,
            };
            &own
        }
    };
    if part.text == "*" && pid.is_none() {
        let problem = Diagnostic::error(
            "needs-process",
            part.span,
            "`*` as a binary stands for the files that a process has mapped",
        )
        .label("no process is named")
        .help("name one with -p PID, or write a path pattern such as `/usr/lib/*.so*`");
        return Err(Failure::wrong(problem));
    }
    expander
        .machine
        .resolve_binary(&part.text, pid)
        .map_err(|error| {
            let message = match error.is_missing() {
                true => format!("there is no program or library `{}`", part.text),
                false => format!("the program or library `{}` cannot be used", part.text),
            };
            let problem = request.missing("no-binary", part.span, message);
            Failure::missing(match error.nearest().first() {
                Some(best) => problem.label("not found").fix(
                    format!("did you mean `{best}`?"),
                    part.span,
                    best.clone(),
                ),
                None if error.is_missing() => problem
                    .label("no such file")
                    .help("write its path, or its name as in PATH or the library cache"),
                None => problem.label("cannot be read").note(error.to_string()),
            })
        })
}

fn in_binary(
    expander: &mut Expander<'_>,
    request: &Request<'_>,
    binary: &Binary,
    wanted: &Wanted<'_>,
    on_return: bool,
) -> Result<Vec<Found>, Failure> {
    let elf = expander.machine.elf(&binary.path).map_err(|error| {
        let message = format!("`{}` cannot be probed", binary.shown.display());
        Failure::missing(
            request
                .missing("bad-binary", request.span, message)
                .label("not a usable ELF file")
                .note(error.to_string()),
        )
    })?;
    if on_return {
        refuse_go(expander, request, binary, &elf)?;
    }
    let target = Target {
        binary,
        elf: &elf,
        on_return,
    };
    match wanted {
        Wanted::Function {
            part,
            name,
            offset,
            is_cpp,
        } => {
            let (part, name) = (*part, *name);
            let pattern = Pattern::new(name);
            if pattern.is_literal() || (part.is_quoted && elf.find_function(name).is_some()) {
                return single(expander, request, &target, (part, name, *offset, *is_cpp));
            }
            many(expander, request, &target, (part, &pattern, *is_cpp))
        }
        Wanted::Address { part, address } => at_address(
            expander,
            request,
            &target,
            (part, &part.text, Address(*address)),
        ),
        Wanted::Line {
            part,
            file,
            line,
            column,
        } => {
            let lines =
                uprobe_args::line_addresses(expander, &elf, (file.as_str(), *line, *column));
            let addresses = lines.map_err(|error| {
                Failure::missing(machine_problem(request, part, "no-line", &error))
            })?;
            let shown = format!("{file}:{line}");
            let mut found = Vec::new();
            for address in addresses {
                found.extend(at_address(
                    expander,
                    request,
                    &target,
                    (part, &shown, address),
                )?);
            }
            Ok(found)
        }
    }
}

/// One binary, and from which end its functions are probed.
struct Target<'t> {
    binary: &'t Binary,
    elf: &'t Arc<Elf>,
    on_return: bool,
}

/// Whether a binary was made by the Go compiler.
pub(super) fn is_go(elf: &Elf) -> bool {
    GO_SECTIONS.iter().any(|section| elf.has_section(section))
}

/// Return probes change the return address on the stack, which Go's runtime takes for corruption when it moves a stack.
fn refuse_go(
    expander: &Expander<'_>,
    request: &Request<'_>,
    binary: &Binary,
    elf: &Elf,
) -> Result<(), Failure> {
    if expander.options.allow_unsafe || !is_go(elf) {
        return Ok(());
    }
    let message = format!(
        "a `uretprobe` would crash the Go program `{}`",
        binary.shown.display()
    );
    let problem = Diagnostic::error("go-return-probe", request.span, message)
        .label("Go moves its stacks and does not know the changed return address")
        .help("put a `uprobe` on the function's return instructions (`FUNCTION+OFFSET`), or insist with --unsafe");
    Err(Failure::wrong(problem))
}

fn single(
    expander: &mut Expander<'_>,
    request: &Request<'_>,
    target: &Target<'_>,
    (part, name, offset, is_cpp): (&Part, &str, u64, bool),
) -> Result<Vec<Found>, Failure> {
    let elf = target.elf;
    let pattern = Pattern::new(name);
    let plain = if is_cpp {
        None
    } else {
        elf.find_function(name)
    };
    let demangled = || elf.match_demangled(&pattern).collect::<Vec<_>>();
    let functions = plain.map_or_else(demangled, |function| vec![function]);
    if functions.is_empty() {
        return in_debug_file(expander, request, target, (part, name, offset));
    }
    let mut found = Vec::new();
    for function in functions {
        let inside = if offset != 0 {
            format!("+{offset}")
        } else {
            String::new()
        };
        let shown = format!("{}{name}{inside}", if is_cpp { "cpp:" } else { "" });
        let at = (function.offset, shown.as_str(), Some((function, offset)));
        found.push(site(expander, request, target, part, at)?);
    }
    Ok(found)
}

/// Symbols of a stripped binary may lie in a file of their own.
fn in_debug_file(
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

fn at_address(
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
fn site(
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
    let offset = FileOffset(start.0.saturating_add(inside));
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
    let args_of = function
        .filter(|(_, inside)| *inside == 0)
        .map(|(function, _)| function);
    let context = context(expander, request, target, args_of);
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
            semaphore: 0,
        },
        on_return: target.on_return,
        pid: expander.target_pid(),
    };
    Ok(request.found(full, ProgramKind::Kprobe, context, place))
}

fn context(
    expander: &Expander<'_>,
    request: &Request<'_>,
    target: &Target<'_>,
    function: Option<Function<'_>>,
) -> Context {
    let mut context = request.context(ContextKind::Registers);
    context.is_user = true;
    if target.on_return {
        context.retval = Some(registers::result());
        context.args_missing = Some(
            "arguments are gone when a function returns: keep them in a map by `tid` at its entry"
                .to_string(),
        );
        return context;
    }
    context.positional = registers::positional(true);
    if !request.needs.args {
        return context;
    }
    match function.map(|function| uprobe_args::arguments(expander, target.elf, &function)) {
        Some(Ok(args)) => context.args = Some(args),
        Some(Err(why)) => context.args_missing = Some(why),
        None => {
            context.args_missing =
                Some("arguments are known only where a function starts".to_string())
        }
    }
    context
}

/// Functions that match. What the kernel would refuse is left out and named: one such place would undo the whole link.
fn many(
    expander: &mut Expander<'_>,
    request: &Request<'_>,
    target: &Target<'_>,
    (part, pattern, is_cpp): (&Part, &Pattern, bool),
) -> Result<Vec<Found>, Failure> {
    let elf = target.elf;
    let functions: Vec<Function<'_>> = if is_cpp {
        elf.match_demangled(pattern).collect()
    } else {
        elf.match_functions(pattern).collect()
    };
    let mut refused = Vec::new();
    let mut groups: Vec<(Context, Vec<UprobeSite>)> = Vec::new();
    for function in functions {
        let name = shown_name(&function, pattern, is_cpp);
        if elf.probe_site(function.offset).is_err() {
            refused.push(name);
            continue;
        }
        let site = UprobeSite {
            name,
            offset: function.offset.0,
            semaphore: 0,
        };
        // Looking for debug information of thousands of functions is for those who ask.
        let context = context(
            expander,
            request,
            target,
            request.needs.args.then_some(function),
        );
        match groups.iter_mut().find(|(known, _)| *known == context) {
            Some((_, sites)) => sites.push(site),
            None => groups.push((context, vec![site])),
        }
    }
    if groups.is_empty() {
        return Err(Failure::missing(no_function(
            request, target, part, &part.text,
        )));
    }
    if !refused.is_empty() {
        expander.warn(left_out(target, part, &refused));
    }
    let prefix = format!(
        "{}:{}:{}",
        request.provider.name,
        target.binary.shown.display(),
        if is_cpp { "cpp:" } else { "" }
    );
    Ok(groups
        .into_iter()
        .flat_map(|(context, sites)| {
            places(
                expander,
                request,
                target.binary,
                (context, sites, prefix.as_str()),
                target.on_return,
            )
        })
        .collect())
}

/// Sites of one binary: in one link if the kernel can.
pub(super) fn places(
    expander: &Expander<'_>,
    request: &Request<'_>,
    binary: &Binary,
    (context, sites, prefix): (Context, Vec<UprobeSite>, &str),
    on_return: bool,
) -> Vec<Found> {
    let path = binary.path.to_string_lossy().into_owned();
    let pid = expander.target_pid();
    let names: Vec<String> = sites
        .iter()
        .map(|site| format!("{prefix}{}", site.name))
        .collect();
    if expander.features.uprobe_multi {
        let place = Place::UprobeMulti {
            path,
            sites,
            cookies: Vec::new(),
            on_return,
            pid,
        };
        return vec![Found {
            names,
            ..request.found(String::new(), ProgramKind::UprobeMulti, context, place)
        }];
    }
    let each = sites.into_iter().zip(names).map(|(site, name)| {
        let place = Place::Uprobe {
            path: path.clone(),
            site,
            on_return,
            pid,
        };
        request.found(name, ProgramKind::Kprobe, context.clone(), place)
    });
    each.collect()
}

/// Of a function's several names the one that was asked for.
fn shown_name(function: &Function<'_>, pattern: &Pattern, is_cpp: bool) -> String {
    if !is_cpp {
        let name = function
            .names()
            .find(|name| pattern.matches(name))
            .unwrap_or(function.name());
        return name.to_string();
    }
    let matching = |text: &String| pattern.matches(text);
    let short = function.names().filter_map(demangle_short).find(matching);
    short
        .or_else(|| function.names().filter_map(demangle).find(matching))
        .unwrap_or_else(|| function.name().to_string())
}

fn left_out(target: &Target<'_>, part: &Part, refused: &[String]) -> Diagnostic {
    let count = refused.len();
    let shown: Vec<String> = refused
        .iter()
        .take(MAX_NAMED)
        .map(|name| format!("`{name}`"))
        .collect();
    let more = if count > MAX_NAMED {
        format!(" and {} more", count - MAX_NAMED)
    } else {
        String::new()
    };
    let message = format!(
        "{count} functions of `{}` cannot be probed and are left out",
        target.binary.shown.display()
    );
    Diagnostic::warning("not-probeable", part.span, message)
        .label("the kernel refuses their first instructions")
        .note(format!("left out: {}{more}", shown.join(", ")))
}

fn no_function(request: &Request<'_>, target: &Target<'_>, part: &Part, name: &str) -> Diagnostic {
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
