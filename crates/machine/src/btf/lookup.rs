//! Finding things by name: types, members at the end of a path, enumerators.

use super::raw::{Record, malformed};
use super::{Btf, Composite, Kind, MAX_TYPE_DEPTH, Type, TypeId};
use crate::{Error, Result, suggest};

/// Members looked at for one lookup; more means that a malformed file nests anonymous structs without end.
const MAX_MEMBERS_SEARCHED: usize = 100_000;

/// Hash table from name to type ids: open addressing over ids, names stay in the file.
#[derive(Debug)]
pub(super) struct NameIndex {
    /// 0 is an empty slot. The length is a power of two.
    slots: Vec<u32>,
}

/// Where a field is and what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Its type.
    pub type_id: TypeId,
    /// Its place from the start of the outermost struct.
    pub bit_offset: u64,
    /// Width in bits when it is a bitfield.
    pub bitfield_bits: Option<u8>,
}

impl Field {
    /// Offset in bytes of the byte that holds the first bit.
    pub fn byte_offset(&self) -> u64 {
        self.bit_offset / 8
    }
}

/// A named constant of an enum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Enumerator {
    /// Its value.
    pub value: i64,
    /// The enum it belongs to.
    pub enum_type: TypeId,
}

impl NameIndex {
    fn build(btf: &Btf) -> NameIndex {
        let mut slots = vec![0u32; (btf.offsets.len() * 2).next_power_of_two().max(2)];
        let mask = slots.len() - 1;
        let types = &btf.bytes[btf.header.types()];
        for (id, position) in (btf.first_id..).zip(&btf.offsets) {
            let record = Record::at(types, *position as usize);
            if record.name == 0 || !record.kind().is_some_and(is_indexed) {
                continue;
            }
            let mut slot = hash(btf.string_bytes(record.name)) as usize & mask;
            while slots[slot] != 0 {
                slot = (slot + 1) & mask;
            }
            slots[slot] = id;
        }
        NameIndex { slots }
    }

    /// Ids whose name has this hash, in order of id for equal names.
    fn candidates(&self, name: &[u8]) -> impl Iterator<Item = TypeId> + '_ {
        let mask = self.slots.len() - 1;
        let start = hash(name) as usize & mask;
        (0..self.slots.len())
            .map(move |step| self.slots[(start + step) & mask])
            .take_while(|id| *id != 0)
            .map(TypeId)
    }
}

fn is_indexed(kind: Kind) -> bool {
    !matches!(kind, Kind::DeclTag | Kind::TypeTag | Kind::DataSec)
}

