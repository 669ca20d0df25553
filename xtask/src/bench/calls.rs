//! What a traced call costs the program: its own time for each call, the way into the kernel included.

use std::process::Stdio;

use anyhow::{Context, Result};

use super::table::{Table, Unit, median};
use super::tool::{Bench, Running, Tool, run_load};

const SECONDS: f64 = 0.6;

/// The same question to both, with `WORK` for the program.
struct Case {
    name: &'static str,
    ours: &'static str,
    theirs: &'static str,
}

const CASES: &[Case] = &[
    Case {
        name: "count of calls",
        ours: "uprobe:WORK:bench_work { @ = count(); }",
        theirs: "uprobe:WORK:bench_work { @ = count(); }",
    },
    Case {
        name: "histogram of durations",
        ours: "uprobe:WORK:bench_work { @start[tid, frame] = nsecs; }
               uretprobe:WORK:bench_work { @ = hist(nsecs - @start[tid, frame]); delete(@start, (tid, frame)); }",
        theirs: "uprobe:WORK:bench_work { @start[tid] = nsecs; }
                 uretprobe:WORK:bench_work { @ = hist(nsecs - @start[tid]); delete(@start, tid); }",
    },
    Case {
        name: "a line with argument and result",
        ours: "uprobe:WORK:bench_work { call(); } uretprobe:WORK:bench_work { call(); }",
        theirs: "uprobe:WORK:bench_work { printf(\"%d %s %d\\n\", tid, comm, args.number); }
                 uretprobe:WORK:bench_work { printf(\"%d %s %d\\n\", tid, comm, retval); }",
    },
];

/// Fills the table.
pub fn measure(bench: &Bench, table: &mut Table) -> Result<()> {
    table.start("What a call costs the traced program");
    for case in CASES {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..bench.runs {
            theirs.push(per_call(bench, &bench.theirs, case.theirs, case.name)?);
            ours.push(per_call(bench, &bench.ours, case.ours, case.name)?);
        }
        let (ours, theirs) = (median(ours), median(theirs));
        table.row(case.name, Unit::Nanoseconds, ours, Some(theirs), "less");
    }
    Ok(())
}

fn per_call(bench: &Bench, tool: &Tool, script: &str, name: &str) -> Result<f64> {
    let script = script.replace("WORK", &tool.path(&bench.load));
    let running =
        Running::start(tool, &script, Stdio::null()).with_context(|| format!("case `{name}`"))?;
    let (calls, seconds) = run_load(bench, "function", SECONDS)?;
    running.end()?;
    Ok(seconds * 1e9 / calls)
}
