//! Symbols of local functions that distributions leave in stripped binaries: `.gnu_debugdata`, a small ELF file packed by xz.

use super::Elf;
use std::io;

/// Bytes after unpacking; real ones have a few megabytes.
const MAX_UNPACKED: usize = 256 << 20;

impl Elf {
    /// The ELF file inside `.gnu_debugdata`, unpacked at the first question. It has symbols, and no debug information.
    pub fn packed_symbols(&self) -> Option<&Elf> {
        self.packed.get_or_init(|| self.unpack()).as_deref()
    }

    fn unpack(&self) -> Option<Box<Elf>> {
        let section = self.section(".gnu_debugdata").ok()??;
        let mut unpacked = Limited(Vec::new());
        lzma_rs::xz_decompress(&mut section.as_ref(), &mut unpacked).ok()?;
        Elf::new(self.path(), unpacked.0).ok().map(Box::new)
    }
}

/// Refuses more than a limit.
struct Limited(Vec<u8>);

impl io::Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len().saturating_add(bytes.len()) > MAX_UNPACKED {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
