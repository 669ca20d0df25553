//! What an event brought of a process's memory.

use fathom_bpf::capture::{CHUNK_HEADER, CUT, FAULT, LENGTH_MASK};

/// Bytes from one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// Where they were; 0 for registers.
    pub address: u64,
    /// What was copied.
    pub bytes: &'a [u8],
    /// Which argument it is, from 1; 0 for what pointers led to.
    pub root: u32,
    /// The page was not there.
    pub is_fault: bool,
    /// There was more.
    pub is_cut: bool,
}

/// All chunks of an event.
#[derive(Clone, Debug, Default)]
pub struct Image<'a> {
    /// Arguments first come first.
    roots: Vec<Chunk<'a>>,
    /// By address.
    memory: Vec<Chunk<'a>>,
}

impl<'a> Image<'a> {
    /// Reads the chunks; what lies behind a broken one is left out.
    pub fn new(mut bytes: &'a [u8]) -> Image<'a> {
        let mut image = Image::default();
        while let Some((chunk, rest)) = split_chunk(bytes) {
            bytes = rest;
            if chunk.root != 0 {
                image.roots.push(chunk);
            }
            if chunk.address != 0 {
                image.memory.push(chunk);
            }
        }
        image.memory.sort_by_key(|chunk| chunk.address);
        image
    }

    /// The argument of that number, from 1.
    pub fn root(&self, number: u32) -> Option<Chunk<'a>> {
        self.roots
            .iter()
            .copied()
            .find(|chunk| chunk.root == number)
    }

    /// What is known from an address on: the longest piece that starts there or covers it.
    pub fn at(&self, address: u64) -> Option<Chunk<'a>> {
        /// Chunks that start before the address and are looked at; nested structs make a few.
        const NEAR: usize = 16;
        let after = self
            .memory
            .partition_point(|chunk| chunk.address <= address);
        let near = self.memory[..after].iter().rev().take(NEAR);
        let covering = near.filter_map(|chunk| {
            let inside = usize::try_from(address - chunk.address).ok()?;
            let is_start = inside == 0;
            let bytes = chunk.bytes.get(inside..)?;
            (is_start || !bytes.is_empty()).then_some(Chunk {
                address,
                bytes,
                ..*chunk
            })
        });
        covering.max_by_key(|chunk| chunk.bytes.len())
    }
}

fn split_chunk(bytes: &[u8]) -> Option<(Chunk<'_>, &[u8])> {
    let (header, rest) = bytes.split_at_checked(CHUNK_HEADER as usize)?;
    let (address, header) = header.split_first_chunk::<8>()?;
    let (length, header) = header.split_first_chunk::<4>()?;
    let (root, _) = header.split_first_chunk::<4>()?;
    let length = u32::from_ne_bytes(*length);
    let size = (length & LENGTH_MASK) as usize;
    let chunk = Chunk {
        address: u64::from_ne_bytes(*address),
        bytes: rest.get(..size)?,
        root: u32::from_ne_bytes(*root),
        is_fault: length & FAULT != 0,
        is_cut: length & CUT != 0,
    };
    let rest = rest.get(size.next_multiple_of(8)..).unwrap_or_default();
    Some((chunk, rest))
}
