//! From event bytes to text by a format, without making values where it can be helped.

use super::parse::{Conversion, Format, FormatError, Length, Piece, Size, Spec};
use crate::decode::{
    DecodeContext, DecodeError, Integer, buffer_bytes, decode_field, integer_of, signed_number,
    slice, string_bytes, string_ref_bytes,
};
use crate::number::{Digits, write_decimal, write_unsigned};
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
        precision: Option<Field>,
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
            } => {
                let raw = slice(event, offset, size as usize)?;
                let number = signed_number(raw, size, is_signed)?;
                match shown_signed {
                    true => write_decimal(number, out),
                    false => write_unsigned(masked(number, size), out),
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
                precision,
                argument,
            } => {
                let ctx = DecodeContext::for_event(event, resolver);
                let (spec, width) = sized(spec, width, precision, event)?;
                self.full(&spec, width, argument, &ctx, out)?;
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

    /// Any conversion with any flags.
    fn full(
        &self,
        spec: &Spec,
        width: usize,
        argument: &Field,
        ctx: &DecodeContext<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), DecodeError> {
        let start = out.len();
        match spec.conversion {
            Conversion::Text => {
                let value = decode_field(ctx.event, argument, ctx)?;
                write_value(&value, &self.style, out);
                cut(spec, start, out);
            }
            Conversion::Buffer | Conversion::BufferEscaped | Conversion::BufferHex => {
                write_buffer(bytes_of(argument, ctx)?, spec.conversion, out);
                cut(spec, start, out);
            }
            Conversion::GfpFlags => {
                let flags = integer_of(argument, ctx.event)?;
                crate::gfp::write_flags(flags.bits as u32, out);
                cut(spec, start, out);
            }
            Conversion::Char => out.push(integer_of(argument, ctx.event)?.bits as u8),
            _ => {
                let digits = digits(spec, integer_of(argument, ctx.event)?, width);
                digits.write(out);
            }
        }
        pad(spec.is_left, width, start, out);
        Ok(())
    }
}

/// Picks the quickest way to show the next argument(s).
fn step<'a>(spec: Spec, arguments: &mut impl Iterator<Item = &'a Field>) -> Option<Step> {
    let width = match spec.width {
        Some(Size::Argument) => arguments.next().cloned(),
        _ => None,
    };
    let precision = match spec.precision {
        Some(Size::Argument) => arguments.next().cloned(),
        _ => None,
    };
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
            ) if fits(spec.length, size) => {
                return Some(Step::PlainInt {
                    offset,
                    size,
                    is_signed: signed,
                    shown_signed: spec.conversion == Conversion::Signed,
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
        precision,
        argument,
    })
}

/// Whether the length modifier leaves an integer of `size` bytes as it is.
fn fits(length: Length, size: u32) -> bool {
    match length {
        Length::Own | Length::Long => true,
        Length::Short => size <= 2,
        Length::Char => size <= 1,
    }
}

/// Puts the arguments of `*` into the conversion; a negative width means "left" as in C.
fn sized(
    spec: &Spec,
    width: &Option<Field>,
    precision: &Option<Field>,
    event: &[u8],
) -> Result<(Spec, usize), DecodeError> {
    /// Widths from arguments are capped, a line cannot be filled with blanks by a stray number.
    const MAX_WIDTH: u64 = 4096;
    let mut spec = spec.clone();
    let mut columns = match spec.width {
        Some(Size::Fixed(columns)) => columns as usize,
        _ => 0,
    };
    if let Some(field) = width {
        let number = integer_of(field, event)?.bits;
        spec.is_left |= number < 0;
        columns = number.unsigned_abs().min(MAX_WIDTH) as usize;
    }
    if let Some(field) = precision {
        let number = integer_of(field, event)?.bits;
        spec.precision = match number {
            0.. => Some(Size::Fixed((number as u64).min(MAX_WIDTH) as u32)),
            _ => None,
        };
    }
    Ok((spec, columns))
}

fn masked(number: i64, size: u32) -> u64 {
    match size {
        1 => u64::from(number as u8),
        2 => u64::from(number as u16),
        4 => u64::from(number as u32),
        _ => number as u64,
    }
}

fn digits(spec: &Spec, integer: Integer, width: usize) -> Digits {
    let size = match spec.length {
        Length::Char => 1,
        Length::Short => 2,
        _ => integer.size,
    };
    let precision = match spec.precision {
        Some(Size::Fixed(precision)) => Some(precision as usize),
        _ => None,
    };
    let mut digits = Digits {
        magnitude: masked(integer.bits, size),
        base: 10,
        is_upper: spec.conversion == Conversion::UpperHex,
        sign: "",
        prefix: "",
        precision,
        zeros_to: (spec.has_zeros && !spec.is_left && precision.is_none()).then_some(width),
    };
    match spec.conversion {
        Conversion::Signed => {
            let number = match spec.length {
                Length::Char => i64::from(integer.bits as i8),
                Length::Short => i64::from(integer.bits as i16),
                _ => integer.bits,
            };

            digits.magnitude = number.unsigned_abs();
            digits.sign = match (number < 0, spec.has_plus, spec.has_space) {
                (true, ..) => "-",
                (_, true, _) => "+",
                (_, _, true) => " ",
                _ => "",
            };
        }
        Conversion::Octal => {
            digits.base = 8;
            digits.prefix = if spec.is_alternate { "0" } else { "" };
        }
        Conversion::Hex | Conversion::UpperHex => {
            digits.base = 16;
            digits.prefix = match (spec.is_alternate && digits.magnitude != 0, digits.is_upper) {
                (false, _) => "",
                (true, false) => "0x",
                (true, true) => "0X",
            };
        }
        Conversion::Pointer => {
            digits.base = 16;
            digits.prefix = "0x";
        }
        _ => {}
    }
    digits
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

/// A precision shortens texts.
fn cut(spec: &Spec, start: usize, out: &mut Vec<u8>) {
    if let Some(Size::Fixed(longest)) = spec.precision {
        out.truncate(start.saturating_add(longest as usize).min(out.len()));
    }
}

/// Fills what was written from `start` on with blanks up to the width.
fn pad(is_left: bool, width: usize, start: usize, out: &mut Vec<u8>) {
    let written = out.len() - start;
    if written >= width {
        return;
    }
    out.resize(start + width, b' ');
    if !is_left {
        out[start..].rotate_right(width - written);
    }
}
