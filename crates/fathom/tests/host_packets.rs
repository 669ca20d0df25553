//! Packet fields of real frames at `xdp` and `tc` probes, in network namespaces of their own. Needs root and iproute2.

use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Addresses of the frames.
const TO: [u8; 6] = [2, 0, 0, 0, 0, 0xb];
const FROM: [u8; 6] = [2, 0, 0, 0, 0, 0xa];

/// Longest wait for what must come.
const LIMIT: Duration = Duration::from_secs(60);

/// What is printed of each frame; absent headers are zero.
const FIELDS: &str = "printf(\"%d %x %d | %s %s %d %d | %s %s %d %d | %d %d %x | %d %d | %d %d | %d\\n\", \
    pkt.len, eth.type, vlan.id, ip.src, ip.dst, ip.ttl, ip.proto, ip6.src, ip6.dst, ip6.hop_limit, ip6.next_header, \
    tcp.sport, tcp.dport, tcp.flags, udp.sport, udp.dport, icmp.type, icmp.code, payload.len);";

fn ethernet(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    [&TO[..], &FROM, &ethertype.to_be_bytes(), payload].concat()
}

fn ipv4(protocol: u8, ttl: u8, payload: &[u8]) -> Vec<u8> {
    let mut header = vec![0x45, 0];
    header.extend((20 + payload.len() as u16).to_be_bytes());
    header.extend([0, 1, 0, 0, ttl, protocol, 0, 0]);
    header.extend(Ipv4Addr::new(10, 7, 0, 1).octets());
    header.extend(Ipv4Addr::new(10, 7, 0, 2).octets());
    header.extend(payload);
    header
}

fn ipv6(next_header: u8, hop_limit: u8, payload: &[u8]) -> Vec<u8> {
    let mut header = vec![0x60, 0, 0, 0];
    header.extend((payload.len() as u16).to_be_bytes());
    header.extend([next_header, hop_limit]);
    for last in [1u8, 2] {
        let mut address = [0u8; 16];
        (address[0], address[1], address[15]) = (0xfd, 7, last);
        header.extend(address);
    }
    header.extend(payload);
    header
}

fn tcp(flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut header = Vec::from(4000u16.to_be_bytes());
    header.extend(443u16.to_be_bytes());
    header.extend([0; 8]);
    header.extend([0x50, flags, 0x10, 0, 0, 0, 0, 0]);
    header.extend(payload);
    header
}

fn udp(payload: &[u8]) -> Vec<u8> {
    let mut header = Vec::from(5000u16.to_be_bytes());
    header.extend(53u16.to_be_bytes());
    header.extend((8 + payload.len() as u16).to_be_bytes());
    header.extend([0, 0]);
    header.extend(payload);
    header
}

fn vlan(id: u16, ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let tag = [id.to_be_bytes(), ethertype.to_be_bytes()].concat();
    ethernet(0x8100, &[&tag[..], payload].concat())
}

/// Frames with the line that each is to give.
fn frames() -> Vec<(Vec<u8>, &'static str)> {
    vec![
        (
            ethernet(0x0800, &ipv4(6, 64, &tcp(0x12, b"hello"))),
            "59 800 0 | 10.7.0.1 10.7.0.2 64 6 | :: :: 0 0 | 4000 443 12 | 0 0 | 0 0 | 5",
        ),
        (
            ethernet(0x0800, &ipv4(17, 3, &udp(b"question"))),
            "50 800 0 | 10.7.0.1 10.7.0.2 3 17 | :: :: 0 0 | 0 0 0 | 5000 53 | 0 0 | 8",
        ),
        (
            ethernet(0x0800, &ipv4(1, 9, &[8, 5, 0, 0, 0, 1, 0, 2, 7, 7])),
            "44 800 0 | 10.7.0.1 10.7.0.2 9 1 | :: :: 0 0 | 0 0 0 | 0 0 | 8 5 | 2",
        ),
        (
            ethernet(0x86dd, &ipv6(6, 60, &tcp(0x02, b""))),
            "74 86dd 0 | 0.0.0.0 0.0.0.0 0 0 | fd07::1 fd07::2 60 6 | 4000 443 2 | 0 0 | 0 0 | 0",
        ),
        (
            ethernet(0x86dd, &ipv6(58, 255, &[135, 0, 0, 0, 0, 0, 0, 0])),
            "62 86dd 0 | 0.0.0.0 0.0.0.0 0 0 | fd07::1 fd07::2 255 58 | 0 0 0 | 0 0 | 135 0 | 0",
        ),
        (
            vlan(77, 0x0800, &ipv4(17, 5, &udp(b"abc"))),
            "49 800 77 | 10.7.0.1 10.7.0.2 5 17 | :: :: 0 0 | 0 0 0 | 5000 53 | 0 0 | 3",
        ),
        (
            ethernet(0x88b5, b"neither of them"),
            "29 88b5 0 | 0.0.0.0 0.0.0.0 0 0 | :: :: 0 0 | 0 0 0 | 0 0 | 0 0 | 0",
        ),
    ]
}

