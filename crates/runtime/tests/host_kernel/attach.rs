//! Clocks, watchpoints, iterators, raw tracepoints.

use crate::assemble::*;
use crate::harness::*;
use fathom_bpf::ProgramKind;
use fathom_bpf::object::{Access, BtfTarget, Place, Rate};
use fathom_machine::Machine;
use fathom_machine::btf::Kind;
use fathom_runtime::{Error, Options};
use std::sync::atomic::{AtomicU64, Ordering};

#[test]
fn clocks_tick_until_exit() {
    if !is_root() {
        return;
    }
    let places = [
        (
            "interval:ms:1",
            Place::Interval {
                period_ns: 1_000_000,
            },
        ),
        ("profile:hz:99", Place::Profile(Rate::Hertz(99))),
        ("profile:us:500", Place::Profile(Rate::PeriodNs(500_000))),
        (
            "software:cpu-clock:100000",
            Place::Software {
                config: 0,
                period: 100_000,
            },
        ),
    ];
    for (name, place) in places {
        let code = Code::new().send(EVENTS, PRINT_HELLO).send(EVENTS, EXIT);
        let script = Script::new()
            .program(code.program("tick", ProgramKind::PerfEvent, 0))
            .at(name, place);
        let ran = run(script.object, Options::default());
        ran.outcome();
        // Of those that tick on every processor, each may print once before the first of them asks for the end.
        let most = match name.starts_with("interval") {
            true => 1,
            false => std::thread::available_parallelism().map_or(1, usize::from),
        };
        let lines: Vec<&str> = ran.out.trim_end().lines().collect();
        assert!(
            lines.iter().all(|line| *line == "hello"),
            "{name}: {lines:?}"
        );
        assert!((1..=most).contains(&lines.len()), "{name}: {lines:?}");
    }
}

#[test]
fn hardware_counters_that_are_not_there_are_named() {
    if !is_root() {
        return;
    }
    let script = Script::new()
        .program(
            Code::new()
                .send(EVENTS, EXIT)
                .program("cycles", ProgramKind::PerfEvent, 0),
        )
        .at(
            "hardware:cpu-cycles:1000000",
            Place::Hardware {
                config: 0,
                period: 1_000_000,
            },
        );
    let ran = run(script.object, Options::default());
    match ran.outcome {
        Ok(outcome) => assert_eq!(outcome.exit_code, 0),
        Err(Error::Attach(failures)) => {
            assert_eq!(
                failures[0].reason,
                "this machine offers no such hardware counter"
            );
        }
        Err(error) => panic!("{error}"),
    }
}

static WATCHED: AtomicU64 = AtomicU64::new(0);

#[test]
fn a_watchpoint_counts_the_writes_of_all_threads() {
    if !is_root() {
        return;
    }
    let script = Script::new()
        .program(
            Code::new()
                .count(COUNT)
                .program("watch", ProgramKind::PerfEvent, 0),
        )
        .at(
            "watchpoint",
            Place::Watchpoint {
                address: WATCHED.as_ptr() as u64,
                length: 8,
                access: Access::Write,
                pid: Some(std::process::id()),
            },
        );
    let ran = run_while(script.object, Options::default(), |stop, _| {
        for number in 0..100 {
            WATCHED.store(number, Ordering::Relaxed);
        }
        // A thread that was not there when it was attached.
        std::thread::spawn(|| WATCHED.store(7, Ordering::Relaxed))
            .join()
            .unwrap();
        stop.stop();
    });
    ran.outcome();
    assert_eq!(ran.count("@n"), 101, "{} {}", ran.out, ran.err);
}

#[test]
fn a_watchpoint_at_an_odd_address_is_refused_in_words() {
    if !is_root() {
        return;
    }
    let place = Place::Watchpoint {
        address: WATCHED.as_ptr() as u64 + 1,
        length: 8,
        access: Access::Write,
        pid: Some(std::process::id()),
    };
    let script = Script::new()
        .program(Code::new().program("watch", ProgramKind::PerfEvent, 0))
        .at("watchpoint:odd", place);
    let Err(Error::Attach(failures)) = run(script.object, Options::default()).outcome else {
        panic!("it was attached");
    };
    assert_eq!(
        failures[0].hint.as_deref(),
        Some("the address must be a multiple of the length")
    );
}

#[test]
fn raw_tracepoints_with_and_without_types() {
    if !is_root() {
        return;
    }
    let machine = Machine::at("/");
    let btf = machine
        .find_type(Kind::Typedef, "btf_trace_sys_enter")
        .map(|(_, id)| id.0);
    let typed = btf.map(|btf_id| BtfTarget::Kernel {
        name: "sys_enter".into(),
        module: None,
        btf_id,
    });
    let kinds = [
        Some(ProgramKind::RawTracepoint),
        typed.ok().map(ProgramKind::TracepointBtf),
    ];
    for kind in kinds.into_iter().flatten() {
        let code = Code::new().only_thread(gettid()).count(COUNT);
        let script = Script::new()
            .program(code.program("raw", kind.clone(), 0))
            .at(
                "rawtracepoint:sys_enter",
                Place::RawTracepoint {
                    name: "sys_enter".into(),
                },
            );
        let ran = run_while(script.object, Options::default(), |stop, _| {
            getppid(1_000);
            stop.stop();
        });
        ran.outcome();
        assert!(ran.count("@n") >= 1_000, "{kind:?}: {}", ran.out);
    }
}

#[test]
fn an_iterator_is_read_to_its_end() {
    if !is_root() {
        return;
    }
    let machine = Machine::at("/");
    let Ok((_, id)) = machine.find_type(Kind::Func, "bpf_iter_task") else {
        println!("skipped: this kernel has no BTF");
        return;
    };
    let target = BtfTarget::Kernel {
        name: "task".into(),
        module: None,
        btf_id: id.0,
    };
    let script = Script::new()
        .program(
            Code::new()
                .count(COUNT)
                .program("tasks", ProgramKind::Iter(target), 0),
        )
        .at("iter:task", Place::Iter { pin: None });
    let ran = run(script.object, Options::default());
    ran.outcome();
    let processes = machine.processes().unwrap().len() as u64;
    // Each thread once, and once more with no task at the end.
    assert!(
        ran.count("@n") >= processes / 2,
        "{} of {processes}",
        ran.count("@n")
    );
}
