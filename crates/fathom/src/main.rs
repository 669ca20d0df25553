//! The `fathom` command: flags, subcommands, exit codes; and `bpftrace`, when it is called by that name.
//!
//! Exit codes: 0 done, 1 what was asked for is wrong, 2 the machine refused, 130 interrupted; `exit(n)` in a script gives n.
#![forbid(unsafe_code)]

mod bpftrace;
mod cli;
mod commands;
mod failure;
mod go_values;
mod heartbeat;
mod options;
mod ready;
mod refusal;
mod trace;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    if is_called("bpftrace") {
        return ExitCode::from(bpftrace::main());
    }
    match cli::main() {
        Ok(code) => ExitCode::from(code),
        Err(problem) => {
            eprintln!("error: {problem:#}");
            ExitCode::from(failure::exit_code(&problem))
        }
    }
}

/// Whether this is the name by which the command was called, folders aside.
fn is_called(name: &str) -> bool {
    let called = std::env::args_os().next().unwrap_or_default();
    Path::new(&called)
        .file_name()
        .is_some_and(|file| file == name)
}
