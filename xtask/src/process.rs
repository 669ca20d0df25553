//! Running commands: with their output in the error when they fail, and with deadlines that end them.

use std::fmt::Write as _;
use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Runs `command` and returns what it printed; its error output is part of the failure.
pub fn output(command: &mut Command) -> Result<String> {
    let shown = show(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start `{shown}`"))?;
    if !output.status.success() {
        let mut told = format!("`{shown}` failed ({})", output.status);
        for bytes in [&output.stdout, &output.stderr] {
            let _ = write!(told, "\n{}", tail(&String::from_utf8_lossy(bytes), 15));
        }
        bail!("{}", told.trim_end());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs `command` with its output going where ours goes.
pub fn run(command: &mut Command) -> Result<()> {
    let shown = show(command);
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot start `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` failed ({status})");
    }
    Ok(())
}

/// Why a watched process is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It exited by itself.
    Exited(ExitStatus),
    /// It was ended: it took longer than the deadline.
    Deadline,
    /// It was ended: it printed nothing for too long.
    Stall,
}

/// How long a watched process may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// From start to end.
    pub deadline: Duration,
    /// Without printing anything.
    pub stall: Duration,
}

/// Runs `command`, hands each piece of its standard output to `seen`, and ends it when a limit is reached.
pub fn watch(command: &mut Command, limits: Limits, mut seen: impl FnMut(&[u8])) -> Result<Ending> {
    let shown = show(command);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{shown}`"))?;
    let pieces = read_in_background(&mut child);
    let started = Instant::now();
    loop {
        let left = limits.deadline.saturating_sub(started.elapsed());
        match pieces.recv_timeout(left.min(limits.stall)) {
            Ok(piece) => seen(&piece),
            Err(RecvTimeoutError::Disconnected) => return wait_briefly(&mut child),
            Err(RecvTimeoutError::Timeout) => {
                child.kill().context("cannot end a process that hangs")?;
                child.wait()?;
                let late = started.elapsed() >= limits.deadline;
                return Ok(if late {
                    Ending::Deadline
                } else {
                    Ending::Stall
                });
            }
        }
    }
}

/// The last `count` lines of `text`.
pub fn tail(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

fn read_in_background(child: &mut Child) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    if let Some(mut stdout) = child.stdout.take() {
        std::thread::spawn(move || {
            let mut buffer = [0; 8192];
            while let Ok(length @ 1..) = stdout.read(&mut buffer) {
                if sender.send(buffer[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
    }
    receiver
}

fn wait_briefly(child: &mut Child) -> Result<Ending> {
    // Its output is closed: it is on its way out, or it is a stray that closed its output and stays.
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(10) {
        if let Some(status) = child.try_wait()? {
            return Ok(Ending::Exited(status));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().context("cannot end a process that hangs")?;
    child.wait()?;
    Ok(Ending::Deadline)
}

fn show(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for arg in command.get_args() {
        let _ = write!(text, " {}", arg.to_string_lossy());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    fn check(script: &str, limits: (u64, u64), expected: &str) {
        let limits = Limits {
            deadline: Duration::from_millis(limits.0),
            stall: Duration::from_millis(limits.1),
        };
        let mut printed = Vec::new();
        let ending = watch(&mut shell(script), limits, |piece| {
            printed.extend_from_slice(piece)
        })
        .unwrap();
        let ending = match ending {
            Ending::Exited(status) => format!("exit {}", status.code().unwrap_or(-1)),
            other => format!("{other:?}"),
        };
        assert_eq!(
            format!("{}{ending}", String::from_utf8_lossy(&printed)),
            expected
        );
    }

    #[test]
    fn a_process_is_watched_to_its_end_or_ended() {
        check("echo a; exit 3", (60_000, 60_000), "a\nexit 3");
        check("echo a; exec sleep 1000", (60_000, 300), "a\nStall");
        check("exec yes >/dev/null", (300, 60_000), "Deadline");
    }

    #[test]
    fn a_failure_tells_what_was_printed() {
        let error = output(&mut shell("echo out; echo err >&2; exit 1"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("out") && error.contains("err"), "{error}");
    }

    #[test]
    fn the_tail_is_the_last_lines() {
        assert_eq!(tail("a\nb\nc", 2), "b\nc");
        assert_eq!(tail("a", 2), "a");
    }
}
