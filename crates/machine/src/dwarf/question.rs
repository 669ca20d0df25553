//! One question to the debug information: the units opened for it, the way from one entry to another, and the work left.

use super::{AttributeValue, DebugInfo, Dwarf, Entry, Unit};
use crate::{Address, Result};
use gimli::UnitOffset;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

/// Attributes looked at for one question; real questions need a hundredth of it.
const MAX_WORK: usize = 200_000_000;
/// Steps from an inlined or cloned function to where it is described.
pub(super) const MAX_ORIGINS: usize = 16;
/// Units opened for one question (other units are asked after link-time optimisation).
const MAX_UNITS: usize = 1024;
/// Bytes of one string.
const MAX_TEXT: usize = 64 << 10;

/// Counts down; ends a question that a real file could not ask.
pub(super) struct Budget(Cell<usize>);

impl Budget {
    pub(super) fn new() -> Budget {
        Budget::of(MAX_WORK)
    }

    /// For a question about the whole file: real files have more bytes than attributes.
    pub(super) fn for_all_of(bytes: usize) -> Budget {
        Budget::of(MAX_WORK.saturating_add(bytes))
    }

    fn of(amount: usize) -> Budget {
        Budget(Cell::new(amount))
    }

    pub(super) fn is_spent(&self) -> bool {
        self.0.get() == 0
    }

    pub(super) fn spend(&self, amount: usize) -> gimli::Result<()> {
        let left = self.0.get().checked_sub(amount.saturating_add(1));
        self.0.set(left.unwrap_or(0));
        left.map(drop).ok_or(gimli::Error::TooManyRegisterRules)
    }
}

/// Which section entries are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum File {
    /// `.debug_info` of the file itself.
    Main,
    /// `.debug_types` of the file itself.
    Types,
    /// `.debug_info` of what `dwz` shares between files.
    Supplement,
    /// `.debug_info` of what the unit of that number left in another file.
    Split(u32),
    /// `.debug_types` of the same.
    SplitTypes(u32),
}

/// Where an entry or a unit starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Spot {
    pub(super) file: File,
    pub(super) offset: usize,
}

/// A question in progress.
pub(super) struct Question<'a> {
    pub(super) info: &'a DebugInfo,
    pub(super) dwarf: Rc<Dwarf<'a>>,
    pub(super) budget: Budget,
    pub(super) supplement: RefCell<Option<Rc<Dwarf<'a>>>>,
    pub(super) split: RefCell<HashMap<u32, Rc<Dwarf<'a>>>>,
    pub(super) units: RefCell<Vec<Rc<OpenUnit<'a>>>>,
}

/// A unit with the sections it is read from.
pub(super) struct OpenUnit<'a> {
    pub(super) dwarf: Rc<Dwarf<'a>>,
    pub(super) unit: Unit<'a>,
    pub(super) start: Spot,
    /// What stands for it in the file itself, when it is in another.
    pub(super) skeleton: Option<Rc<OpenUnit<'a>>>,
}

/// An entry and the unit that its attributes are of.
#[derive(Clone)]
pub(super) struct Place<'a> {
    pub(super) unit: Rc<OpenUnit<'a>>,
    pub(super) entry: Entry<'a>,
}

impl<'a> OpenUnit<'a> {
    /// A string attribute; what cannot be read is empty.
    pub(super) fn text(&self, value: AttributeValue<'a>) -> String {
        text(&self.dwarf, &self.unit, value)
    }

    /// Where an entry of the unit is.
    pub(super) fn spot(&self, entry: UnitOffset) -> Spot {
        Spot {
            file: self.start.file,
            offset: self.start.offset.saturating_add(entry.0),
        }
    }

    /// The entry of the unit at a place.
    pub(super) fn inside(&self, spot: Spot) -> Option<UnitOffset> {
        let inside = spot.offset.checked_sub(self.start.offset);
        inside
            .filter(|inside| {
                spot.file == self.start.file && *inside < self.unit.header.length_including_self()
            })
            .map(UnitOffset)
    }

