//! Bytes by a [`Layout`] → [`Value`]. The bytes are claims: every offset is checked, nothing panics.

use crate::resolve::{Frame, Resolver, UserContext};
use crate::value::Value;
use fathom_bpf::layout::{Field, Layout, StackMode};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Set in the length of a [`Layout::StringRef`] whose text was cut at the limit.
pub const STRING_CUT: u32 = 1 << 31;

/// Frames of one stack that are looked at, whatever the layout asks for.
const MAX_FRAMES: usize = 1024;

/// What decoding needs beside bytes and layout.
#[derive(Clone, Copy)]
pub struct DecodeContext<'a> {
    /// The whole event, for [`Layout::StringRef`]; empty for maps.
    pub event: &'a [u8],
    /// The machine.
    pub resolver: &'a dyn Resolver,
}

impl<'a> DecodeContext<'a> {
    /// For keys and values of maps.
    pub fn new(resolver: &'a dyn Resolver) -> Self {
        DecodeContext {
            event: &[],
            resolver,
        }
    }

    /// For fields of an event.
    pub fn for_event(event: &'a [u8], resolver: &'a dyn Resolver) -> Self {
        DecodeContext { event, resolver }
    }
}

/// The bytes are not what the layout says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Something lies beyond the end.
    #[error("{wanted} bytes at offset {offset} are wanted, but there are {present}")]
    TooShort {
        /// Where.
        offset: usize,
        /// How many.
        wanted: usize,
        /// How many there are in all.
        present: usize,
    },
    /// An integer of a size that does not exist, or bits outside of their bytes.
    #[error("an integer of {0} bytes or bits")]
    IntegerSize(u32),
    /// Only [`crate::cells`] reads aggregations.
    #[error("an aggregation outside of a map")]
    Aggregation,
}

/// Decodes the value at the start of `bytes`, which may be longer.
pub fn decode(
    bytes: &[u8],
    layout: &Layout,
    ctx: &DecodeContext<'_>,
) -> Result<Value, DecodeError> {
    Ok(match layout {
        Layout::None => Value::None,
        Layout::Bool => Value::Bool(slice(bytes, 0, 1)?[0] != 0),
        Layout::Int { size, signed } => integer(bytes, *size, *signed)?,
        Layout::Enum {
            size,
            signed,
            names,
        } => enumeration(signed_number(bytes, *size, *signed)?, names),
        Layout::Pointer => Value::Pointer(read_u64(bytes, 0)?),
        Layout::String { size } => string(slice(bytes, 0, *size as usize)?),
        Layout::Buffer { size } => buffer(bytes, *size)?,
        Layout::StringRef => string_ref(bytes, ctx.event)?,
        Layout::Array { element, len } => array(bytes, element, *len, ctx)?,
        Layout::Tuple { fields, .. } => Value::Tuple(
            fields
                .iter()
                .map(|field| decode_field(bytes, field, ctx))
                .collect::<Result<_, _>>()?,
        ),
        Layout::Record { fields, .. } => Value::Record(
            fields
                .iter()
                .map(|field| Ok((field.name.clone(), decode_field(bytes, field, ctx)?)))
                .collect::<Result<_, _>>()?,
        ),
        Layout::Inet => inet(bytes)?,
        Layout::MacAddress => {
            let mut address = [0; 6];
            address.copy_from_slice(slice(bytes, 0, 6)?);
            Value::Mac(address)
        }
        _ if layout.is_aggregation() => return Err(DecodeError::Aggregation),
        _ => resolved(bytes, layout, ctx)?,
    })
}

/// Decodes one field of a composite or an event whose bytes start at `composite[0]`.
pub fn decode_field(
    composite: &[u8],
    field: &Field,
    ctx: &DecodeContext<'_>,
) -> Result<Value, DecodeError> {
    let size = field.layout.size() as usize;
    let bytes = slice(composite, field.offset as usize, size)?;
    let Some((bit_offset, bit_width)) = field.bits else {
        return decode(bytes, &field.layout, ctx);
    };
    let signed = matches!(
        field.layout,
        Layout::Int { signed: true, .. } | Layout::Enum { signed: true, .. }
    );
    let number = read_bits(bytes, bit_offset, bit_width, signed)?;
    Ok(match &field.layout {
        Layout::Bool => Value::Bool(number != 0),
        Layout::Enum { names, .. } => enumeration(number, names),
        _ if signed => Value::Int(number),
        _ => Value::Uint(number as u64),
    })
}

