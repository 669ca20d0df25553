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
    Bool,
    /// `size` 1, 2, 4 or 8 bytes.
    Int {
        size: u32,
        signed: bool,
    },
    /// C enum or enum of the script.
    Enum(Arc<EnumType>),
    /// At most `size` bytes with the NUL.
    String {
        size: u32,
    },
    /// At most `size` bytes.
    Buffer {
        size: u32,
    },
    Inet,
    Mac,
    Username,
    Timestamp {
        mode: TimeMode,
        format: Arc<str>,
    },
    /// Clock chosen in `nsecs(mode)` and friends: only as an argument.
    TimestampMode(TimeMode),
    CgroupPath {
        filter: Arc<str>,
    },
    KernelStack {
        mode: StackMode,
        limit: u32,
    },
    UserStack {
        mode: StackMode,
        limit: u32,
    },
    KernelSymbol,
    UserSymbol,
    /// `strerror(n)`
    ErrorName,
    /// `signal_name(n)`
    SignalName,
    /// `syscall_name(n)`
    SyscallName,
    /// `probe`: index of an attach point, shown by name.
    Probe,
    Pointer {
        to: Arc<Type>,
        space: Space,
    },
    Array {
        element: Arc<Type>,
        len: u32,
    },
    Tuple(Arc<Vec<Type>>),
    /// `(name = value, …)`
    Record(Arc<Vec<(String, Type)>>),
    /// C struct or union. Where a value of it lies is told by the expression.
    Struct(StructRef),
    /// `void`, incomplete structs, functions: only behind pointers.
    Opaque(Arc<str>),
    // Aggregations: only as values of maps.
    Count,
    Sum {
        signed: bool,
    },
    Min {
        signed: bool,
    },
    Max {
        signed: bool,
    },
    Avg {
        signed: bool,
    },
    Stats {
        signed: bool,
    },
    Hist {
        bits: u32,
    },
    Lhist {
        min: i64,
        max: i64,
        step: i64,
    },
    TimeSeries {
        interval_ns: u64,
        buckets: u32,
        aggregation: SeriesAggregation,
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
    pub ty: Type,
}

/// A struct or union.
#[derive(Clone, Debug, PartialEq)]
pub struct StructDef {
    /// With keyword: `struct sock`, `union sigval`.
    pub name: String,
    /// Bytes.
    pub size: u32,
    pub members: Vec<Member>,
}

impl Type {
    pub const U8: Type = Type::Int {
        size: 1,
        signed: false,
    };
    pub const U16: Type = Type::Int {
        size: 2,
        signed: false,
    };
    pub const U32: Type = Type::Int {
        size: 4,
        signed: false,
    };
    pub const U64: Type = Type::Int {
        size: 8,
        signed: false,
    };
    pub const I8: Type = Type::Int {
        size: 1,
        signed: true,
    };
    pub const I32: Type = Type::Int {
        size: 4,
        signed: true,
    };
    pub const I64: Type = Type::Int {
        size: 8,
        signed: true,
    };

    pub fn pointer(to: Type, space: Space) -> Type {
        Type::Pointer {
            to: Arc::new(to),
            space,
        }
    }

    pub fn is_int(&self) -> bool {
        matches!(self, Type::Int { .. })
    }

    /// Whether inference has nothing to add and no error was reported.
    pub fn is_known(&self) -> bool {
        !matches!(self, Type::Unknown | Type::Error)
    }

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
