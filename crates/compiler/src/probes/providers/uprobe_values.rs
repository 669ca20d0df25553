//! Whole values at calls in user space: arguments where debug information says they are, results where the convention has them.

use std::sync::Arc;

use fathom_bpf::object::Gap;
use fathom_bpf::shape::ShapeId;
use fathom_machine::dwarf::{
    DebugFunction, DebugInfo, Expression, InlinedCopy, Language, Location, Operation, Presence,
    TypeGraph, TypeIndex, Variable,
};
use fathom_machine::elf::{Elf, Function, SiteCost};
use fathom_machine::go::CallConvention;
use fathom_machine::{Address, FileOffset};

use super::uprobe_args::debug_info;
use super::uprobe_go;
use crate::probes::context::WholeValue;
use crate::probes::expand::Expander;
use crate::probes::results::{self, ResultPlace};

/// `endbr64`, with which functions start where jumps are checked.
const ENDBR64: [u8; 4] = [0xf3, 0x0f, 0x1e, 0xfa];

/// Why most values are missing.
const OPTIMISED_OUT: &str = "optimised out";

/// Where to probe for a function's arguments, and what they are there.
pub(super) struct EntryValues {
    /// Bytes behind the function's start.
    pub(super) shift: u64,
    /// The canonical frame address there; `None` where the stack pointer plus 8 is it.
    pub(super) frame: Option<Expression>,
    /// See [`Context::keeps_result`](crate::probes::Context::keeps_result).
    pub(super) keeps_result: bool,
    /// In order.
    pub(super) values: Vec<WholeValue>,
}

/// A value before it has a shape.
struct Told {
    name: String,
    ty: TypeIndex,
    location: Location,
}

/// The arguments of a function; `Err` says why they are not known.
pub(super) fn at_entry(
    expander: &Expander<'_>,
    elf: &Arc<Elf>,
    function: &Function<'_>,
) -> Result<EntryValues, String> {
    if let Some(convention) = go_convention(elf, function) {
        return Ok(EntryValues {
            shift: 0,
            frame: None,
            keeps_result: false,
            values: go_values(expander, elf, function, (convention, false))?,
        });
    }
    let (info, described) = describe(expander, elf, function)?;
    let result = described.return_type;
    let keeps_result = result.is_some_and(|result| {
        results::place(&described.types, result, described.language) == ResultPlace::Kept
    });
    let found = match behind_prologue(expander, elf, &info, &described) {
        Some(found) => found,
        None => {
            let parameters = described.parameters.iter();
            let told = parameters
                .filter(|parameter| !parameter.is_result)
                .map(|parameter| Told {
                    name: parameter.name.clone(),
                    ty: parameter.type_index,
                    location: parameter.location.clone(),
                })
                .collect();
            let shift = cheaper_start(elf, function);
            let site = Address(function.address.0 + shift);
            EntryValues {
                shift,
                keeps_result: false,
                frame: None,
                values: values(
                    expander,
                    elf,
                    (&described.types, described.language),
                    site,
                    told,
                ),
            }
        }
    };
    Ok(EntryValues {
        keeps_result,
        ..found
    })
}

/// The debug information of a binary.
pub(super) fn debug_information(
    expander: &Expander<'_>,
    elf: &Arc<Elf>,
) -> fathom_machine::Result<Arc<DebugInfo>> {
    debug_info(expander, elf)
}

/// The arguments of an inlined copy.
pub(super) fn of_copy(
    expander: &Expander<'_>,
    elf: &Elf,
    copy: &InlinedCopy,
    types: &TypeGraph,
) -> Vec<WholeValue> {
    let parameters = copy.parameters.iter();
    let told = parameters.map(|parameter| Told {
        name: parameter.name.clone(),
        ty: parameter.type_index,
        location: parameter.location.clone(),
    });
    let told = told.collect();
    let about = (types, types.language());
    values(expander, elf, about, copy.entry, told)
}

