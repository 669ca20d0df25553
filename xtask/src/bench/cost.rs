//! What an event costs in the kernel, by the kernel's own count of each program's runs and their time.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde_json::Value;

use super::table::{Table, Unit, median};
use super::tool::{Bench, Running, Tool, run_load};
use crate::process;

const STATISTICS: &str = "/proc/sys/kernel/bpf_stats_enabled";
const SECONDS: f64 = 0.6;
/// Programs that ran less often were not the ones under load.
const MIN_RUNS: u64 = 1000;

/// A script, with `WORK` for the function of the load, and the load that makes its events.
struct Case {
    name: &'static str,
    script: &'static str,
    load: &'static str,
}

const CASES: &[Case] = &[
    Case {
        name: "nothing",
        script: "tracepoint:syscalls:sys_enter_getppid { $x = 1; }",
        load: "getppid",
    },
    Case {
        name: "count by pid",
        script: "tracepoint:syscalls:sys_enter_getppid { @[pid] = count(); }",
        load: "getppid",
    },
    Case {
        name: "count by comm",
        script: "tracepoint:syscalls:sys_enter_getppid { @[comm] = count(); }",
        load: "getppid",
    },
    Case {
        name: "hist",
        script: "tracepoint:syscalls:sys_enter_getppid { @ = hist(nsecs & 0xffff); }",
        load: "getppid",
    },
    Case {
        name: "latency pair",
        script: "tracepoint:syscalls:sys_enter_getppid { @start[tid] = nsecs; }
                 tracepoint:syscalls:sys_exit_getppid /@start[tid]/ {
                     @ns = hist(nsecs - @start[tid]); delete(@start, tid); }",
        load: "getppid",
    },
    Case {
        name: "a false predicate",
        script: "tracepoint:syscalls:sys_enter_getppid /pid == 1/ { @ = count(); }",
        load: "getppid",
    },
    Case {
        name: "sum and max",
        script: "tracepoint:syscalls:sys_enter_getppid { @a = sum(cpu); @b = max(nsecs); }",
        load: "getppid",
    },
    Case {
        name: "printf of an integer and a 64-character user string",
        script: "tracepoint:syscalls:sys_enter_access /comm == \"load\"/ {
                     printf(\"%d %s\\n\", pid, str(args.filename)); }",
        load: "access",
    },
    Case {
        name: "count by such a string",
        script: "tracepoint:syscalls:sys_enter_access { @[str(args.filename)] = count(); }",
        load: "access",
    },
    Case {
        name: "count by kernel stack",
        script: "tracepoint:syscalls:sys_enter_getppid { @[kstack] = count(); }",
        load: "getppid",
    },
    Case {
        name: "uprobe count",
        script: "uprobe:WORK:bench_work { @ = count(); }",
        load: "function",
    },
];

/// Fills the table.
pub fn measure(bench: &Bench, table: &mut Table) -> Result<()> {
    let _statistics = Statistics::on()?;
    table.start("In-kernel cost per event");
    let mut logarithms = Vec::new();
    for case in CASES {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..bench.runs {
            theirs.push(cost(bench, &bench.theirs, case)?);
            ours.push(cost(bench, &bench.ours, case)?);
        }
        let (ours, theirs) = (median(ours), median(theirs));
        let is_floor = case.name == "nothing";
        if !is_floor {
            logarithms.push((ours / theirs).ln());
        }
        let goal = if is_floor { "" } else { "0.9" };
        table.row(case.name, Unit::Nanoseconds, ours, Some(theirs), goal);
    }
    let mean = (logarithms.iter().sum::<f64>() / logarithms.len() as f64).exp();
    table.note(
        "geometric mean of the ratios (without *nothing*)",
        &format!("{mean:.3}, goal 0.65"),
    );
    Ok(())
}

/// Nanoseconds per event; a script with two programs per event costs their sum.
fn cost(bench: &Bench, tool: &Tool, case: &Case) -> Result<f64> {
    let before = programs()?;
    let script = case.script.replace("WORK", &tool.path(&bench.load));
    let running = Running::start(tool, &script, Stdio::null())
        .with_context(|| format!("case `{}`", case.name))?;
    run_load(bench, case.load, SECONDS)?;
    let after = programs()?;
    running.end()?;
    let new = after
        .iter()
        .filter(|(id, (_, runs))| !before.contains_key(id) && *runs > MIN_RUNS);
    Ok(new
        .map(|(_, (time, runs))| *time as f64 / *runs as f64)
        .sum())
}

/// Of each loaded program: nanoseconds and runs.
fn programs() -> Result<BTreeMap<u64, (u64, u64)>> {
    let text = process::output(Command::new("bpftool").args(["-j", "prog", "show"]))?;
    let list: Vec<Value> = serde_json::from_str(&text).context("bpftool printed no JSON")?;
    let row = |program: &Value| {
        let number = |name: &str| program[name].as_u64().unwrap_or(0);
        (number("id"), (number("run_time_ns"), number("run_cnt")))
    };
    Ok(list.iter().map(row).collect())
}

/// The kernel's statistics, on while this lives.
struct Statistics {
    before: String,
}

impl Statistics {
    fn on() -> Result<Statistics> {
        let before = fs::read_to_string(STATISTICS).context("this kernel has no BPF statistics")?;
        fs::write(STATISTICS, "1").context("cannot switch the kernel's BPF statistics on")?;
        Ok(Statistics { before })
    }
}

impl Drop for Statistics {
    fn drop(&mut self) {
        // A switch that cannot be put back costs a few nanoseconds an event and nothing else.
        let _ = fs::write(STATISTICS, self.before.trim());
    }
}
