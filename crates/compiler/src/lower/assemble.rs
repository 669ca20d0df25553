//! Collects what all programs of an object share: maps, actions, places where helpers can fail.

use fathom_bpf::layout::{hist_bucket_count, lhist_bucket_count};
use fathom_bpf::map::{MapRole, ScriptMap, Storage};
use fathom_bpf::object::{Action, ActionKind, ErrorSite};
use fathom_bpf::unwind::{self, UnwindTable};
use fathom_bpf::{Layout, Map, MapId, MapKind};

use super::tables::{self, Limits, Side};
use crate::config::Config;
use crate::hir::uses::MapUse;
use crate::hir::{MapInfo, Maps};
use crate::ty::Type;
use crate::types::Types;

/// Stacks kept at a time, in each of the stack maps.
const STACKS: u32 = 16384;
/// Processes that are remembered at a time.
const PROCESSES: u32 = 8192;
/// Calls that are under way at a time, of functions that return through memory.
const KEPT_RESULTS: u32 = 16384;
/// Frames of a stack that the kernel records at most (`PERF_MAX_STACK_DEPTH`).
pub const MAX_STACK_FRAMES: u32 = 127;

/// The shared part of an object under construction.
pub struct Assembly {
    maps: Vec<Map>,
    storages: Vec<Storage>,
    actions: Vec<Action>,
    error_sites: Vec<ErrorSite>,
    events_size: u32,
    has_default_events_size: bool,
    events: Option<MapId>,
    lost: Option<MapId>,
    errors: Option<MapId>,
    start_time: Option<MapId>,
    processes: Option<MapId>,
    kept_results: Option<MapId>,
    stacks: Vec<(u32, MapId)>,
    unwind: Vec<(UnwindTable, MapId)>,
    /// By script map: where else its entries are.
    sides: Vec<Option<Side>>,
}

/// What [`Assembly::finish`] gives to the object.
pub struct Assembled {
    /// Indexed by [`MapId`].
    pub maps: Vec<Map>,
    /// Indexed by the action number of an event.
    pub actions: Vec<Action>,
    /// Indexed by the key of the error map.
    pub error_sites: Vec<ErrorSite>,
}

impl Assembly {
    /// Starts with the script's maps.
    pub fn new(maps: &Maps, types: &Types<'_>, config: &Config) -> Assembly {
        let mut assembly = Assembly {
            maps: Vec::new(),
            storages: Vec::new(),
            actions: Vec::new(),
            error_sites: Vec::new(),
            events_size: events_bytes(config),
            has_default_events_size: config.ring_buffer_pages.is_none(),
            events: None,
            lost: None,
            errors: None,
            start_time: None,
            processes: None,
            kept_results: None,
            stacks: Vec::new(),
            unwind: Vec::new(),
            sides: Vec::new(),
        };
        for info in &maps.maps {
            let (map, storage) = script_map(info, types, config);
            assembly.maps.push(map);
            assembly.storages.push(storage);
        }
        assembly
    }

    /// Adds the maps in which entries are found faster; to be called before anything else is added.
    pub fn add_sides(&mut self, maps: &Maps, uses: &[MapUse], limits: Limits) {
        self.sides = tables::add_sides(&mut self.maps, maps, uses, limits);
    }

    /// The second place of a script map's entries, where there is one.
    pub fn side(&self, map: MapId) -> Option<Side> {
        self.sides.get(map.0 as usize).copied().flatten()
    }

    /// The finished parts.
    pub fn finish(mut self) -> Assembled {
        if let Some(errors) = self.errors {
            self.maps[errors.0 as usize].max_entries = (self.error_sites.len() as u32).max(1);
        }
        if let Some(events) = self.events
            && self.has_default_events_size
            && self.actions.iter().all(|action| is_rare(&action.kind))
        {
            let map = &mut self.maps[events.0 as usize];
            map.max_entries = map.max_entries.min(SMALL_EVENTS_BYTES);
        }
        Assembled {
            maps: self.maps,
            actions: self.actions,
            error_sites: self.error_sites,
        }
    }

