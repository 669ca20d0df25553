//! Where a function's result is when it has returned.
//!
//! C and C++: System V ABI for x86-64, 3.2.3 "Parameter Passing"; Itanium C++ ABI, 3.1.3 "Return values". Rust: what rustc
//! does today (`rustc_ty_utils::abi`); its convention is not fixed.

use fathom_machine::dwarf::{
    BaseEncoding, CompositeKind, DebugType, Expression, Language, Location, MemberRole, Operation,
    Piece, TypeGraph, TypeIndex,
};

/// DWARF's numbers of the registers that carry results.
const RAX: u16 = 0;
const RDX: u16 = 1;
/// Bytes of a result in registers at most.
const MAX_IN_REGISTERS: u64 = 16;
/// Types in types that are looked at.
const MAX_DEPTH: usize = 16;
/// Leaves of one type that are looked at.
const MAX_LEAVES: usize = 64;

/// Classes of the C++ standard library that are returned through memory, however small they are.
const NOT_TRIVIAL: [&str; 14] = [
    "basic_string",
    "vector",
    "unique_ptr",
    "shared_ptr",
    "weak_ptr",
    "function",
    "map",
    "set",
    "unordered_map",
    "unordered_set",
    "list",
    "deque",
    "any",
    "future",
];

/// A number, pointer or character in a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Leaf {
    pub(super) offset: u64,
    pub(super) size: u64,
    pub(super) is_float: bool,
}

/// Where a function's result is when it has returned.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ResultPlace {
    /// There.
    At(Location),
    /// Where the first argument register pointed when the function was entered.
    Kept,
}

/// Where a result of the type is.
pub(super) fn place(graph: &TypeGraph, ty: TypeIndex, language: Language) -> ResultPlace {
    let size = graph.size_of(ty).unwrap_or(0);
    if size == 0 {
        return ResultPlace::At(Location::Constant(Vec::new()));
    }
    let leaves = leaves(graph, ty);
    ResultPlace::At(match language {
        Language::Rust if size > MAX_IN_REGISTERS => return ResultPlace::Kept,
        Language::Rust => rust(size, &leaves),
        Language::Cpp if is_not_trivial(graph, ty, 0) => in_memory(),
        _ => system_v(size, &leaves),
    })
}

/// The scalars that a value consists of, in order of their places.
pub(super) fn leaves(graph: &TypeGraph, ty: TypeIndex) -> Vec<Leaf> {
    let mut leaves = Vec::new();
    gather(graph, ty, 0, 0, &mut leaves);
    leaves.sort_by_key(|leaf| (leaf.offset, leaf.size));
    leaves.dedup();
    leaves
}

/// The caller gave the place, and the function gives it back.
fn in_memory() -> Location {
    Location::Memory(Expression(vec![Operation::Register {
        number: RAX,
        offset: 0,
    }]))
}

/// Each eight bytes in a register of their class.
fn system_v(size: u64, leaves: &[Leaf]) -> Location {
    if size > MAX_IN_REGISTERS {
        return in_memory();
    }
    if leaves.iter().any(|leaf| leaf.is_float && leaf.size > 8) {
        return Location::Unreadable("in ST0: not readable".to_owned());
    }
    let mut registers = [RAX, RDX].into_iter();
    let words = (0..size.div_ceil(8)).map(|word| {
        let in_word = |leaf: &&Leaf| leaf.offset / 8 == word;
        let mut inside = leaves.iter().filter(in_word).peekable();
        let is_float = inside.peek().is_some() && inside.all(|leaf| leaf.is_float);
        let location = match (is_float, registers.clone().next()) {
            (true, _) => Location::Unreadable("in XMM0: not readable".to_owned()),
            (false, Some(register)) => {
                registers.next();
                Location::Register(register)
            }
            (false, None) => Location::Absent,
        };
        Piece {
            location,
            size: (size - word * 8).min(8),
        }
    });
    joined(words.collect())
}

