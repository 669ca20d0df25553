//! Where a stripped binary's debug information lies: by build id, or by the name in `.gnu_debuglink`.

use super::Elf;
use crate::bytes::u32_at;
use crate::{Error, Result, root};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Folder of separate debug files.
const DEBUG_ROOT: &str = "/usr/lib/debug";

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
        let is_right = |path: &PathBuf| {
            path != self.path() && self.is_own_debug_file(path, link.as_ref().map(|(_, crc)| *crc))
        };
        candidates
            .into_iter()
            .find(is_right)
            .ok_or_else(|| Error::NoDebugInfo {
                path: self.path().to_path_buf(),
            })
    }

    fn debug_candidates(
        &self,
        machine_root: &Path,
        extra: &[PathBuf],
        link: Option<&str>,
    ) -> Vec<PathBuf> {
        let roots: Vec<PathBuf> = extra
            .iter()
            .cloned()
            .chain([root::join(machine_root, DEBUG_ROOT)])
            .collect();
        let mut candidates = Vec::new();
        if let Some((first, rest)) = self.build_id().and_then(|id| id.split_first()) {
            let rest = rest.iter().take(64).fold(String::new(), |mut text, byte| {
                let _ = write!(text, "{byte:02x}");
                text
            });
            candidates.extend(
                roots
                    .iter()
                    .map(|folder| folder.join(format!(".build-id/{first:02x}/{rest}.debug"))),
            );
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
    fn is_own_debug_file(&self, path: &Path, checksum: Option<u32>) -> bool {
        let Ok(candidate) = Elf::open(path) else {
            return false;
        };
        match (self.build_id(), candidate.build_id()) {
            (Some(own), Some(other)) => own == other,
            _ => checksum.is_some_and(|checksum| crc32(candidate.bytes()) == checksum),
        }
    }
}