/// The variables that exist at an instruction, and have a value there; `Err` says why they are not known.
pub(super) fn at_line(
    expander: &Expander<'_>,
    elf: &Arc<Elf>,
    (site, line): (Address, Option<u64>),
) -> Result<Vec<WholeValue>, String> {
    let info = debug_info(expander, elf).map_err(|error| error.to_string())?;
    let scope = info.variables_at(site).map_err(|error| error.to_string())?;
    let scope = scope.ok_or("the debug information describes no function here")?;
    // Those declared here or below have no value yet.
    let is_set = |variable: &Variable| match (variable.line, line) {
        _ if variable.is_parameter => true,
        (Some(declared), Some(line)) => declared < line,
        _ => true,
    };
    let variables = scope
        .variables
        .iter()
        .filter(|variable| !variable.is_result && is_set(variable));
    let told = variables.map(|variable| Told {
        name: variable.name.clone(),
        ty: variable.type_index,
        location: variable.location.clone(),
    });
    let told = told.collect();
    let about = (&scope.types, scope.language);
    Ok(values(expander, elf, about, site, told))
}

/// Unoptimised code stores its arguments first: they are found behind that.
fn behind_prologue(
    expander: &Expander<'_>,
    elf: &Elf,
    info: &DebugInfo,
    described: &DebugFunction,
) -> Option<EntryValues> {
    let is_stored = |parameter: &fathom_machine::dwarf::Parameter| {
        parameter.presence == Presence::Located && !parameter.is_valid_at_entry
    };
    if !described.parameters.iter().any(is_stored) {
        return None;
    }
    let site = info.after_prologue(described.address).ok().flatten()?;
    let frame = info.canonical_frame_address(site)?;
    let scope = info.variables_at(site).ok().flatten()?;
    let parameters = scope.variables.iter().filter(|variable| {
        variable.is_parameter && !variable.is_result && variable.inlined.is_none()
    });
    let told = parameters
        .map(|variable| Told {
            name: variable.name.clone(),
            ty: variable.type_index,
            location: variable.location.clone(),
        })
        .collect();
    Some(EntryValues {
        shift: site.0.checked_sub(described.address.0)?,
        frame: Some(frame),
        keeps_result: false,
        values: values(expander, elf, (&scope.types, scope.language), site, told),
    })
}

/// The result of a function; `Err` says why it is not known.
pub(super) fn at_return(
    expander: &Expander<'_>,
    elf: &Arc<Elf>,
    function: &Function<'_>,
) -> Result<Vec<WholeValue>, String> {
    if let Some(convention) = go_convention(elf, function) {
        return go_values(expander, elf, function, (convention, true));
    }
    let (_, described) = describe(expander, elf, function)?;
    let Some(result) = described.return_type else {
        return Ok(Vec::new());
    };
    let place = results::place(&described.types, result, described.language);
    let is_kept = place == ResultPlace::Kept;
    let told = Told {
        name: String::new(),
        ty: result,
        location: match place {
            ResultPlace::At(location) => location,
            ResultPlace::Kept => Location::Memory(Expression::default()),
        },
    };
    let about = (&described.types, described.language);
    let mut found = values(expander, elf, about, function.address, vec![told]);
    for value in &mut found {
        value.is_kept = is_kept;
    }
    Ok(found)
}

/// How a function of Go takes its arguments; `None` for all others.
fn go_convention(elf: &Elf, function: &Function<'_>) -> Option<CallConvention> {
    elf.go()?.convention(function.address)
}

fn go_values(
    expander: &Expander<'_>,
    elf: &Arc<Elf>,
    function: &Function<'_>,
    about: (CallConvention, bool),
) -> Result<Vec<WholeValue>, String> {
    let (types, located) = uprobe_go::located(expander, elf, function, about)?;
    // The dictionary of a generic function is no argument of the source.
    let shown = located.into_iter().filter(|value| value.name != ".dict");
    let told = shown.map(|value| Told {
        name: value.name,
        ty: value.ty,
        location: value.location,
    });
    let told = told.collect();
    let about = (&types, Language::Go);
    Ok(values(expander, elf, about, function.address, told))
}

