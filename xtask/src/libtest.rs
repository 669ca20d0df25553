//! Reads what Rust's test programs print and turns it into one result a test.
//!
//! ```text
//! test ring_buffer ... ok
//! test kprobe_args ... FAILED
//! successes:
//! ---- ring_buffer stdout ----
//! skipped: needs Linux 5.8
//! failures:
//! ---- kprobe_args stdout ----
//! thread 'kprobe_args' panicked at …
//! test result: FAILED. 1 passed; 1 failed; …
//! ```

use std::fmt;

use anyhow::{Result, bail};

/// How a test ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It passed.
    Passed,
    /// It passed over its subject and said why.
    Skipped(String),
    /// It failed, or did not end.
    Failed(String),
}

/// One test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestResult {
    /// Its name.
    pub name: String,
    /// How it ended.
    pub outcome: Outcome,
    /// What it printed, where the harness showed it.
    pub output: String,
}

impl fmt::Display for TestResult {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match &self.outcome {
            Outcome::Passed => write!(f, "{} ... ok", self.name),
            Outcome::Skipped(why) => write!(f, "{} ... skipped: {why}", self.name),
            Outcome::Failed(why) => write!(f, "{} ... {why}", self.name),
        }
    }
}

/// Results added up.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Tests that passed.
    pub passed: usize,
    /// Tests that failed.
    pub failed: usize,
    /// Tests that said they were skipped.
    pub skipped: usize,
}

impl Tally {
    /// Counts `results`.
    pub fn of(results: &[TestResult]) -> Tally {
        let mut tally = Tally::default();
        for result in results {
            match result.outcome {
                Outcome::Passed => tally.passed += 1,
                Outcome::Skipped(_) => tally.skipped += 1,
                Outcome::Failed(_) => tally.failed += 1,
            }
        }
        tally
    }

