//! The command line of `fathom` as clap sees it; man pages and completions are made from it too.

use clap::{Parser, Subcommand};

use crate::commands::{calls, check, documents, fmt, info, list, run};

/// Answers precise questions about running programs, the kernel and the network with eBPF.
#[derive(Parser)]
#[command(
    name = "fathom",
    version,
    propagate_version = true,
    max_term_width = 110,
    after_help = "Examples:
  sudo fathom run -e 'tracepoint:syscalls:sys_enter_openat { printf(\"%s %s\\n\", comm, str(args.filename)) }'
  sudo fathom run latency.bt -c 'ls -lR /usr'
  sudo fathom calls './server:handle_request' --where 'args.size > 4096'
  fathom list 'tracepoint:sched:*' -v
  fathom check latency.bt
  fathom info

Called as `bpftrace` (by a link of that name) it takes bpftrace's options instead."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Subcommand)]
pub enum Command {
    /// Run a script
    Run(Box<run::Args>),
    /// Show calls of functions: arguments, results, durations
    Calls(Box<calls::Args>),
    /// List probes and types that match a pattern
    List(list::Args),
    /// Check a script without running it (no root needed)
    Check(check::Args),
    /// Format scripts
    Fmt(fmt::Args),
    /// Tell what this kernel and this user can do
    Info(info::Args),
    /// Print the completions of a shell
    #[command(hide = true)]
    Completions(documents::Completions),
    /// Write the man pages into a folder
    #[command(hide = true)]
    Man(documents::Man),
}

/// Runs `fathom` with the arguments of this process; the result is the exit code.
pub fn main() -> anyhow::Result<u8> {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(problem) => {
            // Nothing is left to tell if even this cannot be written.
            let _ = problem.print();
            return Ok(u8::from(problem.use_stderr()));
        }
    };
    match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Calls(args) => calls::run(&args),
        Command::List(args) => list::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Fmt(args) => fmt::run(&args),
        Command::Info(args) => info::run(&args),
        Command::Completions(args) => documents::completions(&args),
        Command::Man(args) => documents::man(&args),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definitions_hold_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_shows_examples() {
        for command in Cli::command().get_subcommands() {
            let help = command.clone().render_long_help().to_string();
            assert!(
                command.is_hide_set() || help.contains("Examples:"),
                "{}",
                command.get_name()
            );
        }
    }
}
