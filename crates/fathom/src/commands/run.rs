//! `fathom run`: compile, load, attach, show.

use fathom_runtime::Trials;

use crate::commands;
use crate::failure::{REFUSED, WRONG_INPUT};
use crate::options::{Tracing, shell_words};
use crate::trace::{Ended, Plan, trace};

/// Flags of `fathom run`.
#[derive(clap::Args)]
#[command(after_help = "Exit codes:
  0    done; also when Ctrl-C or SIGTERM ended the session: it detaches, runs `end` and prints its maps
  N    of exit(N) in the script
  1    the script, an option, a file or a process is wrong
  2    the machine refused: no permission, or a kernel that cannot do it
  130  Ctrl-C before the session ran, or a second one

Examples:
  fathom run -e 'tracepoint:syscalls:sys_enter_openat { printf(\"%s %s\\n\", comm, str(args.filename)) }'
  fathom run -e 'uprobe:/bin/bash:readline { @[ustack] = count() }' -p 1234
  fathom run latency.bt -c 'sh -c \"sleep 1; ls\"' -f json -o out.json
  fathom run opens.bt 100 nginx          # $1 and $2 of the script")]
pub struct Args {
    /// Script file, or `-` for standard input; with -e the first parameter
    file: Option<String>,
    /// Parameters of the script: `$1`, `$2` …, and behind `--` also --name=value
    params: Vec<String>,
    /// Run this command and trace it from its first instruction; quotes keep words together
    #[arg(
        short,
        long,
        value_name = "COMMAND",
        conflicts_with = "pid",
        allow_hyphen_values = true,
        help_heading = "Target"
    )]
    command: Option<String>,
    #[command(flatten)]
    tracing: Tracing,
}

/// Runs the script; the result is the exit code.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    let script = args.tracing.execute.as_deref();
    let (file, params) =
        commands::split_params(script.is_some(), args.file.as_deref(), &args.params);
    let plan = Plan {
        source: commands::read_source(script, file)?,
        params,
        command: match &args.command {
            Some(command) => commands::not_empty(shell_words(command)?)?,
            None => Vec::new(),
        },
        tracing: &args.tracing,
        verifier_logs: false,
        trials: Trials::None,
        filter: &|_| true,
        presenter: None,
        started: &|_| (),
        capture: Default::default(),
        with_inlined: false,
        spares_unwinding: false,
        costs: None,
        inspect: &|_, _| Ok(()),
    };
    Ok(match trace(&plan)? {
        Ended::Done(code) => code,
        Ended::WrongScript => WRONG_INPUT,
        Ended::Refused => REFUSED,
    })
}
