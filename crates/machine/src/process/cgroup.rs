//! Cgroups: the hierarchies that are mounted, the ids programs see, and which processes are where.
//!
//! A cgroup's id is the inode number of its folder. Version 1 controllers and a version 2 tree can be mounted side by side; BPF's
//! `bpf_get_current_cgroup_id` speaks of the version 2 tree.

use super::Process;
use crate::{Error, Machine, Result, bytes, root};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Cgroups looked at when an id is searched.
const MAX_CGROUPS: usize = 100_000;
/// Folders nested at most.
const MAX_DEPTH: usize = 64;

/// A mounted cgroup tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// `unified` for version 2, else the controllers: `cpu,cpuacct`, `name=systemd`.
    pub name: String,
    /// Where it is mounted, in the machine's root.
    pub folder: PathBuf,
    /// Whether it is version 2.
    pub is_unified: bool,
}

/// A cgroup that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroup {
    /// Name of its hierarchy.
    pub hierarchy: String,
    /// Path below the hierarchy's root, starting with `/`.
    pub path: PathBuf,
}

/// The cgroup of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerCgroup {
    /// As programs see it.
    pub id: u64,
    /// Its folder.
    pub folder: PathBuf,
    /// Processes in it, at least one unless it is empty.
    pub pids: Vec<crate::Pid>,
}

/// A line of `/proc/PID/cgroup`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CgroupMembership {
    /// `unified` for version 2, else the controllers.
    pub hierarchy: String,
    /// Path below the hierarchy's root.
    pub path: PathBuf,
}

impl Machine {
    /// The mounted cgroup trees, version 2 first.
    pub fn cgroup_hierarchies(&self) -> Result<Vec<Hierarchy>> {
        let text = bytes::read_text(&self.path("/proc/self/mountinfo"))
            .or_else(|_| bytes::read_text(&self.path("/proc/1/mountinfo")))?;
        let mut found: Vec<Hierarchy> = text.lines().filter_map(parse_mount).collect();
        found.sort_by_key(|hierarchy| !hierarchy.is_unified);
        Ok(found)
    }

    /// The version 2 tree.
    pub fn unified_cgroup(&self) -> Result<Hierarchy> {
        let unified = self
            .cgroup_hierarchies()?
            .into_iter()
            .find(|hierarchy| hierarchy.is_unified);
        unified.ok_or_else(|| {
            Error::not_found(
                "mounted cgroup2 tree (mount -t cgroup2 none /sys/fs/cgroup/unified)",
                "cgroup2",
            )
        })
    }

    /// The version 2 cgroup whose folder's name has a container's id in it, or the beginning of the id: `docker-ID.scope`, `ID`,
    /// `cri-containerd-ID.scope`. Of nested ones the outermost.
    pub fn container_cgroup(&self, id: &str) -> Result<ContainerCgroup> {
        let missing = || Error::not_found("container", id);
        if id.is_empty() {
            return Err(missing());
        }
        let top = self.unified_cgroup()?.folder;
        let mut waiting = std::collections::VecDeque::from([(top, 0)]);
        let mut seen = 0;
        while let Some((folder, depth)) = waiting.pop_front() {
            seen += 1;
            let name = folder.file_name().unwrap_or_default().to_string_lossy();
            let is_wanted = name.split(['-', '.', ':']).any(|part| part.starts_with(id));
            if depth > 0 && is_wanted {
                let metadata = std::fs::metadata(&folder).map_err(Error::read(&folder))?;
                return Ok(ContainerCgroup {
                    id: metadata.ino(),
                    pids: processes_below(&folder),
                    folder,
                });
            }
            if depth < MAX_DEPTH && seen < MAX_CGROUPS {
                let inner = subfolders(&folder).into_iter();
                waiting.extend(inner.map(|inner| (inner, depth + 1)));
            }
        }
        Err(missing())
    }

    /// The id of a cgroup given the path of its folder, as `cgroupid("path")` gives it.
    pub fn cgroup_id(&self, folder: &Path) -> Result<u64> {
        let path = root::resolve(self.root(), folder)?;
        let metadata = std::fs::metadata(&path).map_err(Error::read(&path))?;
        if !metadata.is_dir() {
            return Err(Error::Read {
                path,
                cause: io::Error::from(io::ErrorKind::NotADirectory),
            });
        }
        Ok(metadata.ino())
    }

