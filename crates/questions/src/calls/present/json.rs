//! One object a line; the fields are documented in docs/calls.md.

use super::super::pairing::Call;
use fathom_bpf::layout::StackMode;
use fathom_output::json::{write_number, write_string};
use fathom_output::stack::write_frame;
use fathom_output::whole::{Whole, write_json};
use std::io::Write;

/// `{"time_ns": …, "pid": …, "function": …, "args": {…}, "result": …, "duration_ns": …}`
pub(super) fn write_call(call: &Call, function: &str, unix_ns: i64, out: &mut Vec<u8>) {
    let entry = &call.entry;
    // A vector takes all that is written to it.
    let _ = write!(
        out,
        "{{\"type\":\"call\",\"time_ns\":\"{unix_ns}\",\"pid\":{},\"tid\":{},\"comm\":",
        entry.pid, entry.tid
    );
    write_string(entry.comm.as_bytes(), out);
    if entry.goroutine != 0 {
        let _ = write!(out, ",\"goroutine\":{}", entry.goroutine);
    }
    out.extend_from_slice(b",\"function\":");
    write_string(function.as_bytes(), out);
    out.extend_from_slice(b",\"args\":");
    write_named(&entry.values, out);
    if let Some(exit) = &call.exit {
        out.extend_from_slice(b",\"result\":");
        match exit.values.as_slice() {
            [] => out.extend_from_slice(b"null"),
            [(_, only)] => write_json(only, out),
            several => write_list(several, out),
        }
    }
    if let Some(duration) = call.duration_ns() {
        out.extend_from_slice(b",\"duration_ns\":");
        write_number(i128::from(duration), out);
    }
    if !entry.stack.is_empty() {
        out.extend_from_slice(b",\"stack\":[");
        for (index, frame) in entry.stack.iter().enumerate() {
            out.extend_from_slice(if index > 0 { b"," } else { b"" });
            let mut text = Vec::new();
            write_frame(frame, StackMode::Bpftrace, &mut text);
            write_string(&text, out);
        }
        out.push(b']');
    }
    out.extend_from_slice(b"}\n");
}

/// `{"type": "count", "function": …, "calls": …}`
pub(super) fn write_count(function: &str, count: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"type\":\"count\",\"function\":");
    write_string(function.as_bytes(), out);
    let _ = writeln!(out, ",\"calls\":{count}}}");
}

fn write_named(values: &[(String, Whole)], out: &mut Vec<u8>) {
    out.push(b'{');
    for (index, (name, value)) in values.iter().enumerate() {
        out.extend_from_slice(if index > 0 { b"," } else { b"" });
        write_string(name.as_bytes(), out);
        out.push(b':');
        write_json(value, out);
    }
    out.push(b'}');
}

fn write_list(values: &[(String, Whole)], out: &mut Vec<u8>) {
    out.push(b'[');
    for (index, (_, value)) in values.iter().enumerate() {
        out.extend_from_slice(if index > 0 { b"," } else { b"" });
        write_json(value, out);
    }
    out.push(b']');
}
