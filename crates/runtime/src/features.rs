//! What this kernel can do, asked one feature at a time by trying it.

use crate::sys::bpf::{
    self, Batch, KprobeMultiTargets, LinkDetail, LoadTarget, MapSpec, ProgramSpec,
};
use fathom_bpf::insn::Insn;
use fathom_machine::Machine;
use fathom_machine::btf::Kind;
use libbpf_sys as raw;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

macro_rules! features {
    ($($name:ident, $since:literal, $text:literal;)*) => {
        /// A named ability of the kernel.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Feature {
            $(#[doc = $text] $name,)*
        }

        impl Feature {
            /// All, in order.
            pub const ALL: &[Feature] = &[$(Feature::$name,)*];

            /// What it is, for people.
            pub fn description(self) -> &'static str {
                match self { $(Feature::$name => $text,)* }
            }

            /// The kernel that brings it, for messages.
            pub fn since(self) -> &'static str {
                match self { $(Feature::$name => $since,)* }
            }
        }
    };
}

features! {
    RingBuffer, "5.8", "ring buffer maps";
    BatchMapOperations, "5.6", "reading maps in batches";
    BpfLoop, "5.17", "bpf_loop";
    ForEachMapElem, "5.13", "bpf_for_each_map_elem";
    AttachCookie, "5.15", "cookies of attach points";
    AtomicFetch, "5.12", "atomic operations that return the old value";
    Cpuv4, "6.6", "instruction set version 4";
    ReadUserAndKernel, "5.5", "separate reading of user and kernel memory";
    KtimeBoot, "5.7", "bpf_ktime_get_boot_ns";
    KtimeTai, "6.1", "bpf_ktime_get_tai_ns";
    Strncmp, "5.17", "bpf_strncmp";
    CurrentTaskBtf, "5.11", "typed pointers to the current task";
    TracepointBtf, "5.5", "raw tracepoints with typed arguments";
    TestRun, "5.10", "running programs by hand (begin, end)";
    Kprobe, "4.17", "kprobes by perf events";
    KprobeMulti, "5.18", "kprobe.multi links";
    KprobeSession, "6.10", "kprobe.session links";
    Uprobe, "4.17", "uprobes by perf events";
    UprobeMulti, "6.6", "uprobe.multi links";
    UprobeSession, "6.14", "uprobe.session links";
    Trampoline, "5.5", "fentry and fexit";
    FunctionAddress, "5.15", "bpf_get_func_ip";
    LongKeys, "5.11", "map keys above 512 bytes";
    ReadOtherCpus, "5.19", "bpf_map_lookup_percpu_elem";
    Iterator, "5.8", "iterators";
    Tcx, "6.6", "tcx links";
}

/// Features that were found, as a plain value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FeatureSet(u64);

impl FeatureSet {
    /// Tries each of these on the running kernel.
    pub fn probe(features: &[Feature], machine: &Machine) -> FeatureSet {
        let found = features.iter().filter(|feature| probe(**feature, machine));
        found.copied().collect()
    }

    /// Whether it is in the set.
    pub fn has(self, feature: Feature) -> bool {
        self.0 & (1 << feature as u64) != 0
    }

    /// The set with one more.
    pub fn with(self, feature: Feature) -> FeatureSet {
        FeatureSet(self.0 | 1 << feature as u64)
    }

    /// The set without one.
    pub fn without(self, feature: Feature) -> FeatureSet {
        FeatureSet(self.0 & !(1 << feature as u64))
    }
}

impl FromIterator<Feature> for FeatureSet {
    fn from_iter<T: IntoIterator<Item = Feature>>(features: T) -> FeatureSet {
        features
            .into_iter()
            .fold(FeatureSet::default(), FeatureSet::with)
    }
}

/// Helpers by number (include/uapi/linux/bpf.h).
mod helper {
    pub(super) const PROBE_READ_USER: u32 = 112;
    pub(super) const KTIME_GET_BOOT_NS: u32 = 125;
    pub(super) const FOR_EACH_MAP_ELEM: u32 = 164;
    pub(super) const GET_FUNC_IP: u32 = 173;
    pub(super) const GET_ATTACH_COOKIE: u32 = 174;
    pub(super) const LOOP: u32 = 181;
    pub(super) const STRNCMP: u32 = 182;
    pub(super) const GET_CURRENT_TASK_BTF: u32 = 158;
    pub(super) const MAP_LOOKUP_PERCPU_ELEM: u32 = 195;
    pub(super) const KTIME_GET_TAI_NS: u32 = 208;
}