    fn add(&mut self, map: Map) -> MapId {
        self.maps.push(map);
        MapId(self.maps.len() as u32 - 1)
    }

    /// How a script map's values are stored.
    pub fn storage(&self, map: MapId) -> Storage {
        self.storages[map.0 as usize]
    }

    /// Bytes of a map's kernel key.
    pub fn key_size(&self, map: MapId) -> u32 {
        self.maps[map.0 as usize].key_size
    }

    /// The number of an action.
    pub fn action(&mut self, action: Action) -> u32 {
        self.actions.push(action);
        self.actions.len() as u32 - 1
    }

    /// The number of a place where a helper can fail.
    pub fn error_site(&mut self, site: ErrorSite) -> u32 {
        if let Some(known) = self
            .error_sites
            .iter()
            .position(|candidate| *candidate == site)
        {
            return known as u32;
        }
        self.error_sites.push(site);
        self.error_sites.len() as u32 - 1
    }

    /// The ring buffer.
    pub fn events(&mut self) -> MapId {
        if let Some(events) = self.events {
            return events;
        }
        let size = self.events_size;
        let map = self.add(plain(
            "events",
            MapKind::RingBuf,
            (0, 0),
            size,
            MapRole::Events,
        ));
        self.events = Some(map);
        map
    }

    /// The perf buffer that stands in for it.
    pub fn perf_events(&mut self) -> MapId {
        if let Some(events) = self.events {
            return events;
        }
        let map = self.add(plain(
            "events",
            MapKind::PerfEventArray,
            (4, 4),
            0,
            MapRole::Events,
        ));
        self.events = Some(map);
        map
    }

    /// The counter of lost events.
    pub fn lost(&mut self) -> MapId {
        if let Some(lost) = self.lost {
            return lost;
        }
        let map = self.add(plain(
            "lost",
            MapKind::PerCpuArray,
            (4, 8),
            1,
            MapRole::Lost,
        ));
        self.lost = Some(map);
        map
    }

    /// The counters of failed helpers.
    pub fn errors(&mut self) -> MapId {
        if let Some(errors) = self.errors {
            return errors;
        }
        let map = self.add(plain(
            "errors",
            MapKind::PerCpuArray,
            (4, 16),
            1,
            MapRole::Errors,
        ));
        self.errors = Some(map);
        map
    }

    /// When the session started, for `elapsed`.
    pub fn start_time(&mut self) -> MapId {
        if let Some(start) = self.start_time {
            return start;
        }
        let map = self.add(plain(
            "start_time",
            MapKind::Array,
            (4, 8),
            1,
            MapRole::StartTime,
        ));
        self.start_time = Some(map);
        map
    }

    /// Processes whose mappings user space was told to remember: `u64 pid; u64 address space`.
    pub fn processes(&mut self) -> MapId {
        if let Some(processes) = self.processes {
            return processes;
        }
        let map = self.add(plain(
            "processes",
            MapKind::LruHash,
            (16, 8),
            PROCESSES,
            MapRole::Scratch,
        ));
        self.processes = Some(map);
        map
    }

    /// The `index`-th stack map: sizes differ, so that stacks that collide in one do not in the other.
    pub fn stacks(&mut self, index: u32) -> MapId {
        if let Some((_, map)) = self.stacks.iter().find(|(known, _)| *known == index) {
            return *map;
        }
        let entries = STACKS >> index;
        let map = plain(
            "stacks",
            MapKind::StackTrace,
            (4, MAX_STACK_FRAMES * 8),
            entries,
            MapRole::Stacks,
        );
        let map = self.add(map);
        self.stacks.push((index, map));
        map
    }

