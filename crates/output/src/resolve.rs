//! What only the running machine knows, asked through one trait.

use fathom_bpf::layout::TimeMode;

/// One row of a stack: a symbolized address, or a function inlined there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// The address that was asked for.
    pub address: u64,
    /// Function name; `None` when nothing is known about the address.
    pub symbol: Option<String>,
    /// Bytes from the start of the function.
    pub offset: u64,
    /// Kernel module or path of the mapped file, for the perf mode.
    pub module: Option<String>,
    /// Place in the source.
    pub source: Option<SourceLocation>,
    /// The compiler put this function into the one of a following frame.
    pub is_inlined: bool,
}

impl Frame {
    /// An address about which nothing is known.
    pub fn unknown(address: u64) -> Frame {
        Frame {
            address,
            ..Frame::default()
        }
    }
}

/// A line of source code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceLocation {
    /// Path as the debug information has it.
    pub file: String,
    /// Counted from 1.
    pub line: u32,
}

/// One address of a stack that was taken with build ids (`struct bpf_stack_build_id`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BuildIdFrame {
    /// The file is known.
    File {
        /// GNU build id.
        build_id: Vec<u8>,
        /// Offset in that file.
        offset: u64,
    },
    /// Only the address is known.
    Address(u64),
}

/// The rule for local time at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalZone {
    /// Seconds east of Greenwich.
    pub offset_seconds: i32,
    /// Abbreviation, e.g. `CET`.
    pub name: String,
}

impl LocalZone {
    /// Greenwich.
    pub fn utc() -> LocalZone {
        LocalZone {
            offset_seconds: 0,
            name: "UTC".into(),
        }
    }
}

/// Whose address is symbolized.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UserContext {
    /// Process, in the initial pid namespace.
    pub pid: u32,
    /// Index of the attach point that fired (`probe_cookie` of a user symbol), when known: tells the file of a process that is gone.
    pub probe: Option<u32>,
}

/// Answers from the machine that the bytes came from. Every method may be asked with nonsense and then says `None`.
pub trait Resolver {
    /// Frames of a kernel address, innermost inlined function first; at least one frame.
    fn kernel_frames(&self, address: u64) -> Vec<Frame>;
    /// Frames of an address in a process, innermost inlined function first; at least one frame.
    fn user_frames(&self, context: UserContext, address: u64) -> Vec<Frame>;
    /// Addresses of a stored stack, innermost first. `map_number` is what the event carried beside the id.
    fn stack(&self, map_number: u64, id: i64) -> Option<Vec<u64>>;
    /// The same of a map that keeps build ids.
    fn build_id_stack(&self, map_number: u64, id: i64) -> Option<Vec<BuildIdFrame>>;
    /// Name of a user id.
    fn username(&self, uid: u32) -> Option<String>;
    /// Path of a cgroup id, ready to be shown; `filter` restricts the hierarchies by glob.
    fn cgroup_path(&self, id: u64, filter: &str) -> Option<String>;
    /// Full name of the attach point with this index.
    fn probe_name(&self, index: u64) -> Option<String>;
    /// Nanoseconds since 1970 of a reading of that clock.
    fn unix_ns(&self, mode: TimeMode, ns: u64) -> i64;
    /// Wall clock now, for `time()`.
    fn now_unix_ns(&self) -> i64;
    /// Local time rule at that moment.
    fn local_zone(&self, unix_seconds: i64) -> LocalZone;
}

/// Knows nothing; the clock stands still at 1970. For tests.
#[derive(Clone, Copy, Debug, Default)]
pub struct NullResolver;

impl Resolver for NullResolver {
    fn kernel_frames(&self, address: u64) -> Vec<Frame> {
        vec![Frame::unknown(address)]
    }

    fn user_frames(&self, _context: UserContext, address: u64) -> Vec<Frame> {
        vec![Frame::unknown(address)]
    }

    fn stack(&self, _map_number: u64, _id: i64) -> Option<Vec<u64>> {
        None
    }

    fn build_id_stack(&self, _map_number: u64, _id: i64) -> Option<Vec<BuildIdFrame>> {
        None
    }

    fn username(&self, _uid: u32) -> Option<String> {
        None
    }

    fn cgroup_path(&self, _id: u64, _filter: &str) -> Option<String> {
        None
    }

    fn probe_name(&self, _index: u64) -> Option<String> {
        None
    }

    fn unix_ns(&self, _mode: TimeMode, ns: u64) -> i64 {
        ns as i64
    }

    fn now_unix_ns(&self) -> i64 {
        0
    }

    fn local_zone(&self, _unix_seconds: i64) -> LocalZone {
        LocalZone::utc()
    }
}
