//! The machine as one value: a root folder, and what was read of it so far.

use crate::btf::{Btf, Enumerator, Kind, TypeId};
use crate::dwarf::DebugInfo;
use crate::elf::{Debuginfod, Elf};
use crate::kallsyms::Kallsyms;
use crate::tracefs::{Pmu, ProbePmu, Tracefs};
use crate::{Error, Result, root};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Binaries kept open; more than that are opened anew when asked for again.
const MAX_OPEN_BINARIES: usize = 1024;

/// Modules whose BTF is looked at.
const MAX_MODULES: usize = 4096;

/// A machine to trace: this one, a container, or a fixture folder.
#[derive(Debug)]
pub struct Machine {
    root: PathBuf,
    debug_folders: Vec<PathBuf>,
    debug_servers: Option<Debuginfod>,
    btf: OnceLock<Arc<Btf>>,
    modules: Mutex<HashMap<String, Arc<Btf>>>,
    kallsyms: OnceLock<Kallsyms>,
    tracefs: OnceLock<Tracefs>,
    binaries: Mutex<HashMap<PathBuf, Arc<Elf>>>,
}

impl Machine {
    /// The machine whose files are below `root`. Reads nothing.
    pub fn at(root: impl Into<PathBuf>) -> Machine {
        Machine {
            root: root.into(),
            debug_folders: Vec::new(),
            debug_servers: None,
            btf: OnceLock::new(),
            modules: Mutex::default(),
            kallsyms: OnceLock::new(),
            tracefs: OnceLock::new(),
            binaries: Mutex::default(),
        }
    }

    /// Debug files are looked for in these folders first, then where distributions put them.
    pub fn with_debug_folders(mut self, folders: Vec<PathBuf>) -> Machine {
        self.debug_folders = folders;
        self
    }

    /// Debug files that are nowhere here are asked of these servers.
    pub fn with_debug_servers(mut self, servers: Option<Debuginfod>) -> Machine {
        self.debug_servers = servers;
        self
    }

    /// A binary's debug information, wherever it is.
    pub fn debug_info(&self, elf: &Arc<Elf>) -> Result<DebugInfo> {
        let (root, folders) = (self.root(), self.debug_folders());
        match &self.debug_servers {
            Some(servers) => DebugInfo::find_or_fetch(elf, root, folders, servers),
            None => DebugInfo::find(elf, root, folders),
        }
    }

    /// Further folders of debug files.
    pub fn debug_folders(&self) -> &[PathBuf] {
        &self.debug_folders
    }

