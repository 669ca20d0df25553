//! Calls for people and for programs: one line each, or a table at the end.

mod json;
mod latency;

use super::pairing::{Call, Pairing};
use super::template::Template;
use crate::duration::show_duration;
use fathom_bpf::layout::StackMode;
use fathom_output::call::{write_arguments, write_results};
use fathom_output::printer::{OutputFormat, Printer};
use fathom_output::stack::write_frame;
use fathom_output::{Align, MapView, Message, Present, Stream, Table, TableStyle, Value};
use latency::Latencies;
use std::io::Write;

/// Text or JSON, and what the text looks like.
#[derive(Clone, Debug, Default)]
pub struct Format {
    /// One object a line.
    pub is_json: bool,
    /// Names of functions stand out.
    pub is_coloured: bool,
    /// `--print`
    pub template: Option<Template>,
    /// Added to times of the boot clock to get the time of day.
    pub boot_to_unix_ns: i64,
}

/// Before the frames of a stack.
const FRAME_INDENT: &[u8] = b"                                     ";

/// What was seen in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Calls that were shown or counted.
    pub calls: u64,
    /// Of those, calls that had not returned at the end.
    pub under_way: u64,
    /// Calls that ended without a return that could be seen.
    pub unreturned: u64,
    /// Returns of calls that began before the start.
    pub begun_before: u64,
    /// Calls and returns that were lost, as the buffer was full or there were too many to remember.
    pub lost: u64,
}

/// Shows a session of `fathom calls`.
pub struct Presenter<'p> {
    format: Format,
    /// The time of day for nanoseconds since 1970.
    clock: Box<dyn Fn(i64) -> String + 'p>,
    /// Called when so many calls were shown.
    limit: Option<(u64, Box<dyn Fn() + 'p>)>,
    plain: Printer,
    pairing: Pairing,
    latencies: Latencies,
    totals: Totals,
    has_header: bool,
}

