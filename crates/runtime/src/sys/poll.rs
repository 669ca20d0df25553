//! Waiting for several descriptors, and the descriptors made only for that.

use super::{checked_libc, owned};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// An epoll instance whose descriptors are told apart by a token.
#[derive(Debug)]
pub struct Poll {
    epoll: OwnedFd,
}

impl Poll {
    /// Watches nothing yet.
    pub fn new() -> io::Result<Poll> {
        // SAFETY: takes a number only.
        let epoll = owned(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) }.into())?;
        Ok(Poll { epoll })
    }

    /// Reports `token` whenever `fd` becomes readable or its other end goes away.
    pub fn add(&self, fd: BorrowedFd<'_>, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: libc::EPOLLIN as u32,
            u64: token,
        };
        // SAFETY: the event is read during the call only.
        checked_libc(unsafe {
            libc::epoll_ctl(
                self.epoll.as_raw_fd(),
                libc::EPOLL_CTL_ADD,
                fd.as_raw_fd(),
                &mut event,
            )
        })
        .map(drop)
    }

    /// Tokens of what is ready; none after the timeout or a signal.
    pub fn wait(&self, timeout: Option<Duration>) -> io::Result<Vec<u64>> {
        const EVENTS: usize = 64;
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; EVENTS];
        let timeout_ms = timeout.map_or(-1, |timeout| {
            timeout.as_micros().div_ceil(1000).min(i32::MAX as u128) as i32
        });
        // SAFETY: the array has room for the number of events that is told.
        let count = checked_libc(unsafe {
            libc::epoll_wait(
                self.epoll.as_raw_fd(),
                events.as_mut_ptr(),
                EVENTS as i32,
                timeout_ms,
            )
        });
        match count {
            Ok(count) => Ok(events[..count as usize]
                .iter()
                .map(|event| event.u64)
                .collect()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

/// A counter that makes a descriptor readable.
#[derive(Debug)]
pub struct Wake {
    event: OwnedFd,
}

impl Wake {
    /// Not set.
    pub fn new() -> io::Result<Wake> {
        // SAFETY: takes numbers only.
        let event =
            owned(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) }.into())?;
        Ok(Wake { event })
    }

    /// Makes it readable, for ever.
    pub fn set(&self) {
        let one = 1u64.to_ne_bytes();
        // SAFETY: eight bytes are given; a full counter is readable as well, so errors do not matter.
        unsafe { libc::write(self.event.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    /// To be waited for.
    pub fn fd(&self) -> BorrowedFd<'_> {
        use std::os::fd::AsFd;
        self.event.as_fd()
    }
}
