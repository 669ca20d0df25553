//! The tables of an ELF file: header, sections, segments, symbols, notes. 32 and 64 bits, little endian.
//!
//! Every offset is checked where it is used; table sizes are bounded by the file's own length.

use crate::bytes::{u16_at, u32_at, u64_at};

pub(crate) const PT_LOAD: u32 = 1;
pub(crate) const PT_DYNAMIC: u32 = 2;
pub(crate) const PT_INTERP: u32 = 3;
/// Bytes of a 64-bit dynamic entry: a tag and a value.
pub(crate) const DYNAMIC_ENTRY: usize = 16;
pub(crate) const DT_FLAGS_1: u64 = 0x6fff_fffb;
pub(crate) const DF_1_PIE: u64 = 0x0800_0000;
pub(crate) const SHT_SYMTAB: u32 = 2;
pub(crate) const SHT_NOTE: u32 = 7;
pub(crate) const SHT_NOBITS: u32 = 8;
pub(crate) const SHT_DYNSYM: u32 = 11;
pub(crate) const SHF_COMPRESSED: u64 = 0x800;
pub(crate) const PF_X: u32 = 1;

/// Bytes of a symbol's name that are looked at; C++ names of templates reach thousands.
const MAX_NAME: usize = 16 << 10;

/// What kind of ELF file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ElfKind {
    /// A relocatable object (`.o`).
    Relocatable,
    /// A program with fixed addresses.
    Executable,
    /// A shared library or a position-independent program.
    Dynamic,
    /// A core dump or something else.
    Other,
}

/// The file header.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header {
    pub(crate) is_64: bool,
    pub(crate) kind: ElfKind,
    pub(crate) machine: u16,
    pub(crate) entry: u64,
}

/// A section header.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Section {
    pub(crate) name: u32,
    pub(crate) kind: u32,
    pub(crate) flags: u64,
    pub(crate) address: u64,
    pub(crate) offset: u64,
    pub(crate) size: u64,
    pub(crate) link: u32,
}

/// A program header.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Segment {
    pub(crate) kind: u32,
    pub(crate) flags: u32,
    pub(crate) offset: u64,
    pub(crate) address: u64,
    pub(crate) file_size: u64,
    pub(crate) memory_size: u64,
}

/// A symbol with the place of its name in the string table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RawSymbol {
    pub(crate) name: u32,
    pub(crate) info: u8,
    pub(crate) section: u16,
    pub(crate) value: u64,
    pub(crate) size: u64,
}

/// The tables of one file.
#[derive(Debug)]
pub(crate) struct Tables {
    pub(crate) header: Header,
    pub(crate) sections: Vec<Section>,
    pub(crate) segments: Vec<Segment>,
    section_names: Option<Section>,
}

/// Reads fields whose width depends on the class.
#[derive(Clone, Copy)]
struct Reader<'a> {
    bytes: &'a [u8],
    is_64: bool,
}

impl Reader<'_> {
    fn half(&self, at: usize) -> Option<u16> {
        u16_at(self.bytes, at)
    }

    fn word(&self, at: usize) -> Option<u32> {
        u32_at(self.bytes, at)
    }

    fn long(&self, at: usize) -> Option<u64> {
        if self.is_64 {
            u64_at(self.bytes, at)
        } else {
            u32_at(self.bytes, at).map(u64::from)
        }
    }

    /// Picks the offset of a field by class.
    fn by_class(&self, in_64: usize, in_32: usize) -> usize {
        if self.is_64 { in_64 } else { in_32 }
    }
}

impl Tables {
    /// Reads the tables, or says why this is not a file we can use.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Tables, &'static str> {
        if bytes.get(..4) != Some(b"\x7fELF") {
            return Err("it is not an ELF file");
        }
        let is_64 = match bytes.get(4) {
            Some(1) => false,
            Some(2) => true,
            _ => return Err("its class is neither 32 nor 64 bits"),
        };
        if bytes.get(5) != Some(&1) {
            return Err("it is for a big-endian machine");
        }
        Tables::read(Reader { bytes, is_64 }).ok_or("its header is cut off")
    }

    fn read(reader: Reader<'_>) -> Option<Tables> {
        let is_64 = reader.is_64;
        let kind = match reader.half(16)? {
            1 => ElfKind::Relocatable,
            2 => ElfKind::Executable,
            3 => ElfKind::Dynamic,
            _ => ElfKind::Other,
        };
        let header = Header {
            is_64,
            kind,
            machine: reader.half(18)?,
            entry: reader.long(24)?,
        };
        let segment_offset = reader.long(reader.by_class(32, 28))?;
        let section_offset = reader.long(reader.by_class(40, 32))?;
        let counts = reader.by_class(54, 42);
        let segment_count = reader.half(counts + 2)?.into();
        let mut section_count: u64 = reader.half(counts + 6)?.into();
        let mut names_index: u32 = reader.half(counts + 8)?.into();
        let first = section_at(reader, section_offset);
        // More than 65,279 sections: the real numbers are in the first header.
        if let Some(first) = first.filter(|_| section_offset != 0) {
            if section_count == 0 {
                section_count = first.size;
            }
            if names_index == 0xffff {
                names_index = first.link;
            }
        }
        let section_bytes = reader.by_class(64, 40);
        let sections: Vec<Section> = if section_offset == 0 {
            Vec::new()
        } else {
            entries(
                reader,
                section_offset,
                section_count,
                section_bytes,
                section_at,
            )
        };
        let segments = entries(
            reader,
            segment_offset,
            segment_count,
            reader.by_class(56, 32),
            segment_at,
        );
        let section_names = sections.get(names_index as usize).copied();
        Some(Tables {
            header,
            sections,
            segments,
            section_names,
        })
    }

    /// The bytes of a section as they are in the file.
    pub(crate) fn data<'a>(&self, bytes: &'a [u8], section: &Section) -> &'a [u8] {
        if section.kind == SHT_NOBITS {
            return &[];
        }
        range(bytes, section.offset, section.size).unwrap_or_default()
    }

    /// A section's name.
    pub(crate) fn section_name<'a>(&self, bytes: &'a [u8], section: &Section) -> &'a [u8] {
        let names = self
            .section_names
            .map_or(&[][..], |names| self.data(bytes, &names));
        string_at(names, section.name)
    }

    /// A section by name.
    pub(crate) fn section(&self, bytes: &[u8], name: &str) -> Option<&Section> {
        self.sections
            .iter()
            .find(|section| self.section_name(bytes, section) == name.as_bytes())
    }

    /// The symbols of all tables of a kind, each with its string table.
    pub(crate) fn symbols<'a>(
        &'a self,
        bytes: &'a [u8],
        kind: u32,
    ) -> impl Iterator<Item = (RawSymbol, &'a [u8])> + 'a {
        let is_64 = self.header.is_64;
        let entry = if is_64 { 24 } else { 16 };
        // One table of a kind is all that linkers make; a crafted file could list the same bytes thousands of times.
        let table = self
            .sections
            .iter()
            .find(move |section| section.kind == kind);
        table.into_iter().flat_map(move |section| {
            let strings = self
                .sections
                .get(section.link as usize)
                .map_or(&[][..], |s| self.data(bytes, s));
            let rows = self.data(bytes, section).chunks_exact(entry);
            rows.filter_map(move |row| Some((symbol(row, is_64)?, strings)))
        })
    }

    /// Data of all note sections.
    pub(crate) fn note_sections<'a>(
        &'a self,
        bytes: &'a [u8],
    ) -> impl Iterator<Item = (&'a Section, &'a [u8])> {
        self.sections
            .iter()
            .filter(|s| s.kind == SHT_NOTE)
            .map(|section| (section, self.data(bytes, section)))
    }
}

