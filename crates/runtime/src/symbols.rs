//! What only the running machine knows, for whoever shows values: symbols, stacks, users, cgroups, clocks.

mod perf_map;
mod user;

use crate::maps::{Table, u64_at};
use crate::sys::time::{self, Clock};
use fathom_bpf::Object;
use fathom_bpf::layout::TimeMode;
use fathom_bpf::map::MapRole;
use fathom_bpf::object::Place;
use fathom_bpf::unwind::UnwindTable;
use fathom_machine::pattern::Pattern;
use fathom_machine::process::Users;
use fathom_machine::{Address, Machine};
use fathom_output::resolve::{BuildIdFrame, UserContext};
use fathom_output::{Frame, LocalZone, Resolver};
use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use user::UserSymbols;

/// Cgroups whose paths are kept.
const MAX_CGROUPS: usize = 4096;
/// Bytes of one entry of a stack map with build ids (`struct bpf_stack_build_id`).
const BUILD_ID_ENTRY: usize = 32;

/// Answers about the machine that an object runs on.
pub(crate) struct Symbols<'a> {
    object: &'a Object,
    machine: &'a Machine,
    tables: &'a [Table<'a>],
    user: RefCell<UserSymbols>,
    users: OnceCell<Users>,
    cgroups: RefCell<HashMap<(u64, String), Option<String>>>,
    boot_offset_ns: i64,
    monotonic_offset_ns: i64,
    tai_offset_ns: i64,
}

/// Leap seconds are whole ones, however long it took to read two clocks.
fn whole_seconds(ns: i64) -> i64 {
    let second = 1_000_000_000;
    (ns + second / 2).div_euclid(second) * second
}

impl<'a> Symbols<'a> {
    /// `tables` are the object's maps. Reads nothing but clocks.
    pub(crate) fn new(
        object: &'a Object,
        machine: &'a Machine,
        tables: &'a [Table<'a>],
    ) -> Symbols<'a> {
        let real = time::now_ns(Clock::Real);
        Symbols {
            object,
            machine,
            tables,
            user: RefCell::new(UserSymbols::new(&object.settings, machine.debug_folders())),
            users: OnceCell::new(),
            cgroups: RefCell::default(),
            boot_offset_ns: fathom_machine::process::boot_offset_ns(),
            monotonic_offset_ns: real - time::now_ns(Clock::Monotonic),
            tai_offset_ns: whole_seconds(real - time::now_ns(Clock::Tai)),
        }
    }

    /// Remembers what a process has mapped now, for when it is gone.
    pub(crate) fn look_at(&self, pid: u32) {
        self.user.borrow_mut().look_at(self.machine, pid);
    }

    /// The value behind a stack id.
    fn stored_stack(&self, map_number: u64, id: i64) -> Option<Vec<u8>> {
        let number = usize::try_from(map_number).ok()?;
        let table = self.tables.get(number)?;
        match self.object.maps.get(number)?.role {
            MapRole::Stacks => table.lookup(&u32::try_from(id).ok()?.to_ne_bytes()),
            MapRole::Unwind(UnwindTable::Stacks) => table.lookup(&id.to_ne_bytes()),
            _ => return None,
        }
        .ok()
        .flatten()
    }

    /// The name of a probed place that the address must be: its process is gone, but the low bits tell.
    fn probed_site(&self, context: UserContext, address: u64) -> Option<Frame> {
        let page_offset = 0xfff;
        let point = self.object.attach_points.get(context.probe? as usize)?;
        let (path, sites) = match &point.place {
            Place::Uprobe { path, site, .. } => (path, std::slice::from_ref(site)),
            Place::UprobeMulti { path, sites, .. } => (path, sites.as_slice()),
            _ => return None,
        };
        let is_at = |offset: u64| offset & page_offset == address & page_offset;
        // `func` is the function's address, other names are asked for by the place.
        let mut fitting = sites
            .iter()
            .filter(|site| is_at(site.offset) || is_at(site.offset.wrapping_sub(site.inside)));
        let site = fitting.next()?;
        let is_ambiguous = fitting.next().is_some();
        (!is_ambiguous).then(|| Frame {
            address,
            symbol: Some(site.name.clone()),
            module: Some(path.clone()),
            ..Frame::default()
        })
    }

    fn find_cgroup(&self, id: u64, filter: &str) -> Option<String> {
        let pattern = Pattern::new(if filter.is_empty() { "*" } else { filter });
        let found = self
            .machine
            .cgroups_by_id(id, |hierarchy| pattern.matches(hierarchy))
            .ok()?;
        let paths = found
            .iter()
            .map(|cgroup| format!("{}:{}", cgroup.hierarchy, cgroup.path.display()));
        let paths: Vec<String> = paths.collect();
        (!paths.is_empty()).then(|| paths.join(","))
    }
}

