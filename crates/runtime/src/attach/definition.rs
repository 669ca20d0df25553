//! Return probes that are defined in tracefs: only there can be said how many calls may be pending at once.
//!
//! A return probe by the perf PMU keeps as many pending calls as the kernel thinks fit (one a CPU before Linux 6.2), and misses
//! the return of every further call: with functions that wait, most of them.
//!
//! ```text
//! kprobe_events:  r4096:fathom_PID/p3 vfs_read
//! ```
//!
//! A definition belongs to nobody: the kernel keeps it, switched off, when its maker dies. A small process of ours watches and
//! takes ours away; what is left when that one is killed too is swept by the next session that defines something.

use super::failure::Refusal;
use super::perf::put_program;
use super::{Attacher, Attachment};
use crate::sys::fork::Guard;
use crate::sys::perf::{self, Attributes, Scope};
use fathom_bpf::object::{AttachPoint, Place};
use fathom_machine::tracefs::{Origin, Tracefs};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Pending calls that the kernel keeps at most for one probe.
const MOST_PENDING: usize = 4096;
/// Pending calls of all probes together: some 80 bytes each.
const PENDING_IN_ALL: usize = 64 << 10;
/// More return probes than this would take long to take away: a wait for all CPUs each.
const MOST_PROBES: usize = 64;
/// Begin of our groups' names.
const PREFIX: &str = "fathom_";
/// How long a probe that is switched off may still be busy.
const PATIENCE_STEPS: u32 = 500;
/// See [`PATIENCE_STEPS`].
const PATIENCE_STEP: Duration = Duration::from_millis(10);

/// The definitions of a session; gone when this is dropped, which must be after what is attached to them.
#[derive(Debug)]
pub(crate) struct Definitions {
    file: PathBuf,
    group: String,
    pending: usize,
    _guard: Guard,
}

impl Definitions {
    /// Gets ready to define the return probes of an object. `None`: there are none, or too many, or tracefs is not ours to change.
    pub(super) fn prepare(attacher: &Attacher<'_>) -> Option<Definitions> {
        let is_return = |point: &&AttachPoint| {
            matches!(
                point.place,
                Place::Kprobe {
                    on_return: true,
                    ..
                }
            )
        };
        let count = attacher
            .object
            .attach_points
            .iter()
            .filter(is_return)
            .count();
        if count == 0 || count > MOST_PROBES {
            return None;
        }
        let tracefs = attacher.machine.tracefs().ok()?;
        // The guard would not reach a private mount.
        if tracefs.origin() != Origin::Mounted {
            return None;
        }
        let file = tracefs.folder().join("kprobe_events");
        append(&file, "").ok()?;
        sweep(&file, |pid| !Path::new("/proc").join(pid).exists());
        let group = format!("{PREFIX}{}", std::process::id());
        // Another session of this process: a second definition of a name would join the first one.
        if tracefs.folder().join("events").join(&group).exists() {
            return None;
        }
        let (guarded_file, guarded_group) = (file.clone(), group.clone());
        let guard = Guard::new(move || remove(&guarded_file, &guarded_group)).ok()?;
        Some(Definitions {
            file,
            group,
            pending: (PENDING_IN_ALL / count).clamp(64, MOST_PENDING),
            _guard: guard,
        })
    }

    /// Defines a return probe at a symbol or address and puts the program on it.
    pub(super) fn attach(
        &self,
        attacher: &Attacher<'_>,
        program: BorrowedFd<'_>,
        point: &AttachPoint,
        place: &str,
    ) -> Result<Attachment, Refusal> {
        let index = attacher
            .object
            .attach_points
            .iter()
            .position(|other| std::ptr::eq(other, point));
        let name = format!("p{}", index.unwrap_or(0));
        let (pending, group) = (self.pending, &self.group);
        append(&self.file, &format!("r{pending}:{group}/{name} {place}\n"))?;
        let tracefs = attacher.machine.tracefs();
        let id = tracefs.and_then(|tracefs: &Tracefs| tracefs.event_id(group, &name));
        let attributes = Attributes {
            kind: perf::TYPE_TRACEPOINT,
            config: id.map_err(|error| Refusal::new(error.to_string()))?,
            sample_period: 1,
            wakeup: 1,
            ..Attributes::default()
        };
        let event = perf::open(&attributes, Scope::Cpu(attacher.any_cpu()))?;
        Ok(put_program(event, program, point.cookie)?)
    }
}

/// The kernel takes each written line as a command. Truncating the file would remove everybody's probes.
fn append(file: &Path, text: &str) -> io::Result<()> {
    OpenOptions::new()
        .append(true)
        .open(file)?
        .write_all(text.as_bytes())
}

/// Removes the definitions of a group, waiting for those that are still in use.
fn remove(file: &Path, group: &str) {
    for _ in 0..PATIENCE_STEPS {
        let mut is_done = true;
        for event in events(file).iter().filter(|event| group_of(event) == group) {
            is_done &= append(file, &format!("-:{event}\n")).is_ok();
        }
        if is_done {
            return;
        }
        std::thread::sleep(PATIENCE_STEP);
    }
}

/// Removes what dead processes left. The kernel refuses for those in use, so that a process which cannot be seen from here (in
/// another pid namespace) keeps its probes.
fn sweep(file: &Path, is_dead: impl Fn(&str) -> bool) {
    for event in events(file) {
        let maker = group_of(&event).strip_prefix(PREFIX);
        if maker.is_some_and(&is_dead) {
            let _ = append(file, &format!("-:{event}\n"));
        }
    }
}

/// `GROUP/NAME` of all our definitions.
fn events(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let names = text.lines().filter_map(|line| {
        let (_, name) = line.split_whitespace().next()?.split_once(':')?;
        name.starts_with(PREFIX).then(|| name.to_owned())
    });
    names.collect()
}

fn group_of(event: &str) -> &str {
    event.split('/').next().unwrap_or_default()
}
