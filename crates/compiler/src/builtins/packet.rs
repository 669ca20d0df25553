//! Packets at `xdp` and `tc` probes: `pkt.len`, `eth.type`, `vlan.id`, `ip.src`, `ip6.dst`, `tcp.flags`, `udp.dport`, `icmp.type`, `payload.len` ….
//!
//! Headers are found once at the program's start (Ethernet, up to two VLAN tags, IPv4 with options or IPv6 without
//! extension headers, then TCP, UDP or ICMP). Every read is checked against the packet's end; what is absent reads as zero.

use fathom_syntax::ast;
use fathom_syntax::diagnostic::{Diagnostic, suggest};
use fathom_syntax::span::Span;

mod headers;
mod read;

pub use headers::Headers;

use super::Builtin;
use crate::check::Checker;
use crate::hir::{Data, Expr, ExprKind};
use crate::probes::Context;
use crate::probes::context::ContextKind;
use crate::ty::{Space, Type};

/// The builtin behind all packet fields; it has no name of its own in scripts.
pub const TABLE: &[Builtin] = &[Builtin {
    name: "packet field",
    check: |c, call| Expr {
        kind: ExprKind::Error,
        ty: {
            let _ = c;
            Type::Error
        },
        span: call.at(),
    },
    lower: read::lower,
}];

/// A header of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layer {
    Packet,
    Ethernet,
    Vlan,
    Ipv4,
    Ipv6,
    Tcp,
    Udp,
    Icmp,
    Payload,
}

/// What a field is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Big-endian bits: bytes at the offset, then shift right and keep so many bits.
    Bits {
        bytes: u32,
        shift: u32,
        bits: u32,
    },
    Mac,
    Inet4,
    Inet6,
    /// Worked out while finding the headers.
    Special,
}

/// A field by name.
struct PacketField {
    layer: Layer,
    owner: &'static str,
    name: &'static str,
    offset: u32,
    kind: Kind,
}

const fn bits(
    layer: Layer,
    owner: &'static str,
    name: &'static str,
    offset: u32,
    kind: (u32, u32, u32),
) -> PacketField {
    PacketField {
        layer,
        owner,
        name,
        offset,
        kind: Kind::Bits {
            bytes: kind.0,
            shift: kind.1,
            bits: kind.2,
        },
    }
}

const fn whole(
    layer: Layer,
    owner: &'static str,
    name: &'static str,
    offset: u32,
    bytes: u32,
) -> PacketField {
    bits(layer, owner, name, offset, (bytes, 0, bytes * 8))
}

const fn other(
    layer: Layer,
    owner: &'static str,
    name: &'static str,
    offset: u32,
    kind: Kind,
) -> PacketField {
    PacketField {
        layer,
        owner,
        name,
        offset,
        kind,
    }
}

