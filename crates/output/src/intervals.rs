//! The cells of a time series, joined over CPUs.
//!
//! Which interval a cell holds is told by the time in it: where a CPU has not come round the ring yet, it is an older one.

use crate::cells::wide;
use crate::decode::{DecodeError, read_u64};
use crate::resolve::Resolver;
use crate::value::{Series, SeriesPoint};
use fathom_bpf::Layout;
use fathom_bpf::layout::{SeriesAggregation, TimeMode};
use std::collections::BTreeMap;

/// What JSON and the plot show of a moment, but for the part of the second.
const LOCAL_TIME: &str = "%Y-%m-%d %H:%M:%S";

/// The number of the newest interval in any of these cells: the series of all keys of a map end there.
pub(crate) fn newest<'a>(
    cells: impl Iterator<Item = &'a [u8]>,
    layout: &Layout,
) -> Result<u64, DecodeError> {
    let Layout::TimeSeries { interval_ns, .. } = layout else {
        return Ok(0);
    };
    let mut newest = 0;
    for cell in cells {
        newest = newest.max(Interval::read(cell)?.number(*interval_ns));
    }
    Ok(newest)
}

/// Joins the cells of one key: from the first of the last intervals that has a value to the newest. Without intervals when nothing
/// came since the key was zeroed.
pub(crate) fn merge(
    cells: &[(u64, &[u8])],
    layout: &Layout,
    newest: u64,
    resolver: &dyn Resolver,
) -> Result<Series, DecodeError> {
    let &Layout::TimeSeries {
        interval_ns,
        buckets,
        aggregation,
        signed,
    } = layout
    else {
        return Err(DecodeError::Aggregation);
    };
    let mut intervals: BTreeMap<u64, Interval> = BTreeMap::new();
    let mut is_used = false;
    for (_, cell) in cells {
        let new = Interval::read(cell)?;
        let number = new.number(interval_ns);
        is_used |= new.count > 0;
        if new.count > 0 && newest.saturating_sub(number) < u64::from(buckets) {
            let old = intervals.entry(number).or_default();
            *old = join(*old, new, aggregation, signed);
        }
    }
    let first = intervals.keys().next().copied().unwrap_or(newest);
    let numbers = (first..=newest).filter(|_| is_used);
    let points = numbers.map(|number| {
        let start_ns = number.saturating_mul(interval_ns);
        let unix_ns = resolver.unix_ns(TimeMode::Tai, start_ns);
        let interval = intervals.get(&number);
        SeriesPoint {
            unix_ns,
            local_time: crate::time::strftime(LOCAL_TIME, unix_ns, resolver),
            value: interval.map(|interval| interval.shown(aggregation, signed)),
        }
    });
    Ok(Series {
        interval_ns,
        is_signed: signed,
        points: points.collect(),
    })
}

/// One interval, of one CPU or of several.
#[derive(Clone, Copy, Default)]
struct Interval {
    value: u64,
    count: u64,
    /// Newest update.
    time_ns: u64,
}

impl Interval {
    fn read(cell: &[u8]) -> Result<Interval, DecodeError> {
        Ok(Interval {
            value: read_u64(cell, 0)?,
            count: read_u64(cell, 8)?,
            time_ns: read_u64(cell, 16)?,
        })
    }

    fn number(&self, interval_ns: u64) -> u64 {
        self.time_ns / interval_ns.max(1)
    }

    fn shown(&self, aggregation: SeriesAggregation, signed: bool) -> i128 {
        let value = wide(self.value, signed);
        match aggregation {
            SeriesAggregation::Avg => value / i128::from(self.count.max(1)),
            _ => value,
        }
    }
}

fn join(old: Interval, new: Interval, aggregation: SeriesAggregation, signed: bool) -> Interval {
    if old.count == 0 {
        return new;
    }
    let is_smaller = wide(new.value, signed) < wide(old.value, signed);
    let value = match aggregation {
        SeriesAggregation::None if new.time_ns >= old.time_ns => new.value,
        SeriesAggregation::Min if is_smaller => new.value,
        SeriesAggregation::Max if !is_smaller => new.value,
        SeriesAggregation::Avg | SeriesAggregation::Sum => old.value.wrapping_add(new.value),
        _ => old.value,
    };
    Interval {
        value,
        count: old.count.saturating_add(new.count),
        time_ns: old.time_ns.max(new.time_ns),
    }
}
