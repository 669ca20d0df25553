//! Attach points of an object → programs that fire. One file per family of places.
//!
//! | File | Places |
//! |---|---|
//! | [`perf`] | interval, profile, software, hardware, watchpoint |
//! | [`tracepoint`] | tracepoint, raw tracepoint |
//! | [`kprobe`] | kprobe, kretprobe (by a [`definition`] where it can be), kprobe.multi |
//! | [`uprobe`] | uprobe, uretprobe, usdt, uprobe.multi |
//! | [`trampoline`] | fentry, fexit, iter |
//! | [`packet`] | xdp, tc |
//!
//! `begin`, `end`, `self`, `test` and `bench` are not attached: the session runs them by hand.

mod definition;
mod detach;
mod failure;
mod kprobe;
mod multi;
mod packet;
mod perf;
mod tracepoint;
mod trampoline;
mod uprobe;

pub use failure::AttachFailure;

use crate::load::Loaded;
use crate::progress::{Progress, Step};
use crate::sys::fork::Guard;
use definition::Definitions;
use failure::Refusal;
use fathom_bpf::object::{AttachPoint, Place};
use fathom_bpf::{Object, ProgramKind};
use fathom_machine::Machine;
use std::cell::OnceCell;
use std::collections::HashSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What holds one attach point in place; it is detached when this is dropped.
#[derive(Debug)]
#[allow(dead_code, reason = "held for what dropping does, not read")]
pub(crate) enum Attachment {
    /// A BPF link.
    Link(OwnedFd),
    /// A perf event with the program on it, through a link where the kernel has those.
    Perf {
        /// Dropped before the event: the program is off at once.
        link: Option<OwnedFd>,
        /// What fires.
        event: OwnedFd,
    },
    /// An iterator to be read to its end.
    Iter(OwnedFd),
    /// A clsact filter, which the guard takes away.
    Filter(Guard),
}

/// Everything that attaching needs beside the place.
pub(crate) struct Attacher<'a> {
    pub(crate) object: &'a Object,
    pub(crate) loaded: &'a Loaded,
    pub(crate) machine: &'a Machine,
    /// Software, hardware and profile events are counted in this process only.
    pub(crate) pid: Option<u32>,
    pub(crate) cpus: OnceCell<Vec<u32>>,
    /// For return probes that remember many pending calls.
    definitions: Option<Definitions>,
}

/// What became of the attach points.
#[derive(Debug, Default)]
pub(crate) struct Attached {
    /// In order of the object.
    pub(crate) attachments: Vec<(usize, Attachment)>,
    /// What some of them are attached to: dropped after them.
    definitions: Option<Definitions>,
    /// How many places fire now.
    pub(crate) count: usize,
    /// Which do not.
    pub(crate) failures: Vec<AttachFailure>,
    /// All failures are single places of patterns whose other places fire.
    pub(crate) may_go_on: bool,
    /// Where iterators were pinned.
    pub(crate) pins: Vec<String>,
}

/// Attachments of one place.
#[derive(Debug, Default)]
struct Outcome {
    attachments: Vec<Attachment>,
    /// How many places of a multi link fire; 1 for the others.
    count: usize,
    /// Places of a multi link that do not: name and why.
    failures: Vec<(String, Refusal)>,
    pin: Option<String>,
}

impl Outcome {
    fn one(attachment: Attachment) -> Outcome {
        Outcome {
            attachments: vec![attachment],
            count: 1,
            ..Outcome::default()
        }
    }

    fn many(attachments: Vec<Attachment>) -> Outcome {
        Outcome {
            attachments,
            count: 1,
            ..Outcome::default()
        }
    }
}

