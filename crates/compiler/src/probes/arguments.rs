//! Where the arguments of a C or C++ function are when it is entered, for code that debug information describes only from
//! a later place on (System V ABI for x86-64, 3.2.3 "Parameter Passing"; Itanium C++ ABI, 3.1.2).

use fathom_machine::dwarf::{
    Expression, Language, Location, Operation, Piece, TypeGraph, TypeIndex,
};

use super::results::{Leaf, is_not_trivial, leaves};

/// DWARF's numbers of the registers that carry arguments, in order.
const REGISTERS: [u16; 6] = [5, 4, 1, 2, 8, 9];
/// DWARF's number of the stack pointer.
const STACK_POINTER: u16 = 7;
/// Floating-point registers that carry arguments.
const FLOAT_REGISTERS: usize = 8;
/// Bytes of an argument in registers at most.
const MAX_IN_REGISTERS: u64 = 16;

/// Gives out registers and stack places in order of the parameters.
pub(super) struct Arguments<'g> {
    graph: &'g TypeGraph,
    is_cpp: bool,
    /// Registers that are taken.
    taken: usize,
    taken_floats: usize,
    /// Where the next one on the stack is, from the stack pointer: the return address is below them.
    stack: u64,
}

impl<'g> Arguments<'g> {
    /// Of a function; `has_place` tells that the caller says where the result is to go. `None` for languages whose
    /// convention is not fixed.
    pub(super) fn new(graph: &'g TypeGraph, language: Language, has_place: bool) -> Option<Self> {
        matches!(language, Language::C | Language::Cpp).then_some(Arguments {
            graph,
            is_cpp: language == Language::Cpp,
            taken: usize::from(has_place),
            taken_floats: 0,
            stack: 8,
        })
    }

    /// Where the next argument is, which has that type.
    pub(super) fn next(&mut self, ty: TypeIndex) -> Location {
        let size = self.graph.size_of(ty).unwrap_or(0);
        if size == 0 {
            return Location::Constant(Vec::new());
        }
        if self.is_cpp && is_not_trivial(self.graph, ty, 0) {
            return self.by_address();
        }
        let leaves = leaves(self.graph, ty);
        let is_wide = |leaf: &Leaf| leaf.is_float && leaf.size > 8;
        if size > MAX_IN_REGISTERS || leaves.iter().any(is_wide) {
            return self.on_stack(size, &leaves);
        }
        self.in_registers(size, &leaves)
    }

    /// The caller made a copy, and tells where.
    fn by_address(&mut self) -> Location {
        match REGISTERS.get(self.taken) {
            Some(register) => {
                self.taken += 1;
                memory(*register, 0)
            }
            None => {
                let mut place = vec![Operation::Register {
                    number: STACK_POINTER,
                    offset: self.stack as i64,
                }];
                place.push(Operation::Deref { size: 8 });
                self.stack += 8;
                Location::Memory(Expression(place))
            }
        }
    }

    fn on_stack(&mut self, size: u64, leaves: &[Leaf]) -> Location {
        // Values of 16 bytes lie at multiples of that; the stack pointer is 8 short of one.
        if leaves.iter().any(|leaf| leaf.size >= 16) {
            self.stack = (self.stack - 8).next_multiple_of(16) + 8;
        }
        let at = self.stack;
        self.stack += size.next_multiple_of(8);
        memory(STACK_POINTER, at as i64)
    }

    /// All parts in registers, or none.
    fn in_registers(&mut self, size: u64, leaves: &[Leaf]) -> Location {
        let words = 0..size.div_ceil(8);
        let is_float = |word: u64| {
            let inside = |leaf: &&Leaf| leaf.offset / 8 == word;
            let mut of_word = leaves.iter().filter(inside).peekable();
            of_word.peek().is_some() && of_word.all(|leaf| leaf.is_float)
        };
        let floats = words.clone().filter(|word| is_float(*word)).count();
        let others = words.clone().count() - floats;
        let fits =
            self.taken + others <= REGISTERS.len() && self.taken_floats + floats <= FLOAT_REGISTERS;
        if !fits {
            return self.on_stack(size, leaves);
        }
        let mut pieces: Vec<Piece> = words
            .map(|word| Piece {
                location: self.word(is_float(word)),
                size: (size - word * 8).min(8),
            })
            .collect();
        match pieces.len() {
            1 => pieces.remove(0).location,
            _ => Location::Pieces(pieces),
        }
    }

    fn word(&mut self, is_float: bool) -> Location {
        if is_float {
            self.taken_floats += 1;
            return Location::Unreadable(format!("in XMM{}: not readable", self.taken_floats - 1));
        }
        self.taken += 1;
        REGISTERS
            .get(self.taken - 1)
            .map_or(Location::Absent, |register| Location::Register(*register))
    }
}

/// Which of the registers that carry arguments it is, by its number in DWARF.
pub(super) fn order(register: u16) -> Option<usize> {
    REGISTERS.iter().position(|known| *known == register)
}

fn memory(number: u16, offset: i64) -> Location {
    Location::Memory(Expression(vec![Operation::Register { number, offset }]))
}
