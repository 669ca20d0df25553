//! Where a stripped binary's debug information lies: by build id, or by the name in `.gnu_debuglink`.

use super::Elf;
use crate::bytes::u32_at;
use crate::{Error, Result, root};
use std::borrow::Cow;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Folder of separate debug files.
const DEBUG_ROOT: &str = "/usr/lib/debug";

/// Bytes of sections of one name.
const MAX_TOGETHER: usize = 1 << 30;

/// The checksum `.gnu_debuglink` uses.
pub fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

impl Elf {
    /// The name and checksum that `.gnu_debuglink` gives.
    pub fn debug_link(&self) -> Option<(String, u32)> {
        let section = self.section(".gnu_debuglink").ok()??;
        let name = crate::bytes::c_string_at(&section, 0)?;
        let checksum = u32_at(&section, (name.len() + 1).checked_next_multiple_of(4)?)?;
        let name = std::str::from_utf8(name).ok()?;
        // A name with a folder in it would lead anywhere.
        (!name.is_empty() && !name.contains('/') && name != "..")
            .then(|| (name.to_string(), checksum))
    }

    /// Finds and checks the separate debug file; the binary itself when it has everything. `extra` are folders the user named.
    pub fn find_debug_file(&self, machine_root: &Path, extra: &[PathBuf]) -> Result<PathBuf> {
        if self.has_debug_info() {
            return Ok(self.path().to_path_buf());
        }
        let link = self.debug_link();
        let candidates = self.debug_candidates(
            machine_root,
            extra,
            link.as_ref().map(|(name, _)| name.as_str()),
        );
        let checksum = link.as_ref().map(|(_, checksum)| *checksum);
        let mut refused = None;
        for path in candidates {
            match self.check_debug_file(&path, checksum) {
                Candidate::Right => return Ok(path),
                Candidate::Wrong(why) => {
                    refused.get_or_insert(Error::WrongDebugFile {
                        binary: self.path().to_path_buf(),
                        path,
                        why,
                    });
                }
                Candidate::Missing => {}
            }
        }
        Err(refused.unwrap_or_else(|| Error::NoDebugInfo {
            path: self.path().to_path_buf(),
        }))
    }

    /// What `.gnu_debugaltlink` gives: the file that `dwz` put shared parts into, and its build id.
    pub fn supplement_link(&self) -> Option<(PathBuf, Vec<u8>)> {
        let section = self.section(".gnu_debugaltlink").ok()??;
        let name = crate::bytes::c_string_at(&section, 0)?;
        let id = section.get(name.len() + 1..)?.to_vec();
        let name = std::str::from_utf8(name).ok()?;
        (!name.is_empty() && !id.is_empty()).then(|| (PathBuf::from(name), id))
    }

    /// Finds the file that `dwz` put shared parts into.
    pub fn find_supplement(&self, machine_root: &Path, extra: &[PathBuf]) -> Option<PathBuf> {
        let (told, id) = self.supplement_link()?;
        let folder = root::inside(machine_root, self.path().parent()?);
        let told = root::resolve(machine_root, &folder.join(told)).ok();
        let by_id = debug_roots(machine_root, extra)
            .into_iter()
            .filter_map(|root| Some(root.join(build_id_path(&id)?)));
        let mut candidates = told.into_iter().chain(by_id);
        candidates
            .find(|path| Elf::open(path).is_ok_and(|found| found.build_id() == Some(id.as_slice())))
    }

    /// The content of all sections of one name, put together: object files have one for each type unit.
    pub(crate) fn all_sections(&self, name: &str) -> Result<Cow<'_, [u8]>> {
        let is_named = |section: &&super::raw::Section| {
            self.tables.section_name(&self.bytes, section) == name.as_bytes()
        };
        let mut sections = self.tables.sections.iter().filter(is_named);
        let Some(first) = sections.next() else {
            return Ok(Cow::Borrowed(&[]));
        };
        let mut whole = self.contents(name, first)?;
        for section in sections {
            // A crafted file could list the same bytes again and again.
            if whole.len() > MAX_TOGETHER {
                break;
            }
            whole
                .to_mut()
                .extend_from_slice(&self.contents(name, section)?);
        }
        Ok(whole)
    }

    fn debug_candidates(
        &self,
        machine_root: &Path,
        extra: &[PathBuf],
        link: Option<&str>,
    ) -> Vec<PathBuf> {
        let roots = debug_roots(machine_root, extra);
        let mut candidates = Vec::new();
        if let Some(path) = self.build_id().and_then(build_id_path) {
            candidates.extend(roots.iter().map(|folder| folder.join(&path)));
        }
        if let (Some(name), Some(folder)) = (link, self.path().parent()) {
            candidates.extend([folder.join(name), folder.join(".debug").join(name)]);
            let inside = root::inside(machine_root, folder);
            candidates.extend(
                roots
                    .iter()
                    .map(|debug| root::join(debug, &inside).join(name)),
            );
            candidates.extend(extra.iter().map(|debug| debug.join(name)));
        }
        candidates
    }

    /// By build id when both have one, else by checksum.
    fn check_debug_file(&self, path: &Path, checksum: Option<u32>) -> Candidate {
        if path == self.path() || !path.exists() {
            return Candidate::Missing;
        }
        let candidate = match Elf::open(path) {
            Ok(candidate) => candidate,
            Err(error) => return Candidate::Wrong(error.to_string()),
        };
        if !candidate.has_debug_info() {
            return Candidate::Wrong("it has no debug information".to_string());
        }
        match (self.build_id(), candidate.build_id()) {
            (Some(own), Some(other)) if own == other => Candidate::Right,
            (Some(own), Some(other)) => Candidate::Wrong(format!(
                "its build id is {}, the binary's {}",
                hex(other),
                hex(own)
            )),
            _ if checksum == Some(crc32(candidate.bytes())) => Candidate::Right,
            _ => Candidate::Wrong("it has another checksum than the binary tells".to_string()),
        }
    }
}

/// What a file that could be the debug file turns out to be.
enum Candidate {
    Right,
    Wrong(String),
    Missing,
}

/// Folders with separate debug files.
fn debug_roots(machine_root: &Path, extra: &[PathBuf]) -> Vec<PathBuf> {
    let own = root::join(machine_root, DEBUG_ROOT);
    extra.iter().cloned().chain([own]).collect()
}

/// `.build-id/ab/cdef….debug`.
fn build_id_path(id: &[u8]) -> Option<PathBuf> {
    let (first, rest) = id.split_first()?;
    let name = format!(".build-id/{first:02x}/{}.debug", hex(rest));
    Some(PathBuf::from(name))
}

/// Real ids have 20 bytes.
pub(crate) fn hex(id: &[u8]) -> String {
    let mut text = String::new();
    for byte in id.iter().take(64) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}
