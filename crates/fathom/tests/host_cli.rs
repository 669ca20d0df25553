//! The command line as a user meets it, on the running kernel. What traces needs root; what only looks does not.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for anything.
const LIMIT: Duration = Duration::from_secs(60);
const FATHOM: &str = env!("CARGO_BIN_EXE_fathom");
/// Scripts that nobody here wrote: of the package bpftrace.
const TOOLS: &str = "/usr/sbin";

fn is_root() -> bool {
    // /proc/self belongs to whoever asks.
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0);
    if !is_root {
        println!("skipped: needs root");
    }
    is_root
}

struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

fn said(output: Output) -> Said {
    Said {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn run(program: impl AsRef<Path>, arguments: &[&str]) -> Said {
    let output = Command::new(program.as_ref())
        .args(arguments)
        .stdin(Stdio::null())
        .output();
    said(output.expect("the command starts"))
}

fn fathom(arguments: &[&str]) -> Said {
    run(FATHOM, arguments)
}

/// The same, without any right, in a folder that anybody may read.
fn nobody(arguments: &[&str]) -> Said {
    let folder = tempfile::tempdir().expect("a folder");
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open).expect("may be opened");
    let binary = folder.path().join("fathom");
    std::fs::copy(FATHOM, &binary).expect("copied");
    let mut words = vec!["--reuid=65534", "--regid=65534", "--clear-groups"];
    let binary = binary.display().to_string();
    words.push(&binary);
    words.extend(arguments);
    run("setpriv", &words)
}

/// A folder in which `bpftrace` is this command.
fn bpftrace() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let link = folder.path().join("bpftrace");
    symlink(FATHOM, &link).expect("linked");
    (folder, link)
}

/// Reads until a line holds the text; the rest stays in the reader.
fn wait_for(reader: &mut impl BufRead, text: &str) {
    let mut line = String::new();
    while !line.contains(text) {
        line.clear();
        let count = reader.read_line(&mut line).expect("readable");
        assert_ne!(count, 0, "`{text}` never came");
    }
}

/// Starts a script that runs until it is stopped, and waits until its probes are on.
fn started(arguments: &[&str]) -> Child {
    let mut child = Command::new(FATHOM)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts");
    let mut err = BufReader::new(child.stderr.take().expect("piped"));
    wait_for(&mut err, "Attached");
    child
}

fn interrupt(child: &Child) {
    let sent = run("kill", &["-INT", &child.id().to_string()]);
    assert_eq!(sent.code, Some(0), "{}", sent.err);
}

fn rest(mut child: Child) -> (Option<i32>, String) {
    let mut out = String::new();
    let mut stdout = child.stdout.take().expect("piped");
    stdout.read_to_string(&mut out).expect("readable");
    (child.wait().expect("ends").code(), out)
}

#[test]
fn ctrl_c_ends_a_session_with_its_maps_and_zero() {
    if !is_root() {
        return;
    }
    let child = started(&[
        "run",
        "-e",
        "begin { @x = 7; } interval:s:100 { } end { printf(\"bye\\n\"); }",
    ]);
    interrupt(&child);
    let (code, out) = rest(child);
    assert_eq!(code, Some(0));
    assert!(out.contains("bye") && out.contains("@x: 7"), "{out}");
}

/// Nobody reads, so that the first Ctrl-C cannot end the session.
#[test]
fn a_second_ctrl_c_ends_at_once() {
    if !is_root() {
        return;
    }
    let script = "interval:ms:1 { printf(\"%0500d\\n\", 1); }";
    let mut child = started(&["run", "-e", script]);
    let call = format!("/proc/{}/syscall", child.id());
    let begun = Instant::now();
    // write(1, …), twice in a row with the same arguments: it waits for a reader.
    let mut last = String::new();
    loop {
        let now = std::fs::read_to_string(&call).expect("it runs");
        if now.starts_with("1 0x1 ") && now == last {
            break;
        }
        last = now;
        assert!(begun.elapsed() < LIMIT, "the pipe is never full");
        std::thread::yield_now();
    }
    let code = loop {
        interrupt(&child);
        if let Some(status) = child.try_wait().expect("waited for") {
            break status.code();
        }
        assert!(begun.elapsed() < LIMIT, "it does not end");
    };
    assert_eq!(code, Some(130));
}

