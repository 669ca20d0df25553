//! What was traced against what the program says, field by field.

use crate::program::{Program, Told};
use serde_json::Value;
use std::collections::BTreeMap;

/// Traces a program; fails where the tracer shows something else than the program did, or says that something is missing
/// that is not among `missing`: places such as `function.args.name.member`, with a `*` at the start or end.
pub fn check(program: &Program, options: &[&str], missing: &[&str]) {
    let told = program.trace(options);
    let mut comparison = Comparison {
        missing,
        problems: Vec::new(),
    };
    let own = by_function(&told.own);
    let traced = by_function(&told.traced);
    assert!(!own.is_empty());
    for (function, own) in &own {
        if is_noted(&told, function) {
            continue;
        }
        let traced = traced.get(function).map_or(&[][..], Vec::as_slice);
        if own.len() != traced.len() {
            let (own, traced) = (own.len(), traced.len());
            let problem = format!("{function}: called {own} times, {traced} were seen");
            comparison.problems.push(problem);
        }
        for (own, traced) in own.iter().zip(traced) {
            for part in ["args", "result"] {
                comparison.value(&format!("{function}.{part}"), &own[part], &traced[part]);
            }
        }
    }
    let problems = comparison.problems.join("\n");
    assert!(problems.is_empty(), "{problems}\n{}", told.coverage);
}

/// The tracer said that it may see more calls than there were.
fn is_noted(told: &Told, function: &str) -> bool {
    let notes = told.coverage["notes"].as_array();
    let mut notes = notes.into_iter().flatten().filter_map(Value::as_str);
    notes.any(|note| {
        let is_named = [format!("`{function}`"), format!("`{function}.")];
        note.contains("jumps back") && is_named.iter().any(|name| note.starts_with(name))
    })
}

/// Calls of each function in order; copies that compilers make have its name with an end.
fn by_function(calls: &[Value]) -> BTreeMap<String, Vec<&Value>> {
    const COPIES: [&str; 2] = [".constprop.", ".isra."];
    let mut functions: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for call in calls {
        let name = call["function"].as_str().expect("a function's name");
        let ends = COPIES.iter().filter_map(|copy| name.find(copy));
        let name = &name[..ends.min().unwrap_or(name.len())];
        functions.entry(name.to_owned()).or_default().push(call);
    }
    functions
}

struct Comparison<'c> {
    missing: &'c [&'c str],
    problems: Vec<String>,
}

impl Comparison<'_> {
    fn value(&mut self, place: &str, own: &Value, traced: &Value) {
        match (own, traced) {
            (own, traced) if is_equal(own, traced) => {}
            (_, traced) if self.may_be_missing(place, traced) => {}
            (Value::Object(own), Value::Object(traced)) if !traced.contains_key("missing") => {
                let mut names: Vec<&String> = own.keys().chain(traced.keys()).collect();
                names.sort_unstable();
                names.dedup();
                for name in names {
                    let (own, traced) = (own.get(name), traced.get(name));
                    let none = Value::String("(none)".to_owned());
                    let (own, traced) = (own.unwrap_or(&none), traced.unwrap_or(&none));
                    self.value(&format!("{place}.{name}"), own, traced);
                }
            }
            (Value::Array(own), Value::Array(traced)) if own.len() == traced.len() => {
                for (index, (own, traced)) in own.iter().zip(traced).enumerate() {
                    self.value(&format!("{place}.{index}"), own, traced);
                }
            }
            (own, traced) => {
                let problem = format!("{place}: is {own}, shown as {traced}");
                self.problems.push(problem);
            }
        }
    }

    fn may_be_missing(&self, place: &str, traced: &Value) -> bool {
        traced.get("missing").is_some()
            && self.missing.iter().any(|allowed| {
                match (allowed.strip_prefix('*'), allowed.strip_suffix('*')) {
                    (Some(end), _) => place.ends_with(end),
                    (_, Some(start)) => place.starts_with(start),
                    _ => place == *allowed,
                }
            })
    }
}

/// Numbers that a double cannot hold are strings.
fn is_equal(own: &Value, traced: &Value) -> bool {
    match (own, traced) {
        (Value::Number(number), Value::String(text)) => number.to_string() == *text,
        (Value::Number(own), Value::Number(traced)) => {
            own == traced || own.as_f64() == traced.as_f64()
        }
        (own, traced) => own == traced,
    }
}
