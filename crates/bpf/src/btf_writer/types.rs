//! The type section and the string section.
//!
//! ```text
//! header:  u16 magic 0xeb9f  u8 version 1  u8 flags 0  u32 header length 24
//!          u32 types offset  u32 types length  u32 strings offset  u32 strings length
//! type:    u32 name offset   u32 kind flag << 31 | kind << 24 | vlen   u32 size or type   then by kind
//! ```

use std::collections::HashMap;

/// Number of a type in its BTF; 0 is `void`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TypeId(pub u32);

impl TypeId {
    /// `void`
    pub const VOID: TypeId = TypeId(0);
}

/// A member of a structure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Empty for none.
    pub name: String,
    /// What it is.
    pub ty: TypeId,
    /// Bits from the start of the structure.
    pub bit_offset: u32,
    /// 0 unless it is a bitfield.
    pub bit_width: u32,
}

impl Member {
    /// A member that is no bitfield.
    pub fn new(name: &str, ty: TypeId, offset_bytes: u32) -> Member {
        Member {
            name: name.into(),
            ty,
            bit_offset: offset_bytes * 8,
            bit_width: 0,
        }
    }
}

/// A variable within a section of an ELF file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SectionVariable {
    /// From [`Types::variable`].
    pub variable: TypeId,
    /// Bytes from the start of the section.
    pub offset: u32,
    /// Bytes.
    pub size: u32,
}

mod kind {
    pub const INT: u32 = 1;
    pub const PTR: u32 = 2;
    pub const ARRAY: u32 = 3;
    pub const STRUCT: u32 = 4;
    pub const FUNC: u32 = 12;
    pub const FUNC_PROTO: u32 = 13;
    pub const VAR: u32 = 14;
    pub const DATASEC: u32 = 15;
}

const MAGIC: u16 = 0xeb9f;
const HEADER_LENGTH: u32 = 24;
/// Most members that a type can have (16 bits, `BTF_MAX_VLEN`).
pub(super) const MAX_MEMBERS: usize = 0xffff;

/// BTF under construction. Equal types and equal strings are written once, so ids depend only on what was asked for
/// and in which order.
#[derive(Debug)]
pub struct Types {
    bytes: Vec<u8>,
    ids: HashMap<Vec<u8>, TypeId>,
    strings: Vec<u8>,
    string_offsets: HashMap<String, u32>,
}

impl Default for Types {
    fn default() -> Types {
        Types::new()
    }
}

impl Types {
    /// Nothing yet.
    pub fn new() -> Types {
        Types {
            bytes: Vec::new(),
            ids: HashMap::new(),
            strings: vec![0],
            string_offsets: HashMap::from([(String::new(), 0)]),
        }
    }

    /// Offset of a string; text after a NUL is cut.
    pub fn string(&mut self, text: &str) -> u32 {
        let text = text.split('\0').next().unwrap_or_default();
        if let Some(offset) = self.string_offsets.get(text) {
            return *offset;
        }
        let offset = self.strings.len() as u32;
        self.strings.extend_from_slice(text.as_bytes());
        self.strings.push(0);
        self.string_offsets.insert(text.to_owned(), offset);
        offset
    }

    /// An integer of 1, 2, 4, 8 or 16 bytes.
    pub fn int(&mut self, name: &str, size: u32, signed: bool) -> TypeId {
        self.int_encoded(name, size, u32::from(signed))
    }

    /// `bool`
    pub fn boolean(&mut self) -> TypeId {
        self.int_encoded("bool", 1, 4)
    }

    /// `char`, shown as text by dumpers.
    pub fn character(&mut self) -> TypeId {
        self.int_encoded("char", 1, 1)
    }

    fn int_encoded(&mut self, name: &str, size: u32, encoding: u32) -> TypeId {
        let detail = (encoding << 24) | (size * 8);
        let name = self.string(name);
        self.add(name, info(kind::INT, 0), size, &[detail])
    }

