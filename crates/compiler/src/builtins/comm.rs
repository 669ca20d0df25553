//! Names of tasks: of another one by its pid; and the running one's read straight from its `task_struct`, where the kernel gives a typed pointer to it.
//!
//! `bpf_get_current_comm` copies and pads through two function calls; two typed loads cost a fraction of it. Kernels before
//! 5.17 leave old bytes behind the name's NUL (`strlcpy` in `__set_task_comm`), so they are cleared here: a name is also
//! a map key, and equal names must have equal bytes.

use fathom_bpf::helper::Helper;
use fathom_bpf::object::{ActionKind, FormatSink, ProgramKind};
use fathom_syntax::ast::c::CRecordKind;
use fathom_syntax::{Diagnostic, Span};

use crate::check::Checker;
use crate::hir::Expr;
use crate::ir::{BinaryOp, Compare, Memory, Op, Value, Width};
use crate::lower::{Lowerer, Place};
use crate::ty::Type;
use crate::types::Types;

/// The lowest bit and the highest bit of each byte of a word.
const LOW_BITS: i64 = 0x0101_0101_0101_0101;
const HIGH_BITS: i64 = 0x8080_8080_8080_8080_u64 as i64;

/// Writes the 16 bytes of the current task's name.
pub(super) fn lower_current_comm(lowerer: &mut Lowerer<'_, '_>, size: u32, to: Place) {
    let is_aligned = to.memory != Memory::Stack || to.offset % 8 == 0;
    match comm_offset(lowerer) {
        Some(offset) if is_aligned && size == 16 => {
            let task = lowerer.b.call(Helper::GET_CURRENT_TASK_BTF, &[]);
            load_comm(lowerer, task, offset, to);
        }
        _ => {
            let address = lowerer.address(to);
            let size = lowerer.b.constant(i64::from(size));
            lowerer.b.call(Helper::GET_CURRENT_COMM, &[address, size]);
        }
    }
}

/// Where `comm` lies in `struct task_struct`; `None` when programs of this kind get no typed pointer to the task.
fn comm_offset(lowerer: &Lowerer<'_, '_>) -> Option<i32> {
    if !lowerer.env.features.current_task_btf || lowerer.group.context.is_packet() {
        return None;
    }
    comm_in_task(lowerer.env.types)
}

fn comm_in_task(types: &Types<'_>) -> Option<i32> {
    let task = types.struct_named(CRecordKind::Struct, "task_struct", Default::default());
    let Ok(Type::Struct(task)) = task else {
        return None;
    };
    let (offset, _, _) = types.member(task, "comm")?;
    i32::try_from(offset).ok()
}

fn load_comm(lowerer: &mut Lowerer<'_, '_>, task: Value, offset: i32, to: Place) {
    let (first, end) = load_until_nul(lowerer, task, offset);
    lowerer
        .b
        .store(Width::B8, to.memory, to.base, to.offset, first);
    let rest = lowerer.b.variable();
    let zero = lowerer.b.constant(0);
    lowerer.b.write(rest, zero);
    let (longer, done) = (lowerer.b.block(), lowerer.b.block());
    lowerer.b.branch(Compare::Eq, end, 0, longer, done);
    lowerer.b.enter(longer);
    let (second, _) = load_until_nul(lowerer, task, offset + 8);
    lowerer.b.write(rest, second);
    lowerer.b.jump(done);
    lowerer.b.enter(done);
    let rest = lowerer.b.read(rest);
    lowerer
        .b
        .store(Width::B8, to.memory, to.base, to.offset + 8, rest);
}

