//! Maps: what the kernel is asked to create, and what their keys and values mean to a reader.
#![allow(
    missing_docs,
    reason = "fields of enum variants are told by the variant's own words"
)]

use crate::layout::Layout;

/// Index of a map in [`crate::Object::maps`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MapId(pub u32);

/// Kernel map types that Fathom creates (`enum bpf_map_type`, include/uapi/linux/bpf.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MapKind {
    /// `BPF_MAP_TYPE_HASH`
    Hash,
    /// `BPF_MAP_TYPE_ARRAY`
    Array,
    /// `BPF_MAP_TYPE_PERCPU_HASH`
    PerCpuHash,
    /// `BPF_MAP_TYPE_PERCPU_ARRAY`
    PerCpuArray,
    /// `BPF_MAP_TYPE_LRU_HASH`
    LruHash,
    /// `BPF_MAP_TYPE_LRU_PERCPU_HASH`
    LruPerCpuHash,
    /// `BPF_MAP_TYPE_STACK_TRACE`
    StackTrace,
    /// `BPF_MAP_TYPE_RINGBUF` (Linux 5.8)
    RingBuf,
    /// `BPF_MAP_TYPE_PERF_EVENT_ARRAY`
    PerfEventArray,
}

impl MapKind {
    /// The number in `enum bpf_map_type`.
    pub fn kernel_type(self) -> u32 {
        match self {
            MapKind::Hash => 1,
            MapKind::Array => 2,
            MapKind::PerfEventArray => 4,
            MapKind::PerCpuHash => 5,
            MapKind::PerCpuArray => 6,
            MapKind::StackTrace => 7,
            MapKind::LruHash => 9,
            MapKind::LruPerCpuHash => 10,
            MapKind::RingBuf => 27,
        }
    }

    /// Whether a look-up from user space yields one value per possible CPU.
    pub fn is_per_cpu(self) -> bool {
        matches!(
            self,
            MapKind::PerCpuHash | MapKind::PerCpuArray | MapKind::LruPerCpuHash
        )
    }
}

/// Why a map exists.
#[derive(Clone, Debug, PartialEq)]
pub enum MapRole {
    /// A map of the script (`@name`): shown at exit, printable, clearable.
    Script(ScriptMap),
    /// Entries of a script's map whose key, one string, fits [`SHORT_TEXT`] bytes with its NUL; all others are in that map itself.
    ShortTexts { of: MapId },
    /// Entries of a script's map that programs find without a helper call; all others are in that map itself.
    Slots(crate::slots::SlotTable),
    /// A table of `dw_ustack`, filled by the runner (stacks: by programs).
    Unwind(crate::unwind::UnwindTable),
    /// The ring buffer (or perf event array on kernels without it) that carries events to user space.
    Events,
    /// One `u64` per CPU: events that could not be written because the buffer was full.
    Lost,
    /// `BPF_MAP_TYPE_STACK_TRACE`; stacks are referred to by [`Layout::KernelStack`] / [`Layout::UserStack`] values.
    Stacks,
    /// Working memory of programs; its contents mean nothing outside of them.
    Scratch,
    /// One `u64` in an array: the boot clock (`bpf_ktime_get_boot_ns`) when the session started; written by the runner.
    StartTime,
    /// Constant bytes, frozen before programs run.
    ReadOnly(Vec<u8>),
    /// Helper errors: per-CPU array of [`RuntimeErrorCounter`]s, index = error site (see [`crate::object::Object::error_sites`]).
    Errors,
}

/// Bytes of a key in a [`MapRole::ShortTexts`] map, the NUL included.
pub const SHORT_TEXT: u32 = 128;

/// Layout of a value in the [`MapRole::Errors`] map: `u64 count; s64 last_return_code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuntimeErrorCounter;

/// How a script's map is read and shown.
#[derive(Clone, Debug, PartialEq)]
pub struct ScriptMap {
    /// As written, `@name` or `@`.
    pub name: String,
    /// `None` for a scalar map (kernel key: `u32` 0 in an array).
    pub key: Option<Layout>,
    /// What one key holds.
    pub value: Layout,
    /// Where things lie in one kernel value and key.
    pub storage: Storage,
}

/// How a script-level value is stored in the kernel's map. Offsets in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// Keyed map: the kernel value is exactly the value's layout.
    Plain,
    /// Scalar map in an array of one entry: `u64 is_set`, then the value's layout at offset 8.
    Scalar,
    /// Keyed aggregation, a per-CPU hash; the kernel value is the aggregation's cell (see [`Layout`] aggregations).
    PerCpu,
    /// Scalar aggregation in a per-CPU array of one entry: the cell at 0. Each cell carries its own "was used" mark.
    PerCpuScalar,
    /// Keyed histogram: per-CPU hash, kernel key = key layout, padded to 8, then `u64 bucket`; value `u64 count`.
    Buckets,
    /// Scalar histogram: per-CPU array, index = bucket, value `u64 count`.
    BucketArray,
}

/// One map.
#[derive(Clone, Debug, PartialEq)]
pub struct Map {
    /// At most 15 bytes reach the kernel (`BPF_OBJ_NAME_LEN`); the runner cuts and cleans it.
    pub name: String,
    /// Kernel type.
    pub kind: MapKind,
    /// Bytes; 0 for ring buffers.
    pub key_size: u32,
    /// Bytes; 0 for ring buffers.
    pub value_size: u32,
    /// Entries; for ring buffers the size in bytes (a power of two, multiple of the page size); for a
    /// [`MapKind::PerfEventArray`] 0 means "one per possible CPU".
    pub max_entries: u32,
    /// `BPF_F_*` map flags.
    pub flags: u32,
    /// What it is for.
    pub role: MapRole,
}
