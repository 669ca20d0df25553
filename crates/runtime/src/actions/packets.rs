//! Packets to capture files that tcpdump and Wireshark read.
//!
//! ```text
//! file:   u32 magic (nanoseconds), u16 major 2, u16 minor 4, u32 0, u32 0, u32 longest packet, u32 link type 1 (Ethernet)
//! packet: u32 seconds, u32 nanoseconds, u32 length kept, u32 length, bytes
//! ```

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};

const MAGIC_NANOSECONDS: u32 = 0xa1b2_3c4d;
const LONGEST_PACKET: u32 = 262_144;
const ETHERNET: u32 = 1;
/// Files that one script may write.
const MAX_FILES: usize = 64;

/// Capture files by path; each is made at its first packet.
#[derive(Default)]
pub(super) struct PacketFiles {
    files: HashMap<String, BufWriter<File>>,
}

impl PacketFiles {
    /// Appends a packet.
    pub(super) fn write(&mut self, path: &str, unix_ns: i64, packet: &[u8]) -> io::Result<()> {
        if !self.files.contains_key(path) {
            if self.files.len() >= MAX_FILES {
                return Err(io::Error::other(format!(
                    "more than {MAX_FILES} capture files"
                )));
            }
            let mut file = BufWriter::new(File::create(path)?);
            file.write_all(&file_header())?;
            self.files.insert(path.to_owned(), file);
        }
        let Some(file) = self.files.get_mut(path) else {
            unreachable!("packets: {path} was put in above");
        };
        file.write_all(&packet_header(unix_ns, packet.len()))?;
        file.write_all(packet)
    }
}

fn file_header() -> Vec<u8> {
    let version = 2u32 | 4 << 16;
    words([MAGIC_NANOSECONDS, version, 0, 0, LONGEST_PACKET, ETHERNET])
}

fn packet_header(unix_ns: i64, len: usize) -> Vec<u8> {
    let seconds = unix_ns.div_euclid(1_000_000_000) as u32;
    let nanoseconds = unix_ns.rem_euclid(1_000_000_000) as u32;
    let len = len as u32;
    words([seconds, nanoseconds, len, len])
}

/// Readers tell the byte order by the magic.
fn words<const N: usize>(words: [u32; N]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_what_tcpdump_reads() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.pcap");
        let path = path.to_str().expect("a name in UTF-8");
        let mut files = PacketFiles::default();
        files.write(path, 1_000_000_002, b"ab").expect("written");
        files.write(path, 2_000_000_000, b"").expect("written");
        drop(files);
        let bytes = std::fs::read(path).expect("the file");
        assert_eq!(bytes[..8], [0x4d, 0x3c, 0xb2, 0xa1, 2, 0, 4, 0]);
        assert_eq!(
            bytes[24..42],
            [1, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, b'a', b'b']
        );
        assert_eq!(bytes.len(), 24 + 18 + 16);
    }
}
