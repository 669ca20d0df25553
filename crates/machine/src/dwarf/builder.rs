//! From entries of debug information to a [`TypeGraph`].

use super::question::{OpenUnit, Question};
use super::types::{BaseEncoding, CompositeKind, DebugMember, DebugType, Qualifier, TypeIndex};
use super::{AttributeValue, Entry, TypeGraph};
use gimli::UnitOffset;
use std::collections::{HashMap, VecDeque};

/// Types in one graph.
const MAX_TYPES: usize = 4096;
/// Members, enumerators or parameters of one type.
const MAX_CHILDREN: usize = 4096;

/// Gathers types breadth first, so that the nearest are complete when the limit is reached.
pub(super) struct Builder<'q, 'a> {
    question: &'q Question<'a>,
    types: Vec<DebugType>,
    /// By absolute offset in `.debug_info`.
    known: HashMap<usize, TypeIndex>,
    pending: VecDeque<(usize, TypeIndex)>,
}

impl<'q, 'a> Builder<'q, 'a> {
    pub(super) fn new(question: &'q Question<'a>) -> Builder<'q, 'a> {
        Builder {
            question,
            types: vec![DebugType::Void],
            known: HashMap::new(),
            pending: VecDeque::new(),
        }
    }

    /// The type that stands for none.
    pub(super) fn void(&self) -> TypeIndex {
        TypeIndex(0)
    }

    /// The index of the type an attribute refers to; its content is read later.
    pub(super) fn reference(
        &mut self,
        unit: &OpenUnit<'a>,
        value: AttributeValue<'a>,
    ) -> TypeIndex {
        let Some(absolute) = self.question.target(unit, value) else {
            return self.add(DebugType::Unknown(String::new()));
        };
        if let Some(known) = self.known.get(&absolute) {
            return *known;
        }
        let index = self.add(DebugType::Unknown(String::new()));
        if (index.0 as usize) < MAX_TYPES - 1 {
            self.known.insert(absolute, index);
            self.pending.push_back((absolute, index));
        }
        index
    }

    fn add(&mut self, found: DebugType) -> TypeIndex {
        if self.types.len() >= MAX_TYPES - 1 {
            // One shared type says "too far away".
            self.types.truncate(MAX_TYPES - 1);
            self.types.push(DebugType::Unknown("...".to_string()));
            return TypeIndex(MAX_TYPES as u32 - 1);
        }
        self.types.push(found);
        TypeIndex((self.types.len() - 1) as u32)
    }

    /// Reads all types that were referred to.
    pub(super) fn finish(mut self) -> gimli::Result<TypeGraph> {
        while let Some((absolute, index)) = self.pending.pop_front() {
            if let Some(unit) = self.question.unit_of(absolute)? {
                self.types[index.0 as usize] =
                    self.read(&unit, UnitOffset(absolute - unit.start))?;
            }
        }
        Ok(TypeGraph::new(self.types))
    }

    fn read(&mut self, unit: &OpenUnit<'a>, offset: UnitOffset) -> gimli::Result<DebugType> {
        let mut cursor = unit.unit.entries_at_offset(offset)?;
        let Some(entry) = cursor.next_dfs()? else {
            return Ok(DebugType::Void);
        };
        let entry = entry.clone();
        self.question.budget.spend(entry.attrs().len())?;
        let name = self.name(unit, &entry);
        let size = entry
            .attr_value(gimli::DW_AT_byte_size)
            .and_then(|value| value.udata_value())
            .unwrap_or(0);
        Ok(match entry.tag() {
            gimli::DW_TAG_base_type => DebugType::Base {
                name,
                size,
                encoding: encoding(&entry),
            },
            gimli::DW_TAG_pointer_type => DebugType::Pointer {
                target: self.target(unit, &entry),
                is_reference: false,
            },
            gimli::DW_TAG_reference_type | gimli::DW_TAG_rvalue_reference_type => {
                DebugType::Pointer {
                    target: self.target(unit, &entry),
                    is_reference: true,
                }
            }
            gimli::DW_TAG_typedef => DebugType::Typedef {
                name,
                target: self.target(unit, &entry),
            },
            gimli::DW_TAG_const_type => self.qualified(Qualifier::Const, unit, &entry),
            gimli::DW_TAG_volatile_type => self.qualified(Qualifier::Volatile, unit, &entry),
            gimli::DW_TAG_restrict_type => self.qualified(Qualifier::Restrict, unit, &entry),
            gimli::DW_TAG_atomic_type => self.qualified(Qualifier::Atomic, unit, &entry),
            gimli::DW_TAG_structure_type => DebugType::Composite {
                kind: CompositeKind::Struct,
                name,
                size,
                members: self.members(unit, &entry)?,
            },
            gimli::DW_TAG_class_type => DebugType::Composite {
                kind: CompositeKind::Class,
                name,
                size,
                members: self.members(unit, &entry)?,
            },
            gimli::DW_TAG_union_type => DebugType::Composite {
                kind: CompositeKind::Union,
                name,
                size,
                members: self.members(unit, &entry)?,
            },
            gimli::DW_TAG_enumeration_type => DebugType::Enum {
                name,
                size,
                values: self.enumerators(unit, &entry)?,
            },
            gimli::DW_TAG_array_type => self.array(unit, &entry)?,
            gimli::DW_TAG_subroutine_type => DebugType::Function,
            gimli::DW_TAG_unspecified_type => DebugType::Void,
            _ => DebugType::Unknown(name),
        })
    }

    fn name(&self, unit: &OpenUnit<'a>, entry: &Entry<'a>) -> String {
        entry
            .attr_value(gimli::DW_AT_name)
            .map(|value| unit.text(value))
            .unwrap_or_default()
    }

