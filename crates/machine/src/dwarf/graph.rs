//! Types as debug information has them, gathered into one small graph around a function.
//!
//! Types near the function come first; when the graph reaches its limit, what lies further away (behind many pointers) becomes
//! [`DebugType::Unknown`].

use super::function::text;
use super::unit::unit_of_offset;
use super::{AttributeValue, Budget, Dwarf, Entry, Unit};
use gimli::{DebugInfoOffset, UnitOffset};
use std::collections::{HashMap, VecDeque};

/// Types in one graph.
const MAX_TYPES: usize = 4096;
/// Members, enumerators or parameters of one type.
const MAX_CHILDREN: usize = 4096;
/// Units opened for one graph (types of other units come with link-time optimisation).
const MAX_UNITS: usize = 64;
/// Qualifiers and typedefs followed.
const MAX_CHAIN: usize = 64;

/// Number of a type in its graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TypeIndex(pub u32);

/// Types that refer to each other by index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TypeGraph {
    types: Vec<DebugType>,
}

/// A type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DebugType {
    /// `void`.
    Void,
    /// A number, character or truth value.
    Base {
        /// Its name in the source language.
        name: String,
        /// In bytes.
        size: u64,
        /// How to read it.
        encoding: BaseEncoding,
    },
    /// A pointer or a reference.
    Pointer {
        /// What it points to.
        target: TypeIndex,
        /// Whether the language calls it a reference.
        is_reference: bool,
    },
    /// A struct, class or union.
    Composite {
        /// Which of them.
        kind: CompositeKind,
        /// Empty for an anonymous one.
        name: String,
        /// In bytes; 0 when it is only declared.
        size: u64,
        /// In order of the source.
        members: Vec<DebugMember>,
    },
    /// An enum.
    Enum {
        /// Empty for an anonymous one.
        name: String,
        /// In bytes.
        size: u64,
        /// Names and values.
        values: Vec<(String, i64)>,
    },
    /// An array.
    Array {
        /// Type of one element.
        element: TypeIndex,
        /// Number of elements, when it is known.
        len: Option<u64>,
    },
    /// A typedef.
    Typedef {
        /// The new name.
        name: String,
        /// What it names.
        target: TypeIndex,
    },
    /// A qualified type.
    Qualified {
        /// By what.
        qualifier: Qualifier,
        /// The type without it.
        target: TypeIndex,
    },
    /// A function's type, behind function pointers.
    Function,
    /// A type that is not described, not understood, or beyond the graph's limit; with its name if there is one.
    Unknown(String),
}

/// How a base type's bytes are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BaseEncoding {
    /// An unsigned integer.
    Unsigned,
    /// A signed integer.
    Signed,
    /// A truth value.
    Bool,
    /// A character, signed or not.
    Char,
    /// A floating point number.
    Float,
    /// Something else: complex, decimal.
    Other,
}

/// Which composite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompositeKind {
    /// `struct`.
    Struct,
    /// `class`.
    Class,
    /// `union`.
    Union,
}

/// A qualifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Qualifier {
    /// `const`.
    Const,
    /// `volatile`.
    Volatile,
    /// `restrict`.
    Restrict,
    /// `_Atomic`.
    Atomic,
}

/// A member of a composite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DebugMember {
    /// Empty for an anonymous struct or union, and for a base class.
    pub name: String,
    /// Its type.
    pub type_index: TypeIndex,
    /// Its place from the start of the composite.
    pub bit_offset: u64,
    /// Width in bits when it is a bitfield.
    pub bitfield_bits: Option<u64>,
}

impl TypeGraph {
    /// The type of that index.
    pub fn get(&self, index: TypeIndex) -> &DebugType {
        self.types.get(index.0 as usize).unwrap_or(&DebugType::Void)
    }

    /// How many types there are.
    pub fn len(&self) -> usize {
        self.types.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.types.is_empty()
    }

    /// The type behind typedefs and qualifiers.
    pub fn resolve(&self, mut index: TypeIndex) -> TypeIndex {
        for _ in 0..MAX_CHAIN {
            index = match self.get(index) {
                DebugType::Typedef { target, .. } | DebugType::Qualified { target, .. } => *target,
                _ => return index,
            };
        }
        index
    }

