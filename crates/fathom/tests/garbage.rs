//! Scripts that make no sense: `fathom check` says so and ends. Random bytes, and real scripts with random changes.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Longest time for one script.
const LIMIT: Duration = Duration::from_secs(60);
/// Scripts of each kind.
const COUNT: usize = 300;

/// A generator of numbers that gives the same ones in each run (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

/// All scripts below the folder, in order.
fn scripts(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)
        .expect("a folder of the repository")
        .flatten()
        .map(|entry| entry.path())
        .collect();
    entries.sort();
    for entry in entries {
        if entry.is_dir() {
            scripts(&entry, found);
        } else if entry.extension().is_some_and(|extension| extension == "bt") {
            found.push(entry);
        }
    }
}

/// Checks a script; panics with it when that does not end well.
fn check(script: &[u8]) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_fathom"))
        .args(["check", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("fathom starts");
    let mut stdin = child.stdin.take().expect("piped");
    // It may have seen enough before the end.
    let _ = stdin.write_all(script);
    drop(stdin);
    let mut stderr = child.stderr.take().expect("piped");
    let said = std::thread::spawn(move || {
        let mut said = Vec::new();
        let _ = std::io::Read::read_to_end(&mut stderr, &mut said);
        String::from_utf8_lossy(&said).into_owned()
    });
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("our child") {
            break status;
        }
        if started.elapsed() > LIMIT {
            let _ = child.kill();
            panic!("it hangs: {}", script.escape_ascii());
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let said = said.join().expect("the reader ends");
    let is_good = matches!(status.code(), Some(0..=2)) && !said.contains("panicked");
    assert!(is_good, "{status}: {}\n{said}", script.escape_ascii());
}

#[test]
fn random_bytes() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..COUNT {
        let length = random.below(400);
        let script: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
        check(&script);
    }
}

#[test]
fn random_words_of_the_language() {
    const WORDS: &[&str] = &[
        "begin",
        "kprobe:f",
        "tracepoint:a:*",
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        "$x",
        "@m",
        "@",
        "=",
        "+=",
        "++",
        ";",
        ",",
        "if",
        "else",
        "while",
        "for",
        "unroll",
        "..",
        ":",
        "1",
        "-1",
        "0xffffffffffffffff",
        "\"s\"",
        "\"",
        "/",
        "/*",
        "printf(",
        "str(",
        "count()",
        "hist(",
        "args",
        "arg0",
        ".",
        "->",
        "*",
        "&",
        "!",
        "struct",
        "macro",
        "let",
        "fn",
        "#define",
        "config",
        "return",
        "sizeof(",
        "(uint8)",
        "pid",
        "comm",
        "?",
        "éé",
        "\n",
    ];
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    for _ in 0..COUNT {
        let count = random.below(80);
        let words: Vec<&str> = (0..count)
            .map(|_| WORDS[random.below(WORDS.len())])
            .collect();
        check(words.join(" ").as_bytes());
    }
}

#[test]
fn changed_scripts() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    scripts(&root.join("tests/cases"), &mut paths);
    scripts(&root.join("../syntax/tests/corpus"), &mut paths);
    assert!(paths.len() > 20, "there are scripts to change");
    let mut random = Random(0x1234_5678_9abc_def1);
    for _ in 0..COUNT {
        let mut script = fs::read(&paths[random.below(paths.len())]).expect("a script");
        for _ in 0..=random.below(6) {
            change(&mut script, &mut random);
        }
        check(&script);
    }
}

/// Takes a piece out, doubles it, or writes over a byte.
fn change(script: &mut Vec<u8>, random: &mut Random) {
    let start = random.below(script.len());
    let end = (start + random.below(20)).min(script.len());
    match random.below(3) {
        0 => drop(script.drain(start..end)),
        1 => {
            let piece = script[start..end].to_vec();
            let at = random.below(script.len());
            script.splice(at..at, piece);
        }
        _ => {
            if let Some(byte) = script.get_mut(start) {
                *byte = random.next() as u8;
            }
        }
    }
}