impl<'a> Attacher<'a> {
    pub(crate) fn new(
        object: &'a Object,
        loaded: &'a Loaded,
        machine: &'a Machine,
        pid: Option<u32>,
    ) -> Attacher<'a> {
        Attacher {
            object,
            loaded,
            machine,
            pid,
            cpus: OnceCell::new(),
            definitions: None,
        }
    }

    /// Attach points that are told apart by the program itself: system calls at one raw tracepoint.
    fn members_by_filter(&self, index: usize, point: &AttachPoint) -> usize {
        if !matches!(point.place, Place::RawTracepoint { .. }) {
            return 0;
        }
        let behind = self.object.attach_points.iter().skip(index + 1);
        behind
            .take_while(|point| point.place == Place::Member { of: index as u32 })
            .count()
    }

    /// Attaches every place that is attached at all.
    pub(crate) fn attach_all(mut self, progress: &Progress) -> Attached {
        self.definitions = Definitions::prepare(&self);
        let mut attached = Attached::default();
        let mut firing_patterns = HashSet::new();
        let total = self.object.attach_points.len();
        for (index, point) in self.object.attach_points.iter().enumerate() {
            progress.tell(Step::Attach {
                place: &point.name,
                done: index,
                total,
            });
            if is_run_by_hand(&point.place) {
                continue;
            }
            match self.attach(point) {
                Ok(outcome) => {
                    let attachments = outcome
                        .attachments
                        .into_iter()
                        .map(|attachment| (index, attachment));
                    attached.attachments.extend(attachments);
                    attached.count += outcome.count + self.members_by_filter(index, point);
                    if outcome.count > 0 {
                        firing_patterns.insert(point.span);
                    }
                    attached.pins.extend(outcome.pin);
                    let failures = outcome
                        .failures
                        .into_iter()
                        .map(|(name, refusal)| refusal.at(name, point.span));
                    attached.failures.extend(failures);
                }
                Err(refusal) => {
                    attached
                        .failures
                        .push(refusal.at(point.name.clone(), point.span));
                }
            }
        }
        let is_partial = |failure: &AttachFailure| firing_patterns.contains(&failure.span);
        attached.may_go_on = attached.failures.iter().all(is_partial);
        attached.definitions = self.definitions;
        attached
    }

    fn attach(&self, point: &AttachPoint) -> Result<Outcome, Refusal> {
        let program = self.program(point)?;
        match &point.place {
            Place::Begin
            | Place::End
            | Place::Signal { .. }
            | Place::Test
            | Place::Bench
            | Place::Member { .. } => Ok(Outcome::default()),
            Place::Interval { period_ns } => perf::interval(self, program, point, *period_ns),
            Place::Profile(rate) => perf::profile(self, program, point, *rate),
            Place::Software { config, period } => {
                perf::software(self, program, point, *config, *period)
            }
            Place::Hardware { config, period } => {
                perf::hardware(self, program, point, *config, *period)
            }
            Place::Watchpoint { .. } => perf::watchpoint(self, program, point),
            Place::Tracepoint { category, event } => {
                tracepoint::tracepoint(self, program, point, category, event)
            }
            Place::RawTracepoint { name } => {
                tracepoint::raw(program, point, self.kind(point)?, name)
            }
            Place::Kprobe {
                function,
                offset,
                on_return,
            } => kprobe::one(
                self,
                program,
                point,
                kprobe::Spot {
                    function,
                    offset: *offset,
                    on_return: *on_return,
                },
            ),
            Place::KprobeMulti { .. } => kprobe::many(program, self.kind(point)?, &point.place),
            Place::Uprobe { .. } => uprobe::one(self, program, point),
            Place::UprobeMulti { .. } => uprobe::many(program, self.kind(point)?, &point.place),
            Place::Trampoline => trampoline::function(program, point, self.kind(point)?),
            Place::Iter { pin } => trampoline::iterator(program, pin.as_deref()),
            Place::Xdp { device } => packet::xdp(program, device),
            Place::Tc { device, direction } => packet::tc(program, device, *direction),
        }
    }

    fn program(&self, point: &AttachPoint) -> Result<BorrowedFd<'a>, Refusal> {
        let program = self.loaded.programs.get(point.program.0 as usize);
        program
            .map(AsFd::as_fd)
            .ok_or_else(|| Refusal::new("the object has no program for it"))
    }

    fn kind(&self, point: &AttachPoint) -> Result<&'a ProgramKind, Refusal> {
        let program = self.object.programs.get(point.program.0 as usize);
        program
            .map(|program| &program.kind)
            .ok_or_else(|| Refusal::new("the object has no program for it"))
    }

    /// Numbers of the CPUs that are online.
    fn online_cpus(&self) -> &[u32] {
        self.cpus
            .get_or_init(|| self.machine.online_cpus().unwrap_or_else(|_| vec![0]))
    }

    /// A CPU that is online, for events that are bound to one but fire on all.
    fn any_cpu(&self) -> u32 {
        self.online_cpus().first().copied().unwrap_or(0)
    }
}

fn is_run_by_hand(place: &Place) -> bool {
    matches!(
        place,
        Place::Begin | Place::End | Place::Signal { .. } | Place::Test | Place::Bench
    )
}
