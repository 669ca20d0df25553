//! Puts addresses into a program: relocations become immediates of instructions.

use crate::insn::{Insn, Operation, PseudoImm};
use crate::map::MapId;
use crate::object::{Program, RelocationKind};

/// A relocation that does not fit its program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// It points past the program or at something else than its kind asks for.
    #[error("relocation at slot {slot} has no fitting instruction there")]
    Misplaced {
        /// Slot it names.
        slot: u32,
    },
    /// The function it names does not exist.
    #[error("relocation at slot {slot} names function {function}, which the program does not have")]
    NoFunction {
        /// Slot it names.
        slot: u32,
        /// Index into [`Program::functions`].
        function: u32,
    },
}

/// The program's instructions with all relocations applied.
///
/// `map_address` tells how a map is named to the one who will run the program: by file descriptor for the kernel, by
/// index for the test interpreter. Its second argument is the offset when the map's value is meant, not the map.
pub fn link(
    program: &Program,
    mut map_address: impl FnMut(MapId, Option<u32>) -> PseudoImm,
) -> Result<Vec<Insn>, LinkError> {
    let mut insns = program.insns.clone();
    for relocation in &program.relocations {
        let slot = relocation.insn;
        let operation =
            Operation::decode(&insns, slot as usize).map_err(|_| LinkError::Misplaced { slot })?;
        let value = match relocation.kind {
            RelocationKind::Map(map) => map_address(map, None),
            RelocationKind::MapValue { map, offset } => map_address(map, Some(offset)),
            RelocationKind::FunctionAddress(function) => {
                PseudoImm::Function(function_distance(program, slot, function)?)
            }
            RelocationKind::FunctionCall(function) => {
                let Operation::CallFunction { .. } = operation else {
                    return Err(LinkError::Misplaced { slot });
                };
                let distance = function_distance(program, slot, function)?;
                insns[slot as usize] = Insn::call_function(distance);
                continue;
            }
        };
        let Operation::LoadImm64 { dst, .. } = operation else {
            return Err(LinkError::Misplaced { slot });
        };
        let slots = Insn::load_pseudo(dst, value);
        insns[slot as usize..][..2].copy_from_slice(&slots);
    }
    Ok(insns)
}

/// Slots from the instruction after `slot` to the start of the function. The kernel counts from the first half of a
/// `ld_imm64`, as if it had one slot.
fn function_distance(program: &Program, slot: u32, function: u32) -> Result<i32, LinkError> {
    let target = program
        .functions
        .get(function as usize)
        .ok_or(LinkError::NoFunction { slot, function })?
        .first_insn;
    let distance = i64::from(target) - i64::from(slot) - 1;
    i32::try_from(distance).map_err(|_| LinkError::Misplaced { slot })
}
