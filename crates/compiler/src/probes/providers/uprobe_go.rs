//! Arguments and results of functions in Go, by debug information and Go's calling convention.

use std::sync::Arc;

use fathom_machine::dwarf::{
    DebugFunction, Expression, Location, Operation, Parameter, Piece as DebugPiece, TypeGraph,
    TypeIndex,
};
use fathom_machine::elf::{Elf, Function};
use fathom_machine::go::CallConvention;

use super::uprobe_args::debug_info;
use super::uprobe_go_described;
use crate::probes::expand::Expander;
use crate::probes::go_abi::{Assignment, INTEGERS, Piece, Place, Taken, assign};
use crate::probes::{ArgSource, Argument, registers};
use crate::ty::Type;

/// Bytes of the return address, which lies at the stack pointer where probes are.
const RETURN_ADDRESS: i64 = 8;

/// DWARF's number of the stack pointer.
const STACK_POINTER: u16 = 7;

/// Why arguments are not known although they are described.
const INCOMPLETE: &str = "the debug information leaves out parameters without a name, so that the places of the others are not known: use `reg(\"ax\")`, `reg(\"bx\")`, `reg(\"cx\")` …";

/// Since this version of Go 1 methods of generic types take the dictionary as their second argument.
const DICTIONARY_BEHIND_RECEIVER: u32 = 20;

/// What a function takes and gives.
pub(super) struct Signature {
    pub(super) arguments: Result<Vec<Argument>, String>,
    pub(super) results: Vec<Argument>,
}

/// A function's parameters and results, and where the convention has them.
struct Placed {
    described: DebugFunction,
    assigned: Assignment,
    /// The places agree with what the runtime knows of the function.
    is_complete: bool,
}

/// An argument or a result, before it has a type of the language or a shape.
pub(super) struct Located {
    pub(super) name: String,
    pub(super) ty: TypeIndex,
    pub(super) location: Location,
}

/// The arguments and results of a function; `Err` says why they are not known.
pub(super) fn signature(
    expander: &Expander<'_>,
    elf: &Arc<Elf>,
    function: &Function<'_>,
    convention: CallConvention,
) -> Result<Signature, String> {
    let placed = placed(expander, elf, function, convention)?;
    Ok(build(expander, elf, &placed))
}

/// Arguments, or results, as a debugger finds them, and the types they are told in.
pub(super) fn located(
    expander: &Expander<'_>,
    elf: &Arc<Elf>,
    function: &Function<'_>,
    (convention, on_return): (CallConvention, bool),
) -> Result<(TypeGraph, Vec<Located>), String> {
    let Placed {
        described,
        assigned,
        is_complete,
    } = placed(expander, elf, function, convention)?;
    let places = match on_return {
        true => &assigned.results,
        false => &assigned.arguments,
    };
    let is_on_stack = |piece: &Piece| matches!(piece.place, Place::Stack(_));
    if !is_complete && (!on_return || places.iter().flatten().any(is_on_stack)) {
        return Err(INCOMPLETE.to_owned());
    }
    let of_kind = described
        .parameters
        .iter()
        .filter(|parameter| parameter.is_result == on_return);
    let found = of_kind.zip(places).map(|(parameter, pieces)| Located {
        name: match on_return && parameter.name.starts_with('~') {
            true => String::new(),
            false => parameter.name.clone(),
        },
        ty: parameter.type_index,
        location: location(pieces),
    });
    let found = found.collect();
    Ok((described.types, found))
}

fn location(pieces: &[Piece]) -> Location {
    let place = |piece: &Piece| match piece.place {
        Place::Register(name) => Location::Register(debug_number(name)),
        Place::Float(number) => Location::Unreadable(format!("in XMM{number}: not readable")),
        Place::Stack(at) => Location::Memory(Expression(vec![Operation::Register {
            number: STACK_POINTER,
            offset: RETURN_ADDRESS.saturating_add_unsigned(at),
        }])),
    };
    if let [only] = pieces
        && only.offset == 0
    {
        return place(only);
    }
    let mut found = Vec::new();
    let mut at = 0;
    for piece in pieces {
        if piece.offset > at {
            found.push(DebugPiece {
                location: Location::Constant(Vec::new()),
                size: piece.offset - at,
            });
        }
        found.push(DebugPiece {
            location: place(piece),
            size: piece.size,
        });
        at = piece.offset + piece.size;
    }
    Location::Pieces(found)
}

