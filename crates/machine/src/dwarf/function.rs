//! A function's parameters and return type.

use super::builder::Builder;
use super::location::Location;
use super::question::{Place, Question, Spot};
use super::site::{Site, Told, number};
use super::{AttributeValue, DebugInfo, TypeGraph, TypeIndex};
use crate::{Address, Result};

/// Parameters taken of one function.
const MAX_PARAMETERS: usize = 256;

/// What debug information says about a function.
#[derive(Debug, Clone)]
pub struct DebugFunction {
    /// Its name in the source, without namespaces.
    pub name: String,
    /// Its mangled name, when it has one.
    pub linkage_name: Option<String>,
    /// What it is written in.
    pub language: Language,
    /// Address of its first instruction.
    pub address: Address,
    /// Its parameters in order of the source.
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
    /// Where it is at the function's first instruction.
    pub location: Location,
    /// Whether `location` is told once for the whole function. Then compilers mean the place where the prologue puts it, and it
    /// is to be trusted only behind that (see [`DebugInfo::after_prologue`]) unless `is_valid_at_entry`.
    pub is_valid_everywhere: bool,
    /// Whether `location` holds at the first instruction. Parameters of unoptimised code do not: the prologue stores them.
    pub is_valid_at_entry: bool,
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

/// What a function is written in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Language {
    /// C.
    C,
    /// C++.
    Cpp,
    /// Rust.
    Rust,
    /// Go.
    Go,
    /// Another one, or none is told.
    #[default]
    Other,
}

impl DebugInfo {
    /// The function whose code starts at an address of the binary; `None` when it is not described.
    pub fn function_at(&self, address: Address) -> Result<Option<DebugFunction>> {
        let question = Question::new(self)?;
        let Some(unit) = question.unit_at(address)? else {
            return Ok(None);
        };
        let functions = self.outline(&question, &unit).map_err(self.malformed())?;
        let Some(offset) = functions.starting_at(address) else {
            return Ok(None);
        };
        question
            .entry(&unit, offset)
            .and_then(|place| describe(&question, &place, address))
            .map(Some)
            .map_err(self.malformed())
    }
}

fn describe<'a>(
    question: &Question<'a>,
    function: &Place<'a>,
    address: Address,
) -> gimli::Result<DebugFunction> {
    let mut builder = Builder::new(question);
    let site = Site::new(question, function, address, address);
    let (parameters, is_variadic) = parameters(question, function, &site, &mut builder)?;
    let return_type = return_type(question, function, &mut builder)?;
    let language = language(question, function)?;
    Ok(DebugFunction {
        name: question
            .text_of(function, gimli::DW_AT_name)?
            .unwrap_or_default(),
        linkage_name: question.text_of(function, gimli::DW_AT_linkage_name)?,
        language,
        address,
        parameters,
        return_type,
        is_variadic,
        types: builder.finish(language)?,
    })
}

/// The parameters, and whether `...` follows.
pub(super) fn parameters<'a>(
    question: &Question<'a>,
    function: &Place<'a>,
    site: &Site<'_, 'a>,
    builder: &mut Builder<'_, 'a>,
) -> gimli::Result<(Vec<Parameter>, bool)> {
    let children = question.children(function, MAX_PARAMETERS, is_parameter)?;
    let children = in_order(question, function, children)?;
    let is_named = |child: &&Place<'a>| child.entry.tag() == gimli::DW_TAG_formal_parameter;
    let mut found = Vec::new();
    for child in children.iter().filter(is_named) {
        found.push(parameter(question, child, site, builder)?);
    }
    Ok((found, children.iter().any(|child| !is_named(&child))))
}

/// Compilers leave parameters without a place out of copies of a function, or put them last. The description of the function
/// itself has all of them in order.
fn in_order<'a>(
    question: &Question<'a>,
    function: &Place<'a>,
    children: Vec<Place<'a>>,
) -> gimli::Result<Vec<Place<'a>>> {
    let origin = function.own(gimli::DW_AT_abstract_origin);
    let origin = origin.and_then(|origin| question.target(&function.unit, origin));
    let described = origin.map(|origin| question.place(origin)).transpose()?;
    let Some(described) = described.flatten() else {
        return Ok(children);
    };
    let of = |child: &Place<'a>| {
        let origin = child.own(gimli::DW_AT_abstract_origin)?;
        question.target(&child.unit, origin)
    };
    let mut left: Vec<(Option<Spot>, Place<'a>)> = children
        .into_iter()
        .map(|child| (of(&child), child))
        .collect();
    let mut ordered = Vec::new();
    for described in question.children(&described, MAX_PARAMETERS, is_parameter)? {
        let wanted = Some(described.spot());
        let copy = left.iter().position(|(origin, _)| *origin == wanted);
        ordered.push(copy.map_or(described, |copy| left.remove(copy).1));
    }
    // What only the copy has.
    let is_new = |place: &Place<'a>| place.entry.tag() == gimli::DW_TAG_formal_parameter;
    ordered.extend(left.into_iter().map(|(_, child)| child).filter(is_new));
    Ok(ordered)
}