/// FNV-1a, folded: names are short and the table is at most half full.
fn hash(name: &[u8]) -> u32 {
    let mut state: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in name {
        state = (state ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    }
    (state ^ (state >> 32)) as u32
}

/// Whether a lookup for `wanted` accepts a type of that kind.
fn accepts(wanted: Kind, found: Kind) -> bool {
    wanted == found || (wanted == Kind::Enum && found == Kind::Enum64)
}

impl Btf {
    /// The type of that kind and name; [`Kind::Enum`] finds enums of both widths. Looks in the base first.
    pub fn find(&self, kind: Kind, name: &str) -> Option<TypeId> {
        if name.is_empty() {
            return None;
        }
        if let Some(id) = self.base.as_ref().and_then(|base| base.find(kind, name)) {
            return Some(id);
        }
        let index = self.index.get_or_init(|| NameIndex::build(self));
        index.candidates(name.as_bytes()).find(|id| {
            self.kind(*id).is_some_and(|found| accepts(kind, found)) && self.name(*id) == name
        })
    }

    /// Like [`Btf::find`], with an error that names what is close.
    pub fn require(&self, kind: Kind, name: &str) -> Result<TypeId> {
        self.find(kind, name).ok_or_else(|| Error::NotFound {
            kind: kind.keyword().to_string(),
            name: name.to_string(),
            nearest: suggest::nearest(name, self.names(kind).map(|(_, name)| name)),
        })
    }

    /// Any type a C type name without `struct`, `union` or `enum` can mean: a typedef or a base type.
    pub fn find_bare(&self, name: &str) -> Option<TypeId> {
        [Kind::Typedef, Kind::Int, Kind::Float]
            .into_iter()
            .find_map(|kind| self.find(kind, name))
    }

    /// Ids and names of all own types of a kind, without the base's and without anonymous ones.
    pub fn names(&self, kind: Kind) -> impl Iterator<Item = (TypeId, &str)> {
        let types = &self.bytes[self.header.types()];
        (self.first_id..)
            .zip(&self.offsets)
            .filter_map(move |(id, position)| {
                let record = Record::at(types, *position as usize);
                let is_wanted = record.kind().is_some_and(|found| accepts(kind, found));
                let name = if is_wanted {
                    self.string(record.name)
                } else {
                    ""
                };
                (!name.is_empty()).then_some((TypeId(id), name))
            })
    }

    /// The struct or union behind a type, through typedefs and qualifiers.
    pub fn composite(&self, id: TypeId) -> Result<Option<Composite<'_>>> {
        match self.resolved(id)?.1 {
            Type::Struct(composite) | Type::Union(composite) => Ok(Some(composite)),
            _ => Ok(None),
        }
    }

    /// A field by its path, `a.b.c`: each step looks into the struct or union before it, and through its anonymous members.
    pub fn field_path(&self, composite: TypeId, path: &str) -> Result<Field> {
        let mut at = Field {
            type_id: composite,
            bit_offset: 0,
            bitfield_bits: None,
        };
        for name in path.split('.') {
            let step = self.field(at.type_id, name)?;
            at = Field {
                bit_offset: at.bit_offset.saturating_add(step.bit_offset),
                ..step
            };
        }
        Ok(at)
    }

    /// A field of a struct or union, looked up through anonymous members.
    pub fn field(&self, owner: TypeId, name: &str) -> Result<Field> {
        let mut budget = MAX_MEMBERS_SEARCHED;
        match self.search_field(owner, name, 0, &mut budget)? {
            Some(field) if !name.is_empty() => Ok(field),
            _ => Err(Error::NoField {
                owner: self.c_name(owner),
                field: name.to_string(),
                nearest: suggest::nearest(name, self.field_names(owner)?),
            }),
        }
    }

    /// All names [`Btf::field`] accepts for that struct or union.
    pub fn field_names(&self, owner: TypeId) -> Result<Vec<&str>> {
        let mut names = Vec::new();
        let mut pending = vec![(owner, 0)];
        while let Some((id, depth)) = pending.pop() {
            let Some(composite) = self.composite(id)? else {
                continue;
            };
            for member in composite.members() {
                if names.len() + pending.len() >= MAX_MEMBERS_SEARCHED {
                    return Ok(names);
                }
                match member.name {
                    "" if depth < MAX_TYPE_DEPTH => pending.push((member.type_id, depth + 1)),
                    "" => {}
                    name => names.push(name),
                }
            }
        }
        Ok(names)
    }

    fn search_field(
        &self,
        owner: TypeId,
        name: &str,
        depth: usize,
        budget: &mut usize,
    ) -> Result<Option<Field>> {
        if depth > MAX_TYPE_DEPTH {
            return Err(malformed("anonymous members nest without end"));
        }
        let Some(composite) = self.composite(owner)? else {
            return Ok(None);
        };
        for member in composite.members() {
            *budget = budget
                .checked_sub(1)
                .ok_or_else(|| malformed("anonymous members nest without end"))?;
            let here = Field {
                type_id: member.type_id,
                bit_offset: member.bit_offset.into(),
                bitfield_bits: member.bitfield_bits,
            };
            if member.name == name && !name.is_empty() {
                return Ok(Some(here));
            }
            if member.name.is_empty()
                && let Some(inner) = self.search_field(member.type_id, name, depth + 1, budget)?
            {
                return Ok(Some(Field {
                    bit_offset: here.bit_offset + inner.bit_offset,
                    ..inner
                }));
            }
        }
        Ok(None)
    }

    /// The constant of that name in any enum, anonymous ones included. Looks in the base first.
    pub fn enumerator(&self, name: &str) -> Option<Enumerator> {
        if let Some(found) = self.base.as_ref().and_then(|base| base.enumerator(name)) {
            return Some(found);
        }
        let is_enum = |id: &TypeId| matches!(self.kind(*id), Some(Kind::Enum | Kind::Enum64));
        self.own_ids().filter(is_enum).find_map(|enum_type| {
            let Ok(Type::Enum(found)) = self.type_by_id(enum_type) else {
                return None;
            };
            let (_, value) = found.values().find(|(candidate, _)| *candidate == name)?;
            Some(Enumerator { value, enum_type })
        })
    }
}
