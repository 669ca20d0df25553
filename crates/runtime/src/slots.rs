//! Reads and clears slot tables in place, while programs go on using them. See [`fathom_bpf::slots`] for the bytes.

use crate::sys::memory::{Mapping, Protection, page_size};
use fathom_bpf::slots::{FIRST_COPY, KEY, READY, SlotTable};
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::Ordering;

/// A table mapped into our memory.
pub(crate) struct Slots {
    table: SlotTable,
    memory: Mapping,
}

impl Slots {
    pub(crate) fn map(fd: BorrowedFd<'_>, table: SlotTable) -> io::Result<Slots> {
        let len = (table.total_size() as usize).next_multiple_of(page_size());
        let memory = Mapping::new(fd, 0, len, Protection::ReadWrite)?;
        Ok(Slots { table, memory })
    }

    /// Calls `visit` with key and value of every entry; a key may come several times, from several CPUs.
    pub(crate) fn each(&self, mut visit: impl FnMut(&[u8], &[u8])) {
        let (mut key, mut value) = (Vec::new(), Vec::new());
        for slot in self.used_slots() {
            self.read(slot + KEY as usize, self.table.key_size, &mut key);
            let at = slot + self.table.value_offset() as usize;
            self.read(at, self.table.value_size, &mut value);
            visit(&key, &value);
        }
    }

    /// Frees all slots. What a program adds to one at that moment is lost, as with any deleted key.
    pub(crate) fn clear(&self) {
        for slot in self.used_slots() {
            // One store frees it for programs: no claims, not ready.
            self.memory.counter(slot).store(0, Ordering::Release);
        }
        self.memory.counter(0).store(0, Ordering::Release);
    }

    /// Sets all values to 0; keys stay.
    pub(crate) fn zero(&self) {
        let values = self.table.value_offset() as usize..self.table.slot_size() as usize;
        for slot in self.used_slots() {
            for offset in values.clone().step_by(8) {
                self.memory
                    .counter(slot + offset)
                    .store(0, Ordering::Relaxed);
            }
        }
    }

    /// Offsets of the slots that hold an entry.
    fn used_slots(&self) -> impl Iterator<Item = usize> {
        let count = self.table.copies as usize * self.table.slots() as usize;
        let size = self.table.slot_size() as usize;
        let slots = (0..count).map(move |index| FIRST_COPY as usize + index * size);
        slots.filter(|slot| self.memory.load_u32(slot + READY as usize) != 0)
    }

    fn read(&self, offset: usize, len: u32, into: &mut Vec<u8>) {
        into.clear();
        for at in (0..len as usize).step_by(8) {
            let word = self.memory.counter(offset + at).load(Ordering::Relaxed);
            into.extend_from_slice(&word.to_ne_bytes());
        }
        into.truncate(len as usize);
    }
}
