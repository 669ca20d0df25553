//! Packets at `xdp` and `tc` probes: `pkt.len`, `eth.type`, `vlan.id`, `ip.src`, `ip6.dst`, `tcp.flags`, `udp.dport`, `icmp.type`, `payload.len` ….
//!
//! Headers are found once at the program's start (Ethernet, up to two VLAN tags, IPv4 with options or IPv6 without
//! extension headers, then TCP, UDP or ICMP). Every read is checked against the packet's end; what is absent reads as zero.

use fathom_syntax::ast;
use fathom_syntax::diagnostic::{Diagnostic, suggest};
use fathom_syntax::span::Span;

use super::{Builtin, Use};
use crate::check::Checker;
use crate::hir::{Data, Expr, ExprKind};
use crate::ir::{BinaryOp, Compare, Memory, Op, Value, Variable, Width};
use crate::lower::{Lowerer, Place, Rvalue};
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
    lower,
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

/// Where the headers lie, found at the program's start. Offsets are from the packet's first byte; 0 means absent.
pub struct Headers {
    ethernet_type: Variable,
    vlan: Variable,
    ipv4: Variable,
    ipv6: Variable,
    tcp: Variable,
    udp: Variable,
    icmp: Variable,
    payload: Variable,
}

const ETH_HEADER: i64 = 14;
const VLAN_TAG: i32 = 4;
/// Offset of `__sk_buff::vlan_present`: 1 when a tag was taken out of the packet.
const VLAN_PRESENT: i32 = 20;
/// No header starts behind this: lets the verifier bound offsets.
const MAX_OFFSET: i32 = 0xff;

impl Lowerer<'_, '_> {
    /// Finds the headers.
    pub(crate) fn find_headers(&mut self) -> Headers {
        let names = [(); 8].map(|()| self.b.variable());
        for variable in names {
            let zero = self.b.constant(0);
            self.b.write(variable, zero);
        }
        let [ethernet_type, vlan, ipv4, ipv6, tcp, udp, icmp, payload] = names;
        let headers = Headers {
            ethernet_type,
            vlan,
            ipv4,
            ipv6,
            tcp,
            udp,
            icmp,
            payload,
        };
        let done = self.b.block();
        let start = self.b.variable();
        let zero = self.b.constant(0);
        let first = self.b.constant(ETH_HEADER);
        self.b.write(start, first);
        let kind = self.packet_word(zero, 12, Width::B2);
        self.b.write(headers.ethernet_type, kind);
        self.skip_vlan_tags(&headers, start);
        self.offloaded_vlan(&headers);
        let protocol = self.find_network_header(&headers, start, done);
        self.find_transport_header(&headers, start, protocol, done);
        self.b.enter(done);
        headers
    }

    /// 802.1Q and 802.1ad, at most two tags; the outer one's id counts.
    fn skip_vlan_tags(&mut self, headers: &Headers, start: Variable) {
        const TAGS: [i32; 2] = [0x8100, 0x88a8];
        let done = self.b.block();
        for depth in 0..2 {
            let (tagged, other) = (self.b.block(), self.b.block());
            let kind = self.b.read(headers.ethernet_type);
            self.b.branch(Compare::Eq, kind, TAGS[0], tagged, other);
            self.b.enter(other);
            self.b.branch(Compare::Eq, kind, TAGS[1], tagged, done);
            self.b.enter(tagged);
            let offset = self.b.read(start);
            if depth == 0 {
                let tag = self.packet_word(offset, 0, Width::B2);
                let tag = self.b.binary(BinaryOp::Or, tag, 1 << 16);
                self.b.write(headers.vlan, tag);
            }
            let kind = self.packet_word(offset, 2, Width::B2);
            self.b.write(headers.ethernet_type, kind);
            let next = self.b.binary(BinaryOp::Add, offset, VLAN_TAG);
            self.b.write(start, next);
        }
        self.b.jump(done);
        self.b.enter(done);
    }

