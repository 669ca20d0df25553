//! Results of `test:` and `bench:` probes for people.

use super::{Message, TestResult};
use crate::number::append;

/// Under the heads of the table of benchmarks.
const RULE_WIDTH: usize = 66;

pub(super) fn write(message: &Message<'_>, out: &mut Vec<u8>) {
    match *message {
        Message::Tests(count) => {
            append(
                out,
                format_args!("[==========] Running {count} test{}.\n", plural(count)),
            );
        }
        Message::TestStart(name) => append(out, format_args!("[ RUN      ] {name}\n")),
        Message::TestResult(result) => write_result(&result, out),
        Message::TestsEnd { count, failed } => write_end(count, failed, out),
        Message::Benchmarks => append(
            out,
            format_args!(
                "{:<40} {:<14} {}\n{}\n",
                "Benchmark",
                "Time(ns)",
                "Iterations",
                "-".repeat(RULE_WIDTH)
            ),
        ),
        Message::BenchmarkResult {
            name,
            average_ns,
            iterations,
        } => append(
            out,
            format_args!("{name:<40} {average_ns:<14} {iterations}\n"),
        ),
        _ => {}
    }
}

/// What a test printed is shown when it failed.
fn write_result(result: &TestResult<'_>, out: &mut Vec<u8>) {
    let mark = match result.is_passed {
        true => "      OK",
        false => " FAILED ",
    };
    if !result.is_passed {
        out.extend_from_slice(result.output);
    }
    let microseconds = result.duration_ns / 1000;
    append(
        out,
        format_args!("[ {mark} ] {} ({microseconds} μs)\n", result.name),
    );
}

fn write_end(count: usize, failed: &[String], out: &mut Vec<u8>) {
    let passed = count - failed.len().min(count);
    append(
        out,
        format_args!(
            "[==========] {count} test{} ran.\n[  PASSED  ] {passed} test{}.\n",
            plural(count),
            plural(passed)
        ),
    );
    if failed.is_empty() {
        return;
    }
    append(
        out,
        format_args!(
            "[  FAILED  ] {} test{}, listed below:\n",
            failed.len(),
            plural(failed.len())
        ),
    );
    for name in failed {
        append(out, format_args!("[  FAILED  ] {name}\n"));
    }
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::printer::{OutputFormat, Printer};

    fn text(format: OutputFormat, messages: &[Message<'_>]) -> String {
        let printer = Printer::new(format, "..");
        let mut out = Vec::new();
        for message in messages {
            printer.write(message, &mut out);
        }
        String::from_utf8(out).unwrap()
    }

    fn result(name: &str, is_passed: bool) -> Message<'_> {
        Message::TestResult(TestResult {
            name,
            is_passed,
            duration_ns: 2_500,
            output: b"why\n",
        })
    }

    #[test]
    fn tests_are_listed_and_those_that_failed_again_at_the_end() {
        let failed = ["bad".to_owned()];
        let messages = [
            Message::Tests(2),
            Message::TestStart("ok"),
            result("ok", true),
            Message::TestStart("bad"),
            result("bad", false),
            Message::TestsEnd {
                count: 2,
                failed: &failed,
            },
        ];
        let expected = "[==========] Running 2 tests.\n[ RUN      ] ok\n[       OK ] ok (2 μs)\n[ RUN      ] bad\nwhy\n[  FAILED  ] bad (2 μs)\n\
            [==========] 2 tests ran.\n[  PASSED  ] 1 test.\n[  FAILED  ] 1 test, listed below:\n[  FAILED  ] bad\n";
        assert_eq!(text(OutputFormat::Text, &messages), expected);
        let json = "{\"type\": \"test_result\", \"data\": {\"ok\": {\"duration\": 2, \"passed\": true, \"output\": \"why\\n\"}}}\n";
        assert_eq!(text(OutputFormat::Json, &messages[..3]), json);
    }

    #[test]
    fn benchmarks_are_a_table() {
        let messages = [
            Message::Benchmarks,
            Message::BenchmarkResult {
                name: "two",
                average_ns: 82,
                iterations: 20_000,
            },
        ];
        let expected = format!(
            "Benchmark                                Time(ns)       Iterations\n{}\ntwo                                      82             20000\n",
            "-".repeat(66)
        );
        assert_eq!(text(OutputFormat::Text, &messages), expected);
        let json = "{\"type\": \"benchmark_result\", \"data\": {\"two\": {\"average\": 82, \"iters\": 20000}}}\n";
        assert_eq!(text(OutputFormat::Json, &messages), json);
    }
}
