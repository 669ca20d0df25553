//! USDT probes with a semaphore: a program that looks at it does the work for a probe only while it is traced. Needs root.
#![cfg(target_arch = "x86_64")]

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for what must come.
const LIMIT: Duration = Duration::from_secs(60);

/// For each line that it reads it passes the probe if it is switched on, then tells its semaphore and how often it passed.
/// The note is what the macros of `sys/sdt.h` write.
const PROGRAM: &str = r#"
#include <stdio.h>
volatile unsigned short request_semaphore __attribute__((section(".probes"), used, visibility("hidden")));
#define NOTE \
    "990: nop\n" \
    ".pushsection .note.stapsdt,\"\",\"note\"\n" \
    ".balign 4\n" \
    ".4byte 992f-991f, 994f-993f, 3\n" \
    "991: .asciz \"stapsdt\"\n" \
    "992: .balign 4\n" \
    "993: .8byte 990b, _.stapsdt.base, request_semaphore\n" \
    ".asciz \"shop\"\n" \
    ".asciz \"request\"\n" \
    ".asciz \"-4@%0 8@%1\"\n" \
    "994: .balign 4\n" \
    ".popsection\n" \
    ".pushsection .stapsdt.base,\"aG\",\"progbits\",.stapsdt.base,comdat\n" \
    ".weak _.stapsdt.base\n" \
    ".hidden _.stapsdt.base\n" \
    "_.stapsdt.base: .space 1\n" \
    ".size _.stapsdt.base, 1\n" \
    ".popsection\n"
int main(void) {
    char line[64];
    int passed = 0;
    while (fgets(line, sizeof(line), stdin)) {
        if (request_semaphore) {
            int number = -7 * ++passed;
            const char *text = "apples";
            __asm__ volatile(NOTE : : "r"(number), "r"(text));
        }
        printf("%d %d\n", request_semaphore, passed);
        fflush(stdout);
    }
}
"#;

/// The program, running; ended when dropped.
struct Shop {
    child: Child,
    path: PathBuf,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    _folder: tempfile::TempDir,
}

impl Shop {
    /// `None`: not root, and said so.
    fn open() -> Option<Shop> {
        // SAFETY: takes nothing and cannot fail.
        if unsafe { libc::geteuid() } != 0 {
            println!("skipped: needs root");
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder for the program");
        let (source, path) = (folder.path().join("shop.c"), folder.path().join("shop"));
        std::fs::write(&source, PROGRAM).expect("the source can be written");
        let compiled = Command::new("cc")
            .args(["-O1", "-o"])
            .args([&path, &source])
            .status()
            .expect("there is a C compiler");
        assert!(compiled.success());
        let mut child = Command::new(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let input = child.stdin.take().expect("piped");
        let output = BufReader::new(child.stdout.take().expect("piped")).lines();
        Some(Shop {
            child,
            path,
            input,
            output,
            _folder: folder,
        })
    }

    /// One request: the semaphore, and how often the probe was passed.
    fn request(&mut self) -> (u32, u32) {
        self.input.write_all(b"\n").expect("it reads");
        let line = self.output.next().expect("it answers").expect("readable");
        let (semaphore, passed) = line.split_once(' ').expect("two numbers");
        (
            semaphore.parse().expect("a number"),
            passed.parse().expect("a number"),
        )
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `fathom`, attached; ended when dropped.
struct Tracer {
    child: Child,
    output: Lines<BufReader<ChildStdout>>,
}

impl Tracer {
    fn attach(shop: &Shop, options: &[&str]) -> Tracer {
        let script = format!(
            r#"usdt:{}:shop:request {{ printf("%d %s\n", arg0, str(arg1)); }}"#,
            shop.path.display()
        );
        let mut child = Command::new(env!("CARGO_BIN_EXE_fathom"))
            .args(["run", "-e", &script])
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("fathom starts");
        let said = BufReader::new(child.stderr.take().expect("piped")).lines();
        let mut said = said.map(|line| line.expect("readable"));
        let is_attached = said.any(|line| line == "Attached 1 probe");
        let output = BufReader::new(child.stdout.take().expect("piped")).lines();
        let tracer = Tracer { child, output };
        assert!(
            is_attached,
            "it was never attached: {:?}",
            said.collect::<Vec<_>>()
        );
        tracer
    }

    fn line(&mut self) -> String {
        self.output.next().expect("it prints").expect("readable")
    }

    fn end(mut self, signal: libc::c_int) {
        // SAFETY: takes numbers only; the child has not been waited for.
        unsafe { libc::kill(self.child.id() as i32, signal) };
        self.child.wait().expect("it ends");
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The probe is passed while a tracer is there, neither before nor after.
fn check(is_for_one: bool, signal: libc::c_int) {
    let Some(mut shop) = Shop::open() else {
        return;
    };
    let pid = shop.child.id().to_string();
    let options: &[&str] = if is_for_one { &["-p", &pid] } else { &[] };
    assert_eq!(shop.request(), (0, 0));
    let mut tracer = Tracer::attach(&shop, options);
    assert_eq!(shop.request(), (1, 1));
    assert_eq!(tracer.line(), "-7 apples");
    assert_eq!(shop.request(), (1, 2));
    assert_eq!(tracer.line(), "-14 apples");
    tracer.end(signal);
    let since = Instant::now();
    // The kernel takes the probe of a killed process away a moment after its death.
    while shop.request().0 != 0 {
        assert!(since.elapsed() < LIMIT, "the semaphore stays set");
    }
    let (_, passed) = shop.request();
    assert_eq!(shop.request(), (0, passed));
}

#[test]
fn of_one_process_until_the_tracer_ends() {
    check(true, libc::SIGINT);
}

#[test]
fn of_one_process_until_the_tracer_is_killed() {
    check(true, libc::SIGKILL);
}

#[test]
fn of_all_processes_until_the_tracer_ends() {
    check(false, libc::SIGINT);
}

#[test]
fn of_all_processes_until_the_tracer_is_killed() {
    check(false, libc::SIGKILL);
}
