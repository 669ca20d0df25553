//! Man pages and completions, from the same definitions as the command line; `make dist` packs them.

use std::path::PathBuf;

use anyhow::Context;
use clap::CommandFactory;
use clap_complete::Shell;

use crate::bpftrace;
use crate::cli::Cli;
use crate::failure::Mistake;

/// Flags of `fathom completions`.
#[derive(clap::Args)]
pub struct Completions {
    /// Whose
    shell: Shell,
}

/// Flags of `fathom man`.
#[derive(clap::Args)]
pub struct Man {
    /// Where the pages go
    folder: PathBuf,
}

/// Prints the completions of a shell.
pub fn completions(args: &Completions) -> anyhow::Result<u8> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "fathom", &mut text);
    super::print(&text)
}

/// Writes a page for the command, for each of its subcommands, and for the name `bpftrace`.
pub fn man(args: &Man) -> anyhow::Result<u8> {
    let folder = &args.folder;
    let cannot = || Mistake(format!("cannot write man pages to {}", folder.display()));
    std::fs::create_dir_all(folder).with_context(cannot)?;
    clap_mangen::generate_to(Cli::command().disable_help_subcommand(true), folder)
        .with_context(cannot)?;
    clap_mangen::generate_to(bpftrace::command(), folder).with_context(cannot)?;
    Ok(0)
}
