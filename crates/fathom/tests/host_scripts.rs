//! Scripts on the running kernel, through the `fathom` command as a user calls it. Needs root.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Output, Stdio};

/// Says so if not.
fn is_root() -> bool {
    // /proc/self belongs to whoever asks.
    let is_root = std::fs::metadata("/proc/self")
        .is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0);
    if !is_root {
        println!("skipped: needs root");
    }
    is_root
}

/// Runs a script with further arguments. `None`: not root, and said so.
fn run(script: &str, args: &[&str]) -> Option<Output> {
    if !is_root() {
        return None;
    }
    let output = Command::new(env!("CARGO_BIN_EXE_fathom"))
        .args(["run", "-q", "-e", script])
        .args(args)
        .output()
        .expect("the fathom command starts");
    Some(output)
}

/// Standard output of a script that must succeed.
fn shows(script: &str, args: &[&str]) -> Option<String> {
    let output = run(script, args)?;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{script}: {}\n{errors}",
        output.status
    );
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn check(script: &str, args: &[&str], wanted: &str) {
    if let Some(text) = shows(script, args) {
        assert_eq!(text.trim(), wanted.trim(), "{script}");
    }
}

#[test]
fn begin_prints_and_leaves() {
    check(
        "begin { printf(\"hello %d %s\\n\", 42, \"x\"); exit(); }",
        &[],
        "hello 42 x",
    );
}

#[test]
fn exit_code_is_the_scripts() {
    if let Some(output) = run("begin { exit(7); }", &[]) {
        assert_eq!(output.status.code(), Some(7));
    }
}

#[test]
fn variables_maps_and_tuples() {
    check(
        "begin { $x = 5; $x++; @a = $x * 3; @m[1, \"abc\"] = 7; $t = (1, \"two\", -3); print($t); print($t.1); exit(); }",
        &[],
        "(1, two, -3)\ntwo\n\n\n@a: 18\n@m[1, abc]: 7",
    );
}

#[test]
fn loops_go_over_ranges_and_maps() {
    check(
        "begin { @m[1] = 10; for ($i : 0..3) { printf(\"%d \", $i); } for ($kv : @m) { print($kv); } clear(@m); exit(); }",
        &[],
        "0 1 2 (1, 10)",
    );
}

#[test]
fn strings_compare() {
    check(
        "begin { $s = \"hello\"; if ($s == \"hello\") { printf(\"same \"); } if (strncmp(\"hellx\", $s, 4) == 0) { printf(\"start\\n\"); } exit(); }",
        &[],
        "same start",
    );
}

#[test]
fn aggregations_of_begin() {
    check(
        "begin { @av = avg(7); @c = count(); @ma = max(9); @mi = min(-3); @s = sum(4); exit(); }",
        &[],
        "@av: 7\n@c: 1\n@ma: 9\n@mi: -3\n@s: 4",
    );
}

#[test]
fn a_command_is_seen_from_its_first_instruction() {
    let script = "tracepoint:syscalls:sys_enter_openat /comm == \"cat\"/ { printf(\"%s\\n\", str(args.filename)); }";
    if let Some(text) = shows(script, &["-c", "cat /etc/hostname"]) {
        assert!(text.lines().any(|line| line == "/etc/hostname"), "{text}");
    }
}

#[test]
fn typed_raw_tracepoints() {
    let script =
        "rawtracepoint:sched_switch { @[args.prev.comm] = count(); } interval:ms:500 { exit(); }";
    if let Some(text) = shows(script, &[]) {
        assert!(text.contains("@[fathom]: "), "{text}");
    }
}

#[test]
fn uprobes_see_arguments_and_results() {
    let script = "uprobe:libc:malloc { @bytes = sum(arg0); } uretprobe:libc:malloc /retval != 0/ { @returned = count(); }";
    if let Some(text) = shows(script, &["-c", "ls /"]) {
        assert!(
            text.contains("@bytes: ") && text.contains("@returned: "),
            "{text}"
        );
    }
}

#[test]
fn json_has_one_object_a_line() {
    check(
        "begin { @x = 5; printf(\"a\"); exit(); }",
        &["-f", "json"],
        "{\"type\": \"printf\", \"data\": \"a\"}\n{\"type\": \"map\", \"data\": {\"@x\": 5}}",
    );
}

#[test]
fn a_wrong_script_is_explained() {
    let Some(output) = run(
        "rawtracepoint:sched_switch { @[args.prev.stat] = count(); }",
        &[],
    ) else {
        return;
    };
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        text.contains("`struct task_struct` has no field `stat`"),
        "{text}"
    );
}

/// Messages at run time name the imported file and its line, as bpftrace does.
#[test]
fn warnings_name_the_imported_file() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("main.bt");
    std::fs::write(&script, "import \"b.bt\";\nbegin { exit(); }").expect("written");
    std::fs::write(
        folder.path().join("b.bt"),
        "struct s { int x; };\n\nend { warnf(\"hm\"); }",
    )
    .expect("written");
    let output = Command::new(env!("CARGO_BIN_EXE_fathom"))
        .args(["run", "-q"])
        .arg(&script)
        .output()
        .expect("the fathom command starts");
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "b.bt:3:7-18: WARNING: hm\n"
    );
}

/// `ls` has long ended when the map is printed.
#[test]
fn stacks_of_ended_processes_have_names() {
    if !is_root() {
        return;
    }
    let script = "uprobe:libc:malloc /comm == \"cat\"/ {
        @[ustack(1), usym(reg(\"ip\"))] = count(); printf(\"seen\\n\"); }";
    let mut session = Command::new(env!("CARGO_BIN_EXE_fathom"))
        .args(["run", "-e", script])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the fathom command starts");
    let errors = BufReader::new(session.stderr.take().expect("standard error is a pipe"));
    let attached = errors
        .lines()
        .map_while(Result::ok)
        .find(|line| line.starts_with("Attached"));
    assert!(attached.is_some(), "not attached");
    // It waits for its input, so it lives until the session has seen it; then it ends.
    let mut cat = Command::new("/bin/cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("cat starts");
    let mut results = BufReader::new(session.stdout.take().expect("standard output is a pipe"));
    let mut text = String::new();
    results.read_line(&mut text).expect("results can be read");
    assert_eq!(text, "seen\n");
    drop(cat.stdin.take());
    assert!(cat.wait().expect("cat is our child").success());
    // SAFETY: sends a signal to a child that was not waited for yet.
    unsafe { libc::kill(session.id() as i32, libc::SIGINT) };
    results
        .read_to_string(&mut text)
        .expect("results can be read");
    assert!(session.wait().expect("the session ends").success());
    assert!(text.contains("malloc+0"), "{text}");
    assert!(!text.contains("0x"), "{text}");
}
