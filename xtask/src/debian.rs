//! Debian packages of any suite, through an apt state of our own: the machine's sources are never touched.
//!
//! The mirror is the one the machine already uses. Indexes past their date are accepted, because a mirror that
//! lags is still signed; the signatures themselves are always checked.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cache::Cache;
use crate::process;

const DEFAULT_MIRROR: &str = "http://deb.debian.org/debian";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// One suite, with its own lists and downloads below the cache.
pub struct Suite {
    folder: PathBuf,
}

impl Suite {
    /// Prepares the state of `name` and fetches its index if there is none yet.
    pub fn open(cache: &Cache, name: &str) -> Result<Suite> {
        let suite = Suite {
            folder: cache.path("apt").join(name),
        };
        let stamp = suite.folder.join("updated");
        if stamp.exists() {
            return Ok(suite);
        }
        suite.write_configuration(name)?;
        eprintln!("fetching the package index of {name}");
        process::output(suite.apt("apt-get").args(["update", "--error-on=any"]))?;
        fs::write(stamp, "")?;
        Ok(suite)
    }

    /// Forgets the index, so that the next `open` fetches a newer one.
    pub fn forget(cache: &Cache, name: &str) {
        let _ = fs::remove_file(cache.path("apt").join(name).join("updated"));
    }

    /// The names a package depends on, alternatives left out.
    pub fn depends(&self, package: &str) -> Result<Vec<String>> {
        let text =
            process::output(
                self.apt("apt-cache")
                    .args(["show", "--no-all-versions", package]),
            )?;
        Ok(parse_depends(&text))
    }

    /// Downloads `packages` alone and unpacks them into `into`.
    pub fn unpack(&self, packages: &[String], into: &Path) -> Result<()> {
        let archives = self.folder.join("single");
        let _ = fs::remove_dir_all(&archives);
        fs::create_dir_all(&archives)?;
        process::output(
            self.apt("apt-get")
                .arg("download")
                .args(packages)
                .current_dir(&archives),
        )?;
        unpack_all(&archives, into)?;
        Ok(fs::remove_dir_all(&archives)?)
    }

    /// Downloads `packages` with all they depend on and unpacks everything into `into`.
    pub fn unpack_with_dependencies(&self, packages: &[&str], into: &Path) -> Result<()> {
        process::output(
            self.apt("apt-get")
                .args([
                    "install",
                    "--download-only",
                    "--no-install-recommends",
                    "--yes",
                ])
                .args(packages),
        )?;
        let archives = self.folder.join("cache/archives");
        unpack_all(&archives, into)?;
        Ok(fs::remove_dir_all(&archives)?)
    }

    fn apt(&self, program: &str) -> Command {
        let _ = fs::create_dir_all(self.folder.join("cache/archives/partial"));
        let mut command = Command::new(program);
        command
            .env("APT_CONFIG", self.folder.join("apt.conf"))
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env("LC_ALL", "C");
        command
    }

    fn write_configuration(&self, suite: &str) -> Result<()> {
        for folder in ["state/lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(self.folder.join(folder))?;
        }
        let signed = if Path::new(KEYRING).exists() {
            format!(" signed-by={KEYRING}")
        } else {
            String::new()
        };
        let source = format!("deb [arch=amd64{signed}] {} {suite} main\n", mirror());
        fs::write(self.folder.join("sources.list"), source)?;
        fs::write(self.folder.join("status"), "")?;
        let folder = fs::canonicalize(&self.folder)?;
        fs::write(
            folder.join("apt.conf"),
            configuration(&folder, &machine_configuration()),
        )?;
        Ok(())
    }
}

/// apt's configuration: nothing of the machine's but how to reach the network.
fn configuration(folder: &Path, machine: &str) -> String {
    let folder = folder.display();
    let network: String = machine
        .lines()
        .filter(|line| is_network(line))
        .map(|line| format!("{line}\n"))
        .collect();
    format!(
        "{network}\
         Dir::Etc::Main \"/dev/null\";\n\
         Dir::Etc::Parts \"/dev/null\";\n\
         Dir::Etc::SourceList \"{folder}/sources.list\";\n\
         Dir::Etc::SourceParts \"/dev/null\";\n\
         Dir::Etc::Preferences \"/dev/null\";\n\
         Dir::Etc::PreferencesParts \"/dev/null\";\n\
         Dir::State \"{folder}/state\";\n\
         Dir::State::status \"{folder}/status\";\n\
         Dir::Cache \"{folder}/cache\";\n\
         APT::Architecture \"amd64\";\n\
         APT::Architectures:: \"amd64\";\n\
         APT::Sandbox::User \"\";\n\
         Acquire::Check-Valid-Until \"false\";\n\
         Acquire::Retries \"3\";\n\
         Acquire::Languages \"none\";\n"
    )
}

