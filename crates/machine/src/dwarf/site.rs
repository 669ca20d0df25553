//! An instruction of a function, and where variables are there.

use super::AttributeValue;
use super::expression::{Code, Worked, general, number_of, translate};
use super::frame::FrameAddress;
use super::location::{Expression, Location, Operation};
use super::question::{OpenUnit, Place, Question};
use crate::Address;
use crate::elf::Architecture;
use std::cell::RefCell;

/// Bytes of one constant.
pub(super) const MAX_CONSTANT: usize = 64 << 10;
/// DWARF's numbers of the frame pointer and the stack pointer.
const RBP: u16 = 6;
const RSP: u16 = 7;
/// Bytes of the return address, which lies on top of the stack at a function's first instruction.
const RETURN_ADDRESS: i64 = 8;
/// Entries of one location list.
const MAX_LIST: usize = 100_000;

/// What debug information tells of a variable.
pub(super) struct Told {
    pub(super) location: Location,
    /// Whether it is told once for the whole function.
    pub(super) is_valid_everywhere: bool,
    /// Whether it holds at the function's first instruction, or the inlined copy's.
    pub(super) is_valid_at_entry: bool,
}

impl Told {
    /// Nothing is told.
    pub(super) fn absent() -> Told {
        Told {
            location: Location::Absent,
            is_valid_everywhere: true,
            is_valid_at_entry: true,
        }
    }
}

/// An instruction of a function: what locations depend on.
pub(super) struct Site<'q, 'a> {
    pub(super) question: &'q Question<'a>,
    pub(super) pc: Address,
    /// The function's first instruction.
    pub(super) entry: Address,
    pub(super) frame_base: Worked<Expression>,
    /// Whether the frame base is right in the prologue too.
    is_base_exact: bool,
    /// Worked out at first use.
    canonical_frame_address: RefCell<Option<Worked<Expression>>>,
}

impl<'q, 'a> Site<'q, 'a> {
    /// An instruction of a function.
    pub(super) fn new(
        question: &'q Question<'a>,
        function: &Place<'a>,
        entry: Address,
        pc: Address,
    ) -> Site<'q, 'a> {
        let mut site = Site {
            question,
            pc,
            entry,
            frame_base: Err("the function has no frame base".to_string()),
            is_base_exact: false,
            canonical_frame_address: RefCell::new(None),
        };
        if let Some(attribute) = function.own(gimli::DW_AT_frame_base) {
            site.frame_base = number_of(site.described(&function.unit, attribute));
            site.is_base_exact = matches!(attribute, gimli::AttributeValue::Exprloc(code)
                if code.0.slice() == [gimli::DW_OP_call_frame_cfa.0]);
        }
        site
    }

    /// Where the variable of an entry is; `None` when the entry does not tell.
    pub(super) fn location(&self, variable: &Place<'a>) -> Option<Told> {
        if let Some(constant) = variable.own(gimli::DW_AT_const_value) {
            return Some(Told {
                location: constant_value(&variable.unit, constant),
                is_valid_everywhere: true,
                is_valid_at_entry: true,
            });
        }
        let attribute = variable.own(gimli::DW_AT_location)?;
        let is_single = matches!(attribute, gimli::AttributeValue::Exprloc(_));
        let location = self.described(&variable.unit, attribute);
        Some(Told {
            is_valid_everywhere: is_single,
            is_valid_at_entry: !is_single
                || self.pc != self.entry
                || self.is_set_up_at_entry(&location),
            location,
        })
    }

    /// Whether something that is told for the whole function is already there at its first instruction: all but what the
    /// prologue still has to store, or to make the frame pointer point to.
    fn is_set_up_at_entry(&self, location: &Location) -> bool {
        match location {
            Location::Memory(Expression(operations)) => match operations.as_slice() {
                // What the caller pushed; only when the offset is counted from where the stack pointer really is.
                [
                    Operation::Register {
                        number: RSP,
                        offset,
                    },
                ] if self.is_base_exact => *offset >= RETURN_ADDRESS,
                operations => !operations.iter().any(is_frame_relative),
            },
            Location::Value(Expression(operations)) => !operations.iter().any(is_frame_relative),
            Location::Pieces(pieces) => pieces
                .iter()
                .all(|piece| self.is_set_up_at_entry(&piece.location)),
            _ => true,
        }
    }

    fn described(&self, unit: &OpenUnit<'a>, attribute: AttributeValue<'a>) -> Location {
        if self.question.info.binary.architecture() != Architecture::X86_64 {
            return Location::Unreadable("the program is not for x86-64".to_string());
        }
        let code = match attribute {
            gimli::AttributeValue::Exprloc(code) => Some(code),
            list => match self.in_list(unit, list) {
                Ok(code) => code,
                Err(error) => {
                    return Location::Unreadable(format!("its location list: {error}"));
                }
            },
        };
        match code {
            Some(code) => translate(self, Some(unit), code, unit.unit.encoding()),
            None => Location::Absent,
        }
    }

