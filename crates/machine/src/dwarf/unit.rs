//! From an address to the compilation unit that covers it.

use super::question::Budget;
use super::{AttributeValue, DebugInfo, Dwarf, Entry, Unit};
use crate::Address;
use gimli::DebugInfoOffset;

/// Ranges kept of one file.
const MAX_RANGES: usize = 20_000_000;

/// Address ranges of units in order of start.
#[derive(Debug, Default)]
pub(super) struct UnitIndex {
    ranges: Vec<UnitRange>,
}

#[derive(Debug, Clone, Copy)]
struct UnitRange {
    start: u64,
    end: u64,
    unit: usize,
}

impl UnitIndex {
    fn from(mut ranges: Vec<UnitRange>) -> UnitIndex {
        ranges.sort_unstable_by_key(|range| (range.start, range.end));
        UnitIndex { ranges }
    }

    fn find(&self, address: Address) -> Option<DebugInfoOffset> {
        let after = self
            .ranges
            .partition_point(|range| range.start <= address.0);
        // Ranges of different units do not overlap, but empty and nested ones occur: look a few back.
        let candidates = self.ranges[..after].iter().rev().take(8);
        let found = candidates.into_iter().find(|range| address.0 < range.end)?;
        Some(DebugInfoOffset(found.unit))
    }
}

impl DebugInfo {
    /// Where the unit starts whose code covers an address.
    pub(super) fn unit_offset_at(
        &self,
        dwarf: &Dwarf<'_>,
        address: Address,
    ) -> Option<DebugInfoOffset> {
        let by_table = self
            .index
            .get_or_init(|| index_from_aranges(dwarf))
            .find(address);
        // clang writes no .debug_aranges: ask the units.
        by_table.or_else(|| {
            self.scanned
                .get_or_init(|| index_from_units(dwarf))
                .find(address)
        })
    }

    /// Where all units of the file start, in order.
    pub(super) fn unit_starts(&self, dwarf: &Dwarf<'_>) -> &[usize] {
        self.unit_starts.get_or_init(|| unit_starts(dwarf))
    }

    /// Where all units of what `dwz` shares start, in order.
    pub(super) fn supplement_starts(&self, dwarf: &Dwarf<'_>) -> &[usize] {
        self.supplement_starts.get_or_init(|| unit_starts(dwarf))
    }

    /// Where the unit starts that holds an offset of `.debug_info`.
    pub(super) fn unit_start(&self, dwarf: &Dwarf<'_>, offset: usize) -> Option<usize> {
        last_before(self.unit_starts(dwarf), offset)
    }

    /// The same in what `dwz` shares.
    pub(super) fn supplement_start(&self, dwarf: &Dwarf<'_>, offset: usize) -> Option<usize> {
        last_before(self.supplement_starts(dwarf), offset)
    }
}

fn last_before(starts: &[usize], offset: usize) -> Option<usize> {
    let after = starts.partition_point(|start| *start <= offset);
    starts.get(after.checked_sub(1)?).copied()
}

/// Starts of all units in order; those behind a broken one are not found.
fn unit_starts(dwarf: &Dwarf<'_>) -> Vec<usize> {
    let mut starts = Vec::new();
    let mut headers = dwarf.units();
    while let Ok(Some(header)) = headers.next() {
        starts.extend(header.debug_info_offset().map(|offset| offset.0));
    }
    starts
}

/// Broken tables give what could be read before the break.
fn index_from_aranges(dwarf: &Dwarf<'_>) -> UnitIndex {
    let mut ranges = Vec::new();
    let mut headers = dwarf.debug_aranges.headers();
    while let Ok(Some(header)) = headers.next() {
        let mut entries = header.entries();
        while let Ok(Some(entry)) = entries.next_raw() {
            let unit = header.debug_info_offset().0;
            let end = entry.address().saturating_add(entry.length());
            if ranges.len() < MAX_RANGES && entry.address() != 0 {
                ranges.push(UnitRange {
                    start: entry.address(),
                    end,
                    unit,
                });
            }
        }
    }
    UnitIndex::from(ranges)
}

fn index_from_units(dwarf: &Dwarf<'_>) -> UnitIndex {
    let mut ranges = Vec::new();
    let budget = Budget::new();
    let mut headers = dwarf.units();
    while let Ok(Some(header)) = headers.next() {
        let Some(unit_offset) = header.debug_info_offset() else {
            continue;
        };
        let Ok(unit) = dwarf.unit(header) else {
            continue;
        };
        let mut cursor = unit.entries();
        let Ok(Some(root)) = cursor.next_dfs() else {
            continue;
        };
        if budget.spend(root.attrs().len()).is_err() || ranges.len() > MAX_RANGES {
            break;
        }
        for_each_range(dwarf, &unit, root, |start, end| {
            if ranges.len() < MAX_RANGES && start != 0 {
                ranges.push(UnitRange {
                    start,
                    end,
                    unit: unit_offset.0,
                });
            }
        });
    }
    UnitIndex::from(ranges)
}

/// Calls with each code range of an entry. Sums saturate: the numbers are claims.
pub(super) fn for_each_range<'a>(
    dwarf: &Dwarf<'a>,
    unit: &Unit<'a>,
    entry: &Entry<'a>,
    mut each: impl FnMut(u64, u64),
) {
    let address = |value: AttributeValue<'a>| dwarf.attr_address(unit, value).ok().flatten();
    if let Some(ranges) = entry.attr_value(gimli::DW_AT_ranges) {
        let Ok(Some(mut list)) = dwarf.attr_ranges(unit, ranges) else {
            return;
        };
        let mut budget = MAX_RANGES;
        while let Ok(Some(range)) = list.next() {
            each(range.begin, range.end);
            budget -= 1;
            if budget == 0 {
                return;
            }
        }
        return;
    }
    let Some(low) = entry.attr_value(gimli::DW_AT_low_pc).and_then(address) else {
        return;
    };
    let high = match entry.attr_value(gimli::DW_AT_high_pc) {
        Some(gimli::AttributeValue::Addr(high)) => high,
        Some(value) => match (value.udata_value(), address(value)) {
            (Some(size), _) => low.saturating_add(size),
            (None, Some(high)) => high,
            (None, None) => return,
        },
        None => low.saturating_add(1),
    };
    each(low, high);
}
