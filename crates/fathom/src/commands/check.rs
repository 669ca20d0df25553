//! `fathom check`: the compiler without the kernel, each of its stages printable.

use anyhow::Context;
use fathom::Source;
use fathom_compiler::Options;
use fathom_syntax::{ParseOptions, Spans, dump_ast, dump_tokens, parse};

use super::stages;
use crate::failure::{Mistake, WRONG_INPUT};

/// Flags of `fathom check`.
#[derive(clap::Args)]
#[command(
    after_help = "No root is needed: the compiler asks the files of this machine, not its kernel, and assumes a current one.

Exit codes: 0 the script is right · 1 it is not

Examples:
  fathom check latency.bt
  fathom check -e 'begin { @x = 1 }' --emit bpf
  fathom check opens.bt --emit object -o opens.o
  bpftool prog loadall opens.o /sys/fs/bpf/opens autoattach"
)]
pub struct Args {
    /// Script file, or `-` for standard input
    file: Option<String>,
    /// Positional parameters of the script
    params: Vec<String>,
    /// The script itself
    #[arg(short = 'e', long, value_name = "SCRIPT", allow_hyphen_values = true)]
    execute: Option<String>,
    /// Print a stage of the compiler: tokens, ast, hir (typed), ir (before optimization), bpf or object
    #[arg(long, value_name = "STAGE", value_parser = ["tokens", "ast", "hir", "ir", "bpf", "object"], hide_possible_values = true)]
    emit: Option<String>,
    /// Write there; for `--emit object` an ELF file that libbpf and bpftool load
    #[arg(short, long, value_name = "FILE", requires = "emit")]
    output: Option<String>,
    /// Allow functions that act on the system
    #[arg(long = "unsafe")]
    allow_unsafe: bool,
}

/// Checks the script; the result is the exit code.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    let script = args.execute.as_deref();
    let (file, params) = super::split_params(script.is_some(), args.file.as_deref(), &args.params);
    let source = super::read_source(script, file)?;
    match args.emit.as_deref() {
        Some("tokens") => write(args, dump_tokens(&source.text).as_bytes()),
        Some("ast") => ast(args, &source),
        _ => compiled(args, source, params),
    }
}

fn ast(args: &Args, source: &Source) -> anyhow::Result<u8> {
    let parsed = parse(&source.text, &ParseOptions::default());
    super::show(std::slice::from_ref(source), &parsed.diagnostics, true);
    let code = write(args, dump_ast(&parsed.script, Spans::Hide).as_bytes())?;
    Ok(if parsed.has_errors() {
        WRONG_INPUT
    } else {
        code
    })
}

fn compiled(args: &Args, source: Source, params: Vec<String>) -> anyhow::Result<u8> {
    let machine = fathom::this_machine();
    let options = Options {
        params,
        environment: super::environment(),
        allow_unsafe: args.allow_unsafe,
        ..Options::default()
    };
    let loaded = fathom::load(source, &machine);
    let compiled = fathom::compile(&loaded, &machine, &options);
    super::show(&loaded.sources, &compiled.diagnostics, true);
    let Some(object) = &compiled.object else {
        return Ok(WRONG_INPUT);
    };
    match args.emit.as_deref() {
        Some("hir") => write(args, stages::typed(&compiled).as_bytes()),
        Some("ir") => write(args, stages::intermediate(&compiled).as_bytes()),
        Some("bpf") => write(args, stages::instructions(object).as_bytes()),
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
    let Some(path) = &args.output else {
        return super::print(bytes);
    };
    std::fs::write(path, bytes).with_context(|| Mistake(format!("cannot write {path}")))?;
    Ok(0)
}
