//! Whole values at calls in user space: arguments where debug information says they are, results where the convention has them.

use std::sync::Arc;

use fathom_bpf::object::Gap;
use fathom_machine::dwarf::{
    DebugFunction, DebugInfo, Expression, InlinedCopy, Language, Location, Operation, Parameter,
    Piece, Presence, TypeGraph, TypeIndex, Variable,
};
use fathom_machine::elf::{Elf, Function, SiteCost};
use fathom_machine::go::CallConvention;
use fathom_machine::{Address, FileOffset};

use super::uprobe_args::debug_info;
use super::uprobe_go;
use crate::probes::arguments::{self, Arguments};
use crate::probes::context::WholeValue;
use crate::probes::expand::Expander;
use crate::probes::results::{self, ResultPlace};
use crate::probes::{ArgSource, Argument};
use crate::ty::Type;

/// `endbr64`, with which functions start where jumps are checked.
const ENDBR64: [u8; 4] = [0xf3, 0x0f, 0x1e, 0xfa];

/// In names of copies of functions that GCC made without some parameters, or without a result that nobody uses.
const CHANGED_COPY: &str = ".isra.";
/// What can be said of their results.
const NO_RESULT: &str = "perhaps optimised out: GCC makes such copies without results";

/// Why most values are missing.
const OPTIMISED_OUT: &str = "optimised out";

/// Where to probe for a function's arguments, and where they are there.
pub(super) struct Entry {
    /// Bytes behind the function's start.
    pub(super) shift: u64,
    /// The canonical frame address there; `None` where the stack pointer plus 8 is it.
    pub(super) frame: Option<Expression>,
    /// See [`Context::keeps_result`](crate::probes::Context::keeps_result).
    pub(super) keeps_result: bool,
    /// The arguments, in order.
    pub(super) told: Told,
}

/// Values at an instruction, by debug information.
pub(super) struct Told {
    values: Vec<Value>,
    types: TypeGraph,
    language: Language,
    /// Address of the instruction in the file.
    site: Address,
    is_kept: bool,
}

/// A value, before it has a type of the language or a shape.
struct Value {
    name: String,
    ty: TypeIndex,
    location: Location,
}

/// The arguments of a function; `Err` says why they are not known.
pub(super) fn at_entry(
    expander: &Expander<'_>,
    elf: &Arc<Elf>,
    function: &Function<'_>,
) -> Result<Entry, String> {
    if let Some(convention) = go_convention(elf, function) {
        return Ok(Entry {
            shift: 0,
            frame: None,
            keeps_result: false,
            told: go_values(expander, elf, function, (convention, false))?,
        });
    }
    let (info, described) = describe(expander, elf, function)?;
    let result = described.return_type;
    let keeps_result = result.is_some_and(|result| {
        results::place(&described.types, result, described.language) == ResultPlace::Kept
    });
    let found = behind_prologue(elf, function, &info, &described)
        .or_else(|| by_convention(elf, function, &described))
        .unwrap_or_else(|| at_start(elf, function, described));
    Ok(Entry {
        keeps_result,
        ..found
    })
}

/// Optimised code has its arguments where the function starts.
fn at_start(elf: &Elf, function: &Function<'_>, described: DebugFunction) -> Entry {
    let parameters = described.parameters.into_iter();
    let values = parameters
        .filter(|parameter| !parameter.is_result)
        .map(|parameter| Value {
            location: match is_stored(&parameter) {
                true => Location::Unreadable("not yet stored where the function starts".to_owned()),
                false => in_order(parameter.location),
            },
            name: parameter.name,
            ty: parameter.type_index,
        })
        .collect();
    entry(elf, function, values, described.types, described.language)
}

fn entry(
    elf: &Elf,
    function: &Function<'_>,
    values: Vec<Value>,
    types: TypeGraph,
    language: Language,
) -> Entry {
    let shift = cheaper_start(elf, function);
    Entry {
        shift,
        keeps_result: false,
        frame: None,
        told: Told {
            values,
            types,
            language,
            site: Address(function.address.0 + shift),
            is_kept: false,
        },
    }
}

/// The debug information of a binary.
pub(super) fn debug_information(
    expander: &Expander<'_>,
    elf: &Arc<Elf>,
) -> fathom_machine::Result<Arc<DebugInfo>> {
    debug_info(expander, elf)
}

