//! The verifier's log → the line of the script that it is about.

use crate::permission::missing_right;
use fathom_bpf::object::SourceSpan;
use fathom_bpf::{Program, ProgramKind};
use std::io;

/// The kernel's own "operation is not supported"; libc has no name for it.
const ENOTSUPP: i32 = 524;

/// The kernel refused a program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.message())]
pub struct LoadError {
    /// Name in the object.
    pub program: String,
    /// Where in the script the verifier stopped.
    pub span: Option<SourceSpan>,
    /// What the refusal means, and a way out.
    pub reason: String,
    /// The one line of the verifier's log that says why.
    pub telling_line: Option<String>,
    /// Lines of the log beside it.
    pub omitted_lines: usize,
    /// All of it.
    pub full_log: String,
    /// What `BPF_PROG_LOAD` returned.
    pub errno: i32,
}

impl LoadError {
    pub(super) fn new(program: &Program, error: &io::Error, log: &str) -> LoadError {
        let errno = error.raw_os_error().unwrap_or(libc::EINVAL);
        let telling_line = telling_line(log).map(str::to_owned);
        let span = last_insn(log).and_then(|insn| span_of(program, insn));
        LoadError {
            program: program.name.clone(),
            span: span.or_else(|| program.lines.first().map(|line| line.span)),
            reason: reason(program, errno, log),
            omitted_lines: log
                .lines()
                .count()
                .saturating_sub(telling_line.is_some().into()),
            telling_line,
            full_log: log.to_owned(),
            errno,
        }
    }

    fn message(&self) -> String {
        let mut text = format!(
            "the kernel refuses program `{}`: {}",
            self.program, self.reason
        );
        if let Some(line) = &self.telling_line {
            text += &format!("\nverifier: {line} ({} more lines)", self.omitted_lines);
        }
        text
    }
}

/// Whether a line is the verifier's bookkeeping, not its judgement.
fn is_bookkeeping(line: &str) -> bool {
    const STARTS: [&str; 9] = [
        "processed ",
        "verification time ",
        "stack depth ",
        "max_states",
        "mark_precise:",
        "from ",
        ";",
        "peak_states",
        "reg type unsupported",
    ];
    line.is_empty()
        || STARTS.iter().any(|start| line.starts_with(start))
        || insn_number(line).is_some()
        || (line.starts_with('R')
            && line.contains('=')
            && line[1..].starts_with(|c: char| c.is_ascii_digit()))
}

/// The last line that is a judgement.
fn telling_line(log: &str) -> Option<&str> {
    log.lines()
        .rev()
        .map(str::trim)
        .find(|line| !is_bookkeeping(line))
}

/// `12: (85) call …` → 12, and `12: R0=…` too.
fn insn_number(line: &str) -> Option<u32> {
    let (number, rest) = line.split_once(": ")?;
    let is_state = rest.starts_with('(') || rest.starts_with('R') || rest.starts_with("frame");
    if is_state { number.parse().ok() } else { None }
}

/// The instruction that was looked at last.
fn last_insn(log: &str) -> Option<u32> {
    log.lines().rev().find_map(|line| insn_number(line.trim()))
}

fn span_of(program: &Program, insn: u32) -> Option<SourceSpan> {
    let after = program.lines.partition_point(|line| line.insn <= insn);
    Some(program.lines.get(after.checked_sub(1)?)?.span)
}

