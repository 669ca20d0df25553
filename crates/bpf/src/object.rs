//! The compiled whole: everything the running side needs, as one plain value.
//!
//! Same script, same machine, same options: the same `Object`, byte for byte. It can be printed, compared in a test,
//! written as an ELF file that any loader accepts, or sent to another node.
#![allow(
    missing_docs,
    reason = "fields of enum variants are told by the variant's own words"
)]

use crate::insn::Insn;
use crate::layout::Field;
use crate::map::{Map, MapId};
use crate::shape::{ShapeId, Shapes};
use std::sync::Arc;

/// Index of a program in [`Object::programs`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProgramId(pub u32);

/// A compiled script or rule set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object {
    /// Told to the kernel with each program, e.g. `GPL`.
    pub license: String,
    /// Indexed by [`MapId`].
    pub maps: Vec<Map>,
    /// Indexed by [`ProgramId`].
    pub programs: Vec<Program>,
    /// Concrete places, each with the program that runs there; the index is the value of [`Layout::Probe`](crate::Layout::Probe).
    pub attach_points: Vec<AttachPoint>,
    /// What user space does for an event: the first `u32` of each event is an index into this table.
    pub actions: Vec<Action>,
    /// Source positions of helper errors; index = key in the `Errors` map.
    pub error_sites: Vec<ErrorSite>,
    /// The texts that spans point into: the script, then what it imports.
    pub sources: Vec<Source>,
    /// What the script asked of the running side.
    pub settings: Settings,
    /// What whole values look like: [`ActionKind::Call`] refers to them.
    pub shapes: Shapes,
    /// Patterns that matched nothing although `missing_probes` let it pass, with the reason; to be reported.
    pub missing: Vec<String>,
}

/// A script's text, for line info and messages.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Source {
    /// File name, `stdin` for `-e` programs.
    pub name: String,
    /// Whole text.
    pub text: String,
}

/// Byte range in [`Source::text`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SourceSpan {
    /// Index into [`Object::sources`].
    pub source: u16,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

/// Settings that matter after compilation (the `config` block and environment).
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `print_maps_on_exit`.
    pub print_maps_on_exit: bool,
    /// `str_trunc_trailer`.
    pub string_trailer: String,
    /// `max_cat_bytes`.
    pub max_cat_bytes: u64,
    /// `missing_probes`: what to do when an attach point cannot be attached.
    pub missing_probes: MissingProbes,
    /// `cpp_demangle`.
    pub demangle: bool,
    /// `show_debug_info`: file:line and inlined frames in stacks.
    pub show_debug_info: bool,
    /// The script calls functions that act on the system (`system`, `signal`, `override`, `write_user`).
    pub is_unsafe: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            print_maps_on_exit: true,
            string_trailer: "..".into(),
            max_cat_bytes: 10240,
            missing_probes: MissingProbes::Error,
            demangle: true,
            show_debug_info: true,
            is_unsafe: false,
        }
    }
}

/// The `missing_probes` setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingProbes {
    /// Refuse to run.
    Error,
    /// Say so and go on.
    Warn,
    /// Go on.
    Ignore,
}

