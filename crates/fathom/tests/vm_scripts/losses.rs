//! Hits that the kernel cannot follow are counted; returns of functions that wait are not lost at all.

use crate::harness::*;
use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// 40 threads that wait in the kernel at the same time, twice.
const WAITERS: &str = "import _thread, time
done = [_thread.allocate_lock() for _ in range(40)]
def wait(lock):
    time.sleep(0.2); time.sleep(0.2); lock.release()
for lock in done:
    lock.acquire(); _thread.start_new_thread(wait, (lock,))
for lock in done:
    lock.acquire()
";
const DEFINITIONS: &str = "/sys/kernel/tracing/kprobe_events";

/// Counts calls and returns of the function in which they wait.
fn waiters(return_probe: &str) -> Ran {
    fs::write("/tmp/waiters.py", WAITERS).expect("/tmp can be written");
    let script = format!(
        "kprobe:hrtimer_nanosleep /pid == cpid/ {{ @calls++; }} {return_probe} /pid == cpid/ {{ @returns++; }}"
    );
    during(&script, "/usr/bin/python3 -I -S /tmp/waiters.py")
}

/// What `fathom` said it missed of the probe, or of the link in which it comes first.
fn missed(ran: &Ran, probe: &str) -> u64 {
    let lines = ran
        .err
        .lines()
        .filter_map(|line| line.strip_prefix("Missed "));
    let numbers = lines.filter_map(|line| {
        let (number, rest) = line.split_once(' ')?;
        let name = rest.split_once(" of ")?.1;
        (name.split(' ').next() == Some(probe)).then_some(number)
    });
    numbers
        .map(|number| number.parse::<u64>().expect("a number"))
        .sum()
}

fn definitions() -> String {
    fs::read_to_string(DEFINITIONS).expect("tracefs is mounted in guests")
}

/// Ends a process when the test goes, however it goes.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits for the list of definitions to be as wanted.
fn wait_for(what: &str, is_there: impl Fn(&str) -> bool) {
    let started = Instant::now();
    while !is_there(&definitions()) {
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "{what}: {}",
            definitions()
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn returns_of_functions_that_wait_are_all_seen() {
    if in_guest() {
        let ran = waiters("kretprobe:hrtimer_nanosleep");
        assert!(ran.count("@calls") >= 80, "{}", ran.out);
        ran.has("@returns", ran.count("@calls"));
        assert_eq!(
            missed(&ran, "kretprobe:hrtimer_nanosleep"),
            0,
            "{}",
            ran.err
        );
        assert!(!definitions().contains("fathom_"), "{}", definitions());
    }
}

#[test]
fn missed_returns_are_counted_where_the_kernel_counts_them() {
    if in_guest() {
        // A multi link has the kernel's own limit of pending calls, if the kernel has such links and still has a limit.
        let ran = waiters("kretprobe:hrtimer_nanoslee*");
        let lost = ran.count("@calls") - ran.count("@returns");
        let missed = missed(&ran, "kretprobe:hrtimer_nanosleep");
        if kernel_is(6, 7) {
            // Others wait in that function too.
            assert!(missed >= lost, "{}{}", ran.out, ran.err);
        } else {
            assert_eq!(missed, 0, "{}", ran.err);
        }
        if kernel_is(6, 7) && !kernel_is(6, 14) {
            assert!(lost > 0, "{}", ran.out);
        }
    }
}

#[test]
fn definitions_go_with_a_session_that_is_killed() {
    if in_guest() {
        // Of a session whose watcher was killed too: the next one takes it away.
        let stale = "r:fathom_4194303/p0 vfs_open\n";
        fs::OpenOptions::new()
            .append(true)
            .open(DEFINITIONS)
            .and_then(|mut file| std::io::Write::write_all(&mut file, stale.as_bytes()))
            .expect("a probe can be defined");
        assert!(
            definitions().contains("fathom_4194303"),
            "{}",
            definitions()
        );
        let program = std::env::var("FATHOM_BIN").expect("FATHOM_BIN is set in guests");
        let child = Command::new(program)
            .args(["run", "-e", "kretprobe:vfs_read { @ = count(); }"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let mut child = Ended(child.expect("fathom starts"));
        let ours = format!("fathom_{}/", child.0.id());
        wait_for("it is defined", |text| text.contains(&ours));
        assert!(
            !definitions().contains("fathom_4194303"),
            "{}",
            definitions()
        );
        child.0.kill().expect("it runs");
        wait_for("it is taken away", |text| !text.contains(&ours));
    }
}
