//! Rows of results: printed as they come, and kept for a page.

use std::fmt::Write as _;
use std::process::Command;

use anyhow::Result;

use super::tool::Bench;
use crate::process;

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Shown in milliseconds.
    Seconds,
    /// Shown in MB (10^6).
    Bytes,
    /// Of CPU time in the kernel.
    Nanoseconds,
    /// A second.
    PerSecond,
    /// Of a whole.
    Share,
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Unit::Seconds => format!("{:.1} ms", value * 1e3),
            Unit::Bytes => format!("{:.1} MB", value / 1e6),
            Unit::Nanoseconds => format!("{value:.0} ns"),
            Unit::PerSecond => format!("{value:.0}/s"),
            Unit::Share => format!("{:.1} %", value * 100.0),
        }
    }
}

/// All rows so far, as Markdown.
#[derive(Default)]
pub struct Table {
    text: String,
}

impl Table {
    /// A new table under a heading.
    pub fn start(&mut self, heading: &str) {
        self.line(&format!("\n## {heading}\n"));
        self.line("| what | fathom | bpftrace 0.27 | ratio | goal |");
        self.line("|---|---:|---:|---:|---|");
    }

    /// A row; the peer may have no number. The goal is in words.
    pub fn row(&mut self, what: &str, unit: Unit, ours: f64, theirs: Option<f64>, goal: &str) {
        let their = theirs.map_or("–".to_owned(), |value| unit.show(value));
        let ratio = theirs.filter(|value| *value > 0.0);
        let ratio = ratio.map_or("–".to_owned(), |value| format!("{:.3}", ours / value));
        self.line(&format!(
            "| {what} | {} | {their} | {ratio} | {goal} |",
            unit.show(ours)
        ));
    }

    /// A row that is words.
    pub fn note(&mut self, what: &str, text: &str) {
        self.line(&format!("| {what} | {text} | | | |"));
    }

    fn line(&mut self, line: &str) {
        println!("{line}");
        let _ = writeln!(self.text, "{line}");
    }

    /// The page for `docs/`.
    pub fn page(&self, bench: &Bench) -> Result<String> {
        let kernel = process::output(Command::new("uname").arg("-r"))?;
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(format!(
            "# Benchmarks\n\nMeasured by `make bench` with both tools in one run: Linux {}, {cpus} CPUs, medians of {} runs.\n\
             bpftrace is Debian sid's 0.27.1, run in a chroot (the chroot's own start is subtracted). Cost per event is the\n\
             kernel's `run_time_ns / run_cnt`; on this machine a program that does nothing counts as the row *nothing* says, so no\n\
             program can come below that.\n{}",
            kernel.trim(),
            bench.runs,
            self.text
        ))
    }
}

/// The middle of some numbers.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_ignores_outliers() {
        assert_eq!(median(vec![3.0, 1000.0, 1.0]), 3.0);
        assert!(median(Vec::new()).is_nan());
    }

    #[test]
    fn rows_show_units_and_ratios() {
        let mut table = Table::default();
        table.row("start", Unit::Seconds, 0.005, Some(0.5), "20 ms");
        table.row("list", Unit::Bytes, 2e6, None, "");
        assert_eq!(
            table.text,
            "| start | 5.0 ms | 500.0 ms | 0.010 | 20 ms |\n| list | 2.0 MB | – | – |  |\n"
        );
    }
}