    /// A tag that the network card took out of the packet (`__sk_buff::vlan_tci`).
    fn offloaded_vlan(&mut self, headers: &Headers) {
        const VLAN_TCI: i32 = 24;
        if !matches!(self.group.context.kind, ContextKind::SkBuff(_)) {
            return;
        }
        let context = self.context();
        let (present, done) = (self.b.block(), self.b.block());
        let flag = self
            .b
            .load(Width::B4, Memory::Context, context, VLAN_PRESENT);
        self.b.branch(Compare::Ne, flag, 0, present, done);
        self.b.enter(present);
        let tag = self.b.load(Width::B4, Memory::Context, context, VLAN_TCI);
        let tag = self.b.binary(BinaryOp::Or, tag, 1 << 16);
        self.b.write(headers.vlan, tag);
        self.b.jump(done);
        self.b.enter(done);
    }

    /// IPv4 or IPv6: notes where it starts, moves `start` behind it and gives the next protocol.
    fn find_network_header(
        &mut self,
        headers: &Headers,
        start: Variable,
        done: crate::ir::BlockId,
    ) -> Variable {
        const IPV4: i32 = 0x0800;
        const IPV6: i32 = 0x86dd;
        let protocol = self.b.variable();
        let (v4, not_v4, v6, transport) = (
            self.b.block(),
            self.b.block(),
            self.b.block(),
            self.b.block(),
        );
        let kind = self.b.read(headers.ethernet_type);
        self.b.branch(Compare::Eq, kind, IPV4, v4, not_v4);
        self.b.enter(not_v4);
        self.b.branch(Compare::Eq, kind, IPV6, v6, done);

        self.b.enter(v4);
        let offset = self.b.read(start);
        let version = self.packet_word(offset, 0, Width::B1);
        let length = self.b.binary(BinaryOp::And, version, 0xf);
        let length = self.b.binary(BinaryOp::Shl, length, 2);
        let valid = self.b.block();
        self.b.branch(Compare::Ge, length, 20, valid, done);
        self.b.enter(valid);
        self.b.write(headers.ipv4, offset);
        let next = self.packet_word(offset, 9, Width::B1);
        let fragment = self.packet_word(offset, 6, Width::B2);
        let fragment = self.b.binary(BinaryOp::And, fragment, 0x1fff);
        let behind = self.b.binary(BinaryOp::Add, offset, length);
        self.b.write(start, behind);
        self.b.write(protocol, next);
        // Only the first fragment carries the transport header.
        self.b.branch(Compare::Eq, fragment, 0, transport, done);

        self.b.enter(v6);
        let offset = self.b.read(start);
        self.b.write(headers.ipv6, offset);
        let next = self.packet_word(offset, 6, Width::B1);
        let behind = self.b.binary(BinaryOp::Add, offset, 40);
        self.b.write(start, behind);
        self.b.write(protocol, next);
        self.b.jump(transport);
        self.b.enter(transport);
        protocol
    }

    fn find_transport_header(
        &mut self,
        headers: &Headers,
        start: Variable,
        protocol: Variable,
        done: crate::ir::BlockId,
    ) {
        let protocol = self.b.read(protocol);
        let offset = self.b.read(start);
        for (number, variable) in [
            (6, headers.tcp),
            (17, headers.udp),
            (1, headers.icmp),
            (58, headers.icmp),
        ] {
            let (found, next) = (self.b.block(), self.b.block());
            self.b.branch(Compare::Eq, protocol, number, found, next);
            self.b.enter(found);
            self.b.write(variable, offset);
            let behind = if number == 6 {
                let length = self.packet_word(offset, 12, Width::B1);
                let length = self.b.binary(BinaryOp::Shr, length, 4);
                let length = self.b.binary(BinaryOp::Shl, length, 2);
                self.b.binary(BinaryOp::Add, offset, length)
            } else {
                self.b.binary(BinaryOp::Add, offset, 8)
            };
            self.b.write(headers.payload, behind);
            self.b.jump(done);
            self.b.enter(next);
        }
        self.b.jump(done);
    }

    /// Offsets of `data` and `data_end` in the context.
    fn packet_bounds(&mut self) -> (Value, Value) {
        let (data, end) = match self.group.context.kind {
            ContextKind::Xdp => (0, 4),
            _ => (76, 80),
        };
        let context = self.context();
        let data = self.b.load(Width::B4, Memory::Context, context, data);
        let end = self.b.load(Width::B4, Memory::Context, context, end);
        (data, end)
    }

