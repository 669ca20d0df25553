//! Taking programs off, many at once: the kernel waits for all CPUs at each, and those who wait at the same time wait together.

use super::{Attached, Attachment};
use std::os::fd::OwnedFd;
use std::thread;

/// Waits at the same time.
const THREADS: usize = 64;

impl Attached {
    /// Takes all programs off: none runs any more. Events that have no program are left, as closing those is slow.
    pub(crate) fn take_programs_off(&mut self) {
        let mut holders = Vec::new();
        let mut bare_events = Vec::new();
        for (index, attachment) in self.attachments.drain(..) {
            match attachment {
                Attachment::Link(link) | Attachment::Iter(link) => holders.push(link),
                Attachment::Perf {
                    link: Some(link),
                    event,
                } => {
                    holders.push(link);
                    bare_events.push((index, Attachment::Perf { link: None, event }));
                }
                Attachment::Perf { link: None, event } => holders.push(event),
                Attachment::Filter(guard) => drop(guard),
            }
        }
        close_all(holders);
        self.attachments = bare_events;
    }

    /// Takes all programs off, and lets go of all that they were attached to.
    pub(crate) fn detach(&mut self) {
        self.take_programs_off();
        // The kernel takes the events of tracepoints away one after the other, whoever asks.
        self.attachments.clear();
        self.definitions = None;
    }
}

fn close_all(mut files: Vec<OwnedFd>) {
    thread::scope(|scope| {
        let share = files.len().div_ceil(THREADS).max(1);
        while files.len() > share {
            let some = files.split_off(files.len() - share);
            // Where no thread can be had, they are closed here.
            let _ = thread::Builder::new().spawn_scoped(scope, move || drop(some));
        }
        drop(files);
    });
}
