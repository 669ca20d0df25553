//! What was watched, and what was not: without it "not called" would mean nothing.

use fathom_bpf::object::Place;
use fathom_compiler::Compiled;
use fathom_questions::calls::{Totals, function_of};
use std::collections::BTreeMap;

/// Functions named in the text form.
const MAX_NAMED: usize = 8;

/// What a session watches.
#[derive(Debug, Default)]
pub struct Coverage {
    /// Functions that are watched, with the number of places in each.
    functions: BTreeMap<String, usize>,
    /// Patterns and functions that are not, with the reason.
    left_out: Vec<String>,
    /// What else is to be known.
    notes: Vec<String>,
}

impl Coverage {
    /// Of a compiled question.
    pub fn of(compiled: &Compiled) -> Coverage {
        let mut coverage = Coverage::default();
        let Some(object) = &compiled.object else {
            return coverage;
        };
        for point in &object.attach_points {
            let is_entry = match &point.place {
                Place::Uprobe { .. } | Place::UprobeMulti { .. } | Place::Member { .. } => {
                    point.name.starts_with("uprobe:")
                }
                _ => false,
            };
            if is_entry {
                let function = function_of(&point.name).to_owned();
                *coverage.functions.entry(function).or_default() += 1;
            }
        }
        coverage.left_out = object.missing.clone();
        for diagnostic in compiled.diagnostics.iter().filter(|one| !one.is_error()) {
            if !coverage.notes.contains(&diagnostic.message) {
                coverage.notes.push(diagnostic.message.clone());
            }
        }
        coverage
    }

    /// Says it: as a sentence on standard error, or as one object on standard output.
    pub fn tell(&self, totals: &Totals, is_json: bool) {
        match is_json {
            true => println!("{}", self.json(totals)),
            false => eprint!("{}", self.text(totals)),
        }
    }

    fn text(&self, totals: &Totals) -> String {
        let count = self.functions.len();
        let plural = if count == 1 { "" } else { "s" };
        let names: Vec<&str> = self
            .functions
            .keys()
            .take(MAX_NAMED)
            .map(String::as_str)
            .collect();
        let more = match count > MAX_NAMED {
            true => format!(" and {} more", count - MAX_NAMED),
            false => String::new(),
        };
        let calls = match totals.calls {
            0 => "no call was seen".to_owned(),
            1 => "1 call".to_owned(),
            calls => format!("{calls} calls"),
        };
        let mut text = format!(
            "{calls} of {count} function{plural}: {}{more}\n",
            names.join(", ")
        );
        let counted = [
            (totals.under_way, "had not returned at the end"),
            (
                totals.unreturned,
                "ended without a return that could be seen (longjmp, exceptions, more than 64 deep)",
            ),
            (
                totals.begun_before,
                "returns belonged to calls begun before",
            ),
            (totals.lost, "events were lost"),
        ];
        for (count, what) in counted {
            if count > 0 {
                text.push_str(&format!("  {count} {what}\n"));
            }
        }
        for line in self.left_out.iter().chain(&self.notes) {
            text.push_str(&format!("  {line}\n"));
        }
        text
    }

    fn json(&self, totals: &Totals) -> serde_json::Value {
        serde_json::json!({
            "type": "coverage",
            "functions": self.functions,
            "calls": totals.calls,
            "under_way": totals.under_way,
            "unreturned": totals.unreturned,
            "begun_before": totals.begun_before,
            "lost": totals.lost,
            "left_out": self.left_out,
            "notes": self.notes,
        })
    }
}