/// Loads 8 bytes of text and clears those behind the first NUL; the second value is 0 if there is none.
fn load_until_nul(lowerer: &mut Lowerer<'_, '_>, base: Value, offset: i32) -> (Value, Value) {
    let b = &mut lowerer.b;
    let word = b.load(Width::B8, Memory::Kernel, base, offset);
    let (low_bits, high_bits) = (b.constant(LOW_BITS), b.constant(HIGH_BITS));
    // The lowest set bit of `marks` is the top bit of the first byte that is zero; what stands above it may be wrong.
    let less = b.binary(BinaryOp::Sub, word, low_bits);
    let inverse = b.binary(BinaryOp::Xor, word, -1);
    let marks = b.binary(BinaryOp::And, less, inverse);
    let marks = b.binary(BinaryOp::And, marks, high_bits);
    let negative = b.emit(Op::Negate { value: marks });
    let first = b.binary(BinaryOp::And, marks, negative);
    // Without a mark this is 0 - 1: all bytes are kept.
    let above = b.binary(BinaryOp::Shr, first, 7);
    let kept = b.binary(BinaryOp::Sub, above, 1);
    (b.binary(BinaryOp::And, word, kept), marks)
}

/// Functions of the kernel that find a task by its pid, and give it back.
const TASK_FROM_PID: &str = "bpf_task_from_pid";
const TASK_RELEASE: &str = "bpf_task_release";
/// What stands for the name of a process that is not there.
const NOBODY: &[u8; 16] = b"N/A\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// Why the names of other processes cannot be had in the probe at hand.
pub(super) fn why_not_of_others(checker: &Checker<'_, '_>, span: Span) -> Option<Diagnostic> {
    let types = checker.types;
    let is_there = types.kernel_function(TASK_FROM_PID).is_some()
        && types.kernel_function(TASK_RELEASE).is_some()
        && comm_in_task(types).is_some();
    if !is_there {
        let message = "`comm(pid)` needs Linux 6.2, whose kernel function `bpf_task_from_pid` finds a process by its pid";
        return Some(
            Diagnostic::error("kernel-feature", span, message)
                .label("not in this kernel")
                .help("store `comm` in a map by `pid` where the process itself is seen"),
        );
    }
    let may_call = matches!(
        checker.group.kind,
        ProgramKind::TracepointBtf(_)
            | ProgramKind::Fentry(_)
            | ProgramKind::Fexit(_)
            | ProgramKind::Iter(_)
            | ProgramKind::Tracepoint
            | ProgramKind::PerfEvent
    );
    if may_call {
        return None;
    }
    let provider = checker.group.context.provider;
    let message = format!("the kernel gives `comm(pid)` to other kinds of probes than {provider}");
    Some(Diagnostic::error("wrong-probe", span, message).help(
        "it works in tracepoint, interval, profile, software, hardware, iter, fentry and fexit probes",
    ))
}

/// Reads the name of the process with that pid; one that is not there is warned about.
pub(super) fn lower_comm_of(lowerer: &mut Lowerer<'_, '_>, pid: &Expr) -> Place {
    let types = lowerer.env.types;
    let (Some(find), Some(release), Some(offset)) = (
        types.kernel_function(TASK_FROM_PID),
        types.kernel_function(TASK_RELEASE),
        comm_in_task(types),
    ) else {
        unreachable!("builtins: comm(pid) was let through without its kernel functions");
    };
    let pid = lowerer.scalar(pid);
    let to = lowerer.temporary(NOBODY.len() as u32, "comm of a process");
    let task = lowerer.b.call_kernel(find, &[pid]);
    let (present, absent, done) = (lowerer.b.block(), lowerer.b.block(), lowerer.b.block());
    lowerer.b.branch(Compare::Ne, task, 0, present, absent);
    lowerer.b.enter(present);
    load_comm(lowerer, task, offset, to);
    lowerer.b.call_kernel(release, &[task]);
    lowerer.b.jump(done);
    lowerer.b.enter(absent);
    lowerer.store_bytes(NOBODY, to);
    lowerer.send_number(pid, |args| ActionKind::Format {
        sink: FormatSink::Warning,
        format: "No such process (pid=%d)".to_owned(),
        args,
    });
    lowerer.b.jump(done);
    lowerer.b.enter(done);
    to
}
