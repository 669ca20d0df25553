//! What this process may do, and why the kernel said `EPERM`, as far as this process can tell.

use crate::sys::capability;
use std::fs;

/// Bits of capabilities (include/uapi/linux/capability.h).
const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

/// One sentence on what is missing; `None` when this process has all rights that there are.
pub fn missing_right() -> Option<String> {
    // Who cannot be asked is tried, and told what the kernel says then.
    let effective = capability::effective().unwrap_or(u64::MAX);
    let lockdown = fs::read_to_string("/sys/kernel/security/lockdown").unwrap_or_default();
    let sysctl =
        |name: &str| fs::read_to_string(format!("/proc/sys/kernel/{name}")).unwrap_or_default();
    explain(
        effective,
        &lockdown,
        sysctl("unprivileged_bpf_disabled").trim(),
    )
}

fn explain(effective: u64, lockdown: &str, unprivileged_disabled: &str) -> Option<String> {
    let has = |bit: u32| effective & (1 << bit) != 0;
    let may_trace = has(CAP_SYS_ADMIN) || (has(CAP_BPF) && has(CAP_PERFMON));
    if !may_trace {
        let sysctl = match unprivileged_disabled {
            "1" | "2" => " (unprivileged BPF is switched off on this system)",
            _ => "",
        };
        return Some(format!(
            "tracing needs root, or CAP_BPF and CAP_PERFMON{sysctl}; run it with sudo"
        ));
    }
    if lockdown.contains("[confidentiality]") {
        return Some(
            "the kernel is locked down (confidentiality): no BPF program may read kernel memory; boot with lockdown=integrity or none".into(),
        );
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_is_missing() {
        let root = 0x1ff_ffff_ffff;
        let nobody = 0;
        let bpf_and_perfmon = 0xc0_0000_0000;
        let cases = [
            (root, "[none] integrity confidentiality", None),
            (
                root,
                "none integrity [confidentiality]",
                Some("locked down"),
            ),
            (nobody, "", Some("needs root")),
            (bpf_and_perfmon, "", None),
        ];
        for (effective, lockdown, expected) in cases {
            let told = explain(effective, lockdown, "2");
            match (told, expected) {
                (None, None) => {}
                (Some(told), Some(part)) => assert!(told.contains(part), "{told}"),
                (told, expected) => {
                    panic!("{effective:x} {lockdown:?}: {told:?}, not {expected:?}")
                }
            }
        }
    }
}
