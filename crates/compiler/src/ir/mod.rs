//! The intermediate representation: no language left, only loads, stores, calls and branches.
//!
//! SSA with block parameters. Every value is one 64-bit register's worth. A [`Program`] is what one BPF program will be:
//! a main function and the loop callbacks that it passes to helpers. Memory is explicit: stack [`Slot`]s, map values,
//! event bytes and the context are reached through pointers.
//!
//! ```text
//! fn main(v0) {            // v0: ctx
//! b0:
//!   v1 = call get_current_pid_tgid()
//!   v2 = shr64 v1, 32
//!   branch eq64 v2, 42 -> b1 | b2(v2)
//! b1:
//!   return 0
//! b2(v3):
//!   v4 = slot0
//!   store.w stack [v4 + 0], v3
//!   ...
//! ```

mod builder;
pub mod cfg;
#[cfg(test)]
pub(crate) mod parse;
#[cfg(test)]
mod tests;
mod text;
pub mod verify;
mod walk;

pub use builder::{Builder, Variable, targets, targets_mut};
pub use verify::verify;
pub use walk::{extend, swap_bytes};

use fathom_bpf::helper::Helper;
use fathom_bpf::map::MapId;
use fathom_bpf::object::{Signature, SourceSpan};

/// An SSA value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Value(pub u32);

/// A basic block; block 0 is the entry and has the function's parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockId(pub u32);

/// A region of the 512-byte stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(pub u32);

/// A function of a [`Program`]; 0 is the main function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FunctionId(pub u32);

/// What becomes one BPF program.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Program {
    /// Main function first.
    pub functions: Vec<Function>,
}

/// One function.
#[derive(Clone, Debug, PartialEq)]
pub struct Function {
    /// C identifier.
    pub name: String,
    /// What it takes: the parameters of block 0.
    pub signature: Signature,
    /// Indexed by [`BlockId`].
    pub blocks: Vec<Block>,
    /// Indexed by [`Slot`].
    pub slots: Vec<SlotData>,
    /// One more than the largest [`Value`].
    pub value_count: u32,
}

/// A stack region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotData {
    /// Bytes.
    pub size: u32,
    /// 1, 2, 4 or 8.
    pub align: u32,
    /// What it holds, for the message when the stack is too small (`key of @x`, `$name`).
    pub purpose: String,
    /// Where in the script.
    pub span: SourceSpan,
}

/// Straight-line code.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// Values that predecessors pass.
    pub params: Vec<Value>,
    /// In order.
    pub insts: Vec<Inst>,
    /// How it ends.
    pub end: Terminator,
    /// Where the end stands in the script.
    pub end_span: SourceSpan,
}

/// One instruction.
#[derive(Clone, Debug, PartialEq)]
pub struct Inst {
    /// What it gives.
    pub result: Option<Value>,
    /// What it does.
    pub op: Op,
    /// Where in the script.
    pub span: SourceSpan,
}

/// A value or a constant that fits the instruction's 32-bit immediate (sign-extended).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operand {
    /// A value.
    Value(Value),
    /// A constant.
    Imm(i32),
}

/// Size of a memory access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Width {
    /// 1 byte
    B1,
    /// 2 bytes
    B2,
    /// 4 bytes
    B4,
    /// 8 bytes
    B8,
}

impl Width {
    /// In bytes.
    pub fn bytes(self) -> u32 {
        match self {
            Width::B1 => 1,
            Width::B2 => 2,
            Width::B4 => 4,
            Width::B8 => 8,
        }
    }

    /// From 1, 2, 4 or 8 bytes.
    pub fn from_bytes(bytes: u32) -> Option<Width> {
        match bytes {
            1 => Some(Width::B1),
            2 => Some(Width::B2),
            4 => Some(Width::B4),
            8 => Some(Width::B8),
            _ => None,
        }
    }
}

/// What lies behind a pointer: tells the optimizer which loads may be shared and which stores end that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Memory {
    /// The program's context: never changes while the program runs.
    Context,
    /// A stack slot.
    Stack,
    /// A map value: may change under our feet.
    Map,
    /// Reserved ring-buffer bytes: written only by this run.
    Event,
    /// Packet bytes: do not change, but pointers into them must be checked first.
    Packet,
    /// Kernel memory that the verifier lets us read directly through a BTF pointer.
    Kernel,
}

