//! Scripts of `tests/cases` and what bpftrace 0.27.1 printed for them, byte for byte. Needs root.
//!
//! A case is `TOPIC/NAME.bt` with `NAME.out` beside it. Comments at the head of the script say how it is run:
//!
//! ```text
//! // flags: -f json --unsafe
//! // params: 7 hello
//! // exit: 3
//! ```
//!
//! `FATHOM_RECORD=COMMAND` writes the expected output anew by running that command, which takes bpftrace's options. Where we mean to
//! differ, the head says `// ours:` and why, and the output is not recorded from there.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use libtest_mimic::{Arguments, Failed, Trial};

/// How a script is run and how it ends.
#[derive(Default)]
struct Head {
    flags: Vec<String>,
    params: Vec<String>,
    exit: i32,
    is_ours: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut scripts = scripts_below(&folder);
    scripts.sort();
    // /proc/self belongs to whoever asks.
    let is_root = fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0);
    let record = std::env::var("FATHOM_RECORD").ok();
    let trials = scripts.into_iter().map(|script| {
        let name = script
            .strip_prefix(&folder)
            .unwrap_or(&script)
            .with_extension("");
        let record = record.clone();
        let run = move || match record {
            Some(command) => record_case(&script, &command),
            None => check_case(&script),
        };
        Trial::test(name.to_string_lossy(), run).with_ignored_flag(!is_root)
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

fn scripts_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let paths = entries.map(|entry| entry.expect("the folder is read").path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => scripts_below(&path),
            false if path.extension() == Some(OsStr::new("bt")) => vec![path],
            false => Vec::new(),
        })
        .collect()
}

fn head(script: &str) -> Result<Head, Failed> {
    let mut head = Head::default();
    let is_head = |line: &&str| line.starts_with("//") || line.starts_with("#!");
    for line in script.lines().take_while(is_head) {
        let Some((key, value)) = line.trim_start_matches('/').split_once(':') else {
            continue;
        };
        let words = || value.split_whitespace().map(str::to_owned).collect();
        match key.trim() {
            "flags" => head.flags = words(),
            "params" => head.params = words(),
            "exit" => head.exit = value.trim().parse()?,
            "ours" => head.is_ours = true,
            _ => {}
        }
    }
    Ok(head)
}

/// Runs the script with standard error apart; the result is standard output, standard error and the exit code.
fn run(command: &mut Command, head: &Head, script: &str) -> Result<(Vec<u8>, String, i32), Failed> {
    let output = command
        .args(&head.flags)
        .args(["-e", script])
        .args(&head.params)
        .env("TZ", "UTC")
        .stdin(Stdio::null())
        .output()?;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let code = output.status.code().unwrap_or(-1);
    Ok((output.stdout, errors, code))
}

fn check_case(path: &Path) -> Result<(), Failed> {
    let script = fs::read_to_string(path)?;
    let head = head(&script)?;
    let wanted = fs::read(path.with_extension("out"))?;
    let mut fathom = Command::new(env!("CARGO_BIN_EXE_fathom"));
    let (shown, errors, code) = run(fathom.arg("run"), &head, &script)?;
    if shown == wanted && code == head.exit {
        return Ok(());
    }
    Err(format!(
        "exit code {code}, wanted {}\n--- wanted\n{}\n--- shown\n{}\n--- standard error\n{errors}",
        head.exit,
        String::from_utf8_lossy(&wanted),
        String::from_utf8_lossy(&shown),
    )
    .into())
}

fn record_case(path: &Path, command: &str) -> Result<(), Failed> {
    let script = fs::read_to_string(path)?;
    let head = head(&script)?;
    if head.is_ours {
        return Ok(());
    }
    let (shown, errors, code) = run(&mut Command::new(command), &head, &script)?;
    if code != head.exit {
        return Err(format!("exit code {code}, wanted {}\n{errors}", head.exit).into());
    }
    Ok(fs::write(path.with_extension("out"), shown)?)
}
