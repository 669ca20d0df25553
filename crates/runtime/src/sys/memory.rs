//! Mapped pages of ring buffers.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

/// Bytes of a page.
pub fn page_size() -> usize {
    // SAFETY: takes a number only.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(4096)
}

/// Whether a mapping may be written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// Read only.
    Read,
    /// Read and write.
    ReadWrite,
}

/// A shared mapping of a kernel object, unmapped when dropped.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping is plain shared memory that belongs to this value; nothing in it is tied to a thread.
unsafe impl Send for Mapping {}
// SAFETY: through `&Mapping` only atomics and reads of bytes that the kernel has finished are done.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `len` bytes of `fd` from `offset`.
    pub fn new(
        fd: BorrowedFd<'_>,
        offset: usize,
        len: usize,
        protection: Protection,
    ) -> io::Result<Mapping> {
        let protection = match protection {
            Protection::Read => libc::PROT_READ,
            Protection::ReadWrite => libc::PROT_READ | libc::PROT_WRITE,
        };
        let offset = libc::off_t::try_from(offset).map_err(io::Error::other)?;
        // SAFETY: the kernel chooses a free address range, so no memory of ours is touched.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                protection,
                libc::MAP_SHARED,
                fd.as_raw_fd(),
                offset,
            )
        };
        match NonNull::new(start.cast::<u8>()) {
            Some(start) if start.as_ptr().cast() != libc::MAP_FAILED => Ok(Mapping { start, len }),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// A counter that the kernel shares with us.
    ///
    /// Panics when it would lie outside of the mapping or unaligned: offsets are constants of the caller.
    pub fn counter(&self, offset: usize) -> &AtomicU64 {
        assert!(
            offset.is_multiple_of(8) && offset + 8 <= self.len,
            "counter at {offset}"
        );
        // SAFETY: inside of the mapping and aligned (checked above, mappings start at a page); both sides access it
        // atomically; it lives as long as the mapping.
        unsafe { AtomicU64::from_ptr(self.start.as_ptr().add(offset).cast()) }
    }

    /// A 32-bit word that the kernel may change, read with acquire ordering.
    pub fn load_u32(&self, offset: usize) -> u32 {
        assert!(
            offset.is_multiple_of(4) && offset + 4 <= self.len,
            "word at {offset}"
        );
        // SAFETY: inside of the mapping and aligned (checked above).
        let word = unsafe {
            std::sync::atomic::AtomicU32::from_ptr(self.start.as_ptr().add(offset).cast())
        };
        word.load(std::sync::atomic::Ordering::Acquire)
    }

    /// Bytes that the kernel has finished writing. `None` when they would lie outside.
    ///
    /// Callers keep the record unconsumed while they hold the slice: the kernel leaves it alone until then.
    pub fn bytes(&self, offset: usize, len: usize) -> Option<&[u8]> {
        let end = offset.checked_add(len)?;
        if end > self.len {
            return None;
        }
        // SAFETY: inside of the mapping; the kernel does not write to records between commit and consumption.
        Some(unsafe { std::slice::from_raw_parts(self.start.as_ptr().add(offset), len) })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: start and length are those of the mapping made in `new`; nothing borrows from it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}
