//! Debian's kernels: which suite has which, and how one becomes a folder of the cache.
//!
//! ```text
//! kernels/6.12/release            6.12.107+deb13-cloud-amd64
//!              vmlinuz
//!              lib/modules/RELEASE/   the modules that tests need, unpacked and indexed
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cache::Cache;
use crate::debian::Suite;
use crate::process;
use crate::qemu::Tools;

/// A row of the matrix: the name on the command line and the suite that carries the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// As written after `--kernel`.
    pub label: &'static str,
    suite: &'static str,
}

const LINES: &[Line] = &[
    Line {
        label: "5.10",
        suite: "bullseye",
    },
    Line {
        label: "6.1",
        suite: "bookworm",
    },
    Line {
        label: "6.12",
        suite: "trixie",
    },
    Line {
        label: "latest",
        suite: "sid",
    },
];

/// Parts of the module tree a network or tracing test may ask for.
const MODULES: &[&str] = &[
    "kernel/net/sched",
    "kernel/net/8021q",
    "kernel/net/802",
    "kernel/net/core",
    "kernel/net/llc",
    "kernel/net/bridge",
    "kernel/net/tls",
    "kernel/net/ipv4/udp_tunnel",
    "kernel/net/ipv6/ip6_udp_tunnel",
    "kernel/drivers/net/veth",
    "kernel/drivers/net/dummy",
    "kernel/drivers/net/ifb",
    "kernel/drivers/net/tun",
    "kernel/lib",
];

/// An unpacked kernel.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// As written after `--kernel`.
    pub label: &'static str,
    /// What `uname -r` says in it.
    pub release: String,
    /// The folder with `vmlinuz` and `lib/modules`.
    pub folder: PathBuf,
}

/// The whole matrix.
pub fn all() -> Vec<Line> {
    LINES.to_vec()
}

/// Reads what stands after `--kernel`.
pub fn parse_list(labels: &[String]) -> Result<Vec<Line>> {
    let find = |label: &String| {
        let known = LINES
            .iter()
            .find(|line| line.label == label.trim())
            .copied();
        known.with_context(|| {
            let labels: Vec<_> = LINES.iter().map(|line| line.label).collect();
            format!(
                "there is no kernel `{label}` here; there are {}",
                labels.join(", ")
            )
        })
    };
    labels.iter().map(find).collect()
}

/// The kernel of `line` from the cache, fetched before if it is not there.
pub fn ensure(cache: &Cache, tools: &Tools, line: Line) -> Result<Kernel> {
    let folder = cache.path("kernels").join(line.label);
    if !folder.join("release").exists() {
        fetch(cache, tools, line, &folder)
            .with_context(|| format!("cannot fetch kernel {}", line.label))?;
    }
    let release = fs::read_to_string(folder.join("release"))?
        .trim()
        .to_owned();
    Ok(Kernel {
        label: line.label,
        release,
        folder,
    })
}

fn fetch(cache: &Cache, tools: &Tools, line: Line, folder: &Path) -> Result<()> {
    let unpacked = cache.path(format!("kernels/{}.partial", line.label));
    if download(cache, line, &unpacked).is_err() {
        // An index from the cache may name packages that the mirror has replaced since.
        Suite::forget(cache, line.suite);
        download(cache, line, &unpacked)?;
    }
    let (image, release) = find_image(&unpacked)?;
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder)?;
    fs::rename(&image, folder.join("vmlinuz"))?;
    take_modules(tools, &unpacked, folder, &release)?;
    fs::remove_dir_all(&unpacked)?;
    Ok(fs::write(folder.join("release"), release)?)
}

fn download(cache: &Cache, line: Line, unpacked: &Path) -> Result<()> {
    let _ = fs::remove_dir_all(unpacked);
    let suite = Suite::open(cache, line.suite)?;
    eprintln!("fetching kernel {} from Debian {}", line.label, line.suite);
    suite.unpack(&packages(&suite)?, unpacked)
}

/// The meta package leads to the image, and newer images to packages of their own for the binary and the modules.
fn packages(suite: &Suite) -> Result<Vec<String>> {
    let mut found: Vec<String> = Vec::new();
    let mut open = vec!["linux-image-cloud-amd64".to_owned()];
    while let Some(package) = open.pop() {
        for name in suite.depends(&package)? {
            let kind = ["linux-image-", "linux-binary-", "linux-modules-"]
                .iter()
                .any(|kind| name.starts_with(kind));
            if kind && !found.contains(&name) {
                found.push(name.clone());
                open.push(name);
            }
        }
    }
    if found.is_empty() {
        bail!("the suite's linux-image-cloud-amd64 names no image");
    }
    Ok(found)
}

/// `boot/vmlinuz-RELEASE`; since Linux 7 `usr/lib/modules/RELEASE/vmlinuz`. With its release.
fn find_image(unpacked: &Path) -> Result<(PathBuf, String)> {
    for path in files_below(unpacked)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let folder = path.parent().and_then(Path::file_name);
        if let Some(release) = name.strip_prefix("vmlinuz-") {
            return Ok((path.clone(), release.to_owned()));
        }
        if let ("vmlinuz", Some(release)) = (name.as_ref(), folder) {
            return Ok((path.clone(), release.to_string_lossy().into_owned()));
        }
    }
    bail!("no vmlinuz in the package")
}

/// Copies the modules that tests need, unpacks them and writes the index that `modprobe` reads.
fn take_modules(tools: &Tools, unpacked: &Path, folder: &Path, release: &str) -> Result<()> {
    let roots = [
        unpacked.join("usr/lib/modules"),
        unpacked.join("lib/modules"),
    ];
    let source = roots
        .iter()
        .map(|root| root.join(release))
        .find(|root| root.exists())
        .context("no modules in the package")?;
    let target = folder.join("lib/modules").join(release);
    fs::create_dir_all(&target)?;
    for name in ["modules.builtin", "modules.order"] {
        if source.join(name).exists() {
            fs::copy(source.join(name), target.join(name))?;
        }
    }
    for path in files_below(&source)? {
        let relative = path.strip_prefix(&source).unwrap_or(&path);
        let name = relative.to_string_lossy();
        if MODULES.iter().any(|part| {
            name.strip_prefix(part)
                .is_some_and(|rest| rest.starts_with(['/', '.']))
        }) {
            let to = target.join(relative);
            fs::create_dir_all(to.parent().unwrap_or(&target))?;
            fs::copy(&path, &to)?;
            if name.ends_with(".xz") {
                process::output(tools.busybox("unxz").arg(&to))?;
            }
        }
    }
    // busybox writes the index for the folder it stands in.
    let mut depmod: Command = tools.busybox("depmod");
    process::output(depmod.arg("-b").arg(folder).arg(release)).map(drop)
}

/// All files below `root`, sorted.
pub fn files_below(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in
            fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?
        {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_names_lines_of_the_matrix() {
        let lines = parse_list(&["6.1".to_owned(), " latest".to_owned()]).unwrap();
        assert_eq!(
            lines.iter().map(|line| line.suite).collect::<Vec<_>>(),
            ["bookworm", "sid"]
        );
        let error = parse_list(&["4.4".to_owned()]).unwrap_err().to_string();
        assert_eq!(
            error,
            "there is no kernel `4.4` here; there are 5.10, 6.1, 6.12, latest"
        );
    }
}