    fn target(&mut self, unit: &OpenUnit<'a>, entry: &Entry<'a>) -> TypeIndex {
        entry
            .attr_value(gimli::DW_AT_type)
            .map_or(TypeIndex(0), |value| self.reference(unit, value))
    }

    fn qualified(
        &mut self,
        qualifier: Qualifier,
        unit: &OpenUnit<'a>,
        entry: &Entry<'a>,
    ) -> DebugType {
        DebugType::Qualified {
            qualifier,
            target: self.target(unit, entry),
        }
    }

    /// Direct children of an entry.
    fn children(
        &mut self,
        unit: &OpenUnit<'a>,
        parent: &Entry<'a>,
    ) -> gimli::Result<Vec<Entry<'a>>> {
        let mut cursor = unit.unit.entries_at_offset(parent.offset())?;
        let depth = cursor.next_dfs()?.map_or(0, |entry| entry.depth());
        let mut children = Vec::new();
        while let Some(child) = cursor.next_dfs()? {
            self.question.budget.spend(child.attrs().len())?;
            if child.depth() <= depth || children.len() >= MAX_CHILDREN {
                break;
            }
            if child.depth() == depth + 1 {
                children.push(child.clone());
            }
        }
        Ok(children)
    }

    fn members(
        &mut self,
        unit: &OpenUnit<'a>,
        entry: &Entry<'a>,
    ) -> gimli::Result<Vec<DebugMember>> {
        let mut members = Vec::new();
        for child in self.children(unit, entry)? {
            let is_static =
                child.has_attr(gimli::DW_AT_external) || child.has_attr(gimli::DW_AT_declaration);
            let is_member = matches!(
                child.tag(),
                gimli::DW_TAG_member | gimli::DW_TAG_inheritance
            );
            if !is_member || is_static {
                continue;
            }
            let name = self.name(unit, &child);
            let type_index = self.target(unit, &child);
            let (bit_offset, bitfield_bits) = place(&child);
            members.push(DebugMember {
                name,
                type_index,
                bit_offset,
                bitfield_bits,
            });
        }
        Ok(members)
    }

    fn enumerators(
        &mut self,
        unit: &OpenUnit<'a>,
        entry: &Entry<'a>,
    ) -> gimli::Result<Vec<(String, i64)>> {
        let children = self.children(unit, entry)?;
        let enumerators = children
            .iter()
            .filter(|child| child.tag() == gimli::DW_TAG_enumerator);
        let value = |child: &Entry<'a>| {
            let value = child.attr_value(gimli::DW_AT_const_value)?;
            value
                .sdata_value()
                .or_else(|| value.udata_value().map(|value| value as i64))
        };
        Ok(enumerators
            .filter_map(|child| Some((self.name(unit, child), value(child)?)))
            .collect())
    }

    /// An array of several dimensions becomes an array of arrays.
    fn array(&mut self, unit: &OpenUnit<'a>, entry: &Entry<'a>) -> gimli::Result<DebugType> {
        let mut element = self.target(unit, entry);
        let children = self.children(unit, entry)?;
        let dimensions: Vec<Option<u64>> = children
            .iter()
            .filter(|child| child.tag() == gimli::DW_TAG_subrange_type)
            .map(dimension)
            .collect();
        let (first, inner) = dimensions
            .split_first()
            .map_or((None, &[][..]), |(first, inner)| (*first, inner));
        for len in inner.iter().rev() {
            element = self.add(DebugType::Array { element, len: *len });
        }
        Ok(DebugType::Array {
            element,
            len: first,
        })
    }
}

fn dimension(subrange: &Entry<'_>) -> Option<u64> {
    let number = |name| {
        subrange
            .attr_value(name)
            .and_then(|value| value.udata_value())
    };
    number(gimli::DW_AT_count).or_else(|| number(gimli::DW_AT_upper_bound)?.checked_add(1))
}

/// Place of a member in bits, and the width of a bitfield, in the notations of DWARF 2 to 5.
fn place(member: &Entry<'_>) -> (u64, Option<u64>) {
    let number = |name| {
        member
            .attr_value(name)
            .and_then(|value| value.udata_value())
    };
    let bytes = number(gimli::DW_AT_data_member_location).unwrap_or(0);
    let bits = number(gimli::DW_AT_bit_size);
    let base = bytes.saturating_mul(8);
    if let Some(offset) = number(gimli::DW_AT_data_bit_offset) {
        return (offset, bits);
    }
    match (
        number(gimli::DW_AT_bit_offset),
        bits,
        number(gimli::DW_AT_byte_size),
    ) {
        // Before DWARF 4 the offset counts from the most significant bit of a storage unit.
        (Some(from_top), Some(width), Some(size)) => {
            let from_bottom = size
                .saturating_mul(8)
                .saturating_sub(from_top)
                .saturating_sub(width);
            (base.saturating_add(from_bottom), bits)
        }
        _ => (base, bits),
    }
}

fn encoding(entry: &Entry<'_>) -> BaseEncoding {
    match entry.attr_value(gimli::DW_AT_encoding) {
        Some(gimli::AttributeValue::Encoding(encoding)) => match encoding {
            gimli::DW_ATE_unsigned => BaseEncoding::Unsigned,
            gimli::DW_ATE_signed => BaseEncoding::Signed,
            gimli::DW_ATE_boolean => BaseEncoding::Bool,
            gimli::DW_ATE_signed_char
            | gimli::DW_ATE_unsigned_char
            | gimli::DW_ATE_UTF
            | gimli::DW_ATE_ASCII => BaseEncoding::Char,
            gimli::DW_ATE_float => BaseEncoding::Float,
            _ => BaseEncoding::Other,
        },
        _ => BaseEncoding::Other,
    }
}