/// Values that only the machine can tell.
fn resolved(bytes: &[u8], layout: &Layout, ctx: &DecodeContext<'_>) -> Result<Value, DecodeError> {
    let resolver = ctx.resolver;
    Ok(match layout {
        Layout::KernelStack { mode, limit } => kernel_stack(bytes, *mode, *limit, resolver)?,
        Layout::UserStack { mode, limit } => user_stack(bytes, *mode, *limit, resolver)?,
        Layout::KernelSymbol => {
            let address = read_u64(bytes, 0)?;
            symbol(resolver.kernel_frames(address), address, false)
        }
        Layout::UserSymbol => {
            let address = read_u64(bytes, 0)?;
            let context = UserContext {
                pid: read_u32(bytes, 8)?,
                probe: Some(read_u32(bytes, 12)?),
            };
            symbol(resolver.user_frames(context, address), address, true)
        }
        Layout::Username { size } => {
            let uid = signed_number(bytes, *size, false)?;
            let name = u32::try_from(uid)
                .ok()
                .and_then(|uid| resolver.username(uid));
            named(uid, name)
        }
        Layout::Timestamp { mode, format } => {
            let unix_ns = resolver.unix_ns(*mode, read_u64(bytes, 0)?);
            Value::Timestamp {
                unix_ns,
                text: crate::time::strftime(format, unix_ns, resolver),
            }
        }
        Layout::CgroupPath { filter } => {
            let id = read_u64(bytes, 0)?;
            named(id as i64, resolver.cgroup_path(id, filter))
        }
        Layout::ErrorName { size } => {
            let number = signed_number(bytes, *size, true)?;
            named(number, Some(crate::names::strerror(number).to_owned()))
        }
        Layout::SignalName { size } => {
            let number = signed_number(bytes, *size, true)?;
            named(number, Some(crate::names::signal_text(number)))
        }
        Layout::SyscallName { size } => {
            let number = signed_number(bytes, *size, true)?;
            let name = crate::names::syscall_name(number).unwrap_or("Unknown syscall");
            named(number, Some(name.to_owned()))
        }
        Layout::Probe => {
            let index = read_u64(bytes, 0)?;
            named(index as i64, resolver.probe_name(index))
        }
        _ => unreachable!("decode: {layout:?} is handled by decode()"),
    })
}

/// Shows nothing where the machine knows no name, as upstream.
fn named(number: i64, text: Option<String>) -> Value {
    let text = text.unwrap_or_default();
    Value::Named { number, text }
}

fn symbol(frames: Vec<Frame>, address: u64, is_user: bool) -> Value {
    let frame = frames.into_iter().next_back();
    Value::Symbol {
        frame: frame.unwrap_or_else(|| Frame::unknown(address)),
        is_user,
    }
}

fn kernel_stack(
    bytes: &[u8],
    mode: StackMode,
    limit: u32,
    resolver: &dyn Resolver,
) -> Result<Value, DecodeError> {
    let (id, map_number) = (read_u64(bytes, 0)? as i64, read_u64(bytes, 8)?);
    let addresses = addresses(resolver, map_number, id, limit);
    let frames = addresses
        .into_iter()
        .flat_map(|address| frames_of(mode, address, || resolver.kernel_frames(address)));
    Ok(Value::Stack {
        mode,
        frames: frames.collect(),
    })
}

