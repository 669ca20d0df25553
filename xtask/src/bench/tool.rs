//! The two tools as the measurements use them: a script is started, attaches, runs and is ended.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::peer::Peers;
use crate::process;
use crate::workspace;

/// Everything the measurements need.
pub struct Bench {
    /// The binary under test.
    pub ours: Tool,
    /// What it is compared with.
    pub theirs: Tool,
    /// Repetitions.
    pub runs: usize,
    /// The program whose events are traced.
    pub load: PathBuf,
}

/// A tracer.
pub enum Tool {
    /// A `fathom` binary.
    Fathom(PathBuf),
    /// bpftrace in its chroot.
    Bpftrace(Peers),
}

impl Tool {
    /// Name in messages.
    pub fn name(&self) -> &'static str {
        match self {
            Tool::Fathom(_) => "fathom",
            Tool::Bpftrace(_) => "bpftrace",
        }
    }

    /// A command that runs a script.
    pub fn run(&self, script: &str) -> Command {
        let mut command = match self {
            Tool::Fathom(path) => {
                let mut command = Command::new(path);
                command.args(["run", "-e", script]);
                command
            }
            Tool::Bpftrace(peers) => peers.bpftrace(["-e", script]),
        };
        command.env("BPFTRACE_MAX_PROBES", "100000");
        command
    }

    /// A path of this machine as the tool sees it.
    pub fn path(&self, path: &Path) -> String {
        match self {
            Tool::Fathom(_) => path.display().to_string(),
            Tool::Bpftrace(_) => format!("/host{}", path.display()),
        }
    }

    /// The time from nothing to the tool's first instruction, to be left out.
    pub fn entering(&self) -> Result<Duration> {
        match self {
            Tool::Fathom(_) => Ok(Duration::ZERO),
            Tool::Bpftrace(peers) => {
                let started = Instant::now();
                process::output(&mut peers.command("true", [""; 0]))?;
                Ok(started.elapsed())
            }
        }
    }
}

/// A tracer at work.
pub struct Running {
    child: Child,
    errors: BufReader<ChildStderr>,
    told: String,
    /// From its start until it had attached.
    pub attached_after: Duration,
}

impl Running {
    /// Starts a script, its output going to `out`, and waits until it has attached.
    pub fn start(tool: &Tool, script: &str, out: Stdio) -> Result<Running> {
        Running::start_command(tool.name(), &mut tool.run(script), out)
    }

    /// As `start`, with the command already made.
    pub fn start_command(name: &str, command: &mut Command, out: Stdio) -> Result<Running> {
        let started = Instant::now();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let errors = child.stderr.take().context("no pipe for errors")?;
        let mut running = Running {
            child,
            errors: BufReader::new(errors),
            told: String::new(),
            attached_after: Duration::ZERO,
        };
        loop {
            let mut line = String::new();
            if running.errors.read_line(&mut line)? == 0 {
                running.child.wait()?;
                bail!(
                    "{name} did not attach:\n{}",
                    process::tail(&running.told, 8)
                );
            }
            running.told.push_str(&line);
            if line.starts_with("Attached") {
                running.attached_after = started.elapsed();
                return Ok(running);
            }
        }
    }

    /// Asks it to end as Ctrl-C does; how long that took, and all it said on standard error.
    pub fn end(self) -> Result<(Duration, String)> {
        let pid = self.child.id();
        self.end_by(pid)
    }

    /// The same for a tracer that runs below time(1).
    pub fn end_child(self) -> Result<(Duration, String)> {
        let pid = self.child.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
        let child = children.trim().parse().context("time(1) has no child")?;
        self.end_by(child)
    }

    fn end_by(mut self, pid: u32) -> Result<(Duration, String)> {
        let started = Instant::now();
        process::output(Command::new("kill").args(["-INT", &pid.to_string()]))?;
        let mut rest = String::new();
        self.errors.read_to_string(&mut rest)?;
        self.child.wait()?;
        self.told.push_str(&rest);
        Ok((started.elapsed(), self.told))
    }
}

/// Compiles the program whose events are traced.
pub fn build_load() -> Result<PathBuf> {
    let folder = workspace::root().join("target/bench");
    fs::create_dir_all(&folder)?;
    let source = folder.join("load.c");
    fs::write(&source, include_str!("load.c"))?;
    let program = folder.join("load");
    let compile = ["-O2", "-g", "-o"];
    process::output(Command::new("cc").args(compile).arg(&program).arg(&source))?;
    Ok(fs::canonicalize(program)?)
}

/// Runs the load: how often it did its thing, and in how many seconds.
pub fn run_load(bench: &Bench, kind: &str, seconds: f64) -> Result<(f64, f64)> {
    let mut command = Command::new(&bench.load);
    let text = process::output(command.arg(kind).arg(seconds.to_string()))?;
    let mut numbers = text.split_whitespace().map(str::parse::<f64>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(count)), Some(Ok(seconds))) => Ok((count, seconds)),
        _ => bail!("the load said `{text}`"),
    }
}

/// Peak memory, CPU time and exit code of a command that ends by itself, by time(1): it adds nothing of ours.
pub struct Usage {
    /// Peak resident bytes.
    pub peak_bytes: f64,
    /// User and system time in seconds.
    pub cpu_seconds: f64,
}

/// Runs `command` under time(1).
pub fn usage(command: &Command) -> Result<Usage> {
    let report = workspace::root().join("target/bench/usage.txt");
    let mut timed = under_time(command, &report);
    timed.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    read_usage(&report)
}

/// The same command with its usage written to `report` when it ends.
pub fn under_time(command: &Command, report: &Path) -> Command {
    let mut timed = Command::new("time");
    timed.args(["--quiet", "-f", "%M %U %S", "-o"]).arg(report);
    timed.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            timed.env(name, value);
        }
    }
    timed
}

/// Reads what `under_time` has written.
pub fn read_usage(report: &Path) -> Result<Usage> {
    let text = fs::read_to_string(report).context("time(1) wrote nothing")?;
    let mut numbers = text.split_whitespace().map(str::parse::<f64>);
    match (numbers.next(), numbers.next(), numbers.next()) {
        (Some(Ok(kib)), Some(Ok(user)), Some(Ok(system))) => Ok(Usage {
            peak_bytes: kib * 1024.0,
            cpu_seconds: user + system,
        }),
        _ => bail!("time(1) wrote `{text}`"),
    }
}
