//! Looking through all units for functions of a name, with their code and their inlined copies. Units are dealt out to all
//! processors; of each entry only what the answer needs is read.

use super::question::{OpenUnit, Place, Question, Spot};
use super::{AttributeValue, DebugInfo, Slice};
use crate::Result;
use crate::pattern::Pattern;
use gimli::UnitOffset;
use std::collections::HashSet;
use std::rc::Rc;

/// Inlined copies kept of one search.
const MAX_FOUND: usize = 100_000;
/// Steps from an inlined copy to the entry that has the name.
const MAX_STEPS: usize = 8;

/// Which functions are looked for.
pub(super) enum Wanted<'p> {
    /// Those of a name, of a mangled name, or of a name with its namespaces.
    Named {
        pattern: &'p Pattern,
        /// What a name without namespaces must end with, if the pattern has namespaces.
        end: Option<&'p str>,
        /// Mangled names are long; most patterns cannot fit them.
        may_be_mangled: bool,
    },
    /// One function, which several units may describe.
    Same {
        name: String,
        linkage_name: Option<String>,
        line: Option<u64>,
    },
}

/// Places of what was found, in order.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Functions with code.
    pub(super) functions: Vec<Spot>,
    /// Inlined copies, each with the function it lies in.
    pub(super) inlined: Vec<(Spot, Spot)>,
}

/// What one unit, or all of them, have to say.
#[derive(Default)]
struct Finds {
    /// Entries that describe a wanted function.
    wanted: HashSet<Spot>,
    /// Functions that leave the name to another entry.
    references: Vec<Reference>,
    /// Functions with code, and what they are.
    functions: Vec<Spot>,
    inlined: Vec<Inlined>,
}

#[derive(Clone, Copy)]
struct Reference {
    entry: Spot,
    target: Spot,
    has_code: bool,
}

#[derive(Clone, Copy)]
struct Inlined {
    entry: Spot,
    origin: Spot,
    inside: Spot,
}

impl DebugInfo {
    /// Searches all units.
    pub(super) fn search(&self, wanted: &Wanted<'_>) -> Result<Found> {
        let all = self.in_every_unit(
            |question, unit| Ok(scan(question, unit, wanted)?.settled(unit)),
            Finds::merge,
        )?;
        Ok(all.finish())
    }
}

impl Finds {
    fn merge(&mut self, other: Finds) {
        self.wanted.extend(other.wanted);
        self.references.extend(other.references);
        self.functions.extend(other.functions);
        let room = MAX_FOUND.saturating_sub(self.inlined.len());
        self.inlined.extend(other.inlined.into_iter().take(room));
    }

    /// Adds the entries that refer to wanted ones.
    fn follow_references(&mut self) {
        for _ in 0..MAX_STEPS {
            let before = self.wanted.len();
            for reference in &self.references {
                if self.wanted.contains(&reference.target) && self.wanted.insert(reference.entry) {
                    self.functions
                        .extend(reference.has_code.then_some(reference.entry));
                }
            }
            if self.wanted.len() == before {
                return;
            }
        }
    }

    /// Keeps what is wanted, and what other units may turn out to want.
    fn settled(mut self, unit: &OpenUnit<'_>) -> Finds {
        self.follow_references();
        let is_elsewhere = |target: &Spot| unit.inside(*target).is_none();
        let mut open: HashSet<Spot> = HashSet::new();
        for _ in 0..MAX_STEPS {
            let before = open.len();
            let leads_out = |r: &&Reference| is_elsewhere(&r.target) || open.contains(&r.target);
            let more: Vec<Spot> = self
                .references
                .iter()
                .filter(leads_out)
                .map(|r| r.entry)
                .collect();
            open.extend(more);
            if open.len() == before {
                break;
            }
        }
        let wanted = &self.wanted;
        self.references
            .retain(|r| open.contains(&r.entry) && !wanted.contains(&r.entry));
        self.inlined.retain(|copy| {
            wanted.contains(&copy.origin)
                || open.contains(&copy.origin)
                || is_elsewhere(&copy.origin)
        });
        self
    }

    fn finish(mut self) -> Found {
        self.follow_references();
        self.inlined
            .retain(|copy| self.wanted.contains(&copy.origin));
        let mut inlined: Vec<(Spot, Spot)> = self
            .inlined
            .iter()
            .map(|copy| (copy.entry, copy.inside))
            .collect();
        inlined.sort_unstable();
        self.functions.sort_unstable();
        Found {
            functions: self.functions,
            inlined,
        }
    }
}

