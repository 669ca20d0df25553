//! The `fathom` command: flags, subcommands, exit codes.
//!
//! Exit codes: 0 done, 1 the input is wrong, 2 the machine refused, 130 interrupted; `exit(n)` in a script gives n.
#![forbid(unsafe_code)]

mod commands;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Answers precise questions about running programs, the kernel and the network with eBPF.
#[derive(Parser)]
#[command(name = "fathom", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a script
    Run(commands::run::Args),
    /// List probes and types that match a pattern
    List(commands::list::Args),
    /// Check a script without running it (no root needed)
    Check(commands::check::Args),
    /// Format scripts
    Fmt(commands::fmt::Args),
    /// Tell what this kernel and this user can do
    Info(commands::info::Args),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(problem) => {
            let is_wrong = problem.use_stderr();
            // Nothing is left to tell if even this cannot be written.
            let _ = problem.print();
            return ExitCode::from(u8::from(is_wrong));
        }
    };
    let result = match cli.command {
        Command::Run(args) => commands::run::run(&args),
        Command::List(args) => commands::list::run(&args),
        Command::Check(args) => commands::check::run(&args),
        Command::Fmt(args) => commands::fmt::run(&args),
        Command::Info(args) => commands::info::run(&args),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(problem) => {
            eprintln!("error: {problem:#}");
            ExitCode::from(commands::REFUSED)
        }
    }
}
