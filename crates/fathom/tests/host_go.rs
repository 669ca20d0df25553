//! Go programs: every call and return is seen once, with its goroutine, arguments and results. Needs root and the Go compiler.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Goroutines of the hard program; each makes about 70 calls.
const GOROUTINES: &str = "1400";
/// Calls of the same goroutines again and again; set to 140 for 10 million calls.
const ROUNDS_VARIABLE: &str = "FATHOM_GO_ROUNDS";
/// The functions of the hard program that count their calls.
const COUNTED: [&str; 5] = ["Deep", "Grow", "Hop", "Leaf", "Recovers"];

/// A program built for a test.
struct Program {
    path: PathBuf,
    folder: tempfile::TempDir,
}

/// Compiles a program of `tests/go`; `None` without root or Go, and said so.
fn build(name: &str, flags: &[&str]) -> Option<Program> {
    // SAFETY: takes nothing and cannot fail.
    if unsafe { libc::geteuid() } != 0 {
        println!("skipped: needs root");
        return None;
    }
    let folder = tempfile::tempdir().expect("a folder for the program");
    let path = folder.path().join(name);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/go/{name}.go"));
    let output = Command::new("go")
        .arg("build")
        .args(flags)
        .arg("-o")
        .args([&path, &source])
        .env("CGO_ENABLED", "0")
        .env("GO111MODULE", "off")
        .env("GOCACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("go"))
        .output();
    let Ok(output) = output else {
        println!("skipped: no Go compiler");
        return None;
    };
    let problems = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{problems}");
    Some(Program { path, folder })
}

/// What the tracer and the program printed.
struct Printed {
    traced: String,
    own: String,
}

impl Program {
    /// Traces the program with a script in which `PROGRAM` stands for it.
    fn trace(&self, script: &str, options: &[&str], arguments: &str) -> Printed {
        let script = script.replace("PROGRAM", &self.path.display().to_string());
        let script_file = self.folder.path().join("script.bt");
        let traced = self.folder.path().join("traced");
        std::fs::write(&script_file, script).expect("the script can be written");
        let output = Command::new(env!("CARGO_BIN_EXE_fathom"))
            .args(["run", "-q"])
            .args(options)
            .arg("-o")
            .args([&traced, &script_file])
            .args(["-c", &format!("{} {arguments}", self.path.display())])
            .stdin(Stdio::null())
            .output()
            .expect("the fathom command starts");
        let problems = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{problems}");
        assert_eq!(problems, "", "nothing is lost, nothing crashes");
        Printed {
            traced: std::fs::read_to_string(traced).expect("results were written"),
            own: String::from_utf8_lossy(&output.stdout).into_owned(),
        }
    }
}

fn sorted_lines(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    lines.sort_unstable();
    lines
}

/// `probe:PROGRAM:main.F` of all counted functions.
fn probes(kind: &str) -> String {
    let each = COUNTED.map(|name| format!("{kind}:PROGRAM:main.{name}"));
    each.join(", ")
}

/// Stacks that move, panics, recursion, goroutines that change threads: what comes in goes out, and each pair is found.
fn counts_are_exact(flags: &[&str], options: &[&str], rounds: &str) {
    let Some(program) = build("torture", flags) else {
        return;
    };
    let script = format!(
        "config = {{ max_map_keys = 1000000 }}
        {} {{ @in[func] = count(); @start[pid, goid, frame] = nsecs; }}
        {} {{
            @out[func] = count();
            if (@start[pid, goid, frame]) {{ @pairs = count(); }} else {{ @alone = count(); }}
            delete(@start, (pid, goid, frame));
        }}",
        probes("uprobe"),
        probes("uretprobe"),
    );
    let printed = program.trace(&script, options, &format!("{GOROUTINES} {rounds}"));
    let mut expected = Vec::new();
    let mut all = 0;
    for line in printed.own.lines() {
        let (name, count) = line.split_once(' ').expect("a name and a number");
        expected.push(format!("@in[main.{name}]: {count}"));
        expected.push(format!("@out[main.{name}]: {count}"));
        all += count.parse::<u64>().expect("a number");
    }
    assert_eq!(expected.len(), 2 * COUNTED.len());
    expected.push(format!("@pairs: {all}"));
    expected.sort_unstable();
    assert_eq!(sorted_lines(&printed.traced), expected);
}

#[test]
fn calls_and_returns_are_counted_once() {
    let rounds = std::env::var(ROUNDS_VARIABLE).unwrap_or_else(|_| "1".to_owned());
    counts_are_exact(&[], &[], &rounds);
}

#[test]
fn stripped_programs_are_counted_with_single_probes_too() {
    counts_are_exact(&["-ldflags=-s -w"], &["--no-feature", "uprobe_multi"], "1");
}

#[test]
fn arguments_and_results_are_those_the_program_prints() {
    let Some(program) = build("values", &[]) else {
        return;
    };
    let script = format!(
        "config = {{ missing_probes = \"ignore\" }}\n{}",
        include_str!("go/values.bt")
    );
    let printed = program.trace(&script, &[], "");
    let own = sorted_lines(&printed.own);
    assert_eq!(own.len(), 880);
    assert_eq!(sorted_lines(&printed.traced), own);
}
