//! Addresses of processes → functions, source lines and inlined functions.
//!
//! What a process has mapped is read when it is first seen and kept: a process that has ended since is symbolized as far as it was
//! seen. Files are opened then, too, so that deleted ones and those of other mount namespaces stay readable.

use super::perf_map::PerfMap;
use blazesym::symbolize::source::{Elf, Source};
use blazesym::symbolize::{CodeInfo, Input, Sym, Symbolized, Symbolizer};
use fathom_bpf::object::Settings;
use fathom_machine::elf::Elf as GoElf;
use fathom_machine::process::Mapping;
use fathom_machine::{Address, FileOffset, Machine, Pid};
use fathom_output::Frame;
use fathom_output::resolve::SourceLocation;
use std::cell::OnceCell;
use std::collections::HashMap;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Processes that are remembered.
const MAX_PROCESSES: usize = 8192;
/// Programs that one process executed one after the other and that are remembered.
const MAX_PROGRAMS: usize = 4;
/// Files that are held open.
const MAX_FILES: usize = 512;
/// Symbolized addresses that are kept.
const MAX_FRAMES: usize = 1 << 16;
/// How soon a process is looked at again for an address that it had not mapped.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Identity of a mapped file.
type FileId = ((u32, u32), u64);

pub(super) struct UserSymbols {
    symbolizer: Symbolizer,
    processes: HashMap<u32, Seen>,
    /// What opens the file from here; `None` when nothing does.
    files: HashMap<FileId, Option<Opened>>,
    frames: HashMap<(FileId, u64), Vec<Frame>>,
}

/// A process as it was when it was last looked at.
#[derive(Default)]
struct Seen {
    /// Code only, in order of address.
    mappings: Vec<Mapping>,
    /// The same of programs that the process executed before, newest last.
    before: Vec<Vec<Mapping>>,
    perf_map: Option<PerfMap>,
    at: Option<Instant>,
}

struct Opened {
    path: PathBuf,
    /// Keeps `/proc/self/fd/N` valid.
    _file: Option<File>,
    /// A stripped Go program, which still has its own table of functions.
    stripped_go: OnceCell<Option<GoElf>>,
}

impl Opened {
    fn new(path: PathBuf, file: Option<File>) -> Opened {
        Opened {
            path,
            _file: file,
            stripped_go: OnceCell::new(),
        }
    }

    /// A function of a stripped Go program.
    fn go_frame(&self, offset: u64, module: Option<&str>) -> Option<Frame> {
        let elf = self.stripped_go.get_or_init(|| {
            let elf = GoElf::open(&self.path).ok()?;
            (!elf.has_symbol_table() && elf.go().is_some()).then_some(elf)
        });
        let elf = elf.as_ref()?;
        let (function, inside) = elf.function_containing(elf.address_of(FileOffset(offset))?)?;
        Some(Frame {
            symbol: Some(function.name().to_owned()),
            offset: inside,
            module: module.map(str::to_owned),
            ..Frame::default()
        })
    }
}

/// Where distributions put debug files.
const DEBUG_FOLDERS: [&str; 2] = ["/usr/lib/debug", "/lib/debug"];

impl UserSymbols {
    /// Debug files are looked for in `debug_folders` first.
    pub(super) fn new(settings: &Settings, debug_folders: &[PathBuf]) -> UserSymbols {
        let places = debug_folders.iter().map(PathBuf::as_path);
        let symbolizer = Symbolizer::builder()
            .set_debug_dirs(Some(places.chain(DEBUG_FOLDERS.map(Path::new))))
            .enable_code_info(settings.show_debug_info)
            .enable_inlined_fns(settings.show_debug_info)
            .enable_demangling(settings.demangle)
            .build();
        UserSymbols {
            symbolizer,
            processes: HashMap::new(),
            files: HashMap::new(),
            frames: HashMap::new(),
        }
    }

    /// Reads what the process has mapped now. When it is gone, what was seen before stays.
    pub(super) fn look_at(&mut self, machine: &Machine, pid: u32) {
        if self.processes.len() >= MAX_PROCESSES && !self.processes.contains_key(&pid) {
            self.processes.clear();
        }
        let process = machine.process(Pid(pid));
        let seen = self.processes.entry(pid).or_default();
        seen.at = Some(Instant::now());
        let Ok(mut mappings) = process.maps() else {
            return;
        };
        mappings.retain(|mapping| mapping.is_executable);
        // A process that is ending has none left.
        if mappings.is_empty() {
            return;
        }
        for mapping in mappings.iter().filter(|mapping| mapping.file().is_some()) {
            let id = (mapping.device, mapping.inode);
            if !self.files.contains_key(&id) {
                if self.files.len() >= MAX_FILES {
                    self.files.clear();
                    self.frames.clear();
                }
                self.files
                    .insert(id, open(&process.root(), process.folder(), mapping));
            }
        }
        let program = |mappings: &[Mapping]| {
            mappings
                .first()
                .map(|first| (first.inode, first.range.start))
        };
        let old = std::mem::replace(&mut seen.mappings, mappings);
        if !old.is_empty() && program(&old) != program(&seen.mappings) {
            seen.before.push(old);
            if seen.before.len() > MAX_PROGRAMS {
                seen.before.remove(0);
            }
        }
    }