    /// The entry of a location list that covers the instruction. One for everywhere counts when no other does.
    fn in_list(
        &self,
        unit: &OpenUnit<'a>,
        list: AttributeValue<'a>,
    ) -> gimli::Result<Option<Code<'a>>> {
        let Some(mut entries) = unit.dwarf.attr_locations(&unit.unit, list)? else {
            return Ok(None);
        };
        let mut default = None;
        for _ in 0..MAX_LIST {
            let Some(raw) = entries.next_raw()? else {
                break;
            };
            self.question.budget.spend(1)?;
            let raw = match self.pc == self.entry {
                true => with_first_view(raw),
                false => raw,
            };
            let Some(entry) = entries.convert_raw(raw)? else {
                continue;
            };
            let range = (entry.range.begin, entry.range.end);
            if range == (0, u64::MAX) {
                default = Some(entry.data);
            } else if range.0 <= self.pc.0 && self.pc.0 < range.1 {
                return Ok(Some(entry.data));
            }
        }
        Ok(default)
    }

    /// The address on which places in the frame are based.
    pub(super) fn canonical_frame_address(&self) -> Worked<Expression> {
        if let Some(known) = &*self.canonical_frame_address.borrow() {
            return known.clone();
        }
        let in_progress = Err("the frame's address is described by itself".to_string());
        self.canonical_frame_address.replace(Some(in_progress));
        let found = self.find_canonical_frame_address();
        self.canonical_frame_address.replace(Some(found.clone()));
        found
    }

    fn find_canonical_frame_address(&self) -> Worked<Expression> {
        match self.question.info.frame_address(self.pc.0) {
            Some(FrameAddress::Register { number, offset }) => {
                general(number)?;
                Ok(Expression(vec![Operation::Register { number, offset }]))
            }
            Some(FrameAddress::Expression(code, encoding)) => {
                number_of(translate(self, None, code, encoding))
            }
            None => Err("no unwind information covers the instruction".to_string()),
        }
    }
}

/// GCC tells several locations for one instruction, in order of what has happened in the source by then, as empty ranges
/// (`DW_AT_GNU_locviews`). Where a function is entered the first of them holds: here it gets a byte.
fn with_first_view<R: gimli::Reader<Offset = usize>>(
    entry: gimli::RawLocListEntry<R>,
) -> gimli::RawLocListEntry<R> {
    use gimli::RawLocListEntry::{AddressOrOffsetPair, OffsetPair, StartLength, StartxLength};
    match entry {
        AddressOrOffsetPair { begin, end, data } if begin == end => AddressOrOffsetPair {
            begin,
            end: end.wrapping_add(1),
            data,
        },
        OffsetPair { begin, end, data } if begin == end => OffsetPair {
            begin,
            end: end.wrapping_add(1),
            data,
        },
        StartLength {
            begin,
            length: 0,
            data,
        } => StartLength {
            begin,
            length: 1,
            data,
        },
        StartxLength {
            begin,
            length: 0,
            data,
        } => StartxLength {
            begin,
            length: 1,
            data,
        },
        other => other,
    }
}

fn is_frame_relative(operation: &Operation) -> bool {
    matches!(
        operation,
        Operation::Register {
            number: RBP | RSP,
            ..
        }
    )
}

pub(super) fn constant_value<'a>(unit: &OpenUnit<'a>, value: AttributeValue<'a>) -> Location {
    match number(&value) {
        Some(number) => Location::Constant(number.to_le_bytes().to_vec()),
        None => match value {
            gimli::AttributeValue::Block(bytes) if bytes.len() <= MAX_CONSTANT => {
                Location::Constant(bytes.slice().to_vec())
            }
            gimli::AttributeValue::Data16(number) => {
                Location::Constant(number.to_le_bytes().to_vec())
            }
            text => match unit.dwarf.attr_string(&unit.unit, text) {
                Ok(text) if text.len() <= MAX_CONSTANT => {
                    Location::Constant([text.slice(), &[0]].concat())
                }
                _ => Location::Unreadable("its constant has an unknown form".to_string()),
            },
        },
    }
}

/// A number; forms of fixed size have no sign.
pub(super) fn number(value: &AttributeValue<'_>) -> Option<i64> {
    match value {
        gimli::AttributeValue::Data1(number) => Some((*number).into()),
        gimli::AttributeValue::Data2(number) => Some((*number).into()),
        gimli::AttributeValue::Data4(number) => Some((*number).into()),
        gimli::AttributeValue::Data8(number) | gimli::AttributeValue::Udata(number) => {
            Some(*number as i64)
        }
        gimli::AttributeValue::Sdata(number) => Some(*number),
        _ => None,
    }
}
