//! From what a script names to a file: paths, programs in `PATH`, libraries by bare name, patterns, other mount namespaces.

use super::ld_cache;
use crate::pattern::{Pattern, has_wildcard};
use crate::{Error, Machine, Pid, Result, bytes, root, suggest};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

/// Where programs are looked for when there is no `PATH` that counts.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Where libraries are looked for that the cache does not have.
const LIBRARY_FOLDERS: [&str; 8] = [
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
    "/usr/local/lib",
    "/usr/local/lib64",
];
/// Files a pattern gives at most.
const MAX_MATCHES: usize = 10_000;
/// Folder entries looked at for one pattern.
const MAX_ENTRIES: usize = 1_000_000;

/// A binary that was found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Binary {
    /// Where to open it from here, all links followed.
    pub path: PathBuf,
    /// What to show: the path as the machine (or the process's container) says it.
    pub shown: PathBuf,
}

/// Where to look: a root folder, and the folder relative paths start from.
struct View {
    root: PathBuf,
    current: PathBuf,
}

impl Machine {
    /// The program that a process runs: by its path if that still leads to it, else by what the process itself holds, which also
    /// opens files that were deleted or lie outside of its root.
    pub fn program_of(&self, pid: Pid) -> Result<Binary> {
        let process = self.process(pid);
        let shown = process.exe()?;
        let link = process.exe_link();
        let named = self
            .resolve_binary(&shown.to_string_lossy(), Some(pid))
            .ok();
        let named = named.and_then(|found| found.into_iter().next());
        let identity = |path: &Path| {
            let metadata = std::fs::metadata(path).ok()?;
            Some((metadata.dev(), metadata.ino()))
        };
        match named {
            Some(binary) if identity(&binary.path) == identity(&link) => Ok(binary),
            _ => Ok(Binary { path: link, shown }),
        }
    }

    /// The files a script's binary name stands for: a path, a program in `PATH`, a library by bare name (`libc`, `libc.so.6`), a
    /// pattern of one of these, or `*` for all files a process maps. With `pid` the process's root and mount namespace count.
    /// There is at least one file, or an error.
    pub fn resolve_binary(&self, name: &str, pid: Option<Pid>) -> Result<Vec<Binary>> {
        let view = self.view(pid);
        let found = match (name.contains('/'), has_wildcard(name)) {
            (true, true) => view.glob(name),
            (true, false) => view.file(Path::new(name))?.into_iter().collect(),
            (false, is_pattern) => {
                let mapped = self.mapped_matches(name, pid, &view);
                match (mapped.is_empty(), is_pattern) {
                    (false, _) => mapped,
                    (true, true) => view.glob_bare(name),
                    (true, false) => view
                        .program(name)
                        .or_else(|| view.library(name))
                        .into_iter()
                        .collect(),
                }
            }
        };
        if found.is_empty() {
            return Err(Error::NotFound {
                kind: "program or library".into(),
                name: name.into(),
                nearest: view.suggestions(name),
            });
        }
        Ok(found)
    }

    fn view(&self, pid: Option<Pid>) -> View {
        let current = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
        let is_here = self.root() == Path::new("/");
        let Some(pid) = pid else {
            return View {
                root: self.root().to_path_buf(),
                current: if is_here { current } else { PathBuf::from("/") },
            };
        };
        let process = self.process(pid);
        let own_root = std::fs::metadata(self.path("/")).map(|m| (m.dev(), m.ino()));
        let its_root = std::fs::metadata(process.root()).map(|m| (m.dev(), m.ino()));
        // Mounts differ between namespaces although the root folder is the same.
        let is_same = matches!((own_root, its_root), (Ok(own), Ok(its)) if own == its)
            && self.process(Pid(std::process::id())).namespace("mnt").ok()
                == process.namespace("mnt").ok();
        let root = if is_same {
            self.root().to_path_buf()
        } else {
            process.root()
        };
        View {
            root,
            current: if is_same && is_here {
                current
            } else {
                PathBuf::from("/")
            },
        }
    }

