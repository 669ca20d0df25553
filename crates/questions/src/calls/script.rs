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

/// The script's text.
pub fn script(question: &Question<'_>) -> String {
    let mut text = String::new();
    for (index, target) in question.targets.iter().enumerate() {
        let is_go = question.is_go.get(index).copied().unwrap_or(false);
        text.push_str(&probes(question, target, is_go));
    }
    if let Some(duration) = question.duration_ns {
        let _ = writeln!(text, "interval:{duration} {{ exit(); }}");
    }
    text
}

fn probes(question: &Question<'_>, target: &Target, is_go: bool) -> String {
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
    match question.view {
        View::Count => format!(
            "{}{condition} {{ @calls[probe] = count(); }}\n",
            at("uprobe")
        ),
        View::Latency => format!(
            "{entry}{condition} {{ @start[{key}] = nsecs; }}\n\
             {exit} / @start[{key}] / {{ $took = nsecs - @start[{key}]; @latency[probe] = hist($took, 5); @longest[probe] = max($took); delete(@start, ({key})); }}\n",
            entry = at("uprobe"),
            exit = at("uretprobe"),
        ),
        View::Lines if is_line => format!("{}{condition} {{ {call}; }}\n", at("uprobe")),
        View::Lines if is_filtered => format!(
            "{entry}{condition} {{ @under_way[{key}] = 1; {call}; }}\n\
             {exit} / @under_way[{key}] / {{ call(); delete(@under_way, ({key})); }}\n",
            entry = at("uprobe"),
            exit = at("uretprobe"),
        ),
        View::Lines => format!(
            "{} {{ {call}; }}\n{} {{ call(); }}\n",
            at("uprobe"),
            at("uretprobe")
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
                uprobe:"./a":"f" { call(); }
                uretprobe:"./a":"f" { call(); }
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
                uprobe:"a":cpp:"ns::f" / (args.x > 1) / { @under_way[tid, frame] = 1; call(); }
                uretprobe:"a":cpp:"ns::f" / @under_way[tid, frame] / { call(); delete(@under_way, (tid, frame)); }
            "#]],
        );
    }
}
