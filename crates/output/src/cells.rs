//! Aggregations: the cells of all CPUs joined to one value.

use crate::decode::{DecodeError, read_u64};
use crate::map::Unset;
use crate::value::{Bucket, Histogram, Scale, Summary, Value};
use fathom_bpf::Layout;
use fathom_bpf::layout::{hist_bucket_count, hist_bucket_range, lhist_bucket_count};
use std::collections::BTreeMap;

/// Joins one aggregation cell per CPU.
pub fn merge_cells(cells: &[&[u8]], layout: &Layout) -> Result<Value, DecodeError> {
    match *layout {
        Layout::Count => Ok(Value::Uint(sum(cells, 0)?)),
        Layout::Sum { signed } => Ok(number(sum(cells, 0)?, signed)),
        Layout::Min { signed } => extreme(cells, signed, |new, old| new < old),
        Layout::Max { signed } => extreme(cells, signed, |new, old| new > old),
        Layout::Avg { signed } => summary(cells, signed).map(Value::Average),
        Layout::Stats { signed } => summary(cells, signed).map(Value::Stats),
        _ => Err(DecodeError::Aggregation),
    }
}

/// Whether any CPU ever put something into these cells.
pub fn is_used(cells: &[&[u8]], layout: &Layout) -> Result<bool, DecodeError> {
    let mark = match layout {
        Layout::Count => 0,
        _ if layout.is_aggregation() => 8,
        _ => return Ok(true),
    };
    for cell in cells {
        if read_u64(cell, mark)? != 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Joins `(bucket, cell)` pairs of histograms; `None` when all are empty and were not zeroed.
pub fn merge_buckets(
    cells: &[(u64, &[u8])],
    layout: &Layout,
    unset: Unset,
) -> Result<Option<Value>, DecodeError> {
    let merged = merge_used_buckets(cells, layout)?;
    let scale = match *layout {
        Layout::Hist { bits } => Scale::Log2 { bits: bits.min(5) },
        Layout::Lhist { step, .. } => Scale::Linear { step },
        _ => return Ok(merged),
    };
    let empty = || {
        Value::Histogram(Histogram {
            scale,
            buckets: Vec::new(),
        })
    };
    Ok(merged.or_else(|| (unset == Unset::Zeroed).then(empty)))
}

fn merge_used_buckets(
    cells: &[(u64, &[u8])],
    layout: &Layout,
) -> Result<Option<Value>, DecodeError> {
    match *layout {
        Layout::Hist { bits } => {
            let bits = bits.min(5);
            let range = |bucket| match bucket {
                Some(bucket) => hist_bucket_range(bucket, bits),
                None => (None, None),
            };
            histogram(cells, Scale::Log2 { bits }, hist_bucket_count(bits), range)
        }
        Layout::Lhist { min, max, step } => {
            let last = lhist_bucket_count(min, max, step) - 1;
            let bound = |bucket: u32| i128::from(min) + i128::from(bucket) * i128::from(step);
            let range = |bucket| match bucket {
                None => (None, None),
                Some(0) => (None, Some(i128::from(min))),
                Some(bucket) if bucket == last => (Some(bound(last - 1)), None),
                Some(bucket) => (Some(bound(bucket - 1)), Some(bound(bucket))),
            };
            histogram(cells, Scale::Linear { step }, last + 1, range)
        }
        _ => Err(DecodeError::Aggregation),
    }
}

fn sum(cells: &[&[u8]], offset: usize) -> Result<u64, DecodeError> {
    let mut total = 0u64;
    for cell in cells {
        total = total.wrapping_add(read_u64(cell, offset)?);
    }
    Ok(total)
}

fn number(bits: u64, signed: bool) -> Value {
    match signed {
        true => Value::Int(bits as i64),
        false => Value::Uint(bits),
    }
}

fn summary(cells: &[&[u8]], signed: bool) -> Result<Summary, DecodeError> {
    Ok(Summary {
        total: sum(cells, 0)?,
        count: sum(cells, 8)?,
        is_signed: signed,
        divisor: 1,
    })
}

/// Smallest or largest of the CPUs that have a value.
fn extreme(
    cells: &[&[u8]],
    signed: bool,
    is_better: impl Fn(i128, i128) -> bool,
) -> Result<Value, DecodeError> {
    let mut best: Option<u64> = None;
    for cell in cells {
        if read_u64(cell, 8)? == 0 {
            continue;
        }
        let new = read_u64(cell, 0)?;
        if best.is_none_or(|old| is_better(wide(new, signed), wide(old, signed))) {
            best = Some(new);
        }
    }
    Ok(number(best.unwrap_or(0), signed))
}

pub(crate) fn wide(bits: u64, signed: bool) -> i128 {
    match signed {
        true => i128::from(bits as i64),
        false => i128::from(bits),
    }
}

/// Rows from the first to the last used bucket.
fn histogram(
    cells: &[(u64, &[u8])],
    scale: Scale,
    bucket_count: u32,
    range: impl Fn(Option<u32>) -> (Option<i128>, Option<i128>),
) -> Result<Option<Value>, DecodeError> {
    let mut counts: BTreeMap<u32, u64> = BTreeMap::new();
    for (bucket, cell) in cells {
        let count = read_u64(cell, 0)?;
        let bucket = u32::try_from(*bucket).unwrap_or(u32::MAX);
        if count > 0 && bucket < bucket_count {
            let sum = counts.entry(bucket).or_default();
            *sum = sum.wrapping_add(count);
        }
    }
    let (Some((&first, _)), Some((&last, _))) = (counts.first_key_value(), counts.last_key_value())
    else {
        return Ok(None);
    };
    let buckets = (first..=last).map(|bucket| {
        let (low, high) = range(Some(bucket));
        Bucket {
            low,
            high,
            count: counts.get(&bucket).copied().unwrap_or(0),
        }
    });
    Ok(Some(Value::Histogram(Histogram {
        scale,
        buckets: buckets.collect(),
    })))
}
