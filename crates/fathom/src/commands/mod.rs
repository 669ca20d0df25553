//! The subcommands, a file each.

pub mod check;
pub mod fmt;
pub mod info;
pub mod list;
pub mod run;

use std::io::{IsTerminal, Read};
use std::path::Path;

use anyhow::Context;
use fathom::{Source, report};
use fathom_compiler::features::Features;
use fathom_machine::Machine;
use fathom_runtime::{Feature, FeatureSet};
use fathom_syntax::Diagnostic;

/// The input is wrong.
pub const WRONG_INPUT: u8 = 1;
/// The machine refused.
pub const REFUSED: u8 = 2;

/// The script of `-e`, of a file, or of standard input (`-`).
pub fn read_source(script: Option<&str>, file: Option<&str>) -> anyhow::Result<Source> {
    if let Some(script) = script {
        return Ok(Source::text("stdin", script));
    }
    match file {
        Some("-") | None => {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .context("cannot read the script from standard input")?;
            Ok(Source::text("stdin", text))
        }
        Some(path) => {
            let bytes = std::fs::read(path).with_context(|| format!("cannot read {path}"))?;
            let text =
                String::from_utf8(bytes).with_context(|| format!("{path} is not UTF-8 text"))?;
            let name = Path::new(path)
                .file_name()
                .map_or(path.into(), |name| name.to_string_lossy());
            Ok(Source::text(name, text))
        }
    }
}

/// Shows diagnostics on standard error.
pub fn show(source: &Source, diagnostics: &[Diagnostic], with_warnings: bool) {
    let is_coloured = std::io::stderr().is_terminal();
    for diagnostic in diagnostics {
        if diagnostic.is_error() || with_warnings {
            eprint!("{}", report::render(source, diagnostic, is_coloured));
        }
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
    }
}

/// Environment variables that scripts listen to.
pub fn environment() -> std::collections::BTreeMap<String, String> {
    std::env::vars()
        .filter(|(name, _)| name.starts_with("BPFTRACE_"))
        .collect()
}