    /// Bytes a value takes; `None` when it is not known.
    pub fn size_of(&self, index: TypeIndex) -> Option<u64> {
        let mut index = index;
        let mut count: u64 = 1;
        for _ in 0..MAX_CHAIN {
            index = self.resolve(index);
            let size = match self.get(index) {
                DebugType::Base { size, .. }
                | DebugType::Composite { size, .. }
                | DebugType::Enum { size, .. } => *size,
                DebugType::Pointer { .. } => 8,
                DebugType::Array { element, len } => {
                    count = count.checked_mul((*len)?)?;
                    index = *element;
                    continue;
                }
                _ => return None,
            };
            return size.checked_mul(count);
        }
        None
    }

    /// The type as the source writes it: `const struct user *`.
    pub fn name(&self, index: TypeIndex) -> String {
        self.name_at(index, MAX_CHAIN)
    }

    /// `int[2][3]`: the outermost dimension comes first.
    fn array_name(&self, element: TypeIndex, len: Option<u64>, depth: usize) -> String {
        let (mut element, mut len, mut dimensions) = (element, len, String::new());
        for _ in 0..depth {
            match len {
                Some(len) => dimensions.push_str(&format!("[{len}]")),
                None => dimensions.push_str("[]"),
            }
            match self.get(element) {
                DebugType::Array {
                    element: inner,
                    len: inner_len,
                } => (element, len) = (*inner, *inner_len),
                _ => break,
            }
        }
        format!("{}{dimensions}", self.name_at(element, depth))
    }

    fn name_at(&self, index: TypeIndex, depth: usize) -> String {
        let Some(depth) = depth.checked_sub(1) else {
            return "...".to_string();
        };
        match self.get(index) {
            DebugType::Void => "void".to_string(),
            DebugType::Base { name, .. }
            | DebugType::Typedef { name, .. }
            | DebugType::Unknown(name) => name.clone(),
            DebugType::Pointer {
                target,
                is_reference,
            } => {
                let target = self.name_at(*target, depth);
                let mark = if *is_reference { '&' } else { '*' };
                if target.ends_with(['*', '&']) {
                    format!("{target}{mark}")
                } else {
                    format!("{target} {mark}")
                }
            }
            DebugType::Composite { kind, name, .. } => {
                let word = match kind {
                    CompositeKind::Struct => "struct",
                    CompositeKind::Class => "class",
                    CompositeKind::Union => "union",
                };
                if name.is_empty() {
                    format!("{word} {{ ... }}")
                } else {
                    format!("{word} {name}")
                }
            }
            DebugType::Enum { name, .. } => format!("enum {name}"),
            DebugType::Array { element, len } => self.array_name(*element, *len, depth),
            DebugType::Qualified { qualifier, target } => {
                let word = match qualifier {
                    Qualifier::Const => "const",
                    Qualifier::Volatile => "volatile",
                    Qualifier::Restrict => "restrict",
                    Qualifier::Atomic => "_Atomic",
                };
                let is_pointer = matches!(self.get(*target), DebugType::Pointer { .. });
                let target = self.name_at(*target, depth);
                if is_pointer {
                    format!("{target}{word}")
                } else {
                    format!("{word} {target}")
                }
            }
            DebugType::Function => "function".to_string(),
        }
    }
}

/// Gathers types breadth first, so that the nearest are complete when the limit is reached.
pub(super) struct Builder<'d, 'a> {
    dwarf: &'d Dwarf<'a>,
    pub(super) budget: Budget,
    types: Vec<DebugType>,
    /// By absolute offset in `.debug_info`.
    known: HashMap<usize, TypeIndex>,
    pending: VecDeque<(usize, TypeIndex)>,
    /// Units in use; types are read through the one they are in.
    units: Vec<Unit<'a>>,
}

impl<'d, 'a> Builder<'d, 'a> {
    pub(super) fn new(
        dwarf: &'d Dwarf<'a>,
        unit: &Unit<'a>,
        budget: Budget,
    ) -> gimli::Result<Builder<'d, 'a>> {
        let own = dwarf.unit(unit.header)?;
        Ok(Builder {
            dwarf,
            budget,
            types: vec![DebugType::Void],
            known: HashMap::new(),
            pending: VecDeque::new(),
            units: vec![own],
        })
    }

    pub(super) fn void(&self) -> TypeIndex {
        TypeIndex(0)
    }

