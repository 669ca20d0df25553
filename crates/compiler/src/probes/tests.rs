use std::fmt::Write;
use std::fs;
use std::path::Path;

use expect_test::{Expect, expect};
use fathom_bpf::object::Place;
use fathom_machine::Machine;

use super::*;
use crate::config::Config;
use crate::features::Features;
use crate::types::Types;

const SWITCH: &str = "name: sched_switch
ID: 300
format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;

\tfield:char prev_comm[16];\toffset:8;\tsize:16;\tsigned:0;
\tfield:pid_t prev_pid;\toffset:24;\tsize:4;\tsigned:1;
\tfield:long prev_state;\toffset:32;\tsize:8;\tsigned:1;
\tfield:u8 mac[6];\toffset:40;\tsize:6;\tsigned:0;

print fmt: \"\"
";
const EXEC: &str = "name: sched_process_exec
ID: 301
format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:__data_loc char[] filename;\toffset:8;\tsize:4;\tsigned:0;
\tfield:__rel_loc u8[] blob;\toffset:12;\tsize:4;\tsigned:0;
\tfield:struct nosuch * who;\toffset:16;\tsize:8;\tsigned:0;
";
const OPENAT: &str = "name: sys_enter_openat
ID: 302
format:
\tfield:int __syscall_nr;\toffset:8;\tsize:4;\tsigned:1;
\tfield:int dfd;\toffset:16;\tsize:8;\tsigned:0;
\tfield:const char * filename;\toffset:24;\tsize:8;\tsigned:0;
\tfield:umode_t mode;\toffset:32;\tsize:8;\tsigned:0;
";
const KALLSYMS: &str = "ffffffff81000000 T vfs_read
ffffffff81000100 T vfs_write
ffffffff81000200 t vfs_write.cold
ffffffff81000300 t __pfx_vfs_open
ffffffff81000400 T vfs_open
ffffffff81000500 D vfs_data
ffffffffc0000000 t nft_init\t[nf_tables]
";

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A machine with four tracepoint subsystems, a few symbols and two devices.
fn fixture() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let mut events = String::new();
    let mut event = |subsystem: &str, name: &str, format: &str| {
        let _ = writeln!(events, "{subsystem}:{name}");
        write(
            root,
            &format!("sys/kernel/tracing/events/{subsystem}/{name}/format"),
            format,
        );
    };
    event("sched", "sched_switch", SWITCH);
    event("sched", "sched_process_exec", EXEC);
    event("syscalls", "sys_enter_openat", OPENAT);
    for name in [
        "read", "write", "close", "newstat", "brk", "mmap", "futex", "clone3", "exotic",
    ] {
        event("syscalls", &format!("sys_enter_{name}"), OPENAT);
    }
    write(root, "sys/kernel/tracing/available_events", &events);
    write(root, "proc/kallsyms", KALLSYMS);
    for device in ["lo", "eth0", "eth1"] {
        fs::create_dir_all(root.join("sys/class/net").join(device)).unwrap();
    }
    folder
}

/// How a script is expanded in a test.
struct Setup {
    features: Features,
    params: Vec<String>,
    needs: Needs,
    pid: Option<u32>,
    allow_unsafe: bool,
    config: Config,
    mode: Mode,
}

fn plain() -> Setup {
    Setup {
        features: Features::default(),
        params: Vec::new(),
        needs: Needs::default(),
        pid: None,
        allow_unsafe: false,
        config: Config::default(),
        mode: Mode::Trace,
    }
}

fn with_args() -> Setup {
    Setup {
        needs: Needs {
            stacks: false,
            values: false,
            function: false,
            args: true,
            identity: false,
            ..Needs::default()
        },
        ..plain()
    }
}

