//! Maps in an ELF file: definitions in `.maps`, or sections whose contents become a map's value.

use super::file::SymbolIndex;
use super::{ElfError, ElfFile, Names, Object, Section, Symbol, SymbolKind};
use crate::btf_writer::{Member, SectionVariable, TypeId, Types, map_types};
use crate::map::{Map, MapRole};
use crate::object::RelocationKind;

/// Where one map goes, with its symbol's name.
pub(super) enum MapPlace {
    /// A variable in `.maps`.
    Definition(String),
    /// A section of its own.
    Value(String),
}

/// Decides for each map by how programs use it.
pub(super) fn place(object: &Object, names: &mut Names) -> Result<Vec<MapPlace>, ElfError> {
    let mut as_map = vec![false; object.maps.len()];
    let mut as_value = vec![false; object.maps.len()];
    for program in &object.programs {
        for relocation in &program.relocations {
            let (uses, map) = match relocation.kind {
                RelocationKind::Map(map) => (&mut as_map, map),
                RelocationKind::MapValue { map, .. } => (&mut as_value, map),
                _ => continue,
            };
            let used = uses.get_mut(map.0 as usize);
            *used.ok_or_else(|| ElfError::Relocation {
                program: program.name.clone(),
                slot: relocation.insn,
            })? = true;
        }
    }
    let mut places = Vec::with_capacity(object.maps.len());
    for (index, map) in object.maps.iter().enumerate() {
        if as_map[index] && as_value[index] {
            return Err(ElfError::MapUsedBothWays {
                map: map.name.clone(),
            });
        }
        let name = names.unique(&map.name);
        let is_constant = matches!(map.role, MapRole::ReadOnly(_)) && !as_map[index];
        places.push(match as_value[index] || is_constant {
            true => MapPlace::Value(name),
            false => MapPlace::Definition(name),
        });
    }
    Ok(places)
}

/// Adds the sections and a symbol per map.
pub(super) fn add_sections(
    object: &Object,
    places: &[MapPlace],
    types: &mut Types,
    file: &mut ElfFile,
) -> Vec<SymbolIndex> {
    let (definitions, size) = define(object, places, types);
    let maps_section = (size > 0).then(|| file.add(Section::data(".maps", vec![0; size as usize])));
    let mut symbols = Vec::with_capacity(places.len());
    for ((map, place), definition) in object.maps.iter().zip(places).zip(definitions) {
        let (name, section, value, size) = match (place, definition, maps_section) {
            (MapPlace::Definition(name), Some(variable), Some(section)) => {
                (name, section, variable.offset, variable.size)
            }
            (MapPlace::Definition(name) | MapPlace::Value(name), ..) => {
                let section = file.add(value_section(map, name));
                (name, section, 0, map.value_size)
            }
        };
        symbols.push(file.add_symbol(Symbol {
            name: name.clone(),
            kind: SymbolKind::GlobalObject,
            section,
            value: u64::from(value),
            size: u64::from(size),
        }));
    }
    symbols
}

/// libbpf knows data maps by the beginning of their section's name. Old releases (1.1) know `.data.*` and `.rodata.*`
/// but no `.bss.*`, so zeros are stored.
fn value_section(map: &Map, name: &str) -> Section {
    let size = map.value_size as usize;
    match &map.role {
        MapRole::ReadOnly(bytes) => {
            let mut bytes = bytes.clone();
            bytes.resize(size.max(bytes.len()), 0);
            Section::read_only(&format!(".rodata.{name}"), bytes)
        }
        _ => Section::data(&format!(".data.{name}"), vec![0; size]),
    }
}

/// BTF of `.maps`, per map its variable there, and the size of the section.
fn define(
    object: &Object,
    places: &[MapPlace],
    types: &mut Types,
) -> (Vec<Option<SectionVariable>>, u32) {
    let mut definitions = Vec::with_capacity(places.len());
    let mut size = 0;
    for (map, place) in object.maps.iter().zip(places) {
        let MapPlace::Definition(name) = place else {
            definitions.push(None);
            continue;
        };
        let (ty, ty_size) = definition_type(types, map);
        definitions.push(Some(SectionVariable {
            variable: types.variable(name, ty),
            offset: size,
            size: ty_size,
        }));
        size += ty_size;
    }
    let variables: Vec<SectionVariable> = definitions.iter().flatten().copied().collect();
    if !variables.is_empty() {
        types.section(".maps", size, &variables);
    }
    (definitions, size)
}

/// A structure whose members' types tell the map's attributes: a number is the length of an array pointed to.
fn definition_type(types: &mut Types, map: &Map) -> (TypeId, u32) {
    let int = types.int("int", 4, true);
    let number = |types: &mut Types, value: u32| {
        let array = types.array(int, value);
        types.pointer(array)
    };
    let mut attributes = vec![("type", number(types, map.kind.kernel_type()))];
    match map_types(types, map) {
        Some(pair) => {
            attributes.push(("key", types.pointer(pair.key)));
            attributes.push(("value", types.pointer(pair.value)));
        }
        None if map.key_size > 0 => {
            attributes.push(("key_size", number(types, map.key_size)));
            attributes.push(("value_size", number(types, map.value_size)));
        }
        None => {}
    }
    attributes.push(("max_entries", number(types, map.max_entries)));
    if map.flags != 0 {
        attributes.push(("map_flags", number(types, map.flags)));
    }
    let offsets = (0..).step_by(8);
    let members: Vec<Member> = attributes
        .iter()
        .zip(offsets)
        .map(|((name, ty), offset)| Member::new(name, *ty, offset))
        .collect();
    let size = members.len() as u32 * 8;
    (types.structure("", size, &members), size)
}
