//! `/etc/ld.so.cache`, the dynamic linker's list of libraries, in the format of glibc 2.2 and later:
//!
//! ```text
//! "glibc-ld.so.cache1.1" │ count u32 │ strings u32 │ … 48 bytes │ [flags key value osversion hwcap] × count │ strings
//! ```

use crate::bytes::{c_string_at, u32_at};

const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
const OLD_MAGIC: &[u8] = b"ld.so-1.7.0\0";
const HEADER: usize = 48;
const ENTRY: usize = 24;
/// Flags of an x86-64 library for glibc.
const FLAGS_X86_64: u32 = 0x0303;
/// Libraries taken at most.
const MAX_LIBRARIES: usize = 100_000;

/// A library the dynamic linker knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Library<'a> {
    /// Its soname, `libc.so.6`.
    pub(super) name: &'a str,
    /// Its path.
    pub(super) path: &'a str,
    /// Whether it is for x86-64.
    pub(super) is_native: bool,
}

/// The libraries of a cache file; none when it is of another format.
pub(super) fn libraries(cache: &[u8]) -> impl Iterator<Item = Library<'_>> {
    let table = new_format(cache).unwrap_or_default();
    let count = u32_at(table, 20).unwrap_or(0) as usize;
    (0..count.min(MAX_LIBRARIES)).map_while(move |i| {
        let at = HEADER + i * ENTRY;
        let string = |offset| {
            let position = u32_at(table, at + offset)? as usize;
            std::str::from_utf8(c_string_at(table, position).filter(|text| text.len() < 4096)?).ok()
        };
        let flags = u32_at(table, at)?;
        Some(Library {
            name: string(4)?,
            path: string(8)?,
            is_native: flags & 0xffff == FLAGS_X86_64,
        })
    })
}

/// The new table, which may stand behind an old one.
fn new_format(cache: &[u8]) -> Option<&[u8]> {
    if cache.starts_with(MAGIC) {
        return Some(cache);
    }
    if !cache.starts_with(OLD_MAGIC) {
        return None;
    }
    let old_count = u32_at(cache, 12)? as usize;
    let start = old_count
        .checked_mul(12)?
        .checked_add(16)?
        .checked_next_multiple_of(8)?;
    cache.get(start..).filter(|table| table.starts_with(MAGIC))
}
