//! Binaries: programs and libraries that uprobes attach to.
//!
//! An [`Elf`] maps the file and reads its tables; symbols are gathered at the first question about them. Names stay in the mapping.

mod debug_file;
mod debuginfod;
mod demangle;
mod flow;
mod instruction;
mod ld_cache;
mod packed;
mod raw;
mod resolve;
mod symbols;
#[cfg(test)]
mod tests;

pub use debug_file::crc32;
pub use debuginfod::Debuginfod;
pub use demangle::{demangle, demangle_short, is_mangled};
pub use instruction::{SiteCost, Unprobeable, probeable};
pub use raw::ElfKind;
pub use resolve::Binary;
pub use symbols::{DataSymbol, Function};

pub(crate) use raw::notes;

use crate::bytes::{Bytes, u64_at};
use crate::{Address, Error, FileOffset, Result, go};
use raw::{
    DF_1_PIE, DT_FLAGS_1, DYNAMIC_ENTRY, PF_X, PT_DYNAMIC, PT_INTERP, PT_LOAD, SHF_COMPRESSED,
    Section, Tables,
};
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// `e_machine` of x86-64.
const EM_X86_64: u16 = 62;
/// `e_machine` of 32-bit x86.
const EM_386: u16 = 3;
/// The largest debug section that is decompressed.
const MAX_DECOMPRESSED: u64 = 4 << 30;
/// No compressor packs better than this; a larger claim is a bomb.
const MAX_RATIO: u64 = 1100;

/// A binary.
#[derive(Debug)]
pub struct Elf {
    path: PathBuf,
    bytes: Bytes,
    tables: Tables,
    functions: OnceLock<symbols::Functions>,
    packed: OnceLock<Option<Box<Elf>>>,
    go: OnceLock<Option<Box<go::Program>>>,
}

/// Processor a binary is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// 64-bit x86.
    X86_64,
    /// 32-bit x86.
    X86,
    /// Another, by its `e_machine` number.
    Other(u16),
}

impl Elf {
    /// Maps a file.
    pub fn open(path: &Path) -> Result<Elf> {
        Elf::new(path, Bytes::map(path)?)
    }

    /// Takes a file's content; `path` is for messages.
    pub fn new(path: impl Into<PathBuf>, bytes: impl Into<Bytes>) -> Result<Elf> {
        let (path, bytes) = (path.into(), bytes.into());
        let tables = Tables::parse(&bytes)
            .map_err(|why| Error::malformed(path.display().to_string(), why))?;
        Ok(Elf {
            path,
            bytes,
            tables,
            functions: OnceLock::new(),
            packed: OnceLock::new(),
            go: OnceLock::new(),
        })
    }

    /// Where it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The whole file.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What kind of file it is.
    pub fn kind(&self) -> ElfKind {
        self.tables.header.kind
    }

    /// Whether it is a program that can be started, position-independent or not.
    pub fn is_program(&self) -> bool {
        let has_interpreter = self.tables.segments.iter().any(|s| s.kind == PT_INTERP);
        match self.kind() {
            ElfKind::Executable => true,
            ElfKind::Dynamic => has_interpreter || self.says_it_is_a_program(),
            _ => false,
        }
    }

    /// The mark in the dynamic section of position-independent programs; static ones have no interpreter to tell by.
    fn says_it_is_a_program(&self) -> bool {
        let entries = self
            .tables
            .segments
            .iter()
            .filter(|segment| segment.kind == PT_DYNAMIC)
            .filter_map(|segment| {
                let start = usize::try_from(segment.offset).ok()?;
                let end = start.checked_add(usize::try_from(segment.file_size).ok()?)?;
                self.bytes().get(start..end)
            })
            .flat_map(|bytes| bytes.chunks_exact(DYNAMIC_ENTRY));
        entries
            .filter(|entry| u64_at(entry, 0) == Some(DT_FLAGS_1))
            .any(|entry| u64_at(entry, 8).is_some_and(|flags| flags & DF_1_PIE != 0))
    }

    /// Whether its addresses are shifted when it is loaded.
    pub fn is_position_independent(&self) -> bool {
        self.kind() == ElfKind::Dynamic
    }

    /// Which processor it is for.
    pub fn architecture(&self) -> Architecture {
        match self.tables.header.machine {
            EM_X86_64 => Architecture::X86_64,
            EM_386 => Architecture::X86,
            other => Architecture::Other(other),
        }
    }

    /// Whether it is a 64-bit file.
    pub fn is_64(&self) -> bool {
        self.tables.header.is_64
    }

    /// Where execution starts.
    pub fn entry(&self) -> Address {
        Address(self.tables.header.entry)
    }

