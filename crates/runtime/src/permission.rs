//! What this process may do, and why the kernel said `EPERM`, as far as this process can tell.

use std::fs;

/// Bits in `CapEff` of `/proc/self/status` (include/uapi/linux/capability.h).
const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

/// One sentence on what is missing; `None` when this process has all rights that there are.
pub fn missing_right() -> Option<String> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let lockdown = fs::read_to_string("/sys/kernel/security/lockdown").unwrap_or_default();
    let sysctl =
        |name: &str| fs::read_to_string(format!("/proc/sys/kernel/{name}")).unwrap_or_default();
    explain(
        &status,
        &lockdown,
        sysctl("unprivileged_bpf_disabled").trim(),
    )
}

fn explain(status: &str, lockdown: &str, unprivileged_disabled: &str) -> Option<String> {
    let effective = effective_capabilities(status);
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

fn effective_capabilities(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    line.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_is_missing() {
        let root = "Name:\tx\nCapEff:\t000001ffffffffff\n";
        let nobody = "CapEff:\t0000000000000000\n";
        let bpf_and_perfmon = "CapEff:\t000000c000000000\n";
        let cases = [
            (root, "[none] integrity confidentiality", None),
            (
                root,
                "none integrity [confidentiality]",
                Some("locked down"),
            ),
            (nobody, "", Some("needs root")),
            (bpf_and_perfmon, "", None),
            ("garbage", "", Some("needs root")),
        ];
        for (status, lockdown, expected) in cases {
            let told = explain(status, lockdown, "2");
            match (told, expected) {
                (None, None) => {}
                (Some(told), Some(part)) => assert!(told.contains(part), "{told}"),
                (told, expected) => panic!("{status:?} {lockdown:?}: {told:?}, not {expected:?}"),
            }
        }
    }
}
