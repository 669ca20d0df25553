//! The kernel tests inside guests: one line a test, and the kernel's own console when something fails.
//!
//! Both are kept in `target/vm/KERNEL`. The guest's init script frames what the test programs print:
//!
//! ```text
//! ::ready RELEASE
//! ::run PROGRAM
//! … what the program prints …
//! ::exit CODE
//! ::done
//! ```

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::cache::Cache;
use crate::guest::{self, Content};
use crate::kernel::{self, Kernel, Line};
use crate::libtest::{self, Outcome, Tally, TestResult};
use crate::process::{self, Ending, Limits};
use crate::qemu::{self, Boot, Tools};
use crate::workspace::{self, TestProgram};

/// Guests that do not reach their first test are started again this often: emulation is not free of accidents.
const BOOT_TRIES: usize = 3;
const CONSOLE_LINES: usize = 60;

/// What to run.
pub struct Options {
    /// The kernels, in this order.
    pub kernels: Vec<Line>,
    /// From power on to power off.
    pub deadline: Duration,
    /// Without a byte from the guest.
    pub stall: Duration,
    /// Guests at the same time.
    pub jobs: usize,
    /// Arguments for the test programs.
    pub args: Vec<String>,
}

/// Runs `tests` in every kernel and prints one line a test.
pub fn run(options: &Options, tests: &[TestProgram], fathom: &Path) -> Result<Tally> {
    let cache = Cache::open()?;
    let tools = Tools::ensure(&cache)?;
    let kernels = options
        .kernels
        .iter()
        .map(|line| kernel::ensure(&cache, &tools, *line))
        .collect::<Result<Vec<_>>>()?;
    drop(cache);
    let content = Content {
        tests,
        fathom,
        args: &options.args,
    };
    let waiting = Mutex::new(VecDeque::from(kernels));
    let total = Mutex::new(Ok(Tally::default()));
    std::thread::scope(|scope| {
        for _ in 0..options.jobs {
            scope.spawn(|| {
                while let Some(kernel) = lock(&waiting).pop_front() {
                    let tally = run_kernel(options, &tools, &kernel, &content);
                    let mut total = lock(&total);
                    match (total.as_mut(), tally) {
                        (Ok(sum), Ok(tally)) => sum.add(tally),
                        (_, Err(error)) => {
                            *total = Err(error.context(format!("kernel {}", kernel.label)))
                        }
                        (Err(_), _) => {}
                    }
                }
            });
        }
    });
    total.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn run_kernel(
    options: &Options,
    tools: &Tools,
    kernel: &Kernel,
    content: &Content,
) -> Result<Tally> {
    let started = Instant::now();
    let folder = workspace::target_folder().join("vm").join(kernel.label);
    fs::create_dir_all(&folder)?;
    let initramfs = folder.join("root.cpio");
    fs::write(&initramfs, guest::build(tools, kernel, content)?)?;
    let console = folder.join("console.log");
    let limits = Limits {
        deadline: options.deadline,
        stall: options.stall,
    };
    let boot = Boot {
        kernel: &kernel.folder.join("vmlinuz"),
        initramfs: &initramfs,
        console: &console,
        limits,
    };
    let (ending, text) = boot_until_ready(tools, kernel, &boot)?;
    fs::remove_file(&initramfs)?;
    fs::write(folder.join("transcript.log"), &text)?;
    let results = read_transcript(&text, ending);
    report(kernel, &results, &console);
    let tally = Tally::of(&results);
    println!(
        "kernel {} ({}): {tally} in {:.1} s",
        kernel.label,
        kernel.release,
        started.elapsed().as_secs_f64()
    );
    Ok(tally)
}

fn boot_until_ready(tools: &Tools, kernel: &Kernel, boot: &Boot) -> Result<(Ending, String)> {
    for attempt in 1.. {
        let _ = fs::remove_file(boot.console);
        let mut bytes = Vec::new();
        let ending = qemu::boot(tools, boot, |piece| bytes.extend_from_slice(piece))
            .context("cannot run QEMU")?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if text.contains("::ready ") || attempt == BOOT_TRIES {
            return Ok((ending, text));
        }
        println!(
            "kernel {}: no test was reached ({}), try {attempt} of {BOOT_TRIES}",
            kernel.label,
            describe(ending)
        );
    }
    unreachable!("vm: the loop over tries returns at the last one")
}

fn describe(ending: Ending) -> String {
    match ending {
        Ending::Exited(_) => "the kernel went down".to_owned(),
        Ending::Deadline => "hung: ended at the deadline".to_owned(),
        Ending::Stall => "hung: ended after a long silence".to_owned(),
    }
}

/// Turns what the guest printed into results; a guest that did not come to its end gives a failure of its own.
fn read_transcript(text: &str, ending: Ending) -> Vec<TestResult> {
    let mut results = Vec::new();
    let mut open: Option<(String, String)> = None;
    let mut done = false;
    for line in text.lines().map(|line| line.trim_end_matches('\r')) {
        // The frame's lines may follow a line of a test that did not end.
        let (before, frame) = line.find("::").map_or((line, ""), |at| line.split_at(at));
        if let Some(name) = frame.strip_prefix("::run ") {
            open = Some((name.to_owned(), String::new()));
        } else if let Some(code) = frame
            .strip_prefix("::exit ")
            .and_then(|code| code.parse::<i32>().ok())
        {
            let (name, mut printed) = open.take().unwrap_or_default();
            printed.push_str(before);
            let why = format!("exit {code}");
            results.extend(libtest::parse(
                &name,
                &printed,
                (code != 0).then_some(why.as_str()),
            ));
        } else if frame == "::done" {
            done = true;
        } else if let Some((_, printed)) = &mut open {
            printed.push_str(line);
            printed.push('\n');
        }
    }
    if let Some((name, printed)) = open {
        results.extend(libtest::parse(&name, &printed, Some(&describe(ending))));
    } else if !done {
        let output = process::tail(text, CONSOLE_LINES);
        results.push(TestResult {
            name: "boot".to_owned(),
            outcome: Outcome::Failed(describe(ending)),
            output,
        });
    }
    results
}

fn report(kernel: &Kernel, results: &[TestResult], console: &Path) {
    let _one_at_a_time = std::io::stdout().lock();
    for result in results {
        println!("kernel {} · {result}", kernel.label);
    }
    let mut failed = results
        .iter()
        .filter(|result| matches!(result.outcome, Outcome::Failed(_)))
        .peekable();
    if failed.peek().is_none() {
        return;
    }
    for result in failed {
        println!(
            "---- kernel {} · {} ----\n{}",
            kernel.label,
            result.name,
            result.output.trim_end()
        );
    }
    println!(
        "---- kernel {} · console, its last {CONSOLE_LINES} lines ----\n{}",
        kernel.label,
        console_tail(console.to_owned())
    );
}

fn console_tail(path: PathBuf) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    process::tail(
        String::from_utf8_lossy(&bytes).replace('\r', "").trim_end(),
        CONSOLE_LINES,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    fn check(text: &str, ending: Ending, expected: &[&str]) {
        let shown: Vec<String> = read_transcript(text, ending)
            .iter()
            .map(TestResult::to_string)
            .collect();
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_transcript_becomes_results() {
        let gone = Ending::Exited(ExitStatus::from_raw(0));
        let passed = "::ready 6.1\r\n::run vm_a\r\ntest x ... ok\r\ntest y::z ... ok\r\ntest result: ok.\r\n::exit 0\r\n";
        check(
            &format!("{passed}::done\r\n"),
            gone,
            &["x ... ok", "y::z ... ok"],
        );
        check(
            passed,
            gone,
            &["x ... ok", "y::z ... ok", "boot ... the kernel went down"],
        );
        check(
            "::run vm_a\ntest x ... ",
            Ending::Stall,
            &["x ... hung: ended after a long silence"],
        );
        check(
            "::run vm_a\ntest x ... ::exit 139\n::done\n",
            gone,
            &["x ... exit 139"],
        );
        check(
            "",
            Ending::Deadline,
            &["boot ... hung: ended at the deadline"],
        );
    }
}