/// Kernel program types as the runner loads them (`enum bpf_prog_type` and `enum bpf_attach_type`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ProgramKind {
    /// `BPF_PROG_TYPE_RAW_TRACEPOINT` that is run once by `BPF_PROG_TEST_RUN` (begin, end, self): Linux 5.10.
    TestRun,
    /// `BPF_PROG_TYPE_TRACEPOINT`
    Tracepoint,
    /// `BPF_PROG_TYPE_RAW_TRACEPOINT`
    RawTracepoint,
    /// `BPF_PROG_TYPE_TRACING` / `BPF_TRACE_RAW_TP`: typed arguments by BTF.
    TracepointBtf(BtfTarget),
    /// `BPF_PROG_TYPE_KPROBE` for kprobe, kretprobe, uprobe, uretprobe, usdt on a perf event.
    Kprobe,
    /// `BPF_PROG_TYPE_KPROBE` with `BPF_TRACE_KPROBE_MULTI` (Linux 5.18).
    KprobeMulti,
    /// `BPF_PROG_TYPE_KPROBE` with `BPF_TRACE_KPROBE_SESSION` (Linux 6.10).
    KprobeSession,
    /// `BPF_PROG_TYPE_KPROBE` with `BPF_TRACE_UPROBE_MULTI` (Linux 6.6).
    UprobeMulti,
    /// `BPF_PROG_TYPE_KPROBE` with `BPF_TRACE_UPROBE_SESSION` (Linux 6.14).
    UprobeSession,
    /// `BPF_PROG_TYPE_PERF_EVENT`
    PerfEvent,
    /// `BPF_PROG_TYPE_TRACING` / `BPF_TRACE_FENTRY`
    Fentry(BtfTarget),
    /// `BPF_PROG_TYPE_TRACING` / `BPF_TRACE_FEXIT`
    Fexit(BtfTarget),
    /// `BPF_PROG_TYPE_TRACING` / `BPF_TRACE_ITER`
    Iter(BtfTarget),
    /// `BPF_PROG_TYPE_XDP`
    Xdp,
    /// `BPF_PROG_TYPE_SCHED_CLS`
    SchedCls,
}

/// A kernel function or typedef that a program is bound to when it is loaded.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum BtfTarget {
    /// A BTF type of the kernel (`module: None`) or of a module.
    Kernel {
        /// Name without prefixes, for messages (`vfs_read`, `sched_switch`, `task`).
        name: String,
        /// `None` for vmlinux.
        module: Option<String>,
        /// Type id in that BTF.
        btf_id: u32,
    },
    /// A function of a loaded BPF program.
    Bpf {
        /// Program name or function name in it.
        name: String,
        /// Kernel's program id, when the script gave it.
        program_id: Option<u32>,
    },
}

/// One BPF program, possibly with subprograms (loop callbacks) behind the main function.
#[derive(Clone, Debug, PartialEq)]
pub struct Program {
    /// Cut to 15 bytes for the kernel.
    pub name: String,
    /// Type and, where it is bound at load time, target.
    pub kind: ProgramKind,
    /// `BPF_F_SLEEPABLE` is wanted.
    pub sleepable: bool,
    /// Main function first, then subprograms. `Reloc`s are not yet applied.
    pub insns: Vec<Insn>,
    /// At least the main function, in order of `first_insn`.
    pub functions: Vec<Function>,
    /// Instructions whose immediates the runner fills in.
    pub relocations: Vec<Relocation>,
    /// Sorted by instruction; the first instruction of each function has one.
    pub lines: Vec<Line>,
}

/// A function within a program, for `func_info` and the ELF symbol table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// C identifier.
    pub name: String,
    /// Index into [`Program::insns`] (counting 8-byte slots).
    pub first_insn: u32,
    /// What it takes and gives, for its BTF.
    pub signature: Signature,
}

/// Signatures that the compiler makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signature {
    /// `int f(void *ctx)`
    Main,
    /// `long f(u64 index, void *ctx)` for `bpf_loop`
    LoopCallback,
    /// `long f(struct bpf_map *map, void *key, void *value, void *ctx)` for `bpf_for_each_map_elem`
    MapCallback,
}

/// What goes into the immediates of an instruction when the object is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relocation {
    /// Slot index of the (first half of the) instruction.
    pub insn: u32,
    /// What to put there.
    pub kind: RelocationKind,
}

/// See [`Relocation`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelocationKind {
    /// `ld_imm64`: address of a map (`BPF_PSEUDO_MAP_FD`).
    Map(MapId),
    /// `ld_imm64`: address within the value of a one-entry array map (`BPF_PSEUDO_MAP_VALUE`).
    MapValue { map: MapId, offset: u32 },
    /// `ld_imm64`: address of a function of this program, for callbacks (`BPF_PSEUDO_FUNC`, Linux 5.13). Index into functions.
    FunctionAddress(u32),
    /// `call` of a function of this program (`BPF_PSEUDO_CALL`). Index into functions.
    FunctionCall(u32),
}

