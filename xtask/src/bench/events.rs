//! How many events reach the user, how many are lost, and what one costs in user space.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use anyhow::Result;

use super::table::{Table, Unit, median};
use super::tool::{Bench, Running, Tool, read_usage, run_load, under_time};
use crate::workspace;

const SCRIPT: &str = "tracepoint:syscalls:sys_enter_getppid { printf(\"%d %s %llu %d\\n\", pid, comm, nsecs, cpu); }";
const SECONDS: f64 = 2.0;

struct Delivery {
    delivered_per_second: f64,
    lost_share: f64,
    cpu_ns_per_event: f64,
}

/// Fills the table.
pub fn measure(bench: &Bench, table: &mut Table) -> Result<()> {
    table.start("Events");
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..bench.runs {
        theirs.push(deliver(bench, &bench.theirs)?);
        ours.push(deliver(bench, &bench.ours)?);
    }
    let mut row = |what: &str, unit, goal: &str, get: fn(&Delivery) -> f64| {
        let ours = median(ours.iter().map(get).collect());
        let theirs = median(theirs.iter().map(get).collect());
        table.row(what, unit, ours, Some(theirs), goal);
    };
    row(
        "printf of four values on a getppid loop: lines delivered",
        Unit::PerSecond,
        "1,000,000/s",
        |result| result.delivered_per_second,
    );
    row(
        "lost of all events",
        Unit::Share,
        "counted and shown",
        |result| result.lost_share,
    );
    row(
        "CPU time of the tracer for each line",
        Unit::Nanoseconds,
        "less",
        |result| result.cpu_ns_per_event,
    );
    Ok(())
}

fn deliver(bench: &Bench, tool: &Tool) -> Result<Delivery> {
    let folder = workspace::root().join("target/bench");
    let (report, out) = (folder.join("events-usage.txt"), folder.join("events.txt"));
    let _ = fs::remove_file(&report);
    let mut command = under_time(&tool.run(SCRIPT), &report);
    let running =
        Running::start_command(tool.name(), &mut command, Stdio::from(File::create(&out)?))?;
    let (calls, seconds) = run_load(bench, "getppid", SECONDS)?;
    // time(1) leaves the signal to its child.
    let (_, told) = running.end_child()?;
    let lines = count_lines(&out)?;
    fs::remove_file(&out)?;
    let usage = read_usage(&report)?;
    let said_lost = lost(&told);
    println!(
        "  {}: {calls} calls, {lines} lines, {said_lost} said to be lost",
        tool.name()
    );
    Ok(Delivery {
        delivered_per_second: lines / seconds,
        lost_share: (calls - lines).max(0.0) / calls,
        cpu_ns_per_event: usage.cpu_seconds * 1e9 / lines.max(1.0),
    })
}

fn count_lines(path: &Path) -> Result<f64> {
    let mut reader = BufReader::with_capacity(1 << 20, File::open(path)?);
    let mut lines = 0;
    loop {
        let piece = reader.fill_buf()?;
        if piece.is_empty() {
            return Ok(f64::from(lines));
        }
        lines += piece.iter().filter(|byte| **byte == b'\n').count() as u32;
        let len = piece.len();
        reader.consume(len);
    }
}

/// The sum of all `Lost N events`.
fn lost(told: &str) -> u64 {
    let numbers = told.lines().filter_map(|line| {
        let rest = line.trim().strip_prefix("Lost ")?;
        rest.split(' ').next()?.parse::<u64>().ok()
    });
    numbers.sum()
}
