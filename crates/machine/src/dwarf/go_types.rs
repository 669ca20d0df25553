//! From what a running Go program says of a value's type to the type's description.

use super::builder::Builder;
use super::question::{Question, Spot};
use super::{AttributeValue, DebugInfo, Language, TypeGraph, TypeIndex};
use crate::Result;
use std::collections::HashMap;

/// `DW_AT_go_runtime_type` (Go's `cmd/internal/dwarf`).
const RUNTIME_TYPE: gimli::DwAt = gimli::DwAt(0x2904);
/// Types kept of one file.
const MAX_KNOWN: usize = 1_000_000;

/// Types by what the running program calls them: offsets from `runtime.types`.
#[derive(Debug, Default)]
pub(super) struct GoTypeIndex(HashMap<u64, Spot>);

impl DebugInfo {
    /// The type whose description in the running program lies so far behind `runtime.types`.
    pub fn go_type(&self, runtime_offset: u64) -> Result<Option<(TypeGraph, TypeIndex)>> {
        let index = match self.go_types.get() {
            Some(index) => index,
            None => {
                let made = self.index_go_types()?;
                self.go_types.get_or_init(|| made)
            }
        };
        let Some(spot) = index.0.get(&runtime_offset) else {
            return Ok(None);
        };
        let question = Question::new(self)?;
        let Some(place) = question.place(*spot).map_err(self.malformed())? else {
            return Ok(None);
        };
        let mut builder = Builder::new(&question);
        let reference = AttributeValue::UnitRef(place.entry.offset());
        let found = builder.reference(&place.unit, reference);
        let graph = builder.finish(Language::Go).map_err(self.malformed())?;
        Ok(Some((graph, found)))
    }

    /// Go describes each type once, at the top of a unit.
    fn index_go_types(&self) -> Result<GoTypeIndex> {
        let question = Question::new(self)?;
        let mut index = GoTypeIndex::default();
        for start in self.all_units(&question) {
            let Ok(Some(unit)) = question.unit_of(start) else {
                continue;
            };
            let mut entries = unit.unit.entries_raw(None).map_err(self.malformed())?;
            let mut entry = super::Entry::null();
            while !entries.is_empty() && index.0.len() < MAX_KNOWN {
                let mut ahead = entries.clone();
                let abbreviation = ahead.read_abbreviation().map_err(self.malformed())?;
                let Some(abbreviation) = abbreviation else {
                    entries = ahead;
                    continue;
                };
                let attributes = abbreviation.attributes();
                question
                    .budget
                    .spend(attributes.len())
                    .map_err(self.malformed())?;
                if !attributes.iter().any(|one| one.name() == RUNTIME_TYPE) {
                    ahead
                        .skip_attributes(attributes)
                        .map_err(self.malformed())?;
                    entries = ahead;
                    continue;
                }
                entries.read_entry(&mut entry).map_err(self.malformed())?;
                let told = entry.attr_value(RUNTIME_TYPE);
                // Types without a description in the program have none, and those with several entries the first.
                let offset = told.and_then(|value| offset(&value)).filter(|at| *at != 0);
                if let Some(offset) = offset {
                    let spot = unit.spot(entry.offset());
                    index.0.entry(offset).or_insert(spot);
                }
            }
            question.forget_units();
        }
        Ok(index)
    }
}

/// Written in the form of an address, although it is an offset.
fn offset(value: &AttributeValue<'_>) -> Option<u64> {
    match value {
        gimli::AttributeValue::Addr(offset) => Some(*offset),
        value => value.udata_value(),
    }
}