#[test]
fn sigterm_is_a_good_end_too() {
    if !is_root() {
        return;
    }
    let child = started(&["run", "-e", "begin { @x = 7; } interval:s:100 { }"]);
    let sent = run("kill", &["-TERM", &child.id().to_string()]);
    assert_eq!(sent.code, Some(0), "{}", sent.err);
    let (code, out) = rest(child);
    assert_eq!(code, Some(0));
    assert!(out.contains("@x: 7"), "{out}");
}

#[test]
fn a_reader_that_goes_away_ends_a_session_quietly() {
    if !is_root() {
        return;
    }
    let script = "interval:ms:1 { printf(\"line\\n\"); }";
    let text = format!("set -o pipefail; {FATHOM} run -q -e '{script}' | head -n 1");
    let heard = run("bash", &["-c", &text]);
    assert_eq!(
        (heard.code, heard.out.as_str(), heard.err.as_str()),
        (Some(0), "line\n", "")
    );
}

#[test]
fn commands_take_quotes_and_parameters_reach_scripts() {
    if !is_root() {
        return;
    }
    let script = "begin { printf(\"%d %s %d\\n\", $1, str($2), $#); } interval:s:100 { }";
    let quoted = [
        "run",
        "-q",
        "-e",
        script,
        "-c",
        "sh -c 'echo \"a  b\"'",
        "5",
        "x y",
    ];
    let said = fathom(&quoted);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(
        said.out.contains("5 x y 2\n") && said.out.contains("a  b\n"),
        "{}",
        said.out
    );
}

#[test]
fn results_go_to_the_file_that_is_named() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("out.json");
    let path = file.display().to_string();
    let said = fathom(&[
        "run",
        "-f",
        "json",
        "-o",
        &path,
        "-e",
        "begin { @x = 1; exit(); }",
    ]);
    assert_eq!(
        (said.code, said.out.as_str()),
        (Some(0), ""),
        "{}",
        said.err
    );
    let text = std::fs::read_to_string(file).expect("written");
    assert!(
        text.contains("{\"type\": \"map\", \"data\": {\"@x\": 1}}"),
        "{text}"
    );
}

#[test]
fn each_mistake_has_its_message_and_its_code() {
    if !is_root() {
        return;
    }
    let cases: [(&[&str], i32, &str); 12] = [
        (
            &["run", "/none.bt"],
            1,
            "cannot read /none.bt: No such file",
        ),
        (&["run", "/"], 1, "cannot read /: Is a directory"),
        (&["run", "-e", "begin {"], 1, "error"),
        (
            &["run", "-e", "begin { exit(); }", "-o", "/none/x"],
            1,
            "cannot write /none/x",
        ),
        (
            &["run", "-e", "begin { exit(); }", "-p", "4194305"],
            1,
            "cannot watch process 4194305",
        ),
        (
            &["run", "-e", "begin { }", "-c", "fathom-none"],
            1,
            "no such program in PATH",
        ),
        (&["run", "-e", "begin { }", "-c", "'a"], 1, "not closed"),
        (&["run", "--nosuch"], 1, "unexpected argument '--nosuch'"),
        (
            &["run", "-e", "tracepoint:sched:sched_swich { }"],
            1,
            "sched:sched_switch",
        ),
        (
            &["run", "-e", "uprobe:/bin/sh:no_such_function { }"],
            1,
            "no_such_function",
        ),
        (
            &["run", "-e", "uprobe:/etc/passwd:main { }"],
            1,
            "/etc/passwd",
        ),
        (&["check", "-e", "traceprobe:x:y { }"], 1, "there is no"),
    ];
    for (arguments, code, text) in cases {
        let said = fathom(arguments);
        assert_eq!(said.code, Some(code), "{arguments:?}: {}", said.err);
        assert!(said.err.contains(text), "{arguments:?}: {}", said.err);
    }
}

