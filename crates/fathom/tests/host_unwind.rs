//! User stacks of code without frame pointers, walked in the kernel. Needs root.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

const PROGRAM: &str = r"
#include <unistd.h>
#include <sys/syscall.h>
#include <alloca.h>
#include <string.h>
volatile long sink;
__attribute__((noinline)) long innermost(long n) { sink += n; syscall(SYS_getppid); for (int i = 0; i < 3000; i++) sink += i; return sink; }
/* A frame whose size is only known at run time, and one with many saved registers. */
__attribute__((noinline)) long with_alloca(long n) { char *p = alloca(n * 16 + 64); memset(p, 1, n * 16); return innermost(n) + p[n]; }
__attribute__((noinline)) long middle(long a, long b, long c, long d, long e, long f, long g) { long x = with_alloca(a + b); return x + c * d * e * f * g + sink; }
__attribute__((noinline)) long recursive(long n) { if (n > 0) return recursive(n - 1) + n; return middle(1, 2, 3, 4, 5, 6, 7) + 1; }
int main(void) { for (;;) { sink += recursive(3); usleep(200); } }
";

/// The program, running; ended when dropped.
struct Target {
    child: Child,
    path: PathBuf,
    _folder: tempfile::TempDir,
}

/// A program without frame pointers. `None`: not root, and said so.
fn compiled(text: &str, flags: &[&str]) -> Option<(tempfile::TempDir, PathBuf)> {
    // SAFETY: takes nothing and cannot fail.
    if unsafe { libc::geteuid() } != 0 {
        println!("skipped: needs root");
        return None;
    }
    let folder = tempfile::tempdir().expect("a folder for the program");
    let (source, path) = (folder.path().join("deep.c"), folder.path().join("deep"));
    std::fs::write(&source, text).expect("the source can be written");
    let compiled = Command::new("cc")
        .args(["-O1", "-fomit-frame-pointer", "-fno-optimize-sibling-calls"])
        .args(flags)
        .arg("-o")
        .args([&path, &source])
        .status()
        .expect("there is a C compiler");
    assert!(compiled.success());
    Some((folder, path))
}

impl Target {
    fn start(flags: &[&str]) -> Option<Target> {
        let (folder, path) = compiled(PROGRAM, flags)?;
        let child = Command::new(&path).spawn().expect("the program starts");
        Some(Target {
            child,
            path,
            _folder: folder,
        })
    }

    /// Runs a script on the program until it has seen some stacks, and gives what it printed.
    fn trace(&self, probe: &str) -> String {
        self.run(probe, 50, &["-p", &self.child.id().to_string()])
    }

    /// The same, without saying which process it is about.
    fn trace_all(&self, probe: &str) -> String {
        // At the first hits the process is not known yet.
        self.run(probe, 5_000, &[])
    }

    fn run(&self, probe: &str, hits: u32, target: &[&str]) -> String {
        let script = format!(
            "{probe} {{ @[dw_ustack] = count(); @seen++; if (@seen >= HITS) {{ clear(@seen); exit(); }} }}"
        );
        let script = script.replace("HITS", &hits.to_string());
        let script = script.replace("PROGRAM", &self.path.display().to_string());
        let output = Command::new(env!("CARGO_BIN_EXE_fathom"))
            .args(["run", "-q", "-e", &script])
            .args(target)
            .env("BPFTRACE_SHOW_DEBUG_INFO", "0")
            .stdin(Stdio::null())
            .output()
            .expect("the fathom command starts");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Function names of a stack's lines.
fn names(stack: &str) -> Vec<&str> {
    let lines = stack
        .lines()
        .map(str::trim)
        .filter(|line| line.contains('+'));
    lines.filter_map(|line| line.split('+').next()).collect()
}

const CALLERS: [&str; 8] = [
    "innermost",
    "with_alloca",
    "middle",
    "recursive",
    "recursive",
    "recursive",
    "recursive",
    "main",
];

fn has_callers(text: &str) -> bool {
    text.split("]:").any(|stack| {
        let names = names(stack);
        names.windows(CALLERS.len()).any(|window| window == CALLERS)
    })
}

#[test]
fn callers_are_found_at_a_functions_first_instruction() {
    for flags in [&[][..], &["-static"], &["-O2"]] {
        let Some(target) = Target::start(flags) else {
            return;
        };
        let text = target.trace("uprobe:PROGRAM:innermost");
        assert!(has_callers(&text), "{flags:?}: {text}");
    }
}

#[test]
fn callers_are_found_from_a_system_call_and_from_any_instruction() {
    let Some(target) = Target::start(&[]) else {
        return;
    };
    for probe in ["tracepoint:syscalls:sys_enter_getppid", "profile:hz:999"] {
        let text = target.trace(probe);
        assert!(has_callers(&text), "{probe}: {text}");
    }
}

#[test]
fn any_process_is_walked_once_it_was_seen() {
    let Some(target) = Target::start(&[]) else {
        return;
    };
    let text = target.trace_all("uprobe:PROGRAM:innermost");
    assert!(has_callers(&text), "{text}");
}

/// Calls malloc(3) from a constructor and from `main`, and ends.
const SHORT_PROGRAM: &str = r"
#include <stdlib.h>
volatile long sink;
__attribute__((noinline)) long innermost(void) { void *p = malloc(7777); sink += (long)p; return sink; }
__attribute__((noinline)) long recursive(long n) { return n > 0 ? recursive(n - 1) + sink : innermost() + 1; }
__attribute__((constructor)) static void constructor(void) { sink += recursive(2); }
int main(void) { sink += recursive(2); }
";

#[test]
fn a_command_is_walked_from_its_first_call_on() {
    for flags in [&[][..], &["-static"]] {
        let Some((_folder, path)) = compiled(SHORT_PROGRAM, flags) else {
            return;
        };
        // In a static program the function is its own.
        let path = path.display().to_string();
        let malloc = match flags {
            [] => "libc:malloc".to_owned(),
            _ => format!("{path}:malloc"),
        };
        let script = format!(
            "uprobe:{malloc} /pid == cpid && arg0 == 7777/ {{ print(dw_ustack); printf(\"]:\"); }}"
        );
        let output = Command::new(env!("CARGO_BIN_EXE_fathom"))
            .args(["run", "-q", "-e", &script, "-c", &path])
            .env("BPFTRACE_SHOW_DEBUG_INFO", "0")
            .stdin(Stdio::null())
            .output()
            .expect("the fathom command starts");
        let text = String::from_utf8_lossy(&output.stdout);
        let stacks: Vec<Vec<&str>> = text.split("]:").map(names).collect();
        for caller in ["constructor", "main"] {
            let wanted = ["innermost", "recursive", "recursive", "recursive", caller];
            let is_there = |stack: &Vec<&str>| stack.get(1..6) == Some(&wanted[..]);
            assert!(stacks.iter().any(is_there), "{flags:?}: {caller}: {text}");
        }
    }
}
