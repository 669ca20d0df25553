//! Reads one field of a packet.

use super::headers::{Headers, VLAN_PRESENT, VLAN_TAG};
use super::{FIELDS, Kind, Layer, PacketField};
use crate::builtins::Use;
use crate::hir::Data;
use crate::ir::{BinaryOp, Compare, Memory, Value, Width};
use crate::lower::{Lowerer, Place, Rvalue};
use crate::probes::context::ContextKind;

pub(super) fn lower(lowerer: &mut Lowerer<'_, '_>, used: &Use<'_>, to: Option<Place>) -> Rvalue {
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
