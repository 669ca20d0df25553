//! `fathom check`: the compiler without the kernel, each of its stages printable.

use std::io::Write;

use anyhow::Context;
use fathom_bpf::ProgramId;
use fathom_compiler::Options;
use fathom_machine::Machine;
use fathom_syntax::{ParseOptions, Spans, dump_ast, dump_tokens, parse};

/// Flags of `fathom check`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  fathom check latency.bt
  fathom check -e 'begin { @x = 1 }' --emit bpf
  fathom check opens.bt --emit object -o opens.o")]
pub struct Args {
    /// Script file, or `-` for standard input
    file: Option<String>,
    /// Positional parameters of the script
    params: Vec<String>,
    /// The script itself
    #[arg(short = 'e', long, value_name = "SCRIPT")]
    execute: Option<String>,
    /// Print a stage of the compiler
    #[arg(long, value_parser = ["tokens", "ast", "hir", "ir", "bpf", "object"])]
    emit: Option<String>,
    /// Write there; for `--emit object` an ELF file that libbpf and bpftool load
    #[arg(short, long, value_name = "FILE")]
    output: Option<String>,
    /// Allow functions that act on the system
    #[arg(long = "unsafe")]
    allow_unsafe: bool,
}

/// Checks the script; the result is the exit code.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    let file = args
        .execute
        .is_none()
        .then_some(args.file.as_deref())
        .flatten();
    let source = super::read_source(args.execute.as_deref(), file)?;
    match args.emit.as_deref() {
        Some("tokens") => return write(args, dump_tokens(&source.text).as_bytes()),
        Some("ast") => {
            let parsed = parse(&source.text, &ParseOptions::default());
            super::show(&source, &parsed.diagnostics, true);
            return write(args, dump_ast(&parsed.script, Spans::Hide).as_bytes());
        }
        _ => {}
    }
    let machine = Machine::at("/");
    let options = Options {
        params: args.params.clone(),
        environment: super::environment(),
        allow_unsafe: args.allow_unsafe,
        ..Options::default()
    };
    let compiled = fathom::compile(&source, &machine, &options);
    super::show(&source, &compiled.diagnostics, true);
    let Some(object) = &compiled.object else {
        return Ok(super::WRONG_INPUT);
    };
    match args.emit.as_deref() {
        Some("hir") => write(
            args,
            format!("{:#?}\n{:#?}\n", compiled.maps, compiled.bodies).as_bytes(),
        ),
        Some("ir") => {
            let functions = compiled
                .programs
                .iter()
                .map(|program| format!("{program}\n"));
            write(args, functions.collect::<String>().as_bytes())
        }
        Some("bpf") => {
            let numbers = 0..object.programs.len() as u32;
            let programs =
                numbers.map(|number| fathom_bpf::text::program(object, ProgramId(number)));
            write(args, programs.collect::<String>().as_bytes())
        }
        Some("object") if args.output.is_some() => {
            let elf = fathom_bpf::elf::write(object)
                .context("cannot write the script as an ELF object")?;
            write(args, &elf)
        }
        Some("object") => write(args, fathom_bpf::text::object(object).as_bytes()),
        _ => Ok(0),
    }
}

fn write(args: &Args, bytes: &[u8]) -> anyhow::Result<u8> {
    match &args.output {
        Some(path) => {
            std::fs::write(path, bytes).with_context(|| format!("cannot write {path}"))?
        }
        None => std::io::stdout()
            .write_all(bytes)
            .context("cannot write output")?,
    }
    Ok(0)
}