    /// At least one frame; the innermost inlined function first.
    pub(super) fn frames(&mut self, machine: &Machine, pid: u32, address: u64) -> Vec<Frame> {
        if self.mapping(pid, address).is_none() {
            let last = self.processes.get(&pid).and_then(|seen| seen.at);
            if last.is_none_or(|at| at.elapsed() > LOOK_AGAIN) {
                self.look_at(machine, pid);
            }
        }
        let Some(mapping) = self.mapping(pid, address) else {
            return vec![Frame::unknown(address)];
        };
        let module = mapping.path.as_ref().map(|path| path.display().to_string());
        let id = (mapping.device, mapping.inode);
        match (
            mapping.file().is_some(),
            mapping.file_offset(Address(address)),
        ) {
            (true, Some(offset)) => self.file_frames(id, offset.0, address, module),
            _ => self.jit_frames(machine, pid, address, module),
        }
    }

    fn mapping(&self, pid: u32, address: u64) -> Option<&Mapping> {
        let seen = self.processes.get(&pid)?;
        let newest_first = [&seen.mappings].into_iter().chain(seen.before.iter().rev());
        newest_first
            .filter_map(|mappings| mapping_at(mappings, address))
            .next()
    }

    fn file_frames(
        &mut self,
        id: FileId,
        offset: u64,
        address: u64,
        module: Option<String>,
    ) -> Vec<Frame> {
        let mut frames = match self.frames.get(&(id, offset)) {
            Some(known) => known.clone(),
            None => {
                let found = self.symbolize(id, offset, module.as_deref());
                if self.frames.len() >= MAX_FRAMES {
                    self.frames.clear();
                }
                self.frames.insert((id, offset), found.clone());
                found
            }
        };
        if frames.is_empty() {
            frames.push(Frame {
                module,
                ..Frame::default()
            });
        }
        for frame in &mut frames {
            frame.address = address;
        }
        frames
    }

    fn symbolize(&self, id: FileId, offset: u64, module: Option<&str>) -> Vec<Frame> {
        let Some(Some(opened)) = self.files.get(&id) else {
            return Vec::new();
        };
        let mut file = Elf::new(&opened.path);
        let found = self.symbol(file.clone(), offset).or_else(|| {
            // Debug information that cannot be read (compressed in a way unknown to us, damaged) must not hide the symbols.
            file.debug_syms = false;
            self.symbol(file, offset)
        });
        match found {
            Some(symbol) => frames_of(&symbol, module),
            None => opened.go_frame(offset, module).into_iter().collect(),
        }
    }

    fn symbol(&self, file: Elf, offset: u64) -> Option<Sym<'_>> {
        let input = Input::FileOffset(offset);
        match self.symbolizer.symbolize_single(&Source::Elf(file), input) {
            Ok(Symbolized::Sym(symbol)) => Some(symbol),
            _ => None,
        }
    }

    /// Code without a file: a just-in-time compiler may have told its names in `/tmp/perf-PID.map`.
    fn jit_frames(
        &mut self,
        machine: &Machine,
        pid: u32,
        address: u64,
        module: Option<String>,
    ) -> Vec<Frame> {
        let process = machine.process(Pid(pid));
        let found = self.processes.get_mut(&pid).and_then(|seen| {
            let map = seen.perf_map.get_or_insert_with(PerfMap::default);
            map.lookup(&process, address)
        });
        let frame = match found {
            Some((name, offset)) => Frame {
                symbol: Some(name),
                offset,
                ..Frame::default()
            },
            None => Frame::default(),
        };
        vec![Frame {
            address,
            module,
            ..frame
        }]
    }
}

fn mapping_at(mappings: &[Mapping], address: u64) -> Option<&Mapping> {
    let after = mappings.partition_point(|mapping| mapping.range.start <= address);
    let mapping = mappings.get(after.checked_sub(1)?)?;
    mapping.range.contains(&address).then_some(mapping)
}

/// The file's own path if that leads to the same file from here, so that debug files beside it are found; else a descriptor of it.
fn open(root: &Path, process: &Path, mapping: &Mapping) -> Option<Opened> {
    let path = mapping.path.as_deref()?;
    if std::fs::metadata(path).is_ok_and(|metadata| is_same(&metadata, mapping)) {
        return Some(Opened::new(path.to_owned(), None));
    }
    let range = format!("{:x}-{:x}", mapping.range.start, mapping.range.end);
    let inside = root.join(path.strip_prefix("/").unwrap_or(path));
    let file = File::open(process.join("map_files").join(range))
        .or_else(|_| File::open(inside))
        .ok()?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    Some(Opened::new(path, Some(file)))
}

/// Device numbers are not compared: file systems such as overlayfs and btrfs show others in maps than in `stat`.
fn is_same(metadata: &std::fs::Metadata, mapping: &Mapping) -> bool {
    metadata.ino() == mapping.inode && !mapping.is_deleted
}

/// blazesym gives the function that has the code, then what was inlined into it from outside to inside.
fn frames_of(symbol: &Sym<'_>, module: Option<&str>) -> Vec<Frame> {
    let module = module.map(str::to_owned);
    let inlined = symbol.inlined.iter().rev().map(|function| Frame {
        symbol: Some(function.name.to_string()),
        module: module.clone(),
        source: function.code_info.as_ref().and_then(location),
        is_inlined: true,
        ..Frame::default()
    });
    let outer = Frame {
        symbol: Some(symbol.name.to_string()),
        offset: symbol.offset as u64,
        module: module.clone(),
        source: symbol.code_info.as_deref().and_then(location),
        ..Frame::default()
    };
    inlined.chain([outer]).collect()
}

fn location(info: &CodeInfo<'_>) -> Option<SourceLocation> {
    Some(SourceLocation {
        file: info.to_path().display().to_string(),
        line: info.line?,
    })
}