fn describe(
    expander: &Expander<'_>,
    elf: &Arc<Elf>,
    function: &Function<'_>,
) -> Result<(Arc<DebugInfo>, DebugFunction), String> {
    let info = debug_info(expander, elf).map_err(|error| error.to_string())?;
    let described = info.function_at(function.address);
    match described.map_err(|error| error.to_string())? {
        Some(described) => Ok((info, described)),
        None => Err(format!(
            "the debug information of {} does not describe `{}`",
            elf.path().display(),
            function.name()
        )),
    }
}

fn values(
    expander: &Expander<'_>,
    elf: &Elf,
    (types, language): (&TypeGraph, Language),
    site: Address,
    told: Vec<Told>,
) -> Vec<WholeValue> {
    let indices = told.iter().map(|value| value.ty);
    let shapes = expander.types.add_shapes(types, language, indices);
    let sized = told.into_iter().zip(shapes);
    sized
        .map(|(value, shape)| whole(expander, elf, site, value, shape))
        .collect()
}

fn whole(
    expander: &Expander<'_>,
    elf: &Elf,
    site: Address,
    told: Told,
    shape: ShapeId,
) -> WholeValue {
    let size = expander.types.shapes().get(shape).size;
    let is_moved = elf.is_position_independent() && depends_on_load(&told.location);
    WholeValue {
        name: told.name,
        shape,
        missing: missing(&told.location),
        gaps: gaps(&told.location, size),
        site: is_moved.then_some(site.0),
        is_kept: false,
        size,
        location: told.location,
    }
}

/// Why a value cannot be had, not even a part of it.
fn missing(location: &Location) -> Option<String> {
    match location {
        Location::Absent => Some(OPTIMISED_OUT.to_owned()),
        Location::Unreadable(why) => Some(why.clone()),
        Location::Pieces(pieces) => {
            let mut reasons = pieces.iter().map(|piece| missing(&piece.location));
            let first = reasons.next()??;
            reasons.all(|reason| reason.is_some()).then_some(first)
        }
        _ => None,
    }
}

/// The parts that cannot be had of a value that is in pieces.
fn gaps(location: &Location, size: u32) -> Vec<Gap> {
    let Location::Pieces(pieces) = location else {
        return Vec::new();
    };
    let mut gaps = Vec::new();
    let mut offset = 0u32;
    for piece in pieces {
        let bytes = u32::try_from(piece.size).unwrap_or(u32::MAX);
        if let Some(why) = missing(&piece.location) {
            gaps.push(Gap {
                offset,
                size: bytes,
                why,
            });
        }
        offset = offset.saturating_add(bytes);
    }
    if offset < size {
        gaps.push(Gap {
            offset,
            size: size - offset,
            why: OPTIMISED_OUT.to_owned(),
        });
    }
    gaps
}

/// Whether the location names an address of the file.
fn depends_on_load(location: &Location) -> bool {
    match location {
        Location::Value(expression) | Location::Memory(expression) => expression
            .0
            .iter()
            .any(|operation| matches!(operation, Operation::Static(_))),
        Location::Pieces(pieces) => pieces.iter().any(|piece| depends_on_load(&piece.location)),
        _ => false,
    }
}

/// Behind `endbr64`, where what follows costs less: the kernel steps over it, but emulates a push.
fn cheaper_start(elf: &Elf, function: &Function<'_>) -> u64 {
    let behind = ENDBR64.len() as u64;
    if !function.code().starts_with(&ENDBR64) || function.extent() <= behind {
        return 0;
    }
    match elf.probe_site(FileOffset(function.offset.0 + behind)) {
        Ok(SiteCost::Emulated | SiteCost::OptimizedNop) => behind,
        _ => 0,
    }
}
