//! Signals as bytes in a pipe; the second one that asks to end does end the process.

use std::io::{self, PipeReader, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Handlers of some signals, taken back when dropped.
#[derive(Debug)]
pub struct Signals {
    arrived: PipeReader,
    handlers: Vec<signal_hook::SigId>,
}

impl Signals {
    /// Catches the signals of `ending` (the second of them ends the process at once) and of `others`.
    pub fn catch(ending: &[i32], others: &[i32]) -> io::Result<Signals> {
        let (arrived, writer) = io::pipe()?;
        set_nonblocking(arrived.as_fd())?;
        set_nonblocking(writer.as_fd())?;
        let writer = Arc::new(writer);
        let is_ending = Arc::new(AtomicBool::new(false));
        let mut signals = Signals {
            arrived,
            handlers: Vec::new(),
        };
        for &number in ending.iter().chain(others) {
            if signal_hook::consts::FORBIDDEN.contains(&number) {
                return Err(io::Error::from(io::ErrorKind::InvalidInput));
            }
            let writer = writer.clone();
            let is_ending = ending.contains(&number).then(|| is_ending.clone());
            let action = move || {
                let was_ending = is_ending
                    .as_ref()
                    .is_some_and(|flag| flag.swap(true, Ordering::SeqCst));
                if was_ending {
                    // SAFETY: ends the process; descriptors, and with them all programs, go with it.
                    unsafe { libc::_exit(128 + number) };
                }
                let byte = number as u8;
                // SAFETY: writes one byte; a full pipe is readable anyway.
                unsafe { libc::write(writer.as_raw_fd(), (&raw const byte).cast(), 1) };
            };
            // SAFETY: the action only touches an atomic, writes to a pipe and may end the process: all safe in a handler.
            let handler = unsafe { signal_hook::low_level::register(number, action) }?;
            signals.handlers.push(handler);
        }
        Ok(signals)
    }

    /// To be waited for.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.arrived.as_fd()
    }

    /// Numbers of the signals that came, in order.
    pub fn take(&mut self) -> Vec<i32> {
        let mut bytes = [0u8; 64];
        let count = self.arrived.read(&mut bytes).unwrap_or(0);
        bytes[..count]
            .iter()
            .map(|&number| i32::from(number))
            .collect()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for handler in self.handlers.drain(..) {
            signal_hook::low_level::unregister(handler);
        }
    }
}

fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: takes numbers only; neither pipe end has other flags.
    super::checked_libc(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) })
        .map(drop)
}
