//! `fathom calls` finds programs wherever they are: deleted, in another root, in a container; and functions wherever their code
//! went. Needs root and a C compiler.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// Calls `work` with rising numbers until its standard input ends.
const SOURCE: &str = r#"
#include <stdio.h>
#include <unistd.h>
#include <poll.h>
static inline int twice(int number) { __asm__ volatile("" : "+r"(number)); return 2 * number; }
__attribute__((noinline)) int work(int number, const char *name)
{
    __asm__ volatile("" : : "r"(name));
    int doubled = twice(number);
    return doubled + 1;
}
int main(void)
{
    struct pollfd input = { 0, POLLIN, 0 };
    for (int number = 0; poll(&input, 1, 1) == 0; number++)
        work(number, "ada");
    return 0;
}
"#;

/// A folder with the program; nothing when it cannot be built or traced here.
fn program(flags: &[&str]) -> Option<(tempfile::TempDir, PathBuf)> {
    // SAFETY: takes nothing and cannot fail.
    if unsafe { libc::geteuid() } != 0 {
        println!("skipped: needs root");
        return None;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let source = folder.path().join("svc.c");
    std::fs::write(&source, SOURCE).expect("the source is written");
    let binary = folder.path().join("svc");
    let status = Command::new("cc")
        .args(["-g", "-o"])
        .arg(&binary)
        .args(flags)
        .arg(&source)
        .status();
    match status {
        Ok(status) => assert!(status.success(), "the program compiles"),
        Err(_) => {
            println!("skipped: no C compiler");
            return None;
        }
    }
    Some((folder, binary))
}

/// A process that ends when its input does.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Running {
        let child = command.stdin(Stdio::piped()).spawn();
        Running(child.expect("the program starts"))
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

fn calls(words: &[&str]) -> Output {
    let output = Command::new("timeout")
        .arg("60")
        .arg(env!("CARGO_BIN_EXE_fathom"))
        .arg("calls")
        .args(words)
        .output();
    output.expect("the fathom command runs")
}

/// The objects of an answer in JSON.
fn answer(words: &[&str]) -> Vec<serde_json::Value> {
    let output = calls(&[words, &["-o", "json"]].concat());
    let text = String::from_utf8_lossy(&output.stdout);
    let parsed: Result<Vec<_>, _> = text.lines().map(serde_json::from_str).collect();
    match parsed {
        Ok(objects) if output.status.success() => objects,
        _ => panic!(
            "{words:?}: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        ),
    }
}

/// Two calls of `work`, one after the other.
fn check_two(objects: &[serde_json::Value]) {
    let [first, second, coverage] = objects else {
        panic!("two calls and the coverage: {objects:?}");
    };
    let number = |call: &serde_json::Value| call["args"]["number"].as_i64().expect("a number");
    assert_eq!(number(second), number(first) + 1);
    assert_eq!(first["args"]["name"], "ada");
    assert_eq!(first["result"].as_i64(), Some(2 * number(first) + 1));
    assert_eq!(coverage["lost"], 0);
}

#[test]
fn a_program_whose_file_was_deleted() {
    let Some((_folder, binary)) = program(&["-O1"]) else {
        return;
    };
    let running = Running::start(&mut Command::new(&binary));
    std::fs::remove_file(&binary).expect("the file is deleted");
    check_two(&answer(&[
        &format!("{}:work", running.pid()),
        "--limit",
        "2",
    ]));
}

/// Has the child see `root` as its root folder.
fn in_root(binary: &Path, root: &Path) -> Command {
    let mut command = Command::new(binary);
    let root = std::ffi::CString::new(root.as_os_str().as_encoded_bytes()).expect("a path");
    // SAFETY: chroot and chdir are safe between fork and exec.
    unsafe {
        command.pre_exec(move || {
            if libc::chroot(root.as_ptr()) != 0 || libc::chdir(c"/".as_ptr()) != 0 {
                return Err(std::io::Error::last_os_error());
            }
            Ok(())
        })
    };
    command
}

#[test]
fn a_program_in_another_root() {
    let Some((folder, _)) = program(&["-O1", "-static"]) else {
        return;
    };
    let running = Running::start(&mut in_root(Path::new("/svc"), folder.path()));
    check_two(&answer(&[
        &format!("{}:work", running.pid()),
        "--limit",
        "2",
    ]));
    let words = [
        "/svc:work",
        "-p",
        &running.pid().to_string(),
        "--limit",
        "2",
    ];
    check_two(&answer(&words));
}

#[test]
fn inlined_copies_are_watched_and_said_to_be() {
    let Some((_folder, binary)) = program(&["-O2"]) else {
        return;
    };
    let running = Running::start(&mut Command::new(&binary));
    let target = format!("{}:twice", running.pid());
    let objects = answer(&[&target, "--limit", "2"]);
    let function = objects[0]["function"].as_str().unwrap_or_default();
    assert_eq!(function, "twice (inlined into work)");
    let notes = objects[2]["notes"].to_string();
    assert!(notes.contains("lower bound"), "{notes}");
}

#[test]
fn variables_at_a_line() {
    let Some((_folder, binary)) = program(&["-O0"]) else {
        return;
    };
    let running = Running::start(&mut Command::new(&binary));
    let target = format!("{}@svc.c:10", running.pid());
    let objects = answer(&[&target, "--limit", "1"]);
    let args = &objects[0]["args"];
    let number = args["number"].as_i64().expect("a number");
    assert_eq!(args["doubled"].as_i64(), Some(2 * number));
}

/// The kernel's return probes would end it at the first exception.
#[test]
fn a_program_lives_on_when_exceptions_pass_traced_functions() {
    const THROWS: &str = "#include <stdexcept>
        __attribute__((noinline)) int risky(int n) { if (n & 1) throw std::runtime_error(\"odd\"); return n; }
        int main() { int caught = 0; for (int n = 0; n < 6; n++) try { risky(n); } catch (std::exception &) { caught++; } return caught == 3 ? 0 : 9; }";
    let Some((folder, _)) = program(&["-O1"]) else {
        return;
    };
    let (source, binary) = (
        folder.path().join("throws.cpp"),
        folder.path().join("throws"),
    );
    std::fs::write(&source, THROWS).expect("the source is written");
    let built = Command::new("c++")
        .args(["-g", "-O1", "-o"])
        .arg(&binary)
        .arg(&source)
        .status();
    if built.is_err() {
        println!("skipped: no C++ compiler");
        return;
    }
    let target = format!("{}:_Z5riskyi", binary.display());
    for view in [&[][..], &["--latency"], &["--count"]] {
        let mark = folder.path().join("status");
        let command = format!("sh -c '{}; echo $? > {}'", binary.display(), mark.display());
        answer(&[&[target.as_str(), "-c", &command], view].concat());
        let status = std::fs::read_to_string(&mark).expect("the program ended");
        assert_eq!(status.trim(), "0", "{view:?}");
        std::fs::remove_file(&mark).expect("the mark is removed");
    }
}

#[test]
fn what_cannot_be_is_said() {
    let Some((_folder, binary)) = program(&["-O1"]) else {
        return;
    };
    let file = binary.display();
    let cases = [
        (format!("{file}:wor"), "did you mean `work`"),
        (format!("{file}:"), "names no function"),
        (format!("{file}@svc.c:999"), "svc.c"),
        ("/nowhere/at/all:work".to_owned(), "no program or library"),
    ];
    for (target, expected) in cases {
        let output = calls(&[&target, "--limit", "1"]);
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains(expected), "{target}: {text}");
        assert_eq!(output.status.code(), Some(1), "{target}: {text}");
    }
}
