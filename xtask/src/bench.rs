//! Comparisons with the peers on the same kernel, in one run: `cargo xtask bench`.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;

use crate::peer::Peers;
use crate::process;
use crate::workspace;

/// Options of `cargo xtask bench`.
#[derive(Args)]
pub struct BenchArgs {
    /// Runs of each command; the median counts
    #[arg(long, default_value_t = 7)]
    runs: usize,
}

/// Compares the time from start to end of a script that ends at once.
pub fn run(args: &BenchArgs) -> Result<()> {
    let peers = Peers::ensure()?;
    let fathom = workspace::build_release()?;
    let entering = median(args.runs, || peers.command("true", [""; 0]))?;
    let theirs =
        median(args.runs, || peers.bpftrace(["-e", "BEGIN { exit(); }"]))?.saturating_sub(entering);
    let ours = median(args.runs, || run_fathom(&fathom, "begin { exit() }"))?;
    println!("| what | fathom | bpftrace 0.27 | ratio |");
    println!("|---|---|---|---|");
    println!(
        "| start and exit | {} | {} | {:.3} |",
        millis(ours),
        millis(theirs),
        ours.as_secs_f64() / theirs.as_secs_f64()
    );
    Ok(())
}

fn run_fathom(fathom: &Path, script: &str) -> Command {
    let mut command = Command::new(fathom);
    command.args(["run", "-e", script]);
    command
}

fn median(runs: usize, command: impl Fn() -> Command) -> Result<Duration> {
    let mut times = Vec::new();
    for _ in 0..runs.max(1) {
        let started = Instant::now();
        process::output(&mut command())?;
        times.push(started.elapsed());
    }
    times.sort();
    Ok(times[times.len() / 2])
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}
