//! A command whose start is followed goes on, whatever becomes of the tracer. Needs root.
#![cfg(target_arch = "x86_64")]

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for what must come.
const LIMIT: Duration = Duration::from_secs(60);

/// A loader that maps code for ever, and writes how often, and its pid, to the file that is the program's first argument.
const LOADER: &str = r#"
__asm__(".globl _start\n_start: mov %rsp, %rdi\nand $-16, %rsp\ncall begin\n");
static long call(long number, long a, long b, long c, long d, long e, long f) {
    register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
    __asm__ volatile("syscall" : "+a"(number) : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
    return number;
}
__attribute__((used)) void begin(long *stack) {
    long file = call(2 /* open */, stack[2], 0102 /* O_RDWR | O_CREAT */, 0600, 0, 0, 0);
    volatile long told[2] = { 0, call(39 /* getpid */, 0, 0, 0, 0, 0, 0) };
    for (;;) {
        long page = call(9 /* mmap */, 0, 4096, 5 /* R X */, 0x22 /* PRIVATE | ANONYMOUS */, -1, 0);
        call(11 /* munmap */, page, 4096, 0, 0, 0, 0);
        told[0]++;
        call(18 /* pwrite */, file, (long)told, sizeof(told), 0, 0, 0);
    }
}
"#;

/// A tracer with its command; both are ended when dropped.
struct Pair {
    tracer: Child,
    told: PathBuf,
    folder: tempfile::TempDir,
}

impl Pair {
    /// `None`: not root, and said so.
    fn start() -> Option<Pair> {
        // SAFETY: takes nothing and cannot fail.
        if unsafe { libc::geteuid() } != 0 {
            println!("skipped: needs root");
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder for the program");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let freestanding = ["-O1", "-static", "-nostdlib", "-ffreestanding"];
        compile(&path("loader"), LOADER, &freestanding);
        let interpreter = format!("-Wl,--dynamic-linker={}", path("loader"));
        let program = "int main(void) { return 0; }";
        compile(&path("program"), program, &["-fPIE", "-pie", &interpreter]);
        let script = format!("uprobe:{}:main {{ print(dw_ustack); }}", path("program"));
        let command = format!("{} {}", path("program"), path("told"));
        let tracer = Command::new(env!("CARGO_BIN_EXE_fathom"))
            .args(["run", "-q", "-e", &script, "-c", &command])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the fathom command starts");
        Some(Pair {
            tracer,
            told: folder.path().join("told"),
            folder,
        })
    }

    /// How far the loader is, and its pid; nothing before it has told.
    fn told(&self) -> Option<(u64, u32)> {
        let bytes = std::fs::read(&self.told).ok()?;
        let (count, pid) = bytes.split_first_chunk::<8>()?;
        let pid = u64::from_ne_bytes(*pid.first_chunk()?);
        Some((u64::from_ne_bytes(*count), pid as u32))
    }

    fn pid(&self) -> u32 {
        let pid = until("the loader starts", || self.told().map(|(_, pid)| pid));
        assert_ne!(pid, 0);
        pid
    }

    /// Who follows it; 0 for nobody.
    fn follower(&self, pid: u32) -> u32 {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
        let status = status.expect("it is there");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("TracerPid:"));
        line.and_then(|number| number.trim().parse().ok())
            .expect("a pid")
    }

    /// Waits until it does more than it has done.
    fn goes_on(&self) {
        let count = || self.told().map_or(0, |(count, _)| count);
        let before = count();
        until("it goes on", || (count() > before).then_some(()));
    }

    fn signal_tracer(&self, number: libc::c_int) {
        // SAFETY: takes numbers only; the child has not been waited for.
        unsafe { libc::kill(self.tracer.id() as i32, number) };
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        let command = self.told();
        let _ = self.tracer.kill();
        let _ = self.tracer.wait();
        let program = self.folder.path().join("program");
        if let Some((_, pid)) = command
            && std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|path| path == program)
        {
            // SAFETY: takes numbers only; it is the program of this test that runs for ever.
            unsafe { libc::kill(pid as i32, libc::SIGKILL) };
        }
    }
}

fn compile(path: &str, text: &str, flags: &[&str]) {
    let source = format!("{path}.c");
    std::fs::write(&source, text).expect("the source can be written");
    let compiled = Command::new("cc")
        .args(["-o", path, &source])
        .args(flags)
        .status()
        .expect("there is a C compiler");
    assert!(compiled.success());
}

/// Waits for something to be there.
fn until<T>(what: &str, find: impl Fn() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = find() {
            return found;
        }
        assert!(started.elapsed() < LIMIT, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A pair whose tracer is halted while it follows: following lasts a second at most, which may have gone by.
fn halted_while_following() -> Option<(Pair, u32)> {
    for _ in 0..10 {
        let pair = Pair::start()?;
        let pid = pair.pid();
        pair.signal_tracer(libc::SIGSTOP);
        let state = format!("/proc/{}/stat", pair.tracer.id());
        until("the tracer halts", || {
            let text = std::fs::read_to_string(&state).ok()?;
            text.contains(") T ").then_some(())
        });
        if pair.follower(pid) == pair.tracer.id() {
            return Some((pair, pid));
        }
    }
    panic!("the command was never followed");
}

#[test]
fn it_goes_on_when_the_tracer_is_killed() {
    let Some((pair, pid)) = halted_while_following() else {
        return;
    };
    pair.signal_tracer(libc::SIGKILL);
    until("nobody follows it", || {
        (pair.follower(pid) == 0).then_some(())
    });
    pair.goes_on();
}

#[test]
fn it_goes_on_when_its_loader_takes_too_long_to_be_followed() {
    let Some(pair) = Pair::start() else {
        return;
    };
    let pid = pair.pid();
    until("nobody follows it", || {
        (pair.follower(pid) == 0).then_some(())
    });
    pair.goes_on();
}

#[test]
fn a_signal_that_comes_meanwhile_is_not_lost() {
    let Some((pair, pid)) = halted_while_following() else {
        return;
    };
    // SAFETY: takes numbers only; the program runs until a signal ends it.
    unsafe { libc::kill(pid as i32, libc::SIGUSR1) };
    pair.signal_tracer(libc::SIGCONT);
    let path = format!("/proc/{pid}/stat");
    until("the signal ends it", || {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        (text.is_empty() || text.contains(") Z ")).then_some(())
    });
}
