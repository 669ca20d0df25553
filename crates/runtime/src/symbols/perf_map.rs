//! `/tmp/perf-PID.map`: names that just-in-time compilers (V8, the JVM, .NET) write for profilers.
//!
//! ```text
//! 7f3a40001000 1a0 LazyCompile:~handle /app/server.js:12
//! ```

use fathom_machine::process::Process;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

/// Bytes of a map that are read.
const MAX_BYTES: u64 = 256 << 20;

/// A perf map as far as it was read.
#[derive(Default)]
pub(super) struct PerfMap {
    /// Size of the file then: it grows as code is compiled.
    len: u64,
    /// In order of address.
    entries: Vec<Entry>,
}

struct Entry {
    start: u64,
    len: u64,
    name: String,
}

impl PerfMap {
    /// Name of the function at the address, and the offset in it.
    pub(super) fn lookup(&mut self, process: &Process, address: u64) -> Option<(String, u64)> {
        if self.find(address).is_none() {
            self.read_if_grown(process);
        }
        let entry = self.find(address)?;
        Some((entry.name.clone(), address - entry.start))
    }

    fn find(&self, address: u64) -> Option<&Entry> {
        let after = self.entries.partition_point(|entry| entry.start <= address);
        let entry = self.entries.get(after.checked_sub(1)?)?;
        (address - entry.start < entry.len).then_some(entry)
    }

    /// The compiler writes the pid that it sees, which is another one in a pid namespace.
    fn read_if_grown(&mut self, process: &Process) -> Option<()> {
        let pid = process.namespace_pid().unwrap_or(process.pid());
        let path: PathBuf = process.root().join(format!("tmp/perf-{pid}.map"));
        let len = std::fs::metadata(&path).ok()?.len();
        if len == self.len {
            return None;
        }
        let mut text = Vec::new();
        File::open(&path)
            .ok()?
            .take(MAX_BYTES)
            .read_to_end(&mut text)
            .ok()?;
        self.len = len;
        self.entries = parse(&String::from_utf8_lossy(&text));
        Some(())
    }
}

/// Where code was compiled anew at the same place, the later line counts.
fn parse(text: &str) -> Vec<Entry> {
    let mut entries: Vec<Entry> = text.lines().filter_map(parse_line).collect();
    entries.reverse();
    entries.sort_by_key(|entry| entry.start);
    entries.dedup_by_key(|entry| entry.start);
    entries
}

fn parse_line(line: &str) -> Option<Entry> {
    let mut columns = line.splitn(3, ' ');
    let mut number = || {
        let text = columns.next()?;
        u64::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16).ok()
    };
    let (start, len) = (number()?, number()?);
    Some(Entry {
        start,
        len,
        name: columns.next()?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_lines_win_and_garbage_is_skipped() {
        let text = "1000 10 old\nnonsense\n0x2000 20 with spaces in it\n1000 8 new\nffffffffffffffff ffffffffffffffff end\n";
        let map = PerfMap {
            len: 0,
            entries: parse(text),
        };
        let cases = [
            (0x1007, Some("new")),
            (0x1008, None),
            (0xfff, None),
            (0x201f, Some("with spaces in it")),
            (0x2020, None),
            (u64::MAX, Some("end")),
        ];
        for (address, expected) in cases {
            let found = map.find(address).map(|entry| entry.name.as_str());
            assert_eq!(found, expected, "{address:#x}");
        }
    }
}