fn is_network(line: &str) -> bool {
    let Some((name, _)) = line.split_once(' ') else {
        return false;
    };
    name.starts_with("Acquire::")
        && [
            "proxy",
            "proxy-auto-detect",
            "timeout",
            "cainfo",
            "verify-peer",
        ]
        .iter()
        .any(|word| name.to_ascii_lowercase().ends_with(&format!("::{word}")))
}

fn machine_configuration() -> String {
    process::output(Command::new("apt-config").arg("dump")).unwrap_or_default()
}

/// The Debian mirror this machine already uses, or the default one.
fn mirror() -> String {
    let format = [
        "indextargets",
        "--format",
        "$(SITE) $(RELEASE)",
        "Created-By: Packages",
    ];
    let targets = process::output(Command::new("apt-get").args(format)).unwrap_or_default();
    parse_mirror(&targets).unwrap_or_else(|| DEFAULT_MIRROR.to_owned())
}

fn parse_mirror(targets: &str) -> Option<String> {
    let mut sites = targets
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    sites
        .find(|site| site.trim_end_matches('/').ends_with("/debian"))
        .map(|site| site.trim_end_matches('/').to_owned())
}

fn parse_depends(stanza: &str) -> Vec<String> {
    let mut names = BTreeSet::new();
    for line in stanza.lines() {
        let Some(list) = line
            .strip_prefix("Depends: ")
            .or_else(|| line.strip_prefix("Pre-Depends: "))
        else {
            continue;
        };
        let one_choice = list.split(',').filter(|entry| !entry.contains('|'));
        names.extend(
            one_choice
                .filter_map(|entry| entry.split_whitespace().next())
                .map(str::to_owned),
        );
    }
    names.into_iter().collect()
}

fn unpack_all(archives: &Path, into: &Path) -> Result<()> {
    fs::create_dir_all(into)?;
    let mut files: Vec<PathBuf> = fs::read_dir(archives)?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "deb"));
    if files.is_empty() {
        bail!("apt downloaded nothing into {}", archives.display());
    }
    // base-files brings the links /bin → usr/bin and the like: it has to be there before what is put below them.
    files.sort_by_key(|path| {
        !path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("base-files_"))
    });
    for file in &files {
        process::output(Command::new("dpkg-deb").arg("-x").arg(file).arg(into))
            .with_context(|| format!("cannot unpack {}", file.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_dependencies_without_a_choice_are_followed() {
        let stanza = "Package: linux-image-7\nPre-Depends: linux-base (>= 4.17~)\n\
                      Depends: dracut | initramfs-tools (>= 0.1), linux-binary-7 (= 7.2), linux-modules-7 (= 7.2)\n";
        assert_eq!(
            parse_depends(stanza),
            ["linux-base", "linux-binary-7", "linux-modules-7"]
        );
        assert!(parse_depends("Package: x\n").is_empty());
    }

    #[test]
    fn the_machines_own_mirror_is_used() {
        let targets = "http://mirror.test/debian-security bookworm-security\nhttp://mirror.test/debian/ bookworm\n";
        assert_eq!(
            parse_mirror(targets).as_deref(),
            Some("http://mirror.test/debian")
        );
        assert_eq!(parse_mirror("http://archive.test/ubuntu noble\n"), None);
    }

    #[test]
    fn the_machines_proxy_is_kept_and_its_hooks_are_not() {
        let machine = "Acquire::http::Proxy \"http://127.0.0.1:3142\";\nAPT::Update::Post-Invoke:: \"touch /x\";\n";
        let text = configuration(Path::new("/c"), machine);
        assert!(
            text.starts_with("Acquire::http::Proxy \"http://127.0.0.1:3142\";\nDir::Etc::Main"),
            "{text}"
        );
        assert!(!text.contains("Invoke"), "{text}");
    }
}