    /// The root folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where a file of the machine is from here, without following links.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        root::join(&self.root, path)
    }

    /// The kernel's BTF, opened once.
    pub fn btf(&self) -> Result<&Arc<Btf>> {
        if let Some(btf) = self.btf.get() {
            return Ok(btf);
        }
        let path = self.path("/sys/kernel/btf/vmlinux");
        let btf = Btf::open(&path, None).map_err(|error| {
            if error.is_missing() {
                Error::NoBtf { path }
            } else {
                error
            }
        })?;
        Ok(self.btf.get_or_init(|| Arc::new(btf)))
    }

    /// The kernel's BTF from elsewhere than its file. What was read already stays.
    pub fn set_btf(&self, bytes: Vec<u8>) -> Result<()> {
        let btf = Btf::new(bytes, None)?;
        self.btf.get_or_init(|| Arc::new(btf));
        Ok(())
    }

    /// Names of the loaded modules that have BTF, in order.
    pub fn btf_modules(&self) -> Result<Vec<String>> {
        let path = self.path("/sys/kernel/btf");
        let entries = match std::fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::read(path)(error)),
        };
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| name != "vmlinux")
            .take(MAX_MODULES)
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    /// BTF of a loaded module, opened once; `vmlinux` is the kernel itself.
    pub fn module_btf(&self, module: &str) -> Result<Arc<Btf>> {
        let base = self.btf()?;
        if module == "vmlinux" {
            return Ok(base.clone());
        }
        if let Some(btf) = self
            .modules
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(module)
        {
            return Ok(btf.clone());
        }
        let path = self.path("/sys/kernel/btf");
        let path = path.join(module.replace(['/', '.'], "_"));
        let btf = Btf::open(&path, Some(base.clone())).map_err(|error| {
            if error.is_missing() {
                Error::not_found("kernel module with BTF", module)
            } else {
                error
            }
        })?;
        let btf = Arc::new(btf);
        self.modules
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(module.to_string(), btf.clone());
        Ok(btf)
    }

    /// A kernel type by kind and name: in vmlinux, else in the modules.
    pub fn find_type(&self, kind: Kind, name: &str) -> Result<(Arc<Btf>, TypeId)> {
        let vmlinux = self.btf()?;
        if let Some(id) = vmlinux.find(kind, name) {
            return Ok((vmlinux.clone(), id));
        }
        let in_module = self.in_modules(|btf| btf.find(kind, name));
        in_module.map_or_else(
            || vmlinux.require(kind, name).map(|id| (vmlinux.clone(), id)),
            Ok,
        )
    }

    /// A constant of any kernel enum: in vmlinux, else in the modules.
    pub fn enumerator(&self, name: &str) -> Result<Option<(Arc<Btf>, Enumerator)>> {
        let vmlinux = self.btf()?;
        if let Some(found) = vmlinux.enumerator(name) {
            return Ok(Some((vmlinux.clone(), found)));
        }
        Ok(self.in_modules(|btf| btf.enumerator(name)))
    }

    /// The file that has a raw tracepoint of that name: vmlinux, else a module.
    pub fn raw_tracepoint_btf(&self, name: &str) -> Result<Arc<Btf>> {
        self.find_type(Kind::Typedef, &format!("btf_trace_{name}"))
            .map(|(btf, _)| btf)
            .or_else(|error| {
                // The vmlinux lookup phrases the error for the name the user wrote.
                if error.is_missing() {
                    self.btf()?
                        .raw_tracepoint(name)
                        .map(|_| self.btf().cloned())?
                } else {
                    Err(error)
                }
            })
    }

    /// The kernel's symbols, read once.
    pub fn kallsyms(&self) -> Result<&Kallsyms> {
        if let Some(symbols) = self.kallsyms.get() {
            return Ok(symbols);
        }
        let symbols = Kallsyms::open(&self.path("/proc/kallsyms"))?;
        Ok(self.kallsyms.get_or_init(|| symbols))
    }

    /// tracefs, found or mounted privately once.
    pub fn tracefs(&self) -> Result<&Tracefs> {
        if let Some(tracefs) = self.tracefs.get() {
            return Ok(tracefs);
        }
        let tracefs = Tracefs::find(&self.root)?;
        Ok(self.tracefs.get_or_init(|| tracefs))
    }

    /// A PMU by name: `software`, `cpu` ….
    pub fn pmu(&self, name: &str) -> Result<Pmu> {
        Pmu::find(&self.path("/sys/bus/event_source/devices"), name)
    }

    /// All PMUs.
    pub fn pmus(&self) -> Result<Vec<Pmu>> {
        Pmu::all(&self.path("/sys/bus/event_source/devices"))
    }

    /// The `uprobe` or `kprobe` PMU.
    pub fn probe_pmu(&self, name: &str) -> Result<ProbePmu> {
        ProbePmu::find(&self.path("/sys/bus/event_source/devices"), name)
    }

    /// A binary, opened once. The path is one to open from here, as [`Machine::resolve_binary`] gives it.
    pub fn elf(&self, path: &Path) -> Result<Arc<Elf>> {
        if let Some(elf) = self
            .binaries
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(path)
        {
            return Ok(elf.clone());
        }
        let elf = Arc::new(Elf::open(path)?);
        let mut binaries = self.binaries.lock().unwrap_or_else(PoisonError::into_inner);
        if binaries.len() >= MAX_OPEN_BINARIES {
            binaries.clear();
        }
        binaries.insert(path.to_path_buf(), elf.clone());
        Ok(elf)
    }

    fn in_modules<T>(&self, find: impl Fn(&Btf) -> Option<T>) -> Option<(Arc<Btf>, T)> {
        let modules = self.btf_modules().ok()?;
        modules.iter().find_map(|module| {
            let btf = self.module_btf(module).ok()?;
            find(&btf).map(|found| (btf, found))
        })
    }
}