    /// Where the byte at an address is in the file.
    pub fn file_offset(&self, address: Address) -> Option<FileOffset> {
        let loaded = self.tables.segments.iter().filter(|s| s.kind == PT_LOAD);
        let found = loaded
            .map(|s| (s.address, s.file_size, s.offset))
            .find_map(|range| shift(address.0, range));
        // Relocatable objects have no segments; their sections have no addresses either, save in kernel modules.
        found.map(FileOffset)
    }

    /// The address at which a byte of the file is loaded.
    pub fn address_of(&self, offset: FileOffset) -> Option<Address> {
        let loaded = self.tables.segments.iter().filter(|s| s.kind == PT_LOAD);
        loaded
            .map(|s| (s.offset, s.file_size, s.address))
            .find_map(|range| shift(offset.0, range))
            .map(Address)
    }

    /// Whether the address is in memory that is executed.
    pub fn is_code(&self, address: Address) -> bool {
        let code = self
            .tables
            .segments
            .iter()
            .filter(|s| s.kind == PT_LOAD && s.flags & PF_X != 0);
        code.map(|s| (s.address, s.memory_size))
            .any(|(start, size)| address.0.wrapping_sub(start) < size)
    }

    /// The address of the first byte of the loaded image (0 for most libraries).
    pub fn load_address(&self) -> Address {
        let starts = self
            .tables
            .segments
            .iter()
            .filter(|s| s.kind == PT_LOAD)
            .map(|s| s.address & !0xfff);
        Address(starts.min().unwrap_or(0))
    }

    /// A section's content, decompressed when needed; `None` when there is no such section.
    pub fn section(&self, name: &str) -> Result<Option<Cow<'_, [u8]>>> {
        match self.tables.section(&self.bytes, name) {
            Some(section) => self.contents(name, section).map(Some),
            None => Ok(None),
        }
    }

    /// Whether there is a section of that name with bytes in the file.
    pub fn has_section(&self, name: &str) -> bool {
        self.tables
            .section(&self.bytes, name)
            .is_some_and(|s| s.kind != raw::SHT_NOBITS && s.size > 0)
    }

    /// A section's address and its place in the file.
    pub(crate) fn section_place(&self, name: &str) -> Option<(Address, FileOffset, u64)> {
        let section = self.tables.section(&self.bytes, name)?;
        Some((
            Address(section.address),
            FileOffset(section.offset),
            section.size,
        ))
    }

    /// Content of the note sections, in order.
    pub(crate) fn note_sections(&self) -> impl Iterator<Item = &[u8]> {
        self.tables.note_sections(&self.bytes).map(|(_, data)| data)
    }

    /// The GNU build id.
    pub fn build_id(&self) -> Option<&[u8]> {
        let mut all = self.note_sections().flat_map(notes);
        let found = all.find(|note| note.owner == b"GNU" && note.kind == 3)?;
        Some(found.content)
    }

    /// What a Go program carries about itself, read once.
    pub(crate) fn go_program(&self) -> Option<&go::Program> {
        let program = self.go.get_or_init(|| go::Program::read(self));
        program.as_deref()
    }

    /// Whether the file itself carries DWARF.
    pub fn has_debug_info(&self) -> bool {
        self.has_section(".debug_info") || self.has_section(".zdebug_info")
    }

    fn contents<'a>(&'a self, name: &str, section: &Section) -> Result<Cow<'a, [u8]>> {
        let data = self.tables.data(&self.bytes, section);
        if section.flags & SHF_COMPRESSED == 0 {
            return Ok(Cow::Borrowed(data));
        }
        let bad = |why: &str| {
            Error::malformed(
                self.path.display().to_string(),
                format!("section {name}: {why}"),
            )
        };
        let is_64 = self.tables.header.is_64;
        let header = if is_64 { 24 } else { 12 };
        let size = if is_64 {
            crate::bytes::u64_at(data, 8)
        } else {
            crate::bytes::u32_at(data, 4).map(u64::from)
        };
        let (Some(kind), Some(size), Some(packed)) =
            (crate::bytes::u32_at(data, 0), size, data.get(header..))
        else {
            return Err(bad("compression header is cut off"));
        };
        let plausible = (packed.len() as u64)
            .saturating_mul(MAX_RATIO)
            .saturating_add(1024);
        if size > MAX_DECOMPRESSED || size > plausible {
            return Err(bad("claims to be larger than it can be"));
        }
        let format = match kind {
            1 => object::CompressionFormat::Zlib,
            2 => object::CompressionFormat::Zstandard,
            _ => return Err(bad("unknown compression")),
        };
        let compressed = object::CompressedData {
            format,
            data: packed,
            uncompressed_size: size,
        };
        compressed
            .decompress()
            .map_err(|_| bad("cannot be decompressed"))
    }
}

/// Moves a value from one range to another: `(start, size, other start)`.
fn shift(value: u64, (start, size, target): (u64, u64, u64)) -> Option<u64> {
    let inside = value.checked_sub(start).filter(|inside| *inside < size)?;
    target.checked_add(inside)
}
