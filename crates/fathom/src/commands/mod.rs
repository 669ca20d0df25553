//! The subcommands, a file each.

pub mod calls;
pub mod check;
pub mod documents;
pub mod fmt;
pub mod info;
pub mod list;
pub mod run;
pub mod stages;

use std::io::{IsTerminal, Read, Write};
use std::path::Path;

use anyhow::Context;
use fathom::{Source, report};
use fathom_compiler::features::Features;
use fathom_machine::Machine;
use fathom_runtime::{Feature, FeatureSet};
use fathom_syntax::Diagnostic;

use crate::failure::Mistake;

/// Name of scripts that a command makes.
pub const QUESTION: &str = "calls";

/// The script of `-e`, of a file, or of standard input (`-`).
pub fn read_source(script: Option<&str>, file: Option<&str>) -> anyhow::Result<Source> {
    if let Some(script) = script {
        return Ok(Source::text("stdin", script));
    }
    match file {
        None if std::io::stdin().is_terminal() => anyhow::bail!(Mistake(
            "no script: name a file, `-` for standard input, or give it by -e".into()
        )),
        Some("-") | None => {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .with_context(|| Mistake("cannot read the script from standard input".into()))?;
            Ok(Source::text("stdin", text))
        }
        Some(path) => {
            let bytes =
                std::fs::read(path).with_context(|| Mistake(format!("cannot read {path}")))?;
            let text = String::from_utf8(bytes)
                .with_context(|| Mistake(format!("{path} is not UTF-8 text")))?;
            let name = Path::new(path)
                .file_name()
                .map_or(path.into(), |name| name.to_string_lossy());
            Ok(Source {
                path: Some(path.into()),
                ..Source::text(name, text)
            })
        }
    }
}

/// With `-e` the first word behind the flags is a parameter, not a file.
pub fn split_params<'a>(
    has_script: bool,
    file: Option<&'a str>,
    params: &[String],
) -> (Option<&'a str>, Vec<String>) {
    if !has_script {
        return (file, params.to_vec());
    }
    let first = file.map(str::to_owned);
    (None, first.into_iter().chain(params.to_vec()).collect())
}

/// Words of a command, of which there must be some.
pub fn not_empty(words: Vec<String>) -> anyhow::Result<Vec<String>> {
    if words.is_empty() {
        anyhow::bail!(Mistake("-c names no command".into()));
    }
    Ok(words)
}

/// Writes to standard output; a reader that went away has seen what it wanted.
pub fn print(bytes: &[u8]) -> anyhow::Result<u8> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write output")
        }
        _ => Ok(0),
    }
}

/// Shows diagnostics on standard error.
pub fn show(sources: &[Source], diagnostics: &[Diagnostic], with_warnings: bool) {
    let variable = |name| std::env::var(name).unwrap_or_default();
    let is_coloured = is_coloured(
        &variable("BPFTRACE_COLOR"),
        &variable("NO_COLOR"),
        std::io::stderr().is_terminal(),
    );
    for (index, diagnostic) in diagnostics.iter().enumerate() {
        // A question asks at the entry and at the return of a function: what is wrong with it is said once.
        let is_alike = |other: &Diagnostic| {
            (other.code, &other.message) == (diagnostic.code, &diagnostic.message)
        };
        if is_question(sources) && diagnostics[..index].iter().any(is_alike) {
            continue;
        }
        if diagnostic.is_error() || with_warnings {
            eprint!("{}", report::render(sources, diagnostic, is_coloured));
        }
    }
}

/// Whether the script was made by a command and not by the user.
fn is_question(sources: &[Source]) -> bool {
    sources
        .first()
        .is_some_and(|source| source.name == QUESTION)
}

/// bpftrace's own variable (`always`, `never`, `auto`) counts before <https://no-color.org>.
fn is_coloured(bpftrace: &str, no_color: &str, is_terminal: bool) -> bool {
    match bpftrace {
        "always" => true,
        "never" => false,
        _ => is_terminal && no_color.is_empty(),
    }
}

/// What the running kernel can do, as far as compilation depends on it.
pub fn probe_features(machine: &Machine) -> Features {
    use Feature::*;
    let wanted = [
        RingBuffer,
        BpfLoop,
        ForEachMapElem,
        AttachCookie,
        AtomicFetch,
        KprobeMulti,
        KprobeSession,
        UprobeMulti,
        UprobeSession,
        TracepointBtf,
        KtimeBoot,
        KtimeTai,
        Strncmp,
        CurrentTaskBtf,
        FunctionAddress,
        LongKeys,
        ReadOtherCpus,
    ];
    let found = FeatureSet::probe(&wanted, machine);
    Features {
        ring_buffer: found.has(RingBuffer),
        bpf_loop: found.has(BpfLoop),
        for_each_map_elem: found.has(ForEachMapElem),
        attach_cookie: found.has(AttachCookie),
        atomic_fetch: found.has(AtomicFetch),
        kprobe_multi: found.has(KprobeMulti),
        kprobe_session: found.has(KprobeSession),
        uprobe_multi: found.has(UprobeMulti),
        uprobe_session: found.has(UprobeSession),
        tracepoint_btf: found.has(TracepointBtf),
        ktime_boot: found.has(KtimeBoot),
        ktime_tai: found.has(KtimeTai),
        strncmp: found.has(Strncmp),
        current_task_btf: found.has(CurrentTaskBtf),
        function_address: found.has(FunctionAddress),
        // These came with the same kernels as the features that stand for them, and cannot be tried themselves.
        struct_arguments: found.has(KtimeTai),
        user_function_address: found.has(UprobeMulti),
        long_keys: found.has(LongKeys),
        read_other_cpus: found.has(ReadOtherCpus),
    }
}

/// Environment variables that scripts listen to.
pub fn environment() -> std::collections::BTreeMap<String, String> {
    std::env::vars()
        .filter(|(name, _)| name.starts_with("BPFTRACE_"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_terminals_unless_somebody_says_otherwise() {
        let cases = [
            (("", "", true), true),
            (("", "", false), false),
            (("auto", "1", true), false),
            (("always", "1", false), true),
            (("never", "", true), false),
        ];
        for ((bpftrace, no_color, is_terminal), expected) in cases {
            assert_eq!(
                is_coloured(bpftrace, no_color, is_terminal),
                expected,
                "{bpftrace:?} {no_color:?} {is_terminal}"
            );
        }
    }
}
