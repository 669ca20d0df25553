//! The tools we measure against, from Debian sid: bpftrace 0.27 and bpftool, in the tree that also carries QEMU.
//!
//! They run in a chroot that sees this machine's kernel. The mounts it needs are made in a mount namespace of the
//! command's own: they are gone with it, however it ends.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::Result;

use crate::cache::Cache;
use crate::process;
use crate::qemu;

const PACKAGES: &[&str] = &[
    "base-files",
    "bash",
    "coreutils",
    "libc-bin",
    "bpftrace",
    "bpftool",
];

/// `$0` is the tree, `$@` the command. The machine's own root is at /host, for probes on its programs.
const ENTER: &str = r#"
mkdir -p "$0/host" &&
mount -t proc proc "$0/proc" && mount --rbind /sys "$0/sys" && mount --rbind /dev "$0/dev" && mount --rbind / "$0/host" &&
{ [ -e /sys/kernel/tracing/events ] || mount -t tracefs tracefs "$0/sys/kernel/tracing"; } &&
exec chroot "$0" "$@"
"#;

/// The chroot with the peers.
pub struct Peers {
    tree: PathBuf,
}

impl Peers {
    /// The peers from the cache, fetched before if they are not there.
    pub fn ensure() -> Result<Peers> {
        let cache = Cache::open()?;
        let fresh = !cache.path("sid.peers").exists();
        let peers = Peers {
            tree: qemu::ensure_in_tree(&cache, "peers", PACKAGES)?,
        };
        if fresh {
            process::output(Command::new("ldconfig").arg("-r").arg(&peers.tree))?;
        }
        Ok(peers)
    }

    /// A command that runs `program` in the chroot. Needs root.
    pub fn command<S: AsRef<OsStr>>(
        &self,
        program: &str,
        args: impl IntoIterator<Item = S>,
    ) -> Command {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--propagation", "private", "sh", "-c", ENTER])
            .arg(&self.tree)
            .arg(program)
            .args(args);
        command
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .env("LC_ALL", "C.UTF-8");
        command
    }

    /// Bytes of bpftrace's binary and of the libraries that it loads.
    pub fn bpftrace_bytes(&self) -> Result<f64> {
        let listing = process::output(&mut self.command("ldd", ["/usr/bin/bpftrace"]))?;
        let files = listing
            .split_whitespace()
            .filter(|word| word.starts_with('/'))
            .chain(["/usr/bin/bpftrace"]);
        let size = |path: &str| {
            let path = self.tree.join(path.trim_start_matches('/'));
            std::fs::metadata(path).map_or(0, |file| file.len())
        };
        Ok(files.map(size).sum::<u64>() as f64)
    }

    /// A command that runs Debian sid's bpftrace.
    pub fn bpftrace<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        self.command("bpftrace", args)
    }
}

/// Fetches the peers, shows that they work here and what they need to start.
pub fn print_versions() -> Result<()> {
    let peers = Peers::ensure()?;
    for (program, argument) in [("bpftrace", "--version"), ("bpftool", "version")] {
        let text = process::output(&mut peers.command(program, [argument]))?;
        println!("{program}: {}", text.lines().next().unwrap_or_default());
    }
    let started = Instant::now();
    process::output(&mut peers.command("true", [""; 0]))?;
    let entering = started.elapsed();
    let started = Instant::now();
    process::output(&mut peers.bpftrace(["-e", "BEGIN { exit(); }"]))?;
    let seconds = started.elapsed().saturating_sub(entering).as_secs_f64();
    println!(
        "bpftrace -e 'BEGIN {{ exit(); }}': {seconds:.2} s ({:.3} s for the chroot left out)",
        entering.as_secs_f64()
    );
    Ok(())
}
