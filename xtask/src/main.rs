//! Development tasks of the project, run as `cargo xtask TASK`.
//!
//! Everything fetched lands in one cache directory that is safe to delete (`cache.rs`); nothing here changes
//! the machine's own package sources, and no process or mount outlives its task.

mod bench;
mod cache;
mod cpio;
mod debian;
mod fuzz;
mod guest;
mod kernel;
mod libtest;
mod peer;
mod process;
mod qemu;
mod stages;
mod vm;
mod workspace;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "xtask",
    about = "Development tasks of Fathom",
    bin_name = "cargo xtask"
)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build the static release binary and print its path
    Build,
    /// Run everything that CI runs, or only the stages named
    Test(TestArgs),
    /// Run the kernel tests inside Debian's kernels under QEMU
    Vm(VmArgs),
    /// Run each fuzz target for a short while
    Fuzz(FuzzArgs),
    /// Fetch the tools we measure against and print their versions
    Peers,
    /// Compare with the peers and print a table of ratios
    Bench(bench::BenchArgs),
}

#[derive(Args)]
struct TestArgs {
    /// Stages to run, in the order they always have (default: all)
    #[arg(value_enum)]
    stages: Vec<stages::Stage>,
}

#[derive(Args)]
struct VmArgs {
    /// Kernels to boot: 5.10, 6.1, 6.12, latest
    #[arg(long, value_delimiter = ',', default_value = "5.10,6.1,6.12,latest")]
    kernel: Vec<String>,
    /// Seconds one kernel may take from power on to power off
    #[arg(long, default_value_t = 900)]
    deadline: u64,
    /// Seconds without a byte from the guest after which it counts as hung
    #[arg(long, default_value_t = 180)]
    stall: u64,
    /// Guests running at the same time
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Test targets to take along instead of all that start with `vm_`
    #[arg(long)]
    target: Vec<String>,
    /// A static `fathom` to take along instead of building the release
    #[arg(long)]
    fathom: Option<PathBuf>,
    /// Arguments for the test programs: a filter, `--exact` …
    #[arg(last = true)]
    args: Vec<String>,
}

#[derive(Args)]
struct FuzzArgs {
    /// Seconds for each target
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Targets to run (default: all)
    targets: Vec<String>,
}

fn main() -> ExitCode {
    match run(Cli::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<()> {
    match task {
        Task::Build => {
            println!("{}", workspace::build_release()?.display());
            Ok(())
        }
        Task::Test(args) => stages::run(&args.stages),
        Task::Vm(args) => run_vm(&args),
        Task::Fuzz(args) => fuzz::run(&args.targets, Duration::from_secs(args.seconds)).map(drop),
        Task::Peers => peer::print_versions(),
        Task::Bench(args) => bench::run(&args),
    }
}

fn run_vm(args: &VmArgs) -> Result<()> {
    let mut tests = workspace::build_vm_tests()?;
    if !args.target.is_empty() {
        tests.retain(|test| args.target.contains(&test.target));
    }
    let options = vm::Options {
        kernels: kernel::parse_list(&args.kernel)?,
        deadline: Duration::from_secs(args.deadline),
        stall: Duration::from_secs(args.stall),
        jobs: args.jobs.max(1),
        args: args.args.clone(),
    };
    let fathom = args
        .fathom
        .clone()
        .map_or_else(workspace::build_release, Ok)?;
    let tally = vm::run(&options, &tests, &fathom)?;
    println!("{tally}");
    tally.into_result()
}
