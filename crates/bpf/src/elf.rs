//! Writes an [`Object`] as a relocatable ELF file that libbpf and everything built on it can load.
//!
//! ```text
//! .text               subprograms of all programs (libbpf takes static functions only from here)
//! tracepoint/cat/ev   programs, one section per kind and target; equal names share a section
//! .rel*               where addresses of maps and functions go
//! .maps               one variable per map, its definition told by BTF
//! .rodata.* .data.*   maps whose values programs address directly
//! license .BTF .BTF.ext .symtab .strtab
//! ```
//!
//! What an ELF file cannot carry: actions, error sites, cookies and more than one attach point per program. A program
//! with several attach points gets the bare section name, so that its user chooses where to attach.

mod code;
mod file;
mod maps;
mod section_name;

use std::collections::BTreeSet;

use crate::btf_writer::{Types, identifier};
use crate::object::Object;
use file::{ElfFile, Section, Symbol, SymbolKind};

/// An object that has no form as ELF.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ElfError {
    /// libbpf gives either the map or its value to a program.
    #[error(
        "map `{map}` is used both as a map and by the address of its value; ELF loaders allow one of them"
    )]
    MapUsedBothWays {
        /// Its name.
        map: String,
    },
    /// A relocation that names what does not exist or stands where nothing can be put.
    #[error("program `{program}`: relocation at slot {slot} does not fit")]
    Relocation {
        /// Its name.
        program: String,
        /// Slot it names.
        slot: u32,
    },
    /// Functions do not follow each other within the program.
    #[error("program `{program}`: its functions do not cover its instructions")]
    Functions {
        /// Its name.
        program: String,
    },
}

/// The file's bytes.
pub fn write(object: &Object) -> Result<Vec<u8>, ElfError> {
    let mut names = Names::default();
    let mut types = Types::new();
    let mut file = ElfFile::default();

    let map_places = maps::place(object, &mut names)?;
    let code = code::arrange(object, &mut types, &mut names)?;
    let code_sections = code.add_sections(&mut file);
    let map_symbols = maps::add_sections(object, &map_places, &mut types, &mut file);
    code.add_relocations(&mut file, &code_sections, &map_symbols);

    let mut license = object.license.clone().into_bytes();
    license.push(0);
    file.add(Section::data("license", license));
    file.add(Section::debug(".BTF", types.to_bytes()));
    file.add(Section::debug(".BTF.ext", code.btf_ext()));
    Ok(file.finish())
}

/// Symbol names given so far.
#[derive(Default)]
struct Names(BTreeSet<String>);

impl Names {
    /// The name as a C identifier that no one else has.
    fn unique(&mut self, name: &str) -> String {
        let clean = identifier(name);
        let mut candidate = clean.clone();
        let mut number = 2;
        while !self.0.insert(candidate.clone()) {
            candidate = format!("{clean}_{number}");
            number += 1;
        }
        candidate
    }
}

#[cfg(test)]
mod tests;