/// DWARF's number of a register of the convention.
fn debug_number(name: &str) -> u16 {
    const NUMBERS: [u16; 9] = [0, 3, 2, 5, 4, 8, 9, 10, 11];
    let at = INTEGERS.iter().position(|known| *known == name);
    at.map_or(0, |at| NUMBERS[at])
}

fn placed(
    expander: &Expander<'_>,
    elf: &Arc<Elf>,
    function: &Function<'_>,
    convention: CallConvention,
) -> Result<Placed, String> {
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
    let mut described = without_repetitions(described);
    let reserved = elf
        .go()
        .and_then(|go| go.function_at(function.address))
        .and_then(|known| known.argument_bytes);
    let fits = |assigned: &Assignment| {
        reserved.is_none_or(|bytes| u64::from(bytes) == assigned.stack_bytes)
    };
    let plain = place(&described, None, convention)
        .ok_or("a type of its arguments or results is not described")?;
    let assigned = match dictionary_position(elf, function.name()) {
        Some(at) if !fits(&plain) => place(&described, Some(at), convention)
            .filter(fits)
            .unwrap_or(plain),
        _ => plain,
    };
    let mut is_complete = fits(&assigned);
    let mut assigned = assigned;
    let is_on_stack = |piece: &Piece| matches!(piece.place, Place::Stack(_));
    if !is_complete && !assigned.results.iter().flatten().any(is_on_stack) {
        assigned.arguments = uprobe_go_described::keep_told(&mut described);
        is_complete = !assigned.arguments.is_empty();
    }
    Ok(Placed {
        is_complete,
        described,
        assigned,
    })
}

/// Results that the compiler took apart are described twice by some versions.
fn without_repetitions(mut described: DebugFunction) -> DebugFunction {
    let mut kept: Vec<Parameter> = Vec::new();
    for parameter in described.parameters {
        let is_known = |known: &Parameter| known.name == parameter.name && known.name != "_";
        if !kept.iter().any(is_known) {
            kept.push(parameter);
        }
    }
    described.parameters = kept;
    described
}

/// Assigns registers, with a dictionary before the argument of that number.
fn place(
    described: &DebugFunction,
    dictionary: Option<usize>,
    convention: CallConvention,
) -> Option<Assignment> {
    let of_kind = |is_result: bool| {
        let all = described.parameters.iter();
        all.filter(move |parameter| parameter.is_result == is_result)
    };
    let mut taken: Vec<Taken> = of_kind(false)
        .map(|parameter| Taken::Value(parameter.type_index))
        .collect();
    if let Some(at) = dictionary {
        taken.insert(at.min(taken.len()), Taken::Dictionary);
    }
    let given: Vec<TypeIndex> = of_kind(true)
        .map(|parameter| parameter.type_index)
        .collect();
    assign(&described.types, &taken, &given, convention)
}

/// Where a generic function takes its dictionary: first; methods behind their receiver since Go 1.20.
fn dictionary_position(elf: &Elf, name: &str) -> Option<usize> {
    let (_, rest) = name.rsplit_once(']')?;
    let version = elf.go().and_then(|go| go.version())?;
    let is_method = !rest.is_empty();
    Some(usize::from(
        is_method && version.minor >= DICTIONARY_BEHIND_RECEIVER,
    ))
}

