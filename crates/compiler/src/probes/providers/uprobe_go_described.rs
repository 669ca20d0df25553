//! Arguments of Go functions that have parameters without a name.
//!
//! Debug information leaves those out, so that the convention cannot be applied to the others: one does not know what they take.
//! Where it says itself in which registers an argument comes, that is believed.

use fathom_machine::dwarf::{DebugFunction, Location, Operation, Parameter};

use crate::probes::go_abi::{INTEGERS, Piece, Place};

/// DWARF's numbers of the integer registers, in the order of the convention.
const NUMBERS: [u16; INTEGERS.len()] = [0, 3, 2, 5, 4, 8, 9, 10, 11];
/// DWARF's number of the stack pointer.
const STACK_POINTER: u16 = 7;
/// Bytes of the return address, which the stack pointer points to.
const RETURN_ADDRESS: i64 = 8;

/// Keeps the arguments whose places are told, and gives those.
pub(super) fn keep_told(described: &mut DebugFunction) -> Vec<Vec<Piece>> {
    let mut places = Vec::new();
    let types = described.types.clone();
    described.parameters.retain(|parameter| {
        if parameter.is_result {
            return true;
        }
        let size = types.size_of(parameter.type_index);
        let pieces = size.and_then(|size| pieces(parameter, size));
        let is_told = pieces.is_some();
        places.extend(pieces);
        is_told
    });
    places
}

/// The places of an argument where its function starts.
fn pieces(parameter: &Parameter, size: u64) -> Option<Vec<Piece>> {
    if !parameter.is_valid_at_entry {
        return None;
    }
    let Location::Pieces(parts) = &parameter.location else {
        let place = place(&parameter.location)?;
        return Some(vec![Piece {
            offset: 0,
            size,
            place,
        }]);
    };
    let mut offset = 0;
    let mut pieces = Vec::new();
    for part in parts {
        pieces.push(Piece {
            offset,
            size: part.size,
            place: place(&part.location)?,
        });
        offset = offset.checked_add(part.size)?;
    }
    (offset == size).then_some(pieces)
}

fn place(location: &Location) -> Option<Place> {
    match location {
        Location::Register(number) => {
            let at = NUMBERS.iter().position(|known| known == number)?;
            Some(Place::Register(INTEGERS[at]))
        }
        Location::Memory(expression) => match expression.0[..] {
            [Operation::Register { number, offset }] if number == STACK_POINTER => {
                let above = offset.checked_sub(RETURN_ADDRESS)?;
                u64::try_from(above).ok().map(Place::Stack)
            }
            _ => None,
        },
        _ => None,
    }
}
