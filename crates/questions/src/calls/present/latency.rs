//! `--latency`: for each function the percentiles and a histogram of how long its calls took.

use super::{key_text, number};
use crate::duration::show_duration;
use fathom_output::json::write_string;
use fathom_output::value::{Bucket, Histogram};
use fathom_output::{MapView, Value};
use std::collections::BTreeMap;
use std::io::Write;

/// Percentiles that are shown, in thousandths.
const PERCENTILES: [(&str, u64); 3] = [("p50", 500), ("p90", 900), ("p99", 990)];
/// Width of the longest bar.
const BAR: u64 = 40;

/// By function.
#[derive(Debug, Default)]
pub(super) struct Latencies {
    functions: BTreeMap<String, Function>,
}

#[derive(Debug, Default)]
struct Function {
    histogram: Histogram,
    longest_ns: u64,
}

impl Latencies {
    pub(super) fn histograms(&mut self, map: &MapView) {
        for row in &map.rows {
            if let (Some(key), Value::Histogram(histogram)) = (&row.key, &row.value) {
                let function = self.functions.entry(key_text(key)).or_default();
                function.histogram = histogram.clone();
            }
        }
    }

    pub(super) fn longest(&mut self, map: &MapView) {
        for row in &map.rows {
            if let Some(key) = &row.key {
                let function = self.functions.entry(key_text(key)).or_default();
                function.longest_ns = number(&row.value);
            }
        }
    }

    pub(super) fn calls(&self) -> u64 {
        self.functions.values().map(Function::count).sum()
    }

    pub(super) fn write(&self, is_json: bool, out: &mut Vec<u8>) {
        let mut functions: Vec<_> = self.functions.iter().collect();
        functions.sort_by_key(|(_, function)| std::cmp::Reverse(function.count()));
        for (index, (name, function)) in functions.into_iter().enumerate() {
            match is_json {
                true => function.write_json(name, out),
                false => {
                    out.extend_from_slice(if index > 0 { b"\n" } else { b"" });
                    function.write_text(name, out);
                }
            }
        }
    }
}

impl Function {
    fn count(&self) -> u64 {
        self.histogram
            .buckets
            .iter()
            .map(|bucket| bucket.count)
            .sum()
    }

    /// The duration that so many thousandths of the calls did not exceed; buckets are at most 3 % wide.
    fn percentile(&self, thousandths: u64) -> u64 {
        let wanted = (self.count() * thousandths).div_ceil(1000);
        let mut seen = 0;
        for bucket in &self.histogram.buckets {
            seen += bucket.count;
            if seen >= wanted {
                let high = bucket.high.unwrap_or_default().max(1) - 1;
                return u64::try_from(high).unwrap_or(u64::MAX).min(self.longest_ns);
            }
        }
        self.longest_ns
    }

    fn write_text(&self, name: &str, out: &mut Vec<u8>) {
        // A vector takes all that is written to it.
        let _ = write!(out, "{name}: {} calls", self.count());
        for (label, thousandths) in PERCENTILES {
            let _ = write!(
                out,
                ", {label} {}",
                show_duration(self.percentile(thousandths))
            );
        }
        let _ = writeln!(out, ", max {}", show_duration(self.longest_ns));
        let rows = self.powers_of_two();
        let most = rows
            .iter()
            .map(|(_, count)| *count)
            .max()
            .unwrap_or(1)
            .max(1);
        for (low, count) in rows {
            let bar = "@".repeat(usize::try_from(count * BAR / most).unwrap_or(0));
            let _ = writeln!(
                out,
                "  {:>9} … {:<9} {count:>8} |{bar:<40}|",
                show_duration(low),
                show_duration(low.saturating_mul(2).max(1)),
            );
        }
    }

    /// Lower bounds and counts, with the empty ones between.
    fn powers_of_two(&self) -> Vec<(u64, u64)> {
        let mut rows: BTreeMap<u32, u64> = BTreeMap::new();
        for Bucket { low, count, .. } in &self.histogram.buckets {
            let low = u64::try_from(low.unwrap_or(0)).unwrap_or(0);
            let power = low.checked_ilog2().map_or(0, |power| power + 1);
            *rows.entry(power).or_default() += count;
        }
        let used = || {
            rows.iter()
                .filter(|(_, count)| **count > 0)
                .map(|(power, _)| *power)
        };
        let (Some(first), Some(last)) = (used().next(), used().next_back()) else {
            return Vec::new();
        };
        (first..=last)
            .map(|power| {
                let low = power.checked_sub(1).map_or(0, |shift| 1u64 << shift);
                (low, rows.get(&power).copied().unwrap_or(0))
            })
            .collect()
    }

    fn write_json(&self, name: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"type\":\"latency\",\"function\":");
        write_string(name.as_bytes(), out);
        let _ = write!(out, ",\"calls\":{}", self.count());
        for (label, thousandths) in PERCENTILES {
            let _ = write!(out, ",\"{label}_ns\":{}", self.percentile(thousandths));
        }
        let _ = write!(out, ",\"max_ns\":{},\"histogram\":[", self.longest_ns);
        for (index, bucket) in self.histogram.buckets.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            let (low, high) = (bucket.low.unwrap_or(0), bucket.high.unwrap_or(0));
            let _ = write!(
                out,
                "{comma}{{\"from_ns\":{low},\"to_ns\":{high},\"calls\":{}}}",
                bucket.count
            );
        }
        out.extend_from_slice(b"]}\n");
    }
}
