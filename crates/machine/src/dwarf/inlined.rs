//! Functions by name without a symbol table, and the copies of them that compilers put into others.

use super::builder::Builder;
use super::function::{Parameter, language, parameters};
use super::question::{MAX_ORIGINS, Place, Question, Spot};
use super::scope::first_address;
use super::search::Wanted;
use super::site::Site;
use super::unit::for_each_range;
use super::{DebugInfo, Language, TypeGraph};
use crate::pattern::Pattern;
use crate::{Address, Result};

/// Copies described at most.
const MAX_COPIES: usize = 20_000;

/// A function that has code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedFunction {
    /// Its name in the source, with namespaces.
    pub name: String,
    /// Its mangled name, when it has one.
    pub linkage_name: Option<String>,
    /// Address of its first instruction.
    pub address: Address,
    /// What it is written in.
    pub language: Language,
}

/// The inlined copies of functions.
#[derive(Debug, Clone, Default)]
pub struct InlinedCopies {
    /// In order of address.
    pub copies: Vec<InlinedCopy>,
    /// The types of their parameters.
    pub types: TypeGraph,
    /// Whether there are more than are described here.
    pub is_cut: bool,
}

/// A copy of a function within another. Compilers also fold copies away without a trace, and execute one for several rounds of
/// a loop, so that counting entries gives a lower bound of calls.
#[derive(Debug, Clone)]
pub struct InlinedCopy {
    /// The inlined function.
    pub name: String,
    /// Where it is entered.
    pub entry: Address,
    /// Its instructions, each range from its first to behind its last. None when it has become part of others.
    pub ranges: Vec<(Address, Address)>,
    /// Its parameters, with their places at `entry`.
    pub parameters: Vec<Parameter>,
    /// The function whose code it is part of.
    pub into: String,
    /// Where that function starts.
    pub into_entry: Address,
    /// The line of the call.
    pub call_line: Option<u64>,
    /// The file of the call.
    pub call_file: Option<String>,
}

impl DebugInfo {
    /// Functions whose name, mangled name or name with namespaces matches, in order of address. All units are read.
    pub fn functions_named(&self, pattern: &Pattern) -> Result<Vec<NamedFunction>> {
        let found = self.search(&Wanted::named(pattern))?;
        let question = Question::new(self)?;
        let mut functions = Vec::new();
        for spot in found.functions {
            // One that cannot be read does not spoil the others.
            if let Ok(Some(function)) = named(&question, spot) {
                functions.push(function);
            }
        }
        functions.sort_by_key(|function| function.address);
        functions.dedup_by_key(|function| function.address);
        Ok(functions)
    }

    /// Inlined copies of the functions whose name, mangled name or name with namespaces matches. All units are read.
    pub fn inlined_copies(&self, pattern: &Pattern) -> Result<InlinedCopies> {
        self.copies(&Wanted::named(pattern))
    }

    /// Inlined copies of the function that also exists by itself, at an address.
    pub fn inlined_copies_of(&self, function: Address) -> Result<InlinedCopies> {
        let question = Question::new(self)?;
        let Some(unit) = question.unit_at(function)? else {
            return Ok(InlinedCopies::default());
        };
        let outline = self.outline(&question, &unit).map_err(self.malformed())?;
        let Some(offset) = outline.starting_at(function) else {
            return Ok(InlinedCopies::default());
        };
        let wanted = question
            .entry(&unit, offset)
            .and_then(|place| same(&question, &place));
        self.copies(&wanted.map_err(self.malformed())?)
    }

    fn copies(&self, wanted: &Wanted<'_>) -> Result<InlinedCopies> {
        let found = self.search(wanted)?;
        let question = Question::new(self)?;
        let mut builder = Builder::new(&question);
        let mut copies = Vec::new();
        for (spot, inside) in found.inlined.iter().take(MAX_COPIES) {
            if let Ok(Some(copy)) = copy(&question, *spot, *inside, &mut builder) {
                copies.push(copy);
            }
        }
        copies.sort_by_key(|copy| copy.entry);
        let first = found.inlined.first().map(|(spot, _)| *spot);
        let language = match first.map(|spot| question.place(spot)) {
            Some(Ok(Some(place))) => language(&question, &place).unwrap_or_default(),
            _ => Language::Other,
        };
        Ok(InlinedCopies {
            copies,
            types: builder.finish(language).map_err(self.malformed())?,
            is_cut: found.inlined.len() > MAX_COPIES,
        })
    }
}