impl Resolver for Symbols<'_> {
    fn kernel_frames(&self, address: u64) -> Vec<Frame> {
        let found = self
            .machine
            .kallsyms()
            .ok()
            .and_then(|symbols| symbols.lookup(Address(address)));
        let Some((symbol, offset)) = found else {
            return vec![Frame::unknown(address)];
        };
        vec![Frame {
            address,
            symbol: Some(symbol.name.to_owned()),
            offset,
            module: Some(symbol.module.unwrap_or("kernel").to_owned()),
            ..Frame::default()
        }]
    }

    fn user_frames(&self, context: UserContext, address: u64) -> Vec<Frame> {
        let frames = self
            .user
            .borrow_mut()
            .frames(self.machine, context.pid, address);
        match frames.first() {
            Some(frame) if frame.symbol.is_none() => self
                .probed_site(context, address)
                .map_or(frames, |frame| vec![frame]),
            _ => frames,
        }
    }

    fn stack(&self, map_number: u64, id: i64) -> Option<Vec<u64>> {
        let value = self.stored_stack(map_number, id)?;
        let addresses = value.chunks_exact(8).map(|word| u64_at(word, 0));
        Some(addresses.take_while(|address| *address != 0).collect())
    }

    fn build_id_stack(&self, map_number: u64, id: i64) -> Option<Vec<BuildIdFrame>> {
        let value = self.stored_stack(map_number, id)?;
        Some(
            value
                .chunks_exact(BUILD_ID_ENTRY)
                .map_while(build_id_frame)
                .collect(),
        )
    }

    fn username(&self, uid: u32) -> Option<String> {
        let users = self
            .users
            .get_or_init(|| self.machine.users().unwrap_or_default());
        users.name(uid).map(str::to_owned)
    }

    fn cgroup_path(&self, id: u64, filter: &str) -> Option<String> {
        let key = (id, filter.to_owned());
        if let Some(known) = self.cgroups.borrow().get(&key) {
            return known.clone();
        }
        let path = self.find_cgroup(id, filter);
        let mut known = self.cgroups.borrow_mut();
        if known.len() >= MAX_CGROUPS {
            known.clear();
        }
        known.insert(key, path.clone());
        path
    }

    fn probe_name(&self, index: u64) -> Option<String> {
        let index = usize::try_from(index).ok()?;
        Some(self.object.attach_points.get(index)?.name.clone())
    }

    fn unix_ns(&self, mode: TimeMode, ns: u64) -> i64 {
        let offset = match mode {
            TimeMode::Boot => self.boot_offset_ns,
            TimeMode::Monotonic => self.monotonic_offset_ns,
            TimeMode::Tai => self.tai_offset_ns,
        };
        (ns as i64).wrapping_add(offset)
    }

    fn now_unix_ns(&self) -> i64 {
        time::now_ns(Clock::Real)
    }

    fn local_zone(&self, unix_seconds: i64) -> LocalZone {
        match time::local_zone(unix_seconds) {
            Some((offset_seconds, name)) => LocalZone {
                offset_seconds,
                name,
            },
            None => LocalZone::utc(),
        }
    }
}

/// `s32 status (0 end, 1 build id, 2 address); u8 build_id[20]; u64 offset_or_address`
fn build_id_frame(entry: &[u8]) -> Option<BuildIdFrame> {
    let status = i32::from_ne_bytes(*entry.first_chunk()?);
    let offset = u64_at(entry, 24);
    match status {
        1 => Some(BuildIdFrame::File {
            build_id: entry.get(4..24)?.to_vec(),
            offset,
        }),
        2 => Some(BuildIdFrame::Address(offset)),
        _ => None,
    }
}
