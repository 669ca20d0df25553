//! Shows that the guests of `cargo xtask vm` are fit for kernel tests: what the kernels promise, and what init set up.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Prints why and returns false where this is not one of the guests.
fn in_guest() -> bool {
    let inside = std::env::var_os("FATHOM_GUEST").is_some();
    if !inside {
        println!("skipped: runs in `cargo xtask vm` only");
    }
    inside
}

fn release() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease")
        .expect("proc is mounted")
        .trim()
        .to_owned()
}

#[test]
fn the_kernel_has_btf() {
    if in_guest() {
        let btf = fs::read("/sys/kernel/btf/vmlinux").expect("BTF of the kernel");
        assert_eq!(btf[..2], [0x9f, 0xeb], "kernel {}", release());
    }
}

#[test]
fn a_kprobe_can_be_registered_and_fires() {
    if !in_guest() {
        return;
    }
    let tracing = Path::new("/sys/kernel/tracing");
    fs::write(tracing.join("kprobe_events"), "p:fathom_guest vfs_read\n")
        .expect("kprobe_events takes a probe");
    fs::write(tracing.join("events/kprobes/fathom_guest/enable"), "1")
        .expect("the probe can be enabled");
    fs::read("/proc/self/stat").expect("proc is mounted");
    fs::write(tracing.join("events/kprobes/fathom_guest/enable"), "0")
        .expect("the probe can be disabled");
    let trace = fs::read_to_string(tracing.join("trace")).expect("the trace can be read");
    fs::write(tracing.join("kprobe_events"), "").expect("probes can be removed");
    assert!(
        trace.contains("fathom_guest"),
        "the probe has fired:\n{trace}"
    );
}

#[test]
fn the_bpf_lsm_is_on() {
    if in_guest() {
        let list = fs::read_to_string("/sys/kernel/security/lsm").expect("securityfs is mounted");
        assert!(list.split(',').any(|name| name.trim() == "bpf"), "{list}");
    }
}

#[test]
fn network_modules_are_loaded_on_demand() {
    if !in_guest() {
        return;
    }
    let ip = |args: &[&str]| {
        Command::new("ip")
            .args(args)
            .output()
            .expect("busybox has ip")
    };
    let made = ip(&["link", "add", "va", "type", "veth", "peer", "name", "vb"]);
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    assert!(ip(&["link", "del", "va"]).status.success());
    let loaded = Command::new("modprobe")
        .arg("sch_fq")
        .output()
        .expect("busybox has modprobe");
    assert!(
        loaded.status.success(),
        "{}",
        String::from_utf8_lossy(&loaded.stderr)
    );
}

#[test]
fn file_systems_and_programs_are_in_place() {
    if !in_guest() {
        return;
    }
    let mounts = fs::read_to_string("/proc/mounts").expect("proc is mounted");
    for point in [
        "/sys/kernel/tracing",
        "/sys/kernel/debug",
        "/sys/fs/bpf",
        "/sys/fs/cgroup",
        "/tmp",
        "/dev/pts",
    ] {
        assert!(
            mounts
                .lines()
                .any(|line| line.split(' ').nth(1) == Some(point)),
            "{point} is mounted:\n{mounts}"
        );
    }
    let fathom = std::env::var("FATHOM_BIN").expect("FATHOM_BIN is set");
    assert!(Path::new(&fathom).exists(), "{fathom} exists");
    let loopback = fs::read_to_string("/sys/class/net/lo/flags").expect("lo exists");
    let flags =
        i64::from_str_radix(loopback.trim().trim_start_matches("0x"), 16).expect("flags are hex");
    assert_eq!(flags & 1, 1, "lo is up");
}
