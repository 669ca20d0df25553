//! Decoded values: complete in themselves, with symbols and names already found.

use crate::resolve::{BuildIdFrame, Frame};
use fathom_bpf::layout::StackMode;

/// One thing that a script computed.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing.
    None,
    /// `true` or `false`.
    Bool(bool),
    /// A signed integer.
    Int(i64),
    /// An unsigned integer.
    Uint(u64),
    /// An integer whose value may have a name.
    Enum {
        /// The number, sign kept.
        number: i64,
        /// The constant's name, if one has that number.
        name: Option<String>,
    },
    /// Shown in hex.
    Pointer(u64),
    /// Text as bytes, without NUL.
    String {
        /// The text.
        bytes: Vec<u8>,
        /// It was cut at the size limit.
        is_truncated: bool,
    },
    /// Raw bytes.
    Buffer(Vec<u8>),
    /// `[a,b]`
    Array(Vec<Value>),
    /// `(a, b)`
    Tuple(Vec<Value>),
    /// `{ .name = value }`
    Record(Vec<(String, Value)>),
    /// A kernel or user stack, innermost frame first.
    Stack {
        /// How it is shown.
        mode: StackMode,
        /// Frames, at most as many as the script asked for.
        frames: Vec<Frame>,
    },
    /// A stack with build ids.
    BuildIdStack(Vec<BuildIdFrame>),
    /// A symbolized address.
    Symbol {
        /// The outermost function there.
        frame: Frame,
        /// An address in a process, not in the kernel.
        is_user: bool,
    },
    /// A number shown by a name: user, cgroup, errno, signal, system call, probe.
    Named {
        /// What the kernel sent.
        number: i64,
        /// What is shown.
        text: String,
    },
    /// Network address, ready to be shown.
    Inet(std::net::IpAddr),
    /// Ethernet address.
    Mac([u8; 6]),
    /// A moment.
    Timestamp {
        /// Nanoseconds since 1970.
        unix_ns: i64,
        /// By the script's format.
        text: String,
    },
    /// `avg()`
    Average(Summary),
    /// `stats()`
    Stats(Summary),
    /// `hist()` and `lhist()`
    Histogram(Histogram),
    /// `tseries()`
    Series(Series),
}

/// Count and total, and the average that follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Number of samples.
    pub count: u64,
    /// Sum of the samples; wraps around like the kernel's.
    pub total: u64,
    /// Whether the total is read as signed.
    pub is_signed: bool,
    /// Divides the average that is shown; 0 and 1 change nothing.
    pub divisor: u64,
}

/// A histogram over all CPUs, without empty buckets before the first and after the last used one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// How the bounds are labelled.
    pub scale: Scale,
    /// In ascending order, contiguous.
    pub buckets: Vec<Bucket>,
}

/// Spacing of a histogram's buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Powers of two, each in `2^bits` parts.
    Log2 {
        /// 0..=5
        bits: u32,
    },
    /// Equal steps.
    Linear {
        /// Width of a bucket.
        step: i64,
    },
}

impl Default for Scale {
    fn default() -> Self {
        Scale::Log2 { bits: 0 }
    }
}

/// One row of a histogram; half-open, `None` is an open end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Smallest value in it.
    pub low: Option<i128>,
    /// First value above it.
    pub high: Option<i128>,
    /// Samples.
    pub count: u64,
}

/// A time series over all CPUs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Series {
    /// Length of an interval.
    pub interval_ns: u64,
    /// Whether values can be negative.
    pub is_signed: bool,
    /// Consecutive intervals, oldest first.
    pub points: Vec<SeriesPoint>,
}

/// One interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesPoint {
    /// When it starts: nanoseconds since 1970.
    pub unix_ns: i64,
    /// The same in local time, to the second: `2026-01-31 23:59:59`.
    pub local_time: String,
    /// `None`: there was nothing in it.
    pub value: Option<i128>,
}

impl Value {
    /// A whole text.
    pub fn text(text: &str) -> Value {
        Value::String {
            bytes: text.as_bytes().to_vec(),
            is_truncated: false,
        }
    }

    /// As `print(@map, top, divisor)` shows it: numbers, averages and counts of histograms are divided, totals are not.
    pub(crate) fn divided(mut self, divisor: u64) -> Value {
        let divisor = divisor.max(1);
        match &mut self {
            Value::Int(number) => {
                let shown = i128::from(*number) / i128::from(divisor);
                *number = shown as i64;
            }
            Value::Uint(number) => *number /= divisor,
            Value::Average(summary) | Value::Stats(summary) => summary.divisor = divisor,
            Value::Histogram(histogram) => {
                for bucket in &mut histogram.buckets {
                    bucket.count /= divisor;
                }
            }
            Value::Series(series) => {
                for value in series.points.iter_mut().flat_map(|point| &mut point.value) {
                    *value /= i128::from(divisor);
                }
            }
            _ => {}
        }
        self
    }
}

impl Summary {
    /// Total over count, rounded towards zero; 0 without samples.
    pub fn average(&self) -> i128 {
        if self.count == 0 {
            return 0;
        }
        self.total() / i128::from(self.count)
    }

    /// The average after division.
    pub fn shown_average(&self) -> i128 {
        self.average() / i128::from(self.divisor.max(1))
    }

    /// The total with its sign.
    pub fn total(&self) -> i128 {
        if self.is_signed {
            i128::from(self.total as i64)
        } else {
            i128::from(self.total)
        }
    }
}

impl Histogram {
    /// Samples in all buckets.
    pub fn total(&self) -> u64 {
        self.buckets
            .iter()
            .fold(0u64, |sum, bucket| sum.wrapping_add(bucket.count))
    }
}