#[test]
fn nobody_may_look_but_not_trace() {
    if !is_root() {
        return;
    }
    let refused = nobody(&["run", "-e", "begin { exit(); }"]);
    assert_eq!(refused.code, Some(2), "{}", refused.err);
    assert!(
        refused
            .err
            .contains("needs root, or CAP_BPF and CAP_PERFMON"),
        "{}",
        refused.err
    );
    let script = "rawtracepoint:sched_switch { @[args.prev.comm] = count(); }";
    for stage in ["tokens", "ast", "hir", "ir", "bpf", "object"] {
        let checked = nobody(&["check", "-e", script, "--emit", stage]);
        assert_eq!(checked.code, Some(0), "{stage}: {}", checked.err);
        assert!(!checked.out.is_empty(), "{stage}");
    }
    let listed = nobody(&["list", "rawtracepoint:sched_switch"]);
    assert_eq!(
        listed.out, "rawtracepoint:vmlinux:sched_switch\n",
        "{}",
        listed.err
    );
    let closed = nobody(&["list", "uprobe:/etc/shadow:*"]);
    assert_eq!(closed.code, Some(1));
    assert!(
        closed
            .err
            .contains("cannot read /etc/shadow: Permission denied"),
        "{}",
        closed.err
    );
    let told = nobody(&["info"]);
    assert_eq!(told.code, Some(0), "{}", told.err);
    assert!(told.out.contains("unknown"), "{}", told.out);
}

/// An empty folder hides the file of BTF: root then asks the kernel, anybody else is told.
#[test]
fn without_the_file_of_btf_the_kernel_is_asked() {
    if !is_root() {
        return;
    }
    let hidden = |command: &str| {
        let text = format!("mount -t tmpfs none /sys/kernel/btf && {command}");
        run("unshare", &["--mount", "sh", "-c", &text])
    };
    let script = "rawtracepoint:sched_switch { printf(\"%d\\n\", args.prev.prio > 0); exit(); }";
    let traced = hidden(&format!("{FATHOM} run -q -e '{script}'"));
    assert_eq!(traced.out.lines().next(), Some("1"), "{}", traced.err);
    let rights = "setpriv --bounding-set=-bpf,-perfmon,-sys_admin --inh-caps=-all";
    let checked = hidden(&format!("{rights} {FATHOM} check -e '{script}'"));
    assert_eq!(checked.code, Some(1), "{}", checked.err);
    assert!(
        checked
            .err
            .contains("this kernel has no BTF: /sys/kernel/btf/vmlinux"),
        "{}",
        checked.err
    );
}

#[test]
fn lists_have_every_kind_with_arguments() {
    let cases: [(&[&str], &str); 9] = [
        (
            &["-v", "rawtracepoint:sched_switch"],
            "    struct task_struct * prev\n",
        ),
        (&["software:cs"], "software:cs:\n"),
        (&["hardware:*"], "hardware:cache-misses:\n"),
        (&["iter:task"], "iter:task\n"),
        (&["interval:*"], "interval:hz:\n"),
        (&["uprobe:libc:malloc"], ":malloc\n"),
        (&["struct list_head"], "struct list_head *next;"),
        (&["enum hrtimer_restart"], "HRTIMER_NORESTART"),
        (&["xdp:lo,tc:lo:*"], "tc:lo:egress\n"),
    ];
    for (arguments, line) in cases {
        let said = fathom(&[&["list"], arguments].concat());
        assert_eq!(said.code, Some(0), "{arguments:?}: {}", said.err);
        assert!(said.out.contains(line), "{arguments:?}: {}", said.out);
    }
}

