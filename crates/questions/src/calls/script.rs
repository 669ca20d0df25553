//! The script that asks: probes at the functions' entries and returns.

use super::target::{Place, Target};
use std::fmt::Write;

/// What is to be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// One line a call.
    Lines,
    /// How often.
    Count,
    /// How long.
    Latency,
}

/// A question about calls.
#[derive(Clone, Debug)]
pub struct Question<'q> {
    /// Where.
    pub targets: &'q [Target],
    /// Whether each target is in a program made by Go; parallel to `targets`.
    pub is_go: &'q [bool],
    /// `--where`: an expression over `args.NAME`.
    pub filter: Option<&'q str>,
    /// What is shown.
    pub view: View,
    /// `--stack`
    pub with_stack: bool,
    /// `--container`: a condition on the task.
    pub condition: Option<&'q str>,
    /// `--for`, in nanoseconds.
    pub duration_ns: Option<u64>,
}

/// The script's text. Returns come first: probes are attached in this order, and a call that is seen has its return seen too.
pub fn script(question: &Question<'_>) -> String {
    let (mut exits, mut entries) = (String::new(), String::new());
    for (index, target) in question.targets.iter().enumerate() {
        let is_go = question.is_go.get(index).copied().unwrap_or(false);
        let (exit, entry) = probes(question, target, is_go);
        exits.push_str(&exit);
        entries.push_str(&entry);
    }
    let mut text = exits + &entries;
    if let Some(duration) = question.duration_ns {
        let _ = writeln!(text, "interval:{duration} {{ exit(); }}");
    }
    text
}

/// The probes of a target: at its return, and at its entry.
fn probes(question: &Question<'_>, target: &Target, is_go: bool) -> (String, String) {
    let conditions: Vec<String> = [question.condition, question.filter]
        .into_iter()
        .flatten()
        .map(|condition| format!("({condition})"))
        .collect();
    let condition = match conditions.is_empty() {
        true => String::new(),
        false => format!(" / {} /", conditions.join(" && ")),
    };
    // A call that was left out has no return either.
    let is_filtered = !conditions.is_empty();
    let key = if is_go {
        "pid, goid, frame"
    } else {
        "tid, frame"
    };
    let at = |provider: &str| probe(provider, target);
    let is_line = matches!(target.place, Place::Line { .. });
    let call = if question.with_stack {
        "call(ustack)"
    } else {
        "call()"
    };
    let at_entry = at("uprobe");
    let at_exit = at("uretprobe");
    match question.view {
        View::Count => {
            let entry = format!("{at_entry}{condition} {{ @calls[probe] = count(); }}\n");
            (String::new(), entry)
        }
        View::Latency => (
            format!(
                "{at_exit} / @start[{key}] / {{ $took = nsecs - @start[{key}]; @latency[probe] = hist($took, 5); @longest[probe] = max($took); delete(@start, ({key})); }}\n"
            ),
            format!("{at_entry}{condition} {{ @start[{key}] = nsecs; }}\n"),
        ),
        View::Lines if is_line => {
            let entry = format!("{at_entry}{condition} {{ {call}; }}\n");
            (String::new(), entry)
        }
        View::Lines if is_filtered => (
            format!("{at_exit} / @under_way[{key}] / {{ call(); delete(@under_way, ({key})); }}\n"),
            format!("{at_entry}{condition} {{ @under_way[{key}] = 1; {call}; }}\n"),
        ),
        View::Lines => (
            format!("{at_exit} {{ call(); }}\n"),
            format!("{at_entry} {{ {call}; }}\n"),
        ),
    }
}

/// `uprobe:"BINARY":"FUNCTION"`
fn probe(provider: &str, target: &Target) -> String {
    let binary = target
        .binary
        .as_ref()
        .map_or(String::new(), |binary| format!(":{}", quoted(binary)));
    match &target.place {
        Place::Function(name) => {
            // Names with `::` are told from mangled ones.
            let language = if name.contains("::") { "cpp:" } else { "" };
            format!("{provider}{binary}:{language}{}", quoted(name))
        }
        Place::Line { file, line } => {
            let binary = target.binary.as_deref().unwrap_or_default();
            format!("{provider}:{}:{line}", quoted(&format!("{binary}@{file}")))
        }
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::super::parse_target;
    use super::*;
    use expect_test::{Expect, expect};

    fn check(target: &str, view: View, filter: Option<&str>, expected: &Expect) {
        let targets = [parse_target(target).expect("a target")];
        let question = Question {
            targets: &targets,
            is_go: &[false],
            filter,
            view,
            with_stack: false,
            condition: None,
            duration_ns: None,
        };
        expected.assert_eq(&script(&question));
    }

    #[test]
    fn lines_of_calls_and_returns() {
        check(
            "./a:f",
            View::Lines,
            None,
            &expect![[r#"
                uretprobe:"./a":"f" { call(); }
                uprobe:"./a":"f" { call(); }
            "#]],
        );
    }

    #[test]
    fn a_filter_goes_for_the_return_too() {
        check(
            "a:ns::f",
            View::Lines,
            Some("args.x > 1"),
            &expect![[r#"
                uretprobe:"a":cpp:"ns::f" / @under_way[tid, frame] / { call(); delete(@under_way, (tid, frame)); }
                uprobe:"a":cpp:"ns::f" / (args.x > 1) / { @under_way[tid, frame] = 1; call(); }
            "#]],
        );
    }
}
