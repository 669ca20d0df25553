//! Processes as `/proc` shows them.
//!
//! A [`Process`] is a folder below `/proc`; each question reads one file. Processes end at any time, so every answer can be "gone".

mod cgroup;
mod clock;
mod cpus;
mod maps;
#[cfg(test)]
mod tests;
mod users;

pub use cgroup::{Cgroup, CgroupMembership, Hierarchy};
pub use clock::{boot_offset_ns, boot_time_seconds};
pub use cpus::parse_cpu_list;
pub use maps::Mapping;
pub use users::Users;

use crate::{Error, Machine, Pid, Result, bytes};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Nested PID namespaces the kernel allows, plus the first.
const MAX_PID_LEVELS: usize = 33;

/// A process of the machine.
#[derive(Debug, Clone)]
pub struct Process {
    pid: Pid,
    folder: PathBuf,
}

/// Identity of a namespace: what `/proc/PID/ns/X` leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NamespaceId {
    /// Device of the namespace file system.
    pub device: u64,
    /// Number of the namespace.
    pub inode: u64,
}

/// What `/proc/PID/status` says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// Name of the main thread.
    pub name: String,
    /// The process (thread group).
    pub tgid: u32,
    /// Its parent.
    pub parent: u32,
    /// Real and effective user.
    pub uids: [u32; 2],
    /// Real and effective group.
    pub gids: [u32; 2],
    /// Its pid in each PID namespace, from the one `/proc` was mounted in down to its own.
    pub namespace_pids: Vec<u32>,
}

impl Machine {
    /// A process by its pid, without checking that it exists.
    pub fn process(&self, pid: Pid) -> Process {
        Process {
            pid,
            folder: self.path(format!("/proc/{pid}")),
        }
    }

    /// All processes there are now.
    pub fn processes(&self) -> Result<Vec<Process>> {
        let folder = self.path("/proc");
        let entries = std::fs::read_dir(&folder).map_err(Error::read(&folder))?;
        let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let mut pids: Vec<u32> = pids.collect();
        pids.sort_unstable();
        Ok(pids.into_iter().map(|pid| self.process(Pid(pid))).collect())
    }
}

impl Process {
    /// Its pid.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Its folder below `/proc`.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether it is there.
    pub fn exists(&self) -> bool {
        self.folder.exists()
    }

    /// An error when it is not there.
    pub fn require(&self) -> Result<()> {
        if self.exists() {
            Ok(())
        } else {
            Err(self.gone())
        }
    }

    /// The name of its main thread.
    pub fn comm(&self) -> Result<String> {
        self.text("comm")
            .map(|text| text.trim_end_matches('\n').to_string())
    }

    /// The program it runs, as seen in its own root; ` (deleted)` is cut off.
    pub fn exe(&self) -> Result<PathBuf> {
        let path = self.folder.join("exe");
        let target =
            std::fs::read_link(&path).map_err(|error| self.explain(Error::read(path)(error)))?;
        Ok(
            match target
                .to_str()
                .and_then(|text| text.strip_suffix(" (deleted)"))
            {
                Some(text) => PathBuf::from(text),
                None => target,
            },
        )
    }

    /// A path that opens the program it runs, even when the file was deleted or is in another mount namespace.
    pub fn exe_link(&self) -> PathBuf {
        self.folder.join("exe")
    }

    /// Its command line.
    pub fn command_line(&self) -> Result<Vec<String>> {
        let text = self.text("cmdline")?;
        Ok(text.split_terminator('\0').map(str::to_string).collect())
    }

    /// Its root folder, which leads into its mount namespace.
    pub fn root(&self) -> PathBuf {
        self.folder.join("root")
    }

    /// Ids and names of it.
    pub fn status(&self) -> Result<Status> {
        Ok(parse_status(&self.text("status")?))
    }

    /// Its pid in the PID namespace it lives in.
    pub fn namespace_pid(&self) -> Result<Pid> {
        let status = self.status()?;
        Ok(Pid(status
            .namespace_pids
            .last()
            .copied()
            .unwrap_or(self.pid.0)))
    }

    /// One of its namespaces: `pid`, `mnt`, `net`, `time` ….
    pub fn namespace(&self, kind: &str) -> Result<NamespaceId> {
        let path = self.folder.join("ns").join(kind);
        let metadata =
            std::fs::metadata(&path).map_err(|error| self.explain(Error::read(path)(error)))?;
        Ok(NamespaceId {
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }

    /// Ids of its threads.
    pub fn threads(&self) -> Result<Vec<u32>> {
        let folder = self.folder.join("task");
        let entries =
            std::fs::read_dir(&folder).map_err(|error| self.explain(Error::read(folder)(error)))?;
        let mut tids: Vec<u32> = entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .collect();
        tids.sort_unstable();
        Ok(tids)
    }

    fn text(&self, file: &str) -> Result<String> {
        bytes::read_text(&self.folder.join(file)).map_err(|error| self.explain(error))
    }

    /// A missing file, or ESRCH while reading it, means that the process ended.
    fn explain(&self, error: Error) -> Error {
        let is_gone = match &error {
            Error::Read { cause: source, .. } => {
                source.raw_os_error() == Some(libc::ESRCH)
                    || (source.kind() == io::ErrorKind::NotFound && !self.exists())
            }
            _ => false,
        };
        if is_gone { self.gone() } else { error }
    }

    fn gone(&self) -> Error {
        Error::not_found("process", self.pid.to_string())
    }
}

fn parse_status(text: &str) -> Status {
    let mut status = Status::default();
    for line in text.lines() {
        let Some((key, value)) = line.split_once(':') else {
            continue;
        };
        let value = value.trim();
        let numbers = || {
            value
                .split_ascii_whitespace()
                .filter_map(|word| word.parse::<u32>().ok())
        };
        let pair = || {
            let mut all = numbers();
            [all.next().unwrap_or(0), all.next().unwrap_or(0)]
        };
        match key {
            "Name" => status.name = value.to_string(),
            "Tgid" => status.tgid = numbers().next().unwrap_or(0),
            "PPid" => status.parent = numbers().next().unwrap_or(0),
            "Uid" => status.uids = pair(),
            "Gid" => status.gids = pair(),
            "NSpid" => status.namespace_pids = numbers().take(MAX_PID_LEVELS).collect(),
            _ => {}
        }
    }
    status
}
