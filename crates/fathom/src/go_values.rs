//! Types of values in Go's interfaces, found in the debug information when they are first met.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fathom_compiler::types::whole_shapes;
use fathom_machine::dwarf::{DebugInfo, GoKind, Language};
use fathom_machine::elf::Elf;
use fathom_machine::{FileOffset, Machine};
use fathom_output::whole::{DynamicType, DynamicTypes, ProgramPlace};

/// Where the running program has the descriptions of its types.
const DESCRIPTIONS: &str = "runtime.types";

/// Types of the files that were asked about.
#[derive(Debug)]
pub struct GoValues {
    machine: Machine,
    files: Mutex<HashMap<PathBuf, Option<Arc<File>>>>,
}

#[derive(Debug)]
struct File {
    elf: Arc<Elf>,
    info: DebugInfo,
    /// Address of the first description.
    start: u64,
    known: Mutex<HashMap<u64, Option<Arc<DynamicType>>>>,
}

impl GoValues {
    /// Looks for debug files where the machine has them.
    pub fn new(machine: Machine) -> GoValues {
        GoValues {
            machine,
            files: Mutex::default(),
        }
    }

    fn file(&self, path: &Path) -> Option<Arc<File>> {
        if let Some(known) = lock(&self.files).get(path) {
            return known.clone();
        }
        let opened = self.open(path).map(Arc::new);
        lock(&self.files).insert(path.to_path_buf(), opened.clone());
        opened
    }

    fn open(&self, path: &Path) -> Option<File> {
        let elf = self.machine.elf(path).ok()?;
        let start = elf.data_symbol(DESCRIPTIONS).ok()?.address.0;
        let folders = self.machine.debug_folders();
        let info = DebugInfo::find(&elf, self.machine.root(), folders).ok()?;
        Some(File {
            elf,
            info,
            start,
            known: Mutex::default(),
        })
    }
}

impl DynamicTypes for GoValues {
    fn find(&self, program: &ProgramPlace<'_>, description: u64) -> Option<Arc<DynamicType>> {
        let file = self.file(Path::new(program.path))?;
        let loaded = file.start.checked_add(file.load_bias(program)?)?;
        let offset = description.checked_sub(loaded)?;
        if let Some(known) = lock(&file.known).get(&offset) {
            return known.clone();
        }
        let found = file.read(offset).map(Arc::new);
        lock(&file.known).insert(offset, found.clone());
        found
    }
}

impl File {
    /// How far behind its own addresses the file is loaded: whole pages.
    fn load_bias(&self, program: &ProgramPlace<'_>) -> Option<u64> {
        const PAGE: u64 = 4096;
        if !self.elf.is_position_independent() {
            return Some(0);
        }
        program.offsets.iter().find_map(|offset| {
            let address = self.elf.address_of(FileOffset(*offset))?;
            let bias = program.instruction.checked_sub(address.0)?;
            bias.is_multiple_of(PAGE).then_some(bias)
        })
    }

    fn read(&self, offset: u64) -> Option<DynamicType> {
        let (graph, index) = self.info.go_type(offset).ok().flatten()?;
        let (shapes, ids) = whole_shapes(&graph, Language::Go, [index]);
        let kind = graph.go(index).map(|go| go.kind);
        Some(DynamicType {
            name: graph.name(index),
            shape: *ids.first()?,
            shapes: Arc::new(shapes),
            is_pointer: matches!(
                kind,
                Some(
                    GoKind::Pointer
                        | GoKind::Map
                        | GoKind::Chan
                        | GoKind::Func
                        | GoKind::UnsafePointer
                )
            ),
        })
    }
}

/// A panic elsewhere leaves what was found.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