    /// A big-endian word at `start + offset`, 0 if it lies behind the packet's end.
    fn packet_word(&mut self, start: Value, offset: u32, width: Width) -> Value {
        let result = self.b.variable();
        let zero = self.b.constant(0);
        self.b.write(result, zero);
        let (inside, done) = (self.b.block(), self.b.block());
        let header = self.packet_pointer(start, offset + width.bytes(), inside, done);
        self.b.enter(inside);
        let word = self.b.load(width, Memory::Packet, header, offset as i32);
        let word = match width {
            Width::B1 => word,
            width => self.b.emit(Op::SwapBytes { value: word, width }),
        };
        self.b.write(result, word);
        self.b.jump(done);
        self.b.enter(done);
        self.b.read(result)
    }

    /// The address of `start`, and a jump to `inside` if `len` bytes from there lie in the packet.
    fn packet_pointer(
        &mut self,
        start: Value,
        len: u32,
        inside: crate::ir::BlockId,
        outside: crate::ir::BlockId,
    ) -> Value {
        let (data, end) = self.packet_bounds();
        let bounded = self.b.binary(BinaryOp::And, start, MAX_OFFSET);
        let header = self.b.binary(BinaryOp::Add, data, bounded);
        let behind = self.b.binary(BinaryOp::Add, header, len as i32);
        self.b.branch(Compare::Gt, behind, end, outside, inside);
        header
    }

    fn header_start(&mut self, layer: Layer, headers: &Headers) -> Option<Value> {
        let variable = match layer {
            Layer::Ipv4 => headers.ipv4,
            Layer::Ipv6 => headers.ipv6,
            Layer::Tcp => headers.tcp,
            Layer::Udp => headers.udp,
            Layer::Icmp => headers.icmp,
            Layer::Payload => headers.payload,
            Layer::Packet | Layer::Ethernet | Layer::Vlan => return None,
        };
        Some(self.b.read(variable))
    }

    /// Goes to `present` with the header's start, or to `absent`.
    fn branch_on_header(
        &mut self,
        layer: Layer,
        headers: &Headers,
        absent: crate::ir::BlockId,
    ) -> Value {
        match self.header_start(layer, headers) {
            None => self.b.constant(0),
            Some(start) => {
                let present = self.b.block();
                self.b.branch(Compare::Ne, start, 0, present, absent);
                self.b.enter(present);
                start
            }
        }
    }
}

fn lower(lowerer: &mut Lowerer<'_, '_>, used: &Use<'_>, to: Option<Place>) -> Rvalue {
    let Data::Int(number) = *used.data else {
        return Rvalue::Nothing;
    };
    let field = &FIELDS[number as usize];
    let headers = lowerer.take_headers();
    let value = match field.kind {
        Kind::Bits { bytes, shift, bits } => {
            bit_field(lowerer, field, &headers, bytes, (shift, bits))
        }
        Kind::Special => Rvalue::Scalar(special(lowerer, field, &headers)),
        Kind::Mac => address(lowerer, field, &headers, to, (8, 0, 6)),
        Kind::Inet4 => address(lowerer, field, &headers, to, (24, 2, 4)),
        Kind::Inet6 => address(lowerer, field, &headers, to, (24, 10, 16)),
    };
    lowerer.put_headers(headers);
    value
}

fn bit_field(
    lowerer: &mut Lowerer<'_, '_>,
    field: &PacketField,
    headers: &Headers,
    bytes: u32,
    (shift, bits): (u32, u32),
) -> Rvalue {
    let result = lowerer.b.variable();
    let zero = lowerer.b.constant(0);
    lowerer.b.write(result, zero);
    let done = lowerer.b.block();
    let start = lowerer.branch_on_header(field.layer, headers, done);
    let width = Width::from_bytes(bytes).unwrap_or(Width::B1);
    let mut word = lowerer.packet_word(start, field.offset, width);
    if shift > 0 {
        word = lowerer.b.binary(BinaryOp::Shr, word, shift as i32);
    }
    if bits < bytes * 8 - shift {
        word = lowerer.b.binary(BinaryOp::And, word, (1 << bits) - 1);
    }
    lowerer.b.write(result, word);
    lowerer.b.jump(done);
    lowerer.b.enter(done);
    Rvalue::Scalar(lowerer.b.read(result))
}

