//! An overview of one unit: from an address to the function that covers it, and from an entry to the namespaces around it.

use super::DebugInfo;
use super::question::{OpenUnit, Place, Question};
use super::unit::for_each_range;
use crate::Address;
use gimli::UnitOffset;
use std::sync::{Arc, PoisonError};

/// Ranges kept of one unit.
const MAX_RANGES: usize = 4_000_000;
/// Namespaces and types in each other.
const MAX_DEPTH: usize = 64;

/// What one walk over a unit's entries gathers.
#[derive(Debug, Default)]
pub(super) struct Outline {
    /// Code of functions, in order of address.
    functions: Vec<FunctionRange>,
    /// Namespaces and types, in order of their entries.
    containers: Vec<Container>,
}

/// An entry that others are in, and give their names to.
#[derive(Debug, Clone, Copy)]
struct Container {
    entry: usize,
    /// Where the first entry behind it is.
    end: usize,
    parent: Option<u32>,
}

#[derive(Debug, Clone, Copy)]
struct FunctionRange {
    start: u64,
    end: u64,
    /// Whether the function is entered at the start: so it is with the first of several ranges.
    is_entry: bool,
    function: UnitOffset,
}

impl Outline {
    /// The function that is entered at an address.
    pub(super) fn starting_at(&self, address: Address) -> Option<UnitOffset> {
        let from = self
            .functions
            .partition_point(|range| range.start < address.0);
        let here = self.functions[from..]
            .iter()
            .take_while(|range| range.start == address.0);
        here.filter(|range| range.is_entry)
            .map(|range| range.function)
            .next()
    }

    /// Where the part of a function ends that is entered at an address.
    pub(super) fn end_of(&self, function: Address) -> Option<Address> {
        let from = self
            .functions
            .partition_point(|range| range.start < function.0);
        let mut here = self.functions[from..].iter();
        here.find(|range| range.is_entry)
            .filter(|range| range.start == function.0)
            .map(|range| Address(range.end))
    }

    /// The function that has the instruction at an address.
    pub(super) fn covering(&self, address: Address) -> Option<UnitOffset> {
        let after = self
            .functions
            .partition_point(|range| range.start <= address.0);
        let mut candidates = self.functions[..after].iter().rev().take(8);
        let found = candidates.find(|range| address.0 < range.end)?;
        // Of functions that were found to be equal and share their code, the first.
        Some(
            self.starting_at(Address(found.start))
                .unwrap_or(found.function),
        )
    }

    /// The namespaces and types around an entry, the innermost first.
    fn around(&self, entry: UnitOffset) -> impl Iterator<Item = UnitOffset> {
        let after = self
            .containers
            .partition_point(|container| container.entry < entry.0);
        let get = |index: Option<usize>| self.containers.get(index?);
        let parent = move |of: &&Container| get(of.parent.map(|parent| parent as usize));
        let innermost = std::iter::successors(get(after.checked_sub(1)), parent);
        innermost
            .filter(move |container| entry.0 < container.end)
            .map(|container| UnitOffset(container.entry))
    }
}

impl DebugInfo {
    /// The overview of a unit, made at the first question.
    pub(super) fn outline<'a>(
        &self,
        question: &Question<'a>,
        unit: &OpenUnit<'a>,
    ) -> gimli::Result<Arc<Outline>> {
        let lock = || self.outlines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(&unit.start) {
            return Ok(known.clone());
        }
        let found = Arc::new(gather(question, unit)?);
        lock().insert(unit.start, found.clone());
        Ok(found)
    }
}

impl<'a> Question<'a> {
    /// The names of the namespaces and types around an entry: `std::__cxx11`.
    pub(super) fn scope_of(&self, place: &Place<'a>) -> gimli::Result<String> {
        let outline = self.info.outline(self, &place.unit)?;
        let mut names = Vec::new();
        for container in outline.around(place.entry.offset()).take(MAX_DEPTH) {
            let container = self.entry(&place.unit, container)?;
            let name = self.text_of(&container, gimli::DW_AT_name)?;
            names.push(name.unwrap_or_else(|| "(anonymous)".to_string()));
        }
        names.reverse();
        Ok(names.join("::"))
    }
}

/// Walks the unit's entries, reading attributes of functions only.
fn gather<'a>(question: &Question<'a>, unit: &OpenUnit<'a>) -> gimli::Result<Outline> {
    let mut outline = Outline::default();
    // Containers the walk is in, with their depth.
    let mut open: Vec<(isize, u32)> = Vec::new();
    let mut entries = unit.unit.entries_raw(None)?;
    let mut entry = super::Entry::null();
    while !entries.is_empty() && outline.functions.len() < MAX_RANGES {
        let (offset, depth) = (entries.next_offset(), entries.next_depth());
        let mut ahead = entries.clone();
        let Some(abbreviation) = ahead.read_abbreviation()? else {
            entries = ahead;
            continue;
        };
        while let Some((_, done)) = open.pop_if(|(outer, _)| *outer >= depth) {
            outline.containers[done as usize].end = offset.0;
        }
        question.budget.spend(abbreviation.attributes().len())?;
        let tag = abbreviation.tag();
        if tag == gimli::DW_TAG_subprogram {
            entries.read_entry(&mut entry)?;
            outline.add_function(unit, &entry);
            continue;
        }
        if abbreviation.has_children() && is_container(tag) && open.len() < MAX_DEPTH {
            let number = outline.containers.len() as u32;
            outline.containers.push(Container {
                entry: offset.0,
                end: usize::MAX,
                parent: open.last().map(|(_, parent)| *parent),
            });
            open.push((depth, number));
        }
        ahead.skip_attributes(abbreviation.attributes())?;
        entries = ahead;
    }
    outline.functions.sort_by_key(|range| range.start);
    Ok(outline)
}

fn is_container(tag: gimli::DwTag) -> bool {
    matches!(
        tag,
        gimli::DW_TAG_namespace
            | gimli::DW_TAG_module
            | gimli::DW_TAG_structure_type
            | gimli::DW_TAG_class_type
            | gimli::DW_TAG_union_type
            | gimli::DW_TAG_enumeration_type
    )
}

impl Outline {
    fn add_function<'a>(&mut self, unit: &OpenUnit<'a>, function: &super::Entry<'a>) {
        let mut is_entry = true;
        for_each_range(&unit.dwarf, &unit.unit, function, |start, end| {
            self.functions.push(FunctionRange {
                start,
                end,
                is_entry,
                function: function.offset(),
            });
            is_entry = false;
        });
    }
}
