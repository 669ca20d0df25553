//! Maps under load: nothing is lost, nothing is counted twice, wherever entries are kept. Needs root.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

/// The tests of this file share a process and its system calls: one script at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A running script that ends when this process calls getpgid(2).
struct Script {
    _alone: MutexGuard<'static, ()>,
    child: Child,
    errors: BufReader<std::process::ChildStderr>,
}

impl Script {
    /// Starts `probes` and waits until they are attached. `None`: not root, and said so.
    fn start(probes: &str) -> Option<Script> {
        // SAFETY: takes nothing and cannot fail.
        if unsafe { libc::geteuid() } != 0 {
            println!("skipped: needs root");
            return None;
        }
        let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let pid = std::process::id();
        let script =
            format!("{probes} tracepoint:syscalls:sys_enter_getpgid /pid == {pid}/ {{ exit(); }}");
        let script = script.replace("PID", &pid.to_string());
        let mut child = Command::new(env!("CARGO_BIN_EXE_fathom"))
            .args(["run", "-f", "json", "-e", &script])
            .env("BPFTRACE_PERF_RB_PAGES", "64")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the fathom command starts");
        let errors = BufReader::new(child.stderr.take().expect("stderr is a pipe"));
        let mut script = Script {
            _alone: alone,
            child,
            errors,
        };
        let mut first = String::new();
        let mut out = BufReader::new(script.child.stdout.as_mut().expect("stdout is a pipe"));
        out.read_line(&mut first).expect("stdout can be read");
        if !first.contains("attached_probes") {
            let mut text = String::new();
            let _ = script.errors.read_to_string(&mut text);
            panic!("not attached: {first}{text}");
        }
        Some(script)
    }

    /// Ends the script and gives its maps as they were printed.
    fn maps(mut self) -> BTreeMap<String, serde_json::Value> {
        // SAFETY: takes a number only.
        unsafe { libc::getpgid(0) };
        let mut text = String::new();
        let mut out = self.child.stdout.take().expect("stdout is a pipe");
        out.read_to_string(&mut text).expect("stdout can be read");
        let mut errors = String::new();
        let _ = self.errors.read_to_string(&mut errors);
        let status = self.child.wait().expect("the command can be waited for");
        assert!(status.success(), "{status}: {errors}");
        let mut maps = BTreeMap::new();
        for line in text.lines() {
            let record: serde_json::Value = serde_json::from_str(line).expect("one object a line");
            let data = record["data"].as_object();
            let named = data
                .into_iter()
                .flatten()
                .filter(|(name, _)| name.starts_with('@'));
            maps.extend(named.map(|(name, value)| (name.clone(), value.clone())));
        }
        maps
    }
}

/// `threads` threads at a time call getppid(2) `calls` times each.
fn call_getppid(threads: usize, calls: usize) {
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for _ in 0..calls {
                    // SAFETY: takes nothing and cannot fail.
                    unsafe { libc::getppid() };
                }
            });
        }
    });
}

fn sum(map: &serde_json::Value) -> u64 {
    let entries = map.as_object().expect("a keyed map");
    entries.values().filter_map(serde_json::Value::as_u64).sum()
}

#[test]
fn counts_by_key_add_up_exactly() {
    let Some(script) = Script::start(
        "tracepoint:syscalls:sys_enter_getppid /pid == PID/ {
            @all = count(); @thread[tid] = count(); @name[comm] = count(); @sum[pid, cpu] = sum(2);
            @size[comm] = hist(tid); @most[tid] = max(3); }",
    ) else {
        return;
    };
    let (threads, calls) = (40, 5_000);
    call_getppid(threads, calls);
    let maps = script.maps();
    let total = (threads * calls) as u64;
    assert_eq!(maps["@all"], total);
    assert_eq!(sum(&maps["@thread"]), total);
    assert_eq!(
        maps["@thread"].as_object().map(|entries| entries.len()),
        Some(threads)
    );
    assert_eq!(sum(&maps["@name"]), total);
    assert_eq!(sum(&maps["@sum"]), 2 * total);
    assert_eq!(sum(&maps["@most"]), 3 * threads as u64);
    let buckets = maps["@size"]
        .as_object()
        .expect("a keyed histogram")
        .values();
    let counts = buckets.flat_map(|rows| rows.as_array().expect("rows").iter());
    let counted: u64 = counts.filter_map(|row| row["count"].as_u64()).sum();
    assert_eq!(counted, total);
}