    /// The unit that has the lines.
    pub(super) fn with_lines(&self) -> &OpenUnit<'a> {
        match &self.skeleton {
            Some(skeleton) if self.unit.line_program.is_none() => skeleton,
            _ => self,
        }
    }
}

impl<'a> Place<'a> {
    /// An attribute of the entry itself.
    pub(super) fn own(&self, name: gimli::DwAt) -> Option<AttributeValue<'a>> {
        self.entry.attr_value(name)
    }

    pub(super) fn spot(&self) -> Spot {
        self.unit.spot(self.entry.offset())
    }
}

impl<'a> Question<'a> {
    pub(super) fn new(info: &'a DebugInfo) -> Result<Question<'a>> {
        Ok(Question {
            info,
            dwarf: Rc::new(info.dwarf()?),
            budget: Budget::new(),
            supplement: RefCell::default(),
            split: RefCell::default(),
            units: RefCell::default(),
        })
    }

    /// The unit whose code covers an address, from where its entries are.
    pub(super) fn unit_at(&self, address: Address) -> Result<Option<Rc<OpenUnit<'a>>>> {
        let Some(offset) = self.info.unit_offset_at(&self.dwarf, address) else {
            return Ok(None);
        };
        let spot = Spot {
            file: File::Main,
            offset: offset.0,
        };
        match self.unit_of(spot).map_err(self.info.malformed())? {
            Some(unit) => self.whole(unit).map(Some),
            None => Ok(None),
        }
    }

    /// The unit that holds a place.
    pub(super) fn unit_of(&self, spot: Spot) -> gimli::Result<Option<Rc<OpenUnit<'a>>>> {
        let known = {
            let units = self.units.borrow();
            let mut latest = units.iter().rev();
            latest.find(|unit| unit.inside(spot).is_some()).cloned()
        };
        if known.is_some() || self.units.borrow().len() >= MAX_UNITS {
            return Ok(known);
        }
        let opened = self.open_unit(spot)?.map(Rc::new);
        let opened = opened.filter(|unit| unit.inside(spot).is_some());
        self.units.borrow_mut().extend(opened.clone());
        Ok(opened)
    }

    /// Closes the units, for work that goes through all of them.
    pub(super) fn forget_units(&self) {
        self.units.borrow_mut().clear();
        self.split.borrow_mut().clear();
    }

    /// An entry of a unit.
    pub(super) fn entry(
        &self,
        unit: &Rc<OpenUnit<'a>>,
        offset: UnitOffset,
    ) -> gimli::Result<Place<'a>> {
        let entry = unit.unit.entry(offset)?;
        self.budget.spend(entry.attrs().len())?;
        Ok(Place {
            unit: unit.clone(),
            entry,
        })
    }

    /// The place that a reference means.
    pub(super) fn target(
        &self,
        unit: &OpenUnit<'a>,
        reference: AttributeValue<'a>,
    ) -> Option<Spot> {
        let in_file = |file, offset| Some(Spot { file, offset });
        match reference {
            gimli::AttributeValue::UnitRef(offset) => Some(unit.spot(offset)),
            gimli::AttributeValue::DebugInfoRef(offset) => match unit.start.file {
                File::Types => in_file(File::Main, offset.0),
                File::SplitTypes(number) => in_file(File::Split(number), offset.0),
                file => in_file(file, offset.0),
            },
            gimli::AttributeValue::DebugInfoRefSup(offset) => in_file(File::Supplement, offset.0),
            gimli::AttributeValue::DebugTypesRef(signature) => self.type_of(unit, signature),
            _ => None,
        }
    }

    /// The entry at a place.
    pub(super) fn place(&self, spot: Spot) -> gimli::Result<Option<Place<'a>>> {
        let Some(unit) = self.unit_of(spot)? else {
            return Ok(None);
        };
        match unit.inside(spot) {
            Some(offset) => self.entry(&unit, offset).map(Some),
            None => Ok(None),
        }
    }

    /// The declaration or abstract copy that an entry refers to.
    pub(super) fn origin(&self, place: &Place<'a>) -> gimli::Result<Option<Place<'a>>> {
        let reference = place
            .own(gimli::DW_AT_abstract_origin)
            .or_else(|| place.own(gimli::DW_AT_specification));
        match reference.and_then(|reference| self.target(&place.unit, reference)) {
            Some(target) => self.place(target),
            None => Ok(None),
        }
    }

    /// The entry that has the attribute: this one, or the declaration or abstract copy it refers to.
    pub(super) fn owner(
        &self,
        place: &Place<'a>,
        name: gimli::DwAt,
    ) -> gimli::Result<Option<(Rc<OpenUnit<'a>>, AttributeValue<'a>)>> {
        if let Some(value) = place.own(name) {
            return Ok(Some((place.unit.clone(), value)));
        }
        let mut next = self.origin(place)?;
        for _ in 0..MAX_ORIGINS {
            let Some(found) = next else { return Ok(None) };
            if let Some(value) = found.own(name) {
                return Ok(Some((found.unit, value)));
            }
            next = self.origin(&found)?;
        }
        Ok(None)
    }

    /// Direct children of an entry with tags that are wanted; the others are not read.
    pub(super) fn children(
        &self,
        parent: &Place<'a>,
        limit: usize,
        is_wanted: impl Fn(gimli::DwTag) -> bool,
    ) -> gimli::Result<Vec<Place<'a>>> {
        let unit = &parent.unit;
        let mut children = Vec::new();
        if !parent.entry.has_children() {
            return Ok(children);
        }
        let mut entries = unit.unit.entries_raw(Some(parent.entry.offset()))?;
        // How deep `entries` started, below the parent.
        let mut base = 0;
        while !entries.is_empty() && children.len() < limit {
            let depth = base + entries.next_depth();
            let before = entries.clone();
            let Some(abbreviation) = entries.read_abbreviation()? else {
                if depth <= 1 {
                    break;
                }
                continue;
            };
            self.budget.spend(abbreviation.attributes().len())?;
            if depth == 1 && is_wanted(abbreviation.tag()) {
                entries = before;
                let mut entry = Entry::null();
                entries.read_entry(&mut entry)?;
                children.push(Place {
                    unit: unit.clone(),
                    entry,
                });
            } else if depth == 0 || !abbreviation.has_children() {
                entries.skip_attributes(abbreviation.attributes())?;
            } else if let Some(sibling) = sibling(&mut entries, abbreviation)? {
                entries = unit.unit.entries_raw(Some(sibling))?;
                base = depth;
            }
        }
        Ok(children)
    }

    /// A string attribute of an entry or of what it refers to.
    pub(super) fn text_of(
        &self,
        place: &Place<'a>,
        name: gimli::DwAt,
    ) -> gimli::Result<Option<String>> {
        let found = self.owner(place, name)?;
        Ok(found.map(|(unit, value)| unit.text(value)))
    }
}