/// From instruction to script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Slot index in [`Program::insns`].
    pub insn: u32,
    /// Where in the script.
    pub span: SourceSpan,
}

/// One concrete place and the program that runs there.
#[derive(Clone, Debug, PartialEq)]
pub struct AttachPoint {
    /// Full name, as `probe` shows it: `tracepoint:syscalls:sys_enter_openat`.
    pub name: String,
    /// What runs.
    pub program: ProgramId,
    /// `bpf_get_attach_cookie()` there: the index of the attach point whose name `probe` shows. `None` when the program does not ask.
    pub cookie: Option<u64>,
    /// Where.
    pub place: Place,
    /// The pattern in the script, for messages.
    pub span: SourceSpan,
}

/// Where and how a program is attached.
#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    /// Run once before the others are attached.
    Begin,
    /// Run once after the others are detached.
    End,
    /// Run when this process receives the signal.
    Signal { number: i32 },
    /// Run by `--test` (a non-zero result fails).
    Test,
    /// Run by `--bench`.
    Bench,
    /// One CPU, every so often (perf software CPU clock).
    Interval { period_ns: u64 },
    /// Every online CPU.
    Profile(Rate),
    /// `PERF_TYPE_SOFTWARE` event on every CPU, each `period` events.
    Software { config: u64, period: u64 },
    /// `PERF_TYPE_HARDWARE` event on every CPU.
    Hardware { config: u64, period: u64 },
    /// A static tracepoint through perf.
    Tracepoint { category: String, event: String },
    /// `bpf_raw_tracepoint_open` / a raw tracepoint link; also for [`ProgramKind::TracepointBtf`].
    RawTracepoint { name: String },
    /// One kernel function (or return of it).
    Kprobe {
        function: KernelFunction,
        offset: u64,
        on_return: bool,
    },
    /// Many kernel functions in one link; per function the cookie. Return probes when `on_return`.
    KprobeMulti {
        functions: Vec<KernelFunction>,
        cookies: Vec<u64>,
        on_return: bool,
    },
    /// One place in a file.
    Uprobe {
        path: String,
        site: UprobeSite,
        on_return: bool,
        pid: Option<u32>,
    },
    /// Many places in one file in one link; the site's names and cookies are parallel.
    UprobeMulti {
        path: String,
        sites: Vec<UprobeSite>,
        cookies: Vec<u64>,
        on_return: bool,
        pid: Option<u32>,
    },
    /// Bound when loaded: fentry, fexit.
    Trampoline,
    /// Bound when loaded; then read to its end, or pinned at a path (relative to /sys/fs/bpf or absolute).
    Iter { pin: Option<String> },
    /// A hardware breakpoint; `pid: None` for kernel addresses.
    Watchpoint {
        address: u64,
        length: u32,
        access: Access,
        pid: Option<u32>,
    },
    /// A further site of a multi link: attached together with that attach point.
    Member { of: u32 },
    /// The XDP hook of a network device.
    Xdp { device: String },
    /// The tc hook of a network device.
    Tc {
        device: String,
        direction: Direction,
    },
}

/// A traced kernel function.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KernelFunction {
    /// Symbol name; empty when only the address is known.
    pub name: String,
    /// Module that carries it, if not the kernel itself.
    pub module: Option<String>,
    /// Address, when the script gave one instead of a name.
    pub address: Option<u64>,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UprobeSite {
    /// Function (with offset) for people.
    pub name: String,
    /// Byte offset in the file.
    pub offset: u64,
    /// Bytes from the start of the function, when that is known.
    pub inside: u64,
    /// File offset of a USDT semaphore, 0 for none.
    pub semaphore: u64,
}

/// How often `profile` fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// Times per second on each CPU.
    Hertz(u64),
    /// Each so many nanoseconds of CPU clock.
    PeriodNs(u64),
}

