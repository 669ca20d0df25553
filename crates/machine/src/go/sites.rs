//! Where probes of a Go function belong.
//!
//! ```text
//! main.f:  cmp  0x10(%r14),%rsp      comes here again after the stack has grown, and when the scheduler interrupts
//!          jbe  grow
//!          push %rbp                 ◄ entry: once a call, arguments still in their registers
//!          …
//!          ret                       ◄ return
//!          …
//!          jmp  main.g               ◄ return: a tail call
//! grow:    …
//!          call runtime.morestack
//!          jmp  main.f
//! ```
//! A `uretprobe` would put its own return address on the stack, which the runtime takes for corruption when it moves the stack.

use crate::Address;
use crate::elf::{Elf, Function};
use iced_x86::{FlowControl, Instruction, Mnemonic};

/// Instructions that a stack check has at most.
const MAX_CHECK: usize = 12;
/// Instructions that spill the arguments, grow the stack and load them again.
const MAX_GROWTH: usize = 128;
/// The runtime's functions that grow a stack: jumping there is no return.
const GROWS_STACK: &str = "runtime.morestack";

/// Where a probe sees each call of a function once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntrySite {
    /// Bytes from the function's start.
    pub offset: u64,
    /// Whether it is passed once a call: `false` when a loop leads back to it.
    pub is_exact: bool,
}

impl Elf {
    /// Where calls of a Go function have passed the stack check.
    pub fn go_entry_site(&self, function: &Function<'_>) -> EntrySite {
        if let Some(offset) = self.behind_stack_check(function) {
            return EntrySite {
                offset,
                is_exact: true,
            };
        }
        let leads_back = |instruction: Instruction| {
            is_jump(&instruction) && instruction.near_branch_target() == 0
        };
        EntrySite {
            offset: 0,
            is_exact: !self.decode(function).any(leads_back),
        }
    }

    /// Where a Go function returns, in bytes from its start: every `ret`, and every jump to another function.
    pub fn go_return_sites(&self, function: &Function<'_>) -> Vec<u64> {
        let is_assembly = self
            .go()
            .and_then(|go| go.function_at(function.address))
            .is_some_and(|known| known.is_assembly);
        let sites = self.decode(function).filter(|instruction| {
            match instruction.flow_control() {
                FlowControl::Return => instruction.mnemonic() == Mnemonic::Ret,
                FlowControl::UnconditionalBranch => self.is_tail_call(function, instruction),
                // Compiled code has these for `switch`; assembly jumps to functions with them.
                FlowControl::IndirectBranch => is_assembly,
                _ => false,
            }
        });
        sites.map(|instruction| instruction.ip()).collect()
    }

    fn is_tail_call(&self, function: &Function<'_>, jump: &Instruction) -> bool {
        let target = jump.near_branch_target();
        if target < function.extent() {
            return false;
        }
        let address = Address(function.address.0.wrapping_add(target));
        let Some((other, _)) = self.function_containing(address) else {
            return self.is_code(address);
        };
        !other.name().starts_with(GROWS_STACK)
    }

    /// Where the instruction behind the stack check is; `None` when there is no check.
    fn behind_stack_check(&self, function: &Function<'_>) -> Option<u64> {
        let prologue = self.decode(function).take(MAX_CHECK);
        let checks = prologue.take_while(belongs_to_check);
        checks
            .filter(|instruction| instruction.flow_control() == FlowControl::ConditionalBranch)
            .filter(|branch| self.grows_stack(function, branch.near_branch_target()))
            .last()
            .map(|branch| branch.next_ip())
    }

    /// Whether the code there calls something and then starts the function anew.
    fn grows_stack(&self, function: &Function<'_>, start: u64) -> bool {
        let mut calls = false;
        for instruction in self.decode_from(function, start).take(MAX_GROWTH) {
            match instruction.flow_control() {
                FlowControl::Call => calls = true,
                FlowControl::Next => {}
                FlowControl::UnconditionalBranch => {
                    return calls && instruction.near_branch_target() == 0;
                }
                _ => return false,
            }
        }
        false
    }
}

/// Whether an instruction can be a part of the check: anything that leaves the stack pointer alone.
fn belongs_to_check(instruction: &Instruction) -> bool {
    let moves_stack = instruction.mnemonic() != Mnemonic::Cmp
        && instruction.op0_register() == iced_x86::Register::RSP;
    let is_part = matches!(
        instruction.mnemonic(),
        Mnemonic::Cmp
            | Mnemonic::Lea
            | Mnemonic::Mov
            | Mnemonic::Sub
            | Mnemonic::Xorps
            | Mnemonic::Nop
            | Mnemonic::Jbe
            | Mnemonic::Jb
            | Mnemonic::Je
            | Mnemonic::Jae
    );
    is_part && !moves_stack
}

fn is_jump(instruction: &Instruction) -> bool {
    matches!(
        instruction.flow_control(),
        FlowControl::UnconditionalBranch | FlowControl::ConditionalBranch
    )
}