    /// A table of `dw_ustack`.
    pub fn unwind_table(&mut self, table: UnwindTable) -> MapId {
        if let Some((_, map)) = self.unwind.iter().find(|(known, _)| *known == table) {
            return *map;
        }
        let map = self.add(unwind_map(table));
        self.unwind.push((table, map));
        map
    }

    /// Working memory of one program, so many values for each CPU; their size follows.
    pub fn scratch(&mut self, copies: u32) -> MapId {
        self.add(plain(
            "scratch",
            MapKind::PerCpuArray,
            (4, 8),
            copies,
            MapRole::Scratch,
        ))
    }

    /// See [`Assembly::scratch`].
    pub fn set_scratch_size(&mut self, map: MapId, size: u32) {
        self.maps[map.0 as usize].value_size = size.max(8);
    }

    /// Where functions that are running put their results: `u64 thread; u64 frame` → address.
    pub fn kept_results(&mut self) -> MapId {
        if let Some(known) = self.kept_results {
            return known;
        }
        let map = self.add(plain(
            "kept_results",
            MapKind::LruHash,
            (16, 8),
            KEPT_RESULTS,
            MapRole::Scratch,
        ));
        self.kept_results = Some(map);
        map
    }

    /// Turns per-CPU scratch memory into an array with as many values for each CPU, which may be larger.
    pub fn spread_scratch(&mut self, map: MapId, cpu_count: u32) {
        let map = &mut self.maps[map.0 as usize];
        map.kind = MapKind::Array;
        map.max_entries = map.max_entries.saturating_mul(cpu_count.max(1));
    }

    /// Constant bytes.
    pub fn read_only(&mut self, bytes: Vec<u8>) -> MapId {
        const RDONLY_PROG: u32 = 1 << 7;
        let size = bytes.len() as u32;
        let mut map = plain(
            "constants",
            MapKind::Array,
            (4, size),
            1,
            MapRole::ReadOnly(bytes),
        );
        map.flags = RDONLY_PROG;
        self.add(map)
    }
}

fn plain(
    name: &str,
    kind: MapKind,
    (key_size, value_size): (u32, u32),
    max_entries: u32,
    role: MapRole,
) -> Map {
    Map {
        name: name.to_owned(),
        kind,
        key_size,
        value_size,
        max_entries,
        flags: 0,
        role,
    }
}

fn unwind_map(table: UnwindTable) -> Map {
    const NO_PREALLOC: u32 = 1;
    let (name, kind, sizes, entries, flags) = match table {
        UnwindTable::Processes => (
            "unwind_procs",
            MapKind::Hash,
            (4, 8),
            unwind::MAX_PROCESSES,
            0,
        ),
        UnwindTable::Regions => (
            "unwind_regions",
            MapKind::Array,
            (4, unwind::REGION_SIZE),
            unwind::MAX_REGIONS,
            tables::MMAPABLE,
        ),
        UnwindTable::Rows => (
            "unwind_rows",
            MapKind::Array,
            (4, unwind::ROW_SIZE),
            unwind::MAX_ROWS,
            tables::MMAPABLE,
        ),
        UnwindTable::Stacks => (
            "unwind_stacks",
            MapKind::Hash,
            (8, unwind::MAX_FRAMES * 8),
            unwind::MAX_STACKS,
            NO_PREALLOC,
        ),
    };
    let mut map = plain(name, kind, sizes, entries, MapRole::Unwind(table));
    map.flags = flags;
    map
}

/// The ring buffer of a script that only asks user space to do something now and then.
const SMALL_EVENTS_BYTES: u32 = 1 << 18;

/// Whether such events come now and then, and carry no values: `exit()`, `print(@map)` and the like.
fn is_rare(kind: &ActionKind) -> bool {
    matches!(
        kind,
        ActionKind::Exit { .. }
            | ActionKind::PrintMap { .. }
            | ActionKind::ClearMap { .. }
            | ActionKind::ZeroMap { .. }
            | ActionKind::Time { .. }
            | ActionKind::Unwatch { .. }
    )
}