#[test]
fn lists_name_what_was_probably_meant() {
    let cases = [
        (
            "rawtracepoint:sched_swich",
            "`rawtracepoint:vmlinux:sched_switch`",
        ),
        ("tracepiont:sched:sched_switch", "`tracepoint`"),
        ("uprobe:/bin/sh:nothing_like_it*", "nothing matches"),
        ("uprobe:/none:*", "no program or library `/none`"),
        ("uprobe:/etc/passwd:*", "it is not an ELF file"),
        ("struct tsk_struct", "`struct task_struct`"),
    ];
    for (pattern, meant) in cases {
        let said = fathom(&["list", pattern]);
        assert_eq!(said.code, Some(1), "{pattern}");
        assert!(said.err.contains(meant), "{pattern}: {}", said.err);
    }
}

#[test]
fn a_long_list_through_a_short_pipe_is_quiet() {
    let text = format!("set -o pipefail; {FATHOM} list 'rawtracepoint:*' | head -n 1");
    let said = run("bash", &["-c", &text]);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    assert_eq!(said.out.lines().count(), 1);
}

#[test]
fn information_is_the_same_in_both_forms() {
    let text = fathom(&["info"]);
    let json = fathom(&["info", "-o", "json"]);
    let value: serde_json::Value = serde_json::from_str(&json.out).expect("JSON");
    let kernel = value["kernel"].as_str().expect("a name");
    assert!(text.out.contains(kernel), "{}", text.out);
    assert_eq!(value["sources"]["btf"]["available"], true);
}

#[test]
fn formatting_changes_how_a_script_looks_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("x.bt");
    let path = file.display().to_string();
    let script = "BEGIN{@x=1;if(@x==1){printf(\"%d\\n\",@x)}exit()}\nt:sched:sched_switch /pid>1/{@[comm]=count();}";
    std::fs::write(&file, script).expect("written");
    assert_eq!(fathom(&["fmt", "--check", &path]).code, Some(1));
    let object = |source: &str| {
        let said = fathom(&["check", "-e", source, "--emit", "bpf"]);
        assert_eq!(said.code, Some(0), "{}", said.err);
        let lines = said
            .out
            .lines()
            .filter(|line| !line.trim_start().starts_with(';'));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let before = object(script);
    assert_eq!(fathom(&["fmt", &path]).code, Some(0));
    assert_eq!(fathom(&["fmt", "--check", &path]).code, Some(0));
    let formatted = std::fs::read_to_string(&file).expect("there");
    assert_ne!(formatted, script);
    assert_eq!(object(&formatted), before);
}

#[test]
fn bpftrace_takes_its_own_options() {
    if !is_root() {
        return;
    }
    let (_folder, bpftrace) = bpftrace();
    let hello = "begin { printf(\"hello\\n\"); exit(); }";
    let cases: [(&[&str], i32, &str); 14] = [
        (&["-e", hello], 0, "hello\n"),
        (&["-q", "-B", "none", "-e", hello], 0, "hello\n"),
        (
            &["-fjson", "-e", hello],
            0,
            "{\"type\": \"printf\", \"data\": \"hello\\n\"}",
        ),
        (
            &[
                "-e",
                "begin { printf(\"%d-%d\\n\", $1, $#); exit(); }",
                "--",
                "7",
                "8",
            ],
            0,
            "7-2\n",
        ),
        (&["-e", "begin { exit(3); }"], 3, ""),
        (
            &["-c", "echo 'a  b'", "-e", "interval:s:100 { }"],
            0,
            "'a  b'\n",
        ),
        (&["-V"], 0, "bpftrace v0."),
        (&["-h"], 0, "Usage: bpftrace"),
        (&["--info"], 0, "Kernel helpers\n"),
        (
            &["-lv", "rawtracepoint:sched_switch"],
            0,
            "    bool preempt\n",
        ),
        (&["-l", "-e", "software:cs:1 { }"], 0, "software:cs:\n"),
        (&["--fmt", "-e", "begin{exit()}"], 0, "begin {\n"),
        (&["-d", "ast", "-e", hello], 0, "(probe (attach begin)"),
        (
            &[
                "--dry-run",
                "--unsafe",
                "--usdt-file-activation",
                "-I",
                "/x",
                "-b",
                "-e",
                "interval:s:1 { }",
            ],
            0,
            "",
        ),
    ];
    for (arguments, code, text) in cases {
        let said = run(&bpftrace, arguments);
        assert_eq!(said.code, Some(code), "{arguments:?}: {}", said.err);
        assert!(said.out.contains(text), "{arguments:?}: {}", said.out);
    }
}