/// One or two scalars each have a register; what else fits two registers is in them as it would be in memory.
fn rust(size: u64, leaves: &[Leaf]) -> Location {
    match leaves {
        [only] => pieces(size, &[*only]),
        [first, second] if first.offset + first.size <= second.offset => {
            pieces(size, &[*first, *second])
        }
        _ if !leaves.iter().any(|leaf| leaf.is_float) => system_v(size, leaves),
        _ => Location::Unreadable("returned in a way that is not known".to_owned()),
    }
}

/// Scalars at their places, each in the next register.
fn pieces(size: u64, leaves: &[Leaf]) -> Location {
    let mut pieces = Vec::new();
    let mut at = 0;
    let mut registers = [RAX, RDX].into_iter();
    let gap = |size| Piece {
        location: Location::Constant(Vec::new()),
        size,
    };
    for leaf in leaves {
        if leaf.offset > at {
            pieces.push(gap(leaf.offset - at));
        }
        let location = match leaf.is_float {
            true => Location::Unreadable("in XMM0: not readable".to_owned()),
            false => registers
                .next()
                .map_or(Location::Absent, Location::Register),
        };
        // Sixteen bytes take both.
        if leaf.size == 16 {
            return system_v(16, &[]);
        }
        pieces.push(Piece {
            location,
            size: leaf.size,
        });
        at = leaf.offset + leaf.size;
    }
    if size > at {
        pieces.push(gap(size - at));
    }
    joined(pieces)
}

fn joined(mut pieces: Vec<Piece>) -> Location {
    match pieces.len() {
        1 => pieces.remove(0).location,
        _ => Location::Pieces(pieces),
    }
}

fn gather(graph: &TypeGraph, ty: TypeIndex, offset: u64, depth: usize, leaves: &mut Vec<Leaf>) {
    if depth > MAX_DEPTH || leaves.len() > MAX_LEAVES {
        return;
    }
    let ty = graph.resolve(ty);
    let mut leaf = |size, is_float| {
        leaves.push(Leaf {
            offset,
            size,
            is_float,
        });
    };
    match graph.get(ty) {
        DebugType::Base { size, encoding, .. } => leaf(
            *size,
            matches!(encoding, BaseEncoding::Float | BaseEncoding::Other),
        ),
        DebugType::Pointer { .. } => leaf(8, false),
        DebugType::Enum { size, .. } => leaf(*size, false),
        DebugType::Array { element, len } => {
            let stride = graph.size_of(*element).unwrap_or(0);
            let count = len.unwrap_or(0).min(MAX_LEAVES as u64);
            for index in 0..count {
                gather(graph, *element, offset + index * stride, depth + 1, leaves);
            }
        }
        DebugType::Composite {
            members,
            variant_part,
            ..
        } => {
            let part = variant_part.iter();
            let discriminant = part.clone().filter_map(|part| part.discriminant.as_ref());
            let variants = part.flat_map(|part| part.variants.iter());
            let inner = variants.flat_map(|variant| &variant.members);
            for member in members.iter().chain(discriminant).chain(inner) {
                let at = offset.saturating_add(member.bit_offset / 8);
                gather(graph, member.type_index, at, depth + 1, leaves);
            }
        }
        _ => {}
    }
}

/// Whether copying a C++ object takes more than copying its bytes, as far as its members tell.
pub(super) fn is_not_trivial(graph: &TypeGraph, ty: TypeIndex, depth: usize) -> bool {
    let DebugType::Composite {
        kind,
        name,
        members,
        has_own_copy,
        ..
    } = graph.get(graph.resolve(ty))
    else {
        return false;
    };
    if *has_own_copy {
        return true;
    }
    let template = name.split('<').next().unwrap_or_default();
    if NOT_TRIVIAL.contains(&template) {
        return true;
    }
    let has_table = members
        .iter()
        .any(|member| member.role == MemberRole::Artificial);
    has_table
        || (*kind != CompositeKind::Union
            && depth < MAX_DEPTH
            && members
                .iter()
                .any(|member| is_not_trivial(graph, member.type_index, depth + 1)))
}
