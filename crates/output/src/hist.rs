//! Histograms as rows of bars.

use crate::number::{append, write_wide};
use crate::value::{Bucket, Histogram, Scale};

/// Columns of the longest bar.
const BAR_WIDTH: usize = 52;

/// Appends the rows, each with a newline.
pub fn write_histogram(histogram: &Histogram, out: &mut Vec<u8>) {
    let counts = histogram.buckets.iter().map(|bucket| bucket.count);
    let largest = counts.max().unwrap_or(0);
    for bucket in &histogram.buckets {
        let label = label(bucket, histogram.scale);
        append(out, format_args!("{label:<16}{:>8} |", bucket.count));
        let start = out.len();
        out.resize(start + bar_columns(bucket.count, largest), b'@');
        out.resize(start + BAR_WIDTH, b' ');
        out.extend_from_slice(b"|\n");
    }
}

fn bar_columns(count: u64, largest: u64) -> usize {
    let columns = u128::from(count) * BAR_WIDTH as u128 / u128::from(largest.max(1));
    columns as usize
}

fn label(bucket: &Bucket, scale: Scale) -> String {
    let mut text = Vec::new();
    match (bucket.low, bucket.high) {
        (Some(low), Some(high)) if high == low + 1 => {
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

/// Each unit is 1024 of the one before.
const UNITS: [&str; 7] = ["", "K", "M", "G", "T", "P", "E"];

/// A bound keeps the digits that tell sub-buckets apart: with 2 bits, 1280 stays 1280 and 5120 is 5K. Bounds of linear
/// histograms have units only where every bound has a whole number of them.
fn write_bound(bound: i128, scale: Scale, out: &mut Vec<u8>) {
    let unit = match scale {
        _ if bound <= 0 => 0,
        Scale::Log2 { bits } => (bound.ilog2().saturating_sub(bits) / 10).min(6),
        Scale::Linear { step } if step % 1024 != 0 => 0,
        Scale::Linear { .. } => (bound.trailing_zeros() / 10).min(2),
    };
    write_wide(bound >> (unit * 10), out);
    out.extend_from_slice(UNITS[unit as usize].as_bytes());
}
