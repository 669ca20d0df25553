//! Code that a program made while it ran is named by the map file it wrote for perf. Needs root.
#![cfg(target_arch = "x86_64")]

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Makes a function that calls getppid(2) and then another function, and calls it for ever.
const PROGRAM: &str = r#"
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
/* push rbp; mov rbp, rsp; mov eax, 110; syscall; call rdi; pop rbp; ret */
static const unsigned char code[] = {
    0x55, 0x48, 0x89, 0xe5, 0xb8, 110, 0, 0, 0, 0x0f, 0x05, 0xff, 0xd7, 0x5d, 0xc3 };
volatile int sink;
__attribute__((noinline)) void called(void) { sink++; }
int main(void) {
    unsigned char *page = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(page + 256, code, sizeof(code));
    char path[64];
    sprintf(path, "/tmp/perf-%d.map", getpid());
    FILE *map = fopen(path, "w");
    fprintf(map, "%lx %zx made_at_run_time\n", (unsigned long)page + 256, sizeof(code));
    fclose(map);
    puts("ready");
    fflush(stdout);
    for (;;) { ((void (*)(void (*)(void)))(page + 256))(called); usleep(200); }
}
"#;

/// Where the program runs.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Here,
    /// It has another pid there, and its own /tmp.
    OtherNamespaces,
}

/// The program, running; ended when dropped.
struct Target {
    child: Child,
    pid: u32,
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Target {
    /// `None`: not root, and said so.
    fn start(place: Place) -> Option<Target> {
        // SAFETY: takes nothing and cannot fail.
        if unsafe { libc::geteuid() } != 0 {
            println!("skipped: needs root");
            return None;
        }
        // Not in /tmp, which is another one there.
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let (source, path) = (folder.path().join("jit.c"), folder.path().join("jit"));
        std::fs::write(&source, PROGRAM).expect("the source can be written");
        let compiled = Command::new("cc")
            .args(["-O1", "-fno-omit-frame-pointer", "-o"])
            .args([&path, &source])
            .status()
            .expect("there is a C compiler");
        assert!(compiled.success());
        let mut command = match place {
            Place::Here => Command::new(&path),
            Place::OtherNamespaces => {
                let mut command = Command::new("unshare");
                let script = "mount -t tmpfs nodev /tmp && exec \"$0\"";
                command.args([
                    "--pid",
                    "--fork",
                    "--kill-child",
                    "--mount",
                    "sh",
                    "-c",
                    script,
                ]);
                command.arg(&path);
                command
            }
        };
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child = child.expect("the program starts");
        let mut ready = [0; 6];
        let output = child.stdout.as_mut().expect("piped");
        let is_read = std::io::Read::read_exact(output, &mut ready);
        let mut target = Target {
            pid: child.id(),
            child,
            path,
            _folder: folder,
        };
        is_read.expect("the program says that it is ready");
        if place == Place::OtherNamespaces {
            let children = format!("/proc/{0}/task/{0}/children", target.pid);
            let text = std::fs::read_to_string(children).expect("unshare has a child");
            target.pid = text.trim().parse().expect("one child");
        }
        Some(target)
    }

    /// What a script prints that ends by itself.
    fn trace(&self, script: &str) -> String {
        let script = script.replace("PROGRAM", &self.path.display().to_string());
        let output = Command::new(env!("CARGO_BIN_EXE_fathom"))
            .args(["run", "-q", "-e", &script, "-p", &self.pid.to_string()])
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
        let _ = std::fs::remove_file(format!("/tmp/perf-{}.map", self.pid));
    }
}

fn is_named_at(place: Place) {
    let Some(target) = Target::start(place) else {
        return;
    };
    let stack = target.trace(
        "tracepoint:syscalls:sys_enter_getppid /pid == $PID/ { print(ustack); exit(); }"
            .replace("$PID", &target.pid.to_string())
            .as_str(),
    );
    let mut lines = stack.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default();
    assert!(first.starts_with("made_at_run_time+"), "{stack}");
    assert!(
        lines.next().is_some_and(|line| line.starts_with("main+")),
        "{stack}"
    );
    let caller = target
        .trace(r#"uprobe:PROGRAM:called { printf("%s\n", usym(*(uint64 *)reg("sp"))); exit(); }"#);
    assert_eq!(caller.trim(), "made_at_run_time");
}

#[test]
fn in_this_namespace() {
    is_named_at(Place::Here);
}

#[test]
fn in_other_pid_and_mount_namespaces() {
    is_named_at(Place::OtherNamespaces);
}