fn run(machine: &Machine, probes: &str, setup: &Setup) -> Expansion {
    let parsed = fathom_syntax::parse(&format!("{probes} {{}}"), &Default::default());
    assert!(!parsed.has_errors(), "{:?}", parsed.diagnostics);
    let types = Types::new(machine, &parsed.script.c);
    let options = ExpandOptions {
        with_inlined: false,
        spares_unwinding: false,
        pid: setup.pid,
        child_pid: None,
        child_path: None,
        params: &setup.params,
        allow_unsafe: setup.allow_unsafe,
        mode: setup.mode,
        traceable: None,
        needs: &|_| setup.needs,
    };
    expand(
        &parsed.script,
        &types,
        &setup.config,
        &setup.features,
        &options,
    )
}

/// One line for each group, point and argument, then what is wrong.
fn text(expansion: &Expansion) -> String {
    let mut text = String::new();
    for group in &expansion.groups {
        let kind = format!("{:?}", group.kind);
        let kind = kind.split(['(', ' ']).next().unwrap_or_default();
        let _ = write!(text, "{kind} {:?}", group.context.kind);
        let _ = match group.context.filter_pid {
            Some(pid) => writeln!(text, " pid {pid}"),
            None => writeln!(text),
        };
        for point in &group.points {
            let _ = writeln!(
                text,
                "  {} @ {}",
                point.names.join(" "),
                place(&point.place)
            );
        }
        for argument in group.context.args.iter().flatten() {
            let _ = writeln!(
                text,
                "  args.{}: {} {:?}",
                argument.name, argument.ty, argument.source
            );
        }
        if let Some(syscalls) = &group.context.syscalls {
            let _ = writeln!(text, "  syscalls {syscalls:?}");
        }
    }
    for problem in &expansion.diagnostics {
        let _ = writeln!(
            text,
            "{:?}[{}] {} ({})",
            problem.severity, problem.code, problem.message, problem.label
        );
        for help in &problem.help {
            let _ = writeln!(text, "  help: {}", help.message);
        }
        for note in &problem.notes {
            let _ = writeln!(text, "  note: {note}");
        }
    }
    for missing in &expansion.missing {
        let _ = writeln!(text, "missing {missing}");
    }
    text
}

fn place(place: &Place) -> String {
    match place {
        Place::KprobeMulti {
            functions,
            on_return,
            ..
        } => {
            let names: Vec<&str> = functions
                .iter()
                .map(|function| function.name.as_str())
                .collect();
            format!("KprobeMulti [{}] return {on_return}", names.join(" "))
        }
        Place::Kprobe {
            function,
            offset,
            on_return,
        } => {
            let module = function.module.as_deref().unwrap_or("-");
            format!(
                "Kprobe {} of {module} +{offset} return {on_return} at {:x?}",
                function.name, function.address
            )
        }
        other => format!("{other:?}"),
    }
}

fn check_with(probes: &str, setup: &Setup, expected: Expect) {
    let folder = fixture();
    let machine = Machine::at(folder.path());
    let shown = text(&run(&machine, probes, setup));
    expected.assert_eq(&shown.replace(&folder.path().display().to_string(), "ROOT"));
}

fn check(probes: &str, expected: Expect) {
    check_with(probes, &plain(), expected);
}