/// The arguments of an inlined copy.
pub(super) fn of_copy(copy: &InlinedCopy, types: &TypeGraph) -> Told {
    let parameters = copy.parameters.iter();
    let values = parameters.map(|parameter| Value {
        name: parameter.name.clone(),
        ty: parameter.type_index,
        location: parameter.location.clone(),
    });
    Told {
        values: values.collect(),
        language: types.language(),
        types: types.clone(),
        site: copy.entry,
        is_kept: false,
    }
}

/// The variables that exist at an instruction, and have a value there; `Err` says why they are not known.
pub(super) fn at_line(
    expander: &Expander<'_>,
    elf: &Arc<Elf>,
    (site, line): (Address, Option<u64>),
) -> Result<Told, String> {
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
        .into_iter()
        .filter(|variable| !variable.is_result && is_set(variable));
    Ok(Told {
        values: variables.map(Value::from).collect(),
        types: scope.types,
        language: scope.language,
        site,
        is_kept: false,
    })
}

impl From<Variable> for Value {
    fn from(variable: Variable) -> Value {
        Value {
            name: variable.name,
            ty: variable.type_index,
            location: variable.location,
        }
    }
}

/// Code that stores its arguments first, at a place that it comes back to later: they are where the caller put them.
fn by_convention(elf: &Elf, function: &Function<'_>, described: &DebugFunction) -> Option<Entry> {
    let parameters = described.parameters.iter();
    let parameters: Vec<&Parameter> = parameters
        .filter(|parameter| !parameter.is_result)
        .collect();
    if parameters.is_empty() || !parameters.iter().all(|one| is_stored(one)) {
        return None;
    }
    let (types, language) = (&described.types, described.language);
    let has_place = described.return_type.is_some_and(|result| {
        matches!(
            results::place(types, result, language),
            ResultPlace::Kept | ResultPlace::At(Location::Memory(_))
        )
    });
    let mut arguments = Arguments::new(types, language, has_place)?;
    let values = parameters.iter().map(|parameter| Value {
        name: parameter.name.clone(),
        ty: parameter.type_index,
        location: arguments.next(parameter.type_index),
    });
    let values = values.collect();
    Some(entry(elf, function, values, types.clone(), language))
}

/// GCC swaps the halves of integers of 16 bytes when it describes where they are later on; at the start the first
/// register has the lower half.
fn in_order(location: Location) -> Location {
    let Location::Pieces(mut pieces) = location else {
        return location;
    };
    let order = |piece: &Piece| match piece.location {
        Location::Register(number) if piece.size == 8 => arguments::order(number),
        _ => None,
    };
    if let [first, second] = pieces.as_mut_slice()
        && let (Some(one), Some(other)) = (order(first), order(second))
        && one == other + 1
    {
        std::mem::swap(first, second);
    }
    Location::Pieces(pieces)
}

fn is_stored(parameter: &Parameter) -> bool {
    parameter.presence == Presence::Located && !parameter.is_valid_at_entry
}

/// Unoptimised code stores its arguments first: they are found behind that.
fn behind_prologue(
    elf: &Elf,
    function: &Function<'_>,
    info: &DebugInfo,
    described: &DebugFunction,
) -> Option<Entry> {
    if !described.parameters.iter().any(is_stored) {
        return None;
    }
    let site = info.after_prologue(described.address).ok().flatten()?;
    let shift = site.0.checked_sub(described.address.0)?;
    if !elf.is_passed_once(function, shift) {
        return None;
    }
    let frame = info.canonical_frame_address(site)?;
    let scope = info.variables_at(site).ok().flatten()?;
    let parameters = scope.variables.into_iter().filter(|variable| {
        variable.is_parameter && !variable.is_result && variable.inlined.is_none()
    });
    Some(Entry {
        shift,
        frame: Some(frame),
        keeps_result: false,
        told: Told {
            values: parameters.map(Value::from).collect(),
            types: scope.types,
            language: scope.language,
            site,
            is_kept: false,
        },
    })
}

