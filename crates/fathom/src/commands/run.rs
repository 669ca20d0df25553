//! `fathom run`: compile, load, attach, show.

use std::io::Write;

use anyhow::Context;
use fathom_compiler::Options;
use fathom_machine::Machine;
use fathom_output::printer::{OutputFormat, Printer};
use fathom_runtime::{Buffering, Child, HelperErrorLevel, Output, Session, Target};

/// Flags of `fathom run`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  fathom run -e 'tracepoint:syscalls:sys_enter_openat { printf(\"%s %s\\n\", comm, str(args.filename)); }'
  fathom run -e 'uprobe:/bin/bash:readline { @[ustack] = count(); }' -p 1234
  fathom run latency.bt -c './server --once' -f json -o out.json")]
pub struct Args {
    /// Script file, or `-` for standard input
    file: Option<String>,
    /// Positional parameters of the script (`$1`, `$2` …)
    params: Vec<String>,
    /// The script itself
    #[arg(short = 'e', long, value_name = "SCRIPT")]
    execute: Option<String>,
    /// Trace only this process
    #[arg(short, long, conflicts_with = "command")]
    pid: Option<u32>,
    /// Run this command and trace it from its first instruction
    #[arg(short, long, value_name = "CMD")]
    command: Option<String>,
    /// Output format
    #[arg(short = 'f', long, default_value = "text", value_parser = ["text", "json"])]
    format: String,
    /// Write output to this file
    #[arg(short, long, value_name = "FILE")]
    output: Option<String>,
    /// Allow functions that act on the system
    #[arg(long = "unsafe")]
    allow_unsafe: bool,
    /// Do not say how many probes were attached
    #[arg(short, long)]
    quiet: bool,
    /// Warn about failures of kernel helpers
    #[arg(short = 'k', long)]
    warnings: bool,
    /// No warnings
    #[arg(long, conflicts_with = "warnings")]
    no_warnings: bool,
    /// Attach, then leave
    #[arg(long)]
    dry_run: bool,
}

/// Runs the script; the result is the exit code.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    let (file, params) = split_params(args);
    let source = super::read_source(args.execute.as_deref(), file)?;
    let machine = Machine::at("/");
    let child = args.command.as_deref().map(hold).transpose()?;
    let options = Options {
        params,
        environment: super::environment(),
        features: super::probe_features(&machine),
        pid: args.pid,
        child_pid: child.as_ref().map(Child::pid),
        child_path: args
            .command
            .as_deref()
            .and_then(|command| command.split_whitespace().next())
            .map(str::to_owned),
        allow_unsafe: args.allow_unsafe,
        ..Options::default()
    };
    let compiled = fathom::compile(&source, &machine, &options);
    super::show(&source, &compiled.diagnostics, !args.no_warnings);
    let Some(object) = compiled.object else {
        return Ok(super::WRONG_INPUT);
    };
    let trailer = object.settings.string_trailer.clone();
    let target = match (args.pid, child) {
        (_, Some(child)) => Target::Child(child),
        (Some(pid), None) => Target::Process(pid),
        (None, None) => Target::None,
    };
    let options = fathom_runtime::Options {
        target,
        handle_signals: true,
        allow_unsafe: args.allow_unsafe,
        helper_errors: helper_errors(args),
        dry_run: args.dry_run,
    };
    let session = Session::load(object, &machine, options)?;
    let mut output = output(args, &trailer)?;
    let outcome = session.run(&mut output)?;
    Ok(u8::try_from(outcome.exit_code & 0xff).unwrap_or(u8::MAX))
}

/// With `-e` the first word behind the flags is a parameter, not a file.
fn split_params(args: &Args) -> (Option<&str>, Vec<String>) {
    if args.execute.is_none() {
        return (args.file.as_deref(), args.params.clone());
    }
    (
        None,
        args.file.iter().chain(&args.params).cloned().collect(),
    )
}

/// Starts the command; it waits until the probes are on.
fn hold(command: &str) -> anyhow::Result<Child> {
    let words: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
    Child::hold(&words).with_context(|| format!("cannot start `{command}`"))
}

fn helper_errors(args: &Args) -> HelperErrorLevel {
    match (args.warnings, args.no_warnings) {
        (true, _) => HelperErrorLevel::All,
        (_, true) => HelperErrorLevel::Silent,
        _ => HelperErrorLevel::Losses,
    }
}

fn output(args: &Args, trailer: &str) -> anyhow::Result<Output<'static>> {
    let format = if args.format == "json" {
        OutputFormat::Json
    } else {
        OutputFormat::Text
    };
    let out: Box<dyn Write> = match &args.output {
        Some(path) => {
            Box::new(std::fs::File::create(path).with_context(|| format!("cannot write {path}"))?)
        }
        None => Box::new(std::io::stdout()),
    };
    Ok(
        Output::new(Printer::new(format, trailer), out, std::io::stderr())
            .buffering(Buffering::default())
            .quiet(args.quiet),
    )
}
