//! Histograms as rows of bars.

use crate::number::{append, write_wide};
use crate::value::{Bucket, Histogram, Scale};

/// Columns of the longest bar.
const BAR_WIDTH: u64 = 52;

/// Appends the rows, each with a newline; counts are divided by `divisor`.
pub fn write_histogram(histogram: &Histogram, divisor: u64, out: &mut Vec<u8>) {
    let counts = histogram.buckets.iter().map(|bucket| bucket.count);
    let largest = counts.max().unwrap_or(0);
    for bucket in &histogram.buckets {
        let label = label(bucket, histogram.scale);
        let filled = bar_columns(bucket.count, largest);
        append(
            out,
            format_args!(
                "{label:<16} {:>8} |{:@<filled$}{:blank$}|\n",
                bucket.count / divisor.max(1),
                "",
                "",
                filled = filled,
                blank = BAR_WIDTH as usize - filled,
            ),
        );
    }
}

fn bar_columns(count: u64, largest: u64) -> usize {
    let columns = u128::from(count) * u128::from(BAR_WIDTH) / u128::from(largest.max(1));
    columns as usize
}

fn label(bucket: &Bucket, scale: Scale) -> String {
    let mut text = Vec::new();
    match (bucket.low, bucket.high) {
        (Some(low), Some(high)) if scale == Scale::Log2 && high == low + 1 => {
            text.push(b'[');
            write_bound(low, scale, &mut text);
            text.push(b']');
        }
        (low, high) => {
            match low {
                Some(low) => {
                    text.push(b'[');
                    write_bound(low, scale, &mut text);
                }
                None => text.extend_from_slice(b"(..."),
            }
            text.extend_from_slice(b", ");
            match high {
                Some(high) => write_bound(high, scale, &mut text),
                None => text.extend_from_slice(b"..."),
            }
            text.push(b')');
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// A bound of a power-of-two histogram is shown in the largest unit that keeps it whole.
fn write_bound(bound: i128, _scale: Scale, out: &mut Vec<u8>) {
    const UNITS: [&str; 7] = ["", "K", "M", "G", "T", "P", "E"];
    let mut number = bound;
    let mut unit = 0;
    while number != 0 && number % 1024 == 0 && unit + 1 < UNITS.len() {
        number /= 1024;
        unit += 1;
    }
    write_wide(number, out);
    out.extend_from_slice(UNITS[unit].as_bytes());
}
