//! How a session is to run, and how it ended.

use crate::attach::AttachFailure;
use crate::child::Child;
use crate::progress::Progress;
use fathom_output::whole::DynamicTypes;
use std::sync::Arc;

/// How a session is to run.
#[derive(Debug, Default)]
pub struct Options {
    /// Whom the script is about, beside the filters in its programs.
    pub target: Target,
    /// Further processes whose mappings are followed, so that their stacks can be walked and symbolized.
    pub watched: Vec<u32>,
    /// SIGINT and SIGTERM end the session, a second one the process. Off for sessions inside of other programs.
    pub handle_signals: bool,
    /// `system()` runs commands.
    pub allow_unsafe: bool,
    /// Finds types that only running programs know, for `call()`.
    pub dynamic_types: Option<Arc<dyn DynamicTypes>>,
    /// Have the kernel account for the programs' run time; costs a few nanoseconds a run, of all programs of the machine.
    pub measure_cost: bool,
    /// Which failures of helpers are told.
    pub helper_errors: HelperErrorLevel,
    /// Attach, say so, and leave: nothing of the script runs.
    pub dry_run: bool,
    /// The verifier's logs are asked for and passed to `progress`.
    pub verifier_logs: bool,
    /// Is told each step until the session runs.
    pub progress: Progress,
    /// Run `test:` or `bench:` probes instead of tracing.
    pub trials: Trials,
}

impl Options {
    /// Processes that run already and whose mappings are followed.
    pub(super) fn watched_pids(&self) -> Vec<u32> {
        let target = match self.target {
            Target::Process(pid) => Some(pid),
            Target::None | Target::Child(_) => None,
        };
        target
            .into_iter()
            .chain(self.watched.iter().copied())
            .collect()
    }
}

/// `--test`, `--bench`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trials {
    /// Trace.
    #[default]
    None,
    /// Each `test:` probe once; the exit code is 1 if one fails.
    Tests,
    /// Each `bench:` probe often.
    Benchmarks,
}

/// A process that the session is about and that ends it.
#[derive(Debug, Default)]
pub enum Target {
    /// Everything.
    #[default]
    None,
    /// `-p`
    Process(u32),
    /// `-c`
    Child(Child),
}

impl Target {
    pub(super) fn pid(&self) -> Option<u32> {
        match self {
            Target::None => None,
            Target::Process(pid) => Some(*pid),
            Target::Child(child) => Some(child.pid()),
        }
    }
}

/// `-k`, `--no-warnings`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HelperErrorLevel {
    /// None.
    Silent,
    /// Those that lose results, such as a full map.
    #[default]
    Losses,
    /// All.
    All,
}

/// How a session ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Of `exit(code)`, else 0.
    pub exit_code: i32,
    /// Events that did not fit into the buffer.
    pub lost_events: u64,
    /// Hits of probes at which the kernel did not run the program.
    pub missed_hits: u64,
    /// Events whose bytes made no sense.
    pub malformed_events: u64,
    /// Places that could not be attached although `missing_probes` let it pass.
    pub failures: Vec<AttachFailure>,
    /// Paths at which iterators were left behind.
    pub pins: Vec<String>,
    /// What each program cost, if it was measured.
    pub costs: Vec<ProgramCost>,
}

/// What a program cost by the kernel's own account (Linux 5.1): without the way into it, which for a probe in user space costs
/// more than most programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramCost {
    /// Name of its first attach point.
    pub probe: String,
    /// How often it ran.
    pub runs: u64,
    /// In all runs together.
    pub run_time_ns: u64,
}
