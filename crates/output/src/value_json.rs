//! The JSON form of every value.

use crate::json::{write_number, write_string};
use crate::number::append;
use crate::value::{Bucket, Histogram, Series, Summary, Value};
use crate::value_text::{TextStyle, write_value};

/// Appends the JSON form.
pub fn write_json(value: &Value, style: &TextStyle, out: &mut Vec<u8>) {
    match value {
        Value::None => out.extend_from_slice(b"null"),
        Value::Bool(truth) => append(out, format_args!("{truth}")),
        Value::Int(number) | Value::Enum { number, .. } => write_number(i128::from(*number), out),
        Value::Uint(number) => write_number(i128::from(*number), out),
        Value::Pointer(address) => write_number(i128::from(*address), out),
        Value::Buffer(bytes) => write_list(bytes.iter(), out, |byte, out| {
            append(out, format_args!("{byte}"));
        }),
        Value::Array(elements) | Value::Tuple(elements) => {
            write_list(elements.iter(), out, |element, out| {
                write_json(element, style, out);
            });
        }
        Value::Record(fields) => write_record(fields, style, out),
        Value::Average(summary) => write_number(summary.shown_average(), out),
        Value::Stats(summary) => write_stats(summary, out),
        Value::Histogram(histogram) => write_histogram(histogram, out),
        Value::Series(series) => write_series(series, out),
        _ => {
            let mut text = Vec::new();
            write_value(value, style, &mut text);
            write_string(&text, out);
        }
    }
}

/// Appends `[a,b]`.
pub(crate) fn write_list<T>(
    elements: impl Iterator<Item = T>,
    out: &mut Vec<u8>,
    mut write: impl FnMut(T, &mut Vec<u8>),
) {
    out.push(b'[');
    for (index, element) in elements.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(element, out);
    }
    out.push(b']');
}

fn write_record(fields: &[(String, Value)], style: &TextStyle, out: &mut Vec<u8>) {
    out.push(b'{');
    for (index, (name, value)) in fields.iter().enumerate() {
        if index > 0 {
            out.extend_from_slice(b", ");
        }
        write_string(name.as_bytes(), out);
        out.extend_from_slice(b": ");
        write_json(value, style, out);
    }
    out.push(b'}');
}

fn write_stats(summary: &Summary, out: &mut Vec<u8>) {
    append(out, format_args!("{{\"count\": "));
    write_number(i128::from(summary.count), out);
    append(out, format_args!(", \"average\": "));
    write_number(summary.shown_average(), out);
    append(out, format_args!(", \"total\": "));
    write_number(summary.total(), out);
    out.push(b'}');
}

/// Bounds are closed: the last value of a bucket, not the first above it.
fn write_histogram(histogram: &Histogram, out: &mut Vec<u8>) {
    write_list(histogram.buckets.iter(), out, |bucket: &Bucket, out| {
        out.push(b'{');
        if let Some(low) = bucket.low {
            append(out, format_args!("\"min\": "));
            write_number(low, out);
            out.extend_from_slice(b", ");
        }
        if let Some(high) = bucket.high {
            append(out, format_args!("\"max\": "));
            write_number(high - 1, out);
            out.extend_from_slice(b", ");
        }
        append(out, format_args!("\"count\": "));
        write_number(i128::from(bucket.count), out);
        out.push(b'}');
    });
}

fn write_series(series: &Series, out: &mut Vec<u8>) {
    let points = series.points.iter();
    let with_values = points.filter_map(|point| Some((point, point.value?)));
    write_list(with_values, out, |(point, value), out| {
        let nanoseconds = point.unix_ns.rem_euclid(1_000_000_000);
        let time = &point.local_time;
        let object =
            format_args!("{{\"interval_start\":\"{time}.{nanoseconds:09}\",\"value\":{value}}}");
        append(out, object);
    });
}
