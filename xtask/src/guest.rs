//! Builds the guest's root: busybox, the init script, the test programs and what the tests ask for.
//!
//! `crates/fathom/tests/vm_files.txt` names programs, files and folders of this machine to take along, one path a line,
//! where `*` stands for any part of a name; the shared libraries that programs need come with them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cpio::Archive;
use crate::kernel::{self, Kernel};
use crate::process;
use crate::qemu::Tools;
use crate::workspace::{self, TestProgram};

const INIT: &str = include_str!("guest_init.sh");
const FILES_LIST: &str = "crates/fathom/tests/vm_files.txt";

/// What goes into the guest.
pub struct Content<'a> {
    /// Statically linked test programs, run in this order.
    pub tests: &'a [TestProgram],
    /// The static `fathom`.
    pub fathom: &'a Path,
    /// Arguments for each test program.
    pub args: &'a [String],
}

/// The guest's root as an archive.
pub fn build(tools: &Tools, kernel: &Kernel, content: &Content) -> Result<Vec<u8>> {
    let mut archive = Archive::new();
    for folder in [
        "proc", "sys", "dev", "tmp", "run", "root", "mnt", "var/tmp", "etc", "usr/bin", "usr/sbin",
    ] {
        archive.folder(folder);
    }
    archive.device("dev/console", 5, 1);
    archive.device("dev/null", 1, 3);
    archive.file("init", 0o755, INIT.as_bytes());
    add_accounts(&mut archive);
    add_host_files(&mut archive)?;
    add_busybox(&mut archive, tools)?;
    add_modules(&mut archive, kernel)?;
    archive.file("usr/bin/fathom", 0o755, &read(content.fathom)?);
    archive.link("usr/bin/bpftrace", "fathom");
    add_tests(&mut archive, content)?;
    Ok(archive.finish())
}

fn add_accounts(archive: &mut Archive) {
    archive.file(
        "etc/passwd",
        0o644,
        b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    );
    archive.file("etc/group", 0o644, b"root:x:0:\nnogroup:x:65534:\n");
    archive.file(
        "etc/hosts",
        0o644,
        b"127.0.0.1 localhost fathom-guest\n::1 localhost\n",
    );
}

fn add_busybox(archive: &mut Archive, tools: &Tools) -> Result<()> {
    archive.file("bin/busybox", 0o755, &read(&tools.busybox_path())?);
    for path in process::output(tools.busybox("--list-full").env_clear())?.lines() {
        archive.link(path, "/bin/busybox");
    }
    Ok(())
}

fn add_modules(archive: &mut Archive, kernel: &Kernel) -> Result<()> {
    for path in kernel::files_below(&kernel.folder.join("lib"))? {
        let name = path
            .strip_prefix(&kernel.folder)
            .unwrap_or(&path)
            .to_string_lossy()
            .into_owned();
        archive.file(&name, 0o644, &read(&path)?);
    }
    Ok(())
}

fn add_tests(archive: &mut Archive, content: &Content) -> Result<()> {
    let mut names = String::new();
    for test in content.tests {
        archive.file(&format!("tests/{}", test.target), 0o755, &read(&test.path)?);
        names.push_str(&format!("{}\n", test.target));
    }
    archive.file("etc/tests", 0o644, names.as_bytes());
    let args: Vec<String> = content.args.iter().map(|arg| quote(arg)).collect();
    archive.file("etc/test-args", 0o644, args.join(" ").as_bytes());
    Ok(())
}

fn add_host_files(archive: &mut Archive) -> Result<()> {
    let list = workspace::root().join(FILES_LIST);
    let Ok(text) = fs::read_to_string(&list) else {
        return Ok(());
    };
    for pattern in parse_list(&text) {
        let found = matches(pattern);
        if found.is_empty() {
            bail!(
                "{FILES_LIST} names {pattern}, which is not on this machine; scripts/setup.sh installs what the tests need"
            );
        }
        for path in found {
            if path.is_dir() {
                for file in kernel::files_below(&path)? {
                    add_host_file(archive, &file)?;
                }
            } else {
                add_with_libraries(archive, &path)?;
            }
        }
    }
    Ok(())
}

/// Existing paths that a pattern with `*` in its parts stands for.
fn matches(pattern: &str) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::from("/")];
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        let mut longer = Vec::new();
        for folder in &found {
            if !part.contains('*') {
                longer.push(folder.join(part));
                continue;
            }
            let names = fs::read_dir(folder).into_iter().flatten().flatten();
            let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
            longer.extend(
                names
                    .filter(|name| fits(part, name))
                    .map(|name| folder.join(name)),
            );
        }
        found = longer;
    }
    found.retain(|path| path.exists());
    found.sort();
    found
}

/// Whether a name fits a pattern in which each `*` stands for any text.
fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|name| {
            (0..=name.len())
                .filter(|at| name.is_char_boundary(*at))
                .any(|at| fits(rest, &name[at..]))
        }),
    }
}

fn add_with_libraries(archive: &mut Archive, path: &Path) -> Result<()> {
    add_host_file(archive, path)?;
    let listing = Command::new("ldd").arg(path).output();
    let listing = listing
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default();
    for library in parse_ldd(&listing) {
        add_host_file(archive, &library)?;
    }
    Ok(())
}

fn add_host_file(archive: &mut Archive, path: &Path) -> Result<()> {
    let mode = fs::metadata(path)
        .with_context(|| format!("cannot read {}", path.display()))?
        .permissions()
        .mode();
    archive.file(&path.to_string_lossy(), mode & 0o777, &read(path)?);
    Ok(())
}

fn parse_list(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// `libc.so.6 => /lib/libc.so.6 (0x…)` and `/lib64/ld-linux.so.2 (0x…)` both name a file.
fn parse_ldd(listing: &str) -> Vec<PathBuf> {
    let file = |line: &str| {
        line.split_whitespace()
            .find(|word| word.starts_with('/'))
            .map(PathBuf::from)
    };
    listing.lines().filter_map(file).collect()
}

fn quote(arg: &str) -> String {
    format!("'{}'", arg.replace('\'', r"'\''"))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_found_in_what_ldd_prints() {
        let listing =
            "\tlinux-vdso.so.1 (0x1)\n\tlibc.so.6 => /lib/libc.so.6 (0x2)\n\t/lib64/ld.so (0x3)\n";
        assert_eq!(
            parse_ldd(listing),
            [Path::new("/lib/libc.so.6"), Path::new("/lib64/ld.so")]
        );
        assert!(parse_ldd("\tstatically linked\n").is_empty());
    }

    #[test]
    fn the_list_of_files_may_have_comments() {
        assert_eq!(
            parse_list("# real programs\n\n /bin/cat \n").collect::<Vec<_>>(),
            ["/bin/cat"]
        );
    }

    #[test]
    fn a_pattern_stands_for_what_is_there() {
        let folder = workspace::root().join("xtask/s*/gu*t.rs");
        let found = matches(&folder.to_string_lossy());
        assert_eq!(found, [workspace::root().join("xtask/src/guest.rs")]);
        assert!(matches("/no*such/x").is_empty());
        assert!(fits("a*c*", "abcd") && !fits("a*d", "abc") && fits("*", ""));
    }

    #[test]
    fn test_arguments_reach_the_guest_unchanged() {
        assert_eq!(quote("a b'c$"), r"'a b'\''c$'");
    }
}