fn build(expander: &Expander<'_>, elf: &Elf, placed: &Placed) -> Signature {
    let Placed {
        described,
        assigned,
        is_complete,
    } = placed;
    let binary = elf.path().to_string_lossy();
    let graph = expander.types.add_graph(described.types.clone());
    let values = |is_result: bool, places: &[Vec<Piece>]| -> Vec<Argument> {
        let of_kind = described
            .parameters
            .iter()
            .filter(|parameter| parameter.is_result == is_result);
        let value = |(number, (parameter, pieces)): (usize, (&Parameter, &Vec<Piece>))| {
            let ty = expander
                .types
                .debug_type(graph, parameter.type_index, &binary);
            let source = source(&ty, pieces);
            Argument {
                name: shown_name(&parameter.name, number, is_result),
                ty,
                source,
            }
        };
        of_kind.zip(places).enumerate().map(value).collect()
    };
    let has_results_on_stack = assigned
        .results
        .iter()
        .flatten()
        .any(|piece| matches!(piece.place, Place::Stack(_)));
    let arguments = if *is_complete {
        Ok(values(false, &assigned.arguments))
    } else {
        Err(INCOMPLETE.to_string())
    };
    let results = if *is_complete || !has_results_on_stack {
        values(true, &assigned.results)
    } else {
        Vec::new()
    };
    Signature { arguments, results }
}

/// Results without a name go by their number.
fn shown_name(name: &str, number: usize, is_result: bool) -> String {
    if name.is_empty() || (is_result && name.starts_with('~')) {
        return number.to_string();
    }
    name.to_string()
}

fn source(ty: &Type, pieces: &[Piece]) -> ArgSource {
    if let Some(why) = unreadable(ty, pieces) {
        return ArgSource::Unreadable(why);
    }
    match pieces {
        [] => ArgSource::Constant(0),
        [piece] if piece.offset == 0 && !matches!(ty, Type::Struct(_) | Type::Array { .. }) => {
            piece_source(ty, piece)
        }
        [
            piece @ Piece {
                place: Place::Stack(_),
                ..
            },
        ] => piece_source(ty, piece),
        _ => {
            let parts = pieces
                .iter()
                .map(|piece| (piece.offset as u32, piece_source(&Type::U64, piece)));
            ArgSource::Pieces(parts.collect())
        }
    }
}

/// Why a value cannot be had.
fn unreadable(ty: &Type, pieces: &[Piece]) -> Option<String> {
    let float = pieces.iter().find_map(|piece| match piece.place {
        Place::Float(number) => Some(number),
        _ => None,
    });
    match (float, ty) {
        (Some(number), Type::Opaque(_)) => Some(format!(
            "it is in the register xmm{number}, which no BPF program can read"
        )),
        (Some(number), _) => Some(format!(
            "a part of it is in the register xmm{number}, which no BPF program can read"
        )),
        (None, Type::Opaque(name)) => Some(format!("values of type `{name}` are not supported")),
        (None, _) => None,
    }
}

fn piece_source(ty: &Type, piece: &Piece) -> ArgSource {
    let signed =
        matches!(ty, Type::Int { signed: true, .. }) || matches!(ty, Type::Enum(of) if of.signed);
    match piece.place {
        Place::Register(name) => ArgSource::Register {
            offset: registers::offset(name),
            size: piece.size as u32,
            signed,
        },
        Place::Stack(at) => ArgSource::Memory {
            register_offset: registers::offset("sp"),
            index_register_offset: None,
            scale: 1,
            displacement: RETURN_ADDRESS.saturating_add_unsigned(at),
            size: u32::try_from(piece.size).unwrap_or(u32::MAX),
            signed,
            user: true,
        },
        Place::Float(_) => unreachable!("go: a float register is read"),
    }
}

/// `arg0` …: the words of the arguments in their registers, or on the stack.
pub(super) fn positional(convention: CallConvention) -> Vec<Argument> {
    let word = |(number, register): (usize, &&'static str)| {
        let place = match convention {
            CallConvention::Registers => Place::Register(register),
            CallConvention::Stack => Place::Stack(8 * number as u64),
        };
        let piece = Piece {
            offset: 0,
            size: 8,
            place,
        };
        Argument {
            name: format!("arg{number}"),
            ty: Type::U64,
            source: piece_source(&Type::U64, &piece),
        }
    };
    INTEGERS.iter().enumerate().map(word).collect()
}
