//! The canonical frame address at an instruction: the stack pointer before the call, the same from the function's first
//! instruction to its last.

use super::DebugInfo;
use super::frame::FrameAddress;
use super::location::{Expression, Operation};
use crate::Address;

impl DebugInfo {
    /// How to calculate it from registers; `None` where unwind tables do not say, or not as a register plus a number.
    pub fn canonical_frame_address(&self, pc: Address) -> Option<Expression> {
        match self.frame_address(pc.0)? {
            FrameAddress::Register { number, offset } => {
                Some(Expression(vec![Operation::Register { number, offset }]))
            }
            FrameAddress::Expression(..) => None,
        }
    }
}
