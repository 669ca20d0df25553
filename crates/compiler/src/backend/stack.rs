//! Whether the frames of a program fit the kernel's stack.
//!
//! The kernel gives 512 bytes to a function together with all that it calls, callbacks included, and rounds each frame
//! up (to 32 bytes; since Linux 6.8 to 16 where programs are translated to machine code).

use regalloc2::Output;

use super::slots::Frame;
use super::{BackendError, STACK_LIMIT, StackUser};
use crate::ir::{Op, Program};

/// Unit of frames in a chain of calls.
const FRAME_UNIT: u32 = 32;

/// Stack users named in the error.
const MAX_NAMED: usize = 5;

/// Bytes of a function's frame.
pub(super) fn frame_size(frame: &Frame, allocation: &Output) -> u32 {
    frame.size + 8 * allocation.num_spillslots as u32
}

/// Checks the deepest chain from the main function through its callbacks.
pub(super) fn check(program: &Program, frames: &[u32]) -> Result<(), BackendError> {
    if program.functions.is_empty() {
        return Ok(());
    }
    let (needed, chain) = deepest(program, frames, 0, 0);
    if needed <= STACK_LIMIT {
        return Ok(());
    }
    let mut biggest: Vec<StackUser> = chain
        .iter()
        .flat_map(|function| &program.functions[*function].slots)
        .map(|slot| StackUser {
            purpose: slot.purpose.clone(),
            size: slot.size,
            span: slot.span,
        })
        .collect();
    biggest.sort_by_key(|user| std::cmp::Reverse(user.size));
    biggest.truncate(MAX_NAMED);
    Err(BackendError::StackTooLarge { needed, biggest })
}

/// Depth below a function, and the functions on the way. Callbacks that call themselves would not end: `depth` is the
/// number of functions above.
fn deepest(program: &Program, frames: &[u32], function: usize, depth: usize) -> (u32, Vec<usize>) {
    let callbacks = program.functions[function]
        .blocks
        .iter()
        .flat_map(|block| &block.insts)
        .filter_map(|inst| match inst.op {
            Op::FunctionAddress(id) => Some(id.0 as usize),
            _ => None,
        });
    let below = callbacks
        .filter(|callback| depth < program.functions.len() && *callback != function)
        .map(|callback| deepest(program, frames, callback, depth + 1))
        .max_by_key(|(needed, _)| *needed);
    let own = frames[function];
    match below {
        None if depth == 0 => (own, vec![function]),
        None => (own.max(1).next_multiple_of(FRAME_UNIT), vec![function]),
        Some((needed, mut chain)) => {
            chain.insert(0, function);
            (own.max(1).next_multiple_of(FRAME_UNIT) + needed, chain)
        }
    }
}