impl<'p> Presenter<'p> {
    /// `clock` gives the time of day.
    pub fn new(format: Format, clock: impl Fn(i64) -> String + 'p) -> Presenter<'p> {
        let output = match format.is_json {
            true => OutputFormat::Json,
            false => OutputFormat::Text,
        };
        Presenter {
            plain: Printer::new(output, ".."),
            format,
            clock: Box::new(clock),
            limit: None,
            pairing: Pairing::default(),
            latencies: Latencies::default(),
            totals: Totals::default(),
            has_header: false,
        }
    }

    /// Stops by `stop` when so many calls were shown.
    pub fn limit(mut self, count: u64, stop: impl Fn() + 'p) -> Presenter<'p> {
        self.limit = Some((count, Box::new(stop)));
        self
    }

    /// What was seen so far.
    pub fn totals(&self) -> Totals {
        Totals {
            unreturned: self.pairing.unreturned,
            begun_before: self.pairing.begun_before,
            lost: self.totals.lost + self.pairing.forgotten,
            ..self.totals
        }
    }

    fn is_over(&self) -> bool {
        let limit = self.limit.as_ref();
        limit.is_some_and(|(limit, _)| self.totals.calls >= *limit)
    }

    fn call(&mut self, call: &Call, function: &str, out: &mut Vec<u8>) {
        if self.is_over() {
            return;
        }
        self.totals.calls += 1;
        if let Some((_, stop)) = self.limit.as_ref().filter(|_| self.is_over()) {
            stop();
        }
        match (&self.format.template, self.format.is_json) {
            (Some(template), _) => {
                template.render(call, function, out);
                out.push(b'\n');
            }
            (None, true) => json::write_call(call, function, self.unix_ns(call), out),
            (None, false) => self.line(call, function, out),
        }
    }

    fn unix_ns(&self, call: &Call) -> i64 {
        (call.entry.time_ns as i64).saturating_add(self.format.boot_to_unix_ns)
    }

    fn line(&mut self, call: &Call, function: &str, out: &mut Vec<u8>) {
        if !self.has_header {
            self.has_header = true;
            out.extend_from_slice(b"TIME             PID      TID      CALL\n");
        }
        let entry = &call.entry;
        let time = (self.clock)(self.unix_ns(call));
        let thread = match entry.goroutine {
            0 => entry.tid.to_string(),
            goroutine => format!("g{goroutine}"),
        };
        let (on, off) = match self.format.is_coloured {
            true => ("\x1b[1m", "\x1b[0m"),
            false => ("", ""),
        };
        // A vector takes all that is written to it.
        let _ = write!(
            out,
            "{time:15}  {:<7}  {thread:<7}  {on}{function}{off}",
            entry.pid
        );
        write_arguments(&entry.values, out);
        if let Some(exit) = &call.exit {
            out.extend_from_slice(" → ".as_bytes());
            write_results(&exit.values, out);
        }
        if let Some(duration) = call.duration_ns() {
            let _ = write!(out, "  {}", show_duration(duration));
        }
        out.push(b'\n');
        for frame in &entry.stack {
            out.extend_from_slice(FRAME_INDENT);
            write_frame(frame, StackMode::Bpftrace, out);
            out.push(b'\n');
        }
    }

    /// Calls that have not returned when all ends.
    fn end(&mut self, out: &mut Vec<u8>) {
        let open = self.pairing.take_open();
        self.totals.under_way = open.len() as u64;
        for (function, call) in open {
            self.call(&call, &function, out);
        }
    }

    fn map(&mut self, map: &MapView, out: &mut Vec<u8>) {
        match map.name.as_str() {
            "@calls" => self.counts(map, out),
            "@latency" => self.latencies.histograms(map),
            "@longest" => {
                self.latencies.longest(map);
                self.totals.calls += self.latencies.calls();
                self.latencies.write(self.format.is_json, out);
            }
            _ => {}
        }
    }

    fn counts(&mut self, map: &MapView, out: &mut Vec<u8>) {
        let mut rows: Vec<(String, u64)> = map
            .rows
            .iter()
            .map(|row| {
                (
                    row.key.as_ref().map_or_else(String::new, key_text),
                    number(&row.value),
                )
            })
            .collect();
        rows.sort_by(|(a_name, a), (b_name, b)| b.cmp(a).then_with(|| a_name.cmp(b_name)));
        self.totals.calls += rows.iter().map(|(_, count)| count).sum::<u64>();
        if self.format.is_json {
            for (function, count) in rows {
                json::write_count(&function, count, out);
            }
            return;
        }
        let mut table = Table::new(&[("CALLS", Align::Right), ("FUNCTION", Align::Left)]);
        for (function, count) in rows {
            table.row([count.to_string(), function]);
        }
        out.extend_from_slice(
            table
                .render(TableStyle {
                    width: None,
                    has_color: self.format.is_coloured,
                })
                .as_bytes(),
        );
    }
}

impl Present for Presenter<'_> {
    fn write(&mut self, message: &Message<'_>, out: &mut Vec<u8>) -> Stream {
        match message {
            // What still comes in when the limit was reached is nobody's.
            Message::Call { .. } | Message::End if self.is_over() => {}
            Message::Call { call, probe } => {
                let function = function_of(probe);
                for call in self.pairing.add(function, (*call).clone()) {
                    self.call(&call, function, out);
                }
            }
            Message::End => self.end(out),
            Message::Map(map) => self.map(map, out),
            Message::LostEvents(count) => self.totals.lost += count,
            // The end says what was attached.
            Message::AttachedProbes(_) => {}
            other => return self.plain.write(other, out),
        }
        Stream::Output
    }

    fn is_plain(&self) -> bool {
        !self.format.is_json
    }
}

/// The function in an attach point's name: `uprobe:/bin/x:f`, `uretprobe:/bin/x:cpp:ns::f`, `uprobe:/bin/x:file.c:12`.
pub fn function_of(probe: &str) -> &str {
    let behind_provider = probe.split_once(':').map_or(probe, |(_, rest)| rest);
    let function = behind_provider
        .split_once(':')
        .map_or(behind_provider, |(_, rest)| rest);
    function.strip_prefix("cpp:").unwrap_or(function)
}

fn key_text(key: &Value) -> String {
    let text = Printer::default().text_of(key);
    function_of(&text).to_owned()
}

fn number(value: &Value) -> u64 {
    match value {
        Value::Uint(number) => *number,
        Value::Int(number) => (*number).max(0) as u64,
        _ => 0,
    }
}