/// Reads a unit's functions and inlined copies.
struct Scan<'s, 'a> {
    question: &'s Question<'a>,
    unit: &'s Rc<OpenUnit<'a>>,
    wanted: &'s Wanted<'s>,
    entries: gimli::EntriesRaw<'s, Slice<'a>>,
    /// Depth at which `entries` started.
    base: isize,
    /// Functions the walk is in, with their depth.
    functions: Vec<(isize, Spot)>,
    finds: Finds,
}

fn scan<'a>(
    question: &Question<'a>,
    unit: &Rc<OpenUnit<'a>>,
    wanted: &Wanted<'_>,
) -> gimli::Result<Finds> {
    let mut scan = Scan {
        question,
        unit,
        wanted,
        entries: unit.unit.entries_raw(None)?,
        base: 0,
        functions: Vec::new(),
        finds: Finds::default(),
    };
    scan.all()?;
    Ok(scan.finds)
}

impl<'s, 'a> Scan<'s, 'a> {
    fn all(&mut self) -> gimli::Result<()> {
        while !self.entries.is_empty() {
            let offset = self.entries.next_offset();
            let depth = self.base + self.entries.next_depth();
            let Some(abbreviation) = self.entries.read_abbreviation()? else {
                continue;
            };
            self.question
                .budget
                .spend(abbreviation.attributes().len())?;
            match abbreviation.tag() {
                gimli::DW_TAG_subprogram => {
                    self.leave(depth);
                    self.function(abbreviation, offset, depth)?;
                }
                gimli::DW_TAG_inlined_subroutine => {
                    self.leave(depth);
                    self.inlined(abbreviation, offset)?;
                }
                _ => {
                    let read = self.read(abbreviation)?;
                    self.leap(read.sibling, depth)?;
                }
            }
        }
        Ok(())
    }

    fn leave(&mut self, depth: isize) {
        while self
            .functions
            .pop_if(|(outer, _)| *outer >= depth)
            .is_some()
        {}
    }

    fn read(&mut self, abbreviation: &gimli::Abbreviation) -> gimli::Result<Read<'a>> {
        let mut read = Read::default();
        let mut rest = abbreviation.attributes();
        let has_inner = abbreviation.has_children() && !may_hold_functions(abbreviation);
        let tag = abbreviation.tag();
        let is_needed = |name| match name {
            gimli::DW_AT_sibling => has_inner,
            name => self.wanted.needs(tag, name),
        };
        while let Some(at) = rest.iter().position(|wanted| is_needed(wanted.name())) {
            self.entries.skip_attributes(&rest[..at])?;
            let attribute = self.entries.read_attribute(rest[at])?;
            read.take(&attribute);
            rest = &rest[at + 1..];
        }
        self.entries.skip_attributes(rest)?;
        Ok(read)
    }

    /// Goes on at the next entry of the same depth.
    fn leap(&mut self, sibling: Option<UnitOffset>, depth: isize) -> gimli::Result<()> {
        if let Some(sibling) = sibling
            && sibling.0 > self.entries.next_offset().0
        {
            self.entries = self.unit.unit.entries_raw(Some(sibling))?;
            self.base = depth;
        }
        Ok(())
    }

    fn inlined(
        &mut self,
        abbreviation: &gimli::Abbreviation,
        offset: UnitOffset,
    ) -> gimli::Result<()> {
        let read = self.read(abbreviation)?;
        if let Some(origin) = self.target(&read)
            && let Some((_, inside)) = self.functions.last()
            && self.finds.inlined.len() < 10 * MAX_FOUND
        {
            self.finds.inlined.push(Inlined {
                entry: self.unit.spot(offset),
                origin,
                inside: *inside,
            });
        }
        Ok(())
    }

    fn function(
        &mut self,
        abbreviation: &gimli::Abbreviation,
        offset: UnitOffset,
        depth: isize,
    ) -> gimli::Result<()> {
        let entry = self.unit.spot(offset);
        let read = self.read(abbreviation)?;
        if abbreviation.has_children() {
            self.functions.push((depth, entry));
        }
        if self
            .wanted
            .is_met(self.question, self.unit, offset, &read)?
        {
            self.finds.wanted.insert(entry);
            self.finds.functions.extend(read.has_code.then_some(entry));
        } else if let Some(target) = self.target(&read) {
            self.finds.references.push(Reference {
                entry,
                target,
                has_code: read.has_code,
            });
        }
        self.leap(read.sibling, depth)
    }

    fn target(&self, read: &Read<'a>) -> Option<Spot> {
        self.question.target(self.unit, read.reference?)
    }
}

