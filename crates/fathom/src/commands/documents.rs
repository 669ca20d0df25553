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
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let subcommands = command.get_subcommands().filter(|sub| !sub.is_hide_set());
    let mut pages: Vec<clap::Command> = subcommands.cloned().collect();
    pages.push(command.clone());
    // The page `bpftrace.1` is bpftrace's own.
    pages.push(bpftrace::command().name("fathom-bpftrace"));
    for page in pages {
        let name = page.get_display_name().unwrap_or(page.get_name());
        let name = name.to_owned();
        std::fs::write(folder.join(format!("{name}.1")), text_of(page, &name)?)
            .with_context(cannot)?;
    }
    Ok(0)
}

/// Exit codes and examples keep their lines; filled text would tear them apart.
fn text_of(command: clap::Command, name: &str) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    clap_mangen::Man::new(command)
        .title(name)
        .render(&mut bytes)
        .context("cannot render a man page")?;
    let text = String::from_utf8_lossy(&bytes);
    let text = text.replacen(".SH EXTRA\n", ".SH \"EXIT CODES AND EXAMPLES\"\n.nf\n", 1);
    Ok(text.replacen(".SH VERSION\n", ".fi\n.SH VERSION\n", 1))
}
