//! Time and memory to start, to attach many probes, to list them, and to leave.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::table::{Table, Unit, median};
use super::tool::{Bench, Running, Tool, usage};
use crate::process;

const EXIT: &str = "begin { exit(); }";
const SMALL: &str = "tracepoint:syscalls:sys_enter_getppid { @calls = count(); }
    uprobe:WORK:bench_work { @numbers = hist(arg0); }";
const TYPED: &str = "rawtracepoint:sched_switch { @[args.prev.comm] = count(); }";
const ALL_FUNCTIONS: &str = "uprobe:POSTGRES:* { @[probe] = count(); }";
const ALL_CALLS: &str = "tracepoint:syscalls:sys_enter_* { @[probe] = count(); }";

/// Fills the table.
pub fn measure(bench: &Bench, table: &mut Table) -> Result<()> {
    table.start("Starting, attaching, leaving");
    start_and_exit(bench, table)?;
    attach(
        bench,
        table,
        "attached: one tracepoint, one uprobe, a histogram",
        SMALL,
        "60 ms",
    )?;
    attach(
        bench,
        table,
        "attached: a raw tracepoint typed by BTF",
        TYPED,
        "80 ms",
    )?;
    let postgres = postgres();
    if let Some(postgres) = &postgres {
        attach_in(bench, table, postgres, ALL_FUNCTIONS)?;
    }
    all_system_calls(bench, table)?;
    listing(bench, table, "tracepoint:*", "50 ms")?;
    listing(bench, table, "uprobe:/usr/bin/python3:*", "100 ms")?;
    size(bench, table)
}

fn start_and_exit(bench: &Bench, table: &mut Table) -> Result<()> {
    let ours = timed(bench, &bench.ours, || bench.ours.run(EXIT))?;
    let theirs = timed(bench, &bench.theirs, || bench.theirs.run(EXIT))?;
    table.row(
        "`begin { exit(); }`",
        Unit::Seconds,
        ours,
        Some(theirs),
        "20 ms",
    );
    let ours = usage(&bench.ours.run(EXIT))?;
    let theirs = usage(&bench.theirs.run(EXIT))?;
    table.row(
        "its peak memory",
        Unit::Bytes,
        ours.peak_bytes,
        Some(theirs.peak_bytes),
        "20 MB",
    );
    Ok(())
}

/// Median seconds of a command that ends by itself.
fn timed(bench: &Bench, tool: &Tool, command: impl Fn() -> Command) -> Result<f64> {
    let mut times = Vec::new();
    for _ in 0..bench.runs {
        let entering = tool.entering()?;
        let started = Instant::now();
        process::output(&mut command())?;
        times.push(started.elapsed().saturating_sub(entering).as_secs_f64());
    }
    Ok(median(times))
}

/// Seconds to attach and to leave.
fn attach_times(runs: usize, tool: &Tool, script: &str) -> Result<(f64, f64)> {
    let (mut attached, mut left) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        let entering = tool.entering()?;
        let running = Running::start(tool, script, Stdio::null())?;
        let after: Duration = running.attached_after;
        attached.push(after.saturating_sub(entering).as_secs_f64());
        left.push(running.end()?.0.as_secs_f64());
    }
    Ok((median(attached), median(left)))
}

fn attach(bench: &Bench, table: &mut Table, what: &str, script: &str, goal: &str) -> Result<()> {
    let of = |tool: &Tool| {
        attach_times(
            bench.runs,
            tool,
            &script.replace("WORK", &tool.path(&bench.load)),
        )
    };
    let (ours, _) = of(&bench.ours)?;
    let theirs = told(of(&bench.theirs)).map(|times| times.0);
    table.row(what, Unit::Seconds, ours, theirs, goal);
    Ok(())
}

fn attach_in(bench: &Bench, table: &mut Table, path: &Path, script: &str) -> Result<()> {
    let of = |tool: &Tool| {
        attach_times(
            bench.runs,
            tool,
            &script.replace("POSTGRES", &tool.path(path)),
        )
    };
    let (ours, _) = of(&bench.ours)?;
    // One function that cannot be probed ends the peer.
    let theirs = told(of(&bench.theirs)).map(|times| times.0);
    table.row(
        "attached: every function of postgres",
        Unit::Seconds,
        ours,
        theirs,
        "300 ms",
    );
    Ok(())
}

fn all_system_calls(bench: &Bench, table: &mut Table) -> Result<()> {
    let ours = attach_times(bench.runs, &bench.ours, ALL_CALLS)?;
    // Half a minute each: once is enough.
    let theirs = told(attach_times(1, &bench.theirs, ALL_CALLS));
    table.row(
        "attached: `tracepoint:syscalls:sys_enter_*`",
        Unit::Seconds,
        ours.0,
        theirs.map(|times| times.0),
        "1 s",
    );
    table.row(
        "left again",
        Unit::Seconds,
        ours.1,
        theirs.map(|times| times.1),
        "1 s",
    );
    let script = format!("{ALL_CALLS} interval:ms:200 {{ exit(); }}");
    let ours = usage(&bench.ours.run(&script))?;
    let theirs = usage(&bench.theirs.run(&script))?;
    table.row(
        "its peak memory",
        Unit::Bytes,
        ours.peak_bytes,
        Some(theirs.peak_bytes),
        "60 MB",
    );
    Ok(())
}

fn listing(bench: &Bench, table: &mut Table, pattern: &str, goal: &str) -> Result<()> {
    let command = |tool: &Tool| match tool {
        Tool::Fathom(path) => {
            let mut command = Command::new(path);
            command.args(["list", pattern]);
            command
        }
        Tool::Bpftrace(peers) => peers.bpftrace(["-l", &pattern.replace("/usr", "/host/usr")]),
    };
    let ours = timed(bench, &bench.ours, || command(&bench.ours))?;
    let theirs = told(timed(bench, &bench.theirs, || command(&bench.theirs)));
    table.row(
        &format!("list `{pattern}`"),
        Unit::Seconds,
        ours,
        theirs,
        goal,
    );
    Ok(())
}

/// A measurement of the peer; why there is none goes to standard error.
fn told<T>(measured: Result<T>) -> Option<T> {
    measured
        .inspect_err(|error| eprintln!("no number for the peer: {error:#}"))
        .ok()
}

/// The binary, with the libraries that it needs.
fn size(bench: &Bench, table: &mut Table) -> Result<()> {
    let Tool::Fathom(path) = &bench.ours else {
        return Ok(());
    };
    let ours = std::fs::metadata(path)?.len() as f64;
    let theirs = match &bench.theirs {
        Tool::Bpftrace(peers) => peers.bpftrace_bytes()?,
        Tool::Fathom(_) => 0.0,
    };
    table.row(
        "binary and libraries",
        Unit::Bytes,
        ours,
        Some(theirs),
        "15 MB",
    );
    Ok(())
}

/// Debian's postgres, whatever its version.
fn postgres() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let programs = versions
        .flatten()
        .map(|version| version.path().join("bin/postgres"));
    programs.filter(|path| path.exists()).max()
}
