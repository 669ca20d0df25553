//! Following a child of ours from its exec to its own first system call: by ptrace(2), which lets go when we die.
//!
//! ```text
//! exec ─ loader: open, mmap, mmap, mprotect … ─ constructors, main: the first system call from there ends it
//!   ▲                      ▲     ▲
//!   └── a stop at each that maps code: `look` ──┘
//! ```

use std::io;
use std::time::{Duration, Instant};

/// A loader that takes longer is not followed to the end.
const LIMIT: Duration = Duration::from_secs(1);
/// Between two looks at whether the child has stopped.
const PAUSE: Duration = Duration::from_micros(20);

const SEIZE: i64 = 0x4206;
const INTERRUPT: i64 = 0x4207;
const GET_SYSCALL_INFO: i64 = 0x420e;
const SYSCALL: i64 = 24;
const DETACH: i64 = 17;
/// `PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC`
const OPTIONS: usize = 1 | 1 << 4;
const EVENT_EXEC: i32 = 4;
const EVENT_STOP: i32 = 128;
/// With `PTRACE_O_TRACESYSGOOD`.
const SYSCALL_STOP: i32 = libc::SIGTRAP | 0x80;

/// What a child has done since the last time it was let run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    Exec,
    Call,
    /// A signal that it is to get.
    Signal(i32),
    /// Somebody else stopped it.
    Stopped,
    Ended,
    /// Still running.
    None,
}

/// `struct ptrace_syscall_info` (include/uapi/linux/ptrace.h), as far as it is used.
#[repr(C)]
#[derive(Default)]
struct CallInfo {
    op: u8,
    pad: [u8; 3],
    arch: u32,
    instruction_pointer: u64,
    stack_pointer: u64,
    number: u64,
    args: [u64; 6],
}

const OP_ENTRY: u8 = 1;
const OP_EXIT: u8 = 2;

/// A child that is followed. It runs on by itself when this is dropped.
#[derive(Debug)]
pub struct Startup {
    pid: u32,
    deadline: Instant,
    /// It is stopped, as was noted: with the signal that it gets when it goes on, or 0.
    held: Option<i32>,
}

impl Startup {
    /// Begins before the child becomes its program.
    pub fn follow(pid: u32) -> io::Result<Startup> {
        request(SEIZE, pid, 0, OPTIONS)?;
        Ok(Startup {
            pid,
            deadline: Instant::now() + LIMIT,
            held: None,
        })
    }

    /// Calls `look` whenever code was mapped, until `is_loader` says no of the place of a system call.
    pub fn run<E>(
        mut self,
        mut look: impl FnMut() -> Result<(), E>,
        mut is_loader: impl FnMut(u64) -> bool,
    ) -> Result<(), E> {
        let mut maps_code = false;
        let mut is_seen = false;
        while Instant::now() < self.deadline {
            match self.next_stop() {
                Stop::Exec => {
                    look()?;
                    is_seen = true;
                }
                Stop::Call if is_seen => {
                    let Ok(info) = call_info(self.pid) else {
                        return Ok(());
                    };
                    if info.op == OP_ENTRY {
                        if !is_loader(info.instruction_pointer) {
                            return Ok(());
                        }
                        maps_code = info.maps_code();
                    } else if info.op == OP_EXIT && std::mem::take(&mut maps_code) {
                        look()?;
                    }
                }
                Stop::Call | Stop::Signal(_) => {}
                Stop::Stopped | Stop::Ended | Stop::None => break,
            }
            let signal = self.held.take().unwrap_or(0);
            if request(SYSCALL, self.pid, 0, signal as usize).is_err() {
                break;
            }
        }
        Ok(())
    }

    /// Waits until the child stops, or too long.
    fn next_stop(&mut self) -> Stop {
        loop {
            let stop = stop_of(self.pid);
            self.held = match stop {
                Stop::None if Instant::now() < self.deadline => {
                    std::thread::sleep(PAUSE);
                    continue;
                }
                Stop::None | Stop::Ended => None,
                Stop::Signal(number) => Some(number),
                Stop::Exec | Stop::Call | Stop::Stopped => Some(0),
            };
            return stop;
        }
    }
}

impl Drop for Startup {
    /// Only a child that is stopped can be let go. A signal that stopped it is not taken from it.
    fn drop(&mut self) {
        if self.held.is_none() && request(INTERRUPT, self.pid, 0, 0).is_ok() {
            // However long it takes: at its next signal a child that is still followed would stop for ever.
            self.deadline = Instant::now();
            while self.next_stop() == Stop::None {
                std::thread::sleep(PAUSE);
            }
        }
        if let Some(signal) = self.held {
            let _ = request(DETACH, self.pid, 0, signal as usize);
        }
    }
}

impl CallInfo {
    /// Whether the call makes memory executable: the third argument of both says so.
    fn maps_code(&self) -> bool {
        let is_map = [libc::SYS_mmap, libc::SYS_mprotect].contains(&(self.number as libc::c_long));
        is_map && self.args[2] & libc::PROT_EXEC as u64 != 0
    }
}

fn call_info(pid: u32) -> io::Result<CallInfo> {
    let mut info = CallInfo::default();
    let place = (&raw mut info) as usize;
    request(GET_SYSCALL_INFO, pid, size_of::<CallInfo>(), place)?;
    Ok(info)
}

/// Takes note of a stop; the end of the child is left for whoever waits for it.
fn stop_of(pid: u32) -> Stop {
    // SAFETY: a structure of integers, which the call fills.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let peek = libc::WSTOPPED | libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: `info` is one siginfo_t.
    if unsafe { libc::waitid(libc::P_PID, pid, &mut info, peek) } < 0 {
        return Stop::Ended;
    }
    // SAFETY: filled by waitid, or zero as made above.
    let (who, status) = unsafe { (info.si_pid(), info.si_status()) };
    if who == 0 {
        return Stop::None;
    }
    if ![libc::CLD_TRAPPED, libc::CLD_STOPPED].contains(&info.si_code) {
        return Stop::Ended;
    }
    // SAFETY: as above; takes the stop that was seen.
    unsafe { libc::waitid(libc::P_PID, pid, &mut info, libc::WSTOPPED | libc::WNOHANG) };
    match (status & 0xff, status >> 8) {
        (_, EVENT_EXEC) => Stop::Exec,
        (_, EVENT_STOP) => Stop::Stopped,
        (SYSCALL_STOP, _) => Stop::Call,
        (number, _) => Stop::Signal(number),
    }
}

/// Requests whose data is a number, or the address of something that outlives the call.
fn request(what: i64, pid: u32, address: usize, data: usize) -> io::Result<()> {
    // SAFETY: `call_info` gives a place with its size; the other requests do not touch our memory.
    let result = unsafe {
        libc::syscall(
            libc::SYS_ptrace,
            what as libc::c_long,
            pid as libc::c_long,
            address,
            data,
        )
    };
    match result {
        0.. => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