/// Tries one feature on the running kernel. Nothing is kept: callers ask once and hold on to the answer.
pub fn probe(feature: Feature, machine: &Machine) -> bool {
    bpf::silence_libbpf();
    let kprobe_helper = |number| bpf::has_helper(raw::BPF_PROG_TYPE_KPROBE, number);
    match feature {
        Feature::RingBuffer => map(raw::BPF_MAP_TYPE_RINGBUF, 0, 0, 4096).is_ok(),
        Feature::BatchMapOperations => batches(),
        Feature::BpfLoop => kprobe_helper(helper::LOOP),
        Feature::ForEachMapElem => kprobe_helper(helper::FOR_EACH_MAP_ELEM),
        Feature::AttachCookie => kprobe_helper(helper::GET_ATTACH_COOKIE),
        Feature::ReadUserAndKernel => kprobe_helper(helper::PROBE_READ_USER),
        Feature::KtimeBoot => kprobe_helper(helper::KTIME_GET_BOOT_NS),
        Feature::KtimeTai => kprobe_helper(helper::KTIME_GET_TAI_NS),
        Feature::Strncmp => kprobe_helper(helper::STRNCMP),
        Feature::CurrentTaskBtf => kprobe_helper(helper::GET_CURRENT_TASK_BTF),
        Feature::AtomicFetch => accepts(&ATOMIC_FETCH),
        Feature::Cpuv4 => accepts(&SWAP_BYTES),
        // Reading it takes milliseconds: that it is there is enough.
        Feature::TracepointBtf => {
            machine.path("/sys/kernel/btf/vmlinux").exists() || machine.btf().is_ok()
        }
        Feature::TestRun => runs_by_hand(),
        Feature::Kprobe => machine.probe_pmu("kprobe").is_ok(),
        Feature::Uprobe => machine.probe_pmu("uprobe").is_ok(),
        Feature::KprobeMulti => kprobe_multi(raw::BPF_TRACE_KPROBE_MULTI),
        Feature::KprobeSession => kprobe_multi(raw::BPF_TRACE_KPROBE_SESSION),
        Feature::UprobeMulti => uprobe_multi(raw::BPF_TRACE_UPROBE_MULTI),
        Feature::UprobeSession => uprobe_multi(raw::BPF_TRACE_UPROBE_SESSION),
        Feature::Trampoline => bound(
            machine,
            "bpf_fentry_test1",
            raw::BPF_TRACE_FENTRY,
            Try::Attach,
        ),
        Feature::Iterator => bound(machine, "bpf_iter_task", raw::BPF_TRACE_ITER, Try::Load),
        Feature::Tcx => tcx(),
        Feature::FunctionAddress => kprobe_helper(helper::GET_FUNC_IP),
        Feature::ReadOtherCpus => kprobe_helper(helper::MAP_LOOKUP_PERCPU_ELEM),
        Feature::LongKeys => map(raw::BPF_MAP_TYPE_HASH, 513, 4, 1).is_ok(),
    }
}

/// `r1 = 0; *(r10 - 8) = r1; r1 = fetch_add(r10 - 8, r1); r0 = 0; exit`
const ATOMIC_FETCH: [Insn; 5] = [
    Insn {
        opcode: 0xb7,
        dst: 1,
        src: 0,
        offset: 0,
        imm: 0,
    },
    Insn {
        opcode: 0x7b,
        dst: 10,
        src: 1,
        offset: -8,
        imm: 0,
    },
    Insn {
        opcode: 0xdb,
        dst: 10,
        src: 1,
        offset: -8,
        imm: 1,
    },
    RETURN_0[0],
    RETURN_0[1],
];

/// `r0 = 0; r0 = bswap64 r0; exit`
const SWAP_BYTES: [Insn; 3] = [
    RETURN_0[0],
    Insn {
        opcode: 0xd7,
        dst: 0,
        src: 0,
        offset: 0,
        imm: 64,
    },
    RETURN_0[1],
];

/// `r0 = 0; exit`
const RETURN_0: [Insn; 2] = [
    Insn {
        opcode: 0xb7,
        dst: 0,
        src: 0,
        offset: 0,
        imm: 0,
    },
    Insn {
        opcode: 0x95,
        dst: 0,
        src: 0,
        offset: 0,
        imm: 0,
    },
];

