//! Tells whoever started us that the probes are on: systemd (`Type=notify`), and the test suites of bpftrace.

use std::io::Write;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Where systemd listens: a path, or `@` and an abstract name.
const SOCKET: &str = "NOTIFY_SOCKET";
/// bpftrace prints this word as a line of its own when the variable of that name is set.
const WORD: &str = "__BPFTRACE_NOTIFY_PROBES_ATTACHED";

/// Tells everybody who asked for it. Nobody to tell is no reason to stop.
pub fn tell() {
    if std::env::var_os(WORD).is_some() {
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{WORD}").and_then(|()| out.flush());
    }
    if let Ok(socket) = std::env::var(SOCKET) {
        let _ = notify(&socket);
    }
}

fn notify(socket: &str) -> std::io::Result<()> {
    let address = match socket.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    let sender = UnixDatagram::unbound()?;
    sender.send_to_addr(b"READY=1", &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(address: &SocketAddr, name: &str) -> Vec<u8> {
        let receiver = UnixDatagram::bind_addr(address).unwrap();
        notify(name).unwrap();
        let mut bytes = [0; 64];
        let count = receiver.recv(&mut bytes).unwrap();
        bytes[..count].to_vec()
    }

    #[test]
    fn systemd_is_told_through_both_kinds_of_sockets() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let address = SocketAddr::from_pathname(&path).unwrap();
        assert_eq!(heard(&address, path.to_str().unwrap()), b"READY=1");
        let name = format!("fathom-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        assert_eq!(heard(&address, &format!("@{name}")), b"READY=1");
        assert!(notify("/none/socket").is_err());
    }
}