fn is_parameter(tag: gimli::DwTag) -> bool {
    matches!(
        tag,
        gimli::DW_TAG_formal_parameter | gimli::DW_TAG_unspecified_parameters
    )
}

fn parameter<'a>(
    question: &Question<'a>,
    place: &Place<'a>,
    site: &Site<'_, 'a>,
    builder: &mut Builder<'_, 'a>,
) -> gimli::Result<Parameter> {
    let told = site.location(place);
    let constant = place
        .own(gimli::DW_AT_const_value)
        .as_ref()
        .and_then(number);
    let presence = match (constant, &told) {
        (Some(number), _) => Presence::Constant(number),
        // A list that leaves the first instruction out still is a location.
        (None, Some(told)) if told.location != Location::Absent || !told.is_valid_everywhere => {
            Presence::Located
        }
        (None, _) => Presence::Absent,
    };
    let told = told.unwrap_or_else(Told::absent);
    Ok(Parameter {
        name: question
            .text_of(place, gimli::DW_AT_name)?
            .unwrap_or_default(),
        type_index: type_of(question, place, builder)?,
        presence,
        location: told.location,
        is_valid_everywhere: told.is_valid_everywhere,
        is_valid_at_entry: told.is_valid_at_entry,
        is_result: is_result(place),
    })
}

/// Go's results are parameters with a mark.
pub(super) fn is_result(place: &Place<'_>) -> bool {
    matches!(
        place.own(gimli::DW_AT_variable_parameter),
        Some(gimli::AttributeValue::Flag(true))
    )
}

/// The type of a parameter or variable.
pub(super) fn type_of<'a>(
    question: &Question<'a>,
    place: &Place<'a>,
    builder: &mut Builder<'_, 'a>,
) -> gimli::Result<TypeIndex> {
    let found = question.owner(place, gimli::DW_AT_type)?;
    Ok(match found {
        Some((unit, value)) => builder.reference(&unit, value),
        None => builder.void(),
    })
}

/// What a function returns.
pub(super) fn return_type<'a>(
    question: &Question<'a>,
    function: &Place<'a>,
    builder: &mut Builder<'_, 'a>,
) -> gimli::Result<Option<TypeIndex>> {
    let found = question.owner(function, gimli::DW_AT_type)?;
    Ok(found.map(|(unit, value)| builder.reference(&unit, value)))
}

/// The language of the unit that declares the function; units that several share may have none.
pub(super) fn language<'a>(
    question: &Question<'a>,
    function: &Place<'a>,
) -> gimli::Result<Language> {
    let named = question.owner(function, gimli::DW_AT_name)?;
    let declaring = named.map(|(unit, _)| unit);
    for unit in declaring.iter().chain([&function.unit]) {
        let root = question.entry(unit, unit.unit.header.root_offset())?;
        let told = language_of(root.own(gimli::DW_AT_language));
        if told != Language::Other {
            return Ok(told);
        }
    }
    Ok(Language::Other)
}

fn language_of(attribute: Option<AttributeValue<'_>>) -> Language {
    let Some(gimli::AttributeValue::Language(language)) = attribute else {
        return Language::Other;
    };
    match language {
        gimli::DW_LANG_C89 | gimli::DW_LANG_C | gimli::DW_LANG_C99 => Language::C,
        gimli::DW_LANG_C11 | gimli::DW_LANG_C17 => Language::C,
        gimli::DW_LANG_C_plus_plus
        | gimli::DW_LANG_C_plus_plus_03
        | gimli::DW_LANG_C_plus_plus_11
        | gimli::DW_LANG_C_plus_plus_14
        | gimli::DW_LANG_C_plus_plus_17
        | gimli::DW_LANG_C_plus_plus_20 => Language::Cpp,
        gimli::DW_LANG_Rust => Language::Rust,
        gimli::DW_LANG_Go => Language::Go,
        _ => Language::Other,
    }
}