#[test]
fn bpftrace_runs_tests_and_benchmarks() {
    if !is_root() {
        return;
    }
    let (_folder, bpftrace) = bpftrace();
    let tests = "test:good { return 0; } test:bad { return 1; } begin { printf(\"never\"); }";
    let said = run(&bpftrace, &["--test", "-e", tests]);
    assert_eq!(said.code, Some(1), "{}", said.err);
    assert!(said.out.contains("[       OK ] good ("), "{}", said.out);
    assert!(
        said.out.ends_with("listed below:\n[  FAILED  ] bad\n"),
        "{}",
        said.out
    );
    assert!(!said.out.contains("never"), "{}", said.out);
    let filtered = run(
        &bpftrace,
        &["--mode", "test", "--probe-filter", "^g", "-e", tests],
    );
    assert_eq!(filtered.code, Some(0), "{}", filtered.out);
    let bench = run(
        &bpftrace,
        &["--bench", "-f", "json", "-e", "bench:sum { @ = sum(5); }"],
    );
    let value: serde_json::Value = serde_json::from_str(&bench.out).expect("JSON");
    let average = value["data"]["sum"]["average"].as_u64();
    assert!(average.is_some_and(|average| average > 0), "{}", bench.out);
}

#[test]
fn who_asks_for_it_is_told_that_probes_are_attached() {
    if !is_root() {
        return;
    }
    let output = Command::new(FATHOM)
        .args(["run", "-q", "-e", "begin { printf(\"first\\n\"); exit(); }"])
        .env("__BPFTRACE_NOTIFY_PROBES_ATTACHED", "1")
        .output();
    let said = said(output.expect("the command starts"));
    let lines: Vec<&str> = said.out.lines().take(2).collect();
    assert_eq!(
        lines,
        ["__BPFTRACE_NOTIFY_PROBES_ATTACHED", "first"],
        "{}",
        said.err
    );
}

#[test]
fn bpftrace_explains_what_it_does_not_take() {
    if !is_root() {
        return;
    }
    let (_folder, bpftrace) = bpftrace();
    let cases: [(&[&str], &str); 7] = [
        (&["--nosuch"], "bpftrace: unrecognized option '--nosuch'\n"),
        (&[], "Usage: bpftrace"),
        (&["-e"], "Usage: bpftrace"),
        (
            &["-p", "1", "-c", "true", "-e", "begin { }"],
            "Cannot use both -c and -p",
        ),
        (&["-k", "--no-warnings", "-e", "begin { }"], "--no-warnings"),
        (
            &["--emit-llvm", "x", "-e", "begin { }"],
            "there is no LLVM in here",
        ),
        (&["/none.bt"], "/none.bt"),
    ];
    for (arguments, text) in cases {
        let said = run(&bpftrace, arguments);
        assert_eq!(
            (said.code, said.out.as_str()),
            (Some(1), ""),
            "{arguments:?}: {}",
            said.err
        );
        assert!(said.err.contains(text), "{arguments:?}: {}", said.err);
    }
}