/// Size of the ring buffer: a power of two pages.
fn events_bytes(config: &Config) -> u32 {
    const PAGE: u64 = 4096;
    const DEFAULT_PAGES: u64 = 4096;
    const MAX_PAGES: u64 = 1 << 18;
    let pages = config
        .ring_buffer_pages
        .unwrap_or(DEFAULT_PAGES)
        .clamp(1, MAX_PAGES)
        .next_power_of_two();
    (pages * PAGE) as u32
}

/// The kernel map of a script map.
fn script_map(info: &MapInfo, types: &Types<'_>, config: &Config) -> (Map, Storage) {
    let value = types.layout(&info.value);
    let key = match &info.key {
        None | Some(Type::None) => None,
        Some(key) => Some(types.layout(key)),
    };
    let storage = storage_for(&value, key.is_some());
    let entries = info
        .declared
        .map_or(config.max_map_keys.clamp(1, 1 << 26) as u32, |declared| {
            declared.max_entries
        });
    let key_bytes = key.as_ref().map_or(4, Layout::size);
    let (kind, key_size, value_size, max_entries) = match storage {
        Storage::Plain => (MapKind::Hash, key_bytes, value.size(), entries),
        Storage::Scalar => (MapKind::Array, 4, 8 + value.size(), 1),
        Storage::PerCpu => (MapKind::PerCpuHash, key_bytes, value.size(), entries),
        Storage::PerCpuScalar => (MapKind::PerCpuArray, 4, value.size(), 1),
        Storage::Buckets => (
            MapKind::PerCpuHash,
            key_bytes.next_multiple_of(8) + 8,
            bucket_size(&value),
            entries,
        ),
        Storage::BucketArray => {
            let count = bucket_count(&value);
            (MapKind::PerCpuArray, 4, bucket_size(&value), count)
        }
    };
    let kind = match (info.declared, storage) {
        (Some(declared), Storage::Plain) => declared.kind,
        (Some(declared), Storage::PerCpu | Storage::Buckets)
            if declared.kind == MapKind::LruHash =>
        {
            MapKind::LruPerCpuHash
        }
        (Some(declared), Storage::PerCpu | Storage::Buckets) if declared.kind.is_per_cpu() => {
            declared.kind
        }
        _ => kind,
    };
    let script = ScriptMap {
        name: format!("@{}", info.name),
        key,
        value,
        storage,
    };
    let name = if info.name.is_empty() {
        "at".to_owned()
    } else {
        info.name.clone()
    };
    let map = Map {
        name,
        kind,
        key_size: key_size.max(1),
        value_size: value_size.max(1),
        max_entries,
        flags: 0,
        role: MapRole::Script(script),
    };
    (map, storage)
}

fn storage_for(value: &Layout, is_keyed: bool) -> Storage {
    let is_bucketed = matches!(
        value,
        Layout::Hist { .. } | Layout::Lhist { .. } | Layout::TimeSeries { .. }
    );
    match (is_bucketed, value.is_aggregation(), is_keyed) {
        (true, _, true) => Storage::Buckets,
        (true, _, false) => Storage::BucketArray,
        (false, true, true) => Storage::PerCpu,
        (false, true, false) => Storage::PerCpuScalar,
        (false, false, true) => Storage::Plain,
        (false, false, false) => Storage::Scalar,
    }
}

/// Bytes of one of them.
pub fn bucket_size(layout: &Layout) -> u32 {
    match layout {
        Layout::TimeSeries { .. } => layout.size(),
        _ => 8,
    }
}

/// Buckets of a histogram, intervals of a time series.
pub fn bucket_count(layout: &Layout) -> u32 {
    match layout {
        Layout::Hist { bits } => hist_bucket_count(*bits),
        Layout::Lhist { min, max, step } => lhist_bucket_count(*min, *max, *step),
        Layout::TimeSeries { buckets, .. } => *buckets,
        _ => unreachable!("lower: {layout:?} has no buckets"),
    }
}
