//! Short runs of the fuzz targets in `fuzz/`, which has the layout that cargo-fuzz knows.
//!
//! They are built with coverage counters by the installed toolchain alone, so that neither cargo-fuzz nor a nightly
//! compiler is needed. What a run finds goes to `target/fuzz`, the corpus in the repository is only read.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::libtest::{Outcome, TestResult};
use crate::process::{self, Ending, Limits};
use crate::workspace;

const FLAGS: &str = "--cfg fuzzing -C passes=sancov-module -C llvm-args=-sanitizer-coverage-level=4 \
    -C llvm-args=-sanitizer-coverage-inline-8bit-counters -C llvm-args=-sanitizer-coverage-pc-table \
    -C llvm-args=-sanitizer-coverage-trace-compares -C debug-assertions -C overflow-checks";
/// libFuzzer's own limits: one input may take this many seconds and this many MiB.
const ONE_INPUT: [&str; 2] = ["-timeout=10", "-rss_limit_mb=2048"];

/// Runs `targets` (all, if none is named) for `time` each; fails if one finds something.
pub fn run(targets: &[String], time: Duration) -> Result<Vec<TestResult>> {
    let results = run_each(targets, time)?;
    match results
        .iter()
        .find(|result| result.outcome != Outcome::Passed)
    {
        Some(result) => bail!("{result}"),
        None => Ok(results),
    }
}

/// As `run`, but what was found is in the results.
pub fn run_each(targets: &[String], time: Duration) -> Result<Vec<TestResult>> {
    let folder = workspace::root().join("fuzz");
    if !folder.join("Cargo.toml").exists() {
        println!("there are no fuzz targets");
        return Ok(Vec::new());
    }
    let known = workspace::binaries_of(&folder.join("Cargo.toml"))?;
    if let Some(unknown) = targets.iter().find(|target| !known.contains(target)) {
        bail!(
            "there is no fuzz target `{unknown}`; there are {}",
            known.join(", ")
        );
    }
    let programs = build(&folder)?;
    let wanted = |name: &String| targets.is_empty() || targets.contains(name);
    programs
        .iter()
        .filter(|(name, _)| wanted(name))
        .map(|(name, program)| run_one(&folder, name, program, time))
        .collect()
}

fn build(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut command = workspace::plain_cargo();
    command.args([
        "build",
        "--release",
        "--bins",
        "--target",
        "x86_64-unknown-linux-gnu",
        "--manifest-path",
    ]);
    command
        .arg(folder.join("Cargo.toml"))
        .env("RUSTFLAGS", FLAGS)
        .env("CARGO_TARGET_DIR", workspace::target_folder().join("fuzz"));
    let messages = workspace::build(&mut command)?;
    let named = |message| Some((message_name(message)?, workspace::executable(message)?));
    Ok(messages.iter().filter_map(named).collect())
}

fn message_name(message: &serde_json::Value) -> Option<String> {
    message["target"]["name"].as_str().map(str::to_owned)
}

fn run_one(folder: &Path, name: &str, program: &Path, time: Duration) -> Result<TestResult> {
    let found = workspace::target_folder().join("fuzz/found").join(name);
    let grown = workspace::target_folder().join("fuzz/corpus").join(name);
    fs::create_dir_all(&found)?;
    fs::create_dir_all(&grown)?;
    let log = found.join("log.txt");
    let mut command = Command::new(program);
    command
        .arg(format!("-max_total_time={}", time.as_secs()))
        .args(ONE_INPUT);
    command
        .arg(format!("-artifact_prefix={}/", found.display()))
        .arg(&grown);
    let seeds = folder.join("corpus").join(name);
    if seeds.is_dir() {
        command.arg(seeds);
    }
    command
        .current_dir(workspace::root())
        .stderr(fs::File::create(&log)?);
    // The counters go to standard error: silence on standard output is normal.
    let limit = time + Duration::from_secs(60);
    let ending = process::watch(
        &mut command,
        Limits {
            deadline: limit,
            stall: limit,
        },
        |_| {},
    )?;
    let outcome = match ending {
        Ending::Exited(status) if status.success() => Outcome::Passed,
        Ending::Exited(status) => {
            Outcome::Failed(format!("FAILED ({status}), input in {}", found.display()))
        }
        Ending::Deadline | Ending::Stall => Outcome::Failed("hung".to_owned()),
    };
    let result = TestResult {
        name: format!("fuzz {name}"),
        outcome,
        output: fs::read_to_string(&log).unwrap_or_default(),
    };
    println!("{result}");
    if result.outcome != Outcome::Passed {
        println!("{}", process::tail(&result.output, 40));
    }
    Ok(result)
}
