//! `tseries()` as a plot: a line for each interval, time downwards.

use crate::number::append;
use crate::value::{Series, SeriesPoint};

/// Columns from border to border.
const WIDTH: usize = 53;
/// Columns of these for the label of the lower bound.
const LOW_WIDTH: usize = 21;

/// Part of a second that times are shown with.
#[derive(Clone, Copy)]
enum Unit {
    Seconds,
    Milliseconds,
    Microseconds,
    Nanoseconds,
}

/// Appends the plot.
pub fn write_series(series: &Series, out: &mut Vec<u8>) {
    if series.points.is_empty() {
        out.extend_from_slice(b"<no data>");
        return;
    }
    let bounds = bounds(series);
    let label = |bound: Option<i128>| bound.map_or("null".to_owned(), |bound| bound.to_string());
    let (low, high) = (
        label(bounds.map(|(low, _)| low)),
        label(bounds.map(|(_, high)| high)),
    );
    let unit = Unit::of(series);
    let margin = unit.time_width() + 1;
    let labels = format!(
        "{:margin$}{low:<LOW_WIDTH$}{high:>rest$}\n",
        "",
        rest = WIDTH - LOW_WIDTH
    );
    let line = "_".repeat(WIDTH - 2);
    out.extend_from_slice(labels.as_bytes());
    let start = out.len();
    out.extend_from_slice(unit.heading().as_bytes());
    // The margin is counted in bytes, of which a micro sign has two.
    out.resize(start + margin, b' ');
    append(out, format_args!("|{line}|\n"));
    for point in &series.points {
        write_point(point, bounds.unwrap_or_default(), unit, out);
    }
    append(out, format_args!("{:margin$}v{line}v\n{labels}", ""));
}

/// Smallest and largest value; `None` when all intervals are empty. A single one gets room on both sides, where numbers go on.
fn bounds(series: &Series) -> Option<(i128, i128)> {
    let values = || series.points.iter().filter_map(|point| point.value);
    let (low, high) = (values().min()?, values().max()?);
    if low < high {
        return Some((low, high));
    }
    let (least, most) = match series.is_signed {
        true => (i128::from(i64::MIN), i128::from(i64::MAX)),
        false => (0, i128::from(u64::MAX)),
    };
    Some(((low - 1).max(least), (high + 1).min(most)))
}

fn write_point(point: &SeriesPoint, (low, high): (i128, i128), unit: Unit, out: &mut Vec<u8>) {
    let time = point.local_time.split(' ').next_back().unwrap_or_default();
    append(out, format_args!("{time}"));
    unit.write_fraction(point.unix_ns, out);
    out.push(b' ');
    let start = out.len();
    out.push(b'|');
    out.resize(start + WIDTH - 1, b' ');
    out.push(b'|');
    match point.value {
        Some(value) => {
            if let Some(mark) = out.get_mut(start + column(value, low, high)) {
                *mark = b'*';
            }
            append(out, format_args!(" {value}\n"));
        }
        None => out.extend_from_slice(b" -\n"),
    }
}

/// In single precision, as bpftrace does it: a column more or less would be another output.
fn column(value: i128, low: i128, high: i128) -> usize {
    let last = WIDTH - 1;
    let column = last as f32 * (value - low) as f32 / (high - low).max(1) as f32;
    (column as usize).min(last)
}

impl Unit {
    /// By the distance of two lines; a line alone has all digits.
    fn of(series: &Series) -> Unit {
        match series.interval_ns {
            _ if series.points.len() < 2 => Unit::Nanoseconds,
            1_000_000_000.. => Unit::Seconds,
            1_000_000.. => Unit::Milliseconds,
            1_000.. => Unit::Microseconds,
            _ => Unit::Nanoseconds,
        }
    }

    fn heading(self) -> &'static str {
        match self {
            Unit::Seconds => "hh:mm:ss",
            Unit::Milliseconds => "hh:mm:ss.ms",
            Unit::Microseconds => "hh:mm:ss.μs",
            Unit::Nanoseconds => "hh:mm:ss.ns",
        }
    }

    fn time_width(self) -> usize {
        match self {
            Unit::Seconds => 8,
            Unit::Milliseconds => 12,
            Unit::Microseconds => 15,
            Unit::Nanoseconds => 18,
        }
    }

    fn write_fraction(self, unix_ns: i64, out: &mut Vec<u8>) {
        let nanoseconds = unix_ns.rem_euclid(1_000_000_000);
        match self {
            Unit::Seconds => {}
            Unit::Milliseconds => append(out, format_args!(".{:03}", nanoseconds / 1_000_000)),
            Unit::Microseconds => append(out, format_args!(".{:06}", nanoseconds / 1000)),
            Unit::Nanoseconds => append(out, format_args!(".{nanoseconds:09}")),
        }
    }
}

#[cfg(test)]
mod tests;