/// What a watchpoint waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Writes.
    Write,
    /// Reads and writes.
    ReadWrite,
    /// Instruction fetch.
    Execute,
}

/// Direction of packets at a tc hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Received by the device.
    Ingress,
    /// Sent by the device.
    Egress,
}

/// A place in the script where a helper may fail.
#[derive(Clone, Debug, PartialEq)]
pub struct ErrorSite {
    /// Where in the script.
    pub span: SourceSpan,
    /// Helper's name, e.g. `map_update_elem`.
    pub helper: String,
    /// Shown even without `-k`: the result was lost (a full map).
    pub is_loss: bool,
}

/// What user space does when an event arrives.
///
/// Event bytes: `u32 action; u32 total_length` (header, 8 bytes), then the fields at their offsets, which count from the start
/// of the event. [`Layout::StringRef`](crate::Layout::StringRef) fields point further into the event.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    /// What to do.
    pub kind: ActionKind,
    /// Where in the script the call stands.
    pub span: SourceSpan,
}

/// See [`Action`].
#[derive(Clone, Debug, PartialEq)]
pub enum ActionKind {
    /// `printf`, `errorf`, `warnf`, `system`, `cat`: a format and the arguments' places.
    Format {
        sink: FormatSink,
        format: String,
        args: Vec<Field>,
    },
    /// `print(value)`.
    PrintValue { value: Field },
    /// `print(@map, top, divisor)`.
    PrintMap {
        map: MapId,
        top: Option<u64>,
        divisor: Option<u64>,
    },
    /// `print(@map[key])`: the value of one key; the key's bytes lie at `key`, the looked-up value at `value`.
    PrintMapEntry {
        map: MapId,
        key: Field,
        value: Field,
    },
    /// `clear(@map)`.
    ClearMap { map: MapId },
    /// `zero(@map)`.
    ZeroMap { map: MapId },
    /// `time(format)`.
    Time { format: String },
    /// `join(argv, separator)`: a `u32 count` at `count_offset`, then that many [`Layout::StringRef`](crate::Layout::StringRef)s.
    Join {
        separator: String,
        count_offset: u32,
        strings_offset: u32,
        limit: u32,
    },
    /// `exit(code)`: `code` is a signed integer field.
    Exit { code: Option<Field> },
    /// `unwatch(address)`.
    Unwatch { address: Field },
    /// A process was not seen before: what it has mapped is to be remembered, for addresses of it that are shown later.
    LookAt { pid: Field },
    /// `call()`: a function was called or returned; the event lies as [`crate::capture`] says.
    Call {
        moment: CallMoment,
        values: Arc<Vec<CallValue>>,
    },
    /// `skboutput(file, …)`: packet bytes as [`Layout::Buffer`](crate::Layout::Buffer) with the time before it.
    WritePacket {
        path: String,
        time: Field,
        packet: Field,
    },
}

/// Which end of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallMoment {
    /// The function was entered.
    Entry,
    /// It returned.
    Return,
    /// Its code reached a line.
    Line,
}

/// A value that comes with a call: an argument or a result.
#[derive(Clone, Debug, PartialEq)]
pub struct CallValue {
    /// As in the source; empty for a result without name.
    pub name: String,
    /// What it looks like.
    pub shape: ShapeId,
    /// Why it cannot be had; `None` when the event carries it.
    pub missing: Option<String>,
    /// Parts of it that cannot be had.
    pub gaps: Vec<Gap>,
}

/// A part of a value that cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Bytes from the value's start.
    pub offset: u32,
    /// In bytes.
    pub size: u32,
    /// The reason, in words.
    pub why: String,
}

/// Where formatted text goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormatSink {
    /// Standard output.
    Print,
    /// Standard error, `ERROR` with source location.
    Error,
    /// Standard error, `WARNING` with source location.
    Warning,
    /// Run by the shell, its output shown.
    System,
    /// Path of a file whose contents are shown.
    Cat,
}
