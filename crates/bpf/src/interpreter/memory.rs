//! Memory of a program under test: regions far apart, so that a stray pointer never lands in a neighbour.

use std::collections::BTreeMap;

use super::{Size, Trap};

/// What a program may do with a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading.
    ReadOnly,
    /// Reading and writing.
    ReadWrite,
}

/// Distance between regions, and the most bytes one can have.
const SPACING: u64 = 1 << 32;

#[derive(Debug)]
struct Region {
    bytes: Vec<u8>,
    access: Access,
    /// Per byte whether it was written; only for stacks.
    written: Option<Vec<bool>>,
}

/// All memory that a program can reach.
#[derive(Debug)]
pub struct Memory {
    regions: BTreeMap<u64, Region>,
    next: u64,
}

impl Default for Memory {
    fn default() -> Memory {
        Memory {
            regions: BTreeMap::new(),
            // The first 4 GiB stay empty: NULL and small numbers are never valid.
            next: SPACING,
        }
    }
}

impl Memory {
    /// Adds a region and gives its address.
    pub fn add(&mut self, bytes: Vec<u8>, access: Access) -> u64 {
        self.insert(Region {
            bytes,
            access,
            written: None,
        })
    }

    /// Removes the region that begins there.
    pub fn remove(&mut self, address: u64) {
        self.regions.remove(&address);
    }

    pub(super) fn push_stack(&mut self, size: usize) -> u64 {
        self.insert(Region {
            bytes: vec![0; size],
            access: Access::ReadWrite,
            written: Some(vec![false; size]),
        })
    }

    pub(super) fn pop_stack(&mut self, address: u64) {
        self.remove(address);
    }

    fn insert(&mut self, region: Region) -> u64 {
        let address = self.next;
        self.next += SPACING;
        self.regions.insert(address, region);
        address
    }

    /// The bytes at an address.
    pub fn read(&self, address: u64, size: u64) -> Result<Vec<u8>, Trap> {
        let (base, start, end) = self.find(address, size)?;
        let region = &self.regions[&base];
        if let Some(written) = &region.written
            && written[start..end].contains(&false)
        {
            return Err(Trap::UninitialisedMemory { address, size });
        }
        Ok(region.bytes[start..end].to_vec())
    }

    /// Puts bytes at an address.
    pub fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), Trap> {
        let (base, start, end) = self.find(address, bytes.len() as u64)?;
        let Some(region) = self.regions.get_mut(&base) else {
            return Ok(());
        };
        if region.access == Access::ReadOnly {
            return Err(Trap::ReadOnly { address });
        }
        region.bytes[start..end].copy_from_slice(bytes);
        if let Some(written) = &mut region.written {
            written[start..end].fill(true);
        }
        Ok(())
    }

    /// All bytes of the region that begins there.
    pub fn region(&self, address: u64) -> Result<Vec<u8>, Trap> {
        let region = self.regions.get(&address);
        let region = region.ok_or(Trap::OutOfBounds { address, size: 0 })?;
        Ok(region.bytes.clone())
    }

    /// The bytes at an address up to a NUL, which is not part of them; at most `limit`.
    pub fn read_string(&self, address: u64, limit: u64) -> Result<Vec<u8>, Trap> {
        let mut text = Vec::new();
        for offset in 0..limit {
            let byte = self.read(address.wrapping_add(offset), 1)?[0];
            if byte == 0 {
                break;
            }
            text.push(byte);
        }
        Ok(text)
    }

    pub(super) fn load(&self, address: u64, size: Size) -> Result<u64, Trap> {
        let bytes = self.read(address, u64::from(size.bytes()))?;
        Ok(match bytes[..] {
            [a] => u64::from(a),
            [a, b] => u64::from(u16::from_ne_bytes([a, b])),
            [a, b, c, d] => u64::from(u32::from_ne_bytes([a, b, c, d])),
            [a, b, c, d, e, f, g, h] => u64::from_ne_bytes([a, b, c, d, e, f, g, h]),
            _ => unreachable!("memory: a load of {} bytes", bytes.len()),
        })
    }

    pub(super) fn store(&mut self, address: u64, size: Size, value: u64) -> Result<(), Trap> {
        match size {
            Size::B8 => self.write(address, &(value as u8).to_ne_bytes()),
            Size::B16 => self.write(address, &(value as u16).to_ne_bytes()),
            Size::B32 => self.write(address, &(value as u32).to_ne_bytes()),
            Size::B64 => self.write(address, &value.to_ne_bytes()),
        }
    }

    /// Base of the region and the range in it.
    fn find(&self, address: u64, size: u64) -> Result<(u64, usize, usize), Trap> {
        let out_of_bounds = Trap::OutOfBounds { address, size };
        let base = address - address % SPACING;
        let Some(region) = self.regions.get(&base) else {
            return Err(out_of_bounds);
        };
        let start = address - base;
        match start.checked_add(size) {
            Some(end) if end <= region.bytes.len() as u64 => {
                Ok((base, start as usize, end as usize))
            }
            _ => Err(out_of_bounds),
        }
    }
}