    /// All cgroups with that id, at most one in each hierarchy; `filter` limits them by name of the hierarchy.
    pub fn cgroups_by_id(&self, id: u64, filter: impl Fn(&str) -> bool) -> Result<Vec<Cgroup>> {
        let wanted = self
            .cgroup_hierarchies()?
            .into_iter()
            .filter(|hierarchy| filter(&hierarchy.name));
        let found = wanted.filter_map(|hierarchy| {
            let top = self.path(&hierarchy.folder);
            let path = search(&top, id)?;
            let path = Path::new("/").join(path.strip_prefix(&top).ok()?);
            Some(Cgroup {
                hierarchy: hierarchy.name,
                path,
            })
        });
        Ok(found.collect())
    }
}

impl Process {
    /// The cgroups it is in.
    pub fn cgroups(&self) -> Result<Vec<CgroupMembership>> {
        Ok(self
            .text("cgroup")?
            .lines()
            .filter_map(parse_membership)
            .collect())
    }

    /// Its path in the version 2 tree.
    pub fn cgroup_path(&self) -> Result<Option<PathBuf>> {
        Ok(self
            .cgroups()?
            .into_iter()
            .find(|membership| membership.hierarchy == "unified")
            .map(|m| m.path))
    }
}

/// `4:memory:/path`, `0::/path`.
fn parse_membership(line: &str) -> Option<CgroupMembership> {
    let mut parts = line.splitn(3, ':');
    let number = parts.next()?;
    let controllers = parts.next()?;
    let path = PathBuf::from(parts.next()?);
    let hierarchy = if number == "0" && controllers.is_empty() {
        "unified"
    } else {
        controllers
    };
    Some(CgroupMembership {
        hierarchy: hierarchy.to_string(),
        path,
    })
}

/// `36 35 98:0 /root /mount/point options - type source super-options`
fn parse_mount(line: &str) -> Option<Hierarchy> {
    let (left, right) = line.split_once(" - ")?;
    let folder = PathBuf::from(left.split(' ').nth(4)?.replace("\\040", " "));
    let mut right = right.split(' ');
    match right.next()? {
        "cgroup2" => Some(Hierarchy {
            name: "unified".to_string(),
            folder,
            is_unified: true,
        }),
        "cgroup" => {
            let options = right.nth(1)?;
            let is_controller = |option: &&str| {
                !matches!(
                    *option,
                    "rw" | "ro" | "xattr" | "noprefix" | "clone_children"
                )
            };
            let name = options
                .split(',')
                .filter(is_controller)
                .collect::<Vec<_>>()
                .join(",");
            Some(Hierarchy {
                name,
                folder,
                is_unified: false,
            })
        }
        _ => None,
    }
}

/// The folder with that inode number, breadth first.
fn search(top: &Path, id: u64) -> Option<PathBuf> {
    if std::fs::metadata(top).ok()?.ino() == id {
        return Some(top.to_path_buf());
    }
    let mut level = vec![top.to_path_buf()];
    let mut budget = MAX_CGROUPS;
    for _ in 0..MAX_DEPTH {
        let mut next = Vec::new();
        for folder in &level {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    continue;
                }
                budget = budget.checked_sub(1)?;
                if entry.metadata().is_ok_and(|metadata| metadata.ino() == id) {
                    return Some(entry.path());
                }
                next.push(entry.path());
            }
        }
        level = next;
    }
    None
}

fn subfolders(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let folders = entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.map(|entry| entry.path()).collect()
}

/// Processes of a cgroup and of those in it.
fn processes_below(folder: &Path) -> Vec<crate::Pid> {
    let mut pids = Vec::new();
    let mut waiting = vec![folder.to_path_buf()];
    let mut seen = 0;
    while let Some(folder) = waiting.pop() {
        seen += 1;
        let text = std::fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
        pids.extend(
            text.lines()
                .filter_map(|line| line.parse().ok())
                .map(crate::Pid),
        );
        if seen < MAX_CGROUPS {
            waiting.extend(subfolders(&folder));
        }
    }
    pids
}
