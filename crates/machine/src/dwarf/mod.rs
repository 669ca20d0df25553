//! Debug information of binaries: a function's parameters and types, and the addresses of source lines.
//!
//! Nothing is indexed ahead: for one function the unit is found by address (`.debug_aranges`, else the units' own ranges), and only
//! that unit's entries are walked. Work is counted, so that a crafted file ends with an error and not with a hang.

mod function;
mod graph;
mod line;
#[cfg(test)]
mod tests;
mod unit;

pub use function::{DebugFunction, Parameter, Presence};
pub use graph::{
    BaseEncoding, CompositeKind, DebugMember, DebugType, Qualifier, TypeGraph, TypeIndex,
};
pub use line::LineMatch;

use crate::elf::Elf;
use crate::{Error, Result};
use gimli::{EndianSlice, LittleEndian, SectionId};
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// Attributes looked at for one question; real questions need a hundredth of it.
const MAX_WORK: usize = 200_000_000;

type Slice<'a> = EndianSlice<'a, LittleEndian>;
type Dwarf<'a> = gimli::Dwarf<Slice<'a>>;
type Unit<'a> = gimli::Unit<Slice<'a>>;
type Entry<'a> = gimli::DebuggingInformationEntry<Slice<'a>>;
type AttributeValue<'a> = gimli::AttributeValue<Slice<'a>>;

/// The sections that are read.
const SECTIONS: [SectionId; 11] = [
    SectionId::DebugAbbrev,
    SectionId::DebugAddr,
    SectionId::DebugAranges,
    SectionId::DebugInfo,
    SectionId::DebugLine,
    SectionId::DebugLineStr,
    SectionId::DebugRanges,
    SectionId::DebugRngLists,
    SectionId::DebugStr,
    SectionId::DebugStrOffsets,
    SectionId::DebugTypes,
];

/// DWARF of one binary.
#[derive(Debug)]
pub struct DebugInfo {
    elf: Arc<Elf>,
    /// Sections that are compressed in the file, unpacked at first use.
    unpacked: [OnceLock<Vec<u8>>; SECTIONS.len()],
    index: OnceLock<unit::UnitIndex>,
    scanned: OnceLock<unit::UnitIndex>,
}

impl DebugInfo {
    /// Takes a file that carries DWARF itself.
    pub fn new(elf: Arc<Elf>) -> Result<DebugInfo> {
        if !elf.has_section(".debug_info") {
            return Err(Error::NoDebugInfo {
                path: elf.path().to_path_buf(),
            });
        }
        Ok(DebugInfo {
            elf,
            unpacked: std::array::from_fn(|_| OnceLock::new()),
            index: OnceLock::new(),
            scanned: OnceLock::new(),
        })
    }

    /// Finds a binary's debug information: in itself, or in its separate debug file.
    pub fn find(elf: &Arc<Elf>, machine_root: &Path, extra: &[PathBuf]) -> Result<DebugInfo> {
        let path = elf.find_debug_file(machine_root, extra)?;
        if path == elf.path() {
            DebugInfo::new(elf.clone())
        } else {
            DebugInfo::new(Arc::new(Elf::open(&path)?))
        }
    }

    /// The file the debug information is in.
    pub fn path(&self) -> &Path {
        self.elf.path()
    }

    fn dwarf(&self) -> Result<Dwarf<'_>> {
        gimli::Dwarf::load(|id| Ok(EndianSlice::new(self.section(id)?, LittleEndian)))
    }

    fn section(&self, id: SectionId) -> Result<&[u8]> {
        let Some(i) = SECTIONS.iter().position(|known| *known == id) else {
            return Ok(&[]);
        };
        if let Some(bytes) = self.unpacked[i].get() {
            return Ok(bytes);
        }
        match self.elf.section(id.name())? {
            Some(Cow::Borrowed(bytes)) => Ok(bytes),
            Some(Cow::Owned(bytes)) => Ok(self.unpacked[i].get_or_init(|| bytes)),
            None => Ok(&[]),
        }
    }

    fn malformed(&self) -> impl Fn(gimli::Error) -> Error + use<> {
        let what = format!("debug information of {}", self.elf.path().display());
        move |error| Error::malformed(what.clone(), error.to_string())
    }
}

/// Counts down; ends a question that a real file could not ask.
struct Budget(usize);

impl Budget {
    fn new() -> Budget {
        Budget(MAX_WORK)
    }

    fn spend(&mut self, amount: usize) -> gimli::Result<()> {
        self.0 = self
            .0
            .checked_sub(amount + 1)
            .ok_or(gimli::Error::TooManyRegisterRules)?;
        Ok(())
    }
}
