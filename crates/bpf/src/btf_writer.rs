//! Writes BTF (Documentation/bpf/btf.rst in the kernel): the types of functions and maps, and which instruction came
//! from which line of the script.
//!
//! Only kinds that Linux 5.10 accepts are written: INT, PTR, ARRAY, STRUCT, FUNC_PROTO, FUNC, VAR, DATASEC.
//! [`ObjectBtf::new`] is what a loader needs; [`Types`] also serves the ELF writer.

mod layouts;
mod lines;
mod types;

pub use types::{Member, SectionVariable, TypeId, Types};

pub(crate) use layouts::map_types;
pub(crate) use lines::LineTable;

use crate::object::{Object, Program, Signature};

/// BTF of a whole object, for loading with bpf(2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectBtf {
    /// For `BPF_BTF_LOAD`.
    pub btf: Vec<u8>,
    /// Indexed by [`crate::ProgramId`].
    pub programs: Vec<ProgramBtf>,
    /// Indexed by [`crate::MapId`]; `None` for kinds of map that take no types.
    pub maps: Vec<Option<MapTypes>>,
}

/// What `BPF_PROG_LOAD` takes about one program, in slots from its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProgramBtf {
    /// `struct bpf_func_info`: `insn_off, type_id`.
    pub func_info: Vec<[u32; 2]>,
    /// `struct bpf_line_info`: `insn_off, file_name_off, line_off, line_col`. Empty when the program has no lines.
    pub line_info: Vec<[u32; 4]>,
}

/// What `BPF_MAP_CREATE` takes about one map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapTypes {
    /// `btf_key_type_id`
    pub key: TypeId,
    /// `btf_value_type_id`
    pub value: TypeId,
}

impl ObjectBtf {
    /// Bytes in one record of [`ProgramBtf::func_info`].
    pub const FUNC_INFO_SIZE: u32 = 8;
    /// Bytes in one record of [`ProgramBtf::line_info`].
    pub const LINE_INFO_SIZE: u32 = 16;

    /// Describes all programs and maps of an object.
    pub fn new(object: &Object) -> ObjectBtf {
        let mut types = Types::new();
        let maps = object
            .maps
            .iter()
            .map(|map| map_types(&mut types, map))
            .collect();
        let mut table = LineTable::new(&object.sources);
        let mut describe = |program| ProgramBtf {
            func_info: func_info(&mut types, program),
            line_info: table.line_info(&mut types, program),
        };
        let programs = object.programs.iter().map(&mut describe).collect();
        ObjectBtf {
            btf: types.to_bytes(),
            programs,
            maps,
        }
    }
}

fn func_info(types: &mut Types, program: &Program) -> Vec<[u32; 2]> {
    let functions = program.functions.iter();
    functions
        .map(|function| {
            let name = identifier(&function.name);
            let id = function_type(types, &name, function.signature);
            [function.first_insn, id.0]
        })
        .collect()
}

/// Describes one function.
pub(crate) fn function_type(types: &mut Types, name: &str, signature: Signature) -> TypeId {
    let pointer = types.pointer(TypeId::VOID);
    let (result, parameters) = match signature {
        Signature::Main => (types.int("int", 4, true), vec![("ctx", pointer)]),
        Signature::LoopCallback => {
            let index = types.int("__u64", 8, false);
            let result = types.int("long", 8, true);
            (result, vec![("index", index), ("ctx", pointer)])
        }
        Signature::MapCallback => {
            let names = ["map", "key", "value", "ctx"];
            let parameters = names.map(|name| (name, pointer)).to_vec();
            (types.int("long", 8, true), parameters)
        }
    };
    let prototype = types.function_prototype(result, &parameters);
    types.function(name, prototype)
}

/// The name with everything that a C identifier cannot have replaced by `_`; at most 127 bytes as in the kernel.
pub(crate) fn identifier(name: &str) -> String {
    let mut clean: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .take(127)
        .collect();
    if clean.is_empty() || clean.starts_with(|c: char| c.is_ascii_digit()) {
        clean.insert(0, '_');
        clean.truncate(127);
    }
    clean
}

#[cfg(test)]
pub(crate) mod tests;