fn named(question: &Question<'_>, spot: Spot) -> gimli::Result<Option<NamedFunction>> {
    let Some(place) = question.place(spot)? else {
        return Ok(None);
    };
    let Some(address) = first_address(&place).filter(|address| address.0 != 0) else {
        return Ok(None);
    };
    Ok(Some(NamedFunction {
        name: qualified(question, &place)?,
        linkage_name: question.text_of(&place, gimli::DW_AT_linkage_name)?,
        address,
        language: language(question, &place)?,
    }))
}

/// A function's name with its namespaces, which those have that declare it.
fn qualified<'a>(question: &Question<'a>, function: &Place<'a>) -> gimli::Result<String> {
    let mut declared = function.clone();
    for _ in 0..MAX_ORIGINS {
        if declared.own(gimli::DW_AT_name).is_some() {
            break;
        }
        let Some(next) = question.origin(&declared)? else {
            break;
        };
        declared = next;
    }
    let name = question.text_of(&declared, gimli::DW_AT_name)?;
    let (scope, name) = (question.scope_of(&declared)?, name.unwrap_or_default());
    Ok(match scope.is_empty() {
        true => name,
        false => format!("{scope}::{name}"),
    })
}

fn same<'a>(question: &Question<'a>, function: &Place<'a>) -> gimli::Result<Wanted<'static>> {
    let name = question.text_of(function, gimli::DW_AT_name)?;
    let line = question.owner(function, gimli::DW_AT_decl_line)?;
    Ok(Wanted::Same {
        name: name.unwrap_or_default(),
        linkage_name: question.text_of(function, gimli::DW_AT_linkage_name)?,
        line: line.and_then(|(_, line)| line.udata_value()),
    })
}

/// Nothing for copies without code.
fn copy<'a>(
    question: &Question<'a>,
    spot: Spot,
    inside: Spot,
    builder: &mut Builder<'_, 'a>,
) -> gimli::Result<Option<InlinedCopy>> {
    let (Some(place), Some(function)) = (question.place(spot)?, question.place(inside)?) else {
        return Ok(None);
    };
    let mut ranges = Vec::new();
    for_each_range(
        &place.unit.dwarf,
        &place.unit.unit,
        &place.entry,
        |start, end| ranges.push((Address(start), Address(end))),
    );
    let Some(entry) = entry_of(&place, &ranges).filter(|entry| entry.0 != 0) else {
        return Ok(None);
    };
    ranges.retain(|(start, end)| start < end);
    let into_entry = first_address(&function).unwrap_or(entry);
    let site = Site::new(question, &function, into_entry, entry);
    let number = |name| place.own(name).and_then(|value| value.udata_value());
    Ok(Some(InlinedCopy {
        name: qualified(question, &place)?,
        entry,
        parameters: parameters(question, &place, &site, builder)?.0,
        ranges,
        into: qualified(question, &function)?,
        into_entry,
        call_line: number(gimli::DW_AT_call_line),
        call_file: call_file(&place),
    }))
}

/// The told entry, else the start of the first range.
fn entry_of(place: &Place<'_>, ranges: &[(Address, Address)]) -> Option<Address> {
    let first = ranges.first().map(|(start, _)| *start);
    let Some(told) = place.own(gimli::DW_AT_entry_pc) else {
        return first;
    };
    match place.unit.dwarf.attr_address(&place.unit.unit, told) {
        Ok(Some(address)) => Some(Address(address)),
        // Since DWARF 5 it may be counted from the start.
        _ => Some(Address(first?.0.wrapping_add(told.udata_value()?))),
    }
}

fn call_file(place: &Place<'_>) -> Option<String> {
    let number = match place.own(gimli::DW_AT_call_file)? {
        gimli::AttributeValue::FileIndex(number) => number,
        other => other.udata_value()?,
    };
    let lines = place.unit.with_lines();
    let header = lines.unit.line_program.as_ref()?.header();
    let file = header.file(number)?;
    let name = lines.text(file.path_name());
    let folder = file
        .directory(header)
        .map(|folder| lines.text(folder))
        .filter(|folder| !folder.is_empty() && !name.starts_with('/'));
    Some(match folder {
        Some(folder) => format!("{folder}/{name}"),
        None => name,
    })
}
