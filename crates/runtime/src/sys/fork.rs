//! Child processes that a plain `Command` cannot make: one held before it becomes its program, and a guard that cleans
//! up when we are gone.

use super::poll::Poll;
use super::{checked_libc, owned};
use std::ffi::{CStr, CString, OsStr, c_char};
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::Duration;

/// How long a child may take to end by SIGTERM.
const TERM_PATIENCE: Duration = Duration::from_secs(2);

/// A process of ours that waits for [`HeldChild::release`] before it becomes its program.
///
/// It waits on a pipe: when we die first, it ends without having run anything.
#[derive(Debug)]
pub struct HeldChild {
    pid: u32,
    hold: Option<PipeWriter>,
    exec_error: PipeReader,
}

impl HeldChild {
    /// Makes the process; `argv[0]` is looked up in `PATH`.
    pub fn new(argv: &[CString]) -> io::Result<HeldChild> {
        let mut pointers: Vec<*const c_char> = argv.iter().map(|arg| arg.as_ptr()).collect();
        if pointers.is_empty() {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        pointers.push(std::ptr::null());
        // Looked up here: attempts at other folders of `PATH` would be seen by the probes that are on when it starts.
        let file = find_program(&argv[0]).unwrap_or_else(|| argv[0].clone());
        let (held, hold) = io::pipe()?;
        let (exec_error, report) = io::pipe()?;
        // SAFETY: the child calls only async-signal-safe functions until it becomes another program or ends.
        match checked_libc(unsafe { libc::fork() })? {
            0 => become_program(&file, &pointers, held, hold, report),
            pid => Ok(HeldChild {
                pid: pid as u32,
                hold: Some(hold),
                exec_error,
            }),
        }
    }

    /// Its number in our pid namespace.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Lets it become its program; the error is that of `execvp`.
    pub fn release(&mut self) -> io::Result<()> {
        let Some(mut hold) = self.hold.take() else {
            return Ok(());
        };
        hold.write_all(&[1])?;
        let mut errno = Vec::new();
        self.exec_error.read_to_end(&mut errno)?;
        match errno.try_into() {
            Ok(errno) => Err(io::Error::from_raw_os_error(i32::from_ne_bytes(errno))),
            // Closed by a successful exec.
            Err(_) => Ok(()),
        }
    }

    /// Ends it if it still runs, and takes its exit status: `None` when it was ended by a signal. One that does not mind SIGTERM
    /// is killed in the end.
    pub fn end(mut self) -> Option<i32> {
        self.hold = None;
        signal(self.pid, libc::SIGTERM);
        if let Ok(process) = pidfd(self.pid) {
            let ended = Poll::new().and_then(|poll| {
                poll.add(process.as_fd(), 0)?;
                poll.wait(Some(TERM_PATIENCE))
            });
            if ended.is_ok_and(|tokens| tokens.is_empty()) {
                signal(self.pid, libc::SIGKILL);
            }
        }
        wait(self.pid)
    }
}

/// The program's path; `None` when `PATH` is not asked, or has no such program.
fn find_program(name: &CStr) -> Option<CString> {
    if name.to_bytes().contains(&b'/') {
        return None;
    }
    let paths = std::env::var_os("PATH")?;
    let name = OsStr::from_bytes(name.to_bytes());
    std::env::split_paths(&paths)
        .filter_map(|folder| CString::new(folder.join(name).into_os_string().into_vec()).ok())
        .find(|path| {
            // SAFETY: a NUL-terminated path.
            unsafe { libc::access(path.as_ptr(), libc::X_OK) == 0 }
        })
}

fn become_program(
    file: &CStr,
    argv: &[*const c_char],
    held: PipeReader,
    hold: PipeWriter,
    report: PipeWriter,
) -> ! {
    // Our own copy would keep the pipe open after the tracer's death.
    close(hold.into());
    let mut byte = 0u8;
    // SAFETY: reads one byte into one byte.
    let count = unsafe { libc::read(held.as_raw_fd(), (&raw mut byte).cast(), 1) };
    if count != 1 {
        exit_now(0);
    }
    // Rust ignores SIGPIPE; programs expect the default.
    // SAFETY: sets a disposition, no handler.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    // SAFETY: `argv` ends with null and all strings live in this process's copy of memory.
    unsafe { libc::execvp(file.as_ptr(), argv.as_ptr()) };
    let errno = io::Error::last_os_error()
        .raw_os_error()
        .unwrap_or(libc::ENOENT)
        .to_ne_bytes();
    // SAFETY: writes four bytes from four bytes.
    unsafe { libc::write(report.as_raw_fd(), errno.as_ptr().cast(), errno.len()) };
    exit_now(127)
}

/// A process of ours that does one thing once we are gone, however we go.
#[derive(Debug)]
pub struct Guard {
    pid: u32,
    alive: Option<PipeWriter>,
}

impl Guard {
    /// Makes the process. `clean_up` runs there, in a copy of our memory with no other thread.
    pub fn new(clean_up: impl FnOnce()) -> io::Result<Guard> {
        let (watched, alive) = io::pipe()?;
        // SAFETY: the child waits with plain system calls; `clean_up` may allocate, which glibc's fork allows.
        match checked_libc(unsafe { libc::fork() })? {
            0 => stand_guard(watched, clean_up),
            pid => Ok(Guard {
                pid: pid as u32,
                alive: Some(alive),
            }),
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.alive = None;
        wait(self.pid);
    }
}

fn stand_guard(watched: PipeReader, clean_up: impl FnOnce()) -> ! {
    for number in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT] {
        // SAFETY: sets a disposition, no handler.
        unsafe { libc::signal(number, libc::SIG_IGN) };
    }
    close_all_but(watched.as_raw_fd());
    let mut byte = 0u8;
    loop {
        // SAFETY: reads one byte into one byte.
        let count = unsafe { libc::read(watched.as_raw_fd(), (&raw mut byte).cast(), 1) };
        if count == 0 {
            break;
        }
    }
    clean_up();
    exit_now(0)
}

/// Programs, links and pipes of ours must not live on in the guard.
fn close_all_but(kept: i32) {
    let kept = kept as libc::c_uint;
    for (first, last) in [(0, kept.saturating_sub(1)), (kept + 1, libc::c_uint::MAX)] {
        // SAFETY: this process has no use for any of them.
        let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
        if result < 0 {
            for fd in first..=last.min(65536) {
                // SAFETY: as above, on kernels before 5.9.
                unsafe { libc::close(fd as i32) };
            }
        }
    }
}

fn close(fd: OwnedFd) {
    drop(fd);
}

fn exit_now(code: i32) -> ! {
    // SAFETY: ends the process without running anything of ours.
    unsafe { libc::_exit(code) }
}

/// Sends a signal; a process that is gone is fine.
pub fn signal(pid: u32, number: i32) {
    // SAFETY: takes numbers only.
    unsafe { libc::kill(pid as libc::pid_t, number) };
}

/// Waits for a child of ours: its exit code, `None` when a signal ended it.
pub fn wait(pid: u32) -> Option<i32> {
    let mut status = 0;
    loop {
        // SAFETY: `status` is one int.
        let result = unsafe { libc::waitpid(pid as libc::pid_t, &mut status, 0) };
        if result >= 0 {
            return libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status));
        }
        if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return None;
        }
    }
}

/// A descriptor that becomes readable when the process ends (Linux 5.3).
pub fn pidfd(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: takes numbers only.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_open, pid as libc::pid_t, 0) })
}
