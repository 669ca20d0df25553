//! The kernel's type information (BTF): opened once, indexed by one pass over the type section, decoded where asked.
//!
//! ```text
//! header │ type section: [name kind|vlen size|type][extra…] × n │ string section: \0name\0name\0…
//! ```
//!
//! A [`Btf`] borrows nothing and copies nothing: it holds the file and one offset per type. Names and members are read from the
//! bytes when asked. A module's BTF is *split*: its ids and string offsets go on where those of vmlinux end.

mod kernel;
mod lookup;
mod print;
mod raw;
mod size;
#[cfg(test)]
mod tests;
mod types;

pub use kernel::{Iterator as BpfIterator, RawTracepoint};
pub use lookup::{Enumerator, Field};
pub use types::{
    Array, Composite, DeclTag, Enum, FuncProto, Int, IntEncoding, Kind, Linkage, Member, Members,
    Param, Type, TypeId, Variable,
};

use crate::bytes::Bytes;
use crate::{Error, Result};
use raw::Header;
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// The longest chain of typedefs, qualifiers and pointers that is followed.
pub const MAX_TYPE_DEPTH: usize = 64;

/// Type information of the kernel, of a module, or of an ELF file's `.BTF` section.
#[derive(Debug)]
pub struct Btf {
    bytes: Bytes,
    header: Header,
    base: Option<Arc<Btf>>,
    /// Position of each own type, the first being `first_id`.
    offsets: Vec<u32>,
    /// Id of the first own type: 1, or the number of types in the base.
    first_id: u32,
    /// Length of the base's strings, which own string offsets count from.
    first_string: u32,
    index: OnceLock<lookup::NameIndex>,
}

impl Btf {
    /// Opens a raw BTF file such as `/sys/kernel/btf/vmlinux`; a module's file needs the kernel's BTF as `base`.
    pub fn open(path: &Path, base: Option<Arc<Btf>>) -> Result<Btf> {
        Btf::new(Bytes::map(path)?, base).map_err(|error| match error {
            Error::Malformed { why, .. } => Error::malformed(path.display().to_string(), why),
            other => other,
        })
    }

    /// Takes raw BTF from memory. The whole type section is walked once, so ids of types are known to be good afterwards;
    /// ids *inside* types are checked when they are followed.
    pub fn new(bytes: impl Into<Bytes>, base: Option<Arc<Btf>>) -> Result<Btf> {
        let bytes = bytes.into();
        let header = Header::parse(&bytes)?;
        let first_id = base.as_ref().map_or(1, |b| b.end_id());
        let first_string = base.as_ref().map_or(0, |b| b.end_string());
        let string_end = first_string
            .checked_add(header.string_len)
            .ok_or_else(|| raw::malformed("more than 4 GB of strings"))?;
        let offsets = raw::walk(&bytes[header.types()], string_end)?;
        if u32::try_from(offsets.len())
            .ok()
            .and_then(|n| first_id.checked_add(n))
            .is_none()
        {
            return Err(raw::malformed("too many types"));
        }
        Ok(Btf {
            bytes,
            header,
            base,
            offsets,
            first_id,
            first_string,
            index: OnceLock::new(),
        })
    }

    /// The types this one builds upon, for a module.
    pub fn base(&self) -> Option<&Arc<Btf>> {
        self.base.as_ref()
    }

    /// How many types there are, `void` and those of the base included.
    pub fn type_count(&self) -> usize {
        self.end_id() as usize
    }

    /// The ids of this file's own types, without those of the base.
    pub fn own_ids(&self) -> impl ExactSizeIterator<Item = TypeId> + use<> {
        // A usize range, because only that one knows its exact length.
        let (first, end) = (self.first_id as usize, self.end_id() as usize);
        (first..end).map(|id| TypeId(id as u32))
    }

    /// The type of that id, of the base's too.
    pub fn type_by_id(&self, id: TypeId) -> Result<Type<'_>> {
        if id.0 == 0 {
            return Ok(Type::Void);
        }
        let (btf, position) = self.locate(id)?;
        types::decode(btf, &btf.bytes[btf.header.types()][position..])
    }

    /// The name of a type; empty when it has none or the id is bad.
    pub fn name(&self, id: TypeId) -> &str {
        let Ok((btf, position)) = self.locate(id) else {
            return "";
        };
        btf.string(raw::Record::at(&btf.bytes[btf.header.types()], position).name)
    }

    /// What kind of type it is, without decoding it.
    pub fn kind(&self, id: TypeId) -> Option<Kind> {
        let Ok((btf, position)) = self.locate(id) else {
            return None;
        };
        raw::Record::at(&btf.bytes[btf.header.types()], position).kind()
    }

    /// A string of this file or its base; names are claims, so a bad one reads as empty.
    pub(crate) fn string(&self, offset: u32) -> &str {
        std::str::from_utf8(self.string_bytes(offset)).unwrap_or("")
    }

    fn string_bytes(&self, offset: u32) -> &[u8] {
        match (&self.base, offset.checked_sub(self.first_string)) {
            (Some(base), None) => base.string_bytes(offset),
            (_, Some(own)) => {
                crate::bytes::c_string_at(&self.bytes[self.header.strings()], own as usize)
                    .unwrap_or_default()
            }
            (None, None) => &[],
        }
    }

    fn end_id(&self) -> u32 {
        self.first_id + self.offsets.len() as u32
    }

    fn end_string(&self) -> u32 {
        self.first_string + self.header.string_len
    }

    /// Which file holds the type, and where in its type section.
    fn locate(&self, id: TypeId) -> Result<(&Btf, usize)> {
        match (&self.base, id.0.checked_sub(self.first_id)) {
            (Some(base), None) => base.locate(id),
            (_, Some(own)) if (own as usize) < self.offsets.len() => {
                Ok((self, self.offsets[own as usize] as usize))
            }
            _ => Err(raw::malformed(&format!(
                "type id {} of {}",
                id.0,
                self.end_id()
            ))),
        }
    }
}
