//! Everything that a session waits for at once: events, signals, the end of its process, `stop()`.

use super::Options;
use super::events::Events;
use crate::error::{Error, Result};
use crate::sys::fork;
use crate::sys::poll::{Poll, Wake};
use crate::sys::signal::Signals;
use fathom_bpf::Object;
use fathom_bpf::object::Place;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long events gather once they come in numbers: each look at the buffer then finds hundreds, and the programs need not wake us
/// for every one.
const GATHER: Duration = Duration::from_millis(1);
/// Wake-ups closer together than this are numbers.
const CLOSE_TOGETHER: Duration = Duration::from_millis(2);
/// When the target process is looked at after its start, so that it can be symbolized when it is gone; then every second.
const LOOKS: [Duration; 6] = [
    Duration::from_millis(1),
    Duration::from_millis(3),
    Duration::from_millis(8),
    Duration::from_millis(20),
    Duration::from_millis(100),
    Duration::from_millis(400),
];
/// See [`LOOKS`].
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// There are events.
    Events,
    /// A signal that a `self` probe waits for.
    Signal(i32),
    /// It is time to see what the target process has mapped.
    LookAtTarget(u32),
    /// Somebody asks to stop, or the target process ended, or all is read.
    End,
}

const EVENTS: u64 = 0;
const SIGNALS: u64 = 1;
const END: u64 = 2;

pub(super) struct Watch {
    poll: Poll,
    signals: Signals,
    ending_signals: &'static [i32],
    stop: Arc<Wake>,
    /// Keeps the process's descriptor open.
    _target: Option<OwnedFd>,
    looks: Option<Looks>,
    last_events: Option<Instant>,
}

/// Upcoming looks at the target process, and at others that are watched.
struct Looks {
    pids: Vec<u32>,
    done: usize,
    next: Instant,
}

impl Watch {
    pub(super) fn new(
        object: &Object,
        options: &Options,
        stop: &Arc<Wake>,
        events: &Events,
    ) -> Result<Watch> {
        let ending_signals: &[i32] = match options.handle_signals {
            true => &[libc::SIGINT, libc::SIGTERM],
            false => &[],
        };
        let awaited: Vec<i32> = object
            .attach_points
            .iter()
            .filter_map(|point| match point.place {
                Place::Signal { number } => Some(number),
                _ => None,
            })
            .collect();
        let signals = Signals::catch(ending_signals, &awaited).map_err(Error::Events)?;
        let target = match options.target.pid() {
            Some(pid) => Some(fork::pidfd(pid).map_err(|source| Error::Process { pid, source })?),
            None => None,
        };
        let poll = Poll::new().map_err(Error::Events)?;
        let add = |fd, token| poll.add(fd, token).map_err(Error::Events);
        for fd in events.fds() {
            add(fd, EVENTS)?;
        }
        add(signals.fd(), SIGNALS)?;
        add(stop.fd(), END)?;
        if let Some(target) = &target {
            add(target.as_fd(), END)?;
        }
        let pids: Vec<u32> = options
            .target
            .pid()
            .into_iter()
            .chain(options.watched.iter().copied())
            .collect();
        let looks = (!pids.is_empty()).then(|| Looks {
            pids,
            done: 0,
            next: Instant::now(),
        });
        Ok(Watch {
            poll,
            signals,
            ending_signals,
            stop: stop.clone(),
            _target: target,
            looks,
            last_events: None,
        })
    }

    /// Waits for something to happen.
    pub(super) fn wait(&mut self) -> Result<Vec<News>> {
        let until_look = self
            .looks
            .as_ref()
            .map(|looks| looks.next.saturating_duration_since(Instant::now()));
        let ready = self.poll.wait(until_look).map_err(Error::Events)?;
        let mut news = Vec::new();
        if let Some(looks) = &mut self.looks {
            looks.due(&mut news);
        }
        if ready.contains(&EVENTS) {
            self.gather();
            news.push(News::Events);
        }
        if ready.contains(&SIGNALS) {
            let numbers = self.signals.take().into_iter();
            news.extend(
                numbers.map(|number| match self.ending_signals.contains(&number) {
                    true => News::End,
                    false => News::Signal(number),
                }),
            );
        }
        if ready.contains(&END) {
            news.push(News::End);
        }
        Ok(news)
    }

    /// Waits a moment for more events when the last ones came just now.
    fn gather(&mut self) {
        if self
            .last_events
            .is_some_and(|last| last.elapsed() < CLOSE_TOGETHER)
        {
            std::thread::sleep(GATHER);
        }
        self.last_events = Some(Instant::now());
    }

    /// Reads iterators to their end on a thread of their own, while their events are shown here; then the session ends.
    pub(super) fn read_iterators(&self, iterators: Vec<OwnedFd>) -> Result<()> {
        if iterators.is_empty() {
            return Ok(());
        }
        let stop = self.stop.clone();
        let read_all = move || {
            for iterator in iterators {
                read_to_end(File::from(iterator));
            }
            stop.set();
        };
        let thread = std::thread::Builder::new()
            .name("fathom-iter".into())
            .spawn(read_all);
        thread.map(drop).map_err(Error::Events)
    }
}

/// What programs write by `bpf_seq_write` is of no interest; they send events.
fn read_to_end(mut iterator: File) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match iterator.read(&mut buffer) {
            Ok(0) => return,
            Ok(_) => {}
            // So many objects in a row wrote nothing: the kernel pauses.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EINTR)) => {}
            Err(_) => return,
        }
    }
}

impl Looks {
    fn due(&mut self, news: &mut Vec<News>) {
        let now = Instant::now();
        if now < self.next {
            return;
        }
        self.next = now + LOOKS.get(self.done).copied().unwrap_or(LOOK_EVERY);
        self.done += 1;
        news.extend(self.pids.iter().map(|pid| News::LookAtTarget(*pid)));
    }
}
