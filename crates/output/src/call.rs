//! Events of `call()`: a function was called or returned, with its values.

use crate::decode::{DecodeError, read_u32, read_u64, slice};
use crate::number::append;
use crate::resolve::Frame;
use crate::whole::{DynamicSource, Image, Reader, Whole, write_text};
use fathom_bpf::capture::EVENT_HEADER;
use fathom_bpf::object::{CallMoment, CallValue};
use fathom_bpf::shape::Shapes;

/// A call or a return.
#[derive(Clone, Debug, PartialEq)]
pub struct CallRecord {
    /// Which of them.
    pub moment: CallMoment,
    /// When, by the boot clock.
    pub time_ns: u64,
    /// In the initial pid namespace.
    pub pid: u32,
    /// The thread.
    pub tid: u32,
    /// The goroutine; 0 when there is none.
    pub goroutine: u64,
    /// The same at a call and its return; larger for callers in the same thread or goroutine.
    pub frame: u64,
    /// Index of the attach point.
    pub point: u64,
    /// Name of the thread.
    pub comm: String,
    /// Frames of the call's stack, the innermost first; filled by who can symbolize.
    pub stack: Vec<Frame>,
    /// Arguments or results, by name.
    pub values: Vec<(String, Whole)>,
}

/// Index of the attach point that an event is of, and the instruction pointer there.
pub fn place_of_call(event: &[u8]) -> Result<(u64, u64), DecodeError> {
    Ok((read_u64(event, 40)?, read_u64(event, 48)?))
}

/// Reads an event.
pub fn decode_call(
    event: &[u8],
    moment: CallMoment,
    values: &[CallValue],
    shapes: &Shapes,
    dynamic: Option<DynamicSource<'_>>,
) -> Result<CallRecord, DecodeError> {
    let comm = slice(event, 56, 16)?;
    let end = comm.iter().position(|byte| *byte == 0);
    let comm = &comm[..end.unwrap_or(comm.len())];
    let image = Image::new(event.get(EVENT_HEADER as usize..).unwrap_or_default());
    let mut reader = Reader::new(shapes, &image, dynamic);
    let told = values.iter().enumerate().map(|(index, value)| {
        let whole = match (&value.missing, image.root(index as u32 + 1)) {
            (Some(why), _) => Whole::Missing(why.clone()),
            (None, Some(chunk)) => reader.root(value.shape, &chunk, &value.gaps),
            (None, None) => Whole::Missing("not copied".to_owned()),
        };
        (value.name.clone(), whole)
    });
    let told = told.collect();
    Ok(CallRecord {
        moment,
        time_ns: read_u64(event, 8)?,
        pid: read_u32(event, 16)?,
        tid: read_u32(event, 20)?,
        goroutine: read_u64(event, 24)?,
        frame: read_u64(event, 32)?,
        point: read_u64(event, 40)?,
        comm: String::from_utf8_lossy(comm).into_owned(),
        stack: Vec::new(),
        values: told,
    })
}

/// `name(a=1, b="x")`, or `name → 5`.
pub fn write_call(record: &CallRecord, name: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    match record.moment {
        CallMoment::Entry | CallMoment::Line => write_arguments(&record.values, out),
        CallMoment::Return => {
            out.extend_from_slice(" → ".as_bytes());
            write_results(&record.values, out);
        }
    }
}

/// `(a=1, b="x")`
pub fn write_arguments(values: &[(String, Whole)], out: &mut Vec<u8>) {
    out.push(b'(');
    for (index, (name, value)) in values.iter().enumerate() {
        let comma = if index > 0 { ", " } else { "" };
        match (name.is_empty(), value) {
            // Nothing is known of the arguments.
            (true, Whole::Missing(_)) => out.extend_from_slice(comma.as_bytes()),
            (true, _) => append(out, format_args!("{comma}_=")),
            (false, _) => append(out, format_args!("{comma}{name}=")),
        }
        write_text(value, out);
    }
    out.push(b')');
}

/// `5`, or `(5, nil)`; `()` for none.
pub fn write_results(values: &[(String, Whole)], out: &mut Vec<u8>) {
    match values {
        [(_, only)] => write_text(only, out),
        values => {
            out.push(b'(');
            for (index, (name, value)) in values.iter().enumerate() {
                out.extend_from_slice(if index > 0 { b", " } else { b"" });
                if !name.is_empty() && !name.starts_with('~') {
                    append(out, format_args!("{name}="));
                }
                write_text(value, out);
            }
            out.push(b')');
        }
    }
}
