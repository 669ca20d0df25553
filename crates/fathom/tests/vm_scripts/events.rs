//! Tracepoints, clocks, counters, breakpoints, iterators, and what begins and ends a script.

use crate::harness::*;

#[test]
fn all_system_calls_at_once() {
    if in_guest() {
        let ran =
            work(r#"tracepoint:syscalls:sys_enter_* /comm == "bash"/ { @[probe] = count(); }"#);
        for call in ["openat", "read", "exit_group"] {
            let entry = format!("@[tracepoint:syscalls:sys_enter_{call}]");
            assert!(ran.count(&entry) > 0, "{entry}\n{}", ran.out);
        }
    }
}

#[test]
fn a_busy_program_is_sampled() {
    if in_guest() {
        let ran = spin("profile:hz:99 { @[comm] = count(); }");
        assert!(ran.count("@[bash]") > 2, "{}", ran.out);
        let stacks = spin("profile:hz:99 /comm == \"bash\"/ { @[ustack(1)] = count(); }");
        assert!(stacks.text().contains("@["), "{}", stacks.out);
    }
}

#[test]
fn software_events_are_counted() {
    if in_guest() {
        let faults = work("software:page-faults:1 { @[comm] = count(); }");
        assert!(faults.count("@[bash]") > 20, "{}", faults.out);
        let switches = spin("software:context-switches:1 { @ = count(); }");
        assert!(switches.count("@") > 0, "{}", switches.out);
    }
}

#[test]
fn hardware_counters_count_or_are_said_to_be_missing() {
    if in_guest() {
        let ran = spin("hardware:instructions:100000 { @ = count(); }");
        if ran.status.success() {
            assert!(ran.count("@") > 0, "{}", ran.out);
        } else {
            ran.fails_with(&["no hardware counters", "profile:hz:99"]);
        }
    }
}

#[test]
fn a_breakpoint_watches_a_kernel_variable() {
    if in_guest() {
        let symbols = std::fs::read_to_string("/proc/kallsyms").expect("kallsyms");
        let jiffies = symbols
            .lines()
            .find_map(|line| line.strip_suffix(" jiffies_64")?.split(' ').next())
            .expect("every kernel counts jiffies");
        let ran = run(&format!(
            "watchpoint:0x{jiffies}:8:w {{ @++; if (@ > 3) {{ exit(); }} }}"
        ));
        assert!(ran.count("@") > 3, "{}", ran.out);
    }
}

#[test]
fn iterators_list_tasks_and_their_files() {
    if in_guest() {
        let tasks = run(r#"iter:task { printf("%s %d\n", ctx.task.comm, ctx.task.pid); }"#);
        assert!(tasks.text().contains("init 1\n"), "{}", tasks.out);
        let files = run(r#"iter:task_file { printf("%d %d\n", ctx.task.pid, ctx.fd); }"#);
        assert!(files.text().contains("1 0\n"), "{}", files.out);
    }
}

#[test]
fn a_script_begins_ends_and_exits() {
    if in_guest() {
        let ran = run(
            r#"begin { printf("a\n"); } interval:ms:20 { printf("b\n"); exit(3); } end { printf("c\n"); }"#,
        );
        assert_eq!(ran.status.code(), Some(3), "{}", ran.err);
        assert_eq!(ran.out.trim(), "a\nb\nc");
    }
}

#[test]
fn values_of_every_kind_are_shown() {
    if in_guest() {
        let script = r#"begin {
            @c = count(); @s = sum(-4); @a = avg(7); @mi = min(3); @ma = max(9);
            @h = hist(77); @l = lhist(5, 0, 10, 1); @st = stats(5);
            @t[1, "two"] = (3, "four");
            $s = "text"; printf("%s %d %x %c %5.2d %s\n", $s, -1, 255, 65, 7, probe);
            exit();
        }"#;
        let ran = run(script);
        let text = ran.text();
        for part in [
            "text -1 ff A",
            "@s: -4",
            "@a: 7",
            "@mi: 3",
            "@ma: 9",
            "[64, 128)",
            "@t[1, two]: (3, four)",
        ] {
            assert!(text.contains(part), "no {part:?} in:\n{text}");
        }
    }
}
