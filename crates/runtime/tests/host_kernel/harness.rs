//! Runs objects beside the test and looks at what they say.

use fathom_bpf::Object;
use fathom_machine::Machine;
use fathom_output::{OutputFormat, Printer};
use fathom_runtime::{Options, Outcome, Output, Result, Session, Stop};
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// How long a condition may take before the test fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Whether the test can run; says so if not.
pub fn is_root() -> bool {
    // SAFETY: takes nothing.
    let is_root = unsafe { libc::geteuid() } == 0;
    if !is_root {
        println!("skipped: needs root");
    }
    is_root
}

/// A writer that others can watch.
#[derive(Clone, Default)]
pub struct Text {
    shared: Arc<(Mutex<String>, Condvar)>,
}

impl Text {
    pub fn get(&self) -> String {
        self.shared.0.lock().unwrap().clone()
    }

    /// Waits until it contains `part`.
    pub fn wait_for(&self, part: &str) {
        let text = self.shared.0.lock().unwrap();
        let (text, timeout) = self
            .shared
            .1
            .wait_timeout_while(text, PATIENCE, |text| !text.contains(part))
            .unwrap();
        assert!(!timeout.timed_out(), "no {part:?} in {text:?}");
    }
}

impl Write for Text {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.shared
            .0
            .lock()
            .unwrap()
            .push_str(&String::from_utf8_lossy(bytes));
        self.shared.1.notify_all();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What came of a session.
pub struct Ran {
    pub out: String,
    pub err: String,
    pub outcome: Result<Outcome>,
}

impl Ran {
    pub fn outcome(&self) -> &Outcome {
        self.outcome
            .as_ref()
            .unwrap_or_else(|error| panic!("{error}: {:?}", std::error::Error::source(error)))
    }

    /// The number after `@name: `.
    pub fn count(&self, name: &str) -> u64 {
        let prefix = format!("{name}: ");
        let line = self.out.lines().find_map(|line| line.strip_prefix(&prefix));
        line.map_or(0, |number| number.parse().unwrap())
    }
}

/// Runs to its own end.
pub fn run(object: Object, options: Options) -> Ran {
    run_while(object, options, |_, _| ())
}

/// Runs while `body` does what is traced; `body` starts when everything is attached and ends the session by the handle, or the
/// session ends by itself.
pub fn run_while(object: Object, options: Options, body: impl FnOnce(&Stop, &Text)) -> Ran {
    let (out, err) = (Text::default(), Text::default());
    let machine = Machine::at("/");
    let session = match Session::load(object, &machine, options) {
        Ok(session) => session,
        Err(error) => {
            return Ran {
                out: String::new(),
                err: String::new(),
                outcome: Err(error),
            };
        }
    };
    let stop = session.stop_handle();
    let outcome = std::thread::scope(|scope| {
        let (thread_out, mut thread_err) = (out.clone(), err.clone());
        let running = scope.spawn(move || {
            let printer = Printer::new(OutputFormat::Text, "..");
            let outcome = session.run(&mut Output::new(printer, thread_out, thread_err.clone()));
            // Whoever waits for the probes need not wait any longer.
            let _ = write!(thread_err, "Attached: over");
            outcome
        });
        err.wait_for("Attached");
        body(&stop, &out);
        running.join().unwrap()
    });
    Ran {
        out: out.get(),
        err: err.get(),
        outcome,
    }
}

/// Waits for something that nothing tells about.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "not in time: {what}");
        std::thread::yield_now();
    }
}

/// A system call that nothing else makes here.
pub fn getppid(times: u64) {
    for _ in 0..times {
        // SAFETY: takes nothing.
        unsafe { libc::syscall(libc::SYS_getppid) };
    }
}

pub fn gettid() -> u32 {
    // SAFETY: takes nothing.
    unsafe { libc::syscall(libc::SYS_gettid) as u32 }
}
