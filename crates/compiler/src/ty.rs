//! Types of the script language.

use std::fmt;
use std::sync::Arc;

use fathom_bpf::layout::{SeriesAggregation, StackMode, TimeMode};

/// Where the memory behind a pointer lies, which decides how it may be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Space {
    /// Read with `bpf_probe_read_kernel`.
    Kernel,
    /// Read with `bpf_probe_read_user`.
    User,
    /// Not known (an integer that was cast): the current probe's natural space decides.
    Unknown,
    /// The program's own context: loaded directly.
    Context,
    /// Map values and variables of the program (`&$x`, `&@m`): loaded directly.
    Own,
}

/// A type of the language. Cheap to clone.
#[derive(Clone, Debug, PartialEq)]
pub enum Type {
    /// Not yet known: inference goes on.
    Unknown,
    /// An error was reported; silences further ones.
    Error,
    /// No value.
    None,
    /// `true` or `false`, one byte.
    Bool,
    /// `size` 1, 2, 4 or 8 bytes.
    Int {
        /// Bytes.
        size: u32,
        /// Whether it can be negative.
        signed: bool,
    },
    /// C enum or enum of the script.
    Enum(Arc<EnumType>),
    /// At most `size` bytes with the NUL.
    String {
        /// Bytes.
        size: u32,
    },
    /// At most `size` bytes.
    Buffer {
        /// Bytes.
        size: u32,
    },
    /// IPv4 or IPv6 address, from `ntop`.
    Inet,
    /// Ethernet address, from `macaddr`.
    Mac,
    /// User id, shown by name.
    Username,
    /// Time shown with a format, from `strftime`.
    Timestamp {
        /// Clock that was read.
        mode: TimeMode,
        /// As for `strftime(3)`.
        format: Arc<str>,
    },
    /// Clock chosen in `nsecs(mode)` and friends: only as an argument.
    TimestampMode(TimeMode),
    /// Cgroup id, shown as path, from `cgroup_path`.
    CgroupPath {
        /// Hierarchies whose name matches; empty for all.
        filter: Arc<str>,
    },
    /// `kstack`
    KernelStack {
        /// How it is shown.
        mode: StackMode,
        /// At most so many frames.
        limit: u32,
    },
    /// `ustack`
    UserStack {
        /// How it is shown.
        mode: StackMode,
        /// At most so many frames.
        limit: u32,
    },
    /// Kernel address, shown by name.
    KernelSymbol,
    /// User address of a process, shown by name.
    UserSymbol,
    /// `strerror(n)`
    ErrorName,
    /// `signal_name(n)`
    SignalName,
    /// `syscall_name(n)`
    SyscallName,
    /// `probe`: index of an attach point, shown by name.
    Probe,
    /// Address of a value.
    Pointer {
        /// Type of that value.
        to: Arc<Type>,
        /// Where it lies.
        space: Space,
    },
    /// C array.
    Array {
        /// Type of each element.
        element: Arc<Type>,
        /// How many.
        len: u32,
    },
    /// `(a, b, …)`
    Tuple(Arc<Vec<Type>>),
    /// `(name = value, …)`
    Record(Arc<Vec<(String, Type)>>),
    /// C struct or union. Where a value of it lies is told by the expression.
    Struct(StructRef),
    /// `void`, incomplete structs, functions: only behind pointers.
    Opaque(Arc<str>),
    // Aggregations: only as values of maps.
    /// `count()`
    Count,
    /// `sum(n)`
    Sum {
        /// Whether `n` can be negative.
        signed: bool,
    },
    /// `min(n)`
    Min {
        /// Whether `n` can be negative.
        signed: bool,
    },
    /// `max(n)`
    Max {
        /// Whether `n` can be negative.
        signed: bool,
    },
    /// `avg(n)`
    Avg {
        /// Whether `n` can be negative.
        signed: bool,
    },
    /// `stats(n)`
    Stats {
        /// Whether `n` can be negative.
        signed: bool,
    },
    /// `hist(n, bits)`
    Hist {
        /// Each power of two has 2^bits buckets.
        bits: u32,
    },
    /// `lhist(n, min, max, step)`
    Lhist {
        /// Start of the first bucket.
        min: i64,
        /// End of the last bucket.
        max: i64,
        /// Width of a bucket.
        step: i64,
    },
    /// `tseries(n, interval, buckets)`
    TimeSeries {
        /// Width of a bucket in time.
        interval_ns: u64,
        /// How many buckets are kept.
        buckets: u32,
        /// What is done with the numbers of a bucket.
        aggregation: SeriesAggregation,
        /// Whether `n` can be negative.
        signed: bool,
    },
}

/// An enum with its names.
#[derive(Debug, PartialEq)]
pub struct EnumType {
    /// `None` for anonymous ones.
    pub name: Option<String>,
    /// Bytes.
    pub size: u32,
    /// Whether values can be negative.
    pub signed: bool,
    /// Value and name, in order of declaration.
    pub names: Arc<Vec<(i64, String)>>,
}

/// A struct or union, by number in the [`crate::types::Types`] table that made it. Two of the same definition are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StructRef(pub u32);

