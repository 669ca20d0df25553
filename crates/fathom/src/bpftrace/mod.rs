//! The command under the name `bpftrace`: its options, its exit codes, its ways of being called.
//!
//! Exit codes: 0 done, 1 what was asked for is wrong, 255 the kernel refused a program or a probe.

mod options;
mod stages;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser};

use fathom_runtime::Trials;

use crate::commands::{self, fmt, info, list};
use crate::failure::{Mistake, WRONG_INPUT};
use crate::trace::{Ended, Plan, trace};
use options::{Mode, Options};

/// The language and the options are those of this version.
const VERSION: &str = "v0.27.1";
/// What the kernel refuses ends with this.
const REFUSED: u8 = 255;

/// The options, for man pages.
pub fn command() -> clap::Command {
    Options::command()
}

/// Runs with the arguments of this process; the result is the exit code.
pub fn main() -> u8 {
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(problem) => return usage(&complaint(&problem)),
    };
    if options.help {
        print!("{}", command().render_help());
        return 0;
    }
    if options.version {
        println!("bpftrace {VERSION} (fathom v{})", env!("CARGO_PKG_VERSION"));
        return 0;
    }
    match run(&options) {
        Ok(code) => code,
        Err(problem) => {
            eprintln!("ERROR: {problem:#}");
            WRONG_INPUT
        }
    }
}

/// What getopt would have said, and how the command is called.
fn usage(complaint: &str) -> u8 {
    eprintln!("{complaint}\n{}", command().render_help());
    WRONG_INPUT
}

fn complaint(problem: &clap::Error) -> String {
    let word = match problem.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(word)) => word.as_str(),
        _ => "",
    };
    if problem.kind() == ErrorKind::UnknownArgument {
        return format!("bpftrace: unrecognized option '{word}'");
    }
    let text = problem.render().to_string();
    let first = text.lines().next().unwrap_or_default();
    format!("bpftrace: {}", first.trim_start_matches("error: "))
}

fn run(options: &Options) -> anyhow::Result<u8> {
    refuse_llvm(options)?;
    if options.command.is_some() && options.tracing.pid.is_some() {
        return Ok(usage("ERROR: USAGE: Cannot use both -c and -p."));
    }
    if options.info {
        return info::bpftrace(VERSION);
    }
    let script = options.tracing.execute.as_deref();
    if options.list {
        return list_probes(options, script);
    }
    let (file, params) = match (script, options.words.as_slice()) {
        (Some(_), words) => (None, words),
        (None, [file, params @ ..]) => (Some(file.as_str()), params),
        (None, []) => return Ok(usage("bpftrace: no script given")),
    };
    let source = commands::read_source(script, file)?;
    match options.mode() {
        Mode::Format => fmt::one(&source, options.tracing.output.as_deref()),
        Mode::Compile => stages::compile(&source, params, options),
        Mode::CompileOften => stages::compile_often(&source, params, options),
        Mode::Test => session(options, source, params, Trials::Tests),
        Mode::Bench => session(options, source, params, Trials::Benchmarks),
        Mode::Run => session(options, source, params, Trials::None),
    }
}

fn session(
    options: &Options,
    source: fathom::Source,
    params: &[String],
    trials: Trials,
) -> anyhow::Result<u8> {
    let filter = options.filter()?;
    let plan = Plan {
        source,
        params: params.to_vec(),
        command: match &options.command {
            Some(command) => commands::not_empty(words(command))?,
            None => Vec::new(),
        },
        tracing: &options.tracing,
        verifier_logs: options.debugs("verifier"),
        trials,
        filter: &|name| filter.as_ref().is_none_or(|filter| filter.is_match(name)),
        presenter: None,
        started: &|_| (),
        capture: Default::default(),
        with_inlined: false,
        spares_unwinding: false,
        costs: None,
        inspect: &|source, compiled| stages::show(source, compiled, options),
    };
    Ok(match trace(&plan)? {
        Ended::Done(code) => code,
        Ended::WrongScript => WRONG_INPUT,
        Ended::Refused => REFUSED,
    })
}

