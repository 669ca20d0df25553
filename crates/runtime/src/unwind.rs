//! Fills the tables by which programs walk user stacks without frame pointers. See [`fathom_bpf::unwind`].

use crate::maps::Table;
use crate::sys::bpf;
use crate::sys::memory::{Mapping as Memory, Protection, page_size};
use fathom_bpf::Object;
use fathom_bpf::map::MapRole;
use fathom_bpf::unwind::{
    MAX_PROCESSES, MAX_REGIONS, MAX_ROWS, REGION_SIZE, ROW_SIZE, UnwindTable,
};
use fathom_machine::elf::Elf;
use fathom_machine::process::Mapping;
use fathom_machine::{Machine, Pid, unwind};
use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::Ordering;

/// Identity of a mapped file.
type FileId = ((u32, u32), u64);

/// The tables of a session, and what is in them.
pub(crate) struct Unwinder<'a> {
    processes: Table<'a>,
    regions: Memory,
    rows: Memory,
    /// `None`: stacks end in this file.
    files: HashMap<FileId, Option<File>>,
    /// What was told of each process.
    known: HashMap<u32, Told>,
    next_row: u32,
    next_region: u32,
    /// Files in which stacks end that somebody should hear of, with the reason.
    left_out: Vec<String>,
}

/// A file whose rows are in the table.
struct File {
    elf: Elf,
    first_row: u32,
    rows: u32,
}

/// The regions of a process, and where in the table they are.
struct Told {
    first: u32,
    regions: Vec<Region>,
}

