//! Messages for people.

use super::{Message, Position, Stream, trials};
use crate::call::write_call;
use crate::map_text::write_map;
use crate::number::append;
use crate::value_text::{TextStyle, write_value};

pub(super) fn write(message: &Message<'_>, style: &TextStyle, out: &mut Vec<u8>) -> Stream {
    match *message {
        Message::AttachedProbes(count) => {
            let plural = if count == 1 { "" } else { "s" };
            append(out, format_args!("Attached {count} probe{plural}\n"));
            return Stream::Error;
        }
        Message::Printf(text)
        | Message::Time(text)
        | Message::Cat(text)
        | Message::System(text) => {
            out.extend_from_slice(text);
        }
        Message::Join(text) => {
            out.extend_from_slice(text);
            out.push(b'\n');
        }
        Message::Value(value) | Message::MapEntry { value, .. } => {
            write_value(value, style, out);
            out.push(b'\n');
        }
        Message::Call { call, probe } => {
            write_call(call, probe, out);
            out.push(b'\n');
        }
        Message::Map(map) => write_map(map, style, out),
        Message::Errorf { text, position } => {
            write_positioned("ERROR", text, position, out);
            return Stream::Error;
        }
        Message::Warnf { text, position } => {
            write_positioned("WARNING", text, position, out);
            return Stream::Error;
        }
        Message::HelperError {
            helper,
            return_code,
            text,
            position,
        } => {
            write_positioned("WARNING", text.as_bytes(), position, out);
            write_excerpt(position, out);
            append(
                out,
                format_args!("Additional Info - helper: {helper}, retcode: {return_code}\n"),
            );
            return Stream::Error;
        }
        Message::LostEvents(count) => {
            append(out, format_args!("Lost {count} events\n"));
            return Stream::Error;
        }
        Message::MissedHits { probe, hits } => {
            let plural = if hits == 1 { "" } else { "s" };
            append(out, format_args!("Missed {hits} hit{plural} of {probe}\n"));
            return Stream::Error;
        }
        Message::Tests(_)
        | Message::TestStart(_)
        | Message::TestResult(_)
        | Message::TestsEnd { .. }
        | Message::Benchmarks
        | Message::BenchmarkResult { .. } => trials::write(message, out),
        Message::End => out.extend_from_slice(b"\n\n"),
    }
    Stream::Output
}

fn write_positioned(kind: &str, text: &[u8], position: Position<'_>, out: &mut Vec<u8>) {
    let Position {
        file,
        line,
        column,
        end_column,
        ..
    } = position;
    append(
        out,
        format_args!("{file}:{line}:{column}-{end_column}: {kind}: "),
    );
    out.extend_from_slice(text);
    out.push(b'\n');
}

/// The line of the script with the place underlined.
fn write_excerpt(position: Position<'_>, out: &mut Vec<u8>) {
    append(
        out,
        format_args!(
            "{}\n{:blank$}{:~<marked$}\n",
            position.source_line,
            "",
            "",
            blank = position.column.saturating_sub(1),
            marked = position.end_column.saturating_sub(position.column),
        ),
    );
}