/// As bpftrace does it: every single blank separates, and nothing else has a meaning.
fn words(command: &str) -> Vec<String> {
    let command = command.trim();
    if command.is_empty() {
        return Vec::new();
    }
    command.split(' ').map(str::to_owned).collect()
}

fn refuse_llvm(options: &Options) -> anyhow::Result<()> {
    if options.emit_llvm.is_some() {
        anyhow::bail!(Mistake(
            "--emit-llvm: there is no LLVM in here; `-d codegen` prints the compiler's own intermediate form, `--emit-elf FILE` writes the programs".into()
        ));
    }
    if options.aot.is_some() {
        anyhow::bail!(Mistake(
            "--aot: there is no ahead-of-time runtime; `--emit-elf FILE` writes an object that libbpf loads".into()
        ));
    }
    Ok(())
}

/// `-l`: what matches a search; or the probes of a script, in a file or given by `-e`.
fn list_probes(options: &Options, script: Option<&str>) -> anyhow::Result<u8> {
    let search = options.words.first().map(String::as_str);
    let file = search.filter(|word| !word.contains(':') && std::path::Path::new(word).is_file());
    let searches = match (script, file) {
        (None, None) => vec![search.unwrap_or_default().to_owned()],
        (script, file) => list::probes_of(commands::read_source(script, file)?)?,
    };
    let listing = list::Listing {
        verbose: options.tracing.verbose,
        pid: options.tracing.pid,
        definitions: list::Definitions::WhenVerbose,
    };
    list::print(&searches, &listing)?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Options, String> {
        let words = std::iter::once(&"bpftrace").chain(arguments);
        Options::try_parse_from(words).map_err(|problem| complaint(&problem))
    }

    #[test]
    fn the_definitions_hold_together() {
        command().debug_assert();
    }

    #[test]
    fn options_stand_anywhere_and_together() {
        let options =
            parse(&["x.bt", "-kqfjson", "5", "--unsafe", "--", "--name=v", "-x"]).unwrap();
        assert_eq!(options.words, ["x.bt", "5", "--name=v", "-x"]);
        let tracing = &options.tracing;
        assert!(tracing.warnings && tracing.quiet && tracing.allow_unsafe);
        assert_eq!(tracing.format, "json");
    }

    #[test]
    fn long_options_may_be_cut_and_the_last_one_counts() {
        let options = parse(&["--uns", "-e", "first", "-e", "-second", "-lv"]).unwrap();
        assert!(options.tracing.allow_unsafe && options.list && options.tracing.verbose);
        assert_eq!(options.tracing.execute.as_deref(), Some("-second"));
    }

    #[test]
    fn wrong_options_are_named() {
        let cases = [
            (&["--nosuch"][..], "unrecognized option '--nosuch'"),
            (&["-e"], "value is required for '--execute <SCRIPT>'"),
            (&["-f", "xml", "x.bt"], "invalid value 'xml'"),
            (&["-p", "abc", "x.bt"], "invalid value 'abc'"),
            (&["-k", "--no-warnings", "x.bt"], "cannot be used with"),
            (&["-d", "nosuch", "x.bt"], "invalid value 'nosuch'"),
            (&["--mode", "nosuch", "x.bt"], "invalid value 'nosuch'"),
        ];
        for (arguments, expected) in cases {
            let Err(told) = parse(arguments) else {
                panic!("{arguments:?} is accepted");
            };
            assert!(told.contains(expected), "{told}");
        }
    }

    #[test]
    fn commands_are_split_at_each_blank() {
        assert_eq!(words("echo \"a  b\""), ["echo", "\"a", "", "b\""]);
        assert!(words(" ").is_empty());
    }

    #[test]
    fn modes_have_short_forms() {
        let cases = [
            (&["x"][..], Mode::Run),
            (&["--test", "x"], Mode::Test),
            (&["--bench", "x"], Mode::Bench),
            (&["--fmt", "x"], Mode::Format),
            (&["--mode", "codegen", "x"], Mode::Compile),
        ];
        for (arguments, expected) in cases {
            assert_eq!(parse(arguments).unwrap().mode(), expected);
        }
    }
}
