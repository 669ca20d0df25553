//! Opening units, wherever they are: in the file itself, in what `dwz` shares, in the files of split debug information, and
//! type units by their signature.

use super::question::{File, OpenUnit, Question, Spot};
use super::{AttributeValue, Dwarf};
use crate::{Error, Result};
use gimli::{DebugInfoOffset, DebugTypeSignature, DwoId, UnitHeader, UnitType};
use std::collections::HashMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, PoisonError};

/// Type units of one file.
const MAX_TYPE_UNITS: usize = 4_000_000;

type Header<'a> = UnitHeader<super::Slice<'a>>;
/// Types by signature.
pub(super) type Signatures = HashMap<u64, Spot>;

impl<'a> Question<'a> {
    /// Opens the unit around a place.
    pub(super) fn open_unit(&self, spot: Spot) -> gimli::Result<Option<OpenUnit<'a>>> {
        let (dwarf, header) = match spot.file {
            File::Main => {
                let Some(start) = self.info.unit_start(&self.dwarf, spot.offset) else {
                    return Ok(None);
                };
                let header = self.dwarf.unit_header(DebugInfoOffset(start))?;
                (self.dwarf.clone(), Some(header))
            }
            File::Supplement => {
                let Some(dwarf) = self.supplement_dwarf() else {
                    return Ok(None);
                };
                let start = self.info.supplement_start(&dwarf, spot.offset);
                let header = start.map(|start| dwarf.unit_header(DebugInfoOffset(start)));
                (dwarf, header.transpose()?)
            }
            File::Split(number) | File::SplitTypes(number) => {
                let Some(dwarf) = self.split_sections(number)? else {
                    return Ok(None);
                };
                let header = match spot.file {
                    File::Split(_) => header_around(&dwarf, spot)?,
                    _ => types_header_around(&dwarf, spot)?,
                };
                (dwarf, header)
            }
            File::Types => (self.dwarf.clone(), types_header_around(&self.dwarf, spot)?),
        };
        let Some(header) = header else {
            return Ok(None);
        };
        let skeleton = match spot.file {
            File::Split(number) | File::SplitTypes(number) => self.skeleton(number)?,
            _ => None,
        };
        let mut unit = dwarf.unit(header)?;
        if let Some(skeleton) = &skeleton {
            unit.copy_relocated_attributes(&skeleton.unit);
        }
        Ok(Some(OpenUnit {
            unit,
            start: Spot {
                file: spot.file,
                offset: start_of(&header),
            },
            dwarf,
            skeleton,
        }))
    }

    /// The unit itself, or the one in another file that it stands for.
    pub(super) fn whole(&self, unit: Rc<OpenUnit<'a>>) -> Result<Rc<OpenUnit<'a>>> {
        if unit.start.file != File::Main {
            return Ok(unit);
        }
        let malformed = self.info.malformed();
        let starts = self.info.unit_starts(&self.dwarf);
        let (Some((_, name, id)), Ok(number)) = (
            split_of(&unit).map_err(&malformed)?,
            starts.binary_search(&unit.start.offset),
        ) else {
            return Ok(unit);
        };
        self.load_split(number as u32, &unit)?;
        let first = self.first_split_unit(number as u32, id);
        first.map_err(&malformed)?.ok_or_else(|| {
            Error::malformed(
                name.display().to_string(),
                "it is not the file that the binary was built with: their ids differ",
            )
        })
    }

    /// The sections of the file in which the unit of that number is.
    fn load_split(&self, number: u32, skeleton: &OpenUnit<'a>) -> Result<Option<Rc<Dwarf<'a>>>> {
        if let Some(known) = self.split.borrow().get(&number) {
            return Ok(Some(known.clone()));
        }
        let told = split_of(skeleton).map_err(self.info.malformed())?;
        let Some((folder, name, id)) = told else {
            return Ok(None);
        };
        let place = (folder.as_path(), name.as_path());
        let found = self
            .info
            .split_dwarf(number as usize, id, place, &self.dwarf)?;
        let found = Rc::new(found);
        self.split.borrow_mut().insert(number, found.clone());
        Ok(Some(found))
    }

    /// The same for an entry's place, which was found by an earlier question.
    fn split_sections(&self, number: u32) -> gimli::Result<Option<Rc<Dwarf<'a>>>> {
        match self.skeleton(number)? {
            Some(skeleton) => Ok(self.load_split(number, &skeleton).ok().flatten()),
            None => Ok(None),
        }
    }

    /// The unit of that id in a file of split debug information.
    fn first_split_unit(&self, number: u32, id: DwoId) -> gimli::Result<Option<Rc<OpenUnit<'a>>>> {
        let Some(dwarf) = self.split_sections(number)? else {
            return Ok(None);
        };
        let mut headers = dwarf.units();
        while let Some(header) = headers.next()? {
            self.budget.spend(1)?;
            if matches!(
                header.type_(),
                UnitType::SplitType { .. } | UnitType::Type { .. }
            ) {
                continue;
            }
            let spot = Spot {
                file: File::Split(number),
                offset: start_of(&header),
            };
            let Some(unit) = self.unit_of(spot)? else {
                continue;
            };
            if unit.unit.dwo_id == Some(id) {
                return Ok(Some(unit));
            }
        }
        Ok(None)
    }

    fn skeleton(&self, number: u32) -> gimli::Result<Option<Rc<OpenUnit<'a>>>> {
        let starts = self.info.unit_starts(&self.dwarf);
        let Some(start) = starts.get(number as usize) else {
            return Ok(None);
        };
        self.unit_of(Spot {
            file: File::Main,
            offset: *start,
        })
    }

    pub(super) fn supplement_dwarf(&self) -> Option<Rc<Dwarf<'a>>> {
        if let Some(known) = &*self.supplement.borrow() {
            return Some(known.clone());
        }
        let dwarf = Rc::new(self.info.supplement()?.dwarf().ok()?);
        self.supplement.replace(Some(dwarf.clone()));
        Some(dwarf)
    }

    /// The type of a signature.
    pub(super) fn type_of(
        &self,
        unit: &OpenUnit<'a>,
        signature: DebugTypeSignature,
    ) -> Option<Spot> {
        let (info, types) = match unit.start.file {
            File::Split(number) | File::SplitTypes(number) => {
                (File::Split(number), File::SplitTypes(number))
            }
            _ => (File::Main, File::Types),
        };
        let lock = || {
            let all = self.info.signatures.lock();
            all.unwrap_or_else(PoisonError::into_inner)
        };
        if let Some(known) = lock().get(&info) {
            return known.get(&signature.0).copied();
        }
        let found = Arc::new(self.signatures(&unit.dwarf, info, types));
        lock().insert(info, found.clone());
        found.get(&signature.0).copied()
    }

    /// Gathers type units; those behind a broken one are not found.
    fn signatures(&self, dwarf: &Dwarf<'a>, info: File, types: File) -> Signatures {
        let mut found = Signatures::new();
        let mut add = |header: &Header<'a>, file| {
            let (UnitType::Type {
                type_signature,
                type_offset,
            }
            | UnitType::SplitType {
                type_signature,
                type_offset,
            }) = header.type_()
            else {
                return;
            };
            let offset = start_of(header).saturating_add(type_offset.0);
            if found.len() < MAX_TYPE_UNITS {
                found.insert(type_signature.0, Spot { file, offset });
            }
        };
        let mut headers = dwarf.units();
        while let Ok(Some(header)) = headers.next() {
            add(&header, info);
        }
        let mut headers = dwarf.type_units();
        while let Ok(Some(header)) = headers.next() {
            add(&header, types);
        }
        found
    }
}