fn user_stack(
    bytes: &[u8],
    mode: StackMode,
    limit: u32,
    resolver: &dyn Resolver,
) -> Result<Value, DecodeError> {
    let id = read_u64(bytes, 0)? as i64;
    let map_number = u64::from(read_u32(bytes, 8)?);
    let context = UserContext {
        pid: read_u32(bytes, 12)?,
        probe: None,
    };
    if mode == StackMode::BuildId {
        let mut frames = match id {
            0.. => resolver.build_id_stack(map_number, id).unwrap_or_default(),
            _ => Vec::new(),
        };
        frames.truncate((limit as usize).min(MAX_FRAMES));
        return Ok(Value::BuildIdStack(frames));
    }
    let frames = addresses(resolver, map_number, id, limit)
        .into_iter()
        .flat_map(|address| frames_of(mode, address, || resolver.user_frames(context, address)));
    Ok(Value::Stack {
        mode,
        frames: frames.collect(),
    })
}

fn frames_of(mode: StackMode, address: u64, symbolize: impl Fn() -> Vec<Frame>) -> Vec<Frame> {
    match mode {
        StackMode::Raw => vec![Frame::unknown(address)],
        _ => symbolize(),
    }
}

/// A stack id below zero is an error of the kernel's: nothing could be read.
fn addresses(resolver: &dyn Resolver, map_number: u64, id: i64, limit: u32) -> Vec<u64> {
    if id < 0 {
        return Vec::new();
    }
    let mut addresses = resolver.stack(map_number, id).unwrap_or_default();
    addresses.truncate((limit as usize).min(MAX_FRAMES));
    addresses
}

fn integer(bytes: &[u8], size: u32, signed: bool) -> Result<Value, DecodeError> {
    let number = signed_number(bytes, size, signed)?;
    Ok(match signed {
        true => Value::Int(number),
        false => Value::Uint(number as u64),
    })
}

fn enumeration(number: i64, names: &[(i64, String)]) -> Value {
    let name = names.iter().find(|(value, _)| *value == number);
    Value::Enum {
        number,
        name: name.map(|(_, name)| name.clone()),
    }
}

/// Text up to the first NUL; a full buffer means that the text was cut.
pub(crate) fn string_bytes(bytes: &[u8]) -> (&[u8], bool) {
    match bytes.iter().position(|&byte| byte == 0) {
        Some(end) => (&bytes[..end], false),
        None => (bytes, !bytes.is_empty()),
    }
}

fn string(bytes: &[u8]) -> Value {
    let (text, is_truncated) = string_bytes(bytes);
    Value::String {
        bytes: text.to_vec(),
        is_truncated,
    }
}

/// The text that a [`Layout::StringRef`] at the start of `bytes` points to, and whether it was cut.
pub(crate) fn string_ref_bytes<'a>(
    bytes: &[u8],
    event: &'a [u8],
) -> Result<(&'a [u8], bool), DecodeError> {
    let offset = read_u32(bytes, 0)? as usize;
    let length = read_u32(bytes, 4)?;
    let text = slice(event, offset, (length & !STRING_CUT) as usize)?;
    Ok((text, length & STRING_CUT != 0))
}

fn string_ref(bytes: &[u8], event: &[u8]) -> Result<Value, DecodeError> {
    let (text, is_truncated) = string_ref_bytes(bytes, event)?;
    Ok(Value::String {
        bytes: text.to_vec(),
        is_truncated,
    })
}

/// The counting bytes of a [`Layout::Buffer`] at the start of `bytes`.
pub(crate) fn buffer_bytes(bytes: &[u8], size: u32) -> Result<&[u8], DecodeError> {
    let length = read_u32(bytes, 0)?.min(size);
    slice(bytes, 4, length as usize)
}

fn buffer(bytes: &[u8], size: u32) -> Result<Value, DecodeError> {
    Ok(Value::Buffer(buffer_bytes(bytes, size)?.to_vec()))
}

fn array(
    bytes: &[u8],
    element: &Layout,
    len: u32,
    ctx: &DecodeContext<'_>,
) -> Result<Value, DecodeError> {
    let size = element.size() as usize;
    let total = size.saturating_mul(len as usize);
    let bytes = slice(bytes, 0, total)?;
    if size == 0 {
        return Ok(Value::Array(Vec::new()));
    }
    let elements = bytes
        .chunks_exact(size)
        .map(|chunk| decode(chunk, element, ctx));
    Ok(Value::Array(elements.collect::<Result<_, _>>()?))
}

/// `AF_INET6` of Linux; every other family is shown as IPv4.
const AF_INET6: u64 = 10;

