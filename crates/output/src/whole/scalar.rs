//! Values without parts: numbers, characters, names, moments.

use super::read::{Place, not_copied, signed};
use super::{Chunk, Whole};
use crate::resolve::LocalZone;
use crate::time::strftime_in;

/// Flags joined for one enumeration.
const MAX_FLAGS: usize = 32;

pub(super) fn integer(place: Place<'_>, size: u32, is_signed: bool) -> Whole {
    match (place.number(0, size), is_signed) {
        (Some(number), true) => Whole::Int(signed(number, size)),
        (Some(number), false) => Whole::Uint(number),
        (None, _) => match place.bytes.get(..16) {
            Some(bytes) if size == 16 => {
                let mut raw = [0; 16];
                raw.copy_from_slice(bytes);
                wide(u128::from_le_bytes(raw), is_signed)
            }
            _ => not_copied(),
        },
    }
}

/// Numbers of 16 bytes: as others when they fit eight.
pub(super) fn wide(number: u128, is_signed: bool) -> Whole {
    match (u64::try_from(number), i64::try_from(number as i128)) {
        (Ok(number), _) => Whole::Uint(number),
        (_, Ok(number)) if is_signed => Whole::Int(number),
        _ if is_signed => Whole::Wide((number as i128).to_string()),
        _ => Whole::Wide(number.to_string()),
    }
}

pub(super) fn character(place: Place<'_>, size: u32, is_unicode: bool) -> Whole {
    let Some(number) = place.number(0, size) else {
        return not_copied();
    };
    let shown = u32::try_from(number).ok().and_then(char::from_u32);
    match shown.filter(|_| is_unicode || number < 0x80) {
        Some(character) => Whole::Character(character),
        None => Whole::Uint(number),
    }
}

pub(super) fn float(place: Place<'_>, size: u32) -> Whole {
    match (place.number(0, size), size) {
        (Some(bits), 8) => Whole::Float(f64::from_bits(bits)),
        (Some(bits), 4) => Whole::Float32(f32::from_bits(bits as u32)),
        _ => Whole::Missing(format!("floating-point number of {size} bytes")),
    }
}

pub(super) fn enumeration(
    place: Place<'_>,
    size: u32,
    is_signed: bool,
    names: &[(i64, String)],
) -> Whole {
    let Some(number) = place.number(0, size) else {
        return not_copied();
    };
    match is_signed {
        true => named(signed(number, size), names),
        false => named(number as i64, names),
    }
}

/// The name of a number; flags that are or-ed together get all their names.
pub(super) fn named(number: i64, names: &[(i64, String)]) -> Whole {
    if let Some((_, name)) = names.iter().find(|(value, _)| *value == number) {
        let name = name.clone();
        return Whole::Name { name, number };
    }
    let mut left = number;
    let mut shown: Vec<&str> = Vec::new();
    for (value, name) in names.iter().take(MAX_FLAGS) {
        if value.count_ones() == 1 && left & value != 0 {
            left &= !value;
            shown.push(name);
        }
    }
    match left == 0 && shown.len() > 1 {
        true => Whole::Name {
            name: shown.join("|"),
            number,
        },
        false => Whole::Int(number),
    }
}

/// Text that fills its room has one byte more than is to be shown, and a zero byte that the kernel put there.
pub(super) fn terminated(chunk: &Chunk<'_>) -> Whole {
    let end = chunk.bytes.iter().position(|byte| *byte == 0);
    let shown = end
        .unwrap_or(chunk.bytes.len())
        .saturating_sub(usize::from(chunk.is_cut));
    let bytes = chunk.bytes[..shown].to_vec();
    let length = end.map(|end| end as u64).filter(|_| !chunk.is_cut);
    Whole::Text { bytes, length }
}

/// `wall` and `ext` of `time.Time`: with the monotonic clock beside, seconds since 1885 and 30 bits of nanoseconds; else
/// seconds since the year 1 (Go's `time/time.go`).
pub(super) fn go_time(place: Place<'_>) -> Whole {
    const HAS_MONOTONIC: u64 = 1 << 63;
    const NANOSECONDS: u64 = (1 << 30) - 1;
    /// Seconds from 1970 to 1885, and to the year 1.
    const FROM_1885: i64 = -2_682_288_000;
    const FROM_1: i64 = -62_135_596_800;
    let (Some(wall), Some(ext)) = (place.number(0, 8), place.number(8, 8)) else {
        return not_copied();
    };
    let seconds = match wall & HAS_MONOTONIC {
        0 => (ext as i64).saturating_add(FROM_1),
        _ => (wall << 1 >> 31) as i64 + FROM_1885,
    };
    let nanoseconds = (wall & NANOSECONDS).min(999_999_999);
    if (wall, ext) == (0, 0) {
        return Whole::Moment("0001-01-01T00:00:00Z".to_owned());
    }
    let Some(unix_ns) = seconds.checked_mul(1_000_000_000) else {
        return Whole::Missing(format!("{seconds} s since 1970"));
    };
    let day = strftime_in("%Y-%m-%dT%H:%M:%S", unix_ns, LocalZone::utc());
    Whole::Moment(format!("{day}.{nanoseconds:09}Z"))
}
