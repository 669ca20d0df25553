//! Maps of a program under test. Per-CPU maps have one CPU.

use std::collections::BTreeMap;

use super::memory::{Access, Memory};
use crate::map::{Map, MapKind, MapRole};

/// Error numbers that map operations give.
pub(super) const ENOENT: i64 = 2;
pub(super) const E2BIG: i64 = 7;
pub(super) const EEXIST: i64 = 17;
pub(super) const EINVAL: i64 = 22;

const BPF_NOEXIST: u64 = 1;
const BPF_EXIST: u64 = 2;

/// Addresses that stand for maps themselves; no memory lies there.
const HANDLE_BASE: u64 = 0xffff_0000_0000_0000;

/// What `ld_imm64` gives for the map of that index.
pub(super) fn handle(index: u32) -> u64 {
    HANDLE_BASE + u64::from(index)
}

/// Inverse of [`handle`].
pub(super) fn index_of(address: u64) -> Option<usize> {
    let index = address.checked_sub(HANDLE_BASE)?;
    (index <= u64::from(u32::MAX)).then_some(index as usize)
}

/// Contents of one map.
#[derive(Debug)]
pub struct MapState {
    /// Kernel type.
    pub kind: MapKind,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    max_entries: u32,
    /// Address of the values of an array.
    array: Option<u64>,
    /// Addresses of a hash's values.
    entries: BTreeMap<Vec<u8>, u64>,
}

impl MapState {
    pub(super) fn new(map: &Map, memory: &mut Memory) -> MapState {
        let is_array = matches!(map.kind, MapKind::Array | MapKind::PerCpuArray);
        let array = is_array.then(|| {
            let size = stride(map.value_size) * map.max_entries as usize;
            let (mut bytes, access) = match &map.role {
                MapRole::ReadOnly(bytes) => (bytes.clone(), Access::ReadOnly),
                _ => (Vec::new(), Access::ReadWrite),
            };
            bytes.resize(size, 0);
            memory.add(bytes, access)
        });
        MapState {
            kind: map.kind,
            key_size: map.key_size,
            value_size: map.value_size,
            max_entries: map.max_entries,
            array,
            entries: BTreeMap::new(),
        }
    }

    /// Address of the key's value.
    pub fn lookup(&self, key: &[u8]) -> Option<u64> {
        let Some(array) = self.array else {
            return self.entries.get(key).copied();
        };
        let index = u32::from_ne_bytes(key.try_into().ok()?);
        let offset = stride(self.value_size) as u64 * u64::from(index);
        (index < self.max_entries).then_some(array + offset)
    }

    /// Keys there are, sorted by their bytes; all of an array.
    pub fn keys(&self) -> Vec<Vec<u8>> {
        match self.array {
            Some(_) => (0..self.max_entries)
                .map(|index| index.to_ne_bytes().to_vec())
                .collect(),
            None => self.entries.keys().cloned().collect(),
        }
    }

    /// As `bpf_map_update_elem`; the error is an errno.
    pub fn update(
        &mut self,
        memory: &mut Memory,
        key: &[u8],
        value: &[u8],
        flags: u64,
    ) -> Result<(), i64> {
        let is_lru = matches!(self.kind, MapKind::LruHash | MapKind::LruPerCpuHash);
        match (self.lookup(key), flags) {
            (Some(_), BPF_NOEXIST) => Err(EEXIST),
            (None, BPF_EXIST) => Err(ENOENT),
            (_, 3..) => Err(EINVAL),
            (Some(address), _) => memory.write(address, value).map_err(|_| EINVAL),
            (None, _) if self.array.is_some() => Err(E2BIG),
            (None, _) => {
                if self.entries.len() >= self.max_entries as usize {
                    let oldest = is_lru.then(|| self.entries.pop_first()).flatten();
                    let (_, address) = oldest.ok_or(E2BIG)?;
                    memory.remove(address);
                }
                let address = memory.add(value.to_vec(), Access::ReadWrite);
                self.entries.insert(key.to_vec(), address);
                Ok(())
            }
        }
    }

    /// As `bpf_map_delete_elem`. The value's memory stays until the end: a program may still hold its address.
    pub fn delete(&mut self, key: &[u8]) -> Result<(), i64> {
        if self.array.is_some() {
            return Err(EINVAL);
        }
        self.entries.remove(key).map(|_| ()).ok_or(ENOENT)
    }
}

/// Distance of values in an array.
fn stride(value_size: u32) -> usize {
    (value_size as usize).next_multiple_of(8)
}
