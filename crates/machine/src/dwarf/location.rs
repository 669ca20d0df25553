//! Where a value is at one instruction, with everything that only debug information knows already worked out: what is left can
//! be done with registers, memory and the address at which the file is loaded.

use crate::Address;

/// Operations of one expression at most.
pub const MAX_OPERATIONS: usize = 256;
/// Values on an expression's stack at most.
pub const MAX_STACK: usize = 16;
/// The highest register number a location names: the sixteen general ones come in DWARF's order (0 RAX, 1 RDX, 2 RCX, 3 RBX,
/// 4 RSI, 5 RDI, 6 RBP, 7 RSP, 8 to 15 R8 to R15).
pub const MAX_REGISTER: u16 = 15;

/// Where a value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// Nowhere: it was optimised out.
    Absent,
    /// It is always this. Numbers come as eight bytes, extended as the compiler wrote them: cut them to the type's size.
    Constant(Vec<u8>),
    /// It is what the expression yields.
    Value(Expression),
    /// It is in the low bytes of a register, by DWARF's number.
    Register(u16),
    /// It is in memory, at the address the expression yields.
    Memory(Expression),
    /// It is in parts, the one at the lowest offset first.
    Pieces(Vec<Piece>),
    /// It exists and cannot be read; why.
    Unreadable(String),
}

/// A part of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Where it is.
    pub location: Location,
    /// In bytes.
    pub size: u64,
}

/// A calculation on a stack of 64-bit numbers; the result is on top at the end. No operation takes more than there is, and
/// there are never more than [`MAX_STACK`] numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expression(pub Vec<Operation>);

/// A step of an [`Expression`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Pushes a number.
    Constant(i64),
    /// Pushes the sum of a register and a number.
    Register {
        /// DWARF's number of the register.
        number: u16,
        /// Added to it.
        offset: i64,
    },
    /// Pushes an address of the file, shifted to where the file is loaded.
    Static(Address),
    /// Replaces an address with the bytes there, extended with zeros.
    Deref {
        /// Bytes read: 1 to 8.
        size: u8,
    },
    /// Replaces the two topmost numbers.
    Binary(BinaryOperation),
    /// Replaces the topmost number.
    Unary(UnaryOperation),
    /// Pushes the topmost number again.
    Duplicate,
    /// Takes the topmost number away.
    Drop,
    /// Exchanges the two topmost numbers.
    Swap,
    /// Pushes the number below the topmost.
    Over,
    /// Pushes the number that far below the topmost.
    Pick(u8),
    /// Moves the topmost number below the two under it.
    Rotate,
}

/// What becomes of two numbers: `under` was pushed first, `top` last. Sums and products wrap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BinaryOperation {
    /// `under + top`
    Add,
    /// `under - top`
    Subtract,
    /// `under * top`
    Multiply,
    /// `under / top`, signed.
    Divide,
    /// `under % top`, unsigned.
    Modulo,
    /// `under & top`
    And,
    /// `under | top`
    Or,
    /// `under ^ top`
    Xor,
    /// `under << top`
    ShiftLeft,
    /// `under >> top`, filling with zeros.
    ShiftRight,
    /// `under >> top`, filling with the sign.
    ShiftRightSigned,
    /// 1 when `under == top`, else 0.
    Equal,
    /// 1 when `under != top`, else 0.
    NotEqual,
    /// 1 when `under < top`, signed, else 0.
    Less,
    /// 1 when `under <= top`, signed, else 0.
    LessOrEqual,
    /// 1 when `under > top`, signed, else 0.
    Greater,
    /// 1 when `under >= top`, signed, else 0.
    GreaterOrEqual,
}

/// What becomes of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnaryOperation {
    /// `-top`
    Negate,
    /// `!top`, bit by bit.
    Not,
    /// The amount without the sign.
    Absolute,
}

impl Expression {
    /// Adds a number to the result.
    pub(super) fn add(&mut self, amount: i64) {
        match self.0.last_mut() {
            _ if amount == 0 => {}
            Some(Operation::Register { offset, .. }) => *offset = offset.wrapping_add(amount),
            Some(Operation::Constant(value)) => *value = value.wrapping_add(amount),
            Some(Operation::Static(address)) => address.0 = address.0.wrapping_add_signed(amount),
            _ => self.0.extend([
                Operation::Constant(amount),
                Operation::Binary(BinaryOperation::Add),
            ]),
        }
    }

    /// Whether each operation finds what it takes, and something is left at the end.
    pub(super) fn is_sound(&self) -> bool {
        let mut depth: usize = 0;
        for operation in &self.0 {
            let (needs, leaves) = operation.effect();
            if depth < needs {
                return false;
            }
            depth = depth - needs + leaves;
            if depth > MAX_STACK {
                return false;
            }
        }
        depth > 0 && self.0.len() <= MAX_OPERATIONS
    }
}

impl Operation {
    /// How many numbers it needs, and how many are there instead of those.
    fn effect(self) -> (usize, usize) {
        match self {
            Operation::Constant(_) | Operation::Register { .. } | Operation::Static(_) => (0, 1),
            Operation::Deref { .. } | Operation::Unary(_) => (1, 1),
            Operation::Binary(_) => (2, 1),
            Operation::Duplicate => (1, 2),
            Operation::Drop => (1, 0),
            Operation::Swap => (2, 2),
            Operation::Over => (2, 3),
            Operation::Pick(below) => (usize::from(below) + 1, usize::from(below) + 2),
            Operation::Rotate => (3, 3),
        }
    }
}
