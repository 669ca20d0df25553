//! Everything that is ever told to the user while a script runs, as text or as JSON lines.

use crate::call::CallRecord;
use crate::map::MapView;
use crate::value::Value;
use crate::value_text::{TextStyle, write_value};

mod json;
mod text;
mod trials;

pub(crate) use json::write_head as write_json_head;

/// `-f`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutputFormat {
    /// For people.
    #[default]
    Text,
    /// One object a line.
    Json,
}

/// Where a message belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output, or the file of `-o`.
    Output,
    /// Standard error.
    Error,
}

/// A place in the script, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position<'a> {
    /// Name of the script's file.
    pub file: &'a str,
    /// First line.
    pub line: usize,
    /// First column.
    pub column: usize,
    /// One past the last column.
    pub end_column: usize,
    /// Text of that line, for the underlined excerpt.
    pub source_line: &'a str,
}

/// One thing to tell.
#[derive(Clone, Copy, Debug)]
pub enum Message<'a> {
    /// Probes are on.
    AttachedProbes(usize),
    /// Text of `printf`.
    Printf(&'a [u8]),
    /// `print(value)`.
    Value(&'a Value),
    /// `print(@map)`, and each map at exit.
    Map(&'a MapView),
    /// `print(@map[key])`: only the value is shown.
    MapEntry {
        /// With `@`.
        map: &'a str,
        /// As in the map.
        key: &'a Value,
        /// What was found.
        value: &'a Value,
    },
    /// `call()`
    Call {
        /// What happened.
        call: &'a CallRecord,
        /// Of the attach point.
        probe: &'a str,
    },
    /// Text of `time`.
    Time(&'a [u8]),
    /// Contents of a file.
    Cat(&'a [u8]),
    /// Joined arguments, without the newline.
    Join(&'a [u8]),
    /// Output of a command.
    System(&'a [u8]),
    /// `errorf`
    Errorf {
        /// Formatted text.
        text: &'a [u8],
        /// Of the call.
        position: Position<'a>,
    },
    /// `warnf`
    Warnf {
        /// Formatted text.
        text: &'a [u8],
        /// Of the call.
        position: Position<'a>,
    },
    /// A kernel helper failed.
    HelperError {
        /// Its name.
        helper: &'a str,
        /// What it returned.
        return_code: i64,
        /// What that means for the script.
        text: &'a str,
        /// Of the call.
        position: Position<'a>,
    },
    /// The buffer was full.
    LostEvents(u64),
    /// The kernel came by a probe and did not run its program.
    MissedHits {
        /// Its name.
        probe: &'a str,
        /// How often.
        hits: u64,
    },
    /// So many `test:` probes are about to run.
    Tests(usize),
    /// One of them starts.
    TestStart(&'a str),
    /// One of them ended.
    TestResult(TestResult<'a>),
    /// All of them ended.
    TestsEnd {
        /// How many there were.
        count: usize,
        /// Names of those that failed.
        failed: &'a [String],
    },
    /// `bench:` probes are about to run.
    Benchmarks,
    /// One of them ended.
    BenchmarkResult {
        /// Of the probe.
        name: &'a str,
        /// Of one run, in the kernel.
        average_ns: u64,
        /// How often it ran.
        iterations: u64,
    },
    /// The probes are off; results of maps follow.
    End,
}

/// What became of a `test:` probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TestResult<'a> {
    /// Of the probe.
    pub name: &'a str,
    /// It returned 0.
    pub is_passed: bool,
    /// How long it ran.
    pub duration_ns: u64,
    /// What it printed.
    pub output: &'a [u8],
}

/// A form in which messages reach their reader.
pub trait Present {
    /// Appends the message and says where it belongs.
    fn write(&mut self, message: &Message<'_>, out: &mut Vec<u8>) -> Stream;

    /// Whether the text of a `printf` is passed on as it is.
    fn is_plain(&self) -> bool;
}

/// Writes messages in one format.
#[derive(Clone, Debug, Default)]
pub struct Printer {
    /// Which.
    pub format: OutputFormat,
    /// Details of the text form.
    pub style: TextStyle,
}

impl Printer {
    /// `trailer` is put behind strings that were cut.
    pub fn new(format: OutputFormat, trailer: &str) -> Printer {
        Printer {
            format,
            style: TextStyle {
                trailer: trailer.to_owned(),
            },
        }
    }

    /// Appends the message and says where it belongs.
    pub fn write(&self, message: &Message<'_>, out: &mut Vec<u8>) -> Stream {
        match self.format {
            OutputFormat::Text => text::write(message, &self.style, out),
            OutputFormat::Json => json::write(message, &self.style, out),
        }
    }

    /// The text form of a value, as `%s` shows it.
    pub fn text_of(&self, value: &Value) -> String {
        let mut out = Vec::new();
        write_value(value, &self.style, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }
}

impl Present for Printer {
    fn write(&mut self, message: &Message<'_>, out: &mut Vec<u8>) -> Stream {
        Printer::write(self, message, out)
    }

    fn is_plain(&self) -> bool {
        self.format == OutputFormat::Text
    }
}

/// Of whoever keeps it.
impl<P: Present + ?Sized> Present for Box<P> {
    fn write(&mut self, message: &Message<'_>, out: &mut Vec<u8>) -> Stream {
        (**self).write(message, out)
    }

    fn is_plain(&self) -> bool {
        (**self).is_plain()
    }
}
