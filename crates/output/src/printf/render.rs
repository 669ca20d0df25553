//! From event bytes to text by a format, without making values where it can be helped.

use super::parse::{Conversion, Format, FormatError, Length, Piece, Size, Spec};
use crate::decode::{
    DecodeContext, DecodeError, buffer_bytes, decode_field, integer_of, signed_number, slice,
    string_bytes, string_ref_bytes,
};
use crate::number::{write_decimal, write_radix, write_unsigned};
use crate::resolve::Resolver;
use crate::value_text::{TextStyle, write_buffer, write_value};
use fathom_bpf::{Field, Layout};

/// A format joined with the places of its arguments.
#[derive(Clone, Debug)]
pub struct FormatPlan {
    steps: Vec<Step>,
    style: TextStyle,
}

/// One thing to write.
#[derive(Clone, Debug)]
enum Step {
    Literal(Vec<u8>),
    /// `%d`, `%u`, `%lld` and the like, without flags, of a whole integer.
    PlainInt {
        offset: usize,
        size: u32,
        is_signed: bool,
        shown_signed: bool,
        length: Length,
    },
    /// `%s` of a string in place, without flags.
    PlainString {
        offset: usize,
        size: usize,
    },
    /// `%s` of a string in the tail, without flags.
    PlainStringRef {
        offset: usize,
    },
    /// Anything else.
    Full {
        spec: Spec,
        width: Option<Field>,
        argument: Field,
    },
}

impl FormatPlan {
    /// Parses and checks; `trailer` is put behind strings that were cut.
    pub fn new(
        format: &str,
        arguments: &[Field],
        trailer: &str,
    ) -> Result<FormatPlan, FormatError> {
        let parsed = Format::parse(format)?;
        let layouts: Vec<&Layout> = arguments.iter().map(|field| &field.layout).collect();
        parsed.check(&layouts).map_err(|kind| FormatError {
            offset: format.len(),
            kind,
        })?;
        let mut arguments = arguments.iter();
        let mut steps = Vec::with_capacity(parsed.pieces.len());
        for piece in parsed.pieces {
            match piece {
                Piece::Literal(text) => steps.push(Step::Literal(text.into_bytes())),
                Piece::Spec(spec) => steps.extend(step(spec, &mut arguments)),
            }
        }
        Ok(FormatPlan {
            steps,
            style: TextStyle {
                trailer: trailer.to_owned(),
            },
        })
    }

    /// Appends the text of one event. On an error `out` may hold the part before it.
    pub fn render(
        &self,
        event: &[u8],
        resolver: &dyn Resolver,
        out: &mut Vec<u8>,
    ) -> Result<(), DecodeError> {
        for step in &self.steps {
            self.render_step(step, event, resolver, out)?;
        }
        Ok(())
    }

    fn render_step(
        &self,
        step: &Step,
        event: &[u8],
        resolver: &dyn Resolver,
        out: &mut Vec<u8>,
    ) -> Result<(), DecodeError> {
        match step {
            Step::Literal(text) => out.extend_from_slice(text),
            &Step::PlainInt {
                offset,
                size,
                is_signed,
                shown_signed,
                length,
            } => {
                let raw = slice(event, offset, size as usize)?;
                let number = signed_number(raw, size, is_signed)?;
                match shown_signed {
                    true => write_decimal(cut_signed(number, length), out),
                    false => write_unsigned(cut_unsigned(number, length), out),
                }
            }
            &Step::PlainString { offset, size } => {
                let (text, cut) = string_bytes(slice(event, offset, size)?);
                self.write_string(text, cut, out);
            }
            &Step::PlainStringRef { offset } => {
                let (text, cut) = string_ref_bytes(slice(event, offset, 8)?, event)?;
                self.write_string(text, cut, out);
            }
            Step::Full {
                spec,
                width,
                argument,
            } => {
                let start = out.len();
                let ctx = DecodeContext::for_event(event, resolver);
                self.full(spec, argument, &ctx, out)?;
                let (is_left, width) = columns(spec, width.as_ref(), event)?;
                let fill = if spec.has_zeros { b'0' } else { b' ' };
                pad(is_left, width, fill, start, out);
            }
        }
        Ok(())
    }

    fn write_string(&self, text: &[u8], is_truncated: bool, out: &mut Vec<u8>) {
        out.extend_from_slice(text);
        if is_truncated {
            out.extend_from_slice(self.style.trailer.as_bytes());
        }
    }

    /// Any conversion, without padding.
    fn full(
        &self,
        spec: &Spec,
        argument: &Field,
        ctx: &DecodeContext<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), DecodeError> {
        match spec.conversion {
            Conversion::Text => {
                let value = decode_field(ctx.event, argument, ctx)?;
                write_value(&value, &self.style, out);
            }
            Conversion::Buffer | Conversion::BufferEscaped | Conversion::BufferHex => {
                write_buffer(bytes_of(argument, ctx)?, spec.conversion, out);
            }
            Conversion::GfpFlags => {
                crate::gfp::write_flags(integer_of(argument, ctx.event)? as u32, out);
            }
            Conversion::Char => out.push(integer_of(argument, ctx.event)? as u8),
            _ => write_integer(spec, integer_of(argument, ctx.event)?, out),
        }
        Ok(())
    }
}