    /// `target *`
    pub fn pointer(&mut self, target: TypeId) -> TypeId {
        self.add(0, info(kind::PTR, 0), target.0, &[])
    }

    /// `element[len]`
    pub fn array(&mut self, element: TypeId, len: u32) -> TypeId {
        let index = self.int("__u32", 4, false);
        self.add(0, info(kind::ARRAY, 0), 0, &[element.0, index.0, len])
    }

    /// `struct name { members }`. Members must be in order of their offsets and lie within `size`.
    pub fn structure(&mut self, name: &str, size: u32, members: &[Member]) -> TypeId {
        let members = &members[..members.len().min(MAX_MEMBERS)];
        let has_bitfields = members.iter().any(|member| member.bit_width != 0);
        let mut rest = Vec::with_capacity(members.len() * 3);
        for member in members {
            // With the kind flag set, offsets carry the width in their upper 8 bits.
            let width = (member.bit_width & 0xff) << 24;
            rest.extend([
                self.string(&member.name),
                member.ty.0,
                width | member.bit_offset,
            ]);
        }
        let flag = u32::from(has_bitfields) << 31;
        let name = self.string(name);
        self.add(name, flag | info(kind::STRUCT, members.len()), size, &rest)
    }

    /// `result (*)(parameters)`
    pub fn function_prototype(&mut self, result: TypeId, parameters: &[(&str, TypeId)]) -> TypeId {
        let mut rest = Vec::with_capacity(parameters.len() * 2);
        for (name, ty) in parameters {
            rest.extend([self.string(name), ty.0]);
        }
        self.add(0, info(kind::FUNC_PROTO, parameters.len()), result.0, &rest)
    }

    /// A static function; `name` must be a C identifier. For a global one the kernel would judge the arguments by
    /// their types and fill the verifier's log with doubts about `void *`.
    pub fn function(&mut self, name: &str, prototype: TypeId) -> TypeId {
        let name = self.string(name);
        self.add(name, info(kind::FUNC, 0), prototype.0, &[])
    }

    /// A global variable.
    pub fn variable(&mut self, name: &str, ty: TypeId) -> TypeId {
        const GLOBAL: u32 = 1;
        let name = self.string(name);
        self.add(name, info(kind::VAR, 0), ty.0, &[GLOBAL])
    }

    /// A section of an ELF file with its variables, in order of their offsets.
    pub fn section(&mut self, name: &str, size: u32, variables: &[SectionVariable]) -> TypeId {
        let name = self.string(name);
        let rest: Vec<u32> = variables
            .iter()
            .flat_map(|var| [var.variable.0, var.offset, var.size])
            .collect();
        self.add(name, info(kind::DATASEC, variables.len()), size, &rest)
    }

    fn add(&mut self, name: u32, info: u32, size_or_type: u32, rest: &[u32]) -> TypeId {
        let words = [name, info, size_or_type]
            .into_iter()
            .chain(rest.iter().copied());
        let bytes: Vec<u8> = words.flat_map(u32::to_ne_bytes).collect();
        let next = TypeId(self.ids.len() as u32 + 1);
        let id = *self.ids.entry(bytes.clone()).or_insert(next);
        if id == next {
            self.bytes.extend_from_slice(&bytes);
        }
        id
    }

    /// The whole, as `BPF_BTF_LOAD` and a `.BTF` section take it.
    pub fn to_bytes(&self) -> Vec<u8> {
        let types_length = self.bytes.len() as u32;
        let strings_length = self.strings.len() as u32;
        let mut out = Vec::with_capacity((HEADER_LENGTH + types_length + strings_length) as usize);
        out.extend(MAGIC.to_ne_bytes());
        out.extend([1, 0]);
        for word in [HEADER_LENGTH, 0, types_length, types_length, strings_length] {
            out.extend(word.to_ne_bytes());
        }
        out.extend_from_slice(&self.bytes);
        out.extend_from_slice(&self.strings);
        out
    }
}

fn info(kind: u32, vlen: usize) -> u32 {
    kind << 24 | (vlen as u32 & 0xffff)
}
