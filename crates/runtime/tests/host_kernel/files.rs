//! Places in files: functions of this very program.

use crate::assemble::*;
use crate::harness::*;
use fathom_bpf::ProgramKind;
use fathom_bpf::object::{Place, UprobeSite};
use fathom_machine::{Address, Machine, Pid};
use fathom_runtime::{Feature, Options};
use std::sync::atomic::{AtomicU16, Ordering};

#[inline(never)]
extern "C" fn traced(number: u64) -> u64 {
    std::hint::black_box(number) + 1
}

#[inline(never)]
extern "C" fn traced_too(number: u64) -> u64 {
    std::hint::black_box(number) + 2
}

/// A place of its own: the kernel refuses a second probe at a place with another semaphore.
#[inline(never)]
extern "C" fn watched(number: u64) -> u64 {
    std::hint::black_box(number) + 3
}

/// Counts who watches, as the semaphore of a USDT probe does.
static SEMAPHORE: AtomicU16 = AtomicU16::new(0);

#[cfg(target_arch = "x86_64")]
std::arch::global_asm!(
    ".globl fathom_unprobeable",
    "fathom_unprobeable:",
    "lock incq (%rdi)",
    "ret",
    options(att_syntax)
);

#[cfg(target_arch = "x86_64")]
unsafe extern "C" {
    fn fathom_unprobeable();
}

/// Where an address of this process is in its file.
fn file_offset(address: u64) -> u64 {
    let process = Machine::at("/").process(Pid(std::process::id()));
    let mapping = process
        .mapping_at(Address(address))
        .unwrap()
        .expect("it is mapped");
    mapping.file_offset(Address(address)).unwrap().0
}

fn site(name: &str, address: u64, semaphore: u64) -> UprobeSite {
    UprobeSite {
        name: name.into(),
        offset: file_offset(address),
        inside: 0,
        semaphore,
    }
}

fn own_path() -> String {
    std::env::current_exe().unwrap().display().to_string()
}

#[test]
fn calls_and_returns_of_one_function() {
    if !is_root() {
        return;
    }
    for on_return in [false, true] {
        for pid in [None, Some(std::process::id())] {
            let place = Place::Uprobe {
                path: own_path(),
                site: site("traced", traced as *const () as u64, 0),
                on_return,
                pid,
            };
            let code = Code::new().only_thread(gettid()).count(COUNT);
            let script = Script::new()
                .program(code.program("calls", ProgramKind::Kprobe, 0))
                .at("uprobe", place);
            let ran = run_while(script.object, Options::default(), |stop, _| {
                (0..500).for_each(|number| {
                    std::hint::black_box(traced(number));
                });
                stop.stop();
            });
            ran.outcome();
            assert_eq!(ran.count("@n"), 500, "return {on_return}, pid {pid:?}");
        }
    }
}

#[test]
fn a_semaphore_is_up_while_its_probe_is_on() {
    if !is_root() {
        return;
    }
    let semaphore = file_offset(SEMAPHORE.as_ptr() as u64);
    let place = Place::Uprobe {
        path: own_path(),
        site: site("watched", watched as *const () as u64, semaphore),
        on_return: false,
        pid: None,
    };
    let script = Script::new()
        .program(Code::new().program("usdt", ProgramKind::Kprobe, 0))
        .at("usdt", place);
    assert_eq!(SEMAPHORE.load(Ordering::SeqCst), 0);
    let ran = run_while(script.object, Options::default(), |stop, _| {
        assert_eq!(SEMAPHORE.load(Ordering::SeqCst), 1);
        stop.stop();
    });
    ran.outcome();
    assert_eq!(SEMAPHORE.load(Ordering::SeqCst), 0);
}

#[test]
#[cfg(target_arch = "x86_64")]
fn one_bad_site_does_not_spoil_the_others() {
    if !is_root() {
        return;
    }
    if !fathom_runtime::features::probe(Feature::UprobeMulti, &Machine::at("/")) {
        println!("skipped: this kernel has no uprobe.multi");
        return;
    }
    let bad = fathom_unprobeable as *const () as u64;
    let place = Place::UprobeMulti {
        path: own_path(),
        sites: vec![
            site("traced", traced as *const () as u64, 0),
            site("fathom_unprobeable", bad, 0),
            site("traced_too", traced_too as *const () as u64, 0),
        ],
        cookies: vec![7, 8, 9],
        on_return: false,
        pid: None,
    };
    let code = Code::new().keep_context().only_thread(gettid()).context();
    let code = code.send_helper_value(EVENTS, LOST, PRINT_NUMBER, "get_attach_cookie");
    let script = Script::new()
        .program(code.program("calls", ProgramKind::UprobeMulti, 0))
        .at("uprobe:*", place);
    let ran = run_while(script.object, Options::default(), |stop, _| {
        traced(1);
        traced_too(1);
        traced(1);
        stop.stop();
    });
    let failures = &ran.outcome().failures;
    assert_eq!(
        failures
            .iter()
            .map(|failure| failure.name.as_str())
            .collect::<Vec<_>>(),
        ["fathom_unprobeable"]
    );
    assert!(ran.err.contains("Attached 2 probes"), "{}", ran.err);
    assert!(
        ran.err
            .contains("cannot attach `fathom_unprobeable`: its first instruction cannot be probed"),
        "{}",
        ran.err
    );
    assert_eq!(
        ran.out.split_whitespace().collect::<Vec<_>>(),
        ["7", "9", "7"]
    );
}
