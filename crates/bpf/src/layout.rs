//! How bytes that come from the kernel lie: map keys, map values and event fields.
//!
//! The maker computes a [`Layout`] once; programs write bytes by it and `output` decodes by it. All integers are in
//! the machine's byte order, all offsets and sizes in bytes.
#![allow(
    missing_docs,
    reason = "fields of enum variants are told by the variant's own words"
)]

use std::sync::Arc;

/// One named or numbered part of a composite layout.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Empty for tuple elements and anonymous members.
    pub name: String,
    /// Offset from the start of the composite.
    pub offset: u32,
    /// Set for C bitfields: `(bit_offset_within_the_layout's_bytes, bit_width)`.
    pub bits: Option<(u32, u32)>,
    /// What lies there.
    pub layout: Layout,
}

/// Meaning of a run of bytes.
#[derive(Clone, Debug, PartialEq)]
pub enum Layout {
    /// Nothing (0 bytes): `none`.
    None,
    /// 1 byte, zero is false.
    Bool,
    /// 1, 2, 4 or 8 bytes.
    Int { size: u32, signed: bool },
    /// An integer whose values have names. Text shows the name, JSON the number.
    Enum {
        size: u32,
        signed: bool,
        names: Arc<Vec<(i64, String)>>,
    },
    /// 8 bytes, shown in hex.
    Pointer,
    /// At most `size` bytes, NUL-terminated unless full. `truncated` strings get the trailer: see [`Layout::string`].
    String { size: u32 },
    /// `u32 length`, then `size` bytes of which `length` count. Total `4 + size`.
    Buffer { size: u32 },
    /// Variable-length tail string in events: a `u32 offset` (from the start of the event) and a `u32 length`
    /// (without NUL; the high bit set means it was cut at the limit). 8 bytes here, the text elsewhere in the event.
    StringRef,
    /// `len` elements of equal layout, back to back.
    Array { element: Box<Layout>, len: u32 },
    /// `(a, b, …)`.
    Tuple { size: u32, fields: Arc<Vec<Field>> },
    /// `(name = a, …)`, or a C struct or union copied whole.
    Record {
        name: String,
        size: u32,
        fields: Arc<Vec<Field>>,
    },
    /// `s64 id; u64 reserved`: id ≥ 0 → stack in the [`crate::map::MapRole::Stacks`] map number `reserved`, negative → errno.
    KernelStack { mode: StackMode, limit: u32 },
    /// `s64 id; u32 stacks_map_number; u32 pid` (pid in the initial namespace).
    UserStack { mode: StackMode, limit: u32 },
    /// 8-byte kernel address, shown as `name+offset`.
    KernelSymbol,
    /// `u64 address; u32 pid; u32 probe_cookie`.
    UserSymbol,
    /// 4- or 8-byte user id, shown by name.
    Username { size: u32 },
    /// `u64 family (2 or 10); u8 address[16]`. 24 bytes.
    Inet,
    /// 6 bytes.
    MacAddress,
    /// `u64 nanoseconds` since boot (or unix epoch for `mode` tai); shown with the strftime format.
    Timestamp { mode: TimeMode, format: String },
    /// `u64 cgroup id`, shown as the path below the cgroup2 root; `filter` restricts hierarchies by glob.
    CgroupPath { filter: String },
    /// `s64`/`u64` errno, shown with strerror(3)'s text.
    ErrorName { size: u32 },
    /// Signal number shown by name, e.g. `SIGKILL`.
    SignalName { size: u32 },
    /// System call number shown by name, e.g. `openat`.
    SyscallName { size: u32 },
    /// `u64` index into [`crate::Object::attach_points`]; shown as the probe's full name.
    Probe,
    /// `u64 count`. Used when > 0.
    Count,
    /// `u64 sum; u64 uses`.
    Sum { signed: bool },
    /// `u64 value; u64 uses`.
    Min { signed: bool },
    /// `u64 value; u64 uses`.
    Max { signed: bool },
    /// `u64 total; u64 count`.
    Avg { signed: bool },
    /// `u64 total; u64 count`.
    Stats { signed: bool },
    /// Power-of-two histogram with `2^bits` sub-buckets per power (`bits` 0..=5); bucket numbers as in [`hist_bucket_count`].
    Hist { bits: u32 },
    /// Linear histogram: bucket 0 is below `min`, then `(max - min) / step` buckets, then one above.
    Lhist { min: i64, max: i64, step: i64 },
    /// Time series: `buckets` intervals of `interval_ns` by the TAI clock, in a ring: keyed like a histogram, by the interval's
    /// number modulo `buckets`; cell `u64 value; u64 count; u64 timestamp`.
    TimeSeries {
        interval_ns: u64,
        buckets: u32,
        aggregation: SeriesAggregation,
        signed: bool,
    },
}

/// How frames of a stack are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StackMode {
    /// `symbol+offset` per line.
    Bpftrace,
    /// `address symbol+offset (module)` per line.
    Perf,
    /// Bare addresses.
    Raw,
    /// Build id and file offset (user stacks only).
    BuildId,
}

