//! Everything that CI runs, stage by stage, with names and times: `cargo xtask test`, which is what `make test` calls.
//!
//! Test targets are sorted by their names: `vm_…` run in guests, `host_…` on this kernel as root, all others anywhere.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::ValueEnum;

use crate::fuzz;
use crate::kernel;
use crate::libtest::{self, Outcome, Tally, TestResult};
use crate::process::{self, Ending, Limits};
use crate::vm;
use crate::workspace::{self, TestProgram};

const PROGRAM_LIMIT: Duration = Duration::from_secs(900);
const FUZZ_TIME: Duration = Duration::from_secs(15);

/// A part of the test run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Stage {
    /// The code is formatted.
    Fmt,
    /// clippy has nothing to say.
    Clippy,
    /// Unit and case tests, on any machine.
    Unit,
    /// Tests on this machine's kernel; as root.
    Host,
    /// Short runs of the fuzz targets.
    Fuzz,
    /// Kernel tests in guests.
    Vm,
}

/// Programs that several stages use, built at the first need.
#[derive(Default)]
struct Built {
    tests: Option<Vec<TestProgram>>,
}

impl Built {
    fn tests(&mut self, wanted: impl Fn(&TestProgram) -> bool) -> Result<Vec<TestProgram>> {
        if self.tests.is_none() {
            self.tests = Some(workspace::build_tests()?);
        }
        Ok(self
            .tests
            .iter()
            .flatten()
            .filter(|test| wanted(test))
            .cloned()
            .collect())
    }
}

/// Runs `stages` (all, if none is named) in their fixed order; every stage runs, whatever the ones before said.
pub fn run(stages: &[Stage]) -> Result<()> {
    let mut built = Built::default();
    let mut total = Tally::default();
    let mut table = String::new();
    let mut broken = Vec::new();
    for stage in Stage::value_variants()
        .iter()
        .filter(|stage| stages.is_empty() || stages.contains(stage))
    {
        let name = name(*stage);
        println!("==> {name}");
        let started = Instant::now();
        let outcome = run_stage(*stage, &mut built);
        let seconds = started.elapsed().as_secs_f64();
        let told = match outcome {
            Ok(tally) => {
                total.add(tally);
                if tally.failed > 0 {
                    broken.push(name.clone());
                }
                if tally == Tally::default() {
                    "ok".to_owned()
                } else {
                    tally.to_string()
                }
            }
            Err(error) => {
                broken.push(name.clone());
                total.failed += 1;
                println!("{name} ... FAILED\n{error:#}");
                "FAILED".to_owned()
            }
        };
        println!("<== {name}: {told} in {seconds:.1} s\n");
        let _ = writeln!(table, "{name:<8} {seconds:>7.1} s  {told}");
    }
    println!("{table}\n{total}");
    if broken.is_empty() {
        Ok(())
    } else {
        bail!("failed: {}", broken.join(", "))
    }
}

fn name(stage: Stage) -> String {
    stage
        .to_possible_value()
        .map(|value| value.get_name().to_owned())
        .unwrap_or_default()
}

fn run_stage(stage: Stage, built: &mut Built) -> Result<Tally> {
    match stage {
        Stage::Fmt => process::run(workspace::plain_cargo().args(["fmt", "--all", "--check"]))
            .map(|()| Tally::default()),
        Stage::Clippy => clippy(),
        Stage::Unit => unit(built),
        Stage::Host => host(built),
        Stage::Fuzz => Ok(Tally::of(&fuzz::run_each(&[], FUZZ_TIME)?)),
        Stage::Vm => guests(built),
    }
}

fn clippy() -> Result<Tally> {
    let mut command = workspace::cargo()?;
    command.args([
        "clippy",
        "--quiet",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]);
    process::run(&mut command).map(|()| Tally::default())
}

fn unit(built: &mut Built) -> Result<Tally> {
    let programs = built.tests(|test| !is_host(test) && !is_guest(test))?;
    let mut results = run_programs(&programs, None, &[])?;
    results.extend(doc_tests()?);
    Ok(Tally::of(&results))
}

