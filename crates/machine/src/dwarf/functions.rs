//! From an address to the function of a unit that covers it.

use super::DebugInfo;
use super::question::{OpenUnit, Question};
use super::unit::for_each_range;
use crate::Address;
use gimli::UnitOffset;
use std::sync::{Arc, PoisonError};

/// Ranges kept of one unit.
const MAX_RANGES: usize = 4_000_000;

/// Code of a unit's functions, in order of address.
#[derive(Debug)]
pub(super) struct UnitFunctions(Vec<FunctionRange>);

#[derive(Debug, Clone, Copy)]
struct FunctionRange {
    start: u64,
    end: u64,
    /// Whether the function is entered at the start: so it is with the first of several ranges.
    is_entry: bool,
    function: UnitOffset,
}

impl UnitFunctions {
    /// The function that is entered at an address.
    pub(super) fn starting_at(&self, address: Address) -> Option<UnitOffset> {
        let from = self.0.partition_point(|range| range.start < address.0);
        let here = self.0[from..]
            .iter()
            .take_while(|range| range.start == address.0);
        here.filter(|range| range.is_entry)
            .map(|range| range.function)
            .next()
    }

    /// Where the part of a function ends that is entered at an address.
    pub(super) fn end_of(&self, function: Address) -> Option<Address> {
        let from = self.0.partition_point(|range| range.start < function.0);
        let mut here = self.0[from..].iter();
        here.find(|range| range.is_entry)
            .filter(|range| range.start == function.0)
            .map(|range| Address(range.end))
    }

    /// The function that has the instruction at an address.
    pub(super) fn covering(&self, address: Address) -> Option<UnitOffset> {
        let after = self.0.partition_point(|range| range.start <= address.0);
        let mut candidates = self.0[..after].iter().rev().take(8);
        let found = candidates.find(|range| address.0 < range.end)?;
        // Of functions that were found to be equal and share their code, the first.
        Some(
            self.starting_at(Address(found.start))
                .unwrap_or(found.function),
        )
    }
}

impl DebugInfo {
    /// The functions of a unit, gathered at the first question.
    pub(super) fn functions_of<'a>(
        &self,
        question: &Question<'a>,
        unit: &OpenUnit<'a>,
    ) -> gimli::Result<Arc<UnitFunctions>> {
        let lock = || {
            self.functions
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        if let Some(known) = lock().get(&unit.start) {
            return Ok(known.clone());
        }
        let found = Arc::new(gather(question, unit)?);
        lock().insert(unit.start, found.clone());
        Ok(found)
    }
}

/// Walks the unit's entries, reading attributes of functions only.
fn gather<'a>(question: &Question<'a>, unit: &OpenUnit<'a>) -> gimli::Result<UnitFunctions> {
    let mut ranges = Vec::new();
    let mut entries = unit.unit.entries_raw(None)?;
    let mut entry = super::Entry::null();
    while !entries.is_empty() && ranges.len() < MAX_RANGES {
        let mut ahead = entries.clone();
        let Some(abbreviation) = ahead.read_abbreviation()? else {
            entries = ahead;
            continue;
        };
        question.budget.spend(abbreviation.attributes().len())?;
        if abbreviation.tag() != gimli::DW_TAG_subprogram {
            ahead.skip_attributes(abbreviation.attributes())?;
            entries = ahead;
            continue;
        }
        entries.read_entry(&mut entry)?;
        let mut is_entry = true;
        for_each_range(&unit.dwarf, &unit.unit, &entry, |start, end| {
            ranges.push(FunctionRange {
                start,
                end,
                is_entry,
                function: entry.offset(),
            });
            is_entry = false;
        });
    }
    ranges.sort_by_key(|range| range.start);
    Ok(UnitFunctions(ranges))
}