impl Told {
    fn overlaps(&self, places: &Range<u32>) -> bool {
        self.first < places.end && places.start < self.first + self.regions.len() as u32
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Region {
    start: u64,
    end: u64,
    /// What to subtract from an address to get one that rows know.
    delta: u64,
    first_row: u32,
    rows: u32,
}

impl<'a> Unwinder<'a> {
    /// `None` when no program of the object walks stacks this way.
    pub(crate) fn new(object: &Object, tables: &[Table<'a>]) -> io::Result<Option<Unwinder<'a>>> {
        let find = |wanted: UnwindTable| {
            let is_wanted =
                |role: &MapRole| matches!(role, MapRole::Unwind(table) if *table == wanted);
            let index = object.maps.iter().position(|map| is_wanted(&map.role))?;
            tables.get(index).copied()
        };
        let (Some(processes), Some(regions), Some(rows)) = (
            find(UnwindTable::Processes),
            find(UnwindTable::Regions),
            find(UnwindTable::Rows),
        ) else {
            return Ok(None);
        };
        let map = |table: Table<'_>, len: u32| {
            let len = (len as usize).next_multiple_of(page_size());
            Memory::new(table.fd(), 0, len, Protection::ReadWrite)
        };
        Ok(Some(Unwinder {
            processes,
            regions: map(regions, MAX_REGIONS * REGION_SIZE)?,
            rows: map(rows, MAX_ROWS * ROW_SIZE)?,
            files: HashMap::new(),
            known: HashMap::new(),
            next_row: 0,
            next_region: 0,
            left_out: Vec::new(),
        }))
    }

    /// Tells programs what a process has mapped now. Gives what is to be said of files that no walk gets through.
    pub(crate) fn look_at(&mut self, machine: &Machine, pid: u32) -> io::Result<Vec<String>> {
        let process = machine.process(Pid(pid));
        let Ok(mappings) = process.maps() else {
            return Ok(Vec::new());
        };
        let code = mappings.iter().filter(|mapping| mapping.is_executable);
        let mut regions: Vec<Region> = code
            .filter_map(|mapping| self.region(mapping, &process.root(), process.folder()))
            .collect();
        regions.sort_unstable_by_key(|region| region.start);
        let is_news = |told: &Told| told.regions != regions;
        if !regions.is_empty() && self.known.get(&pid).is_none_or(is_news) {
            self.make_room(machine, pid)?;
            self.tell(pid, regions)?;
        }
        Ok(std::mem::take(&mut self.left_out))
    }

    /// Forgets processes that have ended when the table is full; one of those that live if there are none.
    fn make_room(&mut self, machine: &Machine, pid: u32) -> io::Result<()> {
        if self.known.len() < MAX_PROCESSES as usize || self.known.contains_key(&pid) {
            return Ok(());
        }
        let is_gone = |pid: &&u32| !machine.process(Pid(**pid)).folder().exists();
        let mut leaving: Vec<u32> = self.known.keys().filter(is_gone).copied().collect();
        if leaving.is_empty() {
            leaving.extend(self.known.keys().next());
        }
        leaving.into_iter().try_for_each(|pid| self.forget(pid))
    }

    fn forget(&mut self, pid: u32) -> io::Result<()> {
        self.known.remove(&pid);
        bpf::map_delete(self.processes.fd(), &pid.to_ne_bytes()).map(drop)
    }

    fn region(&mut self, mapping: &Mapping, root: &Path, process: &Path) -> Option<Region> {
        let path = mapping.file()?;
        let id = (mapping.device, mapping.inode);
        if !self.files.contains_key(&id) {
            let range = format!("{:x}-{:x}", mapping.range.start, mapping.range.end);
            let inside = root.join(path.strip_prefix("/").unwrap_or(path));
            let opened = Elf::open(&process.join("map_files").join(range));
            let elf = opened.or_else(|_| Elf::open(&inside)).ok()?;
            let file = self.add_file(elf, path);
            self.files.insert(id, file);
        }
        let file = self.files.get(&id)?.as_ref()?;
        let elf = &file.elf;
        let address = elf.address_of(mapping.offset)?.0;
        let relative = address.checked_sub(elf.load_address().0)?;
        Some(Region {
            start: mapping.range.start,
            end: mapping.range.end,
            delta: mapping.range.start.wrapping_sub(relative),
            first_row: file.first_row,
            rows: file.rows,
        })
    }

    /// Rows that no longer fit are left out with their whole file: walks end there.
    fn add_file(&mut self, elf: Elf, path: &Path) -> Option<File> {
        let rows = match unwind::rows(&elf) {
            Ok(rows) if rows.is_empty() => return None,
            Ok(rows) => rows,
            Err(error) => {
                self.leave_out(path, &error.to_string());
                return None;
            }
        };
        let count = u32::try_from(rows.len()).unwrap_or(u32::MAX);
        let end = self.next_row.saturating_add(count);
        if end > MAX_ROWS {
            let why = format!("its {count} rows do not fit, all files together have {MAX_ROWS}");
            self.leave_out(path, &why);
            return None;
        }
        let first_row = self.next_row;
        self.next_row = end;
        for (index, row) in (first_row as usize..).zip(&rows) {
            let at = index * ROW_SIZE as usize;
            for (offset, word) in [(0, row.words()[0]), (8, row.words()[1])] {
                self.rows
                    .counter(at + offset)
                    .store(word, Ordering::Relaxed);
            }
        }
        Some(File {
            elf,
            first_row,
            rows: count,
        })
    }

    fn leave_out(&mut self, path: &Path, why: &str) {
        let text = format!("dw_ustack: stacks end in {}: {why}", path.display());
        self.left_out.push(text);
    }

    /// Writes regions where no program looks, then points the process at them.
    fn tell(&mut self, pid: u32, regions: Vec<Region>) -> io::Result<()> {
        let count = u32::try_from(regions.len()).unwrap_or(u32::MAX);
        if count > MAX_REGIONS {
            let why =
                format!("dw_ustack: process {pid} has more than {MAX_REGIONS} mappings of code");
            self.left_out.push(why);
            return self.forget(pid);
        }
        if self.next_region + count > MAX_REGIONS {
            self.next_region = 0;
        }
        let first = self.next_region;
        self.next_region += count;
        let places = first..self.next_region;
        // Whose list is overwritten has no stacks until it is met again: none is better than a wrong one.
        let is_hit = |(_, told): &(&u32, &Told)| told.overlaps(&places);
        let hit: Vec<u32> = self
            .known
            .iter()
            .filter(is_hit)
            .map(|(pid, _)| *pid)
            .collect();
        hit.into_iter().try_for_each(|other| self.forget(other))?;
        for (index, region) in (first as usize..).zip(&regions) {
            let at = index * REGION_SIZE as usize;
            let words = [
                region.start,
                region.end,
                region.delta,
                u64::from(region.first_row) | u64::from(region.rows) << 32,
            ];
            for (number, word) in words.into_iter().enumerate() {
                self.regions
                    .counter(at + 8 * number)
                    .store(word, Ordering::Relaxed);
            }
        }
        let value = [first.to_ne_bytes(), count.to_ne_bytes()].concat();
        bpf::map_update(self.processes.fd(), &pid.to_ne_bytes(), &value)?;
        self.known.insert(pid, Told { first, regions });
        Ok(())
    }
}