/// Folder and name of the file that a skeleton stands for, and the id of the unit in it.
fn split_of(unit: &OpenUnit<'_>) -> gimli::Result<Option<(PathBuf, PathBuf, DwoId)>> {
    let (Some(name), Some(id)) = (unit.unit.dwo_name()?, unit.unit.dwo_id) else {
        return Ok(None);
    };
    let folder = unit.unit.comp_dir.map(|folder| folder.to_string_lossy());
    let folder = PathBuf::from(folder.as_deref().unwrap_or("/"));
    Ok(Some((folder, PathBuf::from(unit.text(name)), id)))
}

fn start_of(header: &Header<'_>) -> usize {
    let in_types = header.debug_types_offset().map(|offset| offset.0);
    let in_info = header.debug_info_offset().map(|offset| offset.0);
    in_info.or(in_types).unwrap_or(0)
}

fn is_around(header: &Header<'_>, spot: Spot) -> bool {
    let inside = spot.offset.checked_sub(start_of(header));
    inside.is_some_and(|inside| inside < header.length_including_self())
}

fn header_around<'a>(dwarf: &Dwarf<'a>, spot: Spot) -> gimli::Result<Option<Header<'a>>> {
    let mut headers = dwarf.units();
    while let Some(header) = headers.next()? {
        if is_around(&header, spot) {
            return Ok(Some(header));
        }
    }
    Ok(None)
}

fn types_header_around<'a>(dwarf: &Dwarf<'a>, spot: Spot) -> gimli::Result<Option<Header<'a>>> {
    let mut headers = dwarf.type_units();
    while let Some(header) = headers.next()? {
        if is_around(&header, spot) {
            return Ok(Some(header));
        }
    }
    Ok(None)
}

/// A reference by signature.
pub(super) fn signature<'a>(value: Option<AttributeValue<'a>>) -> Option<AttributeValue<'a>> {
    value.filter(|value| matches!(value, gimli::AttributeValue::DebugTypesRef(_)))
}