/// Clock that a [`Layout::Timestamp`] was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimeMode {
    /// `bpf_ktime_get_boot_ns`
    Boot,
    /// `bpf_ktime_get_ns`
    Monotonic,
    /// `bpf_ktime_get_tai_ns` or computed from boot time.
    Tai,
}

/// What a time series keeps per interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SeriesAggregation {
    /// The last value.
    None,
    /// Mean of the interval.
    Avg,
    /// Largest.
    Max,
    /// Smallest.
    Min,
    /// Total.
    Sum,
}

impl Layout {
    /// Bytes taken in a key, a value or the fixed part of an event.
    pub fn size(&self) -> u32 {
        match self {
            Layout::None => 0,
            Layout::Bool => 1,
            Layout::Int { size, .. }
            | Layout::Enum { size, .. }
            | Layout::String { size }
            | Layout::Tuple { size, .. }
            | Layout::Record { size, .. }
            | Layout::Username { size }
            | Layout::ErrorName { size }
            | Layout::SignalName { size }
            | Layout::SyscallName { size } => *size,
            Layout::Buffer { size } => 4 + size,
            Layout::Array { element, len } => element.size().saturating_mul(*len),
            Layout::Pointer
            | Layout::StringRef
            | Layout::KernelSymbol
            | Layout::Timestamp { .. }
            | Layout::CgroupPath { .. }
            | Layout::Probe
            | Layout::Count
            | Layout::Hist { .. }
            | Layout::Lhist { .. } => 8,
            Layout::MacAddress => 6,
            Layout::Inet | Layout::TimeSeries { .. } => 24,
            Layout::KernelStack { .. }
            | Layout::UserStack { .. }
            | Layout::UserSymbol
            | Layout::Sum { .. }
            | Layout::Min { .. }
            | Layout::Max { .. }
            | Layout::Avg { .. }
            | Layout::Stats { .. } => 16,
        }
    }

    /// Natural alignment in keys, values and events: 1, 2, 4 or 8.
    pub fn align(&self) -> u32 {
        match self {
            Layout::None | Layout::Bool | Layout::String { .. } | Layout::MacAddress => 1,
            Layout::Int { size, .. }
            | Layout::Enum { size, .. }
            | Layout::Username { size }
            | Layout::ErrorName { size }
            | Layout::SignalName { size }
            | Layout::SyscallName { size } => (*size).clamp(1, 8),
            Layout::Buffer { .. } => 4,
            Layout::Array { element, .. } => element.align(),
            _ => 8,
        }
    }

    /// Whether this is a map value that only aggregation functions make.
    pub fn is_aggregation(&self) -> bool {
        matches!(
            self,
            Layout::Count
                | Layout::Sum { .. }
                | Layout::Min { .. }
                | Layout::Max { .. }
                | Layout::Avg { .. }
                | Layout::Stats { .. }
                | Layout::Hist { .. }
                | Layout::Lhist { .. }
                | Layout::TimeSeries { .. }
        )
    }
}

/// Number of buckets of `hist(n, bits)`.
///
/// Bucket 0 holds negatives. With `k = bits` and `s = 2^k`: values `0 ..= s-1` have buckets `1 ..= s`; a larger value
/// with highest set bit `p` (p ≥ k) has bucket `1 + s + (p - k) * s + ((v >> (p - k)) & (s - 1))`.
pub fn hist_bucket_count(bits: u32) -> u32 {
    let sub_buckets = 1 << bits;
    1 + sub_buckets + (64 - bits) * sub_buckets
}

/// The half-open range of values in a histogram bucket; `None` as a bound is open. See [`hist_bucket_count`].
pub fn hist_bucket_range(bucket: u32, bits: u32) -> (Option<i128>, Option<i128>) {
    let sub_buckets = 1u32 << bits;
    if bucket == 0 {
        return (None, Some(0));
    }
    let index = bucket - 1;
    if index < sub_buckets {
        return (Some(index as i128), Some(index as i128 + 1));
    }
    let shift = (index - sub_buckets) / sub_buckets;
    let sub = (index - sub_buckets) % sub_buckets;
    let low = ((sub_buckets + sub) as i128) << shift;
    (Some(low), Some(low + (1i128 << shift)))
}

/// Number of buckets of `lhist(n, min, max, step)`, the two open ones included.
pub fn lhist_bucket_count(min: i64, max: i64, step: i64) -> u32 {
    let inner = (max as i128 - min as i128) / (step as i128).max(1);
    u32::try_from(inner.max(0) + 2).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histogram_ranges_are_contiguous() {
        for bits in 0..=5 {
            let mut next = 0;
            for bucket in 1..hist_bucket_count(bits) {
                let (low, high) = hist_bucket_range(bucket, bits);
                assert_eq!(low, Some(next), "bits {bits} bucket {bucket}");
                next = high.expect("only bucket 0 is open");
            }
            assert_eq!(next, 1 << 64, "bits {bits}: the last bucket ends at 2^64");
        }
    }
}