    /// Files the process maps whose name fits: all for `*`, `libc` for `libc.so.6`.
    fn mapped_matches(&self, name: &str, pid: Option<Pid>, view: &View) -> Vec<Binary> {
        let Some(mapped) = pid.and_then(|pid| self.process(pid).mapped_files().ok()) else {
            return Vec::new();
        };
        let pattern = Pattern::new(name);
        let fits = |path: &Path| {
            let file = path
                .file_name()
                .and_then(|file| file.to_str())
                .unwrap_or("");
            if pattern.is_literal() {
                file == name || is_library_of(file, name)
            } else {
                pattern.matches(file)
            }
        };
        mapped
            .iter()
            .filter(|path| fits(path))
            .filter_map(|path| view.file(path).ok().flatten())
            .collect()
    }
}

/// Whether a file name is that library: `libc` is `libc.so`, `libc.so.6`, `libc-2.31.so`.
fn is_library_of(file: &str, name: &str) -> bool {
    let Some(rest) = file.strip_prefix(name) else {
        return false;
    };
    rest == ".so" || rest.starts_with(".so.") || (rest.starts_with('-') && rest.ends_with(".so"))
}

impl View {
    /// A regular file by its path in this view.
    fn file(&self, path: &Path) -> Result<Option<Binary>> {
        let absolute = if path.is_absolute() {
            path.to_path_buf()
        } else {
            self.current.join(path)
        };
        match root::resolve(&self.root, &absolute) {
            Ok(resolved) if resolved.is_file() => Ok(Some(Binary {
                path: resolved,
                shown: normal(&absolute),
            })),
            Ok(_) => Ok(None),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn existing(&self, path: &Path) -> Option<Binary> {
        self.file(path).ok().flatten()
    }

    fn program_folders(&self) -> Vec<PathBuf> {
        let own = std::env::var("PATH")
            .ok()
            .filter(|_| self.root == Path::new("/"));
        let path = own.as_deref().unwrap_or(DEFAULT_PATH);
        std::env::split_paths(path)
            .filter(|folder| folder.is_absolute())
            .collect()
    }

    fn program(&self, name: &str) -> Option<Binary> {
        let candidates = self
            .program_folders()
            .into_iter()
            .filter_map(|folder| self.existing(&folder.join(name)));
        let is_executable = |binary: &Binary| {
            binary
                .path
                .metadata()
                .is_ok_and(|m| m.permissions().mode() & 0o111 != 0)
        };
        candidates.into_iter().find(is_executable)
    }

    fn library(&self, name: &str) -> Option<Binary> {
        self.cached_library(name).or_else(|| {
            let names = [name.to_string(), format!("{name}.so")];
            let paths = LIBRARY_FOLDERS
                .iter()
                .flat_map(|folder| names.iter().map(move |name| Path::new(folder).join(name)));
            paths
                .into_iter()
                .find_map(|path| self.existing(&path))
                .or_else(|| self.versioned_library(name))
        })
    }

    fn cache(&self) -> Vec<u8> {
        bytes::read_file(&root::join(&self.root, "/etc/ld.so.cache")).unwrap_or_default()
    }

    fn cached_library(&self, name: &str) -> Option<Binary> {
        let cache = self.cache();
        let mut fitting: Vec<_> = ld_cache::libraries(&cache)
            .filter(|library| library.name == name || is_library_of(library.name, name))
            .collect();
        // `libc.so.6` beats the linker script `libc.so`, native beats foreign.
        fitting.sort_by_key(|library| {
            (
                !library.is_native,
                library.name != name,
                !library.name.contains(".so."),
            )
        });
        fitting
            .into_iter()
            .find_map(|library| self.existing(Path::new(library.path)))
    }

    /// `libfoo.so.3` for `libfoo` in folders that no cache lists (musl, minimal containers).
    fn versioned_library(&self, name: &str) -> Option<Binary> {
        LIBRARY_FOLDERS.iter().find_map(|folder| {
            self.glob(&format!("{folder}/{name}.so.*"))
                .into_iter()
                .next()
        })
    }

    /// Files a pattern with folders in it gives, in order, each file once.
    fn glob(&self, pattern: &str) -> Vec<Binary> {
        let absolute = if pattern.starts_with('/') {
            PathBuf::from(pattern)
        } else {
            self.current.join(pattern)
        };
        let mut budget = MAX_ENTRIES;
        let mut paths = vec![PathBuf::from("/")];
        for component in absolute.components() {
            let Component::Normal(part) = component else {
                continue;
            };
            let part = part.to_string_lossy();
            paths = if has_wildcard(&part) {
                let pattern = Pattern::new(part.as_ref());
                paths
                    .iter()
                    .flat_map(|folder| self.entries(folder, &pattern, &mut budget))
                    .take(MAX_MATCHES)
                    .collect()
            } else {
                paths
                    .into_iter()
                    .map(|path| path.join(part.as_ref()))
                    .collect()
            };
        }
        unique(
            paths
                .iter()
                .filter_map(|path| self.existing(path))
                .collect(),
        )
    }

    fn entries(&self, folder: &Path, pattern: &Pattern, budget: &mut usize) -> Vec<PathBuf> {
        let Ok(real) = root::resolve(&self.root, folder) else {
            return Vec::new();
        };
        let Ok(entries) = std::fs::read_dir(real) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        for entry in entries.flatten() {
            let Some(left) = budget.checked_sub(1) else {
                break;
            };
            *budget = left;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            // As in a shell, a leading dot must be written.
            if pattern.matches(name)
                && (!name.starts_with('.') || pattern.as_str().starts_with('.'))
            {
                found.push(folder.join(name));
            }
        }
        found.sort_unstable();
        found
    }

    /// A pattern without folders: programs in `PATH` and libraries of the cache.
    fn glob_bare(&self, text: &str) -> Vec<Binary> {
        let pattern = Pattern::new(text);
        let mut budget = MAX_ENTRIES;
        let folders = self.program_folders();
        let mut paths: Vec<PathBuf> = folders
            .iter()
            .flat_map(|folder| self.entries(folder, &pattern, &mut budget))
            .take(MAX_MATCHES)
            .collect();
        let cache = self.cache();
        let libraries = ld_cache::libraries(&cache)
            .filter(|library| library.is_native && pattern.matches(library.name));
        paths.extend(libraries.map(|library| PathBuf::from(library.path)));
        unique(
            paths
                .iter()
                .filter_map(|path| self.existing(path))
                .collect(),
        )
    }

    fn suggestions(&self, name: &str) -> Vec<String> {
        if has_wildcard(name) || name.contains('/') {
            return Vec::new();
        }
        let cache = self.cache();
        let everything = Pattern::new("*");
        let mut budget = MAX_ENTRIES;
        let paths: Vec<PathBuf> = self
            .program_folders()
            .iter()
            .flat_map(|folder| self.entries(folder, &everything, &mut budget))
            .collect();
        let programs = paths.iter().filter_map(|path| path.file_name()?.to_str());
        let libraries = ld_cache::libraries(&cache)
            .map(|library| library.name.split(".so").next().unwrap_or(library.name));
        suggest::nearest(name, programs.chain(libraries))
    }
}

/// Keeps the first name of each file.
fn unique(found: Vec<Binary>) -> Vec<Binary> {
    let mut seen = std::collections::HashSet::new();
    found
        .into_iter()
        .filter(|binary| seen.insert(binary.path.clone()))
        .collect()
}

/// The path without `.` parts.
fn normal(path: &Path) -> PathBuf {
    path.components()
        .filter(|component| *component != Component::CurDir)
        .collect()
}
