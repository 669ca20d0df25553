//! The order of a map's rows.

use crate::map::MapRow;
use crate::value::Value;
use std::cmp::Ordering;

/// Sorts ascending: by value where that is a number or an aggregation, else by key. Equal rows are ordered by key.
pub(crate) fn sort(rows: &mut [(&[u8], MapRow)]) {
    let by_value = rows.iter().all(|(_, row)| rank(&row.value).is_some());
    rows.sort_by(|(left_key, left), (right_key, right)| {
        let values = match by_value {
            true => rank(&left.value).cmp(&rank(&right.value)),
            false => Ordering::Equal,
        };
        values
            .then_with(|| compare_keys(&left.key, &right.key))
            .then_with(|| left_key.cmp(right_key))
    });
}

/// The number that a value is sorted by.
fn rank(value: &Value) -> Option<i128> {
    Some(match value {
        Value::Int(number) => i128::from(*number),
        Value::Uint(number) => i128::from(*number),
        Value::Average(summary) | Value::Stats(summary) => summary.average(),
        Value::Histogram(histogram) => i128::from(histogram.total()),
        Value::Series(series) => series
            .points
            .last()
            .map_or(0, |point| i128::from(point.unix_ns)),
        _ => return None,
    })
}

fn compare_keys(left: &Option<Value>, right: &Option<Value>) -> Ordering {
    match (left, right) {
        (Some(left), Some(right)) => compare(left, right),
        _ => Ordering::Equal,
    }
}

/// Keys of one map are of one kind.
fn compare(left: &Value, right: &Value) -> Ordering {
    match (left, right) {
        (Value::Bool(left), Value::Bool(right)) => left.cmp(right),
        (Value::Int(left), Value::Int(right)) => left.cmp(right),
        (Value::Uint(left), Value::Uint(right)) => left.cmp(right),
        (Value::Pointer(left), Value::Pointer(right)) => left.cmp(right),
        (Value::Enum { number: left, .. }, Value::Enum { number: right, .. })
        | (Value::Named { number: left, .. }, Value::Named { number: right, .. }) => {
            left.cmp(right)
        }
        (Value::String { bytes: left, .. }, Value::String { bytes: right, .. })
        | (Value::Buffer(left), Value::Buffer(right)) => left.cmp(right),
        (Value::Tuple(left), Value::Tuple(right)) | (Value::Array(left), Value::Array(right)) => {
            let pairs = left.iter().zip(right);
            pairs.fold(Ordering::Equal, |order, (left, right)| {
                order.then_with(|| compare(left, right))
            })
        }
        (Value::Record(left), Value::Record(right)) => {
            let pairs = left.iter().zip(right);
            pairs.fold(Ordering::Equal, |order, (left, right)| {
                order.then_with(|| compare(&left.1, &right.1))
            })
        }
        _ => Ordering::Equal,
    }
}
