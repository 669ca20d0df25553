//! One run of a script, from its text to the end of its session.

use std::cell::RefCell;
use std::io::Write;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::Context;
use fathom::{Loaded, Source};
use fathom_bpf::Object;
use fathom_bpf::capture::Limits;
use fathom_compiler::probes::Mode;
use fathom_compiler::{Compiled, Options};
use fathom_machine::Machine;
use fathom_output::printer::Printer;
use fathom_output::{Message, Present, Stream};
use fathom_runtime::{
    Child, Error, Output, ProgramCost, Progress, Session, Step, Stop, Target, Trials, missing_right,
};

use crate::commands;
use crate::failure::Mistake;
use crate::go_values::GoValues;
use crate::heartbeat::Heartbeat;
use crate::options::{Tracing, program};
use crate::{ready, refusal};

/// What is to be run.
pub struct Plan<'a> {
    /// The script.
    pub source: Source,
    /// Its positional parameters, and behind `--` its options.
    pub params: Vec<String>,
    /// `-c`, in words; empty for none.
    pub command: Vec<String>,
    /// The rest of the command line.
    pub tracing: &'a Tracing,
    /// Ask the verifier for its logs and print them.
    pub verifier_logs: bool,
    /// Run `test:` or `bench:` probes instead, those that the filter lets through.
    pub trials: Trials,
    /// See `trials`: is given the name behind the colon.
    pub filter: &'a dyn Fn(&str) -> bool,
    /// Shows what the session tells, instead of the script's own printer.
    pub presenter: Option<Rc<RefCell<dyn Present>>>,
    /// Is told how to end the session, once it is there.
    pub started: &'a dyn Fn(Stop),
    /// How much of whole values is copied.
    pub capture: Limits,
    /// Inlined copies of functions are probed too.
    pub with_inlined: bool,
    /// Returns of functions that exceptions and panics may leave are waited for at their return instructions.
    pub spares_unwinding: bool,
    /// Is told what programs cost; `None` to do without the measurement.
    pub costs: Option<&'a RefCell<Vec<ProgramCost>>>,
    /// Is shown the compiled script before it is loaded; an error ends the run.
    pub inspect: &'a dyn Fn(&Source, &Compiled) -> anyhow::Result<()>,
}

/// A presenter that is asked for its totals afterwards.
struct Shared(Rc<RefCell<dyn Present>>);

impl Present for Shared {
    fn write(&mut self, message: &Message<'_>, out: &mut Vec<u8>) -> Stream {
        self.0.borrow_mut().write(message, out)
    }

