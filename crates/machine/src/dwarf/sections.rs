//! The sections of one file, and the other files that debug information may lie in: what `dwz` took out of several binaries,
//! and what the compiler left in `.dwo` files or in one `.dwp` file.

use super::{DebugInfo, Dwarf, Slice};
use crate::elf::{Debuginfod, Elf};
use crate::{Error, Result, root};
use gimli::{DwarfPackage, DwoId, EndianSlice, LittleEndian, SectionId};
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// The sections that are read.
const SECTIONS: [SectionId; 16] = [
    SectionId::DebugAbbrev,
    SectionId::DebugAddr,
    SectionId::DebugAranges,
    SectionId::DebugCuIndex,
    SectionId::DebugFrame,
    SectionId::DebugInfo,
    SectionId::DebugLine,
    SectionId::DebugLineStr,
    SectionId::DebugLoc,
    SectionId::DebugLocLists,
    SectionId::DebugRanges,
    SectionId::DebugRngLists,
    SectionId::DebugStr,
    SectionId::DebugStrOffsets,
    SectionId::DebugTuIndex,
    SectionId::DebugTypes,
];

/// A file's sections.
#[derive(Debug)]
pub(super) struct Sections {
    pub(super) elf: Arc<Elf>,
    /// Those that are compressed in the file, unpacked at first use.
    unpacked: [OnceLock<Vec<u8>>; SECTIONS.len()],
    /// Whether it is a `.dwo` or `.dwp` file, whose sections have names of their own.
    is_split: bool,
}

/// Files besides the first; each is looked for at the first question that needs it.
#[derive(Debug)]
pub(super) struct Companions {
    pub(super) root: PathBuf,
    pub(super) folders: Vec<PathBuf>,
    /// Asked for what is not there.
    pub(super) servers: Option<Debuginfod>,
    supplement: OnceLock<Option<Sections>>,
    package: OnceLock<Option<Sections>>,
    /// `.dwo` files by number of the unit.
    split: OnceLock<Box<[SplitFile]>>,
}

/// Nothing when it is not there.
type SplitFile = OnceLock<Option<Box<Sections>>>;

impl Sections {
    pub(super) fn new(elf: Arc<Elf>, is_split: bool) -> Sections {
        Sections {
            elf,
            unpacked: std::array::from_fn(|_| OnceLock::new()),
            is_split,
        }
    }

    pub(super) fn get(&self, id: SectionId) -> Result<&[u8]> {
        let name = match self.is_split {
            true => id.dwo_name(),
            false => Some(id.name()),
        };
        let known = SECTIONS.iter().position(|known| *known == id);
        let (Some(name), Some(i)) = (name, known) else {
            return Ok(&[]);
        };
        if let Some(bytes) = self.unpacked[i].get() {
            return Ok(bytes);
        }
        let found = match self.is_split {
            true => self.elf.all_sections(name)?,
            false => self.elf.section(name)?.unwrap_or_default(),
        };
        match found {
            Cow::Borrowed(bytes) => Ok(bytes),
            Cow::Owned(bytes) => Ok(self.unpacked[i].get_or_init(|| bytes)),
        }
    }

    pub(super) fn dwarf(&self) -> Result<Dwarf<'_>> {
        gimli::Dwarf::load(|id| self.slice(id))
    }

    fn slice(&self, id: SectionId) -> Result<Slice<'_>> {
        Ok(EndianSlice::new(self.get(id)?, LittleEndian))
    }

    fn package<'a>(&'a self) -> Result<DwarfPackage<Slice<'a>>> {
        let malformed = |error: gimli::Error| {
            Error::malformed(self.elf.path().display().to_string(), error.to_string())
        };
        let load = |id: SectionId| -> std::result::Result<Slice<'a>, gimli::Error> {
            self.slice(id).map_err(|_| gimli::Error::Io)
        };
        DwarfPackage::load(load, EndianSlice::new(&[], LittleEndian)).map_err(malformed)
    }
}

impl Companions {
    /// Where to look: below a machine's root, and in folders the user named.
    pub(super) fn new(root: &Path, folders: &[PathBuf]) -> Companions {
        Companions {
            root: root.to_path_buf(),
            folders: folders.to_vec(),
            servers: None,
            supplement: OnceLock::new(),
            package: OnceLock::new(),
            split: OnceLock::new(),
        }
    }
}

impl DebugInfo {
    /// What `dwz` shares between binaries.
    pub(super) fn supplement(&self) -> Option<&Sections> {
        let find = || {
            let Companions {
                root,
                folders,
                servers,
                ..
            } = &self.companions;
            let (_, id) = self.main.elf.supplement_link()?;
            let fetch = || servers.as_ref()?.fetch(&id).ok()?;
            let here = self.main.elf.find_supplement(root, folders);
            let elf = Elf::open(&here.or_else(fetch)?).ok()?;
            Some(Sections::new(Arc::new(elf), false))
        };
        self.companions.supplement.get_or_init(find).as_ref()
    }

    /// The unit that a skeleton stands for, in the `.dwp` file or in its own `.dwo` file.
    pub(super) fn split_dwarf<'a>(
        &'a self,
        number: usize,
        id: DwoId,
        (folder, name): (&Path, &Path),
        parent: &Dwarf<'a>,
    ) -> Result<Dwarf<'a>> {
        if let Some(package) = self.package()
            && let Ok(Some(found)) = package.package()?.find_cu(id, parent)
        {
            return Ok(found);
        }
        let Some(sections) = self.split(number, folder, name) else {
            return Err(Error::not_found(
                "file with split debug information",
                folder.join(name).display().to_string(),
            ));
        };
        let mut dwarf = sections.dwarf()?;
        dwarf.make_dwo(parent);
        Ok(dwarf)
    }

    /// `program.dwp` beside the binary or the debug file.
    fn package(&self) -> Option<&Sections> {
        let find = || {
            [&self.binary, &self.main.elf]
                .into_iter()
                .map(|elf| with_end(elf.path(), ".dwp"))
                .find_map(|path| open_split(&path))
        };
        self.companions.package.get_or_init(find).as_ref()
    }

    fn split(&self, number: usize, folder: &Path, name: &Path) -> Option<&Sections> {
        let all = self.companions.split.get_or_init(|| {
            let units = self.unit_starts.get().map_or(0, Vec::len);
            (0..units).map(|_| OnceLock::new()).collect()
        });
        let root = &self.companions.root;
        // Links and `..` stay inside the machine's root.
        let open = |path: PathBuf| open_split(&root::resolve(root, &path).ok()?);
        let find = || {
            let beside = [&self.main.elf, &self.binary].into_iter();
            let beside = beside.filter_map(|elf| elf.path().parent());
            let last = name.file_name()?;
            let near = beside.map(|folder| root::inside(root, folder).join(last));
            let found = [folder.join(name)].into_iter().chain(near).find_map(open);
            found.map(Box::new)
        };
        all.get(number)?.get_or_init(find).as_deref()
    }
}

fn open_split(path: &Path) -> Option<Sections> {
    let elf = Elf::open(path).ok()?;
    let is_split = elf.has_section(".debug_info.dwo");
    is_split.then(|| Sections::new(Arc::new(elf), true))
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut whole = path.as_os_str().to_owned();
    whole.push(end);
    PathBuf::from(whole)
}
