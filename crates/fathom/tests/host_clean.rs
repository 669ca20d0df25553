//! Nothing stays in the kernel when `fathom` is gone, whatever was attached and however it went. Needs root.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for the kernel to let go.
const LIMIT: Duration = Duration::from_secs(60);
/// Commands of bpf(2) that open an object by its number.
const PROGRAM_BY_ID: libc::c_int = 13;
const LINK_BY_ID: libc::c_int = 30;

/// One of each kind that this kernel may allow: single and many, by perf events and by links.
const SCRIPT: &str = r#"
    tracepoint:syscalls:sys_enter_getppid { @a = count(); }
    rawtracepoint:sched_process_exec { @b = count(); }
    uprobe:/bin/bash:execute_command { @c = count(); }
    uretprobe:/bin/bash:execute_command { @d = count(); }
    uprobe:/bin/bash:execute_* { @e[func] = count(); }
    usdt:/usr/bin/python3:python:gc__start { @f = count(); }
    profile:hz:9 { @g = count(); }
    interval:s:100 { @h = count(); }
    software:page-faults:100 { @i = count(); }
    xdp:lo { @j = count(); }
    tc:lo:ingress { @k = count(); }
    tc:lo:egress { @l = count(); }
    end { printf("the end\n"); }
"#;

fn is_root() -> bool {
    // /proc/self belongs to whoever asks.
    let is_root = fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0);
    if !is_root {
        println!("skipped: needs root");
    }
    is_root
}

/// Numbers of the programs and links that a process holds, as the kernel tells them for its descriptors.
#[derive(Debug, Default)]
struct Held {
    programs: BTreeSet<u32>,
    links: BTreeSet<u32>,
}

fn held(pid: u32) -> Held {
    let mut held = Held::default();
    let files = fs::read_dir(format!("/proc/{pid}/fdinfo")).expect("the process is there");
    for file in files.flatten() {
        let text = fs::read_to_string(file.path()).unwrap_or_default();
        for line in text.lines() {
            match line.split_once(":\t") {
                Some(("prog_id", id)) => held.programs.extend(id.trim().parse::<u32>()),
                Some(("link_id", id)) => held.links.extend(id.trim().parse::<u32>()),
                _ => {}
            }
        }
    }
    held
}

/// Whether the kernel still has the object of that number.
fn exists(command: libc::c_int, id: u32) -> bool {
    // The attributes of these commands begin with the number; the rest must be zero.
    let mut attributes = [0u32; 30];
    attributes[0] = id;
    // SAFETY: the attributes carry their size, and the command only reads them.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            attributes.as_ptr(),
            size_of_val(&attributes[..3]),
        )
    };
    if result >= 0 {
        // SAFETY: the descriptor is ours and not used again.
        unsafe { libc::close(result as i32) };
    }
    result >= 0
}

fn started(arguments: &[&str]) -> Child {
    let mut child = Command::new(env!("CARGO_BIN_EXE_fathom"))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("fathom starts");
    let err = BufReader::new(child.stderr.take().expect("piped"));
    let mut said = String::new();
    for line in err.lines().map_while(Result::ok) {
        if line.contains("Attached") {
            return child;
        }
        said.push_str(&line);
        said.push('\n');
    }
    let _ = child.wait();
    panic!("it was never attached:\n{said}");
}

fn send(child: &Child, signal: libc::c_int) {
    // SAFETY: takes numbers only; the child has not been waited for.
    unsafe { libc::kill(child.id() as i32, signal) };
}

/// Starts the script, ends it by the signal, and waits until all that it held is gone. Gives its exit code and output.
fn ended_by(signal: libc::c_int) -> (Option<i32>, String) {
    let mut child = started(&["run", "-e", SCRIPT]);
    let held = held(child.id());
    assert!(held.programs.len() >= 12, "{held:?}");
    assert!(held.links.len() >= 10, "{held:?}");
    for id in &held.programs {
        assert!(exists(PROGRAM_BY_ID, *id), "program {id} while it runs");
    }
    send(&child, signal);
    let out = std::io::read_to_string(child.stdout.take().expect("piped")).expect("readable");
    let code = child.wait().expect("it ends").code();
    let since = Instant::now();
    let left = || {
        let programs = held
            .programs
            .iter()
            .filter(|id| exists(PROGRAM_BY_ID, **id));
        let links = held.links.iter().filter(|id| exists(LINK_BY_ID, **id));
        programs.count() + links.count()
    };
    // The kernel takes some objects away a moment after their last holder.
    while left() > 0 {
        assert!(since.elapsed() < LIMIT, "{} are left of {held:?}", left());
        std::thread::sleep(Duration::from_millis(10));
    }
    (code, out)
}

#[test]
fn after_ctrl_c() {
    if is_root() {
        let (code, out) = ended_by(libc::SIGINT);
        assert_eq!(code, Some(0));
        assert!(out.contains("the end"), "{out}");
    }
}

#[test]
fn after_sigterm() {
    if is_root() {
        let (code, out) = ended_by(libc::SIGTERM);
        assert_eq!(code, Some(0));
        assert!(out.contains("the end"), "{out}");
    }
}

#[test]
fn after_kill_9() {
    if is_root() {
        let (code, _) = ended_by(libc::SIGKILL);
        assert_eq!(code, None);
    }
}