/// Whether functions or copies may be inside an entry. Declarations have parameters only.
fn may_hold_functions(abbreviation: &gimli::Abbreviation) -> bool {
    match abbreviation.tag() {
        gimli::DW_TAG_subprogram => !abbreviation
            .attributes()
            .iter()
            .any(|attribute| attribute.name() == gimli::DW_AT_declaration),
        gimli::DW_TAG_enumeration_type
        | gimli::DW_TAG_subroutine_type
        | gimli::DW_TAG_array_type
        | gimli::DW_TAG_call_site
        | gimli::DW_TAG_GNU_call_site => false,
        _ => true,
    }
}

/// The attributes that matter.
#[derive(Default)]
struct Read<'a> {
    name: Option<AttributeValue<'a>>,
    linkage_name: Option<AttributeValue<'a>>,
    reference: Option<AttributeValue<'a>>,
    line: Option<u64>,
    sibling: Option<UnitOffset>,
    has_code: bool,
}

impl<'a> Read<'a> {
    fn take(&mut self, attribute: &gimli::Attribute<Slice<'a>>) {
        match attribute.name() {
            gimli::DW_AT_name => self.name = Some(attribute.value()),
            gimli::DW_AT_linkage_name | gimli::DW_AT_MIPS_linkage_name => {
                self.linkage_name = Some(attribute.value());
            }
            gimli::DW_AT_abstract_origin | gimli::DW_AT_specification => {
                self.reference = Some(attribute.value());
            }
            gimli::DW_AT_decl_line => self.line = attribute.udata_value(),
            gimli::DW_AT_low_pc | gimli::DW_AT_ranges => self.has_code = true,
            gimli::DW_AT_sibling => {
                if let gimli::AttributeValue::UnitRef(sibling) = attribute.value() {
                    self.sibling = Some(sibling);
                }
            }
            _ => {}
        }
    }
}

impl<'p> Wanted<'p> {
    pub(super) fn named(pattern: &'p Pattern) -> Wanted<'p> {
        Wanted::Named {
            pattern,
            end: literal_end(pattern.as_str()),
            may_be_mangled: pattern.as_str().starts_with(['_', '*', '?', '[']),
        }
    }
}

impl Wanted<'_> {
    /// Whether an attribute of an entry may matter.
    fn needs(&self, tag: gimli::DwTag, name: gimli::DwAt) -> bool {
        match name {
            _ if tag != gimli::DW_TAG_subprogram && tag != gimli::DW_TAG_inlined_subroutine => {
                false
            }
            gimli::DW_AT_abstract_origin => true,
            _ if tag == gimli::DW_TAG_inlined_subroutine => false,
            gimli::DW_AT_linkage_name | gimli::DW_AT_MIPS_linkage_name => match self {
                Wanted::Named { may_be_mangled, .. } => *may_be_mangled,
                Wanted::Same { linkage_name, .. } => linkage_name.is_some(),
            },
            gimli::DW_AT_decl_line => matches!(self, Wanted::Same { .. }),
            gimli::DW_AT_name
            | gimli::DW_AT_specification
            | gimli::DW_AT_low_pc
            | gimli::DW_AT_ranges => true,
            _ => false,
        }
    }

    fn is_met<'a>(
        &self,
        question: &Question<'a>,
        unit: &Rc<OpenUnit<'a>>,
        offset: UnitOffset,
        read: &Read<'a>,
    ) -> gimli::Result<bool> {
        let is = |value: Option<AttributeValue<'a>>, accepts: &dyn Fn(&str) -> bool| {
            let text = value.and_then(|value| unit.dwarf.attr_string(&unit.unit, value).ok());
            text.is_some_and(|text| std::str::from_utf8(text.slice()).is_ok_and(accepts))
        };
        let (pattern, end) = match self {
            Wanted::Named { pattern, end, .. } => (pattern, end),
            Wanted::Same {
                linkage_name: Some(wanted),
                ..
            } => return Ok(is(read.linkage_name, &|name| name == wanted)),
            Wanted::Same { name, line, .. } => {
                return Ok(read.line == *line && is(read.name, &|found| found == name));
            }
        };
        if is(read.name, &|name| pattern.matches(name))
            || is(read.linkage_name, &|name| pattern.matches(name))
        {
            return Ok(true);
        }
        // With namespaces: only when the end fits are they looked up.
        let Some(end) = end else {
            return Ok(false);
        };
        if !is(read.name, &|name| name.ends_with(*end)) {
            return Ok(false);
        }
        let place: Place<'a> = question.entry(unit, offset)?;
        let scope = question.scope_of(&place)?;
        Ok(is(read.name, &|name| {
            pattern.matches(&format!("{scope}::{name}"))
        }))
    }
}

/// What a name without namespaces must end with to fit a pattern with namespaces.
fn literal_end(pattern: &str) -> Option<&str> {
    let (_, end) = pattern.rsplit_once("::")?;
    Some(end.rsplit(['*', '?', ']']).next().unwrap_or(end))
}
