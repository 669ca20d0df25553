//! `fathom list`: probes and types.

use std::io::{BufWriter, Write};

use fathom_compiler::probes::{ListOptions, list};
use fathom_machine::Machine;

/// Flags of `fathom list`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  fathom list 'tracepoint:syscalls:*'
  fathom list -v tracepoint:sched:sched_switch
  fathom list 'uprobe:/bin/bash:read*'
  fathom list 'struct sock'")]
pub struct Args {
    /// Pattern with wildcards; several are separated by commas
    pattern: Option<String>,
    /// Also arguments
    #[arg(short, long)]
    verbose: bool,
    /// Also programs and libraries of this process
    #[arg(short, long)]
    pid: Option<u32>,
}

/// Prints what matches; 1 if nothing does.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    let machine = Machine::at("/");
    let options = ListOptions {
        verbose: args.verbose,
        pid: args.pid,
    };
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut is_empty = true;
    for listing in list(
        args.pattern.as_deref().unwrap_or_default(),
        &machine,
        options,
    ) {
        is_empty = false;
        let mut text = listing.name + "\n";
        for (ty, name) in &listing.args {
            text += &format!("    {ty} {name}\n");
        }
        if out.write_all(text.as_bytes()).is_err() {
            return Ok(0);
        }
    }
    // A reader that went away has seen what it wanted.
    let _ = out.flush();
    if is_empty {
        eprintln!(
            "nothing matches `{}`",
            args.pattern.as_deref().unwrap_or_default()
        );
        return Ok(super::WRONG_INPUT);
    }
    Ok(0)
}