fn load(insns: &[Insn], kind: u32, attach_type: u32, attach_btf_id: u32) -> io::Result<OwnedFd> {
    let spec = ProgramSpec {
        name: c"fathom_probe",
        kind,
        attach_type,
        license: c"GPL",
        insns: &fathom_bpf::insn::to_bytes(insns),
        flags: 0,
        btf: None,
        attach_btf_id,
        target: LoadTarget::Kernel,
    };
    bpf::program_load(&spec, None)
}

fn map(kind: u32, key_size: u32, value_size: u32, max_entries: u32) -> io::Result<OwnedFd> {
    bpf::map_create(&MapSpec {
        name: c"fathom_probe",
        kind,
        key_size,
        value_size,
        max_entries,
        flags: 0,
    })
}

fn accepts(insns: &[Insn]) -> bool {
    load(insns, raw::BPF_PROG_TYPE_RAW_TRACEPOINT, 0, 0).is_ok()
}

fn runs_by_hand() -> bool {
    let program = load(&RETURN_0, raw::BPF_PROG_TYPE_RAW_TRACEPOINT, 0, 0);
    program
        .and_then(|program| bpf::program_run(program.as_fd()))
        .is_ok()
}

fn batches() -> bool {
    let Ok(map) = map(raw::BPF_MAP_TYPE_HASH, 4, 4, 1) else {
        return false;
    };
    let (mut keys, mut values) = ([0; 4], [0; 4]);
    bpf::map_lookup_batch(
        map.as_fd(),
        None,
        Batch {
            keys: &mut keys,
            values: &mut values,
            capacity: 1,
        },
    )
    .is_ok()
}

fn link_errno(kind: u32, attach_type: u32, target: i32, detail: &LinkDetail<'_>) -> Option<i32> {
    let program = load(&RETURN_0, kind, attach_type, 0).ok()?;
    match bpf::link_create(program.as_fd(), target, attach_type, detail) {
        Ok(_) => Some(0),
        Err(error) => error.raw_os_error(),
    }
}

/// A kernel that has it looks for the function before it refuses; others refuse at once, with EINVAL or EOPNOTSUPP.
fn kprobe_multi(attach_type: u32) -> bool {
    let nowhere = [c"fathom_no_such_function".to_owned()];
    let detail = LinkDetail::KprobeMulti {
        functions: KprobeMultiTargets::Names(&nowhere),
        cookies: &[],
        on_return: false,
    };
    matches!(
        link_errno(raw::BPF_PROG_TYPE_KPROBE, attach_type, 0, &detail),
        Some(libc::ESRCH | libc::ENOENT)
    )
}

/// A kernel that has it looks at the file, which is a folder here; others refuse with EINVAL.
fn uprobe_multi(attach_type: u32) -> bool {
    let detail = LinkDetail::UprobeMulti {
        path: c"/",
        offsets: &[0],
        semaphores: &[],
        cookies: &[],
        on_return: false,
        pid: None,
    };
    link_errno(raw::BPF_PROG_TYPE_KPROBE, attach_type, 0, &detail) == Some(libc::EBADF)
}

/// A kernel that has it looks for the device.
fn tcx() -> bool {
    let nowhere = i32::MAX;
    let kind = raw::BPF_PROG_TYPE_SCHED_CLS;
    let program = load(&RETURN_0, kind, 0, 0);
    let link = program.and_then(|program| {
        bpf::link_create(
            program.as_fd(),
            nowhere,
            raw::BPF_TCX_INGRESS,
            &LinkDetail::None,
        )
    });
    link.is_err_and(|error| error.raw_os_error() == Some(libc::ENODEV))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Try {
    Load,
    Attach,
}

/// A program bound to a kernel function by BTF.
fn bound(machine: &Machine, function: &str, attach_type: u32, what: Try) -> bool {
    let Ok((_, id)) = machine.find_type(Kind::Func, function) else {
        return false;
    };
    let Ok(program) = load(&RETURN_0, raw::BPF_PROG_TYPE_TRACING, attach_type, id.0) else {
        return false;
    };
    match what {
        Try::Load => true,
        Try::Attach => bpf::raw_tracepoint_open(program.as_fd(), None, 0).is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fathom_bpf::insn::Reg;

    #[test]
    fn sets_hold_what_was_put_in() {
        for &feature in Feature::ALL {
            let set = FeatureSet::default().with(feature);
            assert!(
                Feature::ALL
                    .iter()
                    .all(|other| set.has(*other) == (*other == feature))
            );
            assert_eq!(set.without(feature), FeatureSet::default());
        }
    }

    #[test]
    fn probe_programs_are_what_their_comments_say() {
        assert_eq!(RETURN_0, [Insn::mov(Reg::R0, 0), Insn::exit()]);
    }
}