/// Offsets from IEEE 802.3, 802.1Q, RFC 791, 8200, 9293, 768, 792, 4443.
const FIELDS: &[PacketField] = &[
    other(Layer::Packet, "pkt", "len", 0, Kind::Special),
    other(Layer::Packet, "pkt", "data", 0, Kind::Special),
    other(Layer::Ethernet, "eth", "dst", 0, Kind::Mac),
    other(Layer::Ethernet, "eth", "src", 6, Kind::Mac),
    other(Layer::Ethernet, "eth", "type", 0, Kind::Special),
    other(Layer::Vlan, "vlan", "id", 0, Kind::Special),
    other(Layer::Vlan, "vlan", "priority", 0, Kind::Special),
    bits(Layer::Ipv4, "ip", "version", 0, (1, 4, 4)),
    bits(Layer::Ipv4, "ip", "ihl", 0, (1, 0, 4)),
    whole(Layer::Ipv4, "ip", "tos", 1, 1),
    whole(Layer::Ipv4, "ip", "len", 2, 2),
    whole(Layer::Ipv4, "ip", "id", 4, 2),
    bits(Layer::Ipv4, "ip", "flags", 6, (1, 5, 3)),
    bits(Layer::Ipv4, "ip", "frag_offset", 6, (2, 0, 13)),
    whole(Layer::Ipv4, "ip", "ttl", 8, 1),
    whole(Layer::Ipv4, "ip", "proto", 9, 1),
    whole(Layer::Ipv4, "ip", "checksum", 10, 2),
    other(Layer::Ipv4, "ip", "src", 12, Kind::Inet4),
    other(Layer::Ipv4, "ip", "dst", 16, Kind::Inet4),
    bits(Layer::Ipv6, "ip6", "version", 0, (1, 4, 4)),
    bits(Layer::Ipv6, "ip6", "traffic_class", 0, (2, 4, 8)),
    bits(Layer::Ipv6, "ip6", "flow", 0, (4, 0, 20)),
    whole(Layer::Ipv6, "ip6", "payload_len", 4, 2),
    whole(Layer::Ipv6, "ip6", "next_header", 6, 1),
    whole(Layer::Ipv6, "ip6", "hop_limit", 7, 1),
    other(Layer::Ipv6, "ip6", "src", 8, Kind::Inet6),
    other(Layer::Ipv6, "ip6", "dst", 24, Kind::Inet6),
    whole(Layer::Tcp, "tcp", "sport", 0, 2),
    whole(Layer::Tcp, "tcp", "dport", 2, 2),
    whole(Layer::Tcp, "tcp", "seq", 4, 4),
    whole(Layer::Tcp, "tcp", "ack", 8, 4),
    bits(Layer::Tcp, "tcp", "doff", 12, (1, 4, 4)),
    whole(Layer::Tcp, "tcp", "flags", 13, 1),
    whole(Layer::Tcp, "tcp", "window", 14, 2),
    whole(Layer::Tcp, "tcp", "checksum", 16, 2),
    whole(Layer::Udp, "udp", "sport", 0, 2),
    whole(Layer::Udp, "udp", "dport", 2, 2),
    whole(Layer::Udp, "udp", "len", 4, 2),
    whole(Layer::Udp, "udp", "checksum", 6, 2),
    whole(Layer::Icmp, "icmp", "type", 0, 1),
    whole(Layer::Icmp, "icmp", "code", 1, 1),
    whole(Layer::Icmp, "icmp", "id", 4, 2),
    whole(Layer::Icmp, "icmp", "seq", 6, 2),
    other(Layer::Payload, "payload", "len", 0, Kind::Special),
    other(Layer::Payload, "payload", "data", 0, Kind::Special),
];

impl Context {
    /// Whether the probe sees packets.
    pub fn is_packet(&self) -> bool {
        matches!(self.kind, ContextKind::Xdp | ContextKind::SkBuff(_))
    }
}

/// The number of the field `owner.name`.
pub fn field(owner: &str, name: &str) -> Option<usize> {
    FIELDS
        .iter()
        .position(|field| field.owner == owner && field.name == name)
}

/// Whether packets have a header of that name.
pub fn is_layer(owner: &str) -> bool {
    FIELDS.iter().any(|field| field.owner == owner)
}

/// A header without that field.
pub fn unknown_field(owner: &str, name: &ast::Name) -> Diagnostic {
    let names: Vec<&str> = FIELDS
        .iter()
        .filter(|field| field.owner == owner)
        .map(|field| field.name)
        .collect();
    let diagnostic = Diagnostic::error(
        "unknown-field",
        name.span,
        format!("`{owner}` has no field `{}`", name.text),
    );
    match suggest(&name.text, names.iter().copied()) {
        Some(near) => diagnostic.fix(format!("did you mean `{near}`?"), name.span, near),
        None => diagnostic.help(format!("the fields are: {}", names.join(", "))),
    }
}

/// Types a packet field.
pub fn check(checker: &mut Checker<'_, '_>, number: usize, at: Span) -> Expr {
    let field = &FIELDS[number];
    let name = format!("{}.{}", field.owner, field.name);
    if !checker.group.context.is_packet() {
        let provider = checker.group.context.provider;
        return checker.fail(
            Diagnostic::error(
                "no-packet",
                at,
                format!("a {provider} probe has no packet, so no `{name}`"),
            )
            .help("packets are seen by `xdp:DEVICE` and `tc:DEVICE:ingress|egress` probes"),
        );
    }
    if checker.is_in_callback() {
        return checker.fail(
            Diagnostic::error(
                "packet-in-loop",
                at,
                format!("`{name}` cannot be read inside a loop"),
            )
            .help("put it in a variable before the loop"),
        );
    }
    let ty = match field.kind {
        Kind::Bits { bits, .. } => Type::Int {
            size: (bits.div_ceil(8)).next_power_of_two(),
            signed: false,
        },
        Kind::Mac => Type::Mac,
        Kind::Inet4 | Kind::Inet6 => Type::Inet,
        Kind::Special if field.name == "data" => Type::pointer(Type::U8, Space::Kernel),
        Kind::Special if field.name == "len" => Type::U32,
        Kind::Special => Type::U16,
    };
    let kind = ExprKind::Builtin {
        builtin: &TABLE[0],
        args: Vec::new(),
        data: Data::Int(number as i64),
    };
    Expr {
        kind,
        ty,
        span: crate::check::span(at),
    }
}