#[test]
fn values_of_all_intervals_add_up_exactly() {
    let Some(script) = Script::start(
        "config = { unstable_tseries = enable }
        tracepoint:syscalls:sys_enter_getppid /pid == PID/ {
            @all = tseries(1, 1ms, 100000, \"sum\"); @thread[tid] = tseries(1, 100ms, 1000, \"sum\");
            @last = tseries(1, 1ms, 2); }",
    ) else {
        return;
    };
    let (threads, calls) = (8, 20_000);
    call_getppid(threads, calls);
    let maps = script.maps();
    let sum = |rows: &serde_json::Value| -> u64 {
        let rows = rows.as_array().expect("a list of intervals").iter();
        rows.filter_map(|row| row["value"].as_u64()).sum()
    };
    let total = (threads * calls) as u64;
    assert_eq!(sum(&maps["@all"]), total);
    let by_thread = maps["@thread"].as_object().expect("a keyed map");
    assert_eq!(by_thread.len(), threads);
    for rows in by_thread.values() {
        assert_eq!(sum(rows), calls as u64);
    }
    let starts = maps["@all"].as_array().into_iter().flatten();
    let starts: Vec<_> = starts.map(|row| row["interval_start"].as_str()).collect();
    assert!(starts.is_sorted() && starts.len() > 1, "{starts:?}");
    // Old intervals go when new ones come.
    let last = maps["@last"].as_array().map(Vec::len);
    assert!(matches!(last, Some(1 | 2)), "{last:?}");
}

#[test]
fn more_keys_than_slots_are_kept_all() {
    let Some(script) = Script::start(
        "tracepoint:syscalls:sys_enter_getppid /pid == PID/ { @thread[tid] = count(); @seen[tid] = 7; }",
    ) else {
        return;
    };
    // More threads than a table has slots, one after the other: each has an id of its own.
    for _ in 0..200 {
        call_getppid(20, 1);
    }
    let maps = script.maps();
    for name in ["@thread", "@seen"] {
        let entries = maps[name].as_object().expect("a keyed map").len();
        assert_eq!(entries, 4_000, "{name}: entries of 4000 threads");
    }
    assert_eq!(sum(&maps["@thread"]), 4_000);
}

#[test]
fn every_call_of_every_thread_is_paired() {
    let Some(script) = Script::start(
        "tracepoint:syscalls:sys_enter_getppid /pid == PID/ { @start[tid] = nsecs; }
         tracepoint:syscalls:sys_exit_getppid /pid == PID && @start[tid]/ {
            @paired = count(); @nanoseconds = hist(nsecs - @start[tid]); delete(@start, tid); }",
    ) else {
        return;
    };
    call_getppid(100, 2_000);
    let maps = script.maps();
    assert_eq!(maps["@paired"], 200_000);
    assert!(!maps.contains_key("@start"), "{:?}", maps["@start"]);
}

#[test]
fn clearing_frees_slots_and_zeroing_keeps_keys() {
    let Some(script) = Script::start(
        "begin { @a[1] = count(); @a[2] = count(); @b[1] = sum(5); @t[tid] = 9; zero(@b); clear(@a); clear(@t); }
         tracepoint:syscalls:sys_enter_getppid /pid == PID/ { @a[3] = count(); }",
    ) else {
        return;
    };
    call_getppid(1, 10);
    let maps = script.maps();
    assert_eq!(maps["@a"], serde_json::json!({ "3": 10 }));
    assert_eq!(maps["@b"], serde_json::json!({ "1": 0 }));
    assert!(!maps.contains_key("@t"));
}
