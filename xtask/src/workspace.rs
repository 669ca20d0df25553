//! The workspace as cargo sees it: static builds, and the list of test programs.
//!
//! A build for a named target takes flags that leave proc macros and build scripts alone, so `cargo build` without a
//! target stays an ordinary one. All stages build for the same target: what one has built, the next one uses.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::process;

const TARGET: &str = "x86_64-unknown-linux-gnu";
/// Libraries that are linked into the binary; the last may be absent where libelf does not use it.
const STATIC_LIBRARIES: &[&str] = &["libc.a", "libelf.a", "libz.a"];
const OPTIONAL_LIBRARY: &str = "libzstd.a";
const LIBRARY_PATH: &str = "LIBBPF_SYS_LIBRARY_PATH";

/// A test program that cargo has built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestProgram {
    /// The package it belongs to.
    pub package: String,
    /// The target's name: a crate's own name for unit tests, a file's name for those below `tests/`.
    pub target: String,
    /// The folder to run it in.
    pub folder: PathBuf,
    /// The program.
    pub path: PathBuf,
}

/// The root of the work tree.
pub fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_owned()
}

/// Where cargo builds, and where the tasks keep what they make.
pub fn target_folder() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |set| root().join(set))
}

/// Cargo in the work tree, set up for static programs.
pub fn cargo() -> Result<Command> {
    let mut command = plain_cargo();
    command
        .env("CARGO_BUILD_TARGET", TARGET)
        .env("RUSTFLAGS", static_flags());
    if env::var_os(LIBRARY_PATH).is_none() {
        command.env(LIBRARY_PATH, library_folder()?);
    }
    Ok(command)
}

/// Cargo in the work tree as it is.
pub fn plain_cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Builds the static release binary and returns its path.
pub fn build_release() -> Result<PathBuf> {
    let mut command = cargo()?;
    command.args([
        "build",
        "--release",
        "--package",
        "fathom",
        "--bin",
        "fathom",
    ]);
    let messages = build(&mut command)?;
    let path = messages
        .iter()
        .filter(|message| message["target"]["name"] == "fathom")
        .find_map(executable);
    path.context("cargo built no program `fathom`")
}

/// Builds every test program of the workspace.
pub fn build_tests() -> Result<Vec<TestProgram>> {
    let mut command = cargo()?;
    command.args(["test", "--no-run", "--workspace"]);
    test_programs(&build(&mut command)?)
}

/// Builds the test programs that are meant for a guest: the targets whose name starts with `vm_`.
pub fn build_vm_tests() -> Result<Vec<TestProgram>> {
    let text =
        process::output(plain_cargo().args(["metadata", "--no-deps", "--format-version", "1"]))?;
    let wanted =
        parse_vm_targets(&serde_json::from_str(&text).context("cargo metadata is not JSON")?);
    if wanted.is_empty() {
        bail!("no test target of the workspace starts with `vm_`");
    }
    let mut command = cargo()?;
    command.args(["test", "--no-run"]);
    for (package, target) in &wanted {
        command.args(["--package", package, "--test", target]);
    }
    test_programs(&build(&mut command)?)
}

/// Names of the programs that a package below the root builds.
pub fn binaries_of(manifest: &Path) -> Result<Vec<String>> {
    let mut command = plain_cargo();
    command
        .args([
            "metadata",
            "--no-deps",
            "--format-version",
            "1",
            "--manifest-path",
        ])
        .arg(manifest);
    let metadata: Value = serde_json::from_str(&process::output(&mut command)?)?;
    let targets = list(&metadata["packages"]).flat_map(|package| list(&package["targets"]));
    let binaries = targets.filter(|target| list(&target["kind"]).any(|kind| kind == "bin"));
    Ok(binaries
        .filter_map(|target| target["name"].as_str())
        .map(str::to_owned)
        .collect())
}

/// Runs a build and returns what cargo said about each artifact.
pub fn build(command: &mut Command) -> Result<Vec<Value>> {
    command
        .arg("--message-format=json-render-diagnostics")
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    let output = command.output().context("cannot start cargo")?;
    if !output.status.success() {
        bail!("the build failed");
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect())
}

