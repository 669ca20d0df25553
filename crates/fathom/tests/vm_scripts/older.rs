//! What older kernels lack: it works in another way, or the message names the kernel that brings it.

use crate::harness::*;

/// Features by the words of `fathom info`, with the kernel that brings them.
const FEATURES: &[(&str, u32, u32)] = &[
    ("ring buffer maps", 5, 8),
    ("bpf_loop", 5, 17),
    ("bpf_for_each_map_elem", 5, 13),
    ("cookies of attach points", 5, 15),
    ("bpf_strncmp", 5, 17),
    ("bpf_get_func_ip", 5, 15),
    ("map keys above 512 bytes", 5, 11),
    ("uprobe.multi links", 6, 6),
    ("uprobe.session links", 6, 14),
    ("fentry and fexit", 5, 5),
    ("iterators", 5, 8),
    ("tcx links", 6, 6),
];

#[test]
fn info_tells_what_the_kernel_can_do() {
    if in_guest() {
        let ran = fathom(&["info"]);
        for (feature, major, minor) in FEATURES {
            let line = ran.text().lines().find(|line| line.contains(feature));
            let line = line.unwrap_or_else(|| panic!("{feature} is not listed:\n{}", ran.out));
            let wanted = match kernel_is(*major, *minor) {
                true => "yes",
                false => "no",
            };
            assert_eq!(line.split_whitespace().next(), Some(wanted), "{line}");
        }
    }
}

#[test]
fn loops_over_maps() {
    if in_guest() {
        let ran =
            run("begin { @[1] = 2; @[3] = 4; for ($kv : @) { print($kv); } clear(@); exit(); }");
        if kernel_is(5, 13) {
            let text = ran.text();
            assert!(text.contains("(1, 2)") && text.contains("(3, 4)"), "{text}");
        } else {
            ran.fails_with(&["`for` over a map needs", "Linux 5.13", "1 | begin"]);
        }
    }
}

#[test]
fn names_of_other_processes() {
    if in_guest() {
        let ran = run("software:cpu-clock:1000000 { print(comm(2)); exit(); }");
        if kernel_is(6, 12) {
            assert!(ran.text().contains("kthreadd"), "{}", ran.text());
        } else {
            ran.fails_with(&["Linux 6.", "1 | software"]);
        }
    }
}

/// In all kernels: numbers of 64 bits and a text, in the trace that all of the machine shares.
#[test]
fn debugf_writes_to_the_trace() {
    if in_guest() {
        run("begin { debugf(\"of fathom %d %s\", 1 << 40, comm); exit(); }").text();
        let trace = std::fs::read_to_string("/sys/kernel/tracing/trace").expect("tracefs is there");
        let wanted = "of fathom 1099511627776 fathom";
        assert!(trace.contains(wanted), "{trace}");
    }
}

#[test]
fn counts_are_read_where_they_are_made() {
    if in_guest() {
        let ran = run("interval:ms:10 { @ = count(); if (@ > 3) { exit(); } }");
        if kernel_is(5, 19) {
            assert!(ran.count("@") > 3, "{}", ran.out);
        } else {
            ran.fails_with(&["Linux 5.19", "1 | interval"]);
        }
    }
}

#[test]
fn loops_over_numbers() {
    if in_guest() {
        let ran = run(
            "begin { for ($i : 0..100) { @sum += $i; } $j = 0; while ($j < 10) { $j++; @twice += 2; } unroll(3) { @n++; } exit(); }",
        );
        ran.has("@sum", 4950);
        ran.has("@twice", 20);
        ran.has("@n", 3);
    }
}

#[test]
fn texts_are_keys() {
    if in_guest() {
        let ran = work(
            r#"tracepoint:syscalls:sys_enter_openat /comm == "bash"/ { @[str(args.filename), comm] = count(); }"#,
        );
        ran.has("@[/etc/hosts, bash]", 2);
    }
}

#[test]
fn events_come_through_the_perf_buffer_too() {
    if in_guest() {
        let script = r#"tracepoint:syscalls:sys_enter_openat /comm == "bash"/ {
            printf("%d %s %s\n", 7, comm, str(args.filename));
        }"#;
        let ran = fathom(&[
            "run",
            "-q",
            "--no-feature",
            "ring_buffer",
            "-e",
            script,
            "-c",
            "/bin/bash /tmp/work.sh",
        ]);
        let lines = ran
            .text()
            .lines()
            .filter(|line| *line == "7 bash /etc/hosts");
        assert_eq!(lines.count(), 2, "{}", ran.out);
    }
}

#[test]
fn several_raw_tracepoints_share_a_body() {
    if in_guest() {
        let ran = work(
            "rawtracepoint:sched_process_exec,rawtracepoint:sched_process_exit { @[probe] = count(); }",
        );
        assert!(
            ran.count("@[rawtracepoint:vmlinux:sched_process_exec]")
                + ran.count("@[rawtracepoint:sched_process_exec]")
                >= 1,
            "{}",
            ran.out
        );
    }
}

#[test]
fn what_the_verifier_refuses_is_shown_at_its_line() {
    if in_guest() {
        let ran = run("begin { @ = 0; }\nkprobe:vfs_read {\n  $i = 0;\n  while ($i < 100000000) { $i++; @[$i] = 1; }\n}\n".replace("@ = 0", "@x = 0").as_str());
        ran.fails_with(&[
            "the kernel refuses this program",
            "the verifier says: ",
            "\n4 | ",
        ]);
    }
}

#[test]
fn clocks_that_are_missing_are_named() {
    if in_guest() {
        let ran = run(r#"begin { print(nsecs(tai) > 0); exit(); }"#);
        if kernel_is(6, 1) {
            assert_eq!(ran.text().trim(), "true");
        } else {
            ran.fails_with(&["Linux 6.1"]);
        }
        let ran = run(r#"begin { @ = tseries(7, 1s, 9); exit(); }"#);
        if kernel_is(6, 1) {
            assert!(
                ran.text().contains("*                         | 7"),
                "{}",
                ran.text()
            );
        } else {
            ran.fails_with(&["Linux 6.1", "1 | begin"]);
        }
    }
}
