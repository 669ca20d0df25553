//! A map's contents: read whole or by key, cleared, zeroed.

use crate::sys::bpf::{self, Batch};
use fathom_bpf::map::{MapRole, Storage};
use fathom_bpf::{Map, MapKind};
use fathom_output::{MapEntry, MapSnapshot};
use std::io;
use std::os::fd::BorrowedFd;

/// Entries asked for in one system call at first.
const BATCH: u32 = 512;
/// Entries of the largest batch: a hash bucket never holds more.
const MAX_BATCH: u32 = 1 << 20;

/// A kernel map together with what is known about it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table<'a> {
    fd: BorrowedFd<'a>,
    map: &'a Map,
    /// Values in each entry of a per-CPU map.
    cpus: usize,
}

impl<'a> Table<'a> {
    pub(crate) fn new(fd: BorrowedFd<'a>, map: &'a Map, possible_cpus: usize) -> Table<'a> {
        Table {
            fd,
            map,
            cpus: possible_cpus,
        }
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'a> {
        self.fd
    }

    pub(crate) fn key_size(&self) -> usize {
        self.map.key_size as usize
    }

    /// Bytes of one CPU's value, and of all.
    fn value_sizes(&self) -> (usize, usize) {
        let size = self.map.value_size as usize;
        match self.map.kind.is_per_cpu() {
            true => (
                size.next_multiple_of(8),
                size.next_multiple_of(8) * self.cpus,
            ),
            false => (size, size),
        }
    }

    fn is_array(&self) -> bool {
        matches!(self.map.kind, MapKind::Array | MapKind::PerCpuArray)
    }

    /// All entries.
    pub(crate) fn snapshot(&self) -> io::Result<MapSnapshot> {
        let mut entries = Vec::new();
        self.each(|key, value| entries.push(self.entry(key, value)))?;
        Ok(MapSnapshot { entries })
    }

    /// The value of one key, or its value on each CPU.
    pub(crate) fn lookup(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let mut value = vec![0; self.value_sizes().1];
        if key.len() != self.key_size() {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        Ok(bpf::map_lookup(self.fd, key, &mut value)?.then_some(value))
    }

    /// A snapshot of one key.
    pub(crate) fn entry_of(&self, key: &[u8]) -> io::Result<MapSnapshot> {
        let entries = self.lookup(key)?.map(|value| self.entry(key, &value));
        Ok(MapSnapshot {
            entries: entries.into_iter().collect(),
        })
    }

    /// Sum over CPUs of each value's `u64` at `offset`, by index, of an array.
    pub(crate) fn counters(&self, offset: usize) -> io::Result<Vec<u64>> {
        let mut sums = Vec::new();
        let (stride, _) = self.value_sizes();
        self.each(|_, value| {
            let cells = value.chunks_exact(stride.max(1));
            let sum = cells.fold(0u64, |sum, cell| sum.wrapping_add(u64_at(cell, offset)));
            sums.push(sum);
        })?;
        Ok(sums)
    }

    fn entry(&self, key: &[u8], value: &[u8]) -> MapEntry {
        let (stride, _) = self.value_sizes();
        let size = self.map.value_size as usize;
        let values = match stride {
            0 => vec![Vec::new()],
            _ => value
                .chunks_exact(stride)
                .map(|cell| cell[..size].to_vec())
                .collect(),
        };
        MapEntry {
            key: key.to_vec(),
            values,
        }
    }

    /// Calls `visit` with every key and value: in batches (Linux 5.6), else one by one.
    fn each(&self, mut visit: impl FnMut(&[u8], &[u8])) -> io::Result<()> {
        match self.each_by_batch(&mut visit) {
            Ok(Batches::Done) => Ok(()),
            Ok(Batches::Unsupported) => self.each_by_key(&mut visit),
            Err(error) => Err(error),
        }
    }

    fn each_by_batch(&self, visit: &mut impl FnMut(&[u8], &[u8])) -> io::Result<Batches> {
        let (key_size, value_size) = (self.key_size(), self.value_sizes().1);
        let mut capacity = self.map.max_entries.clamp(1, BATCH);
        let mut position = None;
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        loop {
            keys.resize(key_size * capacity as usize, 0);
            values.resize(value_size * capacity as usize, 0);
            let batch = Batch {
                keys: &mut keys,
                values: &mut values,
                capacity,
            };
            match bpf::map_lookup_batch(self.fd, position, batch) {
                Ok((count, next)) => {
                    let count = count as usize;
                    let keys = keys.chunks_exact(key_size.max(1)).take(count);
                    let values = values.chunks_exact(value_size.max(1));
                    keys.zip(values).for_each(|(key, value)| visit(key, value));
                    position = next;
                    if position.is_none() {
                        return Ok(Batches::Done);
                    }
                }
                // One bucket holds more than fits.
                Err(error)
                    if error.raw_os_error() == Some(libc::ENOSPC) && capacity < MAX_BATCH =>
                {
                    capacity *= 2;
                }
                Err(error) if position.is_none() && is_unsupported(&error) => {
                    return Ok(Batches::Unsupported);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// A program may delete the key that we stand on; the kernel then starts over. The count ends that.
    fn each_by_key(&self, visit: &mut impl FnMut(&[u8], &[u8])) -> io::Result<()> {
        let mut value = vec![0; self.value_sizes().1];
        let mut key: Option<Vec<u8>> = None;
        let mut next = vec![0; self.key_size()];
        for _ in 0..self.map.max_entries {
            if !bpf::map_next_key(self.fd, key.as_deref(), &mut next)? {
                break;
            }
            if bpf::map_lookup(self.fd, &next, &mut value)? {
                visit(&next, &value);
            }
            key = Some(next.clone());
        }
        Ok(())
    }

    fn keys(&self) -> io::Result<Vec<Vec<u8>>> {
        let mut keys = Vec::new();
        self.each(|key, _| keys.push(key.to_vec()))?;
        Ok(keys)
    }

    /// `clear(@map)`: no key is left; a scalar is unset.
    pub(crate) fn clear(&self) -> io::Result<()> {
        let zeros = vec![0; self.value_sizes().1];
        for key in self.keys()? {
            match self.is_array() {
                true => bpf::map_update(self.fd, &key, &zeros)?,
                false => drop(bpf::map_delete(self.fd, &key)?),
            }
        }
        Ok(())
    }

    /// `zero(@map)`: all keys stay, their values become 0.
    pub(crate) fn zero(&self) -> io::Result<()> {
        let mut zeros = vec![0; self.value_sizes().1];
        let is_scalar =
            matches!(&self.map.role, MapRole::Script(map) if map.storage == Storage::Scalar);
        for key in self.keys()? {
            if is_scalar {
                // The mark that it was set stays.
                let old = self.lookup(&key)?.unwrap_or_default();
                let mark = old.get(..8).unwrap_or_default();
                zeros[..mark.len()].copy_from_slice(mark);
            }
            bpf::map_update(self.fd, &key, &zeros)?;
        }
        Ok(())
    }
}

enum Batches {
    Done,
    Unsupported,
}

fn is_unsupported(error: &io::Error) -> bool {
    /// The kernel's own "operation is not supported".
    const ENOTSUPP: i32 = 524;
    matches!(
        error.raw_os_error(),
        Some(ENOTSUPP | libc::EOPNOTSUPP | libc::EINVAL)
    )
}

/// A number in a value; 0 beyond its end.
pub(crate) fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    let word = bytes.get(offset..).and_then(|rest| rest.first_chunk::<8>());
    word.map_or(0, |word| u64::from_ne_bytes(*word))
}