/// Reads an entry's attributes; where the next entry of its depth is, when that is told and lies ahead.
pub(super) fn sibling(
    entries: &mut gimli::EntriesRaw<'_, super::Slice<'_>>,
    abbreviation: &gimli::Abbreviation,
) -> gimli::Result<Option<UnitOffset>> {
    let attributes = abbreviation.attributes();
    let is_sibling = |of: &gimli::AttributeSpecification| of.name() == gimli::DW_AT_sibling;
    let Some(at) = attributes.iter().position(is_sibling) else {
        entries.skip_attributes(attributes)?;
        return Ok(None);
    };
    entries.skip_attributes(&attributes[..at])?;
    let read = entries.read_attribute(attributes[at])?;
    entries.skip_attributes(&attributes[at + 1..])?;
    Ok(match read.value() {
        gimli::AttributeValue::UnitRef(next) if next.0 > entries.next_offset().0 => Some(next),
        _ => None,
    })
}

/// A string attribute; what cannot be read is empty.
pub(super) fn text<'a>(dwarf: &Dwarf<'a>, unit: &Unit<'a>, value: AttributeValue<'a>) -> String {
    let slice = dwarf
        .attr_string(unit, value)
        .map(|slice| slice.slice())
        .unwrap_or_default();
    String::from_utf8_lossy(&slice[..slice.len().min(MAX_TEXT)]).into_owned()
}
