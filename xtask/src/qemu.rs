//! QEMU and busybox out of Debian sid, and one boot of a guest.
//!
//! QEMU 7.2 makes some of these guests double-fault at random under plain emulation; sid's does not. Its packages are
//! only unpacked: the tree's own loader starts its programs, so neither root nor a mount is needed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::cache::Cache;
use crate::debian::Suite;
use crate::process::{self, Ending, Limits};

const PACKAGES: &[&str] = &["base-files", "qemu-system-x86", "busybox-static"];
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";

/// The unpacked tree of Debian sid.
pub struct Tools {
    tree: PathBuf,
}

impl Tools {
    /// The tools from the cache, fetched before if they are not there.
    pub fn ensure(cache: &Cache) -> Result<Tools> {
        Ok(Tools {
            tree: ensure_in_tree(cache, "qemu", PACKAGES)?,
        })
    }

    /// The static busybox.
    pub fn busybox_path(&self) -> PathBuf {
        self.tree.join("usr/bin/busybox")
    }

    /// A command for one of busybox's applets.
    pub fn busybox(&self, applet: &str) -> Command {
        let mut command = Command::new(self.busybox_path());
        command.arg(applet);
        command
    }

    fn qemu(&self) -> Command {
        let libraries = self.tree.join(LIBRARIES);
        let mut command = end_with_parent(&self.tree.join("lib64/ld-linux-x86-64.so.2"));
        command
            .arg("--library-path")
            .arg(&libraries)
            .arg(self.tree.join("usr/bin/qemu-system-x86_64"));
        command.env("QEMU_MODULE_DIR", libraries.join("qemu"));
        for data in ["usr/share/qemu", "usr/share/seabios", "usr/lib/ipxe/qemu"] {
            command.arg("-L").arg(self.tree.join(data));
        }
        command
    }
}

/// Unpacks `packages` of sid into the shared tree, once for each `set`.
pub fn ensure_in_tree(cache: &Cache, set: &str, packages: &[&str]) -> Result<PathBuf> {
    let tree = cache.path("sid");
    let stamp = cache.path(format!("sid.{set}"));
    if !stamp.exists() {
        let fetch = || {
            let suite = Suite::open(cache, "sid")?;
            eprintln!("fetching from Debian sid: {}", packages.join(" "));
            suite.unpack_with_dependencies(packages, &tree)
        };
        if fetch().is_err() {
            // sid moves: an index from the cache may name packages that the mirror has replaced since.
            Suite::forget(cache, "sid");
            fetch()
                .with_context(|| format!("cannot fetch {} from Debian sid", packages.join(" ")))?;
        }
        fs::write(stamp, "")?;
    }
    Ok(tree)
}

/// What a guest is started with.
pub struct Boot<'a> {
    /// The kernel image.
    pub kernel: &'a Path,
    /// The archive that becomes its root.
    pub initramfs: &'a Path,
    /// Where the kernel's console goes.
    pub console: &'a Path,
    /// When the guest is ended.
    pub limits: Limits,
}

/// Boots a guest and hands what it prints on its second serial port to `seen`.
pub fn boot(tools: &Tools, boot: &Boot, seen: impl FnMut(&[u8])) -> Result<Ending> {
    let mut command = tools.qemu();
    command.args([
        "-accel",
        "tcg,thread=multi",
        "-cpu",
        "max",
        "-smp",
        "1",
        "-m",
        "2G",
    ]);
    command.args([
        "-display",
        "none",
        "-vga",
        "none",
        "-monitor",
        "none",
        "-nic",
        "none",
        "-no-reboot",
    ]);
    command
        .arg("-kernel")
        .arg(boot.kernel)
        .arg("-initrd")
        .arg(boot.initramfs);
    // The BPF LSM has to be named on kernels whose default list lacks it; the watchdogs know nothing of emulation.
    command.arg("-append").arg(
        "console=ttyS0,115200 panic=-1 quiet nowatchdog mitigations=off lsm=capability,yama,bpf",
    );
    command
        .arg("-serial")
        .arg(format!("file:{}", boot.console.display()));
    command.args(["-serial", "stdio"]);
    process::watch(&mut command, boot.limits, seen)
}

/// A command that the kernel ends when we are gone, however we went.
fn end_with_parent(program: &Path) -> Command {
    if Command::new("setpriv")
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success())
    {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program);
        return command;
    }
    Command::new(program)
}
