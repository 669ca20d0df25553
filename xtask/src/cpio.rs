//! Writes the archive that the kernel unpacks as its first root: cpio in the "new ASCII" form.
//!
//! ```text
//! 070701 | 13 numbers of 8 hex digits | name NUL, padded to 4 | content, padded to 4 | … | TRAILER!!!
//! ```

use std::collections::BTreeSet;
use std::path::Path;

const FOLDER: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_000;
const CHARACTER_DEVICE: u32 = 0o020_000;

/// An archive in the making. Folders above an entry are added by themselves.
#[derive(Default)]
pub struct Archive {
    bytes: Vec<u8>,
    entries: u32,
    names: BTreeSet<String>,
}

impl Archive {
    /// An empty archive.
    pub fn new() -> Archive {
        Archive::default()
    }

    /// Adds an empty folder.
    pub fn folder(&mut self, name: &str) {
        let name = name.trim_matches('/');
        if !name.is_empty() && !self.names.contains(name) {
            self.parents(name);
            self.entry(name, FOLDER | 0o755, (0, 0), &[]);
        }
    }

    /// Adds a file with these permission bits. The first file of a name stays.
    pub fn file(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.add(name, FILE | mode, (0, 0), content);
    }

    /// Adds a symbolic link.
    pub fn link(&mut self, name: &str, target: &str) {
        self.add(name, LINK | 0o777, (0, 0), target.as_bytes());
    }

    /// Adds a character device.
    pub fn device(&mut self, name: &str, major: u32, minor: u32) {
        self.add(name, CHARACTER_DEVICE | 0o600, (major, minor), &[]);
    }

    /// The finished archive.
    pub fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }

    fn add(&mut self, name: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        let name = name.trim_matches('/');
        if !self.names.contains(name) {
            self.parents(name);
            self.entry(name, mode, device, content);
        }
    }

    fn parents(&mut self, name: &str) {
        if let Some(parent) = Path::new(name).parent().and_then(Path::to_str) {
            self.folder(parent);
        }
    }

    fn entry(&mut self, name: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        self.names.insert(name.to_owned());
        self.entries += 1;
        let size = u32::try_from(content.len()).expect("files in the guest are smaller than 4 GiB");
        let name_size = u32::try_from(name.len() + 1).expect("names are short");
        let owner_and_time = [0, 0, 1, 0];
        let mut fields = vec![self.entries, mode];
        fields.extend(owner_and_time);
        fields.extend([size, 0, 0, device.0, device.1, name_size, 0]);
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes
                .extend_from_slice(format!("{field:08X}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::{Command, Stdio};

    /// Debian's cpio is the judge of what was written.
    #[test]
    fn cpio_lists_what_was_added_with_the_folders_above() {
        let mut archive = Archive::new();
        archive.file("/bin/tool", 0o755, b"12345");
        archive.file("/bin/tool", 0o755, b"ignored, for the first stays");
        archive.link("bin/other", "tool");
        archive.device("dev/console", 5, 1);
        let Ok(mut cpio) = Command::new("cpio")
            .arg("-tv")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
        else {
            return println!("skipped: needs cpio");
        };
        cpio.stdin
            .take()
            .unwrap()
            .write_all(&archive.finish())
            .unwrap();
        let listed = String::from_utf8(cpio.wait_with_output().unwrap().stdout).unwrap();
        let lines: Vec<String> = listed.lines().map(kind_and_name).collect();
        assert_eq!(
            lines,
            ["d bin", "- bin/tool", "l tool", "d dev", "c dev/console"]
        );
        assert!(
            listed.contains(" 5 ") && listed.contains("5,   1"),
            "size and device numbers: {listed}"
        );
    }

    fn kind_and_name(line: &str) -> String {
        format!(
            "{} {}",
            &line[..1],
            line.rsplit(' ').next().unwrap_or_default()
        )
    }
}
