//! The running task's name read straight from its `task_struct`, where the kernel gives a typed pointer to it.
//!
//! `bpf_get_current_comm` copies and pads through two function calls; two typed loads cost a fraction of it. Kernels before
//! 5.17 leave old bytes behind the name's NUL (`strlcpy` in `__set_task_comm`), so they are cleared here: a name is also
//! a map key, and equal names must have equal bytes.

use fathom_bpf::helper::Helper;
use fathom_syntax::ast::c::CRecordKind;

use crate::ir::{BinaryOp, Compare, Memory, Op, Value, Width};
use crate::lower::{Lowerer, Place};
use crate::ty::Type;

/// The lowest bit and the highest bit of each byte of a word.
const LOW_BITS: i64 = 0x0101_0101_0101_0101;
const HIGH_BITS: i64 = 0x8080_8080_8080_8080_u64 as i64;

/// Writes the 16 bytes of the current task's name.
pub(super) fn lower_current_comm(lowerer: &mut Lowerer<'_, '_>, size: u32, to: Place) {
    let is_aligned = to.memory != Memory::Stack || to.offset % 8 == 0;
    match comm_offset(lowerer) {
        Some(offset) if is_aligned && size == 16 => load_comm(lowerer, offset, to),
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
    let types = lowerer.env.types;
    let task = types.struct_named(CRecordKind::Struct, "task_struct", Default::default());
    let Ok(Type::Struct(task)) = task else {
        return None;
    };
    let (offset, _, _) = types.member(task, "comm")?;
    i32::try_from(offset).ok()
}

fn load_comm(lowerer: &mut Lowerer<'_, '_>, offset: i32, to: Place) {
    let task = lowerer.b.call(Helper::GET_CURRENT_TASK_BTF, &[]);
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
