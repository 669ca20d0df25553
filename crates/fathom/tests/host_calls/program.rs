//! Builds programs of `tests/targets`, and runs them under the tracer.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

/// How a program is made.
pub struct Build<'b> {
    /// Its name without a version.
    pub compiler: &'b str,
    /// Before the source.
    pub flags: &'b [&'b str],
    /// In `tests/targets`.
    pub source: &'b str,
}

/// A program that tells of its own calls in the file that its first argument names.
pub struct Program {
    folder: tempfile::TempDir,
    path: PathBuf,
}

/// What the tracer and the program told of the same run.
pub struct Told {
    /// An object for each call, by the program.
    pub own: Vec<Value>,
    /// The same, by the tracer.
    pub traced: Vec<Value>,
    /// The tracer's last object.
    pub coverage: Value,
}

/// Whether the tests can run; says so if not.
pub fn needs_root() -> bool {
    // SAFETY: takes nothing and cannot fail.
    let is_root = unsafe { libc::geteuid() } == 0;
    if !is_root {
        println!("skipped: needs root");
    }
    is_root
}

/// Compilers are large: two at once are enough for any machine.
static COMPILING: [Mutex<()>; 2] = [Mutex::new(()), Mutex::new(())];

/// Compiles a program; `None` without the compiler, and said so.
pub fn program(build: &Build<'_>) -> Option<Program> {
    let Some(compiler) = find_compiler(build.compiler) else {
        println!("skipped: no {}", build.compiler);
        return None;
    };
    let folder = tempfile::tempdir().expect("a folder for the program");
    let path = folder.path().join("program");
    let source = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/targets")
        .join(build.source);
    let place = build.source.len() + build.flags.concat().len();
    let _one_of_two = COMPILING[place % COMPILING.len()]
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    let mut command = Command::new(&compiler);
    if build.compiler == "go" {
        command.arg("build");
        command.env("CGO_ENABLED", "0").env("GO111MODULE", "off");
        command.env("GOCACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("go"));
    }
    let output = command
        .args(build.flags)
        .arg("-o")
        .args([&path, &source])
        .output();
    let output = output.expect("the compiler starts");
    let problems = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{compiler} {:?}: {problems}",
        build.flags
    );
    Some(Program { folder, path })
}

/// A program of `PATH` by its name, or its name with a version behind it.
fn find_compiler(name: &str) -> Option<String> {
    let folders: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH")?).collect();
    let versions = (11..30).rev().map(|version| format!("{name}-{version}"));
    let mut names = std::iter::once(name.to_owned()).chain(versions);
    names.find(|name| folders.iter().any(|folder| folder.join(name).is_file()))
}

impl Program {
    /// Runs it alone to see which functions there are, then traces all of them.
    pub fn trace(&self, options: &[&str]) -> Told {
        let own_file = self.folder.path().join("own");
        let status = Command::new(&self.path).arg(&own_file).status();
        assert!(status.expect("the program starts").success());
        let mut targets: Vec<String> = Vec::new();
        for call in read_lines(&own_file) {
            let function = call["function"].as_str().expect("a function's name");
            let target = format!("{}:{function}", self.path.display());
            if !targets.contains(&target) {
                targets.push(target);
            }
        }
        let output = Command::new(env!("CARGO_BIN_EXE_fathom"))
            .arg("calls")
            .args(&targets)
            .args(options)
            .args(["-o", "json", "-c"])
            .arg(format!("{} {}", self.path.display(), own_file.display()))
            .stdin(Stdio::null())
            .output()
            .expect("the fathom command starts");
        let problems = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{problems}");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut traced: Vec<Value> = text.lines().map(read).collect();
        let coverage = traced.pop().expect("the last line tells what was watched");
        assert_eq!(coverage["lost"], 0, "{coverage}");
        Told {
            own: read_lines(&own_file),
            traced,
            coverage,
        }
    }
}

fn read_lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).expect("the program wrote it");
    text.lines().map(read).collect()
}

fn read(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}
