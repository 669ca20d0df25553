//! The variables that exist at one instruction.

use super::builder::Builder;
use super::function::{Language, is_result, language, return_type, type_of};
use super::location::Location;
use super::members::DW_AT_GO_CLOSURE_OFFSET;
use super::question::{Place, Question};
use super::site::{Site, Told, constant_value};
use super::unit::for_each_range;
use super::{DebugInfo, TypeGraph, TypeIndex};
use crate::{Address, Result};

/// Variables taken of one function.
const MAX_VARIABLES: usize = 4096;

/// A function and its variables at one instruction.
#[derive(Debug, Clone)]
pub struct Scope {
    /// The function's name in the source, without namespaces.
    pub function: String,
    /// Its mangled name, when it has one.
    pub linkage_name: Option<String>,
    /// What it is written in.
    pub language: Language,
    /// Address of its first instruction.
    pub entry: Address,
    /// Parameters and variables of the function, of the blocks and of the inlined functions that the instruction is in; of
    /// several that have one name, the innermost.
    pub variables: Vec<Variable>,
    /// What the function returns; `None` for `void`.
    pub return_type: Option<TypeIndex>,
    /// The types the indices mean.
    pub types: TypeGraph,
}

/// A variable at one instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name; empty when the source gives none.
    pub name: String,
    /// Its type.
    pub type_index: TypeIndex,
    /// Where it is.
    pub location: Location,
    /// Whether `location` is told once for the whole function, see [`super::Parameter::is_valid_everywhere`].
    pub is_valid_everywhere: bool,
    /// Whether it is a parameter.
    pub is_parameter: bool,
    /// Whether it stands for a result (Go).
    pub is_result: bool,
    /// The line that declares it. It has no value yet in lines before.
    pub line: Option<u64>,
    /// A variable that a Go closure captured: its place in the closure.
    pub closure_offset: Option<u64>,
    /// The inlined function it belongs to.
    pub inlined: Option<String>,
}

impl DebugInfo {
    /// The function that an instruction belongs to, with its variables there; `None` when none is described.
    pub fn variables_at(&self, pc: Address) -> Result<Option<Scope>> {
        let question = Question::new(self)?;
        let Some(unit) = question.unit_at(pc)? else {
            return Ok(None);
        };
        let functions = self.outline(&question, &unit);
        let Some(offset) = functions.map_err(self.malformed())?.covering(pc) else {
            return Ok(None);
        };
        question
            .entry(&unit, offset)
            .and_then(|function| scope(&question, &function, pc))
            .map(Some)
            .map_err(self.malformed())
    }
}

fn scope<'a>(question: &Question<'a>, function: &Place<'a>, pc: Address) -> gimli::Result<Scope> {
    let entry = first_address(function).unwrap_or(pc);
    let mut builder = Builder::new(question);
    let mut walk = Walk {
        question,
        site: Site::new(question, function, entry, pc),
        pc,
        inlined: Vec::new(),
        variables: Vec::new(),
    };
    walk.all(function, &mut builder)?;
    let variables = innermost(walk.variables);
    let return_type = return_type(question, function, &mut builder)?;
    let language = language(question, function)?;
    Ok(Scope {
        function: question
            .text_of(function, gimli::DW_AT_name)?
            .unwrap_or_default(),
        linkage_name: question.text_of(function, gimli::DW_AT_linkage_name)?,
        language,
        entry,
        variables,
        return_type,
        types: builder.finish(language)?,
    })
}

/// Where the code of an entry starts.
pub(super) fn first_address(place: &Place<'_>) -> Option<Address> {
    let mut first = None;
    for_each_range(
        &place.unit.dwarf,
        &place.unit.unit,
        &place.entry,
        |start, _| {
            first.get_or_insert(Address(start));
        },
    );
    first
}