    /// The index of the type an attribute refers to; its content is read later.
    pub(super) fn reference(&mut self, unit: &Unit<'a>, value: AttributeValue<'a>) -> TypeIndex {
        let absolute = match value {
            gimli::AttributeValue::UnitRef(offset) => offset
                .to_debug_info_offset(&unit.header)
                .map(|offset| offset.0),
            gimli::AttributeValue::DebugInfoRef(offset) => Some(offset.0),
            _ => None,
        };
        let Some(absolute) = absolute else {
            return self.add(DebugType::Unknown(String::new()));
        };
        if let Some(known) = self.known.get(&absolute) {
            return *known;
        }
        let index = self.add(DebugType::Unknown(String::new()));
        if index.0 != 0 {
            self.known.insert(absolute, index);
            self.pending.push_back((absolute, index));
        }
        index
    }

    fn add(&mut self, found: DebugType) -> TypeIndex {
        if self.types.len() >= MAX_TYPES {
            // One shared type says "too far away".
            let last = self.types.len() - 1;
            self.types[last] = DebugType::Unknown("...".to_string());
            return TypeIndex(last as u32);
        }
        self.types.push(found);
        TypeIndex((self.types.len() - 1) as u32)
    }

    /// Reads all types that were referred to.
    pub(super) fn finish(mut self) -> gimli::Result<TypeGraph> {
        while let Some((absolute, index)) = self.pending.pop_front() {
            let i = index.0 as usize;
            let is_overflow = i + 1 == MAX_TYPES;
            let Some(unit) = self.take_unit(absolute)? else {
                continue;
            };
            let read = DebugInfoOffset(absolute)
                .to_unit_offset(&unit.header)
                .map(|offset| self.read(&unit, offset));
            self.units.push(unit);
            if let Some(found) = read
                && !is_overflow
            {
                self.types[i] = found?;
            }
        }
        Ok(TypeGraph { types: self.types })
    }

    /// Takes the unit that holds an offset out of the list, so that it can be read while the graph grows.
    fn take_unit(&mut self, absolute: usize) -> gimli::Result<Option<Unit<'a>>> {
        let holds = |unit: &Unit<'a>| {
            let start = unit
                .header
                .debug_info_offset()
                .map_or(usize::MAX, |offset| offset.0);
            absolute
                .checked_sub(start)
                .is_some_and(|inside| inside < unit.header.length_including_self())
        };
        if let Some(i) = self.units.iter().rposition(holds) {
            return Ok(Some(self.units.swap_remove(i)));
        }
        if self.units.len() >= MAX_UNITS {
            return Ok(None);
        }
        match unit_of_offset(self.dwarf, DebugInfoOffset(absolute))? {
            Some(header) => Ok(Some(self.dwarf.unit(header)?)),
            None => Ok(None),
        }
    }

    fn read(&mut self, unit: &Unit<'a>, offset: UnitOffset) -> gimli::Result<DebugType> {
        let mut cursor = unit.entries_at_offset(offset)?;
        let Some(entry) = cursor.next_dfs()? else {
            return Ok(DebugType::Void);
        };
        let entry = entry.clone();
        self.budget.spend(entry.attrs().len())?;
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

    fn name(&self, unit: &Unit<'a>, entry: &Entry<'a>) -> String {
        entry
            .attr_value(gimli::DW_AT_name)
            .map(|value| text(self.dwarf, unit, value))
            .unwrap_or_default()
    }

    fn target(&mut self, unit: &Unit<'a>, entry: &Entry<'a>) -> TypeIndex {
        entry
            .attr_value(gimli::DW_AT_type)
            .map_or(TypeIndex(0), |value| self.reference(unit, value))
    }

    fn qualified(&mut self, qualifier: Qualifier, unit: &Unit<'a>, entry: &Entry<'a>) -> DebugType {
        DebugType::Qualified {
            qualifier,
            target: self.target(unit, entry),
        }
    }

    /// Direct children of an entry.
    fn children(&mut self, unit: &Unit<'a>, parent: &Entry<'a>) -> gimli::Result<Vec<Entry<'a>>> {
        let mut cursor = unit.entries_at_offset(parent.offset())?;
        let depth = cursor.next_dfs()?.map_or(0, |entry| entry.depth());
        let mut children = Vec::new();
        while let Some(child) = cursor.next_dfs()? {
            self.budget.spend(child.attrs().len())?;
            if child.depth() <= depth || children.len() >= MAX_CHILDREN {
                break;
            }
            if child.depth() == depth + 1 {
                children.push(child.clone());
            }
        }
        Ok(children)
    }

    fn members(&mut self, unit: &Unit<'a>, entry: &Entry<'a>) -> gimli::Result<Vec<DebugMember>> {
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
        unit: &Unit<'a>,
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
    fn array(&mut self, unit: &Unit<'a>, entry: &Entry<'a>) -> gimli::Result<DebugType> {
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
