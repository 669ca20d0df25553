//! Where functions of Go keep their arguments and results, by Go's own calling convention (ABIInternal, Go 1.17 and later).
//!
//! A value goes into registers as a whole or not at all: its numbers and pointers one after the other, whatever structs they lie in.
//! What does not fit, and every array of two or more elements, goes to the stack. Results start over with all registers.
//! Assembly and older versions have everything on the stack (ABI0), arguments first.

use fathom_machine::dwarf::{BaseEncoding, DebugType, TypeGraph, TypeIndex};
use fathom_machine::go::CallConvention;

/// Registers of integers and pointers, in order.
pub(super) const INTEGERS: [&str; 9] = ["ax", "bx", "cx", "di", "si", "r8", "r9", "r10", "r11"];
/// How many registers there are for floating-point numbers: `xmm0` to `xmm14`.
const FLOATS: u32 = 15;
const POINTER_BYTES: u64 = 8;
/// How deep structs are followed.
const MAX_DEPTH: usize = 32;
/// Values with more parts are left on the stack by the compiler long before.
const MAX_PIECES: usize = 64;

/// A part of a value, and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// Bytes from the start of the value.
    pub(super) offset: u64,
    /// Bytes.
    pub(super) size: u64,
    pub(super) place: Place,
}

/// Where a part of a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In an integer register.
    Register(&'static str),
    /// In `xmmN`, which no program can read.
    Float(u32),
    /// On the stack, so far behind the return address.
    Stack(u64),
}

/// What a function takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// A value of the source.
    Value(TypeIndex),
    /// What the compiler adds to generic functions: a pointer to their types.
    Dictionary,
}

/// Where everything is.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Assignment {
    /// The parts of each argument of the source.
    pub(super) arguments: Vec<Vec<Piece>>,
    /// The parts of each result.
    pub(super) results: Vec<Vec<Piece>>,
    /// What callers reserve on the stack, with the space that arguments in registers are spilled to.
    pub(super) stack_bytes: u64,
}

/// Places arguments (the receiver first) and results; `None` when a type is not known.
pub(super) fn assign(
    graph: &TypeGraph,
    arguments: &[Taken],
    results: &[TypeIndex],
    convention: CallConvention,
) -> Option<Assignment> {
    let mut state = State::new(graph, convention);
    let mut assignment = Assignment::default();
    for argument in arguments {
        let Taken::Value(argument) = argument else {
            state.place_dictionary();
            continue;
        };
        let pieces = state.place(*argument)?;
        let in_registers = pieces
            .iter()
            .any(|piece| !matches!(piece.place, Place::Stack(_)));
        if in_registers {
            state.spill(*argument)?;
        }
        assignment.arguments.push(pieces);
    }
    state.stack = state.stack.next_multiple_of(POINTER_BYTES);
    (state.next_integer, state.next_float) = (0, 0);
    for result in results {
        assignment.results.push(state.place(*result)?);
    }
    state.stack = state.stack.next_multiple_of(POINTER_BYTES);
    let spilled = state.spilled.next_multiple_of(POINTER_BYTES);
    assignment.stack_bytes = state.stack.checked_add(spilled)?;
    Some(assignment)
}

struct State<'g> {
    graph: &'g TypeGraph,
    convention: CallConvention,
    next_integer: usize,
    next_float: u32,
    stack: u64,
    spilled: u64,
}

/// One register's worth of a value.
#[derive(Clone, Copy)]
struct Leaf {
    offset: u64,
    size: u64,
    is_float: bool,
}