/// Of variables with one name, the last.
fn innermost(variables: Vec<Variable>) -> Vec<Variable> {
    let mut seen = std::collections::HashSet::new();
    let mut kept: Vec<Variable> = variables
        .into_iter()
        .rev()
        .filter(|variable| variable.name.is_empty() || seen.insert(variable.name.clone()))
        .collect();
    kept.reverse();
    kept
}

struct Walk<'w, 'q, 'a> {
    question: &'q Question<'a>,
    site: Site<'w, 'a>,
    pc: Address,
    /// Inlined functions that the walk is in, with their depth.
    inlined: Vec<(isize, String)>,
    variables: Vec<Variable>,
}

impl<'a> Walk<'_, '_, 'a> {
    fn all(&mut self, function: &Place<'a>, builder: &mut Builder<'_, 'a>) -> gimli::Result<()> {
        let unit = &function.unit;
        let mut cursor = unit.unit.entries_at_offset(function.entry.offset())?;
        let top = cursor.next_dfs()?.map_or(0, |entry| entry.depth());
        // Depth of a block that does not have the instruction.
        let mut left_out = None;
        while let Some(entry) = cursor.next_dfs()? {
            self.question.budget.spend(entry.attrs().len())?;
            let depth = entry.depth();
            if depth <= top || self.variables.len() >= MAX_VARIABLES {
                break;
            }
            if left_out.is_some_and(|outer| depth > outer) {
                continue;
            }
            left_out = None;
            self.inlined.retain(|(outer, _)| *outer < depth);
            let place = Place {
                unit: unit.clone(),
                entry: entry.clone(),
            };
            match entry.tag() {
                gimli::DW_TAG_formal_parameter | gimli::DW_TAG_variable => {
                    self.variable(&place, builder)?;
                }
                gimli::DW_TAG_lexical_block
                | gimli::DW_TAG_try_block
                | gimli::DW_TAG_catch_block
                    if self.covers(&place) => {}
                gimli::DW_TAG_inlined_subroutine if self.covers(&place) => {
                    let name = self.question.text_of(&place, gimli::DW_AT_name)?;
                    self.inlined.push((depth, name.unwrap_or_default()));
                }
                _ => left_out = Some(depth),
            }
        }
        Ok(())
    }

    fn covers(&self, place: &Place<'a>) -> bool {
        let mut is_inside = false;
        for_each_range(
            &place.unit.dwarf,
            &place.unit.unit,
            &place.entry,
            |start, end| {
                is_inside |= start <= self.pc.0 && self.pc.0 < end;
            },
        );
        is_inside
    }

    fn variable(&mut self, place: &Place<'a>, builder: &mut Builder<'_, 'a>) -> gimli::Result<()> {
        // Declarations of variables that are elsewhere.
        if place.own(gimli::DW_AT_declaration).is_some() {
            return Ok(());
        }
        let told = match self.site.location(place) {
            Some(told) => told,
            None => Told {
                location: self.constant_of_origin(place)?,
                ..Told::absent()
            },
        };
        let line = self.question.owner(place, gimli::DW_AT_decl_line)?;
        self.variables.push(Variable {
            name: self
                .question
                .text_of(place, gimli::DW_AT_name)?
                .unwrap_or_default(),
            type_index: type_of(self.question, place, builder)?,
            location: told.location,
            is_valid_everywhere: told.is_valid_everywhere,
            is_parameter: place.entry.tag() == gimli::DW_TAG_formal_parameter,
            is_result: is_result(place),
            line: line.and_then(|(_, line)| line.udata_value()),
            closure_offset: place
                .own(DW_AT_GO_CLOSURE_OFFSET)
                .and_then(|offset| offset.udata_value()),
            inlined: self.inlined.last().map(|(_, name)| name.clone()),
        });
        Ok(())
    }

    /// A constant may be told once for all copies of an inlined function.
    fn constant_of_origin(&self, place: &Place<'a>) -> gimli::Result<Location> {
        let found = self.question.owner(place, gimli::DW_AT_const_value)?;
        Ok(match found {
            Some((unit, value)) => constant_value(&unit, value),
            None => Location::Absent,
        })
    }
}
