//! `uprobe` and `uretprobe`: functions of programs and libraries.

use std::sync::Arc;

use fathom_machine::elf::{Binary, Elf};
use fathom_machine::pattern::Pattern;
use fathom_machine::{Address, Pid};
use fathom_syntax::Diagnostic;

mod go;
mod inlined;
mod many;
mod site;
mod unwound;

pub(super) use many::places;

use many::many;
use site::{at_address, single};

use super::kprobe::split_offset;
use super::trampoline::machine_problem;
use super::uprobe_args;
use crate::probes::expand::{Expander, Failure, Found, Part, Request};
use crate::probes::number;

/// Functions named in a warning.
const MAX_NAMED: usize = 5;

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
    /// A name or pattern, and how far behind the start, if that is said.
    Function {
        part: &'p Part,
        name: &'p str,
        offset: Option<u64>,
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
    let whole_only = matches!(
        wanted,
        Wanted::Function {
            offset: None | Some(0),
            ..
        }
    );
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
            offset: None,
            is_cpp,
        },
        _ => {
            let (name, offset) = split_offset(function)?;
            Wanted::Function {
                part: function,
                name,
                offset: (name.len() < function.text.len()).then_some(offset),
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
    if let (None, None, Some(pid)) = (named, expander.options.child_path, pid)
        && let Ok(program) = expander.machine.program_of(pid)
    {
        return Ok(vec![program]);
    }
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
            // Go has names such as `main.(*Server).Handle` and `main.Max[...]`.
            let is_one = pattern.is_literal() || elf.find_function(name).is_some();
            let found = match is_one {
                true => single(expander, request, &target, (part, name, *offset, *is_cpp)),
                false => many(expander, request, &target, (part, &pattern, *is_cpp)),
            };
            if offset.is_some() {
                return found;
            }
            inlined::with_copies(expander, request, &target, (part, &pattern), found)
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
