//! What files tell about the kernel's abilities. What must be tried by system calls is the runtime's part.

use crate::{Machine, bytes};

/// What is known from files; nothing here fails, unknown is said as such.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Features {
    /// `uname -r`.
    pub kernel_release: Option<String>,
    /// Whether the kernel offers its types.
    pub btf: bool,
    /// Modules that offer theirs.
    pub btf_modules: usize,
    /// Whether the kernel was built with kprobes.
    pub kprobes: Availability,
    /// Whether the kernel was built with multi-kprobes (fprobe).
    pub kprobe_multi: Availability,
    /// Whether there is the uprobe PMU.
    pub uprobe_pmu: bool,
    /// Whether kallsyms shows addresses.
    pub kernel_addresses: bool,
    /// How the list of functions that ftrace can trace can be had.
    pub traceable_functions: Availability,
    /// Where tracefs is.
    pub tracefs: TracefsState,
    /// Kernel lockdown.
    pub lockdown: Lockdown,
    /// Whether users without privileges may use BPF.
    pub unprivileged_bpf: UnprivilegedBpf,
    /// Whether the BPF just-in-time compiler is on; `None` when the switch is not shown.
    pub jit: Option<bool>,
    /// Whether there is a mounted cgroup2 tree.
    pub cgroup2: bool,
}

/// Whether something is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    /// It is.
    Yes,
    /// It is not.
    No,
    /// It is there but this user may not read it.
    Denied,
    /// Files do not tell.
    Unknown,
}

/// Where tracefs is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TracefsState {
    /// Mounted at this path.
    Mounted(String),
    /// Known to the kernel but not mounted.
    NotMounted,
    /// The kernel does not have it.
    Absent,
}

/// The kernel lockdown mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lockdown {
    /// No restriction.
    None,
    /// The kernel cannot be changed: no writing to user memory from BPF.
    Integrity,
    /// Kernel memory cannot be read either: no tracing programs.
    Confidentiality,
    /// Not shown (securityfs is not mounted, or the kernel has no lockdown).
    Unknown,
}

/// The `kernel.unprivileged_bpf_disabled` switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnprivilegedBpf {
    /// Everyone may load some programs.
    Allowed,
    /// Off, and cannot be turned on again.
    DisabledForever,
    /// Off until an administrator turns it on.
    Disabled,
    /// Not shown.
    Unknown,
}

impl Machine {
    /// Gathers what files tell. Reads kallsyms, which takes some tens of milliseconds: for `fathom info`, not for every run.
    pub fn features(&self) -> Features {
        let kallsyms = self.kallsyms().ok();
        let has_symbol = |name: &str| match kallsyms {
            Some(symbols) if !symbols.is_empty() => {
                if symbols.find(name).next().is_some() {
                    Availability::Yes
                } else {
                    Availability::No
                }
            }
            _ => Availability::Unknown,
        };
        Features {
            kernel_release: self.kernel_release(),
            btf: self.path("/sys/kernel/btf/vmlinux").exists(),
            btf_modules: self.btf_modules().map_or(0, |modules| modules.len()),
            kprobes: has_symbol("register_kprobe"),
            kprobe_multi: has_symbol("bpf_kprobe_multi_link_attach")
                .and(has_symbol("register_fprobe_ips")),
            uprobe_pmu: self.probe_pmu("uprobe").is_ok(),
            kernel_addresses: kallsyms.is_some_and(crate::kallsyms::Kallsyms::has_addresses),
            traceable_functions: self.traceable_functions_state(),
            tracefs: self.tracefs_state(),
            lockdown: self.lockdown(),
            unprivileged_bpf: self.unprivileged_bpf(),
            jit: self
                .switch("/proc/sys/net/core/bpf_jit_enable")
                .map(|value| value != 0),
            cgroup2: self.unified_cgroup().is_ok(),
        }
    }

    /// `uname -r`.
    pub fn kernel_release(&self) -> Option<String> {
        let text = bytes::read_text(&self.path("/proc/sys/kernel/osrelease")).ok()?;
        Some(text.trim().to_string())
    }

    /// The lockdown mode.
    pub fn lockdown(&self) -> Lockdown {
        match bytes::read_text(&self.path("/sys/kernel/security/lockdown")) {
            Ok(text) if text.contains("[none]") => Lockdown::None,
            Ok(text) if text.contains("[integrity]") => Lockdown::Integrity,
            Ok(text) if text.contains("[confidentiality]") => Lockdown::Confidentiality,
            _ => Lockdown::Unknown,
        }
    }

    fn unprivileged_bpf(&self) -> UnprivilegedBpf {
        match self.switch("/proc/sys/kernel/unprivileged_bpf_disabled") {
            Some(0) => UnprivilegedBpf::Allowed,
            Some(1) => UnprivilegedBpf::DisabledForever,
            Some(2) => UnprivilegedBpf::Disabled,
            _ => UnprivilegedBpf::Unknown,
        }
    }

    fn tracefs_state(&self) -> TracefsState {
        let places = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];
        if let Some(place) = places
            .iter()
            .find(|place| self.path(place).join("events").is_dir())
        {
            return TracefsState::Mounted((*place).to_string());
        }
        let known = bytes::read_text(&self.path("/proc/filesystems")).unwrap_or_default();
        let is_known = known
            .lines()
            .any(|line| line.split_ascii_whitespace().last() == Some("tracefs"));
        if is_known {
            TracefsState::NotMounted
        } else {
            TracefsState::Absent
        }
    }

    /// Only looks at a mounted tracefs: a private mount would be made for nothing.
    fn traceable_functions_state(&self) -> Availability {
        let TracefsState::Mounted(place) = self.tracefs_state() else {
            return Availability::Unknown;
        };
        match std::fs::File::open(self.path(place).join("available_filter_functions")) {
            Ok(_) => Availability::Yes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Availability::No,
            Err(_) => Availability::Denied,
        }
    }

    fn switch(&self, path: &str) -> Option<i64> {
        bytes::read_text(&self.path(path)).ok()?.trim().parse().ok()
    }
}

impl Availability {
    fn and(self, other: Availability) -> Availability {
        match (self, other) {
            (Availability::Yes, other) | (other, Availability::Yes) => other,
            (Availability::No, _) | (_, Availability::No) => Availability::No,
            (Availability::Denied, _) | (_, Availability::Denied) => Availability::Denied,
            _ => Availability::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_fixture_folder() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("proc/sys/kernel/osrelease", "6.1.0-test\n");
        write("proc/sys/kernel/unprivileged_bpf_disabled", "2\n");
        write("proc/filesystems", "nodev\ttracefs\n\text4\n");
        write("proc/kallsyms", "ffffffff81000000 T register_kprobe\n");
        write(
            "sys/kernel/security/lockdown",
            "none [integrity] confidentiality\n",
        );
        let features = Machine::at(root.path()).features();
        assert_eq!(features.kernel_release.as_deref(), Some("6.1.0-test"));
        assert_eq!(features.unprivileged_bpf, UnprivilegedBpf::Disabled);
        assert_eq!(features.tracefs, TracefsState::NotMounted);
        assert_eq!(
            (features.kprobes, features.kprobe_multi),
            (Availability::Yes, Availability::No)
        );
        assert_eq!(features.lockdown, Lockdown::Integrity);
        assert!(!features.btf && features.kernel_addresses);
    }

    #[test]
    fn an_empty_root_gives_no_error() {
        let root = tempfile::tempdir().unwrap();
        let features = Machine::at(root.path()).features();
        assert_eq!(features.tracefs, TracefsState::Absent);
        assert_eq!(features.kprobes, Availability::Unknown);
    }
}
