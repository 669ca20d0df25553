//! `fathom calls`: has that function been called, with what, and what did it return?

mod cost;
mod coverage;

use std::cell::{OnceCell, RefCell};
use std::io::IsTerminal;
use std::path::Path;
use std::rc::Rc;

use clap::builder::PossibleValuesParser;
use fathom::Source;
use fathom_bpf::capture::Limits;
use fathom_machine::{Machine, Pid};
use fathom_output::Present;
use fathom_questions::calls::{
    Format, Place, Presenter, Question, Target, Template, View, parse_target, script,
};
use fathom_questions::parse_duration;
use fathom_runtime::{Stop, Trials, WallClock};

use crate::commands;
use crate::failure::{Mistake, REFUSED, WRONG_INPUT};
use crate::options::{Tracing, shell_words};
use crate::trace::{Ended, Plan, trace};
use coverage::Coverage;

/// Flags of `fathom calls`.
#[derive(clap::Args)]
#[command(after_help = "Targets:
  BINARY:FUNCTION     a program or library, by path or name, and a function of it; * and ? match
  BINARY@FILE:LINE    a line of the source, with the variables that exist there
  PID:FUNCTION        the program of a process; with -p or -c FUNCTION alone is enough

Exit codes:
  0    done; also when Ctrl-C or SIGTERM ended it
  1    a target, an option or a process is wrong
  2    the machine refused: no permission, or a kernel that cannot do it

Examples:
  fathom calls /usr/sbin/redis-server:processCommand --limit 5
  fathom calls './server:handle_*' --latency --for 10s
  fathom calls 'libc.so.6:getaddrinfo' --where 'str(args.name) == \"example.org\"'
  fathom calls './app@main.c:42' --print '{count} of {user.name}'
  fathom calls malloc --count -c 'ls -l'")]
pub struct Args {
    /// What to watch
    #[arg(value_name = "TARGET", required = true)]
    targets: Vec<String>,
    /// Only this process; the session ends with it
    #[arg(short, long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Target")]
    pid: Option<u32>,
    /// Run this command and watch it from its first instruction; quotes keep words together
    #[arg(
        short,
        long,
        value_name = "COMMAND",
        conflicts_with = "pid",
        allow_hyphen_values = true,
        help_heading = "Target"
    )]
    command: Option<String>,
    /// Only processes of this container: its id, or the beginning of it, as the names of cgroups have it
    #[arg(long, value_name = "ID", conflicts_with_all = ["pid", "command"], help_heading = "Target")]
    container: Option<String>,
    /// Look for debug files in these folders first
    #[arg(long, value_name = "DIR[:DIR]", help_heading = "Target")]
    debuginfo: Vec<String>,
    /// Only calls for which this is true: an expression of the script language over args.NAME
    #[arg(long = "where", value_name = "EXPRESSION", help_heading = "Answer")]
    filter: Option<String>,
    /// Show calls by this template: {NAME}, {NAME.MEMBER}, {result}, {duration}, {function}, {pid}, {tid}, {comm}
    #[arg(long, value_name = "TEMPLATE", conflicts_with_all = ["count", "latency"], help_heading = "Answer")]
    print: Option<String>,
    /// Show the stack of each call
    #[arg(long, conflicts_with_all = ["count", "latency"], help_heading = "Answer")]
    stack: bool,
    /// Only count, in the kernel
    #[arg(long, conflicts_with = "latency", help_heading = "Answer")]
    count: bool,
    /// Only measure how long calls take, in the kernel
    #[arg(long, help_heading = "Answer")]
    latency: bool,
    /// Say what the probes cost, by the kernel's own account
    #[arg(long, help_heading = "Answer")]
    cost: bool,
    /// End after this time: 10s, 2m, 500ms
    #[arg(long = "for", value_name = "DURATION", value_parser = |text: &str| parse_duration(text).ok_or("write it as 10s, 2m or 500ms"), help_heading = "Answer")]
    duration: Option<u64>,
    /// End after so many calls
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Answer")]
    limit: Option<u64>,
    /// Pointers followed one after the other; texts, lists and boxes do not count
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(0..=16), help_heading = "Values")]
    depth: u32,
    /// Elements shown of a list
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1024), help_heading = "Values")]
    elements: u32,
    /// Bytes shown of a text
    #[arg(long, value_name = "BYTES", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=65536), help_heading = "Values")]
    text: u32,
    /// Form of the answer: text or json
    #[arg(short, long, value_name = "FORMAT", default_value = "text", value_parser = PossibleValuesParser::new(["text", "json"]), hide_possible_values = true, hide_default_value = true, help_heading = "Output")]
    output: String,
    /// Say what is being attached
    #[arg(short, long, help_heading = "Output")]
    verbose: bool,
}

/// Watches calls; the result is the exit code.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    let mut targets = parse_targets(args)?;
    let pid = target_pid(args, &targets)?;
    let machine = fathom::this_machine();
    let condition = match &args.container {
        Some(id) => Some(container(&machine, id, &mut targets)?),
        None => None,
    };
    let is_go = targets
        .iter()
        .map(|target| is_go(&machine, target, pid))
        .collect::<Vec<_>>();
    let question = Question {
        targets: &targets,
        is_go: &is_go,
        filter: args.filter.as_deref(),
        view: view(args),
        with_stack: args.stack,
        condition: condition.as_deref(),
        duration_ns: args.duration,
    };
    let tracing = Tracing {
        pid,
        debuginfo: args.debuginfo.clone(),
        verbose: args.verbose,
        quiet: true,
        format: args.output.clone(),
        buffering: "line".to_owned(),
        ..Tracing::default()
    };
    answer(args, &script(&question), &tracing)
}

