//! `.go.buildinfo`: the version of Go, kept when a program is stripped.

use crate::Address;
use crate::bytes::u64_at;
use crate::elf::Elf;

/// What the section starts with.
const MAGIC: &[u8] = b"\xff Go buildinf:";
/// Where the strings lie since Go 1.18.
const INLINE_STRINGS: usize = 32;
/// Set in the flags when the strings lie in the section itself.
const HAS_INLINE_STRINGS: u8 = 2;
/// No version is longer.
const MAX_VERSION: usize = 256;

/// A version of Go 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct GoVersion {
    /// 22 in Go 1.22.3.
    pub minor: u32,
    /// 3 in Go 1.22.3.
    pub patch: u32,
}

impl std::fmt::Display for GoVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "1.{}", self.minor)?;
        if self.patch != 0 {
            write!(f, ".{}", self.patch)?;
        }
        Ok(())
    }
}

/// The version that a program says it was made with.
pub(super) fn version(elf: &Elf) -> Option<GoVersion> {
    let section = elf.section(".go.buildinfo").ok()??;
    if !section.starts_with(MAGIC) {
        return None;
    }
    let pointer_size = *section.get(14)?;
    let flags = *section.get(15)?;
    if flags & HAS_INLINE_STRINGS != 0 {
        let (len, used) = length(section.get(INLINE_STRINGS..)?)?;
        let start = INLINE_STRINGS + used;
        return parse(section.get(start..start.checked_add(len)?)?);
    }
    // Before 1.18: a pointer to a string, which is a pointer and a length.
    if pointer_size != 8 || flags != 0 {
        return None;
    }
    let header = at(elf, u64_at(&section, 16)?, 16)?;
    let len = usize::try_from(u64_at(header, 8)?).ok()?;
    parse(at(elf, u64_at(header, 0)?, len.min(MAX_VERSION))?)
}

/// Bytes of the program by their address.
fn at(elf: &Elf, address: u64, len: usize) -> Option<&[u8]> {
    let offset = elf.file_offset(Address(address))?;
    let found = elf.code(offset, len);
    (found.len() == len).then_some(found)
}

/// A length in groups of seven bits, and how many bytes it takes.
fn length(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0usize;
    for (i, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Some((value, i + 1));
        }
    }
    None
}

/// `go1.22.3`, `go1.27rc1`, `go1.19.8 X:boringcrypto`, `devel go1.21-…`.
fn parse(text: &[u8]) -> Option<GoVersion> {
    let text = std::str::from_utf8(&text[..text.len().min(MAX_VERSION)]).ok()?;
    let rest = text.split("go1.").nth(1)?;
    let (minor, rest) = number(rest)?;
    let patch = rest.strip_prefix('.').and_then(number);
    Some(GoVersion {
        minor,
        patch: patch.map_or(0, |(patch, _)| patch),
    })
}

fn number(text: &str) -> Option<(u32, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::{GoVersion, length, parse};

    #[test]
    fn reads_versions() {
        let cases: [(&str, Option<(u32, u32)>); 6] = [
            ("go1.19.8", Some((19, 8))),
            ("go1.27rc1", Some((27, 0))),
            ("go1.21.5 X:boringcrypto", Some((21, 5))),
            ("devel go1.22-abcdef Mon", Some((22, 0))),
            ("gccgo", None),
            ("go1.99999999999", None),
        ];
        for (text, expected) in cases {
            let expected = expected.map(|(minor, patch)| GoVersion { minor, patch });
            assert_eq!(parse(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(length(&[0x88, 0x01]), Some((136, 2)));
        assert_eq!(length(&[0xff; 4]), None);
    }
}