#[test]
fn scripts_that_name_bpftrace_as_their_interpreter_run() {
    if !is_root() {
        return;
    }
    let (folder, _) = bpftrace();
    let script = folder.path().join("hello.bt");
    let text = "#!/usr/bin/env bpftrace\nbegin { printf(\"%s\\n\", str($1)); exit(); }\n";
    std::fs::write(&script, text).expect("written");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("set");
    let path = format!("{}:/usr/bin:/bin", folder.path().display());
    let output = Command::new(&script)
        .arg("there")
        .env("PATH", path)
        .output();
    let said = said(output.expect("the script starts"));
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.out.starts_with("there\n"), "{}", said.out);
}

#[test]
fn debug_files_are_found_in_folders_that_are_named() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let name = |file: &str| folder.path().join(file).display().to_string();
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/demo/ledger.c");
    let (binary, debug) = (name("ledger"), name("debug"));
    let build = format!(
        "mkdir {debug} && cc -O1 -g -o {binary} {source} && cp {binary} {debug}/../whole && objcopy --only-keep-debug {binary} {debug}/ledger.debug \
         && strip -g {binary} && objcopy --add-gnu-debuglink={debug}/ledger.debug {binary}"
    );
    let built = run("sh", &["-c", &build]);
    assert_eq!(built.code, Some(0), "{}", built.err);
    let script = format!("uprobe:{binary}:deposit {{ @[str(args.owner)] = sum(args.cents); }}");
    let command = format!("{binary} {}", folder.path().display());
    let arguments = ["run", "-q", "-e", &script, "-c", &command];
    let without = fathom(&arguments);
    assert_eq!(without.code, Some(1), "{}", without.out);
    let listed = fathom(&["list", "-v", &format!("uprobe:{debug}/../whole:deposit")]);
    assert!(
        listed.out.ends_with(
            ":deposit\n    struct account* account\n    const char* owner\n    long int cents\n"
        ),
        "{}",
        listed.out
    );
    let with = fathom(&[&arguments[..], &["--debuginfo", &debug]].concat());
    assert_eq!(with.code, Some(0), "{}", with.err);
    assert!(with.out.contains("@[ada]: "), "{}", with.out);
}

/// Those tools of bpftrace that need neither kprobes nor a block device.
#[test]
fn tools_of_bpftrace_attach() {
    if !is_root() {
        return;
    }
    let (_folder, bpftrace) = bpftrace();
    let names = [
        "execsnoop",
        "killsnoop",
        "pidpersec",
        "statsnoop",
        "syncsnoop",
    ];
    let tools = names.map(|name| format!("{TOOLS}/{name}.bt"));
    let there: Vec<&String> = tools
        .iter()
        .filter(|tool| Path::new(tool).exists())
        .collect();
    if there.is_empty() {
        println!("skipped: the package bpftrace is not installed");
    }
    for tool in there {
        let said = run(&bpftrace, &["--dry-run", tool]);
        assert_eq!(said.code, Some(0), "{tool}: {}", said.err);
    }
}

/// What `--emit object` writes is loaded by somebody else's libbpf.
#[test]
fn objects_are_loaded_by_bpftool() {
    if !is_root() {
        return;
    }
    if !Path::new("/usr/sbin/bpftool").exists() {
        println!("skipped: bpftool is not installed");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let object = folder.path().join("x.o");
    let path = object.display().to_string();
    let script = "tracepoint:sched:sched_switch { @[comm] = count(); }";
    let said = fathom(&["check", "-e", script, "--emit", "object", "-o", &path]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    // A mount namespace of its own: the pins and the mount are gone with it.
    let text = format!(
        "mount -t bpf bpf {0} && bpftool prog loadall {path} {0}/programs && bpftool prog show pinned {0}/programs/*",
        folder.path().display()
    );
    // The mount hides the folder, but not the file that is open.
    let text = text.replacen(&path, "/proc/self/fd/9", 1);
    let text = format!("exec 9<{path}; {text}");
    let loaded = run("unshare", &["--mount", "sh", "-c", &text]);
    assert_eq!(loaded.code, Some(0), "{}", loaded.err);
    assert!(loaded.out.contains("tracepoint"), "{}", loaded.out);
}
