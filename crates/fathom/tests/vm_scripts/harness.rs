//! Runs `fathom` in a guest and looks at what it prints.

use std::fs::{self, File};
use std::process::{Child, Command, ExitStatus};
use std::sync::Once;
use std::time::{Duration, Instant};

/// How long one run may take; emulation is slow.
const PATIENCE: Duration = Duration::from_secs(120);
/// A bash script that opens /etc/hosts twice from a function.
const WORK: &str = "/tmp/work.sh";
const WORK_TEXT: &str = "f() { read line < /etc/hosts; }\nf; true; f\n";
/// A bash script that keeps the processor busy for a while.
const SPIN: &str = "/tmp/spin.sh";
const SPIN_TEXT: &str = "i=0; while ((i < 30000)); do ((i++)); done\n";

/// Prints why and returns false where this is not one of the guests.
pub fn in_guest() -> bool {
    static PREPARED: Once = Once::new();
    let inside = std::env::var_os("FATHOM_GUEST").is_some();
    if inside {
        PREPARED.call_once(|| {
            fs::write(WORK, WORK_TEXT).expect("/tmp can be written");
            fs::write(SPIN, SPIN_TEXT).expect("/tmp can be written");
        });
    } else {
        println!("skipped: runs in `cargo xtask vm` only");
    }
    inside
}

/// Whether the guest's kernel is at least this one.
pub fn kernel_is(major: u32, minor: u32) -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("proc is mounted");
    let mut numbers = release
        .split(['.', '-', '+'])
        .map(|number| number.trim().parse().unwrap_or(0));
    let kernel: (u32, u32) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    kernel >= (major, minor)
}

/// What came of a run.
pub struct Ran {
    pub out: String,
    pub err: String,
    pub status: ExitStatus,
}

impl Ran {
    /// Standard output of a run that must have gone well.
    pub fn text(&self) -> &str {
        assert!(
            self.status.success(),
            "{}\n{}\n{}",
            self.status,
            self.out,
            self.err
        );
        &self.out
    }

    /// The number behind `entry: `.
    pub fn count(&self, entry: &str) -> u64 {
        let text = self.text();
        let found = text
            .lines()
            .find_map(|line| line.strip_prefix(entry)?.strip_prefix(": "));
        found.map_or(0, |number| {
            number
                .parse()
                .unwrap_or_else(|_| panic!("{entry} is no number:\n{text}"))
        })
    }

    /// The entry is there, with this number.
    pub fn has(&self, entry: &str, number: u64) {
        assert_eq!(
            self.count(entry),
            number,
            "{entry}\n{}\n{}",
            self.out,
            self.err
        );
    }

    /// It failed, with all of these in what it said.
    pub fn fails_with(&self, parts: &[&str]) {
        assert!(!self.status.success(), "{}\n{}", self.out, self.err);
        for part in parts {
            assert!(self.err.contains(part), "no {part:?} in:\n{}", self.err);
        }
    }
}

/// Ends a process when the test goes, however it goes.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs `fathom` with these arguments.
pub fn fathom(args: &[&str]) -> Ran {
    let program = std::env::var("FATHOM_BIN").expect("FATHOM_BIN is set in guests");
    let (out, err) = ("/tmp/fathom.out", "/tmp/fathom.err");
    let child = Command::new(program)
        .args(args)
        .stdout(File::create(out).expect("/tmp can be written"))
        .stderr(File::create(err).expect("/tmp can be written"))
        .spawn()
        .expect("fathom starts");
    let mut child = Ended(child);
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.0.try_wait().expect("fathom is our child") {
            break status;
        }
        if started.elapsed() > PATIENCE {
            panic!(
                "fathom {args:?} does not end:\n{}\n{}",
                read(out),
                read(err)
            );
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    Ran {
        out: read(out),
        err: read(err),
        status,
    }
}

fn read(path: &str) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Runs a script to its own end.
pub fn run(script: &str) -> Ran {
    fathom(&["run", "-q", "-e", script])
}

/// Runs a script while a command runs.
pub fn during(script: &str, command: &str) -> Ran {
    fathom(&["run", "-q", "-e", script, "-c", command])
}

/// Runs a script while bash opens /etc/hosts twice.
pub fn work(script: &str) -> Ran {
    during(script, "/bin/bash /tmp/work.sh")
}

/// Runs a script while bash keeps the processor busy.
pub fn spin(script: &str) -> Ran {
    during(script, "/bin/bash /tmp/spin.sh")
}
