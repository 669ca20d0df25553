//! What a program sees of the place it is attached to: its arguments, result and registers.

use fathom_bpf::object::{Direction, Gap};
use fathom_bpf::shape::ShapeId;
use fathom_machine::dwarf::{Expression, Location};
use fathom_machine::go::Goroutine;

use crate::ty::Type;

/// What the body of a probe can see.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Context {
    /// `probetype`: the provider's full name, e.g. `tracepoint`.
    pub provider: &'static str,
    /// What the context pointer (r1) points to.
    pub kind: ContextKind,
    /// Fields of `args` in order; `None` when the provider has no `args` or nothing is known (then `args_missing` says why).
    pub args: Option<Vec<Argument>>,
    /// Why there is no `args`, for the message: "tracepoint … has no format", "no debug info for …".
    pub args_missing: Option<String>,
    /// `retval`, when there is one.
    pub retval: Option<Argument>,
    /// What `call()` tells: arguments where a function is entered, results where it returns; `Err` says why they are not known.
    pub values: Option<Result<Vec<WholeValue>, String>>,
    /// The function gets the address for its result in the first argument register, and `call()` is to keep it for the return.
    pub keeps_result: bool,
    /// The canonical frame address of the call at hand, where the stack pointer does not tell.
    pub frame: Option<Expression>,
    /// `retval.0`, `retval.1` … and by their names: the results of functions that may have several (Go).
    pub results: Vec<Argument>,
    /// The function is of a Go program.
    pub is_go: bool,
    /// Where the running goroutine is found, in functions of Go programs.
    pub goroutine: Option<Goroutine>,
    /// The probe is at a line of the source, not where a function is entered.
    pub is_line: bool,
    /// `frame`: bytes from the stack pointer to the end of the caller's frame, where a function is entered or left.
    pub call_frame: Option<i32>,
    /// `arg0`, `arg1` …: untyped, `uint64` unless the provider knows better.
    pub positional: Vec<Argument>,
    /// `func`: the traced function's symbol type is that of user space.
    pub is_user: bool,
    /// The pattern named a single process by `-p` that the attach cannot filter by itself: compare `pid` in the program.
    pub filter_pid: Option<u32>,
    /// The program serves many system calls from the raw `sys_enter`/`sys_exit` tracepoint: `(system call number, index into the
    /// names of the group's only point)`, in order of number; other numbers leave at once. Word 0 of the context points to the
    /// caller's registers, word 1 is the number (`sys_enter`) or the result (`sys_exit`: the number is `orig_ax` of the registers).
    pub syscalls: Option<Vec<(u32, u32)>>,
}

/// What the context pointer points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ContextKind {
    /// Nothing of use.
    #[default]
    None,
    /// `struct pt_regs` at offset 0 (kprobe, uprobe, perf_event).
    Registers,
    /// A tracepoint record: fields lie at fixed offsets.
    Record,
    /// `u64 args[]` (raw tracepoints, fentry, fexit).
    Words,
    /// `struct bpf_iter__X`.
    Iter,
    /// `struct xdp_md`.
    Xdp,
    /// `struct __sk_buff`.
    SkBuff(Direction),
}

/// A named value that the probe offers.
#[derive(Clone, Debug, PartialEq)]
pub struct Argument {
    /// As in `args.name`.
    pub name: String,
    /// Its type.
    pub ty: Type,
    /// How to get it.
    pub source: ArgSource,
}

/// A value that user space is to show as the programmer wrote it.
#[derive(Clone, Debug, PartialEq)]
pub struct WholeValue {
    /// As in the source.
    pub name: String,
    /// What it looks like.
    pub shape: ShapeId,
    /// Where it is at the attach point.
    pub location: Location,
    /// Why it cannot be had.
    pub missing: Option<String>,
    /// Parts of it that cannot be had.
    pub gaps: Vec<Gap>,
    /// Of the attach point in the file, when the location depends on where the file is loaded.
    pub site: Option<u64>,
    /// Of the value, in bytes.
    pub size: u32,
    /// The value lies where the function was told at its entry to put it: see [`Context::keeps_result`].
    pub is_kept: bool,
}

impl WholeValue {
    /// Bytes that an event has for it when it is not in memory as a whole.
    pub fn register_bytes(&self) -> u32 {
        match self.location {
            Location::Memory(_) => 0,
            _ => self.size.next_multiple_of(8).max(8),
        }
    }
}

/// How to get an argument's value.
#[derive(Clone, Debug, PartialEq)]
pub enum ArgSource {
    /// `size` bytes (1, 2, 4, 8) at this offset of the context; aggregates (arrays, strings) lie there in place.
    Context {
        /// Bytes from the context's start.
        offset: u32,
        /// Bytes.
        size: u32,
    },
    /// A bitfield-free value at an offset in the `struct pt_regs` that the first context word points to (raw `sys_enter`).
    PointedRegisters {
        /// Bytes from the start of `struct pt_regs`.
        offset: u32,
    },
    /// `__data_loc`: at this offset a `u32` with the position (low half) and length (high half) within the record.
    /// `relative`: the position counts from the end of that `u32`.
    DataLocation {
        /// Of the `u32`, from the record's start.
        offset: u32,
        /// `__rel_loc`
        relative: bool,
    },
    /// Read `size` bytes of user memory at register + displacement (arguments on the stack, USDT operands).
    Memory {
        /// Of the base register in `pt_regs`.
        register_offset: u32,
        /// Of the register that counts elements, if there is one.
        index_register_offset: Option<u32>,
        /// Bytes that one element takes.
        scale: u32,
        /// Added to the registers.
        displacement: i64,
        /// Bytes.
        size: u32,
        /// Extended with its sign.
        signed: bool,
        /// User memory, not kernel memory.
        user: bool,
    },
    /// A part of a register in `pt_regs`.
    Register {
        /// Bytes from the start of `pt_regs`.
        offset: u32,
        /// Bytes, counted from there.
        size: u32,
        /// Extended with its sign.
        signed: bool,
    },
    /// Several parts, each at its offset in the value.
    Pieces(Vec<(u32, ArgSource)>),
    /// It cannot be had, and why.
    Unreadable(String),
    /// Where debug information says. `site`: of the attach point in the file, when that depends on where the file is loaded.
    Located {
        /// There.
        location: Location,
        /// See above.
        site: Option<u64>,
    },
    /// A constant (USDT).
    Constant(i64),
    /// Result of a kernel helper that takes only the context (`bpf_get_func_ret` …) is not used: fexit results are context words.
    Word {
        /// In 8-byte words from the context's start.
        index: u32,
    },
}
