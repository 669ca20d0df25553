//! Functions and USDT probes of user programs: bash and Python from the machine that made the guest.

use crate::harness::*;

const PYTHON: &str = "/usr/bin/python3 -I -S -c pass";

#[test]
fn uprobes_see_calls_and_results() {
    if in_guest() {
        let ran = work(
            "uprobe:/bin/bash:execute_command { @calls = count(); }
             uretprobe:/bin/bash:execute_command { @[retval] = count(); }",
        );
        assert!(ran.count("@calls") >= 3, "{}", ran.out);
        ran.has("@[0]", ran.count("@calls"));
    }
}

#[test]
fn wildcards_name_the_user_function() {
    if in_guest() {
        let all = work("uprobe:/bin/bash:execute_* { @[func] = count(); }");
        assert!(all.count("@[execute_command]") >= 3, "{}", all.out);
        let single = fathom(&[
            "run",
            "-q",
            "--no-feature",
            "uprobe_multi",
            "-e",
            "uprobe:/bin/bash:execute_* { @[func] = count(); }",
            "-c",
            "/bin/bash /tmp/work.sh",
        ]);
        single.has("@[execute_command]", all.count("@[execute_command]"));
    }
}

#[test]
fn the_returning_function_is_known_or_the_kernel_that_tells_it() {
    if in_guest() {
        let probe = work("uretprobe:/bin/bash:execute_* { @[probe] = count(); }");
        let calls = probe.count("@[uretprobe:/bin/bash:execute_command]");
        assert!(calls >= 3, "{}", probe.out);
        let func = work("uretprobe:/bin/bash:execute_* { @[func] = count(); }");
        if kernel_is(6, 6) {
            func.has("@[execute_command]", calls);
        } else {
            func.fails_with(&["needs Linux 6.6", "use `probe`"]);
        }
    }
}

#[test]
fn user_stacks_have_names() {
    if in_guest() {
        let ran = work("uprobe:/bin/bash:execute_command { @[ustack(4)] = count(); }");
        assert!(
            ran.text().contains("\n        execute_command+"),
            "{}",
            ran.out
        );
    }
}

/// bash is built without frame pointers: only `.eh_frame` leads from a function to its callers.
#[test]
fn user_stacks_without_frame_pointers_reach_main() {
    if in_guest() {
        let script = "uprobe:/bin/bash:evalexp { @[dw_ustack(12)] = count(); }";
        // The loop runs long enough for the process to be looked at.
        let ran = spin(script);
        if kernel_is(5, 17) {
            let text = ran.text();
            let lines: Vec<&str> = text.lines().map(str::trim).collect();
            let calls = |name: &str| lines.iter().any(|line| line.starts_with(name));
            assert!(calls("reader_loop+") && calls("main+"), "{text}");
        } else {
            ran.fails_with(&["`dw_ustack` needs", "Linux 5.17"]);
        }
    }
}

#[test]
fn static_probes_of_python_fire() {
    if in_guest() {
        let ran = during(
            "usdt:/usr/bin/python3:python:audit { @[str(arg0)] = count(); }",
            PYTHON,
        );
        ran.has("@[cpython.run_command]", 1);
        let all = during("usdt:/usr/bin/python3:* { @[probe] = count(); }", PYTHON);
        assert!(
            all.count("@[usdt:/usr/bin/python3:python:gc__start]") > 0,
            "{}",
            all.out
        );
        assert!(
            all.count("@[usdt:/usr/bin/python3:python:line]") > 100,
            "{}",
            all.out
        );
    }
}

#[test]
fn opened_files_are_told_by_name() {
    if in_guest() {
        let script = r#"tracepoint:syscalls:sys_enter_openat /comm == "bash"/ {
            printf("%s\n", str(args.filename));
        }"#;
        let ran = work(script);
        let opened = ran.text().lines().filter(|line| *line == "/etc/hosts");
        assert_eq!(opened.count(), 2, "{}", ran.out);
    }
}

#[test]
fn a_program_is_seen_when_it_starts() {
    if in_guest() {
        let ran = work(
            "rawtracepoint:sched_process_exec { @[str(args.bprm.filename), args.p.comm] = count(); }",
        );
        ran.has("@[/bin/bash, bash]", 1);
    }
}

#[test]
fn a_signal_from_the_kernel_ends_a_program() {
    if in_guest() {
        let script = r#"
            kprobe:vfs_open /comm == "bash"/ { signal("KILL"); }
            rawtracepoint:sched_process_exit /comm == "bash"/ { @ended = count(); }
            tracepoint:syscalls:sys_enter_read /comm == "bash"/ { @reads = count(); }"#;
        let ran = fathom(&[
            "run",
            "-q",
            "--unsafe",
            "-e",
            script,
            "-c",
            "/bin/bash /tmp/work.sh",
        ]);
        ran.has("@ended", 1);
        ran.has("@reads", 0);
    }
}

const GO_SOURCE: &str = "package main\nfunc main() {\n\tfor i := range []int{1, 2, 3} {\n\t\tprintln(i, f(i, g(2)))\n\t}\n}\n";

/// The stripped `gofmt` of Debian: recursive functions, on stacks that grow.
#[test]
fn calls_of_go_programs_are_paired_with_their_returns() {
    if in_guest() {
        let folders = std::fs::read_dir("/usr/lib").expect("there are libraries");
        let gofmt = folders
            .flatten()
            .map(|folder| folder.path().join("bin/gofmt"))
            .find(|path| path.exists())
            .expect("the guest has gofmt");
        std::fs::write("/tmp/main.go", GO_SOURCE).expect("/tmp can be written");
        let gofmt = gofmt.display();
        let functions = format!("{gofmt}:go/printer.(*printer).*");
        let ran = during(
            &format!(
                "uprobe:{functions} {{ @start[pid, goid, frame] = 1; @in = count(); }}
                 uretprobe:{functions} {{
                     if (@start[pid, goid, frame]) {{ @pairs = count(); }}
                     delete(@start, (pid, goid, frame));
                     @out = count();
                 }}"
            ),
            &format!("{gofmt} -l /tmp/main.go"),
        );
        let calls = ran.count("@in");
        assert!(calls > 100, "{}", ran.out);
        ran.has("@out", calls);
        ran.has("@pairs", calls);
        assert!(!ran.out.contains("@start"), "{}", ran.out);
    }
}
