//! Messages for programs: one JSON object a line.

use super::{Message, Position, Stream};
use crate::call::CallRecord;
use crate::json::write_string;
use crate::map_json::write_map;
use crate::number::append;
use crate::value_json::write_json;
use crate::value_text::TextStyle;
use crate::whole::write_json as write_whole;
use fathom_bpf::object::CallMoment;

pub(super) fn write(message: &Message<'_>, style: &TextStyle, out: &mut Vec<u8>) -> Stream {
    match *message {
        Message::AttachedProbes(count) => append(
            out,
            format_args!(
                "{{\"type\": \"attached_probes\", \"count\": {count}, \"data\": {{\"probes\": {count}}}}}\n"
            ),
        ),
        Message::Printf(text) => write_text("printf", text, out),
        Message::Time(text) => write_text("time", text, out),
        Message::Cat(text) => write_text("cat", text, out),
        Message::Join(text) => write_text("join", text, out),
        Message::System(text) => write_text("syscall", text, out),
        Message::Value(value) | Message::MapEntry { value, .. } => {
            write_head("value", out);
            write_json(value, style, out);
            out.extend_from_slice(b"}\n");
        }
        Message::Call { call, probe } => write_call(call, probe, out),
        Message::Map(map) => write_map(map, style, out),
        Message::Errorf { text, position } => write_positioned("errorf", text, position, out),
        Message::Warnf { text, position } => write_positioned("warnf", text, position, out),
        Message::HelperError {
            helper,
            return_code,
            text,
            position,
        } => {
            write_message("helper_error", text.as_bytes(), out);
            out.extend_from_slice(b", \"helper\": ");
            write_string(helper.as_bytes(), out);
            append(out, format_args!(", \"retcode\": {return_code}"));
            write_position(position, out);
        }
        Message::LostEvents(count) => {
            append(
                out,
                format_args!("{{\"type\": \"lost_events\", \"data\": {{\"events\": {count}}}}}\n"),
            );
        }
        Message::MissedHits { probe, hits } => {
            write_head("missed_hits", out);
            out.extend_from_slice(b"{\"probe\": ");
            write_string(probe.as_bytes(), out);
            append(out, format_args!(", \"hits\": {hits}}}}}\n"));
        }
        Message::TestResult(result) => {
            write_named("test_result", result.name, out);
            let duration = result.duration_ns / 1000;
            let passed = result.is_passed;
            append(
                out,
                format_args!("{{\"duration\": {duration}, \"passed\": {passed}, \"output\": "),
            );
            write_string(result.output, out);
            out.extend_from_slice(b"}}}\n");
        }
        Message::BenchmarkResult {
            name,
            average_ns,
            iterations,
        } => {
            write_named("benchmark_result", name, out);
            append(
                out,
                format_args!("{{\"average\": {average_ns}, \"iters\": {iterations}}}}}}}\n"),
            );
        }
        // What only frames the results.
        Message::Tests(_)
        | Message::TestStart(_)
        | Message::TestsEnd { .. }
        | Message::Benchmarks
        | Message::End => {}
    }
    Stream::Output
}

pub(crate) fn write_head(kind: &str, out: &mut Vec<u8>) {
    append(out, format_args!("{{\"type\": \"{kind}\", \"data\": "));
}

/// Up to the value of the object's one field.
fn write_named(kind: &str, name: &str, out: &mut Vec<u8>) {
    write_head(kind, out);
    out.push(b'{');
    write_string(name.as_bytes(), out);
    out.extend_from_slice(b": ");
}

fn write_text(kind: &str, text: &[u8], out: &mut Vec<u8>) {
    write_head(kind, out);
    write_string(text, out);
    out.extend_from_slice(b"}\n");
}

fn write_positioned(kind: &str, text: &[u8], position: Position<'_>, out: &mut Vec<u8>) {
    write_message(kind, text, out);
    write_position(position, out);
}

fn write_message(kind: &str, text: &[u8], out: &mut Vec<u8>) {
    append(out, format_args!("{{\"type\": \"{kind}\", \"msg\": "));
    write_string(text, out);
}

/// The rest of the line.
fn write_position(position: Position<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b", \"filename\": ");
    write_string(position.file.as_bytes(), out);
    append(
        out,
        format_args!(
            ", \"line\": {}, \"col\": {}}}\n",
            position.line, position.column
        ),
    );
}

/// One object with the names of values as keys.
fn write_call(call: &CallRecord, probe: &str, out: &mut Vec<u8>) {
    write_head("call", out);
    out.extend_from_slice(b"{\"probe\":");
    write_string(probe.as_bytes(), out);
    let moment = match call.moment {
        CallMoment::Entry => "entry",
        CallMoment::Return => "return",
        CallMoment::Line => "line",
    };
    append(
        out,
        format_args!(
            ",\"moment\":\"{moment}\",\"pid\":{},\"tid\":{}",
            call.pid, call.tid
        ),
    );
    if call.goroutine != 0 {
        append(out, format_args!(",\"goroutine\":{}", call.goroutine));
    }
    out.extend_from_slice(b",\"values\":{");
    for (index, (name, value)) in call.values.iter().enumerate() {
        out.extend_from_slice(if index > 0 { b"," } else { b"" });
        write_string(name.as_bytes(), out);
        out.push(b':');
        write_whole(value, out);
    }
    out.extend_from_slice(b"}}}\n");
}
