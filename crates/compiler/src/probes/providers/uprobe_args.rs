//! Arguments of functions in user space by debug information, and places of source lines.

use std::sync::Arc;

use fathom_machine::dwarf::{
    CompositeKind, DebugFunction, DebugInfo, DebugType, Presence, TypeGraph, TypeIndex,
};
use fathom_machine::elf::{Elf, Function, is_mangled};
use fathom_machine::{Address, Error, Result};

use crate::probes::expand::Expander;
use crate::probes::registers::CallingConvention;
use crate::probes::{ArgSource, Argument};

/// Ends of names of copies that compilers make, with other parameters than the function itself.
const CLONES: [&str; 4] = [".constprop.", ".isra.", ".part.", ".specialized."];
/// How deep members are looked at.
const MAX_DEPTH: usize = 16;

/// Arguments of a function with their types, by the calling convention; `Err` says why there are none.
pub(super) fn arguments(
    expander: &Expander<'_>,
    elf: &Arc<Elf>,
    function: &Function<'_>,
) -> std::result::Result<Vec<Argument>, String> {
    let described = debug_info(expander, elf)
        .and_then(|info| info.function_at(function.address))
        .map_err(|error| error.to_string())?;
    let Some(described) = described else {
        return Err(format!(
            "the debug information of {} does not describe `{}`",
            elf.path().display(),
            function.name()
        ));
    };
    Ok(by_convention(expander, elf, function, described))
}

/// Walks the parameters as the compiler of a caller does. Where the rules cannot be known from DWARF alone (C++ objects that may
/// be passed by hidden reference), the rest is left out rather than guessed.
fn by_convention(
    expander: &Expander<'_>,
    elf: &Elf,
    function: &Function<'_>,
    described: DebugFunction,
) -> Vec<Argument> {
    let is_cpp = function.names().any(is_mangled);
    let is_clone = function
        .names()
        .any(|name| CLONES.iter().any(|clone| name.contains(clone)) || is_rust(name));
    let graph = described.types.clone();
    let id = expander.types.add_graph(described.types);
    let binary = elf.path().to_string_lossy();
    let mut convention = CallingConvention::new(true);
    let mut args = Vec::new();
    if let Some(result) = described
        .return_type
        .filter(|result| is_composite(&graph, *result))
    {
        match graph.size_of(result) {
            Some(size) if size > 16 => convention.skip_register(),
            Some(_) if !is_cpp => {}
            _ => return args,
        }
    }
    for (number, parameter) in described.parameters.iter().enumerate() {
        let ty = expander.types.debug_type(id, parameter.type_index, &binary);
        let name = if parameter.name.is_empty() {
            format!("arg{number}")
        } else {
            parameter.name.clone()
        };
        match parameter.presence {
            Presence::Constant(value) => {
                args.push(Argument {
                    name,
                    ty,
                    source: ArgSource::Constant(value),
                });
                continue;
            }
            // A copy made for some callers does not take what they all leave out.
            Presence::Absent if is_clone => continue,
            Presence::Absent | Presence::Located => {}
        }
        if is_composite(&graph, parameter.type_index)
            && (is_cpp || has_float(&graph, parameter.type_index, 0))
        {
            break;
        }
        let size = expander.types.size_of(&ty);
        if let Some(source) = convention.place(&ty, size) {
            args.push(Argument { name, ty, source });
        }
    }
    args
}

/// Rust drops and reorders parameters of functions that nothing outside calls.
fn is_rust(name: &str) -> bool {
    name.starts_with("_R") || (name.starts_with("_ZN") && name.contains("17h"))
}

fn is_composite(graph: &TypeGraph, index: TypeIndex) -> bool {
    matches!(
        graph.get(graph.resolve(index)),
        DebugType::Composite {
            kind: CompositeKind::Struct | CompositeKind::Class | CompositeKind::Union,
            ..
        }
    )
}

/// Whether a struct has floating-point members, which may travel in registers that cannot be read.
fn has_float(graph: &TypeGraph, index: TypeIndex, depth: usize) -> bool {
    use fathom_machine::dwarf::BaseEncoding;
    match graph.get(graph.resolve(index)) {
        _ if depth > MAX_DEPTH => true,
        DebugType::Base { encoding, .. } => {
            matches!(encoding, BaseEncoding::Float | BaseEncoding::Other)
        }
        DebugType::Array { element, .. } => has_float(graph, *element, depth + 1),
        DebugType::Composite { size, members, .. } if *size <= 16 => members
            .iter()
            .any(|member| has_float(graph, member.type_index, depth + 1)),
        _ => false,
    }
}

/// Where the code of a source line starts.
pub(super) fn line_addresses(
    expander: &Expander<'_>,
    elf: &Arc<Elf>,
    line: (&str, u64, Option<u64>),
) -> Result<Vec<Address>> {
    let (file, line, column) = line;
    let found = debug_info(expander, elf)?.find_line(file, line, column)?;
    let in_code = found
        .iter()
        .map(|found| found.address)
        .filter(|address| elf.is_code(*address));
    let addresses: Vec<Address> = in_code.collect();
    if addresses.is_empty() {
        return Err(Error::NoDebugInfo {
            path: elf.path().to_path_buf(),
        });
    }
    Ok(addresses)
}

/// Debug information of a binary, found once.
pub(super) fn debug_info(expander: &Expander<'_>, elf: &Arc<Elf>) -> Result<Arc<DebugInfo>> {
    if let Some(known) = expander.debug_infos.borrow().get(elf.path()) {
        return Ok(known.clone());
    }
    let machine = expander.machine;
    let found = DebugInfo::find(elf, machine.root(), machine.debug_folders())?;
    let found = Arc::new(found);
    expander
        .debug_infos
        .borrow_mut()
        .insert(elf.path().to_path_buf(), found.clone());
    Ok(found)
}
