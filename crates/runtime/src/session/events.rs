//! The events map of an object, whichever kind the kernel has.

use crate::error::{Error, Result};
use crate::load::Loaded;
use crate::maps::Table;
use crate::ring::{Drained, PerCpuBuffers, RingBuffer};
use fathom_bpf::map::MapRole;
use fathom_bpf::{MapKind, Object};
use fathom_machine::Machine;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Where events come from, and where those are counted that did not.
pub(super) struct Events {
    channel: Channel,
    /// Readable when there are events.
    fd: Option<OwnedFd>,
    /// Index of the map that counts what did not fit.
    lost_map: Option<usize>,
    lost: u64,
    last: Drained,
}

enum Channel {
    /// The script prints nothing.
    None,
    Ring(RingBuffer),
    PerCpu(PerCpuBuffers),
}

impl Events {
    pub(super) fn new(object: &Object, loaded: &Loaded, machine: &Machine) -> Result<Events> {
        let position = |role: &MapRole| object.maps.iter().position(|map| map.role == *role);
        let mut events = Events {
            channel: Channel::None,
            fd: None,
            lost_map: position(&MapRole::Lost),
            lost: 0,
            last: Drained::default(),
        };
        let Some(index) = position(&MapRole::Events) else {
            return Ok(events);
        };
        let (map, fd) = (&object.maps[index], loaded.maps[index].as_fd());
        if map.kind == MapKind::PerfEventArray {
            let cpus = machine.online_cpus().unwrap_or_else(|_| vec![0]);
            events.channel = Channel::PerCpu(PerCpuBuffers::new(fd, &cpus).map_err(Error::Events)?);
        } else {
            let ring = RingBuffer::new(fd, map.max_entries as usize).map_err(Error::Events)?;
            events.channel = Channel::Ring(ring);
            events.fd = Some(fd.try_clone_to_owned().map_err(Error::Events)?);
        }
        Ok(events)
    }

    /// Descriptors to wait for.
    pub(super) fn fds(&self) -> Vec<BorrowedFd<'_>> {
        match &self.channel {
            Channel::None => Vec::new(),
            Channel::Ring(_) => self.fd.iter().map(AsFd::as_fd).collect(),
            Channel::PerCpu(buffers) => buffers.fds().collect(),
        }
    }

    /// Hands out what is there.
    pub(super) fn drain(&mut self, handle: impl FnMut(&[u8]) -> ControlFlow<()>) -> Drained {
        self.last = match &mut self.channel {
            Channel::None => Drained::default(),
            Channel::Ring(ring) => ring.drain(handle),
            Channel::PerCpu(buffers) => {
                let drained = buffers.drain(handle);
                self.lost += buffers.take_lost();
                drained
            }
        };
        self.last
    }

    /// Throws away what is there.
    pub(super) fn discard(&mut self) {
        self.drain(|_| ControlFlow::Continue(()));
    }

    /// Whether the last look found something, so that another one may.
    pub(super) fn has_more(&self) -> bool {
        self.last.count > 0 && !self.last.is_stopped
    }

    /// Events that did not fit, since the start.
    pub(super) fn lost(&self, tables: &[Table<'_>]) -> Result<u64> {
        let Some(table) = self.lost_map.and_then(|index| tables.get(index)) else {
            return Ok(self.lost);
        };
        let counted = table.counters(0).map_err(Error::Events)?;
        Ok(self.lost + counted.iter().sum::<u64>())
    }
}
