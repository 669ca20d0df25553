//! `/proc/PID/maps`: what a process has mapped where.

use super::Process;
use crate::{Address, FileOffset, Result};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Lines of a maps file that are taken; the kernel's default limit is 65,530.
const MAX_MAPPINGS: usize = 1_000_000;

/// One line of a maps file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// Addresses it covers.
    pub range: Range<u64>,
    /// Whether it can be executed.
    pub is_executable: bool,
    /// Whether it can be written.
    pub is_writable: bool,
    /// Where in the file it starts.
    pub offset: FileOffset,
    /// Device of the file, major and minor number.
    pub device: (u32, u32),
    /// The file's inode number; 0 when there is no file.
    pub inode: u64,
    /// The file as seen in the process's root, or a name in brackets; `None` for anonymous memory.
    pub path: Option<PathBuf>,
    /// Whether the file was deleted since.
    pub is_deleted: bool,
}

impl Mapping {
    /// The file's path, if it maps a file that has one.
    pub fn file(&self) -> Option<&Path> {
        self.path
            .as_deref()
            .filter(|path| self.inode != 0 && path.is_absolute())
    }

    /// Where the byte at an address is in the file.
    pub fn file_offset(&self, address: Address) -> Option<FileOffset> {
        let inside = address
            .0
            .checked_sub(self.range.start)
            .filter(|_| address.0 < self.range.end)?;
        self.offset.0.checked_add(inside).map(FileOffset)
    }

    pub(super) fn parse(line: &str) -> Option<Mapping> {
        // The path may contain spaces: it is all that follows the five columns.
        let mut columns = line.splitn(6, ' ');
        let (start, end) = columns.next()?.split_once('-')?;
        let permissions = columns.next()?.as_bytes();
        let offset = u64::from_str_radix(columns.next()?, 16).ok()?;
        let (major, minor) = columns.next()?.split_once(':')?;
        let inode = columns.next()?.parse().ok()?;
        let path = columns.next().unwrap_or("").trim_start();
        let (path, is_deleted) = match path.strip_suffix(" (deleted)") {
            Some(path) => (path, true),
            None => (path, false),
        };
        Some(Mapping {
            range: u64::from_str_radix(start, 16).ok()?..u64::from_str_radix(end, 16).ok()?,
            is_executable: permissions.get(2) == Some(&b'x'),
            is_writable: permissions.get(1) == Some(&b'w'),
            offset: FileOffset(offset),
            device: (
                u32::from_str_radix(major, 16).ok()?,
                u32::from_str_radix(minor, 16).ok()?,
            ),
            inode,
            // The kernel writes newlines in names as `\012`.
            path: (!path.is_empty()).then(|| PathBuf::from(path.replace("\\012", "\n"))),
            is_deleted,
        })
    }
}

impl Process {
    /// All its mappings in order of address.
    pub fn maps(&self) -> Result<Vec<Mapping>> {
        Ok(self
            .text("maps")?
            .lines()
            .filter_map(Mapping::parse)
            .take(MAX_MAPPINGS)
            .collect())
    }

    /// The files it maps as code, each once, in order of address; paths as seen in its root.
    pub fn mapped_files(&self) -> Result<Vec<PathBuf>> {
        let mut files: Vec<PathBuf> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for mapping in self.maps()? {
            if let Some(file) = mapping.file()
                && mapping.is_executable
                && !mapping.is_deleted
                && seen.insert((mapping.device, mapping.inode))
            {
                files.push(file.to_path_buf());
            }
        }
        Ok(files)
    }

    /// The mapping that covers an address.
    pub fn mapping_at(&self, address: Address) -> Result<Option<Mapping>> {
        Ok(self
            .maps()?
            .into_iter()
            .find(|mapping| mapping.range.contains(&address.0)))
    }
}