fn host(built: &mut Built) -> Result<Tally> {
    let programs = built.tests(is_host)?;
    if programs.is_empty() {
        println!("there are no tests for this machine's kernel");
        return Ok(Tally::default());
    }
    let fathom = workspace::build_release()?;
    let mut results = run_programs(&programs, Some(&fathom), &["--test-threads=1"])?;
    results.push(check_binary(&fathom));
    println!("{}", results[results.len() - 1]);
    Ok(Tally::of(&results))
}

/// The release binary is static, small enough, and needs nothing around it.
fn check_binary(fathom: &Path) -> TestResult {
    let script = workspace::root().join("scripts/check-binary.sh");
    let outcome = match process::output(Command::new(script).arg(fathom)) {
        Ok(_) => Outcome::Passed,
        Err(error) => Outcome::Failed(format!("FAILED: {error:#}")),
    };
    TestResult {
        name: "the release binary is static and needs nothing around it".to_owned(),
        outcome,
        output: String::new(),
    }
}

fn guests(built: &mut Built) -> Result<Tally> {
    let options = vm::Options {
        kernels: kernel::all(),
        deadline: PROGRAM_LIMIT,
        stall: Duration::from_secs(180),
        jobs: 2,
        args: Vec::new(),
    };
    vm::run(
        &options,
        &built.tests(is_guest)?,
        &workspace::build_release()?,
    )
}

fn is_host(test: &TestProgram) -> bool {
    test.target.starts_with("host_")
}

fn is_guest(test: &TestProgram) -> bool {
    test.target.starts_with("vm_")
}

/// Runs each program, prints one line for it, and in full each test that failed or was skipped.
fn run_programs(
    programs: &[TestProgram],
    fathom: Option<&Path>,
    args: &[&str],
) -> Result<Vec<TestResult>> {
    let mut all = Vec::new();
    for program in programs {
        let mut command = Command::new(&program.path);
        command
            .arg("--show-output")
            .args(args)
            .current_dir(&program.folder)
            .env("CARGO_MANIFEST_DIR", &program.folder);
        if let Some(fathom) = fathom {
            command.env("FATHOM_BIN", fathom);
        }
        let name = format!("{}::{}", program.package, program.target);
        let started = Instant::now();
        let results = run_program(&name, &mut command)?;
        if !results.is_empty() {
            println!(
                "{name}: {} in {:.1} s",
                Tally::of(&results),
                started.elapsed().as_secs_f64()
            );
        }
        show_exceptions(&name, &results);
        all.extend(results);
    }
    Ok(all)
}

fn run_program(name: &str, command: &mut Command) -> Result<Vec<TestResult>> {
    let mut bytes = Vec::new();
    let limits = Limits {
        deadline: PROGRAM_LIMIT,
        stall: PROGRAM_LIMIT,
    };
    let ending = process::watch(command, limits, |piece| bytes.extend_from_slice(piece))?;
    let why = match ending {
        Ending::Exited(status) => (!status.success()).then(|| status.to_string()),
        Ending::Deadline | Ending::Stall => {
            Some(format!("hung: ended after {} s", PROGRAM_LIMIT.as_secs()))
        }
    };
    Ok(libtest::parse(
        name,
        &String::from_utf8_lossy(&bytes),
        why.as_deref(),
    ))
}

fn show_exceptions(program: &str, results: &[TestResult]) {
    for result in results {
        match &result.outcome {
            Outcome::Passed => {}
            Outcome::Skipped(_) => println!("  {result}"),
            Outcome::Failed(_) => println!("  {program}::{result}\n{}", result.output.trim_end()),
        }
    }
}

fn doc_tests() -> Result<Vec<TestResult>> {
    let mut command = workspace::cargo()?;
    command.args(["test", "--doc", "--workspace"]);
    let results = run_program("doc tests", &mut command)?;
    println!("doc tests: {}", Tally::of(&results));
    show_exceptions("doc tests", &results);
    Ok(results)
}