/// MAC and internet addresses: `(size of the value, address family or 0, bytes of address)`.
fn address(
    lowerer: &mut Lowerer<'_, '_>,
    field: &PacketField,
    headers: &Headers,
    to: Option<Place>,
    (size, family, len): (u32, i32, u32),
) -> Rvalue {
    let place = to.unwrap_or_else(|| lowerer.temporary(size, "an address in a packet"));
    let value_size = if family == 0 { 6 } else { size };
    lowerer.zero(place, value_size);
    let target = if family == 0 { place } else { place.plus(8) };
    if family != 0 {
        lowerer
            .b
            .store(Width::B8, place.memory, place.base, place.offset, family);
    }
    let (inside, done) = (lowerer.b.block(), lowerer.b.block());
    let start = lowerer.branch_on_header(field.layer, headers, done);
    let header = lowerer.packet_pointer(start, field.offset + len, inside, done);
    lowerer.b.enter(inside);
    let step = if family == 0 { 2 } else { 4 };
    let width = Width::from_bytes(step).unwrap_or(Width::B1);
    for at in (0..len).step_by(step as usize) {
        let word = lowerer
            .b
            .load(width, Memory::Packet, header, (field.offset + at) as i32);
        lowerer.b.store(
            width,
            target.memory,
            target.base,
            target.offset + at as i32,
            word,
        );
    }
    lowerer.b.jump(done);
    lowerer.b.enter(done);
    Rvalue::Bytes(place)
}

fn special(lowerer: &mut Lowerer<'_, '_>, field: &PacketField, headers: &Headers) -> Value {
    match (field.owner, field.name) {
        ("eth", _) => lowerer.b.read(headers.ethernet_type),
        ("vlan", "id") => {
            let tag = lowerer.b.read(headers.vlan);
            lowerer.b.binary(BinaryOp::And, tag, 0xfff)
        }
        ("vlan", _) => {
            let tag = lowerer.b.read(headers.vlan);
            let priority = lowerer.b.binary(BinaryOp::Shr, tag, 13);
            lowerer.b.binary(BinaryOp::And, priority, 7)
        }
        ("pkt", "len") => length_with_tag(lowerer),
        ("pkt", _) => lowerer.packet_bounds().0,
        (_, name) => payload(lowerer, headers, name == "len"),
    }
}

/// As it is on the wire: a tag that was taken out counts.
fn length_with_tag(lowerer: &mut Lowerer<'_, '_>) -> Value {
    let length = packet_length(lowerer);
    if !matches!(lowerer.group.context.kind, ContextKind::SkBuff(_)) {
        return length;
    }
    let context = lowerer.context();
    let b = &mut lowerer.b;
    let tags = b.load(Width::B4, Memory::Context, context, VLAN_PRESENT);
    let bytes = b.binary(BinaryOp::Mul, tags, VLAN_TAG);
    b.binary(BinaryOp::Add, length, bytes)
}

fn packet_length(lowerer: &mut Lowerer<'_, '_>) -> Value {
    if let ContextKind::SkBuff(_) = lowerer.group.context.kind {
        let context = lowerer.context();
        return lowerer.b.load(Width::B4, Memory::Context, context, 0);
    }
    let (data, end) = lowerer.packet_bounds();
    lowerer.b.binary(BinaryOp::Sub, end, data)
}

/// Length or address of what follows the transport header.
fn payload(lowerer: &mut Lowerer<'_, '_>, headers: &Headers, wants_length: bool) -> Value {
    let result = lowerer.b.variable();
    let zero = lowerer.b.constant(0);
    lowerer.b.write(result, zero);
    let (inside, done) = (lowerer.b.block(), lowerer.b.block());
    let start = lowerer.branch_on_header(Layer::Payload, headers, done);
    let value = if wants_length {
        let length = packet_length(lowerer);
        lowerer.b.branch(Compare::Gt, length, start, inside, done);
        lowerer.b.enter(inside);
        lowerer.b.binary(BinaryOp::Sub, length, start)
    } else {
        let (data, _) = lowerer.packet_bounds();
        lowerer.b.jump(inside);
        lowerer.b.enter(inside);
        lowerer.b.binary(BinaryOp::Add, data, start)
    };
    lowerer.b.write(result, value);
    lowerer.b.jump(done);
    lowerer.b.enter(done);
    lowerer.b.read(result)
}
