//! Looking through all units for functions of a name, with their code and their inlined copies. Units are dealt out to all
//! processors; of each entry only what the answer needs is read.

use super::question::{Budget, OpenUnit, Place, Question};
use super::{AttributeValue, DebugInfo};
use crate::pattern::Pattern;
use crate::{Error, Result};
use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Threads at most.
const MAX_THREADS: usize = 16;
/// Inlined copies kept of one search.
const MAX_FOUND: usize = 100_000;
/// Steps from an inlined copy to the entry that has the name.
const MAX_STEPS: usize = 8;

/// Which functions are looked for.
pub(super) enum Wanted<'p> {
    /// Those of a name, of a mangled name, or of a name with its namespaces.
    Named(&'p Pattern),
    /// One function, which several units may describe.
    Same {
        name: String,
        linkage_name: Option<String>,
        line: Option<u64>,
    },
}

/// Places of what was found, as offsets of `.debug_info`, in order.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Functions with code.
    pub(super) functions: Vec<usize>,
    /// Inlined copies, each with the function it lies in.
    pub(super) inlined: Vec<(usize, usize)>,
}

/// What one unit, or all of them, have to say.
#[derive(Default)]
struct Finds {
    /// Entries that describe a wanted function.
    wanted: HashSet<usize>,
    /// Functions that leave the name to another entry.
    references: Vec<Reference>,
    /// Functions with code, and what they are.
    functions: Vec<usize>,
    inlined: Vec<Inlined>,
}

#[derive(Clone, Copy)]
struct Reference {
    entry: usize,
    target: usize,
    has_code: bool,
}

#[derive(Clone, Copy)]
struct Inlined {
    entry: usize,
    origin: usize,
    inside: usize,
}

impl DebugInfo {
    /// Searches all units.
    pub(super) fn search(&self, wanted: &Wanted<'_>) -> Result<Found> {
        let question = Question::new(self)?;
        let starts = self.unit_starts(&question.dwarf);
        let next = AtomicUsize::new(0);
        let available = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = available.min(MAX_THREADS).min(starts.len().max(1));
        let size = self.section(gimli::SectionId::DebugInfo)?.len();
        let work = || -> Result<Finds> {
            let mut question = Question::new(self)?;
            question.budget = Budget::for_all_of(size);
            let mut all = Finds::default();
            while let Some(start) = starts.get(next.fetch_add(1, Ordering::Relaxed)) {
                // One broken unit does not spoil the others.
                if let Ok(Some(unit)) = question.unit_of(*start) {
                    let found = scan(&question, &unit, wanted).unwrap_or_default();
                    all.merge(found.settled(unit.start, &unit));
                }
                if question.budget.is_spent() {
                    return Err(self.gave_up());
                }
                question.forget_units();
            }
            Ok(all)
        };
        let mut all = Finds::default();
        std::thread::scope(|scope| -> Result<()> {
            let started: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            for thread in started {
                let found = thread.join().map_err(|_| self.gave_up())?;
                all.merge(found?);
            }
            Ok(())
        })?;
        Ok(all.finish())
    }

