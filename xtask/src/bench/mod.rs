//! Comparisons with the peer on the same kernel, in one run: `cargo xtask bench`, which is what `make bench` calls.
//!
//! | File | Measures |
//! |---|---|
//! | `startup` | time and memory to start, to attach, to leave |
//! | `cost` | nanoseconds in the kernel per event, from the kernel's own statistics |
//! | `calls` | nanoseconds that a traced call costs the program itself |
//! | `events` | events delivered and lost per second, and their CPU time |
//! | `table` | the rows, as Markdown |
//!
//! The machine is noisy: everything is repeated with the two tools taking turns, and medians count.

mod calls;
mod cost;
mod events;
mod startup;
mod table;
mod tool;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use crate::peer::Peers;
use crate::workspace;
use table::Table;
use tool::{Bench, Tool};

/// Options of `cargo xtask bench`.
#[derive(Args)]
pub struct BenchArgs {
    /// Runs of each measurement; the median counts
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Only the groups named
    #[arg(value_parser = ["startup", "cost", "calls", "events"])]
    groups: Vec<String>,
    /// Measure this binary instead of building the release
    #[arg(long)]
    fathom: Option<PathBuf>,
    /// Also write the table to this file
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

/// Measures and prints the table.
pub fn run(args: &BenchArgs) -> Result<()> {
    let fathom = match &args.fathom {
        Some(path) => fs::canonicalize(path)
            .with_context(|| format!("there is no binary {}", path.display()))?,
        None => workspace::build_release()?,
    };
    let bench = Bench {
        ours: Tool::Fathom(fathom),
        theirs: Tool::Bpftrace(Peers::ensure()?),
        runs: args.runs.max(1),
        load: tool::build_load()?,
    };
    let is_wanted = |group: &str| args.groups.is_empty() || args.groups.iter().any(|g| g == group);
    let mut table = Table::default();
    if is_wanted("startup") {
        startup::measure(&bench, &mut table)?;
    }
    if is_wanted("cost") {
        cost::measure(&bench, &mut table)?;
    }
    if is_wanted("calls") {
        calls::measure(&bench, &mut table)?;
    }
    if is_wanted("events") {
        events::measure(&bench, &mut table)?;
    }
    if let Some(path) = &args.write {
        fs::write(path, table.page(&bench)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
