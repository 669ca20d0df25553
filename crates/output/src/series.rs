//! `tseries()` as a plot.

use crate::value::Series;

/// Appends the plot.
pub fn write_series(series: &Series, out: &mut Vec<u8>) {
    for point in &series.points {
        crate::number::append(out, format_args!("{} {}\n", point.start_ns, point.value));
    }
}
