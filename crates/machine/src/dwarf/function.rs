//! A function's parameters and return type.

use super::graph::{Builder, TypeGraph, TypeIndex};
use super::unit::for_each_range;
use super::{AttributeValue, Budget, DebugInfo, Dwarf, Entry, Unit};
use crate::{Address, Result};
use gimli::UnitOffset;

/// Parameters taken of one function.
const MAX_PARAMETERS: usize = 256;
/// Steps from an inlined or cloned function to where it is described.
const MAX_ORIGINS: usize = 16;

/// What debug information says about a function.
#[derive(Debug, Clone)]
pub struct DebugFunction {
    /// Its name in the source, without namespaces.
    pub name: String,
    /// Its mangled name, when it has one.
    pub linkage_name: Option<String>,
    /// Address of its first instruction.
    pub address: Address,
    /// Its parameters in order of the ABI.
    pub parameters: Vec<Parameter>,
    /// What it returns; `None` for `void`.
    pub return_type: Option<TypeIndex>,
    /// Whether it takes `...`.
    pub is_variadic: bool,
    /// The types the indices mean.
    pub types: TypeGraph,
}

/// A parameter of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its name; the hidden first one of C++ methods is `this`. Empty when the source gives none.
    pub name: String,
    /// Its type.
    pub type_index: TypeIndex,
    /// Whether its value can be had.
    pub presence: Presence,
    /// Whether it stands for a result (Go).
    pub is_result: bool,
}

/// Whether a parameter's value exists at run time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// There is a location for it.
    Located,
    /// The compiler replaced it with this number.
    Constant(i64),
    /// There is no location: it was optimised out, or the function has no optimised body to describe.
    Absent,
}

impl DebugInfo {
    /// The function whose code starts at an address of the binary; `None` when it is not described.
    pub fn function_at(&self, address: Address) -> Result<Option<DebugFunction>> {
        let dwarf = self.dwarf()?;
        let Some(unit) = self.unit_at(&dwarf, address)? else {
            return Ok(None);
        };
        let mut budget = Budget::new();
        let found =
            find_subprogram(&dwarf, &unit, address, &mut budget).map_err(self.malformed())?;
        let Some(offset) = found else { return Ok(None) };
        describe(&dwarf, &unit, offset, address, budget)
            .map(Some)
            .map_err(self.malformed())
    }
}

/// Walks the unit's entries, reading attributes of functions only.
fn find_subprogram<'a>(
    dwarf: &Dwarf<'a>,
    unit: &Unit<'a>,
    wanted: Address,
    budget: &mut Budget,
) -> gimli::Result<Option<UnitOffset>> {
    let mut entries = unit.entries_raw(None)?;
    let mut entry = Entry::null();
    while !entries.is_empty() {
        let mut ahead = entries.clone();
        let Some(abbreviation) = ahead.read_abbreviation()? else {
            entries = ahead;
            continue;
        };
        budget.spend(abbreviation.attributes().len())?;
        if abbreviation.tag() != gimli::DW_TAG_subprogram {
            ahead.skip_attributes(abbreviation.attributes())?;
            entries = ahead;
            continue;
        }
        entries.read_entry(&mut entry)?;
        let mut starts_here = false;
        let mut is_first = true;
        for_each_range(dwarf, unit, &entry, |start, _| {
            // Of several ranges the first is where the function is entered.
            starts_here |= start == wanted.0 && is_first;
            is_first = false;
        });
        if starts_here {
            return Ok(Some(entry.offset()));
        }
    }
    Ok(None)
}

