//! Hits of probes at which the kernel did not run the program: counted by the kernel, told here by the probe's name.

use crate::attach::{Attached, Attachment};
use crate::error::Result;
use crate::load::Loaded;
use crate::output::Output;
use crate::sys::misses;
use fathom_bpf::Object;
use fathom_bpf::object::{AttachPoint, Place};
use fathom_output::Message;
use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};

/// What was told so far.
#[derive(Default)]
pub(super) struct Misses {
    /// By the name that is told.
    told: BTreeMap<String, u64>,
}

impl Misses {
    /// Tells each probe that missed hits since the last time. Links know only as long as they are there.
    pub(super) fn tell(
        &mut self,
        object: &Object,
        loaded: &Loaded,
        attached: &Attached,
        output: &mut Output<'_>,
    ) -> Result<()> {
        for (probe, count) in count(object, loaded, attached) {
            let told = self.told.get(&probe).copied().unwrap_or(0);
            if count > told {
                let hits = count - told;
                let probe_name = probe.as_str();
                output.tell(&Message::MissedHits {
                    probe: probe_name,
                    hits,
                })?;
                self.told.insert(probe, count);
            }
        }
        Ok(())
    }

    /// All that was told.
    pub(super) fn total(&self) -> u64 {
        self.told.values().sum()
    }
}

/// Misses by what a user would call the place; what the kernel does not tell is not counted.
fn count(object: &Object, loaded: &Loaded, attached: &Attached) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for (index, attachment) in &attached.attachments {
        let link = counting_link(object, *index, attachment);
        let missed = link.map_or(0, |link| misses::of_link(link).unwrap_or(0));
        if missed > 0 {
            let name = name(&points_of_link(object, *index));
            *counts.entry(name).or_default() += missed;
        }
    }
    for (index, program) in loaded.programs.iter().enumerate() {
        let missed = misses::of_program(program.as_fd()).unwrap_or(0);
        if missed > 0 {
            let name = name(&points_of_program(object, index));
            *counts.entry(name).or_default() += missed;
        }
    }
    counts
}

/// The link of a kind of place whose links count.
fn counting_link<'a>(
    object: &Object,
    index: usize,
    attachment: &'a Attachment,
) -> Option<BorrowedFd<'a>> {
    let place = &object.attach_points.get(index)?.place;
    if !matches!(place, Place::Kprobe { .. } | Place::KprobeMulti { .. }) {
        return None;
    }
    match attachment {
        Attachment::Link(link) => Some(link.as_fd()),
        Attachment::Perf { link, .. } => link.as_ref().map(AsFd::as_fd),
        Attachment::Iter(_) | Attachment::Filter(_) => None,
    }
}

/// The attach point of a link, and the further sites of a multi link.
fn points_of_link(object: &Object, index: usize) -> Vec<&AttachPoint> {
    let member = Place::Member { of: index as u32 };
    let is_site = |(at, point): &(usize, &AttachPoint)| *at == index || point.place == member;
    let points = object.attach_points.iter().enumerate();
    points.filter(is_site).map(|(_, point)| point).collect()
}

fn points_of_program(object: &Object, index: usize) -> Vec<&AttachPoint> {
    let runs_it = |point: &&AttachPoint| point.program.0 as usize == index;
    object.attach_points.iter().filter(runs_it).collect()
}

fn name(points: &[&AttachPoint]) -> String {
    match points {
        [] => String::new(),
        [only] => only.name.clone(),
        [first, others @ ..] => format!("{} and {} more", first.name, others.len()),
    }
}