/// A thread in a network namespace of its own with the pair `va` and `vb`; processes that it starts are in there, too.
fn in_namespace(test: impl FnOnce() + Send + 'static) {
    // /proc/self belongs to whoever asks.
    if !std::fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0) {
        println!("skipped: needs root");
        return;
    }
    let thread = std::thread::spawn(|| {
        // SAFETY: takes no pointers; only this thread moves to the new namespace.
        assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0);
        // Nothing but what the test sends: no neighbour discovery, no router solicitation.
        ip("link add va type veth peer name vb");
        for device in ["va", "vb"] {
            ip(&format!("link set {device} addrgenmode none"));
            ip(&format!("link set {device} arp off up"));
        }
        ["va", "vb"].into_iter().for_each(wait_until_up);
        test();
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// The first one of a pair is set up without a carrier. The kernel gives it a queue a moment after it has one, and throws away
/// what is sent before.
fn wait_until_up(device: &str) {
    let started = Instant::now();
    loop {
        let output = Command::new("ip")
            .args(["-oneline", "link", "show", device])
            .output();
        let output = output.expect("iproute2 is installed");
        let text = String::from_utf8_lossy(&output.stdout);
        if text.contains(" state UP ") {
            return;
        }
        assert!(started.elapsed() < LIMIT, "{text}");
    }
}

fn ip(arguments: &str) {
    let status = Command::new("ip")
        .args(arguments.split_whitespace())
        .status();
    assert!(
        status.expect("iproute2 is installed").success(),
        "ip {arguments}"
    );
}

/// Starts a script and waits until it is attached. It ends in time, even when what it waits for does not come.
fn start(script: &str) -> Child {
    let seconds = LIMIT.as_secs();
    let bounded = format!("{script} interval:s:{seconds} {{ print(\"too late\"); exit(); }}");
    let mut child = Command::new(env!("CARGO_BIN_EXE_fathom"))
        .args(["run", "-e", &bounded])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the fathom command starts");
    let errors = BufReader::new(child.stderr.take().expect("standard error is a pipe"));
    let mut told = Vec::new();
    for line in errors.lines() {
        told.push(line.expect("standard error is text"));
        if told.iter().any(|line| line.starts_with("Attached")) {
            return child;
        }
    }
    // It has closed its standard error: it is ending.
    let _ = child.wait();
    panic!("{script}: not attached:\n{}", told.join("\n"));
}

/// Sends a frame from a device, as it is.
fn send(device: &str, frame: &[u8]) {
    let name = std::ffi::CString::new(device).expect("a device name");
    // SAFETY: plain numbers; the descriptor is closed below.
    let socket = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW, 0) };
    assert!(socket >= 0, "{}", std::io::Error::last_os_error());
    // SAFETY: all-zero is a valid address; every field that counts is set.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    // SAFETY: a NUL-terminated name.
    address.sll_ifindex = unsafe { libc::if_nametoindex(name.as_ptr()) } as i32;
    let size = size_of::<libc::sockaddr_ll>() as u32;
    // SAFETY: frame and address are live and their sizes are told.
    let sent = unsafe {
        libc::sendto(
            socket,
            frame.as_ptr().cast(),
            frame.len(),
            0,
            (&raw const address).cast(),
            size,
        )
    };
    // SAFETY: opened above, used nowhere else.
    unsafe { libc::close(socket) };
    assert_eq!(
        sent,
        frame.len() as isize,
        "{}",
        std::io::Error::last_os_error()
    );
}

/// Runs a script at a probe, sends all frames from `va`, and compares what is printed.
fn check(probe: &str) {
    let frames = frames();
    let count = frames.len();
    let script = format!(
        "{probe} {{ @n++; {FIELDS} if (@n == {count}) {{ exit(); }} }} end {{ clear(@n); }}"
    );
    let child = start(&script);
    for (frame, _) in &frames {
        send("va", frame);
    }
    let output = child.wait_with_output().expect("the script ends");
    let shown = String::from_utf8_lossy(&output.stdout);
    let wanted: Vec<&str> = frames.iter().map(|(_, line)| *line).collect();
    assert_eq!(
        shown.trim_end().lines().collect::<Vec<_>>(),
        wanted,
        "{probe}"
    );
}

#[test]
fn xdp_sees_fields_of_all_layers() {
    in_namespace(|| check("xdp:vb"));
}

#[test]
fn tc_ingress_sees_fields_of_all_layers() {
    in_namespace(|| check("tc:vb:ingress"));
}

#[test]
fn tc_egress_sees_fields_of_all_layers() {
    in_namespace(|| check("tc:va:egress"));
}

#[test]
fn packets_always_go_on() {
    in_namespace(|| {
        ip("addr add 10.7.0.2/24 dev vb");
        let script =
            "xdp:vb { @xdp = count(); } tc:vb:ingress { @tc = count(); if (@tc == 3) { exit(); } }";
        let child = start(script);
        for _ in 0..3 {
            send("va", &ethernet(0x0800, &ipv4(17, 3, &udp(b"x"))));
        }
        let output = child.wait_with_output().expect("the script ends");
        let shown = String::from_utf8_lossy(&output.stdout);
        assert!(
            shown.contains("@xdp: 3") && shown.contains("@tc: 3"),
            "{shown}"
        );
    });
}

#[test]
fn payload_bytes_can_be_read() {
    in_namespace(|| {
        let child =
            start("xdp:vb /udp.dport == 53/ { printf(\"%r\\n\", buf(payload.data, 4)); exit(); }");
        send("va", &ethernet(0x0800, &ipv4(17, 3, &udp(b"abcdefgh"))));
        let output = child.wait_with_output().expect("the script ends");
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim_end(), "abcd");
    });
}