/// Errors by their meaning for the person at the keyboard.
fn reason(program: &Program, errno: i32, log: &str) -> String {
    match errno {
        libc::EPERM if log.trim().is_empty() => {
            missing_right().unwrap_or_else(|| match program.kind {
                ProgramKind::Fentry(_) | ProgramKind::Fexit(_) => {
                    "this kernel does not allow trampolines (fentry, fexit); use a kprobe".into()
                }
                _ => "not permitted by this kernel's configuration or security policy".into(),
            })
        }
        libc::E2BIG => format!(
            "it is too large or too complex ({} instructions); make the probe shorter or its loops smaller",
            program.insns.len()
        ),
        libc::ENOENT | libc::ESRCH => {
            "what it is to be bound to does not exist in this kernel".into()
        }
        ENOTSUPP | libc::EOPNOTSUPP => "this kernel does not support what it uses".into(),
        libc::ENOMEM => "the kernel has not enough memory for it".into(),
        libc::EINVAL if log.trim().is_empty() => format!(
            "this kernel does not know programs of its kind ({})",
            kind_and_version(&program.kind)
        ),
        libc::EINVAL if log.contains("unknown func") => {
            "this kernel lacks a helper function that it calls".into()
        }
        _ if log.contains("calling kernel function") && log.contains("is not allowed") => {
            "this kernel does not let programs of its kind call a kernel function that it needs; tracepoints and timers may since Linux 6.12".into()
        }
        libc::EACCES | libc::EINVAL | libc::EPERM => {
            "the verifier cannot prove that it is safe".into()
        }
        _ => io::Error::from_raw_os_error(errno).to_string(),
    }
}

fn kind_and_version(kind: &ProgramKind) -> &'static str {
    match kind {
        ProgramKind::TestRun => "raw tracepoint: Linux 4.17; run by hand: Linux 5.10",
        ProgramKind::Tracepoint => "tracepoint: Linux 4.7",
        ProgramKind::RawTracepoint => "raw tracepoint: Linux 4.17",
        ProgramKind::TracepointBtf(_) => "raw tracepoint with BTF: Linux 5.5",
        ProgramKind::Kprobe => "kprobe: Linux 4.1",
        ProgramKind::KprobeMulti => "kprobe.multi: Linux 5.18 with CONFIG_FPROBE",
        ProgramKind::KprobeSession => "kprobe.session: Linux 6.10",
        ProgramKind::UprobeMulti => "uprobe.multi: Linux 6.6",
        ProgramKind::UprobeSession => "uprobe.session: Linux 6.14",
        ProgramKind::PerfEvent => "perf event: Linux 4.9",
        ProgramKind::Fentry(_) | ProgramKind::Fexit(_) => "fentry, fexit: Linux 5.5 with BTF",
        ProgramKind::Iter(_) => "iterator: Linux 5.8 with BTF",
        ProgramKind::Xdp => "xdp: Linux 4.8",
        ProgramKind::SchedCls => "tc: Linux 4.1",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fathom_bpf::object::Line;

    const LOG: &str = "\
0: R1=ctx() R10=fp0
; first @ x.bt:1
0: (b7) r0 = 0                        ; R0_w=0
1: (79) r2 = *(u64 *)(r1 +4096)
invalid bpf_context access off=4096 size=8
processed 2 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
";

    fn program() -> Program {
        let span = |start, end| SourceSpan {
            source: 0,
            start,
            end,
        };
        Program {
            name: "p".into(),
            kind: ProgramKind::Tracepoint,
            sleepable: false,
            insns: Vec::new(),
            functions: Vec::new(),
            relocations: Vec::new(),
            lines: vec![
                Line {
                    insn: 0,
                    span: span(0, 3),
                },
                Line {
                    insn: 1,
                    span: span(5, 9),
                },
            ],
        }
    }

    #[test]
    fn finds_the_line_and_the_place() {
        let error = LoadError::new(&program(), &io::Error::from_raw_os_error(libc::EACCES), LOG);
        assert_eq!(
            error.telling_line.as_deref(),
            Some("invalid bpf_context access off=4096 size=8")
        );
        assert_eq!(
            error.span,
            Some(SourceSpan {
                source: 0,
                start: 5,
                end: 9
            })
        );
        assert_eq!(error.omitted_lines, 5);
    }

    #[test]
    fn any_log_is_taken() {
        for log in [
            "",
            "\n\n",
            "garbage",
            "4294967296: (b7)",
            "7: (95) exit\n",
            "R",
            "R1",
        ] {
            let error =
                LoadError::new(&program(), &io::Error::from_raw_os_error(libc::EINVAL), log);
            assert!(!error.to_string().is_empty(), "{log:?}");
        }
    }
}
