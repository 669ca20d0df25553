//! Debug information of binaries: a function's parameters and types, and the addresses of source lines.
//!
//! Nothing is indexed ahead: for one function the unit is found by address (`.debug_aranges`, else the units' own ranges), and only
//! that unit's entries are walked. Work is counted, so that a crafted file ends with an error and not with a hang.

mod builder;
mod canonical;
mod definitions;
mod every_unit;
mod expression;
mod frame;
mod function;
mod go_types;
mod graph;
mod inlined;
mod line;
mod location;
mod members;
mod open;
mod outline;
mod prologue;
mod question;
mod scope;
mod search;
mod sections;
mod site;
#[cfg(test)]
mod tests;
mod types;
mod unit;

pub use function::{DebugFunction, Language, Parameter, Presence};
pub use graph::TypeGraph;
pub use inlined::{InlinedCopies, InlinedCopy, NamedFunction};
pub use line::LineMatch;
pub use location::{
    BinaryOperation, Expression, Location, MAX_OPERATIONS, MAX_REGISTER, MAX_STACK, Operation,
    Piece, UnaryOperation,
};
pub use scope::{Scope, Variable};
pub use types::{
    BaseEncoding, CompositeKind, DebugMember, DebugType, DiscriminantValue, GoKind, GoType,
    MemberRole, PointerKind, Qualifier, TypeIndex, Variant, VariantPart,
};

use crate::elf::{Debuginfod, Elf};
use crate::{Error, Result};
use gimli::{EndianSlice, LittleEndian};
use sections::{Companions, Sections};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

type Slice<'a> = EndianSlice<'a, LittleEndian>;
type Dwarf<'a> = gimli::Dwarf<Slice<'a>>;
type Unit<'a> = gimli::Unit<Slice<'a>>;
type Entry<'a> = gimli::DebuggingInformationEntry<Slice<'a>>;
type AttributeValue<'a> = gimli::AttributeValue<Slice<'a>>;

/// DWARF of one binary.
#[derive(Debug)]
pub struct DebugInfo {
    /// The file with the debug information.
    main: Sections,
    /// The file that runs.
    binary: Arc<Elf>,
    companions: Companions,
    index: OnceLock<unit::UnitIndex>,
    scanned: OnceLock<unit::UnitIndex>,
    /// Where units start.
    unit_starts: OnceLock<Vec<usize>>,
    supplement_starts: OnceLock<Vec<usize>>,
    /// By start of the unit.
    outlines: Mutex<HashMap<question::Spot, Arc<outline::Outline>>>,
    definitions: OnceLock<definitions::Definitions>,
    signatures: Mutex<HashMap<question::File, Arc<open::Signatures>>>,
    go_types: OnceLock<go_types::GoTypeIndex>,
    eh_frame: OnceLock<Vec<u8>>,
    eh_frame_index: OnceLock<frame::FrameIndex>,
    debug_frame_index: OnceLock<frame::FrameIndex>,
}

impl DebugInfo {
    /// Takes a file that carries DWARF itself.
    pub fn new(elf: Arc<Elf>) -> Result<DebugInfo> {
        let nowhere_else = Companions::new(Path::new("/"), &[]);
        DebugInfo::of(elf.clone(), elf, nowhere_else)
    }

    /// Takes a binary and the file that has its DWARF.
    fn of(binary: Arc<Elf>, elf: Arc<Elf>, companions: Companions) -> Result<DebugInfo> {
        if !elf.has_section(".debug_info") {
            return Err(Error::NoDebugInfo {
                path: elf.path().to_path_buf(),
            });
        }
        Ok(DebugInfo {
            main: Sections::new(elf, false),
            binary,
            companions,
            index: OnceLock::new(),
            scanned: OnceLock::new(),
            go_types: OnceLock::new(),
            unit_starts: OnceLock::new(),
            supplement_starts: OnceLock::new(),
            outlines: Mutex::default(),
            definitions: OnceLock::new(),
            signatures: Mutex::default(),
            eh_frame: OnceLock::new(),
            eh_frame_index: OnceLock::new(),
            debug_frame_index: OnceLock::new(),
        })
    }

    /// Finds a binary's debug information: in itself, or in its separate debug file.
    pub fn find(elf: &Arc<Elf>, machine_root: &Path, extra: &[PathBuf]) -> Result<DebugInfo> {
        let path = elf.find_debug_file(machine_root, extra)?;
        let debug = match path == elf.path() {
            true => elf.clone(),
            false => Arc::new(Elf::open(&path)?),
        };
        DebugInfo::of(elf.clone(), debug, Companions::new(machine_root, extra))
    }

    /// Like [`DebugInfo::find`]; what is not there is asked of servers.
    pub fn find_or_fetch(
        elf: &Arc<Elf>,
        machine_root: &Path,
        extra: &[PathBuf],
        servers: &Debuginfod,
    ) -> Result<DebugInfo> {
        let mut companions = Companions::new(machine_root, extra);
        companions.servers = Some(servers.clone());
        let missing = match elf.find_debug_file(machine_root, extra) {
            Ok(path) if path == elf.path() => {
                return DebugInfo::of(elf.clone(), elf.clone(), companions);
            }
            Ok(path) => return DebugInfo::of(elf.clone(), Arc::new(Elf::open(&path)?), companions),
            Err(error) => error,
        };
        let fetched = elf.build_id().map(|id| servers.fetch(id)).transpose()?;
        match fetched.flatten() {
            Some(path) => DebugInfo::of(elf.clone(), Arc::new(Elf::open(&path)?), companions),
            None => Err(missing),
        }
    }

    /// The file the debug information is in.
    pub fn path(&self) -> &Path {
        self.main.elf.path()
    }

    fn dwarf(&self) -> Result<Dwarf<'_>> {
        let mut dwarf = self.main.dwarf()?;
        if let Some(supplement) = self.supplement() {
            dwarf.set_sup(supplement.dwarf()?);
        }
        Ok(dwarf)
    }

    fn malformed(&self) -> impl Fn(gimli::Error) -> Error + use<> {
        let what = format!("debug information of {}", self.path().display());
        move |error| Error::malformed(what.clone(), error.to_string())
    }
}
