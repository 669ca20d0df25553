//! Static probes (USDT): the notes that `<sys/sdt.h>` puts into binaries.
//!
//! ```text
//! note "stapsdt", type 3: location │ base │ semaphore │ provider\0 name\0 arguments\0
//! ```
//!
//! Addresses are those of link time; when a tool moved the sections later (prelink), `.stapsdt.base` tells by how much.

mod argument;
#[cfg(test)]
mod tests;

pub use argument::{ArgumentKind, Register, UsdtArg};

use crate::bytes::{c_string_at, u32_at, u64_at};
use crate::elf::{Elf, notes};
use crate::pattern::Pattern;
use crate::{Address, Error, FileOffset, Result, suggest};

/// Notes taken of one binary; libjvm has about 600.
const MAX_PROBES: usize = 100_000;
/// The longest name or argument text.
const MAX_TEXT: usize = 4096;

/// One place of a static probe. Several places can share a name, with different arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsdtProbe {
    /// Who defined it, `postgresql`.
    pub provider: String,
    /// Its name, `query__start`.
    pub name: String,
    /// Address of its nop.
    pub location: Address,
    /// Where that is in the file.
    pub offset: FileOffset,
    /// The counter that turns the probe on, as a place in the file (perf's `ref_ctr_offset`).
    pub semaphore: Option<FileOffset>,
    /// Its arguments as the note has them.
    pub argument_text: String,
    /// Its arguments, understood; those that are not are [`ArgumentKind::Unknown`].
    pub arguments: Vec<UsdtArg>,
}

impl Elf {
    /// All static probes in order of the notes. Notes that make no sense are skipped.
    pub fn usdt_probes(&self) -> Vec<UsdtProbe> {
        // The section's own place is the second half of the adjustment.
        let base = self
            .section_place(".stapsdt.base")
            .map(|(address, _, _)| address);
        let is_64 = self.is_64();
        let all = self.note_sections().flat_map(notes);
        let wanted = all.filter(|note| note.owner == b"stapsdt" && note.kind == 3);
        wanted
            .take(MAX_PROBES)
            .filter_map(|note| self.usdt_probe(note.content, base, is_64))
            .collect()
    }

    /// Probes whose provider and name match; no provider means any.
    pub fn match_usdt(&self, provider: Option<&Pattern>, name: &Pattern) -> Result<Vec<UsdtProbe>> {
        let all = self.usdt_probes();
        let (found, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|probe| {
            provider.is_none_or(|p| p.matches(&probe.provider)) && name.matches(&probe.name)
        });
        if found.is_empty() {
            return Err(Error::NotFound {
                kind: format!("static probe in {}", self.path().display()),
                name: provider.map_or_else(
                    || name.as_str().to_string(),
                    |p| format!("{}:{}", p.as_str(), name.as_str()),
                ),
                nearest: suggest::nearest(
                    name.as_str(),
                    others.iter().map(|probe| probe.name.as_str()),
                ),
            });
        }
        Ok(found)
    }

    fn usdt_probe(&self, content: &[u8], base: Option<Address>, is_64: bool) -> Option<UsdtProbe> {
        let word = |i: usize| {
            if is_64 {
                u64_at(content, i * 8)
            } else {
                u32_at(content, i * 4).map(u64::from)
            }
        };
        let (location, note_base, semaphore) = (word(0)?, word(1)?, word(2)?);
        let moved = base
            .filter(|_| note_base != 0)
            .map_or(0, |base| base.0.wrapping_sub(note_base));
        let mut at = if is_64 { 24 } else { 12 };
        let mut text = || {
            let bytes = c_string_at(content, at).filter(|bytes| bytes.len() <= MAX_TEXT)?;
            at += bytes.len() + 1;
            std::str::from_utf8(bytes).ok().map(str::to_string)
        };
        let (provider, name) = (text()?, text()?);
        if name.is_empty() {
            return None;
        }
        let argument_text = text().unwrap_or_default();
        let location = Address(location.wrapping_add(moved));
        let semaphore = (semaphore != 0).then(|| Address(semaphore.wrapping_add(moved)));
        let mut arguments = argument::parse_all(&argument_text);
        for argument in &mut arguments {
            argument.resolve(|symbol| self.data_symbol(symbol).ok().map(|found| found.address));
        }
        Some(UsdtProbe {
            provider,
            name,
            location,
            offset: self.file_offset(location)?,
            semaphore: semaphore.and_then(|address| self.file_offset(address)),
            argument_text,
            arguments,
        })
    }
}