fn answer(args: &Args, script: &str, tracing: &Tracing) -> anyhow::Result<u8> {
    let stop: Rc<OnceCell<Stop>> = Rc::default();
    let presenter = Rc::new(RefCell::new(presenter(args, &stop)?));
    let coverage = RefCell::new(Coverage::default());
    let costs = RefCell::new(Vec::new());
    let shown: Rc<RefCell<dyn Present>> = presenter.clone();
    let plan = Plan {
        source: Source::text(commands::QUESTION, script),
        params: Vec::new(),
        command: match &args.command {
            Some(command) => commands::not_empty(shell_words(command)?)?,
            None => Vec::new(),
        },
        tracing,
        verifier_logs: false,
        trials: Trials::None,
        filter: &|_| true,
        presenter: Some(shown),
        started: &|handle| {
            // There is one session.
            let _ = stop.set(handle);
        },
        capture: Limits {
            text: args.text,
            elements: args.elements,
            depth: args.depth,
            ..Limits::default()
        },
        with_inlined: !args.latency,
        spares_unwinding: true,
        costs: args.cost.then_some(&costs),
        inspect: &|_, compiled| {
            coverage.replace(Coverage::of(compiled));
            Ok(())
        },
    };
    let ended = trace(&plan)?;
    if let Ended::Done(_) = ended {
        let totals = presenter.borrow().totals();
        let is_json = args.output == "json";
        coverage.borrow().tell(&totals, is_json);
        if args.cost {
            cost::tell(&costs.borrow(), is_json);
        }
    }
    Ok(match ended {
        Ended::Done(code) => code,
        Ended::WrongScript => WRONG_INPUT,
        Ended::Refused => REFUSED,
    })
}

fn presenter(args: &Args, stop: &Rc<OnceCell<Stop>>) -> anyhow::Result<Presenter<'static>> {
    let template = args.print.as_deref().map(Template::parse).transpose();
    let clock = WallClock::now();
    let format = Format {
        is_json: args.output == "json",
        is_coloured: std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
        template: template.map_err(|error| Mistake(format!("--print: {error}")))?,
        boot_to_unix_ns: clock.boot_to_unix_ns(),
    };
    let presenter = Presenter::new(format, move |ns| clock.format("%H:%M:%S.%f", ns));
    let stop = stop.clone();
    Ok(match args.limit {
        Some(limit) => presenter.limit(limit, move || {
            if let Some(stop) = stop.get() {
                stop.stop();
            }
        }),
        None => presenter,
    })
}

fn view(args: &Args) -> View {
    match (args.count, args.latency) {
        (true, _) => View::Count,
        (_, true) => View::Latency,
        _ => View::Lines,
    }
}

fn parse_targets(args: &Args) -> anyhow::Result<Vec<Target>> {
    let mut targets = Vec::new();
    for text in &args.targets {
        let target = parse_target(text).map_err(|error| Mistake(error.to_string()))?;
        let is_line = matches!(target.place, Place::Line { .. });
        if is_line && args.latency {
            anyhow::bail!(Mistake(format!(
                "{text} is a line, and a line does not return: --latency wants functions"
            )));
        }
        let has_process = args.pid.is_some() || args.command.is_some() || target.pid.is_some();
        if target.binary.is_none() && !has_process {
            anyhow::bail!(Mistake(format!(
                "`{text}` names no binary: write BINARY:FUNCTION, or name a process by -p or -c"
            )));
        }
        targets.push(target);
    }
    Ok(targets)
}

/// The one process that all targets and `-p` name.
fn target_pid(args: &Args, targets: &[Target]) -> anyhow::Result<Option<u32>> {
    let mut pids: Vec<u32> = targets.iter().filter_map(|target| target.pid).collect();
    pids.extend(args.pid);
    pids.dedup();
    match pids.as_slice() {
        [] => Ok(None),
        [only] => Ok(Some(*only)),
        _ => anyhow::bail!(Mistake(
            "the targets name different processes: ask for one at a time".to_owned()
        )),
    }
}

/// The condition on tasks of a container; paths in it become paths that can be opened from here.
fn container(machine: &Machine, id: &str, targets: &mut [Target]) -> anyhow::Result<String> {
    let found = machine
        .container_cgroup(id)
        .map_err(|error| Mistake(error.to_string()))?;
    for target in targets {
        let (Some(binary), Some(pid)) = (&target.binary, found.pids.first()) else {
            continue;
        };
        let resolved = machine.resolve_binary(binary, Some(*pid));
        let resolved = resolved.map_err(|error| Mistake(error.to_string()))?;
        if let Some(first) = resolved.first() {
            target.binary = Some(first.path.to_string_lossy().into_owned());
        }
    }
    Ok(format!("cgroup == {}", found.id))
}

/// Whether the target is in a program made by Go, where calls are told by goroutine.
fn is_go(machine: &Machine, target: &Target, pid: Option<u32>) -> bool {
    let binary = match (&target.binary, pid) {
        (Some(binary), _) => binary.clone(),
        (None, Some(pid)) => format!("/proc/{pid}/exe"),
        (None, None) => return false,
    };
    let found = machine.resolve_binary(&binary, pid.map(Pid));
    let path = found.ok().and_then(|found| found.into_iter().next());
    path.is_some_and(|binary| is_go_file(machine, &binary.path))
}

fn is_go_file(machine: &Machine, path: &Path) -> bool {
    machine
        .elf(path)
        .is_ok_and(|elf| elf.has_section(".go.buildinfo"))
}