    fn is_plain(&self) -> bool {
        self.0.borrow().is_plain()
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With the script's exit code.
    Done(u8),
    /// The script is wrong, and that was said.
    WrongScript,
    /// The kernel refused a program or a probe, and that was said.
    Refused,
}

/// Runs a script to the end of its session.
pub fn trace(plan: &Plan<'_>) -> anyhow::Result<Ended> {
    if let Some(missing) = missing_right() {
        anyhow::bail!(missing);
    }
    let heartbeat = Heartbeat::start("compiling");
    let machine = fathom::this_machine().with_debug_folders(plan.tracing.debug_folders());
    let loaded = fathom::load(plan.source.clone(), &machine);
    let result = run(plan, &loaded, &machine, &heartbeat);
    heartbeat.end();
    let problem = match result {
        Ok(ended) => return Ok(ended),
        Err(problem) => problem,
    };
    match problem.downcast_ref::<Error>().map(refusal::diagnostics) {
        Some(refusals) if !refusals.is_empty() => {
            commands::show(&loaded.sources, &refusals, true);
            Ok(Ended::Refused)
        }
        _ => Err(problem),
    }
}

fn run(
    plan: &Plan<'_>,
    loaded: &Loaded,
    machine: &Machine,
    heartbeat: &Heartbeat,
) -> anyhow::Result<Ended> {
    let tracing = plan.tracing;
    let program = plan.command.first().map(|word| program(word)).transpose()?;
    let child = match plan.command.as_slice() {
        [] => None,
        words => Some(Child::hold(words)?),
    };
    let options = Options {
        child_pid: child.as_ref().map(Child::pid),
        child_path: program,
        ..compile_options(plan, machine)?
    };
    let compiled = fathom::compile(loaded, machine, &options);
    if compiled.has_errors() {
        heartbeat.end();
    }
    commands::show(&loaded.sources, &compiled.diagnostics, !tracing.no_warnings);
    (plan.inspect)(&plan.source, &compiled)?;
    let Some(object) = compiled.object else {
        return Ok(Ended::WrongScript);
    };
    let options = session_options(plan, child, heartbeat);
    session(plan, object, machine, options)
}

/// Loads the object and runs it to its end.
fn session(
    plan: &Plan<'_>,
    mut object: Object,
    machine: &Machine,
    options: fathom_runtime::Options,
) -> anyhow::Result<Ended> {
    let tracing = plan.tracing;
    if plan.trials != Trials::None {
        object.attach_points.retain(|point| {
            let name = point.name.split_once(':').map_or("", |(_, name)| name);
            (plan.filter)(name)
        });
    }
    let printer: Box<dyn Present> = match &plan.presenter {
        Some(presenter) => Box::new(Shared(presenter.clone())),
        None => Box::new(Printer::new(
            tracing.output_format(),
            &object.settings.string_trailer,
        )),
    };
    let session = Session::load(object, machine, options)?;
    (plan.started)(session.stop_handle());
    let mut output = Output::new(printer, results(tracing)?, std::io::stderr())
        .buffering(tracing.output_buffering())
        .quiet(tracing.quiet);
    let outcome = session.run(&mut output)?;
    if let Some(costs) = plan.costs {
        costs.replace(outcome.costs);
    }
    for pin in &outcome.pins {
        eprintln!("pinned at {pin}: read it with `cat`, take it away with `rm`");
    }
    // A shell sees eight bits of it.
    Ok(Ended::Done((outcome.exit_code & 0xff) as u8))
}

fn session_options(
    plan: &Plan<'_>,
    child: Option<Child>,
    heartbeat: &Heartbeat,
) -> fathom_runtime::Options {
    let tracing = plan.tracing;
    fathom_runtime::Options {
        target: match (tracing.pid, child) {
            (_, Some(child)) => Target::Child(child),
            (Some(pid), None) => Target::Process(pid),
            (None, None) => Target::None,
        },
        watched: tracing.dwarf_pid.clone(),
        handle_signals: true,
        allow_unsafe: tracing.allow_unsafe,
        dynamic_types: Some(Arc::new(GoValues::new(
            fathom::this_machine().with_debug_folders(tracing.debug_folders()),
        ))),
        measure_cost: plan.costs.is_some(),
        helper_errors: tracing.helper_errors(),
        dry_run: tracing.dry_run,
        verifier_logs: plan.verifier_logs,
        progress: progress(tracing.verbose, heartbeat),
        trials: plan.trials,
    }
}

fn compile_options(plan: &Plan<'_>, machine: &Machine) -> anyhow::Result<Options> {
    let mut features = commands::probe_features(machine);
    plan.tracing.switch_off(&mut features);
    Ok(Options {
        params: plan.params.clone(),
        environment: commands::environment(),
        features,
        pid: plan.tracing.pid,
        watches_others: !plan.tracing.dwarf_pid.is_empty(),
        allow_unsafe: plan.tracing.allow_unsafe,
        traceable: plan.tracing.traceable()?,
        capture: plan.capture,
        with_inlined: plan.with_inlined,
        spares_unwinding: plan.spares_unwinding,
        mode: match plan.trials {
            Trials::None => Mode::Trace,
            Trials::Tests => Mode::Test,
            Trials::Benchmarks => Mode::Bench,
        },
        ..Options::default()
    })
}

/// Tells the heartbeat, and with `-v` the user, what is being done.
fn progress(is_verbose: bool, heartbeat: &Heartbeat) -> Progress {
    let heartbeat = heartbeat.clone();
    Progress::to(move |step| {
        heartbeat.note(step);
        match step {
            Step::Load {
                program,
                done,
                total,
            } if is_verbose => {
                eprintln!("Loading program {} of {total}: {program}", done + 1);
            }
            Step::Attach { place, done, total } if is_verbose => {
                eprintln!("Attaching probe {} of {total}: {place}", done + 1);
            }
            Step::Verified { program, log } => {
                println!(
                    "BPF verifier log for {program}:\n--------------------------------------\n{log}"
                );
            }
            Step::Running => ready::tell(),
            _ => {}
        }
    })
}

/// Where results go.
fn results(tracing: &Tracing) -> anyhow::Result<Box<dyn Write>> {
    Ok(match &tracing.output {
        Some(path) => {
            let file = std::fs::File::create(path);
            Box::new(file.with_context(|| Mistake(format!("cannot write {path}")))?)
        }
        None => Box::new(std::io::stdout()),
    })
}
