//! What is wrong with a script, and what to do about it: plain data, drawn elsewhere.

use crate::span::Span;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The script cannot be used.
    Error,
    /// The script can be used, but probably does not do what was meant.
    Warning,
    /// For the reader's information.
    Note,
}

/// One problem: a stable code, a place, one plain sentence and a way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Stable name of the kind of problem, such as `unknown-field`.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// The place.
    pub span: Span,
    /// One sentence, no full stop.
    pub message: String,
    /// Words next to the underlined place; may be empty.
    pub label: String,
    /// Other places that matter.
    pub secondary: Vec<Label>,
    /// Background.
    pub notes: Vec<String>,
    /// Ways out.
    pub help: Vec<Help>,
}

/// Words at another place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The place.
    pub span: Span,
    /// The words.
    pub message: String,
}

/// A way out, with an edit if it can be done by machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Help {
    /// What to do.
    pub message: String,
    /// The edit that does it.
    pub edit: Option<Edit>,
}

/// Text to put in place of a span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// What to replace.
    pub span: Span,
    /// What to put there.
    pub text: String,
}

impl Diagnostic {
    /// An error.
    pub fn error(code: &'static str, span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Severity::Error, code, span, message.into())
    }

    /// A warning.
    pub fn warning(code: &'static str, span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Severity::Warning, code, span, message.into())
    }

    fn new(severity: Severity, code: &'static str, span: Span, message: String) -> Diagnostic {
        Diagnostic {
            code,
            severity,
            span,
            message,
            label: String::new(),
            secondary: Vec::new(),
            notes: Vec::new(),
            help: Vec::new(),
        }
    }

    /// With words next to the underlined place.
    pub fn label(mut self, label: impl Into<String>) -> Diagnostic {
        self.label = label.into();
        self
    }

    /// With words at another place.
    pub fn also(mut self, span: Span, message: impl Into<String>) -> Diagnostic {
        self.secondary.push(Label {
            span,
            message: message.into(),
        });
        self
    }

    /// With background.
    pub fn note(mut self, note: impl Into<String>) -> Diagnostic {
        self.notes.push(note.into());
        self
    }

    /// With a way out in words.
    pub fn help(mut self, help: impl Into<String>) -> Diagnostic {
        self.help.push(Help {
            message: help.into(),
            edit: None,
        });
        self
    }

    /// With a way out as an edit.
    pub fn fix(
        mut self,
        help: impl Into<String>,
        span: Span,
        text: impl Into<String>,
    ) -> Diagnostic {
        self.help.push(Help {
            message: help.into(),
            edit: Some(Edit {
                span,
                text: text.into(),
            }),
        });
        self
    }

    /// Whether it makes the script unusable.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// Longest name that [`suggest`] compares; longer ones are never a typing mistake worth the time.
const SUGGEST_MAX_LEN: usize = 64;

/// The candidate that is most likely meant by `name`, if one is near: at most a third of its letters differ.
/// Equal distance: the earlier candidate.
pub fn suggest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if name.is_empty() || name.len() > SUGGEST_MAX_LEN {
        return None;
    }
    let limit = (name.chars().count() / 3).max(1);
    let mut best: Option<(usize, &'a str)> = None;
    for candidate in candidates {
        if candidate == name
            || candidate.len().abs_diff(name.len()) > limit + 4
            || candidate.len() > SUGGEST_MAX_LEN
        {
            continue;
        }
        let distance = edit_distance(name, candidate);
        if distance <= limit && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Edits between two names where a swap of neighbours is one edit and a change of case is none.
fn edit_distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().map(|c| c.to_ascii_lowercase()).collect();
    let right: Vec<char> = right.chars().map(|c| c.to_ascii_lowercase()).collect();
    let mut two_back: Vec<usize> = Vec::new();
    let mut back: Vec<usize> = (0..=right.len()).collect();
    for i in 1..=left.len() {
        let mut row = vec![i];
        for j in 1..=right.len() {
            let change = back[j - 1] + usize::from(left[i - 1] != right[j - 1]);
            let mut least = change.min(back[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1] {
                least = least.min(two_back[j - 2] + 1);
            }
            row.push(least);
        }
        two_back = std::mem::replace(&mut back, row);
    }
    back[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_the_nearest_name() {
        let names = ["printf", "print", "strncmp", "state", "__state"];
        let cases = [
            ("prntf", Some("printf")),
            ("pirnt", Some("print")),
            ("State", Some("state")),
            ("stat", Some("state")),
            ("kstack", None),
            ("", None),
            ("x", None),
        ];
        for (name, want) in cases {
            assert_eq!(suggest(name, names), want, "{name}");
        }
    }
}