#[test]
fn own_events() {
    check(
        "BEGIN, end, self:signal:SIGUSR1, test:skipped",
        expect![[r#"
            TestRun None
              begin @ Begin
            TestRun None
              end @ End
            TestRun None
              self:signal:SIGUSR1 @ Signal { number: 10 }
        "#]],
    );
    check_with(
        "begin, test:it",
        &Setup {
            mode: Mode::Test,
            ..plain()
        },
        expect![[r#"
            TestRun None
              test:it @ Test
        "#]],
    );
    check(
        "self:signal:SIGHUP, begin:now",
        expect![[r#"
            Error[bad-signal] `self` does not listen to the signal `SIGHUP` (only SIGUSR1 is free for scripts)
              help: use SIGUSR1
            Error[bad-probe] `begin` is written `begin` (not of that form)
        "#]],
    );
}

#[test]
fn timers() {
    check_with(
        "i:s:1, interval:10ms, interval:1e6, interval:hz:4, p:hz:99, profile:us:500, interval:ms:$1",
        &Setup {
            params: vec!["20".into()],
            pid: Some(7),
            ..plain()
        },
        expect![[r#"
            PerfEvent Registers
              interval:s:1 @ Interval { period_ns: 1000000000 }
              interval:10ms @ Interval { period_ns: 10000000 }
              interval:1e6 @ Interval { period_ns: 1000000 }
              interval:hz:4 @ Interval { period_ns: 250000000 }
              interval:ms:20 @ Interval { period_ns: 20000000 }
            PerfEvent Registers pid 7
              profile:hz:99 @ Profile(Hertz(99))
              profile:us:500 @ Profile(PeriodNs(500000))
        "#]],
    );
    check(
        "interval:hz:0, interval:s:0, interval:weeks:1, profile",
        expect![[r#"
            Error[bad-time] `0` is not a rate from 1 to 1000000 hertz (not a rate from 1 to 1000000 hertz)
            Error[bad-time] `0` is not a time above zero such as 100ms (not a time above zero such as 100ms)
            Error[bad-unit] there is no unit of time `weeks` (not hz, s, ms, us, ns, m, h or d)
            Error[bad-probe] `profile` is written `profile:hz:99`, `profile:ms:10` or `profile:10ms` (not of that form)
        "#]],
    );
}

#[test]
fn counted_events() {
    check(
        "software:faults:, s:cpu-clock:500, software:*-faults:7, hardware:cycles:, software:fualts:",
        expect![[r#"
            PerfEvent Registers
              software:faults: @ Software { config: 2, period: 100 }
              software:cpu-clock:500 @ Software { config: 0, period: 500 }
              software:alignment-faults:7 @ Software { config: 7, period: 7 }
              software:emulation-faults:7 @ Software { config: 8, period: 7 }
              software:major-faults:7 @ Software { config: 6, period: 7 }
              software:minor-faults:7 @ Software { config: 5, period: 7 }
              software:page-faults:7 @ Software { config: 2, period: 7 }
            Error[no-counters] this machine offers no hardware counters (needs a PMU, which most virtual machines hide)
              help: use `profile:hz:99` to sample by time, or `software:cpu-clock:`
            Error[unknown-event] there is no software event `fualts` (not an event of this kind)
              note: events: alignment-faults, bpf-output, context-switches, cpu-clock, cpu-migrations, dummy, emulation-faults, major-faults, minor-faults, page-faults, task-clock
        "#]],
    );
}

#[test]
fn tracepoint_fields() {
    check_with(
        "tracepoint:sched:sched_switch, t:sched:sched_process_exec",
        &with_args(),
        expect![[r#"
            Tracepoint Record
              tracepoint:sched:sched_switch @ Tracepoint { category: "sched", event: "sched_switch" }
              args.prev_comm: string[16] Context { offset: 8, size: 16 }
              args.prev_pid: int32 Context { offset: 24, size: 4 }
              args.prev_state: int64 Context { offset: 32, size: 8 }
              args.mac: uint8[6] Context { offset: 40, size: 6 }
            Tracepoint Record
              tracepoint:sched:sched_process_exec @ Tracepoint { category: "sched", event: "sched_process_exec" }
              args.filename: string[1024] DataLocation { offset: 8, relative: false }
              args.blob: buffer[1024] DataLocation { offset: 12, relative: true }
              args.who: struct #0 * Context { offset: 16, size: 8 }
        "#]],
    );
}

/// `int` arguments are cut to 4 bytes, pointers lead to user space.
#[test]
fn system_call_arguments() {
    let folder = fixture();
    let machine = Machine::at(folder.path());
    let expansion = run(
        &machine,
        "tracepoint:syscalls:sys_enter_openat",
        &with_args(),
    );
    expect![[r#"
        Tracepoint Record
          tracepoint:syscalls:sys_enter_openat @ Tracepoint { category: "syscalls", event: "sys_enter_openat" }
          args.__syscall_nr: int32 Context { offset: 8, size: 4 }
          args.dfd: int32 Context { offset: 16, size: 4 }
          args.filename: int8 * Context { offset: 24, size: 8 }
          args.mode: uint16 Context { offset: 32, size: 2 }
    "#]]
    .assert_eq(&text(&expansion));
    let args = expansion.groups[0].context.args.as_ref().unwrap();
    assert!(matches!(
        args[2].ty,
        crate::ty::Type::Pointer {
            space: crate::ty::Space::User,
            ..
        }
    ));
}

/// Many system calls share the raw tracepoint; one whose number is not known stays by itself.
#[test]
fn many_system_calls_are_one_place() {
    check(
        "tracepoint:syscalls:sys_enter_*",
        expect![[r#"
            RawTracepoint Words
              tracepoint:syscalls:sys_enter_read tracepoint:syscalls:sys_enter_write tracepoint:syscalls:sys_enter_close tracepoint:syscalls:sys_enter_newstat tracepoint:syscalls:sys_enter_mmap tracepoint:syscalls:sys_enter_brk tracepoint:syscalls:sys_enter_futex tracepoint:syscalls:sys_enter_openat tracepoint:syscalls:sys_enter_clone3 @ RawTracepoint { name: "sys_enter" }
              syscalls [(0, 0), (1, 1), (3, 2), (4, 3), (9, 4), (12, 5), (202, 6), (257, 7), (435, 8)]
            Tracepoint Record
              tracepoint:syscalls:sys_enter_exotic @ Tracepoint { category: "syscalls", event: "sys_enter_exotic" }
        "#]],
    );
    let folder = fixture();
    let machine = Machine::at(folder.path());
    let expansion = run(&machine, "tracepoint:syscalls:sys_enter_*", &with_args());
    assert_eq!(expansion.groups.len(), 1, "equal formats share a program");
    assert_eq!(expansion.groups[0].points.len(), 10);
}

#[test]
fn tracepoints_that_are_not_there() {
    check(
        "tracepoint:sched:sched_swich, tracepoint:nosuch:*, tracepoint:sched",
        expect![[r#"
            Error[no-tracepoint] there is no tracepoint `sched:sched_swich` (not on this machine)
              help: did you mean `sched:sched_switch`?
            Error[bad-probe] `tracepoint` is written `tracepoint:SUBSYSTEM:EVENT` (not of that form)
            Error[no-tracepoint] no tracepoint matches `nosuch:*` (matches nothing on this machine)
              help: `fathom list 'tracepoint:*'` shows all
        "#]],
    );
    let warn = Config {
        missing_probes: fathom_bpf::object::MissingProbes::Warn,
        ..Config::default()
    };
    check_with(
        "tracepoint:sched:sched_swich, begin",
        &Setup {
            config: warn,
            ..plain()
        },
        expect![[r#"
            TestRun None
              begin @ Begin
            missing tracepoint:sched:sched_swich: there is no tracepoint `sched:sched_swich`
        "#]],
    );
}

#[test]
fn wildcards_in_the_kind_of_probe() {
    check(
        "*:sched:*, no*:x",
        expect![[r#"
            Tracepoint Record
              tracepoint:sched:sched_process_exec @ Tracepoint { category: "sched", event: "sched_process_exec" }
              tracepoint:sched:sched_switch @ Tracepoint { category: "sched", event: "sched_switch" }
            Error[no-match] nothing matches `no*:x` (no kind of probe has this)
              help: `fathom list` shows what can be probed
        "#]],
    );
}

#[test]
fn kinds_that_are_not_there() {
    check(
        "tracepiont:a:b, asyncwatchpoint:1:2:w, zzz:1",
        expect![[r#"
            Error[unknown-provider] there is no kind of probe `tracepiont` (not a kind of probe)
              help: did you mean `tracepoint`?
            Error[unknown-provider] there is no kind of probe `asyncwatchpoint` (not a kind of probe)
              help: use `watchpoint:ADDRESS:LENGTH:MODE` with -p or -c
            Error[unknown-provider] there is no kind of probe `zzz` (not a kind of probe)
              note: kinds of probes: begin, end, self, test, bench, interval, profile, software, hardware, tracepoint, rawtracepoint, uprobe, uretprobe, usdt, kprobe, kretprobe, fentry, fexit, iter, watchpoint, xdp, tc
        "#]],
    );
}

#[test]
fn kernel_functions() {
    check(
        "kprobe:vfs_read+0x10, kr:vfs_read, kprobe:vfs_*, kprobe:nf_tables:nft_*",
        expect![[r#"
            Kprobe Registers
              kprobe:vfs_read+0x10 @ Kprobe vfs_read of - +16 return false at None
            Kprobe Registers
              kretprobe:vfs_read @ Kprobe vfs_read of - +0 return true at None
            KprobeMulti Registers
              kprobe:vfs_read kprobe:vfs_write kprobe:vfs_open @ KprobeMulti [vfs_read vfs_write vfs_open] return false
              kprobe:nf_tables:nft_init @ KprobeMulti [nft_init] return false
        "#]],
    );
    check(
        "kprobe:vfs_raed, kprobe:vfs_data, kprobe:vfs_write.cold, kprobe:0xffffffff81000000, kretprobe:vfs_read+4",
        expect![[r#"
            Error[no-function] there is no kernel function `vfs_raed` (not in /proc/kallsyms)
              help: did you mean `vfs_read`?
            Error[no-function] there is no kernel function `vfs_data` (not in /proc/kallsyms)
              help: `fathom list 'kprobe:*'` shows all; inlined functions cannot be traced
            Error[not-traceable] the kernel function `vfs_write.cold` cannot be traced (the kernel refuses probes in it)
              help: probe a function that calls it, or insist with --unsafe
            Error[unsafe-probe] probing a bare kernel address can crash the machine (not checked against function starts)
              help: name a function, or allow it with --unsafe
            Error[bad-probe] a function returns as a whole: `kretprobe` takes no offset (an offset means nothing here)
              help: use `kprobe` for a place inside
        "#]],
    );
    let without = Features {
        kprobe_multi: false,
        attach_cookie: false,
        ..Features::default()
    };
    check_with(
        "kprobe:vfs_*",
        &Setup {
            features: without,
            needs: Needs {
                stacks: false,
                values: false,
                function: false,
                identity: true,
                ..Needs::default()
            },
            pid: Some(3),
            ..plain()
        },
        expect![[r#"
            Kprobe Registers pid 3
              kprobe:vfs_read @ Kprobe vfs_read of - +0 return false at None
            Kprobe Registers pid 3
              kprobe:vfs_write @ Kprobe vfs_write of - +0 return false at None
            Kprobe Registers pid 3
              kprobe:vfs_open @ Kprobe vfs_open of - +0 return false at None
        "#]],
    );
}

#[test]
fn watchpoints() {
    check_with(
        "watchpoint:0x10000000:8:w, watchpoint:0xffffffff81000000:4:rw",
        &Setup {
            pid: Some(9),
            ..plain()
        },
        expect![[r#"
            PerfEvent Registers
              watchpoint:0x10000000:8:w @ Watchpoint { address: 268435456, length: 8, access: Write, pid: Some(9) }
            PerfEvent Registers pid 9
              watchpoint:0xffffffff81000000:4:rw @ Watchpoint { address: 18446744071578845184, length: 4, access: ReadWrite, pid: None }
        "#]],
    );
    check(
        "watchpoint:0x10000000:8:w, w:0x10000001:4:w, w:0x10:3:w, w:x:8:w, w:0x10:8:r, w:0x10:4:x",
        expect![[r#"
            Error[needs-process] a watchpoint on a user address needs a process (the same address means something else in every process)
              help: name the process with -p PID, or start it with -c COMMAND
            Error[bad-address] the processor watches 4 bytes only at a multiple of 4 (not aligned)
            Error[bad-length] the processor cannot watch `3` bytes (only 1, 2, 4 or 8)
            Error[bad-address] `x` is not an address (not a number)
            Error[bad-mode] x86 cannot watch reads alone (use `rw`)
            Error[bad-length] an instruction is watched with length 8 (must be 8 for mode `x`)
        "#]],
    );
}

#[test]
fn network_devices() {
    check(
        "xdp:eth*, tc:lo:egress, tc:lo:*, xdp:eth9, tc:lo:up",
        expect![[r#"
            Xdp Xdp
              xdp:eth0 @ Xdp { device: "eth0" }
              xdp:eth1 @ Xdp { device: "eth1" }
            SchedCls SkBuff(Egress)
              tc:lo:egress @ Tc { device: "lo", direction: Egress }
              tc:lo:egress @ Tc { device: "lo", direction: Egress }
            SchedCls SkBuff(Ingress)
              tc:lo:ingress @ Tc { device: "lo", direction: Ingress }
            Error[no-device] there is no network device `eth9` (not a device of this machine)
              help: did you mean `eth0`?
              note: devices: eth0, eth1, lo
            Error[bad-direction] there is no direction `up` (only `ingress` or `egress`)
        "#]],
    );
}

#[test]
fn limits_tell_the_way_out() {
    let config = Config {
        max_probes: 2,
        ..Config::default()
    };
    let folder = fixture();
    let machine = Machine::at(folder.path());
    let expansion = run(&machine, "kprobe:vfs_*", &Setup { config, ..plain() });
    let problem = &expansion.diagnostics[0];
    assert_eq!(problem.code, "too-many-probes");
    assert!(
        problem.help[0].message.contains("BPFTRACE_MAX_PROBES=3"),
        "{}",
        problem.help[0].message
    );
}

#[test]
fn without_btf_raw_tracepoints_go_by_name() {
    check(
        "rawtracepoint:sched_switch, fentry:vfs_read, iter:task",
        expect![[r#"
            RawTracepoint Words
              rawtracepoint:sched_switch @ RawTracepoint { name: "sched_switch" }
            Error[no-btf] `fentry` needs this kernel's BTF (types of functions are not known)
              help: use `kprobe`, which does without
              note: this kernel has no BTF: ROOT/sys/kernel/btf/vmlinux does not exist; run a kernel built with CONFIG_DEBUG_INFO_BTF=y, or give the types as C definitions in the script
            Error[no-btf] `iter` needs this kernel's BTF (which iterators there are is not known)
              note: this kernel has no BTF: ROOT/sys/kernel/btf/vmlinux does not exist; run a kernel built with CONFIG_DEBUG_INFO_BTF=y, or give the types as C definitions in the script
        "#]],
    );
}

#[test]
fn this_test_binary() {
    let machine = Machine::at("/");
    let exe = std::env::current_exe().unwrap();
    let exe = exe.display();
    let expansion = run(
        &machine,
        &format!("uprobe:\"{exe}\":main, ur:\"{exe}\":main"),
        &plain(),
    );
    assert!(
        expansion.diagnostics.is_empty(),
        "{:?}",
        expansion.diagnostics
    );
    assert_eq!(
        expansion.groups[0].points[0].names,
        [format!("uprobe:{exe}:main")]
    );
    assert!(expansion.groups[1].context.retval.is_some());
    let expansion = run(&machine, &format!("uprobe:\"{exe}\":mian"), &plain());
    assert_eq!(expansion.diagnostics[0].code, "no-function");
    let many = run(
        &machine,
        &format!("uprobe:\"{exe}\":*"),
        &Setup {
            config: Config {
                max_probes: 1 << 30,
                ..Config::default()
            },
            ..plain()
        },
    );
    let [group] = &many.groups[..] else {
        panic!("{:?}", many.diagnostics)
    };
    let Place::UprobeMulti { sites, .. } = &group.points[0].place else {
        panic!()
    };
    assert_eq!(sites.len(), group.points[0].names.len());
    assert!(sites.len() > 100);
}

/// Raw tracepoints, functions and iterators by the kernel's BTF.
#[test]
fn typed_kernel_arguments_of_this_host() {
    let machine = Machine::at("/");
    if machine.btf().is_err() {
        println!("skipped: this host has no BTF");
        return;
    }
    let types_of = |probes: &str, setup: &Setup| {
        let parsed = fathom_syntax::parse(&format!("{probes} {{}}"), &Default::default());
        let types = Types::new(&machine, &parsed.script.c);
        let options = ExpandOptions {
            with_inlined: false,
            spares_unwinding: false,
            pid: None,
            child_pid: None,
            child_path: None,
            params: &[],
            allow_unsafe: false,
            mode: Mode::Trace,
            traceable: None,
            needs: &|_| setup.needs,
        };
        let expansion = expand(
            &parsed.script,
            &types,
            &setup.config,
            &setup.features,
            &options,
        );
        assert!(
            expansion.diagnostics.is_empty(),
            "{:?}",
            expansion.diagnostics
        );
        let context = expansion.groups[0].context.clone();
        let shown =
            |argument: &Argument| format!("{} {}", types.display(&argument.ty), argument.name);
        let args: Vec<String> = context
            .args
            .iter()
            .flatten()
            .chain(&context.retval)
            .map(shown)
            .collect();
        format!(
            "{} {}",
            expansion.groups[0].points[0].names[0],
            args.join(", ")
        )
    };
    assert_eq!(
        types_of("rawtracepoint:sched_process_exec", &with_args()),
        "rawtracepoint:vmlinux:sched_process_exec struct task_struct * p, int32 old_pid, struct linux_binprm * bprm"
    );
    assert_eq!(
        types_of("fexit:vfs_read", &with_args()),
        "fexit:vmlinux:vfs_read struct file * file, int8 * buf, uint64 count, int64 * pos, int64 retval"
    );
    assert_eq!(
        types_of("iter:task", &with_args()),
        "iter:task struct bpf_iter_meta * meta, struct task_struct * task"
    );
}

#[test]
fn listing_searches() {
    let folder = fixture();
    let machine = Machine::at(folder.path());
    let names = |search: &str| {
        list(search, &machine, ListOptions::default())
            .map(|listing| listing.name)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names("tracepoint:sched:*"),
        [
            "tracepoint:sched:sched_process_exec",
            "tracepoint:sched:sched_switch"
        ]
    );
    assert_eq!(names("t:sched:sched_s*"), ["tracepoint:sched:sched_switch"]);
    assert_eq!(names("*exotic"), ["tracepoint:syscalls:sys_enter_exotic"]);
    assert_eq!(
        names("kprobe:vfs_*"),
        ["kprobe:vfs_open", "kprobe:vfs_read", "kprobe:vfs_write"]
    );
    assert_eq!(
        names("kprobe:nf_tables:*, xdp:*"),
        [
            "kprobe:nf_tables:nft_init",
            "xdp:eth0",
            "xdp:eth1",
            "xdp:lo"
        ]
    );
    assert_eq!(names("software:*faults:*").len(), 6);
    assert_eq!(
        names("*:*:sched_s*"),
        ["tracepoint:sched:sched_switch"],
        "a kind that is left open must not let other names through"
    );
    let verbose = ListOptions {
        verbose: true,
        ..ListOptions::default()
    };
    let switch: Vec<_> = list("tracepoint:sched:sched_switch", &machine, verbose).collect();
    assert_eq!(switch[0].args[0], "char prev_comm[16]");
}
