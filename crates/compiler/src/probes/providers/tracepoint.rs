//! `tracepoint`: the kernel's stable events with their fields.

use fathom_bpf::object::{Place, ProgramKind};
use fathom_machine::pattern::Pattern;
use fathom_machine::tracefs::{Event, FieldKind, LocationBase, TracepointField, TracepointFormat};
use fathom_machine::{Error, Machine};

use super::syscalls;
use super::trampoline::machine_problem;
use crate::probes::context::ContextKind;
use crate::probes::expand::{Expander, Failure, Found, Request};
use crate::probes::{ArgSource, Argument};
use crate::ty::{Space, Type};
use crate::types::Types;

pub(in crate::probes) fn expand(
    expander: &mut Expander<'_>,
    request: &Request<'_>,
) -> Result<Vec<Found>, Failure> {
    let [subsystem, event] = request.parts else {
        return Err(request.misshapen());
    };
    let (subsystems, names) = (
        Pattern::new(subsystem.text.as_str()),
        Pattern::new(event.text.as_str()),
    );
    if subsystems.is_literal() && names.is_literal() {
        let event = Event {
            subsystem: subsystem.text.clone(),
            name: event.text.clone(),
        };
        return single(expander, request, &event).map(|found| vec![found]);
    }
    let tracefs = expander
        .machine
        .tracefs()
        .map_err(|error| Failure::missing(unreachable_tracefs(request, &error)))?;
    let events = tracefs.matching(&subsystems, &names).map_err(|error| {
        Failure::missing(machine_problem(request, subsystem, "no-tracepoint", &error))
    })?;
    if events.is_empty() {
        let message = format!("no tracepoint matches `{}:{}`", subsystem.text, event.text);
        let problem = request
            .missing("no-tracepoint", request.span, message)
            .label("matches nothing on this machine");
        return Err(Failure::missing(
            problem.help("`fathom list 'tracepoint:*'` shows all"),
        ));
    }
    Ok(many(expander, request, &events))
}

/// Without `args`, system calls go to a raw tracepoint; what is left goes one by one.
fn many(expander: &Expander<'_>, request: &Request<'_>, events: &[&Event]) -> Vec<Found> {
    let mut found = Vec::new();
    let mut left = events.to_vec();
    if !request.needs.args {
        for (prefix, raw) in [("sys_enter_", "sys_enter"), ("sys_exit_", "sys_exit")] {
            let (served, others) = syscalls::split(&left, prefix);
            if !served.is_empty() {
                found.push(syscalls::on_raw_tracepoint(expander, request, raw, served));
            }
            left = others;
        }
    }
    found.extend(left.iter().map(|event| {
        let format = if request.needs.args {
            expander
                .machine
                .tracefs()
                .and_then(|it| it.format(&event.subsystem, &event.name))
                .ok()
        } else {
            None
        };
        at_event(expander, request, event, format.as_ref())
    }));
    found
}

/// A tracepoint by its full name. Its format is read also when no argument is asked for: that tells whether it is there.
fn single(expander: &Expander<'_>, request: &Request<'_>, event: &Event) -> Result<Found, Failure> {
    let tracefs = expander
        .machine
        .tracefs()
        .map_err(|error| Failure::missing(unreachable_tracefs(request, &error)))?;
    match tracefs.format(&event.subsystem, &event.name) {
        Ok(format) => Ok(at_event(expander, request, event, Some(&format))),
        Err(error) => Err(Failure::missing(no_tracepoint(request, event, &error))),
    }
}

fn at_event(
    expander: &Expander<'_>,
    request: &Request<'_>,
    event: &Event,
    format: Option<&TracepointFormat>,
) -> Found {
    let mut context = request.context(ContextKind::Record);
    context.filter_pid = expander.options.pid;
    match format.filter(|_| request.needs.args) {
        Some(format) => context.args = Some(arguments(expander, &event.subsystem, format)),
        None => {
            context.args_missing = Some(format!(
                "`{}:{}` has no readable format",
                event.subsystem, event.name
            ))
        }
    }
    if !request.needs.args {
        // Nothing asks: events with different names share a program.
        context.args_missing = None;
    }
    let name = format!(
        "{}:{}:{}",
        request.provider.name, event.subsystem, event.name
    );
    let place = Place::Tracepoint {
        category: event.subsystem.clone(),
        event: event.name.clone(),
    };
    request.found(name, ProgramKind::Tracepoint, context, place)
}

fn arguments(expander: &Expander<'_>, subsystem: &str, format: &TracepointFormat) -> Vec<Argument> {
    let is_syscall = subsystem == "syscalls";
    format
        .args()
        .map(|field| {
            argument(
                expander.types,
                field,
                is_syscall,
                expander.config.max_strlen as u32,
            )
        })
        .collect()
}