/// One member of a struct or union.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// Empty for anonymous members (their members are also found through the owner).
    pub name: String,
    /// Bytes from the start of the struct. For bitfields, of the smallest naturally aligned integer that holds all its bits.
    pub offset: u32,
    /// Bitfield: lowest bit in that integer, and width.
    pub bits: Option<(u32, u32)>,
    /// What lies there.
    pub ty: Type,
}

/// A struct or union.
#[derive(Clone, Debug, PartialEq)]
pub struct StructDef {
    /// With keyword: `struct sock`, `union sigval`.
    pub name: String,
    /// Bytes.
    pub size: u32,
    /// In order of declaration.
    pub members: Vec<Member>,
}

impl Type {
    /// `uint8`
    pub const U8: Type = Type::Int {
        size: 1,
        signed: false,
    };
    /// `uint16`
    pub const U16: Type = Type::Int {
        size: 2,
        signed: false,
    };
    /// `uint32`
    pub const U32: Type = Type::Int {
        size: 4,
        signed: false,
    };
    /// `uint64`
    pub const U64: Type = Type::Int {
        size: 8,
        signed: false,
    };
    /// `int8`
    pub const I8: Type = Type::Int {
        size: 1,
        signed: true,
    };
    /// `int32`
    pub const I32: Type = Type::Int {
        size: 4,
        signed: true,
    };
    /// `int64`
    pub const I64: Type = Type::Int {
        size: 8,
        signed: true,
    };

    /// `to *`
    pub fn pointer(to: Type, space: Space) -> Type {
        Type::Pointer {
            to: Arc::new(to),
            space,
        }
    }

    /// Integers of any size; neither enums nor booleans.
    pub fn is_int(&self) -> bool {
        matches!(self, Type::Int { .. })
    }

    /// Whether inference has nothing to add and no error was reported.
    pub fn is_known(&self) -> bool {
        !matches!(self, Type::Unknown | Type::Error)
    }

    /// Values that are merged over CPUs and live only in maps.
    pub fn is_aggregation(&self) -> bool {
        matches!(
            self,
            Type::Count
                | Type::Sum { .. }
                | Type::Min { .. }
                | Type::Max { .. }
                | Type::Avg { .. }
                | Type::Stats { .. }
                | Type::Hist { .. }
                | Type::Lhist { .. }
                | Type::TimeSeries { .. }
        )
    }
}

/// As written in a script; used in messages.
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Unknown => f.write_str("unknown"),
            Type::Error => f.write_str("error"),
            Type::None => f.write_str("none"),
            Type::Bool => f.write_str("bool"),
            Type::Int { size, signed } => {
                write!(f, "{}int{}", if *signed { "" } else { "u" }, size * 8)
            }
            Type::Enum(definition) => match &definition.name {
                Some(name) => write!(f, "enum {name}"),
                None => f.write_str("enum"),
            },
            Type::String { size } => write!(f, "string[{size}]"),
            Type::Buffer { size } => write!(f, "buffer[{size}]"),
            Type::Inet => f.write_str("inet"),
            Type::Mac => f.write_str("mac_address"),
            Type::Username => f.write_str("username_t"),
            Type::Timestamp { .. } => f.write_str("timestamp"),
            Type::TimestampMode(_) => f.write_str("timestamp_mode"),
            Type::CgroupPath { .. } => f.write_str("cgroup_path_t"),
            Type::KernelStack { .. } => f.write_str("kstack_t"),
            Type::UserStack { .. } => f.write_str("ustack_t"),
            Type::KernelSymbol => f.write_str("ksym_t"),
            Type::UserSymbol => f.write_str("usym_t"),
            Type::ErrorName => f.write_str("strerror_t"),
            Type::SignalName => f.write_str("signal_name_t"),
            Type::SyscallName => f.write_str("syscall_name_t"),
            Type::Probe => f.write_str("probe"),
            Type::Pointer { to, .. } => write!(f, "{to} *"),
            Type::Array { element, len } => write!(f, "{element}[{len}]"),
            Type::Tuple(elements) => {
                f.write_str("(")?;
                for (index, element) in elements.iter().enumerate() {
                    write!(f, "{}{element}", if index > 0 { "," } else { "" })?;
                }
                f.write_str(")")
            }
            Type::Record(fields) => {
                f.write_str("(")?;
                for (index, (name, ty)) in fields.iter().enumerate() {
                    write!(f, "{}{name}={ty}", if index > 0 { "," } else { "" })?;
                }
                f.write_str(")")
            }
            Type::Struct(StructRef(number)) => write!(f, "struct #{number}"),
            Type::Opaque(name) => f.write_str(name),
            Type::Count => f.write_str("count_t"),
            Type::Sum { .. } => f.write_str("sum_t"),
            Type::Min { .. } => f.write_str("min_t"),
            Type::Max { .. } => f.write_str("max_t"),
            Type::Avg { .. } => f.write_str("avg_t"),
            Type::Stats { .. } => f.write_str("stats_t"),
            Type::Hist { .. } => f.write_str("hist_t"),
            Type::Lhist { .. } => f.write_str("lhist_t"),
            Type::TimeSeries { .. } => f.write_str("tseries_t"),
        }
    }
}