    /// Adds another tally.
    pub fn add(&mut self, other: Tally) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    /// An error if something failed or nothing ran.
    pub fn into_result(self) -> Result<()> {
        match self {
            Tally {
                failed: 0,
                passed: 0,
                skipped: 0,
            } => bail!("no test ran"),
            Tally { failed: 0, .. } => Ok(()),
            Tally { failed: 1, .. } => bail!("a test failed"),
            Tally { failed, .. } => bail!("{failed} tests failed"),
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 {
            write!(f, ", {} skipped", self.skipped)?;
        }
        Ok(())
    }
}

/// Reads the output of one test program that ended as `ending` says (`None`: by itself, with success).
pub fn parse(program: &str, text: &str, ending: Option<&str>) -> Vec<TestResult> {
    let mut results: Vec<TestResult> = Vec::new();
    let mut unfinished: Option<String> = None;
    let mut section: Option<String> = None;
    for line in text.lines().map(|line| line.trim_end_matches('\r')) {
        if let Some(name) = line
            .strip_prefix("---- ")
            .and_then(|rest| rest.strip_suffix(" stdout ----"))
        {
            section = Some(name.to_owned());
        } else if line == "successes:" || line == "failures:" || line.starts_with("test result: ") {
            section = None;
        } else if let Some(name) = &section {
            append(&mut results, name, line);
        } else if let Some((name, verdict)) = split_verdict(line) {
            match outcome(verdict) {
                Some(outcome) => results.push(TestResult {
                    name,
                    outcome,
                    output: String::new(),
                }),
                None => unfinished = Some(name),
            }
        } else if let (Some(outcome), Some(name)) = (outcome(line), unfinished.clone()) {
            // Something else printed between the name and the verdict.
            unfinished = None;
            results.push(TestResult {
                name,
                outcome,
                output: String::new(),
            });
        }
    }
    results.iter_mut().for_each(note_skip);
    let failed = results
        .iter()
        .any(|result| matches!(result.outcome, Outcome::Failed(_)));
    match (unfinished, ending) {
        (Some(name), why) => results.push(broken(name, why.unwrap_or("no verdict"), text)),
        (None, Some(why)) if !failed => {
            results.push(broken(format!("{program} as a whole"), why, text))
        }
        (None, None) if !text.contains("test result: ") => {
            results.push(broken(format!("{program} as a whole"), "no result", text))
        }
        _ => {}
    }
    results
}

fn broken(name: String, why: &str, text: &str) -> TestResult {
    TestResult {
        name,
        outcome: Outcome::Failed(why.to_owned()),
        output: crate::process::tail(text, 40),
    }
}

/// `test NAME ... VERDICT`, the verdict maybe still missing.
fn split_verdict(line: &str) -> Option<(String, &str)> {
    let (name, verdict) = line.strip_prefix("test ")?.split_once(" ...")?;
    Some((
        name.trim_end_matches(" - should panic").to_owned(),
        verdict.trim(),
    ))
}

fn outcome(verdict: &str) -> Option<Outcome> {
    match verdict.split([',', ' ']).next()? {
        "ok" => Some(Outcome::Passed),
        "ignored" => Some(Outcome::Skipped("marked to be ignored".to_owned())),
        "FAILED" => Some(Outcome::Failed("FAILED".to_owned())),
        _ => None,
    }
}

fn append(results: &mut [TestResult], name: &str, line: &str) {
    if let Some(result) = results.iter_mut().find(|result| result.name == name) {
        result.output.push_str(line);
        result.output.push('\n');
    }
}

fn note_skip(result: &mut TestResult) {
    if result.outcome == Outcome::Passed
        && let Some(why) = result
            .output
            .lines()
            .find_map(|line| line.strip_prefix("skipped: "))
    {
        result.outcome = Outcome::Skipped(why.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, ending: Option<&str>, expected: &[&str]) {
        let shown: Vec<String> = parse("prog", text, ending)
            .iter()
            .map(TestResult::to_string)
            .collect();
        assert_eq!(shown, expected);
    }

    #[test]
    fn one_result_a_test() {
        let text = "running 3 tests\ntest a ... ok\ntest b::c ... FAILED\ntest d ... ok\n\nsuccesses:\n\n---- d stdout ----\n\
                    skipped: needs root\n\n\nsuccesses:\n    a\n    d\n\nfailures:\n\n---- b::c stdout ----\nwhy\n\n\
                    failures:\n    b::c\n\ntest result: FAILED. 2 passed; 1 failed; 0 ignored\n";
        check(
            text,
            Some("exit 101"),
            &["a ... ok", "b::c ... FAILED", "d ... skipped: needs root"],
        );
        assert_eq!(parse("prog", text, Some("exit 101"))[1].output, "why\n\n");
    }

    #[test]
    fn a_test_that_never_ended_is_named() {
        check(
            "test a ... ok\ntest b ... ",
            Some("hung"),
            &["a ... ok", "b ... hung"],
        );
        check(
            "test b ... noise\nok\ntest result: ok.",
            None,
            &["b ... ok"],
        );
    }

    #[test]
    fn a_program_that_dies_outside_a_test_counts_as_a_failure() {
        check(
            "running 1 test\ntest a ... ok\n",
            Some("exit 139"),
            &["a ... ok", "prog as a whole ... exit 139"],
        );
        check("", None, &["prog as a whole ... no result"]);
    }

    #[test]
    fn a_tally_fails_when_nothing_ran() {
        assert!(Tally::default().into_result().is_err());
        assert!(
            Tally {
                failed: 1,
                passed: 2,
                skipped: 0
            }
            .into_result()
            .is_err()
        );
        assert!(
            Tally {
                skipped: 1,
                ..Tally::default()
            }
            .into_result()
            .is_ok()
        );
        assert_eq!(
            Tally {
                passed: 2,
                failed: 0,
                skipped: 1
            }
            .to_string(),
            "2 passed, 0 failed, 1 skipped"
        );
    }
}
