//! The life of a session: begin, end, exits, children, refusals.

use crate::assemble::*;
use crate::harness::*;
use fathom_bpf::ProgramKind;
use fathom_bpf::insn::{Insn, Reg, Size};
use fathom_bpf::object::{ActionKind, MissingProbes, Place};
use fathom_runtime::{Child, Error, Options, Target};

fn begin(code: Code) -> Script {
    Script::new()
        .program(code.program("begin", ProgramKind::TestRun, 0))
        .at("begin", Place::Begin)
}

#[test]
fn begin_may_exit_with_a_code() {
    if !is_root() {
        return;
    }
    let script = begin(Code::new().send(EVENTS, PRINT_HELLO).send(EVENTS, EXIT)).change(|object| {
        let code = fathom_bpf::Field {
            name: String::new(),
            offset: 4,
            bits: None,
            layout: fathom_bpf::Layout::Int {
                size: 4,
                signed: true,
            },
        };
        // The length word of the header, which is 8, serves as the code.
        object.actions[EXIT as usize] = action(ActionKind::Exit { code: Some(code) });
    });
    let ran = run(script.object, Options::default());
    assert_eq!(ran.outcome().exit_code, 8);
    assert_eq!(ran.out, "hello\n\n\n");
    assert!(ran.err.starts_with("Attached 1 probe\n"), "{}", ran.err);
}

#[test]
fn a_refused_program_is_explained() {
    if !is_root() {
        return;
    }
    let code = Code::new().raw(Insn::load(Size::B64, Reg::R2, Reg::R3, 0));
    let ran = run(begin(code).object, Options::default());
    let Err(Error::Load(error)) = ran.outcome else {
        panic!("it was loaded");
    };
    assert_eq!(error.telling_line.as_deref(), Some("R3 !read_ok"));
    assert_eq!(error.span, Some(SPAN));
    assert_eq!(error.errno, libc::EACCES);
    assert!(error.full_log.lines().count() > error.omitted_lines);
}

#[test]
fn a_place_that_is_not_there() {
    if !is_root() {
        return;
    }
    let script = |missing| {
        Script::new()
            .program(Code::new().program("none", ProgramKind::RawTracepoint, 0))
            .at(
                "rawtracepoint:nowhere",
                Place::RawTracepoint {
                    name: "fathom_nowhere".into(),
                },
            )
            .change(|object| object.settings.missing_probes = missing)
            .object
    };
    let ran = run(script(MissingProbes::Error), Options::default());
    let Err(Error::Attach(failures)) = ran.outcome else {
        panic!("it was attached");
    };
    assert_eq!(
        failures[0].to_string(),
        "cannot attach `rawtracepoint:nowhere`: this kernel has no such raw tracepoint"
    );
    for (missing, warning) in [
        (MissingProbes::Warn, "WARNING: cannot attach"),
        (MissingProbes::Ignore, ""),
    ] {
        let ran = run(
            script(missing),
            Options {
                dry_run: true,
                ..Options::default()
            },
        );
        assert_eq!(ran.outcome().failures.len(), 1);
        assert!(
            ran.err.contains(warning) && ran.err.contains("Attached 0 probes"),
            "{}",
            ran.err
        );
        assert_eq!(ran.err.contains("WARNING"), missing == MissingProbes::Warn);
    }
}

#[test]
fn a_held_child_is_traced_from_its_first_instruction() {
    if !is_root() {
        return;
    }
    let child = Child::hold(&["/bin/true".into()]).unwrap();
    let code = Code::new().only_thread(child.pid()).count(COUNT);
    let script = Script::new()
        .program(code.program("exec", ProgramKind::Tracepoint, 0))
        .at(
            "tracepoint:syscalls:sys_enter_execve",
            tracepoint("syscalls", "sys_enter_execve"),
        );
    let ran = run(
        script.object,
        Options {
            target: Target::Child(child),
            ..Options::default()
        },
    );
    ran.outcome();
    assert_eq!(ran.count("@n"), 1, "{}", ran.out);
}

#[test]
fn a_command_that_is_not_there() {
    if !is_root() {
        return;
    }
    let child = Child::hold(&["/no/such/command".into()]).unwrap();
    // Something that lasts: with `begin` alone the session would be over before the command is run.
    let tick = Place::Interval {
        period_ns: 1_000_000_000,
    };
    let script = Script::new()
        .program(Code::new().program("tick", ProgramKind::PerfEvent, 0))
        .at("interval:s:1", tick);
    let ran = run(
        script.object,
        Options {
            target: Target::Child(child),
            ..Options::default()
        },
    );
    let Err(Error::Command { command, source }) = ran.outcome else {
        panic!("it was run");
    };
    assert_eq!(
        (command.as_str(), source.kind()),
        ("/no/such/command", std::io::ErrorKind::NotFound)
    );
}

#[test]
fn ends_with_the_process_of_p() {
    if !is_root() {
        return;
    }
    let mut process = std::process::Command::new("/bin/cat")
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let options = Options {
        target: Target::Process(process.id()),
        ..Options::default()
    };
    let ran = run_while(begin(Code::new()).object, options, |_, _| {
        drop(process.stdin.take());
    });
    ran.outcome();
    process.wait().unwrap();
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    if !is_root() {
        return;
    }
    let script = Script::new()
        .program(
            Code::new()
                .send(EVENTS, PRINT_HELLO)
                .program("tick", ProgramKind::PerfEvent, 0),
        )
        .at(
            "interval:ms:1",
            Place::Interval {
                period_ns: 1_000_000,
            },
        );
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let machine = fathom_machine::Machine::at("/");
    let session =
        fathom_runtime::Session::load(script.object, &machine, Options::default()).unwrap();
    let printer = fathom_output::Printer::new(fathom_output::OutputFormat::Text, "..");
    let mut err = Vec::new();
    let outcome = session.run(&mut fathom_runtime::Output::new(printer, writer, &mut err));
    assert_eq!(outcome.unwrap().exit_code, 0);
    assert_eq!(String::from_utf8(err).unwrap(), "Attached 1 probe\n");
}

#[test]
fn maps_are_cleared_and_zeroed_in_order_with_prints() {
    if !is_root() {
        return;
    }
    let print = |object: &mut fathom_bpf::Object| {
        for kind in [
            ActionKind::PrintMap {
                map: COUNT,
                top: None,
                divisor: None,
            },
            ActionKind::ClearMap { map: COUNT },
            ActionKind::ZeroMap { map: COUNT },
        ] {
            object.actions.push(action(kind));
        }
    };
    let code = Code::new()
        .count(COUNT)
        .send(EVENTS, 3)
        .send(EVENTS, 4)
        .send(EVENTS, 3)
        .send(EVENTS, PRINT_HELLO)
        .send(EVENTS, EXIT);
    let ran = run(begin(code).change(print).object, Options::default());
    assert_eq!(
        ran.out
            .split('\n')
            .filter(|line| !line.is_empty())
            .collect::<Vec<_>>(),
        ["@n: 1", "@n: 0", "hello"]
    );
}