fn inet(bytes: &[u8]) -> Result<Value, DecodeError> {
    let family = read_u64(bytes, 0)?;
    let mut address = [0; 16];
    address.copy_from_slice(slice(bytes, 8, 16)?);
    if family == AF_INET6 {
        return Ok(Value::Inet(IpAddr::V6(Ipv6Addr::from(address))));
    }
    let [a, b, c, d, ..] = address;
    Ok(Value::Inet(IpAddr::V4(Ipv4Addr::new(a, b, c, d))))
}

/// `size` bytes at `offset`, or what is missing.
pub(crate) fn slice(bytes: &[u8], offset: usize, size: usize) -> Result<&[u8], DecodeError> {
    offset
        .checked_add(size)
        .and_then(|end| bytes.get(offset..end))
        .ok_or(DecodeError::TooShort {
            offset,
            wanted: size,
            present: bytes.len(),
        })
}

pub(crate) fn read_u32(bytes: &[u8], offset: usize) -> Result<u32, DecodeError> {
    let mut raw = [0; 4];
    raw.copy_from_slice(slice(bytes, offset, 4)?);
    Ok(u32::from_ne_bytes(raw))
}

pub(crate) fn read_u64(bytes: &[u8], offset: usize) -> Result<u64, DecodeError> {
    let mut raw = [0; 8];
    raw.copy_from_slice(slice(bytes, offset, 8)?);
    Ok(u64::from_ne_bytes(raw))
}

/// An integer of 1, 2, 4 or 8 bytes; an unsigned one of 8 keeps its bits.
pub(crate) fn signed_number(bytes: &[u8], size: u32, signed: bool) -> Result<i64, DecodeError> {
    let raw = slice(bytes, 0, size as usize)?;
    Ok(match (raw, signed) {
        (&[a], false) => i64::from(a),
        (&[a], true) => i64::from(a as i8),
        (&[a, b], false) => i64::from(u16::from_ne_bytes([a, b])),
        (&[a, b], true) => i64::from(i16::from_ne_bytes([a, b])),
        (&[a, b, c, d], false) => i64::from(u32::from_ne_bytes([a, b, c, d])),
        (&[a, b, c, d], true) => i64::from(i32::from_ne_bytes([a, b, c, d])),
        (&[a, b, c, d, e, f, g, h], _) => i64::from_ne_bytes([a, b, c, d, e, f, g, h]),
        _ => return Err(DecodeError::IntegerSize(size)),
    })
}

/// A C bitfield of a little-endian machine, at most 64 bits wide.
pub(crate) fn read_bits(
    bytes: &[u8],
    offset: u32,
    width: u32,
    signed: bool,
) -> Result<i64, DecodeError> {
    if width == 0 || width > 64 || bytes.len() > 16 {
        return Err(DecodeError::IntegerSize(width));
    }
    let end = offset
        .checked_add(width)
        .ok_or(DecodeError::IntegerSize(width))?;
    slice(bytes, 0, end.div_ceil(8) as usize)?;
    let mut raw = [0; 16];
    raw[..bytes.len()].copy_from_slice(bytes);
    let shifted = (u128::from_le_bytes(raw) >> offset) as u64;
    let unused = 64 - width;
    Ok(match signed {
        true => ((shifted << unused) as i64) >> unused,
        false => ((shifted << unused) >> unused) as i64,
    })
}

/// Reads any field that is a number at heart; an unsigned one of 8 bytes keeps its bits.
pub(crate) fn integer_of(field: &Field, event: &[u8]) -> Result<i64, DecodeError> {
    let (size, signed) = match field.layout {
        Layout::Int { size, signed } | Layout::Enum { size, signed, .. } => (size, signed),
        Layout::Bool => (1, false),
        Layout::Username { size } => (size, false),
        Layout::ErrorName { size } | Layout::SignalName { size } | Layout::SyscallName { size } => {
            (size, true)
        }
        _ => (8, false),
    };
    let raw = slice(event, field.offset as usize, size as usize)?;
    match field.bits {
        Some((offset, width)) => read_bits(raw, offset, width, signed),
        None => signed_number(raw, size, signed),
    }
}
