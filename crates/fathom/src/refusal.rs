//! What the kernel did not want, as diagnostics at the lines of the script.

use fathom_bpf::object::SourceSpan;
use fathom_runtime::{AttachFailure, Error, LoadError};
use fathom_syntax::{Diagnostic, SourceId, Span};

/// Names that are told when many places were refused for one reason.
const NAMED: usize = 5;

/// Nothing when the error has no place in the script.
pub fn diagnostics(error: &Error) -> Vec<Diagnostic> {
    match error {
        Error::Load(refusal) => vec![of_load(refusal)],
        Error::Attach(failures) => of_attach(failures),
        _ => Vec::new(),
    }
}

fn of_load(refusal: &LoadError) -> Diagnostic {
    let span = refusal.span.map_or_else(Span::default, span_of);
    let message = format!("the kernel refuses this program: {}", refusal.reason);
    let problem = Diagnostic::error("refused", span, message);
    match &refusal.telling_line {
        Some(line) => problem.note(format!(
            "the verifier says: {line} ({} more lines)",
            refusal.omitted_lines
        )),
        None => problem,
    }
}

/// One for each pattern and reason, however many places they have in common.
fn of_attach(failures: &[AttachFailure]) -> Vec<Diagnostic> {
    let mut groups: Vec<Vec<&AttachFailure>> = Vec::new();
    for failure in failures {
        let alike = |group: &&mut Vec<&AttachFailure>| {
            group[0].span == failure.span && group[0].reason == failure.reason
        };
        match groups.iter_mut().find(alike) {
            Some(group) => group.push(failure),
            None => groups.push(vec![failure]),
        }
    }
    groups.iter().map(|group| of_group(group)).collect()
}

fn of_group(group: &[&AttachFailure]) -> Diagnostic {
    let first = group[0];
    let message = match group.len() {
        1 => format!("cannot attach `{}`", first.name),
        count => format!("cannot attach {count} probes of this pattern"),
    };
    let mut problem = Diagnostic::error("cannot-attach", span_of(first.span), message)
        .label(first.reason.as_str());
    if group.len() > 1 {
        let names = group
            .iter()
            .take(NAMED)
            .map(|failure| failure.name.as_str());
        let names = names.collect::<Vec<_>>().join(", ");
        problem = problem.note(match group.len().saturating_sub(NAMED) {
            0 => names,
            more => format!("{names} and {more} more"),
        });
    }
    match &first.hint {
        Some(hint) => problem.help(hint.as_str()),
        None => problem,
    }
}

fn span_of(span: SourceSpan) -> Span {
    Span::new(SourceId(span.source), span.start, span.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(name: &str, start: u32, reason: &str) -> AttachFailure {
        AttachFailure {
            name: name.into(),
            span: SourceSpan {
                source: 0,
                start,
                end: start + 1,
            },
            reason: reason.into(),
            hint: None,
        }
    }

    #[test]
    fn places_that_fail_alike_are_told_once() {
        let mut failures: Vec<AttachFailure> = (0..7)
            .map(|number| failure(&format!("kprobe:f{number}"), 0, "no kprobes"))
            .collect();
        failures.push(failure("kprobe:g", 9, "no kprobes"));
        failures.push(failure("kprobe:f7", 0, "not there"));
        let told = diagnostics(&Error::Attach(failures));
        let messages: Vec<&str> = told
            .iter()
            .map(|problem| problem.message.as_str())
            .collect();
        let expected = [
            "cannot attach 7 probes of this pattern",
            "cannot attach `kprobe:g`",
            "cannot attach `kprobe:f7`",
        ];
        assert_eq!(messages, expected);
        let named = "kprobe:f0, kprobe:f1, kprobe:f2, kprobe:f3, kprobe:f4 and 2 more";
        assert_eq!(told[0].notes, [named]);
        assert!(told[1].notes.is_empty());
    }
}
