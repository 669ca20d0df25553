//! Perf buffers: one ring per CPU, for kernels without the BPF ring buffer.
//!
//! ```text
//! metadata page (data_head at 1024, data_tail at 1032) │ data
//! sample: u32 type = 9, u16 misc, u16 size; u32 raw size; bytes      lost: type 2; u64 id; u64 count
//! ```

use super::Drained;
use crate::sys::bpf;
use crate::sys::memory::{Mapping, Protection, page_size};
use crate::sys::perf::{self, Attributes, Scope};
use std::io;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering;

const RECORD_LOST: u32 = 2;
const RECORD_SAMPLE: u32 = 9;
const HEADER_SIZE: usize = 8;
const HEAD_OFFSET: usize = 1024;
const TAIL_OFFSET: usize = 1032;
/// Pages of each CPU's ring.
const PAGES: usize = 64;

/// The perf buffers behind one perf event array.
#[derive(Debug)]
pub(crate) struct PerCpuBuffers {
    rings: Vec<Ring>,
    lost: u64,
    /// A record that was split at the ring's end, joined.
    scratch: Vec<u8>,
}

#[derive(Debug)]
struct Ring {
    event: OwnedFd,
    mapping: Mapping,
    page: usize,
}

impl PerCpuBuffers {
    /// Makes a ring for each CPU and puts them into `map`.
    pub(crate) fn new(map: BorrowedFd<'_>, cpus: &[u32]) -> io::Result<PerCpuBuffers> {
        let rings = cpus
            .iter()
            .map(|cpu| Ring::new(map, *cpu))
            .collect::<io::Result<_>>()?;
        Ok(PerCpuBuffers {
            rings,
            lost: 0,
            scratch: Vec::new(),
        })
    }

    /// To be waited for.
    pub(crate) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.rings.iter().map(|ring| ring.event.as_fd())
    }

    /// Records that the kernel could not write since the last call.
    pub(crate) fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }

    /// Hands every record to `handle`, CPU by CPU.
    pub(crate) fn drain(&mut self, mut handle: impl FnMut(&[u8]) -> ControlFlow<()>) -> Drained {
        let mut drained = Drained::default();
        for ring in &self.rings {
            let head = ring.mapping.counter(HEAD_OFFSET).load(Ordering::Acquire);
            let mut tail = ring.mapping.counter(TAIL_OFFSET).load(Ordering::Relaxed);
            while tail < head && !drained.is_stopped {
                ring.read(tail, HEADER_SIZE, &mut self.scratch);
                let kind = word(&self.scratch, 0);
                let size = (word(&self.scratch, 4) >> 16) as usize;
                if size < HEADER_SIZE {
                    // Cannot be; the rest of this ring makes no sense then.
                    tail = head;
                    break;
                }
                ring.read(tail, size, &mut self.scratch);
                tail += size as u64;
                match kind {
                    RECORD_SAMPLE => {
                        let len = word(&self.scratch, 8) as usize;
                        if let Some(record) = self.scratch.get(12..12 + len) {
                            drained.count += 1;
                            drained.is_stopped = handle(record).is_break();
                        }
                    }
                    RECORD_LOST => {
                        let count = self
                            .scratch
                            .get(16..24)
                            .and_then(|bytes| bytes.try_into().ok());
                        self.lost += count.map_or(0, u64::from_ne_bytes);
                    }
                    _ => {}
                }
            }
            ring.mapping
                .counter(TAIL_OFFSET)
                .store(tail, Ordering::Release);
            if drained.is_stopped {
                break;
            }
        }
        drained
    }
}

fn word(bytes: &[u8], offset: usize) -> u32 {
    let word = bytes
        .get(offset..offset + 4)
        .and_then(|bytes| bytes.try_into().ok());
    word.map_or(0, u32::from_ne_bytes)
}

impl Ring {
    fn new(map: BorrowedFd<'_>, cpu: u32) -> io::Result<Ring> {
        let attributes = Attributes {
            kind: perf::TYPE_SOFTWARE,
            config: perf::SOFTWARE_BPF_OUTPUT,
            sample_period: 1,
            sample_type: perf::SAMPLE_RAW,
            wakeup: 1,
            ..Attributes::default()
        };
        let event = perf::open(&attributes, Scope::Cpu(cpu))?;
        let page = page_size();
        let mapping = Mapping::new(event.as_fd(), 0, page * (PAGES + 1), Protection::ReadWrite)?;
        bpf::map_update(map, &cpu.to_ne_bytes(), &event.as_raw_fd().to_ne_bytes())?;
        perf::enable(event.as_fd())?;
        Ok(Ring {
            event,
            mapping,
            page,
        })
    }

    /// Copies bytes of the endless stream that the ring is a window of.
    fn read(&self, position: u64, len: usize, out: &mut Vec<u8>) {
        let size = self.page * PAGES;
        let start = position as usize % size;
        let len = len.min(size);
        let first = len.min(size - start);
        out.clear();
        for (offset, len) in [(start, first), (0, len - first)] {
            out.extend_from_slice(
                self.mapping
                    .bytes(self.page + offset, len)
                    .unwrap_or_default(),
            );
        }
    }
}
