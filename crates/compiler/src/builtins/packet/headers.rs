//! Where a packet's headers lie: found once, at the start of the program.

use super::Layer;
use crate::ir::{BinaryOp, Compare, Memory, Op, Value, Variable, Width};
use crate::lower::Lowerer;
use crate::probes::context::ContextKind;

/// Where the headers lie, found at the program's start. Offsets are from the packet's first byte; 0 means absent.
pub struct Headers {
    pub(super) ethernet_type: Variable,
    pub(super) vlan: Variable,
    pub(super) ipv4: Variable,
    pub(super) ipv6: Variable,
    pub(super) tcp: Variable,
    pub(super) udp: Variable,
    pub(super) icmp: Variable,
    pub(super) payload: Variable,
}

const ETH_HEADER: i64 = 14;
pub(super) const VLAN_TAG: i32 = 4;
/// Offset of `__sk_buff::vlan_present`: 1 when a tag was taken out of the packet.
pub(super) const VLAN_PRESENT: i32 = 20;
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
    pub(super) fn skip_vlan_tags(&mut self, headers: &Headers, start: Variable) {
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
    pub(super) fn offloaded_vlan(&mut self, headers: &Headers) {
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
    pub(super) fn find_network_header(
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

    pub(super) fn find_transport_header(
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
    pub(super) fn packet_bounds(&mut self) -> (Value, Value) {
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
    pub(super) fn packet_word(&mut self, start: Value, offset: u32, width: Width) -> Value {
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
    pub(super) fn packet_pointer(
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

    pub(super) fn header_start(&mut self, layer: Layer, headers: &Headers) -> Option<Value> {
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
    pub(super) fn branch_on_header(
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