impl<'g> State<'g> {
    fn new(graph: &'g TypeGraph, convention: CallConvention) -> State<'g> {
        State {
            graph,
            convention,
            next_integer: 0,
            next_float: 0,
            stack: 0,
            spilled: 0,
        }
    }

    fn place_dictionary(&mut self) {
        if self.convention == CallConvention::Registers && self.next_integer < INTEGERS.len() {
            self.next_integer += 1;
            self.spilled = self.spilled.next_multiple_of(POINTER_BYTES) + POINTER_BYTES;
        } else {
            self.stack = self.stack.next_multiple_of(POINTER_BYTES) + POINTER_BYTES;
        }
    }

    fn place(&mut self, ty: TypeIndex) -> Option<Vec<Piece>> {
        let size = size_of(self.graph, ty)?;
        if size > 0
            && self.convention == CallConvention::Registers
            && let Some(pieces) = self.in_registers(ty)?
        {
            return Some(pieces);
        }
        let align = align_of(self.graph, ty, 0)?;
        let start = self.stack.checked_next_multiple_of(align)?;
        self.stack = start.checked_add(size)?;
        let piece = Piece {
            offset: 0,
            size,
            place: Place::Stack(start),
        };
        Some(vec![piece])
    }

    /// The registers of a value; `Some(None)` when it does not fit.
    fn in_registers(&mut self, ty: TypeIndex) -> Option<Option<Vec<Piece>>> {
        let mut leaves = Vec::new();
        if !gather(self.graph, ty, 0, 0, &mut leaves)? {
            return Some(None);
        }
        let floats = leaves.iter().filter(|leaf| leaf.is_float).count();
        let integers = leaves.len() - floats;
        if self.next_integer + integers > INTEGERS.len() || self.next_float + floats as u32 > FLOATS
        {
            return Some(None);
        }
        let pieces = leaves.iter().map(|leaf| Piece {
            offset: leaf.offset,
            size: leaf.size,
            place: self.next_register(leaf.is_float),
        });
        Some(Some(pieces.collect()))
    }

    fn next_register(&mut self, is_float: bool) -> Place {
        if is_float {
            self.next_float += 1;
            return Place::Float(self.next_float - 1);
        }
        self.next_integer += 1;
        Place::Register(INTEGERS[self.next_integer - 1])
    }

    fn spill(&mut self, ty: TypeIndex) -> Option<()> {
        let align = align_of(self.graph, ty, 0)?;
        let start = self.spilled.checked_next_multiple_of(align)?;
        self.spilled = start.checked_add(size_of(self.graph, ty)?)?;
        Some(())
    }
}

/// The numbers and pointers of a value in order; `Some(false)` when it cannot be in registers, `None` for unknown types.
fn gather(
    graph: &TypeGraph,
    ty: TypeIndex,
    offset: u64,
    depth: usize,
    leaves: &mut Vec<Leaf>,
) -> Option<bool> {
    if depth > MAX_DEPTH || leaves.len() > MAX_PIECES {
        return Some(false);
    }
    let mut leaf = |offset, size, is_float| {
        leaves.push(Leaf {
            offset,
            size,
            is_float,
        });
        Some(true)
    };
    match graph.get(graph.resolve(ty)) {
        DebugType::Base { size, encoding, .. } => match (encoding, size) {
            (BaseEncoding::Float, size) => leaf(offset, *size, true),
            // Complex numbers: two of half the size.
            (BaseEncoding::Other, 8 | 16) => {
                leaf(offset, size / 2, true);
                leaf(offset + size / 2, size / 2, true)
            }
            (BaseEncoding::Other, _) => None,
            (_, 1 | 2 | 4 | 8) => leaf(offset, *size, false),
            _ => None,
        },
        DebugType::Pointer { .. } | DebugType::Function => leaf(offset, POINTER_BYTES, false),
        DebugType::Enum { size, .. } => leaf(offset, *size, false),
        DebugType::Array { len: Some(0), .. } => Some(true),
        DebugType::Array {
            element,
            len: Some(1),
        } => gather(graph, *element, offset, depth + 1, leaves),
        DebugType::Array { .. } => Some(false),
        DebugType::Composite { members, .. } => {
            for member in members {
                let at = offset.checked_add(member.bit_offset / 8)?;
                if !gather(graph, member.type_index, at, depth + 1, leaves)? {
                    return Some(false);
                }
            }
            Some(true)
        }
        _ => None,
    }
}

fn size_of(graph: &TypeGraph, ty: TypeIndex) -> Option<u64> {
    match graph.get(graph.resolve(ty)) {
        DebugType::Function => Some(POINTER_BYTES),
        // An array of functions, which the graph gives no size.
        DebugType::Array {
            element,
            len: Some(len),
        } if graph.size_of(ty).is_none() => {
            let element = graph.get(graph.resolve(*element));
            matches!(element, DebugType::Function).then(|| len.checked_mul(POINTER_BYTES))?
        }
        _ => graph.size_of(ty),
    }
}

fn align_of(graph: &TypeGraph, ty: TypeIndex, depth: usize) -> Option<u64> {
    if depth > MAX_DEPTH {
        return None;
    }
    match graph.get(graph.resolve(ty)) {
        DebugType::Base {
            size,
            encoding: BaseEncoding::Other,
            ..
        } => Some((size / 2).clamp(1, POINTER_BYTES)),
        DebugType::Base { size, .. } | DebugType::Enum { size, .. } => {
            Some((*size).clamp(1, POINTER_BYTES))
        }
        DebugType::Pointer { .. } | DebugType::Function => Some(POINTER_BYTES),
        DebugType::Array { element, .. } => align_of(graph, *element, depth + 1),
        DebugType::Composite { members, .. } => {
            let mut aligns = members
                .iter()
                .map(|member| align_of(graph, member.type_index, depth + 1));
            aligns.try_fold(1, |most, align| Some(most.max(align?)))
        }
        _ => None,
    }
}