/// A string of a string table; empty when it is outside or too long to be a name.
pub(crate) fn string_at(strings: &[u8], offset: u32) -> &[u8] {
    let tail = strings.get(offset as usize..).unwrap_or_default();
    let window = &tail[..tail.len().min(MAX_NAME)];
    window
        .iter()
        .position(|b| *b == 0)
        .map_or(&[], |end| &window[..end])
}

/// A part of the file.
pub(crate) fn range(bytes: &[u8], offset: u64, size: u64) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    let end = start.checked_add(usize::try_from(size).ok()?)?;
    bytes.get(start..end)
}

fn entries<T>(
    reader: Reader<'_>,
    start: u64,
    count: u64,
    size: usize,
    read: fn(Reader<'_>, u64) -> Option<T>,
) -> Vec<T> {
    let fitting = (reader.bytes.len() / size) as u64;
    (0..count.min(fitting))
        .map_while(|i| read(reader, start.checked_add(i.checked_mul(size as u64)?)?))
        .collect()
}

fn section_at(reader: Reader<'_>, start: u64) -> Option<Section> {
    let at = usize::try_from(start).ok()?;
    reader.bytes.get(at..)?;
    Some(Section {
        name: reader.word(at)?,
        kind: reader.word(at + 4)?,
        flags: reader.long(at + 8)?,
        address: reader.long(at + reader.by_class(16, 12))?,
        offset: reader.long(at + reader.by_class(24, 16))?,
        size: reader.long(at + reader.by_class(32, 20))?,
        link: reader.word(at + reader.by_class(40, 24))?,
    })
}

fn segment_at(reader: Reader<'_>, start: u64) -> Option<Segment> {
    let at = usize::try_from(start).ok()?;
    reader.bytes.get(at..)?;
    Some(Segment {
        kind: reader.word(at)?,
        flags: reader.word(at + reader.by_class(4, 24))?,
        offset: reader.long(at + reader.by_class(8, 4))?,
        address: reader.long(at + reader.by_class(16, 8))?,
        file_size: reader.long(at + reader.by_class(32, 16))?,
        memory_size: reader.long(at + reader.by_class(40, 20))?,
    })
}

fn symbol(row: &[u8], is_64: bool) -> Option<RawSymbol> {
    let reader = Reader { bytes: row, is_64 };
    Some(RawSymbol {
        name: reader.word(0)?,
        info: *row.get(reader.by_class(4, 12))?,
        section: reader.half(reader.by_class(6, 14))?,
        value: reader.long(reader.by_class(8, 4))?,
        size: reader.long(reader.by_class(16, 8))?,
    })
}

/// One note of a note section.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Note<'a> {
    pub(crate) owner: &'a [u8],
    pub(crate) kind: u32,
    pub(crate) content: &'a [u8],
}

/// The notes of a section; stops at the first that does not fit.
pub(crate) fn notes(data: &[u8]) -> impl Iterator<Item = Note<'_>> {
    let mut rest = data;
    std::iter::from_fn(move || {
        let owner_len = u32_at(rest, 0)? as usize;
        let content_len = u32_at(rest, 4)? as usize;
        let kind = u32_at(rest, 8)?;
        let owner_end = owner_len.checked_add(12)?;
        let owner = rest.get(12..owner_end)?;
        let content_start = owner_end.checked_next_multiple_of(4)?;
        let content_end = content_start.checked_add(content_len)?;
        let content = rest.get(content_start..content_end)?;
        let next = content_end.checked_next_multiple_of(4)?;
        rest = rest.get(next..).unwrap_or_default();
        Some(Note {
            owner: owner.strip_suffix(b"\0").unwrap_or(owner),
            kind,
            content,
        })
    })
}
