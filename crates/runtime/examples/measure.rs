//! Measures the runtime on this machine, as root: `cargo run --release -p fathom-runtime --example measure`.
//!
//! Start-up of `begin { exit() }`, events a second, and how long many places take to attach and detach.

#[path = "../tests/host_kernel/assemble.rs"]
#[allow(dead_code)]
mod assemble;

use assemble::{Code, EVENTS, EXIT, LOST, Script, action, tracepoint};
use fathom_bpf::insn::{AluOp, Insn, Reg, Size, Width};
use fathom_bpf::object::{ActionKind, FormatSink, Place, UprobeSite};
use fathom_bpf::{Field, Layout, Object, ProgramKind};
use fathom_machine::Machine;
use fathom_output::{OutputFormat, Printer};
use fathom_runtime::{Options, Outcome, Output, Session, Stop};
use std::io::Write;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let steps: [(&str, fn()); 4] = [
        ("start", start),
        ("events", events),
        ("uprobes", uprobes),
        ("tracepoints", tracepoints),
    ];
    for (name, step) in steps {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            step();
        }
    }
}

/// Tells when the probes are on.
struct Attached(Sender<Instant>);

impl Write for Attached {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if bytes.starts_with(b"Attached") {
            let _ = self.0.send(Instant::now());
        } else {
            let _ = std::io::stderr().write_all(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct Times {
    attach: Duration,
    detach: Duration,
    outcome: Outcome,
}

/// Runs `object`; `body` works while it is attached.
fn run(object: Object, out: impl Write + Send, body: impl FnOnce(&Stop)) -> Times {
    let machine = Machine::at("/");
    let start = Instant::now();
    let session = Session::load(object, &machine, Options::default()).expect("loaded");
    let stop = session.stop_handle();
    let (sender, attached) = channel();
    std::thread::scope(|scope| {
        let session = scope.spawn(move || {
            let printer = Printer::new(OutputFormat::Text, "..");
            session
                .run(&mut Output::new(printer, out, Attached(sender)))
                .expect("ran")
        });
        let attached = attached.recv().expect("attached");
        body(&stop);
        let stopped = Instant::now();
        let outcome = session.join().expect("ran");
        Times {
            attach: attached - start,
            detach: stopped.elapsed(),
            outcome,
        }
    })
}

fn start() {
    let object = Script::new()
        .program(
            Code::new()
                .send(EVENTS, EXIT)
                .program("begin", ProgramKind::TestRun, 0),
        )
        .at("begin", Place::Begin)
        .object;
    let start = Instant::now();
    run(object, std::io::sink(), |_| ());
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap_or_default()
        .to_owned();
    println!("begin {{ exit() }}: {:?}, {peak}", start.elapsed());
}

/// `printf("%d %s %llu %d\n", pid, comm, nsecs, cpu)`
fn events() {
    let call = |name: &str| Insn::call(fathom_bpf::Helper::from_name(name).expect("a helper"));
    let at = |offset: i16| {
        [
            Insn::mov(Reg::R1, Reg::R10),
            Insn::alu(Width::W64, AluOp::Add, Reg::R1, i32::from(offset)),
        ]
    };
    let mut code = Code::new()
        .raw(call("get_current_pid_tgid"))
        .raw(Insn::alu(Width::W64, AluOp::Rsh, Reg::R0, 32))
        .raw(Insn::store(Size::B64, Reg::R10, -40, Reg::R0))
        .raw(call("ktime_get_boot_ns"))
        .raw(Insn::store(Size::B64, Reg::R10, -32, Reg::R0))
        .raw(call("get_smp_processor_id"))
        .raw(Insn::store(Size::B64, Reg::R10, -24, Reg::R0));
    for insn in at(-16) {
        code = code.raw(insn);
    }
    code = code
        .raw(Insn::mov(Reg::R2, 16))
        .raw(call("get_current_comm"));
    let code = code.send_stack(EVENTS, LOST, 3, 48);
    let field = |offset, layout| Field {
        name: String::new(),
        offset,
        bits: None,
        layout,
    };
    let int = || Layout::Int {
        size: 8,
        signed: false,
    };
    let args = vec![
        field(8, int()),
        field(32, Layout::String { size: 16 }),
        field(16, int()),
        field(24, int()),
    ];
    let object = Script::new()
        .program(code.program("events", ProgramKind::Tracepoint, 0))
        .at(
            "tracepoint:syscalls:sys_enter_getppid",
            tracepoint("syscalls", "sys_enter_getppid"),
        )
        .change(|object| {
            object.maps[0].max_entries = 16 << 20;
            let kind = ActionKind::Format {
                sink: FormatSink::Print,
                format: "%d %s %llu %d\n".into(),
                args,
            };
            object.actions.push(action(kind));
        })
        .object;
    let file = std::fs::File::create("/dev/null").expect("/dev/null");
    let mut calls = 0u64;
    let length = Duration::from_secs(3);
    let cpu_before = cpu_time();
    let times = run(
        object,
        Lines {
            count: 0,
            inner: file,
        },
        |stop| {
            let start = Instant::now();
            while start.elapsed() < length {
                for _ in 0..1000 {
                    // SAFETY: takes nothing.
                    unsafe { libc::syscall(libc::SYS_getppid) };
                }
                calls += 1000;
            }
            stop.stop();
        },
    );
    let lost = times.outcome.lost_events;
    let delivered = calls - lost;
    let seconds = length.as_secs_f64();
    println!(
        "events: {:.0} calls/s, {:.0} delivered/s, {:.1} % lost, {:.0} ns of reader CPU each",
        calls as f64 / seconds,
        delivered as f64 / seconds,
        100.0 * lost as f64 / calls as f64,
        ((cpu_time() - cpu_before).as_secs_f64() - seconds) * 1e9 / delivered as f64,
    );
}

/// A writer that proves that text was made.
struct Lines {
    count: u64,
    inner: std::fs::File,
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.count += bytes.len() as u64;
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn cpu_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is one timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Every function of postgres in one link.
fn uprobes() {
    let path = "/usr/lib/postgresql/15/bin/postgres";
    let machine = Machine::at("/");
    let Ok(elf) = machine.elf(std::path::Path::new(path)) else {
        println!("uprobes: no {path}");
        return;
    };
    let sites: Vec<UprobeSite> = elf
        .functions()
        .map(|function| UprobeSite {
            name: function.name().to_owned(),
            offset: function.offset.0,
            inside: 0,
            semaphore: 0,
        })
        .collect();
    let count = sites.len();
    let place = Place::UprobeMulti {
        path: path.into(),
        sites,
        cookies: Vec::new(),
        on_return: false,
        pid: None,
    };
    let object = Script::new()
        .program(Code::new().program("functions", ProgramKind::UprobeMulti, 0))
        .at("uprobe:postgres:*", place)
        .object;
    let times = run(object, std::io::sink(), Stop::stop);
    println!(
        "uprobes: {count} sites attached in {:?}, detached in {:?}",
        times.attach, times.detach
    );
    for failure in &times.outcome.failures {
        println!("  {failure}");
    }
}

/// Every system call's tracepoint.
fn tracepoints() {
    let machine = Machine::at("/");
    let tracefs = machine.tracefs().expect("tracefs");
    let names = tracefs
        .events()
        .expect("events")
        .iter()
        .filter(|event| event.subsystem == "syscalls" && event.name.starts_with("sys_enter_"));
    let mut script =
        Script::new().program(Code::new().program("calls", ProgramKind::Tracepoint, 0));
    for event in names {
        script = script.at(&event.name, tracepoint("syscalls", &event.name));
    }
    let count = script.object.attach_points.len();
    let times = run(script.object, std::io::sink(), Stop::stop);
    println!(
        "tracepoints: {count} attached in {:?}, detached in {:?}",
        times.attach, times.detach
    );
}
