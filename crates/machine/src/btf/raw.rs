//! The bytes of BTF: header, records, and the one walk that finds where each type starts.

use super::Kind;
use crate::bytes::{u16_at, u32_at};
use crate::{Error, Result};
use std::ops::Range;

const MAGIC: u16 = 0xeb9f;
/// Bytes of the header fields that all versions have.
const MIN_HEADER: usize = 24;
/// Bytes of a record before what its kind adds.
pub(super) const RECORD: usize = 12;

pub(super) fn malformed(why: &str) -> Error {
    Error::malformed("BTF", why)
}

/// Where the two sections are, checked against the file's length.
#[derive(Debug)]
pub(super) struct Header {
    type_start: usize,
    type_len: usize,
    string_start: usize,
    pub(super) string_len: u32,
}

impl Header {
    pub(super) fn parse(bytes: &[u8]) -> Result<Header> {
        let magic = u16_at(bytes, 0).ok_or_else(|| malformed("shorter than a header"))?;
        if magic == MAGIC.swap_bytes() {
            return Err(malformed(
                "big-endian; only the running machine's byte order is read",
            ));
        }
        if magic != MAGIC {
            return Err(malformed(&format!(
                "magic is {magic:#06x} instead of {MAGIC:#06x}"
            )));
        }
        if bytes.get(2) != Some(&1) {
            return Err(malformed("unknown version"));
        }
        let field = |offset| u32_at(bytes, offset).ok_or_else(|| malformed("header is cut off"));
        let header_len = field(4)? as usize;
        if header_len < MIN_HEADER {
            return Err(malformed(&format!("header says it has {header_len} bytes")));
        }
        if header_len > bytes.len() {
            return Err(malformed("header is cut off"));
        }
        let section = |offset: u32, len: u32, what: &str| -> Result<(usize, usize)> {
            let start = header_len.checked_add(offset as usize);
            let end = start.and_then(|s| s.checked_add(len as usize));
            match (start, end) {
                (Some(start), Some(end)) if end <= bytes.len() => Ok((start, len as usize)),
                _ => Err(malformed(&format!(
                    "{what} section reaches past the end of the file"
                ))),
            }
        };
        let (type_start, type_len) = section(field(8)?, field(12)?, "type")?;
        let string_len = field(20)?;
        let (string_start, _) = section(field(16)?, string_len, "string")?;
        if string_len > 0 && bytes[string_start + string_len as usize - 1] != 0 {
            return Err(malformed("string section does not end with NUL"));
        }
        Ok(Header {
            type_start,
            type_len,
            string_start,
            string_len,
        })
    }

    pub(super) fn types(&self) -> Range<usize> {
        self.type_start..self.type_start + self.type_len
    }

    pub(super) fn strings(&self) -> Range<usize> {
        self.string_start..self.string_start + self.string_len as usize
    }
}

/// The 12 bytes every type starts with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record {
    /// Offset of the name in the strings.
    pub(super) name: u32,
    info: u32,
    /// A size or a type id, as the kind says.
    pub(super) size_or_type: u32,
}

impl Record {
    /// Reads the record at a position that [`walk`] found; zeroes past the end.
    pub(super) fn at(types: &[u8], position: usize) -> Record {
        let field = |at: usize| u32_at(types, position + at).unwrap_or(0);
        Record {
            name: field(0),
            info: field(4),
            size_or_type: field(8),
        }
    }

    /// Number of members, parameters or enumerators.
    pub(super) fn vlen(self) -> usize {
        (self.info & 0xffff) as usize
    }

    /// The flag whose meaning depends on the kind.
    pub(super) fn flag(self) -> bool {
        self.info >> 31 != 0
    }

    pub(super) fn kind(self) -> Option<Kind> {
        Kind::from_raw((self.info >> 24) & 0x1f)
    }

    /// Bytes that follow the record.
    pub(super) fn extra(self, kind: Kind) -> usize {
        match kind {
            Kind::Int | Kind::Var | Kind::DeclTag => 4,
            Kind::Array => 12,
            Kind::Struct | Kind::Union | Kind::DataSec | Kind::Enum64 => 12 * self.vlen(),
            Kind::Enum | Kind::FuncProto => 8 * self.vlen(),
            Kind::Ptr
            | Kind::Fwd
            | Kind::Typedef
            | Kind::Volatile
            | Kind::Const
            | Kind::Restrict
            | Kind::Func
            | Kind::Float
            | Kind::TypeTag => 0,
        }
    }
}

/// The start of every type, or what is wrong with the section.
pub(super) fn walk(types: &[u8], string_end: u32) -> Result<Vec<u32>> {
    // vmlinux averages 25-30 bytes a type; growing once more is cheaper than too much memory.
    let mut offsets = Vec::with_capacity(types.len() / 28);
    let mut position = 0;
    while position < types.len() {
        let bad = |why: String| malformed(&format!("type {} {why}", offsets.len() + 1));
        if types.len() - position < RECORD {
            return Err(bad("is cut off".into()));
        }
        let record = Record::at(types, position);
        let kind = record.kind().ok_or_else(|| {
            bad(format!(
                "has the unknown kind {}",
                (record.info >> 24) & 0x1f
            ))
        })?;
        if record.name >= string_end && record.name != 0 {
            return Err(bad("has a name outside the string section".into()));
        }
        offsets.push(position as u32);
        position += RECORD + record.extra(kind);
        if position > types.len() {
            return Err(malformed(&format!("type {} is cut off", offsets.len())));
        }
    }
    Ok(offsets)
}
