//! Tracepoints as tracefs shows them: which there are, their ids, how their records are laid out.
//!
//! tracefs may not be mounted. Then a mount of our own is made that no process sees and that is gone when the value is dropped;
//! nothing is left behind, not even after `kill -9`.

mod format;
mod mount;
mod pmu;

pub use format::{FieldKind, LocationBase, TracepointField, TracepointFormat};
pub use pmu::{Pmu, ProbePmu};

use crate::pattern::Pattern;
use crate::{Error, Result, bytes, root, suggest};
use std::path::{Path, PathBuf};

/// Where tracefs is mounted by custom, in order.
const PLACES: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];
/// Events listed at most.
const MAX_EVENTS: usize = 100_000;

/// A reachable tracefs.
#[derive(Debug)]
pub struct Tracefs {
    folder: PathBuf,
    origin: Origin,
    /// `subsystem:event` lines, in order of subsystem and event.
    events: std::sync::OnceLock<Vec<Event>>,
    /// Keeps a private mount alive.
    _mount: Option<mount::PrivateMount>,
}

/// How tracefs was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It was mounted already.
    Mounted,
    /// It is mounted for this process alone.
    Private,
}

/// A tracepoint's two names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Event {
    /// `sched`.
    pub subsystem: String,
    /// `sched_switch`.
    pub name: String,
}

impl Tracefs {
    /// Finds a mounted tracefs below `machine_root`, or mounts it privately when the root is this machine's.
    pub fn find(machine_root: &Path) -> Result<Tracefs> {
        let places = PLACES.map(|place| root::join(machine_root, place));
        if let Some(folder) = places
            .into_iter()
            .find(|place| place.join("events").is_dir())
        {
            return Ok(Tracefs::new(folder, None));
        }
        if machine_root != Path::new("/") {
            return Err(Error::NoTracefs {
                cause: std::io::Error::from(std::io::ErrorKind::NotFound),
            });
        }
        let mount = mount::PrivateMount::tracefs().map_err(|cause| Error::NoTracefs { cause })?;
        let folder = mount.path();
        if !folder.join("events").is_dir() {
            return Err(Error::NoTracefs {
                cause: std::io::Error::other(
                    "a private mount is reached through /proc, which is not mounted",
                ),
            });
        }
        Ok(Tracefs::new(folder, Some(mount)))
    }

    fn new(folder: PathBuf, mount: Option<mount::PrivateMount>) -> Tracefs {
        let origin = if mount.is_some() {
            Origin::Private
        } else {
            Origin::Mounted
        };
        Tracefs {
            folder,
            origin,
            events: std::sync::OnceLock::new(),
            _mount: mount,
        }
    }

    /// Its folder; for a private mount a path that works in this process only.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// How it was reached.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// All events that programs can be attached to, in order.
    pub fn events(&self) -> Result<&[Event]> {
        if let Some(events) = self.events.get() {
            return Ok(events);
        }
        let path = self.folder.join("available_events");
        let mut events = match bytes::read_text(&path) {
            Ok(text) => text
                .lines()
                .filter_map(parse_event)
                .take(MAX_EVENTS)
                .collect(),
            Err(_) => self.walk_events()?,
        };
        events.sort_unstable();
        Ok(self.events.get_or_init(|| events))
    }

    /// Events whose subsystem and name match.
    pub fn matching(&self, subsystem: &Pattern, name: &Pattern) -> Result<Vec<&Event>> {
        let wanted =
            |event: &&Event| subsystem.matches(&event.subsystem) && name.matches(&event.name);
        Ok(self.events()?.iter().filter(wanted).collect())
    }

    /// Layout of an event's records, and its id.
    pub fn format(&self, subsystem: &str, name: &str) -> Result<TracepointFormat> {
        if !is_plain(subsystem) || !is_plain(name) {
            return Err(self.no_event(subsystem, name));
        }
        let path = self.event_folder(subsystem, name).join("format");
        let text = bytes::read_text(&path).map_err(|error| match error {
            error if error.is_missing() => self.no_event(subsystem, name),
            error => error,
        })?;
        TracepointFormat::parse(&text)
            .map_err(|why| Error::malformed(path.display().to_string(), why))
    }

    /// The number by which perf and BPF attach to an event.
    pub fn event_id(&self, subsystem: &str, name: &str) -> Result<u64> {
        if !is_plain(subsystem) || !is_plain(name) {
            return Err(self.no_event(subsystem, name));
        }
        let path = self.event_folder(subsystem, name).join("id");
        let text = bytes::read_text(&path).map_err(|error| match error {
            error if error.is_missing() => self.no_event(subsystem, name),
            error => error,
        })?;
        text.trim()
            .parse()
            .map_err(|_| Error::malformed(path.display().to_string(), "not a number"))
    }

    fn event_folder(&self, subsystem: &str, name: &str) -> PathBuf {
        self.folder.join("events").join(subsystem).join(name)
    }

    fn no_event(&self, subsystem: &str, name: &str) -> Error {
        let wanted = format!("{subsystem}:{name}");
        let all: Vec<String> = self.events().map_or_else(
            |_| Vec::new(),
            |events| {
                events
                    .iter()
                    .map(|event| format!("{}:{}", event.subsystem, event.name))
                    .collect()
            },
        );
        let nearest = suggest::nearest(&wanted, all.iter().map(String::as_str));
        Error::NotFound {
            kind: "tracepoint".to_string(),
            name: wanted,
            nearest,
        }
    }

    /// For trees without `available_events` (and kernels that refuse to show it): the folders themselves.
    fn walk_events(&self) -> Result<Vec<Event>> {
        let top = self.folder.join("events");
        let mut events = Vec::new();
        for subsystem in folder_names(&top)? {
            for name in folder_names(&top.join(&subsystem)).unwrap_or_default() {
                if events.len() >= MAX_EVENTS {
                    return Ok(events);
                }
                if top.join(&subsystem).join(&name).join("format").exists() {
                    events.push(Event {
                        subsystem: subsystem.clone(),
                        name,
                    });
                }
            }
        }
        Ok(events)
    }
}

fn folder_names(folder: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(folder).map_err(Error::read(folder))?;
    let folders = entries
        .filter_map(std::result::Result::ok)
        .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()));
    Ok(folders
        .filter_map(|entry| entry.file_name().into_string().ok())
        .take(MAX_EVENTS)
        .collect())
}

fn parse_event(line: &str) -> Option<Event> {
    let (subsystem, name) = line.trim().split_once(':')?;
    Some(Event {
        subsystem: subsystem.to_string(),
        name: name.to_string(),
    })
}

/// Names come from scripts: one path component, nothing that climbs.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.contains('/') && name != "." && name != ".."
}

#[cfg(test)]
mod tests;
