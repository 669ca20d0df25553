//! Hits at which the kernel did not run a program are told. Needs root.

use std::process::{Command, Stdio};

/// A program that sends signals from inside of a system call's tracepoint, and one that the kernel does not run meanwhile.
const SCRIPT: &str = r#"
    tracepoint:syscalls:sys_enter_getppid /pid == cpid/ { signal("SIGCONT"); }
    tracepoint:signal:signal_generate /pid == cpid && args.sig == 18/ { @seen = count(); }"#;
const COMMAND: &str =
    "/usr/bin/python3 -I -S -c 'import posix; [posix.getppid() for _ in range(7)]'";

/// `None`: not root, or a kernel that does not count, and said so.
fn run(options: &[&str]) -> Option<(String, String)> {
    // SAFETY: takes nothing and cannot fail.
    if unsafe { libc::geteuid() } != 0 {
        println!("skipped: needs root");
        return None;
    }
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("proc is mounted");
    let mut numbers = release
        .split('.')
        .map(|number| number.parse::<u32>().unwrap_or(0));
    if (numbers.next(), numbers.next()) < (Some(6), Some(7)) {
        println!("skipped: this kernel does not count missed hits");
        return None;
    }
    let output = Command::new(env!("CARGO_BIN_EXE_fathom"))
        .args(["run", "-q", "--unsafe", "-e", SCRIPT, "-c", COMMAND])
        .args(options)
        .stdin(Stdio::null())
        .output()
        .expect("the fathom command starts");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let (out, err) = (text(output.stdout), text(output.stderr));
    assert!(output.status.success(), "{err}");
    Some((out, err))
}

/// The number between two texts in one of the lines. Signals that somebody else's program sends count too.
fn number(text: &str, before: &str, after: &str) -> u64 {
    let lines = text.lines();
    let numbers = lines.filter_map(|line| line.strip_prefix(before)?.strip_suffix(after));
    numbers
        .map(|number| number.parse::<u64>().expect("a number"))
        .sum()
}

#[test]
fn each_missed_hit_is_told_by_the_probes_name() {
    if let Some((out, err)) = run(&[]) {
        let missed = number(
            &err,
            "Missed ",
            " hits of tracepoint:signal:signal_generate",
        );
        assert!(missed >= 7, "{err}");
        assert!(!out.contains("@seen"), "{out}");
    }
}

#[test]
fn json_has_an_object_for_it() {
    if let Some((out, _)) = run(&["-f", "json"]) {
        let head = r#"{"type": "missed_hits", "data": {"probe": "tracepoint:signal:signal_generate", "hits": "#;
        assert!(number(&out, head, "}}") >= 7, "{out}");
    }
}
