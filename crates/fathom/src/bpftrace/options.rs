//! bpftrace's own options.

use anyhow::Context;
use regex_lite::Regex;

use crate::failure::Mistake;
use crate::options::Tracing;

/// What `bpftrace` takes; the options that it shares with `fathom run` are in [`Tracing`].
#[derive(clap::Parser)]
#[command(
    name = "bpftrace",
    about = "Fathom under the name of bpftrace: the same options, the same scripts",
    disable_help_flag = true,
    disable_version_flag = true,
    args_override_self = true,
    infer_long_args = true,
    max_term_width = 110,
    override_usage = "bpftrace [options] FILE [parameters]
       bpftrace [options] - < FILE
       bpftrace [options] -e 'SCRIPT' [parameters]
       (options of the script itself, --name=value, stand behind --)",
    after_help = "Examples:
  bpftrace -e 'tracepoint:raw_syscalls:sys_enter { @[comm] = count(); }'
  bpftrace -e 'profile:hz:99 { @[kstack] = count(); }'
  bpftrace -p 1337 -e 'uprobe:libc:malloc { @[ustack] = count(); }'
  bpftrace -l '*sleep*'
  bpftrace -lv 'tracepoint:sched:sched_switch'

Options that steer LLVM mean nothing here and are refused; `fathom --help` shows what else there is."
)]
pub struct Options {
    /// Script file and its parameters; with -e only parameters; with -l what to list
    pub words: Vec<String>,
    #[command(flatten)]
    pub tracing: Tracing,
    /// List probes, types, or the probes of a script; with -v also their arguments
    #[arg(short, long)]
    pub list: bool,
    /// Run this command and trace it; blanks separate its words, quotes mean nothing
    #[arg(
        short,
        long = "cmd",
        value_name = "COMMAND",
        allow_hyphen_values = true,
        help_heading = "Target"
    )]
    pub command: Option<String>,
    /// USDT semaphores are always raised by file here, for every process
    #[arg(long, help_heading = "Target")]
    pub usdt_file_activation: bool,
    /// Accepted; the kernel's types come from BTF, not from headers
    #[arg(short = 'I', value_name = "DIR", help_heading = "Script")]
    pub include_dir: Vec<String>,
    /// Accepted; the kernel's types come from BTF, not from headers
    #[arg(long, value_name = "FILE", help_heading = "Script")]
    pub include: Vec<String>,
    /// Tell what this kernel can do
    #[arg(long)]
    pub info: bool,
    /// Print the version
    #[arg(short = 'V', long)]
    pub version: bool,
    /// Print this help
    #[arg(short, long)]
    pub help: bool,
    /// Format the script and print it
    #[arg(long, help_heading = "Development")]
    pub fmt: bool,
    /// Run `test:` probes
    #[arg(long, help_heading = "Development")]
    pub test: bool,
    /// Run `bench:` probes
    #[arg(long, help_heading = "Development")]
    pub bench: bool,
    /// One of codegen, compiler-bench, bench, test, format
    #[arg(long, value_name = "MODE", value_parser = ["codegen", "compiler-bench", "bench", "test", "format"], hide_possible_values = true, help_heading = "Development")]
    pub mode: Option<String>,
    /// Of `test:` and `bench:` probes, only those whose name matches
    #[arg(long, value_name = "REGEX", help_heading = "Development")]
    pub probe_filter: Option<String>,
    /// Print a stage: all, ast, types, codegen, codegen-opt, libbpf, verifier, parse, dis
    #[arg(short, long, value_name = "STAGE", value_parser = STAGES, hide_possible_values = true, help_heading = "Development")]
    pub debug: Vec<String>,
    /// Write the programs as an ELF object
    #[arg(long, value_name = "FILE", help_heading = "Development")]
    pub emit_elf: Option<String>,
    /// Refused: there is no LLVM
    #[arg(long, value_name = "FILE", hide = true)]
    pub emit_llvm: Option<String>,
    /// Accepted: the intermediate form is always verified
    #[arg(long, hide = true)]
    pub verify_llvm_ir: bool,
    /// Refused: there is no ahead-of-time runtime
    #[arg(long, value_name = "FILE", hide = true)]
    pub aot: Option<String>,
    /// Accepted: BTF is always used
    #[arg(short = 'b', long, hide = true)]
    pub btf: bool,
}

/// Values of `-d`.
const STAGES: [&str; 9] = [
    "all",
    "ast",
    "types",
    "codegen",
    "codegen-opt",
    "libbpf",
    "verifier",
    "parse",
    "dis",
];

/// What the command is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Trace.
    Run,
    /// Compile and no more.
    Compile,
    /// Compile often, and tell how long it takes.
    CompileOften,
    /// `bench:` probes.
    Bench,
    /// `test:` probes.
    Test,
    /// Print the script in one style.
    Format,
}

impl Options {
    /// `--mode`, `--test`, `--bench`, `--fmt`
    pub fn mode(&self) -> Mode {
        match self.mode.as_deref() {
            Some("codegen") => Mode::Compile,
            Some("compiler-bench") => Mode::CompileOften,
            Some("bench") => Mode::Bench,
            Some("test") => Mode::Test,
            Some("format") => Mode::Format,
            _ if self.test => Mode::Test,
            _ if self.bench => Mode::Bench,
            _ if self.fmt => Mode::Format,
            _ => Mode::Run,
        }
    }

    /// `--probe-filter`
    pub fn filter(&self) -> anyhow::Result<Option<Regex>> {
        let Some(text) = &self.probe_filter else {
            return Ok(None);
        };
        let filter = Regex::new(text);
        filter
            .map(Some)
            .with_context(|| Mistake(format!("`{text}` is not a regular expression")))
    }

    /// Whether `-d` asks for a stage.
    pub fn debugs(&self, stage: &str) -> bool {
        self.debug
            .iter()
            .any(|asked| asked == stage || asked == "all")
    }
}
