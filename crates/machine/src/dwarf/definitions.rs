//! Structs, classes and unions that a unit only declares, and another defines.

use super::question::{OpenUnit, Place, Question, Spot, sibling};
use super::{DebugInfo, Slice};
use gimli::UnitOffset;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Definitions kept of one file.
const MAX_DEFINITIONS: usize = 8_000_000;
/// Definitions of one name that are compared.
const MAX_OF_ONE_NAME: usize = 32;

/// Definitions in order of their names' hashes.
#[derive(Debug, Default)]
pub(super) struct Definitions(Vec<Definition>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Definition {
    name: u64,
    size: u64,
    spot: Spot,
}

impl<'a> Question<'a> {
    /// The definition of a type that is only declared; `None` when there is none, or there are several that differ.
    pub(super) fn definition_of(&self, declared: &Place<'a>) -> gimli::Result<Option<Spot>> {
        let Some(name) = declared.own(gimli::DW_AT_name) else {
            return Ok(None);
        };
        let name = declared.unit.text(name);
        let hash = hash_of(name.as_bytes());
        let all = self.info.definitions();
        let from = all.0.partition_point(|definition| definition.name < hash);
        let candidates = all.0[from..]
            .iter()
            .take_while(|definition| definition.name == hash);
        let scope = self.scope_of(declared)?;
        let mut found: Option<Definition> = None;
        for candidate in candidates.take(MAX_OF_ONE_NAME) {
            let Some(place) = self.place(candidate.spot)? else {
                continue;
            };
            let is_it = self.text_of(&place, gimli::DW_AT_name)?.as_ref() == Some(&name)
                && self.scope_of(&place)? == scope;
            match found {
                _ if !is_it => {}
                Some(known) if known.size != candidate.size => return Ok(None),
                Some(_) => {}
                None => found = Some(*candidate),
            }
        }
        Ok(found.map(|definition| definition.spot))
    }
}

impl DebugInfo {
    /// All definitions, gathered at the first type that is only declared; none when the file cannot be searched.
    fn definitions(&self) -> &Definitions {
        self.definitions.get_or_init(|| {
            let join = |all: &mut Vec<Definition>, more: Vec<Definition>| {
                let room = MAX_DEFINITIONS.saturating_sub(all.len());
                all.extend(more.into_iter().take(room));
            };
            let gathered = self.in_every_unit(gather, join);
            let mut all = gathered.unwrap_or_default();
            all.sort_unstable();
            // Each unit that includes a header defines the same: a few of each size tell whether all are equal.
            let mut seen = (0, 0, 0);
            all.retain(|definition| {
                let is_same = (definition.name, definition.size) == (seen.0, seen.1);
                seen = (
                    definition.name,
                    definition.size,
                    if is_same { seen.2 + 1 } else { 0 },
                );
                seen.2 < 4
            });
            Definitions(all)
        })
    }
}

fn hash_of(name: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

/// Reads a unit's named types; functions are passed over, with what is local to them.
fn gather<'a>(
    question: &Question<'a>,
    unit: &std::rc::Rc<OpenUnit<'a>>,
) -> gimli::Result<Vec<Definition>> {
    let mut found = Vec::new();
    let mut entries = unit.unit.entries_raw(None)?;
    while !entries.is_empty() {
        let offset = entries.next_offset();
        let Some(abbreviation) = entries.read_abbreviation()? else {
            continue;
        };
        let attributes = abbreviation.attributes();
        question.budget.spend(attributes.len())?;
        match abbreviation.tag() {
            gimli::DW_TAG_structure_type | gimli::DW_TAG_class_type | gimli::DW_TAG_union_type => {
                found.extend(definition(unit, &mut entries, attributes, offset)?);
            }
            gimli::DW_TAG_subprogram => {
                if let Some(next) = sibling(&mut entries, abbreviation)? {
                    entries = unit.unit.entries_raw(Some(next))?;
                }
            }
            _ => entries.skip_attributes(attributes)?,
        }
    }
    Ok(found)
}

/// Nothing for declarations and types without a name.
fn definition<'a>(
    unit: &OpenUnit<'a>,
    entries: &mut gimli::EntriesRaw<'_, Slice<'a>>,
    attributes: &[gimli::AttributeSpecification],
    offset: UnitOffset,
) -> gimli::Result<Option<Definition>> {
    let (mut name, mut size, mut is_declaration) = (None, None, false);
    for attribute in attributes {
        let read = entries.read_attribute(*attribute)?;
        match read.name() {
            gimli::DW_AT_name => name = Some(read.value()),
            gimli::DW_AT_byte_size => size = read.udata_value(),
            gimli::DW_AT_declaration => is_declaration = true,
            _ => {}
        }
    }
    let (Some(name), Some(size), false) = (name, size, is_declaration) else {
        return Ok(None);
    };
    let name = unit.dwarf.attr_string(&unit.unit, name)?;
    Ok(Some(Definition {
        name: hash_of(name.slice()),
        size,
        spot: unit.spot(offset),
    }))
}