fn describe<'a>(
    dwarf: &Dwarf<'a>,
    unit: &Unit<'a>,
    offset: UnitOffset,
    address: Address,
    budget: Budget,
) -> gimli::Result<DebugFunction> {
    let mut builder = Builder::new(dwarf, unit, budget)?;
    let mut cursor = unit.entries_at_offset(offset)?;
    let root = cursor.next_dfs()?.cloned().unwrap_or_else(Entry::null);
    let mut function = DebugFunction {
        name: inherited(unit, &root, gimli::DW_AT_name)?
            .map(|v| text(dwarf, unit, v))
            .unwrap_or_default(),
        linkage_name: inherited(unit, &root, gimli::DW_AT_linkage_name)?
            .map(|v| text(dwarf, unit, v)),
        address,
        parameters: Vec::new(),
        return_type: None,
        is_variadic: false,
        types: TypeGraph::default(),
    };
    if let Some(value) = inherited(unit, &root, gimli::DW_AT_type)? {
        function.return_type = Some(builder.reference(unit, value));
    }
    while let Some(child) = cursor.next_dfs()? {
        builder.budget.spend(child.attrs().len())?;
        if child.depth() <= root.depth() || function.parameters.len() >= MAX_PARAMETERS {
            break;
        }
        // Parameters of nested scopes belong to those.
        if child.depth() > root.depth() + 1 {
            continue;
        }
        match child.tag() {
            gimli::DW_TAG_formal_parameter => {
                function
                    .parameters
                    .push(parameter(dwarf, unit, child, &mut builder)?)
            }
            gimli::DW_TAG_unspecified_parameters => function.is_variadic = true,
            _ => {}
        }
    }
    function.types = builder.finish()?;
    Ok(function)
}

fn parameter<'a>(
    dwarf: &Dwarf<'a>,
    unit: &Unit<'a>,
    entry: &Entry<'a>,
    builder: &mut Builder<'_, 'a>,
) -> gimli::Result<Parameter> {
    let name = inherited(unit, entry, gimli::DW_AT_name)?
        .map(|value| text(dwarf, unit, value))
        .unwrap_or_default();
    let type_index = match inherited(unit, entry, gimli::DW_AT_type)? {
        Some(value) => builder.reference(unit, value),
        None => builder.void(),
    };
    let constant = entry
        .attr_value(gimli::DW_AT_const_value)
        .and_then(|value| value.sdata_value());
    let presence = match (constant, entry.attr_value(gimli::DW_AT_location)) {
        (Some(number), _) => Presence::Constant(number),
        (None, Some(gimli::AttributeValue::Exprloc(expression))) if expression.0.is_empty() => {
            Presence::Absent
        }
        (None, Some(_)) => Presence::Located,
        (None, None) => Presence::Absent,
    };
    let is_result = matches!(
        entry.attr_value(gimli::DW_AT_variable_parameter),
        Some(gimli::AttributeValue::Flag(true))
    );
    Ok(Parameter {
        name,
        type_index,
        presence,
        is_result,
    })
}

/// An attribute of the entry, or of the declaration or abstract copy it refers to.
fn inherited<'a>(
    unit: &Unit<'a>,
    entry: &Entry<'a>,
    name: gimli::DwAt,
) -> gimli::Result<Option<AttributeValue<'a>>> {
    let mut entry = entry.clone();
    for _ in 0..MAX_ORIGINS {
        if let Some(value) = entry.attr_value(name) {
            return Ok(Some(value));
        }
        let origin = entry
            .attr_value(gimli::DW_AT_abstract_origin)
            .or_else(|| entry.attr_value(gimli::DW_AT_specification));
        entry = match origin {
            Some(gimli::AttributeValue::UnitRef(offset)) => unit.entry(offset)?,
            // Into another unit (link-time optimisation): offsets of the answer would be of that unit.
            _ => return Ok(None),
        };
    }
    Ok(None)
}

/// A string attribute; what cannot be read is empty.
pub(super) fn text<'a>(dwarf: &Dwarf<'a>, unit: &Unit<'a>, value: AttributeValue<'a>) -> String {
    const MAX_TEXT: usize = 64 << 10;
    let slice = dwarf
        .attr_string(unit, value)
        .map(|slice| slice.slice())
        .unwrap_or_default();
    String::from_utf8_lossy(&slice[..slice.len().min(MAX_TEXT)]).into_owned()
}