/// Picks the quickest way to show the next argument(s).
fn step<'a>(spec: Spec, arguments: &mut impl Iterator<Item = &'a Field>) -> Option<Step> {
    let width = match spec.width {
        Some(Size::Argument) => arguments.next().cloned(),
        _ => None,
    };
    if spec.precision == Some(Size::Argument) {
        arguments.next();
    }
    let argument = arguments.next()?.clone();
    let is_plain = spec
        == Spec {
            conversion: spec.conversion,
            length: spec.length,
            ..Spec::default()
        };
    let offset = argument.offset as usize;
    if is_plain && argument.bits.is_none() {
        match (spec.conversion, &argument.layout) {
            (
                Conversion::Signed | Conversion::Unsigned,
                &Layout::Int { size, signed } | &Layout::Enum { size, signed, .. },
            ) => {
                return Some(Step::PlainInt {
                    offset,
                    size,
                    is_signed: signed,
                    shown_signed: spec.conversion == Conversion::Signed,
                    length: spec.length,
                });
            }
            (Conversion::Text, &Layout::String { size }) => {
                return Some(Step::PlainString {
                    offset,
                    size: size as usize,
                });
            }
            (Conversion::Text, Layout::StringRef) => return Some(Step::PlainStringRef { offset }),
            _ => {}
        }
    }
    Some(Step::Full {
        spec,
        width,
        argument,
    })
}

/// Side and width of the padding; a negative argument for `*` means "left" as in C.
fn columns(spec: &Spec, width: Option<&Field>, event: &[u8]) -> Result<(bool, usize), DecodeError> {
    /// Widths from arguments are capped, a line cannot be filled with blanks by a stray number.
    const MAX_WIDTH: u64 = 4096;
    if let Some(field) = width {
        let number = integer_of(field, event)?;
        let columns = number.unsigned_abs().min(MAX_WIDTH) as usize;
        return Ok((spec.is_left || number < 0, columns));
    }
    match spec.width {
        Some(Size::Fixed(columns)) => Ok((spec.is_left, columns as usize)),
        _ => Ok((spec.is_left, 0)),
    }
}

fn cut_signed(number: i64, length: Length) -> i64 {
    match length {
        Length::Char => i64::from(number as i8),
        Length::Short => i64::from(number as i16),
        Length::Int => i64::from(number as i32),
        Length::Long => number,
    }
}

fn cut_unsigned(number: i64, length: Length) -> u64 {
    match length {
        Length::Char => u64::from(number as u8),
        Length::Short => u64::from(number as u16),
        Length::Int => u64::from(number as u32),
        Length::Long => number as u64,
    }
}

fn write_integer(spec: &Spec, number: i64, out: &mut Vec<u8>) {
    let unsigned = match spec.conversion {
        Conversion::Pointer => number as u64,
        _ => cut_unsigned(number, spec.length),
    };
    match spec.conversion {
        Conversion::Signed => {
            let number = cut_signed(number, spec.length);
            if spec.has_plus && number >= 0 {
                out.push(b'+');
            }
            write_decimal(number, out);
        }
        Conversion::Octal => {
            if spec.is_alternate && unsigned != 0 {
                out.push(b'0');
            }
            write_radix(unsigned, 8, false, out);
        }
        Conversion::Hex | Conversion::UpperHex | Conversion::Pointer => {
            let is_upper = spec.conversion == Conversion::UpperHex;
            let has_prefix = spec.is_alternate || spec.conversion == Conversion::Pointer;
            if has_prefix && unsigned != 0 {
                out.extend_from_slice(if is_upper { b"0X" } else { b"0x" });
            }
            write_radix(unsigned, 16, is_upper, out);
        }
        _ => write_unsigned(unsigned, out),
    }
}

/// The bytes of a buffer, string or byte array.
fn bytes_of<'a>(argument: &Field, ctx: &DecodeContext<'a>) -> Result<&'a [u8], DecodeError> {
    let size = argument.layout.size() as usize;
    let bytes = slice(ctx.event, argument.offset as usize, size)?;
    match argument.layout {
        Layout::Buffer { size } => buffer_bytes(bytes, size),
        Layout::StringRef => Ok(string_ref_bytes(bytes, ctx.event)?.0),
        Layout::String { .. } => Ok(string_bytes(bytes).0),
        _ => Ok(bytes),
    }
}

/// Fills what was written from `start` on up to the width.
fn pad(is_left: bool, width: usize, fill: u8, start: usize, out: &mut Vec<u8>) {
    let written = out.len() - start;
    if written >= width {
        return;
    }
    out.resize(start + width, fill);
    if !is_left {
        out[start..].rotate_right(width - written);
    }
}
