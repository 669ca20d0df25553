//! Programs in an ELF file: main functions by section, subprograms together in `.text`, and `.BTF.ext`.

use super::file::{ElfRelocation, RelocationType, SectionIndex, SymbolIndex};
use super::section_name::section_name;
use super::{ElfError, ElfFile, Names, Object, Section, Symbol, SymbolKind};
use crate::btf_writer::{LineTable, Types, function_type};
use crate::insn::{Insn, Operation, to_bytes};
use crate::object::{Program, ProgramId, Relocation, RelocationKind};

const TEXT: &str = ".text";

/// Code of a whole object.
pub(super) struct Code {
    /// `.text` first, even when it stays empty.
    sections: Vec<CodeSection>,
}

#[derive(Default)]
struct CodeSection {
    name: String,
    /// Offset of `name` in BTF's strings.
    btf_name: u32,
    insns: Vec<Insn>,
    functions: Vec<CodeFunction>,
    references: Vec<Reference>,
    func_info: Vec<[u32; 2]>,
    line_info: Vec<[u32; 4]>,
}

struct CodeFunction {
    name: String,
    first_slot: usize,
    slots: usize,
}

/// Slot of this section that waits for an address.
struct Reference {
    slot: usize,
    target: Target,
}

enum Target {
    /// Index of a map.
    Map(usize),
    /// A call into `.text`; the immediate says where.
    TextCall,
    /// An address in `.text`; the immediate says which.
    TextAddress,
}

/// Where a function of the program at hand went.
#[derive(Clone, Copy)]
struct FunctionPlace {
    section: usize,
    /// Where it begins there.
    slot: usize,
    /// Where it begins in the program.
    first_insn: usize,
    end_insn: usize,
}

/// Distributes all functions over sections.
pub(super) fn arrange(
    object: &Object,
    types: &mut Types,
    names: &mut Names,
) -> Result<Code, ElfError> {
    let mut code = Code {
        sections: vec![CodeSection {
            name: TEXT.into(),
            btf_name: types.string(TEXT),
            ..CodeSection::default()
        }],
    };
    let mut lines = LineTable::new(&object.sources);
    for (index, program) in object.programs.iter().enumerate() {
        let name = section_name(object, ProgramId(index as u32), program);
        let section = code.section(&name, types);
        let places = code.place_functions(program, section, types, names)?;
        for relocation in &program.relocations {
            code.relocate(program, &places, relocation)?;
        }
        for record in lines.line_info(types, program) {
            code.add_line(&places, record);
        }
    }
    Ok(code)
}

impl Code {
    /// Index of the section of that name, made if new.
    fn section(&mut self, name: &str, types: &mut Types) -> usize {
        let known = self
            .sections
            .iter()
            .position(|section| section.name == name);
        known.unwrap_or_else(|| {
            self.sections.push(CodeSection {
                name: name.to_owned(),
                btf_name: types.string(name),
                ..CodeSection::default()
            });
            self.sections.len() - 1
        })
    }

    fn place_functions(
        &mut self,
        program: &Program,
        main_section: usize,
        types: &mut Types,
        names: &mut Names,
    ) -> Result<Vec<FunctionPlace>, ElfError> {
        let mut places = Vec::with_capacity(program.functions.len());
        for (index, (first_insn, end_insn)) in function_ranges(program)?.into_iter().enumerate() {
            let function = &program.functions[index];
            let is_main = index == 0;
            let (section, name) = if is_main {
                (main_section, &program.name)
            } else {
                (0, &function.name)
            };
            let name = names.unique(name);
            let target = &mut self.sections[section];
            let slot = target.insns.len();
            let ty = function_type(types, &name, function.signature);
            target.func_info.push([slot as u32 * 8, ty.0]);
            target.insns.extend(&program.insns[first_insn..end_insn]);
            target.functions.push(CodeFunction {
                name,
                first_slot: slot,
                slots: end_insn - first_insn,
            });
            places.push(FunctionPlace {
                section,
                slot,
                first_insn,
                end_insn,
            });
        }
        Ok(places)
    }

    fn relocate(
        &mut self,
        program: &Program,
        places: &[FunctionPlace],
        relocation: &Relocation,
    ) -> Result<(), ElfError> {
        let misfit = || ElfError::Relocation {
            program: program.name.clone(),
            slot: relocation.insn,
        };
        let (section, slot) = find(places, relocation.insn).ok_or_else(misfit)?;
        // Only subprograms lie in `.text`; the main function cannot be called.
        let function_slot = |index: u32| match (index, places.get(index as usize)) {
            (1.., Some(place)) => Ok(place.slot as i32),
            _ => Err(misfit()),
        };
        let operation = Operation::decode(&program.insns, relocation.insn as usize);
        let insns = &mut self.sections[section].insns;
        let target = match (relocation.kind, operation) {
            (RelocationKind::FunctionCall(index), Ok(Operation::CallFunction { .. })) => {
                insns[slot] = Insn::call_function(function_slot(index)? - 1);
                Target::TextCall
            }
            (kind, Ok(Operation::LoadImm64 { dst, .. })) => {
                let (target, addend) = match kind {
                    RelocationKind::Map(map) => (Target::Map(map.0 as usize), 0),
                    RelocationKind::MapValue { map, offset } => {
                        (Target::Map(map.0 as usize), offset)
                    }
                    RelocationKind::FunctionAddress(index) => {
                        (Target::TextAddress, function_slot(index)? as u32 * 8)
                    }
                    RelocationKind::FunctionCall(_) => return Err(misfit()),
                };
                insns[slot..slot + 2].copy_from_slice(&Insn::load_imm64(dst, u64::from(addend)));
                target
            }
            _ => return Err(misfit()),
        };
        self.sections[section]
            .references
            .push(Reference { slot, target });
        Ok(())
    }

