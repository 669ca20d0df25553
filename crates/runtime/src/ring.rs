//! The reading end of the channel from programs to us.
//!
//! ```text
//! BPF ring buffer (kernel/bpf/ringbuf.c)       consumer page │ producer page │ data │ data once more
//! record: u32 length, bit 31 busy, bit 30 discarded; u32 page offset; bytes; padded to 8
//! ```
//! The data pages are mapped twice in a row, so that no record is ever split. Kernels before 5.8 have only perf buffers: see
//! [`PerCpuBuffers`].

mod per_cpu;

pub(crate) use per_cpu::PerCpuBuffers;

use crate::sys::memory::{Mapping, Protection, page_size};
use std::io;
use std::ops::ControlFlow;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{Ordering, fence};

const BUSY: u32 = 1 << 31;
const DISCARDED: u32 = 1 << 30;
const HEADER_SIZE: usize = 8;

/// How a batch of records ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Drained {
    /// Records that were handed out.
    pub(crate) count: usize,
    /// The handler asked to stop.
    pub(crate) is_stopped: bool,
}

/// A mapped BPF ring buffer.
#[derive(Debug)]
pub(crate) struct RingBuffer {
    consumer: Mapping,
    /// Producer page and data.
    producer: Mapping,
    page: usize,
    size: usize,
    position: u64,
}

impl RingBuffer {
    /// Maps the ring buffer `map` of `size` bytes.
    pub(crate) fn new(map: BorrowedFd<'_>, size: usize) -> io::Result<RingBuffer> {
        let page = page_size();
        if !size.is_power_of_two() || !size.is_multiple_of(page) {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        let consumer = Mapping::new(map, 0, page, Protection::ReadWrite)?;
        let producer = Mapping::new(map, page, page + 2 * size, Protection::Read)?;
        let position = consumer.counter(0).load(Ordering::Relaxed);
        Ok(RingBuffer {
            consumer,
            producer,
            page,
            size,
            position,
        })
    }

    /// Hands every finished record to `handle`, in order.
    ///
    /// Space is given back once per batch and once per eighth of the buffer: each store moves a cache line between CPUs.
    pub(crate) fn drain(&mut self, mut handle: impl FnMut(&[u8]) -> ControlFlow<()>) -> Drained {
        let mut drained = Drained::default();
        let mut given_back = self.position;
        loop {
            let produced = self.producer.counter(0).load(Ordering::Acquire);
            if self.position >= produced {
                if given_back == self.position {
                    return drained;
                }
                // The kernel wakes us for a record that lies where we stopped. Either it sees our position in time,
                // or we see its record now: hence the fence between our store and the next load.
                self.give_back();
                fence(Ordering::SeqCst);
                given_back = self.position;
                continue;
            }
            while self.position < produced {
                match self.next(&mut handle) {
                    Step::Busy => {
                        self.give_back();
                        return drained;
                    }
                    Step::Discarded => {}
                    Step::Handled(flow) => {
                        drained.count += 1;
                        if flow.is_break() {
                            drained.is_stopped = true;
                            self.give_back();
                            return drained;
                        }
                    }
                }
                if self.position - given_back > (self.size / 8) as u64 {
                    self.give_back();
                    given_back = self.position;
                }
            }
        }
    }

    fn next(&mut self, handle: &mut impl FnMut(&[u8]) -> ControlFlow<()>) -> Step {
        let offset = self.page + (self.position as usize & (self.size - 1));
        let header = self.producer.load_u32(offset);
        if header & BUSY != 0 {
            return Step::Busy;
        }
        let len = (header & !DISCARDED) as usize;
        let step = match self.producer.bytes(offset + HEADER_SIZE, len) {
            Some(record) if header & DISCARDED == 0 => Step::Handled(handle(record)),
            _ => Step::Discarded,
        };
        self.position += (HEADER_SIZE + len).next_multiple_of(8) as u64;
        step
    }

    fn give_back(&self) {
        self.consumer
            .counter(0)
            .store(self.position, Ordering::Release);
    }
}

enum Step {
    /// The program that writes it has not finished.
    Busy,
    Discarded,
    Handled(ControlFlow<()>),
}