/// Arithmetic on two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "told by the names")]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    /// Unsigned; x / 0 = 0 as the kernel defines.
    Div,
    /// Unsigned; x % 0 = x.
    Rem,
    And,
    Or,
    Xor,
    Shl,
    /// Logical.
    Shr,
    /// Arithmetic.
    Sar,
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "told by the names")]
pub enum Compare {
    Eq,
    Ne,
    /// Unsigned.
    Lt,
    Le,
    Gt,
    Ge,
    /// Signed.
    Slt,
    Sle,
    Sgt,
    Sge,
}

/// Atomic operations on map values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AtomicOp {
    /// `*p += v`: all kernels.
    Add,
    /// Old value of `*p += v` (Linux 5.12).
    FetchAdd,
    /// Old value of exchanging (Linux 5.12).
    Exchange,
}

/// What an instruction does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "fields are told by the variant's own words")]
pub enum Op {
    /// A constant.
    Const(i64),
    /// `lhs op rhs`, 64-bit, or 32-bit with the upper half of the result zero.
    Binary {
        op: BinaryOp,
        is_32: bool,
        lhs: Value,
        rhs: Operand,
    },
    /// `-v`
    Negate { value: Value },
    /// The low `from` bytes of `value`, sign- or zero-extended.
    Extend {
        value: Value,
        from: Width,
        signed: bool,
    },
    /// Byte swap of the low `width` bytes, the rest zero.
    SwapBytes { value: Value, width: Width },
    /// 1 or 0.
    Compare {
        op: Compare,
        is_32: bool,
        lhs: Value,
        rhs: Operand,
    },
    /// `*(base + offset)`, zero-extended (or sign-extended).
    Load {
        width: Width,
        signed: bool,
        memory: Memory,
        base: Value,
        offset: i32,
    },
    /// `*(base + offset) = value`
    Store {
        width: Width,
        memory: Memory,
        base: Value,
        offset: i32,
        value: Operand,
    },
    /// See [`AtomicOp`]; `width` 4 or 8.
    Atomic {
        op: AtomicOp,
        width: Width,
        base: Value,
        offset: i32,
        value: Value,
    },
    /// Zeroes `len` bytes at `base + offset` (aligned to 8 where `offset` and the object are).
    Zero {
        memory: Memory,
        base: Value,
        offset: i32,
        len: u32,
    },
    /// Copies `len` bytes between directly accessible memories; both sides aligned to `align`.
    Copy {
        to: Value,
        to_offset: i32,
        to_memory: Memory,
        from: Value,
        from_offset: i32,
        from_memory: Memory,
        len: u32,
        align: u32,
    },
    /// Address of a stack slot.
    SlotAddress { slot: Slot, offset: i32 },
    /// Address of a map, for helpers.
    Map(MapId),
    /// Address within the value of a one-entry array map.
    MapValue { map: MapId, offset: u32 },
    /// Address of a callback of this program.
    FunctionAddress(FunctionId),
    /// Calls a kernel helper; at most 5 arguments.
    Call { helper: Helper, args: Vec<Value> },
    /// Calls a function of the kernel by its number in the kernel's BTF; at most 5 arguments.
    CallKernel { btf_id: u32, args: Vec<Value> },
}

/// How a block ends.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "fields are told by the variant's own words")]
pub enum Terminator {
    /// Goes on elsewhere.
    Jump(Target),
    /// Two ways.
    Branch {
        op: Compare,
        is_32: bool,
        lhs: Value,
        rhs: Operand,
        then: Target,
        otherwise: Target,
    },
    /// Leaves the function.
    Return(Operand),
    /// Never reached (also the state of a block under construction).
    Unreachable,
}

/// A block and the values for its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Where to.
    pub block: BlockId,
    /// One for each parameter.
    pub args: Vec<Value>,
}

impl Target {
    /// A block without parameters.
    pub fn to(block: BlockId) -> Target {
        Target {
            block,
            args: Vec::new(),
        }
    }
}

impl From<Value> for Operand {
    fn from(value: Value) -> Operand {
        Operand::Value(value)
    }
}

impl From<i32> for Operand {
    fn from(imm: i32) -> Operand {
        Operand::Imm(imm)
    }
}