    fn gave_up(&self) -> Error {
        Error::malformed(
            format!("debug information of {}", self.path().display()),
            "it could not be searched",
        )
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
    fn settled(mut self, start: usize, unit: &OpenUnit<'_>) -> Finds {
        self.follow_references();
        let end = start.saturating_add(unit.unit.header.length_including_self());
        let is_elsewhere = |target: &usize| *target < start || *target >= end;
        let mut open: HashSet<usize> = HashSet::new();
        for _ in 0..MAX_STEPS {
            let before = open.len();
            let leads_out = |r: &&Reference| is_elsewhere(&r.target) || open.contains(&r.target);
            let more: Vec<usize> = self
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
        let mut inlined: Vec<(usize, usize)> = self
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
fn scan<'a>(
    question: &Question<'a>,
    unit: &std::rc::Rc<OpenUnit<'a>>,
    wanted: &Wanted<'_>,
) -> gimli::Result<Finds> {
    let mut finds = Finds::default();
    // Functions the walk is in, with their depth.
    let mut functions: Vec<(isize, usize)> = Vec::new();
    let mut entries = unit.unit.entries_raw(None)?;
    while !entries.is_empty() {
        let (offset, depth) = (entries.next_offset(), entries.next_depth());
        let Some(abbreviation) = entries.read_abbreviation()? else {
            continue;
        };
        let attributes = abbreviation.attributes();
        question.budget.spend(attributes.len())?;
        let tag = abbreviation.tag();
        if tag != gimli::DW_TAG_subprogram && tag != gimli::DW_TAG_inlined_subroutine {
            entries.skip_attributes(attributes)?;
            continue;
        }
        while functions.pop_if(|(outer, _)| *outer >= depth).is_some() {}
        let entry = unit.start.saturating_add(offset.0);
        let mut read = Read::default();
        for attribute in attributes {
            let found = entries.read_attribute_inline(*attribute)?;
            read.take(attribute.name(), || found.value());
        }
        if tag == gimli::DW_TAG_inlined_subroutine {
            let origin = read.reference.and_then(|to| question.target(unit, to));
            if let (Some(origin), Some((_, inside))) = (origin, functions.last())
                && finds.inlined.len() < 10 * MAX_FOUND
            {
                let inside = *inside;
                finds.inlined.push(Inlined {
                    entry,
                    origin,
                    inside,
                });
            }
            continue;
        }
        if abbreviation.has_children() {
            functions.push((depth, entry));
        }
        if wanted.is_met(question, unit, offset, &read)? {
            finds.wanted.insert(entry);
            finds.functions.extend(read.has_code.then_some(entry));
        } else if let Some(target) = read.reference.and_then(|to| question.target(unit, to)) {
            finds.references.push(Reference {
                entry,
                target,
                has_code: read.has_code,
            });
        }
    }
    Ok(finds)
}

/// The attributes that matter.
#[derive(Default)]
struct Read<'a> {
    name: Option<AttributeValue<'a>>,
    linkage_name: Option<AttributeValue<'a>>,
    reference: Option<AttributeValue<'a>>,
    line: Option<u64>,
    has_code: bool,
}

impl<'a> Read<'a> {
    fn take(&mut self, name: gimli::DwAt, value: impl FnOnce() -> AttributeValue<'a>) {
        match name {
            gimli::DW_AT_name => self.name = Some(value()),
            gimli::DW_AT_linkage_name | gimli::DW_AT_MIPS_linkage_name => {
                self.linkage_name = Some(value());
            }
            gimli::DW_AT_abstract_origin | gimli::DW_AT_specification => {
                self.reference = Some(value());
            }
            gimli::DW_AT_decl_line => self.line = value().udata_value(),
            gimli::DW_AT_low_pc | gimli::DW_AT_ranges => self.has_code = true,
            _ => {}
        }
    }
}

impl Wanted<'_> {
    fn is_met<'a>(
        &self,
        question: &Question<'a>,
        unit: &std::rc::Rc<OpenUnit<'a>>,
        offset: gimli::UnitOffset,
        read: &Read<'a>,
    ) -> gimli::Result<bool> {
        let is = |value: Option<AttributeValue<'a>>, accepts: &dyn Fn(&str) -> bool| {
            let text = value.and_then(|value| unit.dwarf.attr_string(&unit.unit, value).ok());
            text.is_some_and(|text| std::str::from_utf8(text.slice()).is_ok_and(accepts))
        };
        let pattern = match self {
            Wanted::Named(pattern) => pattern,
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
        let Some((_, end)) = pattern.as_str().rsplit_once("::") else {
            return Ok(false);
        };
        let end = Pattern::new(end);
        if !is(read.name, &|name| end.matches(name)) {
            return Ok(false);
        }
        let place: Place<'a> = question.entry(unit, offset)?;
        let scope = question.scope_of(&place)?;
        Ok(is(read.name, &|name| {
            pattern.matches(&format!("{scope}::{name}"))
        }))
    }
}