fn argument(
    types: &Types<'_>,
    field: &TracepointField,
    is_syscall: bool,
    max_string: u32,
) -> Argument {
    let space = if is_syscall || field.c_type.contains("__user") {
        Space::User
    } else {
        Space::Kernel
    };
    let in_place = |ty| {
        (
            ty,
            ArgSource::Context {
                offset: field.offset,
                size: field.size,
            },
        )
    };
    let (ty, source) = match &field.kind {
        FieldKind::Pointer => in_place(types.c_text(&field.c_type, space)),
        FieldKind::Scalar => scalar(types, field, is_syscall),
        FieldKind::Array { element, len } if element == "char" => {
            in_place(Type::String { size: *len })
        }
        FieldKind::Array { element, len } => {
            let element = sized(
                types.c_text(element, space),
                field.size / (*len).max(1),
                field.signed,
            );
            in_place(Type::Array {
                element: element.into(),
                len: *len,
            })
        }
        FieldKind::Dynamic { element, base } => {
            let relative = *base == LocationBase::FieldEnd;
            (
                dynamic(types, element, max_string),
                ArgSource::DataLocation {
                    offset: field.offset,
                    relative,
                },
            )
        }
    };
    Argument {
        name: field.name.clone(),
        ty,
        source,
    }
}

/// Data whose length only the record tells: as long as a string may be.
fn dynamic(types: &Types<'_>, element: &str, max_bytes: u32) -> Type {
    match types.c_text(element, Space::Kernel) {
        Type::Int { size: 1, .. } if element.contains("char") => Type::String { size: max_bytes },
        Type::Int { size: 1, .. } => Type::Buffer { size: max_bytes },
        element => {
            let len = max_bytes / types.size_of(&element).max(1);
            Type::Array {
                element: element.into(),
                len,
            }
        }
    }
}

fn scalar(types: &Types<'_>, field: &TracepointField, is_syscall: bool) -> (Type, ArgSource) {
    let declared = types.c_text(&field.c_type, Space::Unknown);
    // Unknown names of plain numbers are told by the format alone.
    let declared_size = types.size_of(&declared);
    // All arguments of system calls take 8 bytes in the record; what the caller left in the upper half of an `int` means nothing.
    let narrows = is_syscall && declared.is_int() && declared_size < field.size;
    let ty = if narrows {
        declared
    } else {
        sized(declared, field.size, field.signed)
    };
    let size = if narrows { declared_size } else { field.size };
    (
        ty,
        ArgSource::Context {
            offset: field.offset,
            size,
        },
    )
}

/// The format's word on size and sign goes before what the name of the type means here.
fn sized(declared: Type, size: u32, signed: bool) -> Type {
    match declared {
        Type::Bool if size == 1 => Type::Bool,
        Type::Enum(of) if of.size == size => Type::Enum(of),
        Type::Pointer { .. } | Type::Struct(_) | Type::String { .. } | Type::Array { .. } => {
            declared
        }
        _ if matches!(size, 1 | 2 | 4 | 8) => Type::Int { size, signed },
        _ => Type::Array {
            element: Type::U8.into(),
            len: size,
        },
    }
}

fn unreachable_tracefs(request: &Request<'_>, error: &Error) -> fathom_syntax::Diagnostic {
    request
        .missing(
            "no-tracefs",
            request.span,
            "tracepoints cannot be looked up without tracefs",
        )
        .label("needs tracefs")
        .note(error.to_string())
        .help("run as root, or mount it: mount -t tracefs nodev /sys/kernel/tracing")
}

fn no_tracepoint(request: &Request<'_>, event: &Event, error: &Error) -> fathom_syntax::Diagnostic {
    if !error.is_missing() {
        return machine_problem(request, &request.parts[0], "no-tracepoint", error);
    }
    let message = format!(
        "there is no tracepoint `{}:{}`",
        event.subsystem, event.name
    );
    let span = request.parts[0].span.to(request.parts[1].span);
    let problem = request
        .missing("no-tracepoint", span, message)
        .label("not on this machine");
    match error.nearest().first() {
        Some(best) => problem.fix(format!("did you mean `{best}`?"), span, best.clone()),
        None => problem.help(format!(
            "`fathom list 'tracepoint:{}:*'` shows those of this subsystem",
            event.subsystem
        )),
    }
}

/// Names and C types of a tracepoint's fields, for listings.
pub(in crate::probes) fn listed_fields(machine: &Machine, event: &Event) -> Vec<(String, String)> {
    let Ok(format) = machine
        .tracefs()
        .and_then(|tracefs| tracefs.format(&event.subsystem, &event.name))
    else {
        return Vec::new();
    };
    format
        .args()
        .map(|field| (field.c_type.clone(), field.name.clone()))
        .collect()
}
