//! The examples in docs/ and README.md, run as they stand there: `#` as root, `$` as nobody.
//!
//! In what is shown `…` in a line stands for any text, and a line of only `…` for any lines.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Longest time that one example may take, in seconds.
const LIMIT: &str = "60";

/// A command and what it prints.
#[derive(Debug, Default)]
struct Example {
    line: usize,
    is_root: bool,
    command: String,
    shown: Vec<String>,
}

/// The examples of all `console` blocks.
fn examples(page: &str) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    let mut is_inside = false;
    for (index, line) in page.lines().enumerate() {
        if line.starts_with("```") {
            is_inside = line == "```console";
        } else if is_inside && (line.starts_with("# ") || line.starts_with("$ ")) {
            examples.push(Example {
                line: index + 1,
                is_root: line.starts_with('#'),
                command: line[2..].to_owned(),
                shown: Vec::new(),
            });
        } else if let (true, Some(example)) = (is_inside, examples.last_mut()) {
            match line.strip_prefix("> ") {
                Some(more) if example.shown.is_empty() => example.command += &format!("\n{more}"),
                _ => example.shown.push(line.to_owned()),
            }
        }
    }
    examples
}

/// Whether a line is as shown; `…` stands for any text.
fn line_matches(shown: &str, line: &str) -> bool {
    let Some((start, mut rest)) = shown.split_once('…') else {
        return shown == line;
    };
    let Some(mut line) = line.strip_prefix(start) else {
        return false;
    };
    while let Some((middle, after)) = rest.split_once('…') {
        let Some(at) = line.find(middle) else {
            return false;
        };
        line = &line[at + middle.len()..];
        rest = after;
    }
    line.ends_with(rest)
}

fn matches(shown: &[String], lines: &[&str]) -> bool {
    match (shown, lines) {
        ([], []) => true,
        ([any, rest @ ..], _) if any == "…" => {
            (0..=lines.len()).any(|skipped| matches(rest, &lines[skipped..]))
        }
        ([first, rest @ ..], [line, lines @ ..]) => {
            line_matches(first, line) && matches(rest, lines)
        }
        _ => false,
    }
}

/// What a command prints on both streams, in a folder that anybody may write to.
fn run(example: &Example, folder: &Path) -> String {
    let mut words: Vec<&str> = vec!["timeout", LIMIT];
    if !example.is_root {
        words.extend([
            "setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
        ]);
    }
    let script = format!("exec 2>&1\n{}", example.command);
    words.extend(["bash", "-c", &script]);
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new(words[0])
        .args(&words[1..])
        .current_dir(folder)
        .env("PATH", format!("{}/bin:{path}:/usr/sbin", folder.display()))
        .output()
        .expect("the example starts");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A folder with the command in `bin`, for everybody.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let everybody = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(folder.path(), everybody).expect("set");
    let bin = folder.path().join("bin");
    std::fs::create_dir(&bin).expect("made");
    std::fs::copy(env!("CARGO_BIN_EXE_fathom"), bin.join("fathom")).expect("copied");
    symlink("fathom", bin.join("bpftrace")).expect("linked");
    folder
}

fn check(page: &str) {
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0);
    if !is_root {
        println!("skipped: needs root");
        return;
    }
    if page == "docs/go.md" && Command::new("go").arg("version").output().is_err() {
        println!("skipped: no Go compiler");
        return;
    }
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(page);
    let text = std::fs::read_to_string(&path).expect("the page is there");
    let examples = examples(&text);
    assert!(!examples.is_empty(), "{page} has no examples");
    let folder = folder();
    let mut wrong = Vec::new();
    for example in &examples {
        let printed = run(example, folder.path());
        let lines: Vec<&str> = printed.lines().collect();
        if !matches(&example.shown, &lines) {
            let shown = example.shown.join("\n");
            wrong.push(format!(
                "{page}:{}: {}\n-- shown:\n{shown}\n-- printed:\n{printed}",
                example.line, example.command
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn wildcards_stand_for_what_varies() {
    let cases = [
        ("a\nb", "a\nb", true),
        ("a …\nb", "a 12\nb", true),
        ("a … c …", "a b c d", true),
        ("a … c …", "a b d", false),
        ("…\nb", "x\ny\nb", true),
        ("…\nb\n…", "b", true),
        ("…\nb", "x\nb\nz", false),
        ("a", "a\nb", false),
    ];
    for (shown, printed, expected) in cases {
        let shown: Vec<String> = shown.lines().map(str::to_owned).collect();
        let printed: Vec<&str> = printed.lines().collect();
        assert_eq!(matches(&shown, &printed), expected, "{shown:?} {printed:?}");
    }
}

macro_rules! pages {
    ($($name:ident $page:literal;)*) => { $(#[test] fn $name() { check($page); })* };
}

pages! {
    calls_page "docs/calls.md";
    run_page "docs/run.md";
    list_page "docs/list.md";
    check_page "docs/check.md";
    fmt_page "docs/fmt.md";
    info_page "docs/info.md";
    bpftrace_page "docs/bpftrace.md";
    json_page "docs/json.md";
    stacks_page "docs/stacks.md";
    go_page "docs/go.md";
}
