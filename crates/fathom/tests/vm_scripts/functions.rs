//! Functions of the kernel: kprobe, kretprobe, fentry, fexit, in the kernel itself and in modules.

use crate::harness::*;
use std::cell::Cell;
use std::process::Command;

#[test]
fn a_kprobe_reads_its_arguments() {
    if in_guest() {
        let script = r#"kprobe:vfs_open /comm == "bash"/ {
            @[str(((struct path *)arg0).dentry.d_name.name)] = count();
        }"#;
        work(script).has("@[hosts]", 2);
    }
}

#[test]
fn a_kretprobe_sees_results_of_the_calls_before() {
    if in_guest() {
        let script = r#"
            kprobe:vfs_open /comm == "bash"/ { @start[tid] = nsecs; @calls = count(); }
            kretprobe:vfs_open /@start[tid]/ {
                @took[nsecs > @start[tid]] = count();
                if (retval == 0) { @good = count(); }
                delete(@start, tid);
            }"#;
        let ran = work(script);
        assert!(ran.count("@calls") >= 2, "{}", ran.out);
        assert!(ran.count("@good") >= 2, "{}", ran.out);
        ran.has("@took[true]", ran.count("@calls"));
    }
}

#[test]
fn wildcards_name_the_function_at_entry_and_return() {
    if in_guest() {
        let entry = work(r#"kprobe:vfs_op* /comm == "bash"/ { @[func] = count(); }"#);
        assert!(entry.count("@[vfs_open]") >= 2, "{}", entry.out);
        let exit = work(r#"kretprobe:vfs_op* /comm == "bash"/ { @[func] = count(); }"#);
        exit.has("@[vfs_open]", entry.count("@[vfs_open]"));
        let probe = work(r#"kprobe:vfs_op* /comm == "bash"/ { @[probe] = count(); }"#);
        probe.has("@[kprobe:vfs_open]", entry.count("@[vfs_open]"));
    }
}

#[test]
fn many_functions_at_once() {
    if in_guest() {
        let ran = fathom(&[
            "run",
            "-e",
            "kprobe:vfs_* { @ = count(); }",
            "-c",
            "/bin/bash /tmp/work.sh",
        ]);
        assert!(ran.count("@") > 10, "{}", ran.out);
        let said = format!("{}{}", ran.out, ran.err);
        let attached = said
            .split_once("Attached ")
            .and_then(|(_, rest)| rest.split(' ').next()?.parse::<u32>().ok());
        assert!(attached.is_some_and(|count| count > 40), "{said}");
    }
}

#[test]
fn without_multi_links_each_function_gets_its_own_probe() {
    if in_guest() {
        let script = r#"kprobe:vfs_op* /comm == "bash"/ { @[probe] = count(); }"#;
        let ran = fathom(&[
            "run",
            "-q",
            "--no-feature",
            "kprobe_multi",
            "-e",
            script,
            "-c",
            "/bin/bash /tmp/work.sh",
        ]);
        assert!(ran.count("@[kprobe:vfs_open]") >= 2, "{}", ran.out);
    }
}

#[test]
fn a_kprobe_inside_of_a_function() {
    if in_guest() {
        // Behind `endbr64` on kernels built with it, else behind the call of ftrace.
        let at = |offset: u32| {
            work(&format!(
                r#"kprobe:vfs_open+{offset} /comm == "bash"/ {{ @[func] = count(); }}"#
            ))
        };
        let (four, five) = (at(4), at(5));
        let (good, bad) = if four.status.success() {
            (four, five)
        } else {
            (five, four)
        };
        assert!(good.count("@[vfs_open]") >= 2, "{}", good.out);
        bad.fails_with(&[
            "cannot attach `kprobe:vfs_open+",
            "inside of an instruction",
        ]);
    }
}

#[test]
fn fentry_and_fexit_have_typed_arguments() {
    if in_guest() {
        let entry = r#"fentry:vfs_open /comm == "bash"/ { @[str(args.path.dentry.d_name.name)] = count(); }"#;
        work(entry).has("@[hosts]", 2);
        let exit = r#"fexit:vfs_open /comm == "bash"/ { @[str(args.path.dentry.d_name.name), retval] = count(); }"#;
        work(exit).has("@[hosts, 0]", 2);
    }
}

#[test]
fn fentry_wildcards_take_what_can_be_traced() {
    if in_guest() {
        let ran =
            work(r#"fentry:vfs_*,fexit:vfs_open /comm == "bash"/ { @[probe, func] = count(); }"#);
        let entries = ran.count("@[fentry:vmlinux:vfs_open, vfs_open]");
        assert!(entries >= 2, "{}", ran.out);
        ran.has("@[fexit:vmlinux:vfs_open, vfs_open]", entries);
    }
}

#[test]
fn kernel_stacks_have_names() {
    if in_guest() {
        let ran = work(r#"kprobe:vfs_open /comm == "bash"/ { @[kstack] = count(); }"#);
        let text = ran.text();
        assert!(text.contains("\n        vfs_open+"), "{text}");
        assert!(text.contains("path_openat+"), "{text}");
        assert!(text.contains("do_syscall_64+"), "{text}");
    }
}

#[test]
fn functions_that_are_not_there_or_cannot_be_probed() {
    if in_guest() {
        run("kprobe:vfs_raed { @ = count(); }").fails_with(&[
            "there is no kernel function `vfs_raed`",
            "did you mean `vfs_read`?",
        ]);
        run("fentry:vfs_raed { @ = count(); }").fails_with(&["did you mean `vfs_read`?"]);
        run("kprobe:do_int3 { @ = count(); }").fails_with(&[
            "cannot attach `kprobe:do_int3`",
            "the kernel's block list",
            "1 | kprobe:do_int3",
        ]);
    }
}

/// A pair of veth devices with an address, whose traffic runs through the module `veth`.
struct Veth {
    /// The last part of the address that was asked for last.
    asked: Cell<u8>,
}

impl Veth {
    fn new() -> Veth {
        for line in [
            "link add va type veth",
            "link set va up",
            "link set veth0 up",
            "addr add 10.9.0.1/24 dev va",
        ] {
            let done = Command::new("ip").args(line.split(' ')).status();
            assert!(done.is_ok_and(|status| status.success()), "ip {line}");
        }
        Veth {
            asked: Cell::new(1),
        }
    }

    /// Runs a script while packets are sent.
    fn send(&self, script: &str) -> Ran {
        // Nobody answers: what counts are the requests for an address that was not asked for before.
        let number = self.asked.get() + 1;
        self.asked.set(number);
        let command = format!("sh -c 'ping -c 1 -W 1 10.9.0.{number}; true'");
        during(script, &command)
    }
}

impl Drop for Veth {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["link", "del", "va"]).status();
    }
}

#[test]
fn functions_and_packets_of_a_module() {
    if !in_guest() {
        return;
    }
    let veth = Veth::new();
    let kprobe = veth.send("kprobe:veth_xmit { @ = count(); }");
    assert!(kprobe.count("@") > 0, "{}", kprobe.out);
    let typed =
        veth.send("fentry:veth:veth_xmit { @[str(args.dev.name), args.skb.len > 0] = count(); }");
    if kernel_is(5, 11) {
        assert!(typed.count("@[va, true]") > 0, "{}", typed.out);
        let result = veth.send("fexit:veth_xmit { @[retval] = count(); }");
        assert!(result.count("@[NETDEV_TX_OK]") > 0, "{}", result.out);
    } else {
        typed.fails_with(&["module `veth` has no BTF", "Linux 5.11", "use a kprobe"]);
    }
    let arp = 0x0806;
    let received = veth.send("xdp:veth0 { @[eth.type] = count(); }");
    assert!(received.count(&format!("@[{arp}]")) > 0, "{}", received.out);
    let sent = veth.send("tc:va:egress { @[eth.type] = count(); }");
    assert!(sent.count(&format!("@[{arp}]")) > 0, "{}", sent.out);
}

#[test]
fn nothing_stays_behind_when_fathom_is_killed() {
    if !in_guest() {
        return;
    }
    let probes = || std::fs::read_to_string("/sys/kernel/debug/kprobes/list").expect("debugfs");
    let traced = || {
        let list = std::fs::read_to_string("/sys/kernel/tracing/enabled_functions");
        list.expect("tracefs").lines().count()
    };
    let before = (probes(), traced());
    // It kills itself, from its own probe, while its probes are on.
    // `begin` runs in fathom itself.
    let script = r#"
        begin { @self = pid; }
        kprobe:vfs_open, kretprobe:vfs_open { @ = count(); }
        fentry:vfs_read { @ = count(); }
        interval:ms:50 { system("kill -9 %d", @self); }"#;
    let ran = fathom(&["run", "-q", "--unsafe", "-e", script]);
    assert!(!ran.status.success(), "{}", ran.err);
    let gone = || (probes(), traced()) == before;
    let started = std::time::Instant::now();
    while !gone() {
        assert!(
            started.elapsed().as_secs() < 60,
            "{}\n{}",
            probes(),
            traced()
        );
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
