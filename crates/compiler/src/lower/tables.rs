//! Where the entries of the script's maps are kept besides the kernel map that each has.

use fathom_bpf::map::{MapRole, SHORT_TEXT, Storage};
use fathom_bpf::slots::SlotTable;
use fathom_bpf::{Layout, Map, MapId, MapKind};

use crate::hir::uses::MapUse;
use crate::hir::{MapInfo, Maps};
use crate::ty::Type;

/// `BPF_F_MMAPABLE`: user space reads and clears slots in place (Linux 5.5).
pub(super) const MMAPABLE: u32 = 1 << 10;
/// Two to this power is the number of slots of a table.
const SLOT_BITS: u32 = 10;
/// The same for a table by thread, which all CPUs share.
const THREAD_SLOT_BITS: u32 = 12;
/// Machines with more CPUs get no copy for each: the memory would outgrow the gain.
const MAX_COPIES: u32 = 64;
/// Longest key of a slot.
const MAX_KEY: u32 = 24;
/// Maps that were limited to fewer entries keep to their limit.
const MIN_ENTRIES: u32 = 4096;

/// The second place of a map's entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// See [`MapRole::ShortTexts`].
    ShortTexts(MapId),
    /// A [`SlotTable`] with a copy for each CPU, for aggregations.
    PerCpuSlots(MapId, SlotTable),
    /// A [`SlotTable`] for all CPUs, keyed by thread.
    ThreadSlots(MapId, SlotTable),
}

/// What the machine offers to keep entries in.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Possible CPUs.
    pub cpu_count: u32,
    /// Programs can take a slot atomically (Linux 5.12).
    pub can_claim: bool,
}

/// Adds the side tables behind the script's maps; by script map, where it has one.
pub fn add_sides(
    kernel_maps: &mut Vec<Map>,
    maps: &Maps,
    uses: &[MapUse],
    limits: Limits,
) -> Vec<Option<Side>> {
    let infos = maps.maps.iter().zip(uses).enumerate();
    infos
        .map(|(index, (info, used))| {
            let of = MapId(index as u32);
            let next = MapId(kernel_maps.len() as u32);
            let (map, side) = side_of(of, next, &kernel_maps[index], info, *used, limits)?;
            kernel_maps.push(map);
            Some(side)
        })
        .collect()
}

fn side_of(
    of: MapId,
    next: MapId,
    map: &Map,
    info: &MapInfo,
    used: MapUse,
    limits: Limits,
) -> Option<(Map, Side)> {
    let MapRole::Script(script) = &map.role else {
        return None;
    };
    if info.declared.is_some() || used.is_walked || map.max_entries < MIN_ENTRIES {
        return None;
    }
    let is_long_text = matches!(info.key, Some(Type::String { size }) if size >= 2 * SHORT_TEXT);
    let storage = script.storage;
    if is_long_text && matches!(storage, Storage::Plain | Storage::PerCpu) {
        let short = Map {
            key_size: SHORT_TEXT,
            role: MapRole::ShortTexts { of },
            ..map.clone()
        };
        return Some((short, Side::ShortTexts(next)));
    }
    if !limits.can_claim || map.key_size > MAX_KEY || !matches!(map.key_size % 8, 0 | 4) {
        return None;
    }
    let is_series = matches!(script.value, Layout::TimeSeries { .. });
    let is_aggregated = matches!(storage, Storage::PerCpu | Storage::Buckets) && !is_series;
    if is_aggregated && !used.is_read && limits.cpu_count <= MAX_COPIES {
        let table = slot_table(of, map, limits.cpu_count, SLOT_BITS);
        return Some((slot_map(map, table), Side::PerCpuSlots(next, table)));
    }
    let is_word = matches!(map.value_size, 1 | 2 | 4 | 8) && is_scalar(&script.value);
    if storage == Storage::Plain && used.is_by_thread && is_word {
        let table = slot_table(of, map, 1, THREAD_SLOT_BITS);
        return Some((slot_map(map, table), Side::ThreadSlots(next, table)));
    }
    None
}

fn is_scalar(layout: &Layout) -> bool {
    matches!(
        layout,
        Layout::Bool | Layout::Int { .. } | Layout::Enum { .. } | Layout::Pointer
    )
}

fn slot_table(of: MapId, map: &Map, copies: u32, slot_bits: u32) -> SlotTable {
    SlotTable {
        of,
        copies,
        slot_bits,
        key_size: map.key_size,
        value_size: map.value_size,
    }
}

fn slot_map(of: &Map, table: SlotTable) -> Map {
    Map {
        name: format!("{}_slots", of.name.chars().take(9).collect::<String>()),
        kind: MapKind::Array,
        key_size: 4,
        value_size: table.total_size(),
        max_entries: 1,
        flags: MMAPABLE,
        role: MapRole::Slots(table),
    }
}
