//! How often a call of a function comes to a place in it.

use super::{Elf, Function};
use crate::Address;
use iced_x86::FlowControl;

impl Elf {
    /// Whether every call of the function comes to the instruction so many bytes inside exactly once: nothing before it
    /// leaves, and nothing behind it jumps back. Jumps through registers and tables are taken to go elsewhere.
    pub fn is_passed_once(&self, function: &Function<'_>, inside: u64) -> bool {
        self.decode(function).all(|instruction| {
            let is_before = instruction.ip() < inside;
            match instruction.flow_control() {
                FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch => {
                    // Counted from the function's start: what lies before that is far behind its end.
                    let target = instruction.near_branch_target();
                    match is_before {
                        true => target <= inside,
                        false => target > inside,
                    }
                }
                FlowControl::Return | FlowControl::IndirectBranch => !is_before,
                _ => true,
            }
        })
    }

    /// Whether the function may end by a jump to another one, which returns in its place. Its own cold part is no other.
    pub fn ends_by_jump(&self, function: &Function<'_>) -> bool {
        let leaves = |target: u64| {
            let address = Address(function.address.0.wrapping_add(target));
            let other = self.function_containing(address);
            target >= function.extent()
                && other
                    .is_some_and(|(other, inside)| inside == 0 && !other.name().contains(".cold"))
        };
        self.decode(function).any(|instruction| {
            let is_jump = matches!(
                instruction.flow_control(),
                FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch
            );
            is_jump && leaves(instruction.near_branch_target())
        })
    }
}
