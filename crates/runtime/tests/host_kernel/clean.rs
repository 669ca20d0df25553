//! Nothing stays in the kernel, however a session ends.

use crate::assemble::*;
use crate::harness::*;
use fathom_bpf::ProgramKind;
use fathom_bpf::object::Place;
use fathom_runtime::Options;
use std::collections::BTreeSet;
use std::ffi::CStr;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// Numbers of the loaded programs of that name.
fn programs(name: &str) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    let mut id = 0;
    // SAFETY: `id` is one u32.
    while unsafe { libbpf_sys::bpf_prog_get_next_id(id, &mut id) } == 0 {
        // SAFETY: takes a number only.
        let fd = unsafe { libbpf_sys::bpf_prog_get_fd_by_id(id) };
        let mut info = libbpf_sys::bpf_prog_info::default();
        let mut size = size_of_val(&info) as u32;
        // SAFETY: all pointers in `info` are null, so only it is filled; a bad descriptor is refused.
        let result = unsafe { libbpf_sys::bpf_prog_get_info_by_fd(fd, &mut info, &mut size) };
        if fd >= 0 {
            // SAFETY: `fd` is ours and not used again.
            unsafe { libc::close(fd) };
        }
        let bytes: Vec<u8> = info.name.iter().map(|byte| *byte as u8).collect();
        if result == 0
            && CStr::from_bytes_until_nul(&bytes).is_ok_and(|found| found.to_str() == Ok(name))
        {
            found.insert(id);
        }
    }
    found
}

const HOLD: &str = "FATHOM_TEST_HOLD";
const PROGRAM: &str = "fathom_held";

/// Not a test: what the tests below start as a process of its own and end in several ways.
#[test]
fn holder() {
    let Ok(how) = std::env::var(HOLD) else {
        return;
    };
    let script = Script::new()
        .program(
            Code::new()
                .count(COUNT)
                .program(PROGRAM, ProgramKind::Tracepoint, 0),
        )
        .at(
            "tracepoint:syscalls:sys_enter_getppid",
            tracepoint("syscalls", "sys_enter_getppid"),
        )
        .program(
            Code::new()
                .send(EVENTS, PRINT_HELLO)
                .program("end", ProgramKind::TestRun, 0),
        )
        .at("end", Place::End);
    let options = Options {
        handle_signals: true,
        ..Options::default()
    };
    let machine = fathom_machine::Machine::at("/");
    let session = fathom_runtime::Session::load(script.object, &machine, options).unwrap();
    assert!(how != "panic", "as asked for");
    let printer = fathom_output::Printer::new(fathom_output::OutputFormat::Text, "..");
    let mut output = fathom_runtime::Output::new(printer, std::io::stdout(), std::io::stderr());
    let outcome = session.run(&mut output).unwrap();
    std::process::exit(outcome.exit_code);
}

/// Starts the holder; it is attached when this returns.
fn hold(how: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "clean::holder", "--nocapture"])
        .env(HOLD, how);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let err = BufReader::new(child.stderr.take().unwrap());
    let attached = err
        .lines()
        .map_while(Result::ok)
        .any(|line| line.contains("Attached"));
    assert!(attached || how == "panic");
    child
}

#[test]
fn nothing_stays() {
    if !is_root() {
        return;
    }
    for (how, code) in [
        ("kill", None),
        ("interrupt", Some(0)),
        ("terminate", Some(0)),
        ("panic", Some(101)),
    ] {
        let mut child = hold(how);
        let signal = match how {
            "kill" => libc::SIGKILL,
            "interrupt" => libc::SIGINT,
            _ => libc::SIGTERM,
        };
        if how != "panic" {
            assert!(!programs(PROGRAM).is_empty());
            // SAFETY: takes numbers only; the child has not been waited for.
            unsafe { libc::kill(child.id() as i32, signal) };
        }
        let out = std::io::read_to_string(child.stdout.take().unwrap()).unwrap();
        assert_eq!(child.wait().unwrap().code(), code, "{how}");
        assert_eq!(
            out.contains("hello"),
            matches!(how, "interrupt" | "terminate"),
            "{how}: {out}"
        );
        wait_until("programs are gone", || programs(PROGRAM).is_empty());
    }
}