    fn add_line(&mut self, places: &[FunctionPlace], record: [u32; 4]) {
        let [insn, rest @ ..] = record;
        if let Some((section, slot)) = find(places, insn) {
            let [file, line, column] = rest;
            let record = [slot as u32 * 8, file, line, column];
            self.sections[section].line_info.push(record);
        }
    }

    /// Adds the sections with code and their symbols. The result is parallel to the sections here.
    pub(super) fn add_sections(&self, file: &mut ElfFile) -> Vec<Option<CodePlace>> {
        let mut places = Vec::with_capacity(self.sections.len());
        for section in &self.sections {
            if section.insns.is_empty() {
                places.push(None);
                continue;
            }
            let is_text = section.name == TEXT;
            let index = file.add(Section::code(&section.name, to_bytes(&section.insns)));
            let symbol = file.add_symbol(Symbol {
                name: String::new(),
                kind: SymbolKind::Section,
                section: index,
                value: 0,
                size: 0,
            });
            for function in &section.functions {
                file.add_symbol(Symbol {
                    name: function.name.clone(),
                    kind: if is_text {
                        SymbolKind::LocalFunction
                    } else {
                        SymbolKind::GlobalFunction
                    },
                    section: index,
                    value: function.first_slot as u64 * 8,
                    size: function.slots as u64 * 8,
                });
            }
            places.push(Some(CodePlace { index, symbol }));
        }
        places
    }

    /// Adds the relocations of all sections.
    pub(super) fn add_relocations(
        &self,
        file: &mut ElfFile,
        places: &[Option<CodePlace>],
        maps: &[SymbolIndex],
    ) {
        let Some(text) = places.first() else { return };
        for (section, place) in self.sections.iter().zip(places) {
            let Some(place) = place else { continue };
            let records = section.references.iter().filter_map(|reference| {
                let (symbol, kind) = match reference.target {
                    Target::Map(map) => (maps[map], RelocationType::Address),
                    Target::TextCall => (text.as_ref()?.symbol, RelocationType::Call),
                    Target::TextAddress => (text.as_ref()?.symbol, RelocationType::Address),
                };
                Some(ElfRelocation {
                    offset: reference.slot as u64 * 8,
                    symbol,
                    kind,
                })
            });
            file.add_relocations(place.index, records.collect());
        }
    }

    /// `.BTF.ext`: a header, then function and line records by section.
    pub(super) fn btf_ext(&self) -> Vec<u8> {
        let functions = records(8, &self.sections, |section| &section.func_info);
        let lines = records(16, &self.sections, |section| &section.line_info);
        let mut out = 0xeb9f_u16.to_ne_bytes().to_vec();
        out.extend([1, 0]);
        let (functions_length, lines_length) = (functions.len() as u32 * 4, lines.len() as u32 * 4);
        let header = [24, 0, functions_length, functions_length, lines_length];
        let words = header.into_iter().chain(functions).chain(lines);
        out.extend(words.flat_map(u32::to_ne_bytes));
        out
    }
}

/// A section of code in the file.
pub(super) struct CodePlace {
    index: SectionIndex,
    /// Its section symbol.
    symbol: SymbolIndex,
}

fn records<const N: usize>(
    record_size: u32,
    sections: &[CodeSection],
    of: impl Fn(&CodeSection) -> &Vec<[u32; N]>,
) -> Vec<u32> {
    let mut out = vec![record_size];
    for section in sections {
        let records = of(section);
        if !records.is_empty() {
            out.extend([section.btf_name, records.len() as u32]);
            out.extend(records.iter().flatten());
        }
    }
    out
}

/// Slots of each function: from its start to the start of the next.
fn function_ranges(program: &Program) -> Result<Vec<(usize, usize)>, ElfError> {
    let starts = program
        .functions
        .iter()
        .map(|function| function.first_insn as usize);
    let ends = starts.clone().skip(1).chain([program.insns.len()]);
    let ranges: Vec<(usize, usize)> = starts.zip(ends).collect();
    let begins_at_zero = ranges.first().is_some_and(|(start, _)| *start == 0);
    if !begins_at_zero
        || ranges.iter().any(|(start, end)| start >= end)
        || ranges
            .last()
            .is_some_and(|(_, end)| *end > program.insns.len())
    {
        return Err(ElfError::Functions {
            program: program.name.clone(),
        });
    }
    Ok(ranges)
}

/// Section and slot there of a slot of the program.
fn find(places: &[FunctionPlace], insn: u32) -> Option<(usize, usize)> {
    let insn = insn as usize;
    let place = places
        .iter()
        .find(|place| (place.first_insn..place.end_insn).contains(&insn))?;
    Some((place.section, place.slot + insn - place.first_insn))
}
