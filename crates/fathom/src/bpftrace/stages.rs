//! `-d`, `--emit-elf` and the modes that only compile.

use std::time::{Duration, Instant};

use anyhow::Context;
use fathom::{Loaded, Source};
use fathom_compiler::Compiled;
use fathom_syntax::{ParseOptions, Spans, dump_ast, dump_tokens, parse};

use super::options::Options;
use crate::commands;
use crate::failure::{Mistake, WRONG_INPUT};

/// How often `--mode compiler-bench` compiles.
const RUNS: u32 = 20;

/// Prints the stages that `-d` names, and writes the object of `--emit-elf`.
pub fn show(source: &Source, compiled: &Compiled, options: &Options) -> anyhow::Result<()> {
    if options.debugs("parse") {
        section("Tokens", &dump_tokens(&source.text))?;
    }
    if options.debugs("ast") {
        let parsed = parse(&source.text, &ParseOptions::default());
        section("AST after: parse", &dump_ast(&parsed.script, Spans::Hide))?;
    }
    if options.debugs("types") {
        section("Types", &commands::stages::typed(compiled))?;
    }
    if options.debugs("codegen") {
        section(
            "Intermediate form",
            &commands::stages::intermediate(compiled),
        )?;
    }
    let Some(object) = &compiled.object else {
        return Ok(());
    };
    if options.debugs("codegen-opt") || options.debugs("dis") {
        section("BPF instructions", &commands::stages::instructions(object))?;
    }
    if let Some(path) = &options.emit_elf {
        let elf =
            fathom_bpf::elf::write(object).context("cannot write the script as an ELF object")?;
        std::fs::write(path, elf).with_context(|| Mistake(format!("cannot write {path}")))?;
    }
    Ok(())
}

fn section(title: &str, text: &str) -> anyhow::Result<()> {
    let line = "-".repeat(title.chars().count());
    commands::print(format!("{title}\n{line}\n{text}\n").as_bytes()).map(drop)
}

/// `--mode codegen`: no kernel is asked, nothing is loaded.
pub fn compile(source: &Source, params: &[String], options: &Options) -> anyhow::Result<u8> {
    let (loaded, compiled) = once(source, params, options);
    commands::show(
        &loaded.sources,
        &compiled.diagnostics,
        !options.tracing.no_warnings,
    );
    show(source, &compiled, options)?;
    Ok(if compiled.object.is_some() {
        0
    } else {
        WRONG_INPUT
    })
}

/// `--mode compiler-bench`: how long it takes from the text to the object.
pub fn compile_often(source: &Source, params: &[String], options: &Options) -> anyhow::Result<u8> {
    let code = compile(source, params, options)?;
    if code != 0 {
        return Ok(code);
    }
    let mut times: Vec<Duration> = Vec::new();
    for _ in 0..RUNS {
        let started = Instant::now();
        once(source, params, options);
        times.push(started.elapsed());
    }
    times.sort_unstable();
    let mean = times.iter().sum::<Duration>() / RUNS;
    let (least, most) = (times[0], times[times.len() - 1]);
    println!("compile: mean {mean:?}, least {least:?}, most {most:?}, {RUNS} runs");
    Ok(0)
}

/// Each time on a machine of which nothing is known yet.
fn once(source: &Source, params: &[String], options: &Options) -> (Loaded, Compiled) {
    let machine = fathom::this_machine();
    let options = fathom_compiler::Options {
        params: params.to_vec(),
        environment: commands::environment(),
        pid: options.tracing.pid,
        allow_unsafe: options.tracing.allow_unsafe,
        ..fathom_compiler::Options::default()
    };
    let loaded = fathom::load(source.clone(), &machine);
    let compiled = fathom::compile(&loaded, &machine, &options);
    (loaded, compiled)
}
