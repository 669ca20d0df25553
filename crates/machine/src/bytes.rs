//! Reading files with limits: small text files whole, binaries by memory map.
//!
//! Only regular files are opened (a FIFO would block, a device may never end).

use crate::{Error, Result};
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::ops::Deref;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The most that is read of a text file below `/proc`, `/sys` or `/etc`.
pub const MAX_TEXT_BYTES: u64 = 64 << 20;

/// The most of a binary that is looked at.
pub const MAX_BINARY_BYTES: u64 = 16 << 30;

/// Never wait for the other end of a FIFO.
const OPEN_FLAGS: i32 = libc::O_NONBLOCK | libc::O_CLOEXEC;

/// The content of a file: mapped, or read into memory where mapping is not possible (most of `/sys`).
#[derive(Debug)]
pub enum Bytes {
    /// Pages of the file itself.
    Mapped(memmap2::Mmap),
    /// A copy.
    Owned(Vec<u8>),
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Bytes::Mapped(map) => map,
            Bytes::Owned(bytes) => bytes,
        }
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Bytes {
        Bytes::Owned(bytes)
    }
}

impl Bytes {
    /// Maps a regular file; falls back to reading it when the file system cannot map it.
    pub fn map(path: &Path) -> Result<Bytes> {
        let file = open_regular(path)?;
        let size = file.metadata().map_err(Error::read(path))?.len();
        if size > MAX_BINARY_BYTES {
            return Err(Error::TooLarge {
                path: path.into(),
                limit: MAX_BINARY_BYTES,
            });
        }
        if size > 0
            && let Ok(map) = map_file(&file)
        {
            return Ok(Bytes::Mapped(map));
        }
        read_limited(file, path, MAX_TEXT_BYTES).map(Bytes::Owned)
    }
}

fn map_file(file: &File) -> std::io::Result<memmap2::Mmap> {
    // SAFETY: the mapping is private and read-only. Another process could shorten the file while we look at it; tracers share
    // that risk with every loader, and package managers replace files by rename, which keeps our pages.
    unsafe { memmap2::MmapOptions::new().map(file) }
}

/// Reads a whole text file; bytes that are not UTF-8 are replaced.
pub fn read_text(path: &Path) -> Result<String> {
    let bytes = read_file(path)?;
    Ok(String::from_utf8(bytes)
        .unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()))
}

/// Reads a whole file of at most [`MAX_TEXT_BYTES`].
pub fn read_file(path: &Path) -> Result<Vec<u8>> {
    read_limited(open_regular(path)?, path, MAX_TEXT_BYTES)
}

fn open_regular(path: &Path) -> Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(OPEN_FLAGS)
        .open(path)
        .map_err(Error::read(path))?;
    let metadata = file.metadata().map_err(Error::read(path))?;
    if metadata.is_file() {
        return Ok(file);
    }
    let reason = if metadata.is_dir() {
        "it is a folder"
    } else {
        "it is not a regular file"
    };
    Err(Error::Read {
        path: path.into(),
        cause: std::io::Error::other(reason),
    })
}

fn read_limited(file: File, path: &Path, limit: u64) -> Result<Vec<u8>> {
    // Sizes below /proc and /sys are 0 or a guess, so the size is only a hint here.
    let hint = file.metadata().map_or(0, |m| m.len()).min(limit);
    let mut bytes = Vec::with_capacity(usize::try_from(hint).unwrap_or(0).saturating_add(1));
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(Error::read(path))?;
    if bytes.len() as u64 > limit {
        return Err(Error::TooLarge {
            path: path.into(),
            limit,
        });
    }
    Ok(bytes)
}

/// A little-endian `u16` at `offset`.
pub(crate) fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    let end = offset.checked_add(2)?;
    bytes
        .get(offset..end)?
        .try_into()
        .ok()
        .map(u16::from_le_bytes)
}

/// A little-endian `u32` at `offset`.
pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    let end = offset.checked_add(4)?;
    bytes
        .get(offset..end)?
        .try_into()
        .ok()
        .map(u32::from_le_bytes)
}

/// A little-endian `u64` at `offset`.
pub(crate) fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    let end = offset.checked_add(8)?;
    bytes
        .get(offset..end)?
        .try_into()
        .ok()
        .map(u64::from_le_bytes)
}

/// The bytes up to the next NUL from `offset`.
pub(crate) fn c_string_at(bytes: &[u8], offset: usize) -> Option<&[u8]> {
    let tail = bytes.get(offset..)?;
    tail.iter().position(|b| *b == 0).map(|end| &tail[..end])
}