/// The program an artifact message names.
pub fn executable(message: &Value) -> Option<PathBuf> {
    message["executable"].as_str().map(PathBuf::from)
}

fn test_programs(messages: &[Value]) -> Result<Vec<TestProgram>> {
    let mut programs: Vec<TestProgram> = messages.iter().filter_map(test_program).collect();
    if programs.is_empty() {
        bail!("cargo built no test program");
    }
    programs.sort_by(|a, b| (&a.package, &a.target).cmp(&(&b.package, &b.target)));
    Ok(programs)
}

fn test_program(message: &Value) -> Option<TestProgram> {
    if message["profile"]["test"] != true {
        return None;
    }
    let folder = Path::new(message["manifest_path"].as_str()?)
        .parent()?
        .to_owned();
    let package = folder.file_name()?.to_string_lossy().into_owned();
    Some(TestProgram {
        package,
        target: message["target"]["name"].as_str()?.to_owned(),
        folder,
        path: executable(message)?,
    })
}

fn parse_vm_targets(metadata: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for package in list(&metadata["packages"]) {
        for target in list(&package["targets"]) {
            let is_test = list(&target["kind"]).any(|kind| kind == "test");
            if let (true, Some(package), Some(target)) =
                (is_test, package["name"].as_str(), target["name"].as_str())
                && target.starts_with("vm_")
            {
                found.push((package.to_owned(), target.to_owned()));
            }
        }
    }
    found
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// As in `scripts/build.sh`, to the letter: other flags would be another build.
fn static_flags() -> String {
    let mut flags = "-C target-feature=+crt-static".to_owned();
    if find_library(OPTIONAL_LIBRARY).is_some() {
        flags.push_str(" -C link-arg=-lzstd");
    }
    flags
}

/// The folder in which libbpf's build looks for libelf and zlib. Never an `-L` for all: an older libbpf may lie there too.
fn library_folder() -> Result<PathBuf> {
    let find = |library: &&str| {
        find_library(library).with_context(|| {
            format!("{library} is missing: scripts/setup.sh installs it, or names the package that has it")
        })
    };
    let folders = STATIC_LIBRARIES.iter().map(find);
    let folders = folders.collect::<Result<Vec<_>>>()?;
    folders.into_iter().next_back().context("no library")
}

/// The C compiler knows where static libraries are; for one it does not find it prints the bare name.
fn find_library(name: &str) -> Option<PathBuf> {
    let printed =
        process::output(Command::new("cc").arg(format!("-print-file-name={name}"))).ok()?;
    let path = Path::new(printed.trim());
    let path = path
        .is_absolute()
        .then(|| path.canonicalize().unwrap_or_else(|_| path.to_owned()))?;
    path.parent().map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn vm_targets_are_found_by_their_name() {
        let target = |name, kind| json!({ "name": name, "kind": [kind] });
        let targets = [
            target("fathom", "lib"),
            target("vm_kernel", "test"),
            target("cases", "test"),
            target("vm_x", "bin"),
        ];
        let metadata = json!({ "packages": [{ "name": "fathom", "targets": targets }] });
        assert_eq!(
            parse_vm_targets(&metadata),
            [("fathom".to_owned(), "vm_kernel".to_owned())]
        );
    }

    #[test]
    fn only_test_programs_are_taken_from_a_build() {
        let message = |test, executable| {
            json!({ "profile": { "test": test }, "manifest_path": "/w/crates/bpf/Cargo.toml",
                    "target": { "name": "cases" }, "executable": executable })
        };
        let programs =
            test_programs(&[message(false, "/t/bin"), message(true, "/t/cases")]).unwrap();
        assert_eq!(programs.len(), 1);
        assert_eq!(
            (programs[0].package.as_str(), programs[0].path.as_path()),
            ("bpf", Path::new("/t/cases"))
        );
        assert!(test_programs(&[json!({})]).is_err());
    }
}