/// The result of a function; `Err` says why it is not known.
pub(super) fn at_return(
    expander: &Expander<'_>,
    elf: &Arc<Elf>,
    function: &Function<'_>,
) -> Result<Told, String> {
    if let Some(convention) = go_convention(elf, function) {
        return go_values(expander, elf, function, (convention, true));
    }
    let (_, described) = describe(expander, elf, function)?;
    let is_changed = function.names().any(|name| name.contains(CHANGED_COPY));
    let place = described.return_type.map(|result| match is_changed {
        true => ResultPlace::At(Location::Unreadable(NO_RESULT.to_owned())),
        false => results::place(&described.types, result, described.language),
    });
    let is_kept = place == Some(ResultPlace::Kept);
    let result = described.return_type.zip(place).map(|(ty, place)| Value {
        name: String::new(),
        ty,
        location: match place {
            ResultPlace::At(location) => location,
            ResultPlace::Kept => Location::Memory(Expression::default()),
        },
    });
    Ok(Told {
        values: result.into_iter().collect(),
        types: described.types,
        language: described.language,
        site: function.address,
        is_kept,
    })
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
) -> Result<Told, String> {
    let (types, located) = uprobe_go::located(expander, elf, function, about)?;
    // The dictionary of a generic function is no argument of the source.
    let shown = located.into_iter().filter(|value| value.name != ".dict");
    let values = shown.map(|value| Value {
        name: value.name,
        ty: value.ty,
        location: value.location,
    });
    Ok(Told {
        values: values.collect(),
        types,
        language: Language::Go,
        site: function.address,
        is_kept: false,
    })
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

impl Told {
    /// For `call()`.
    pub(super) fn whole(&self, expander: &Expander<'_>, elf: &Elf) -> Vec<WholeValue> {
        let types = self.values.iter().map(|value| value.ty);
        let shapes = expander.types.add_shapes(&self.types, self.language, types);
        let values = self.values.iter().zip(shapes);
        let whole = values.map(|(value, shape)| {
            let size = expander.types.shapes().get(shape).size;
            WholeValue {
                name: value.name.clone(),
                shape,
                missing: missing(&value.location),
                gaps: gaps(&value.location, size),
                site: self.moved_site(elf, &value.location),
                is_kept: self.is_kept,
                size,
                location: value.location.clone(),
            }
        });
        whole.collect()
    }

    /// For `args.NAME`.
    pub(super) fn arguments(&self, expander: &Expander<'_>, elf: &Elf) -> Vec<Argument> {
        let graph = expander.types.add_graph(self.types.clone());
        let binary = elf.path().to_string_lossy();
        let values = self.values.iter().enumerate();
        let arguments = values.map(|(number, value)| {
            let ty = expander.types.debug_type(graph, value.ty, &binary);
            Argument {
                name: match value.name.is_empty() {
                    true => format!("arg{number}"),
                    false => value.name.clone(),
                },
                source: match &ty {
                    Type::Opaque(name) => ArgSource::Unreadable(format!(
                        "values of type `{name}` are not supported; `call()` shows them"
                    )),
                    _ => self.source(elf, &value.location),
                },
                ty,
            }
        });
        arguments.collect()
    }

    /// For `retval`; `None` for nothing, and where it is better taken as a number.
    pub(super) fn result(&self, expander: &Expander<'_>, elf: &Elf) -> Option<Argument> {
        let mut all = self.arguments(expander, elf).into_iter();
        let only = all.next().filter(|_| all.len() == 0 && !self.is_kept)?;
        if matches!(only.source, ArgSource::Unreadable(_)) {
            return None;
        }
        Some(Argument {
            name: "retval".to_owned(),
            ..only
        })
    }

    fn source(&self, elf: &Elf, location: &Location) -> ArgSource {
        let gone = missing(location).or_else(|| {
            let gaps = gaps(location, 0);
            gaps.into_iter()
                .next()
                .map(|gap| format!("partly {}", gap.why))
        });
        match gone {
            Some(why) => ArgSource::Unreadable(format!("it is {why}")),
            None => ArgSource::Located {
                location: location.clone(),
                site: self.moved_site(elf, location),
            },
        }
    }

    /// Where the values are told, if that depends on where the file is loaded.
    fn moved_site(&self, elf: &Elf, location: &Location) -> Option<u64> {
        let is_moved = elf.is_position_independent() && depends_on_load(location);
        is_moved.then_some(self.site.0)
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
