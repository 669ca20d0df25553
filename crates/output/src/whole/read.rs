//! Memory by a shape → [`Whole`].

use super::scalar::{character, enumeration, float, go_time, integer, named, terminated};
use super::{Chunk, DynamicSource, DynamicType, Image, Whole};
use fathom_bpf::object::Gap;
use fathom_bpf::shape::{
    Length, List, PointerStyle, ShapeField, ShapeId, ShapeKind, Shapes, StructForm, Tag, Text,
    Variant,
};

/// The place of a value that lies in registers.
pub const UNKNOWN_ADDRESS: u64 = 0;
/// Values in values that are shown.
const MAX_NESTING: u32 = 32;
/// Values of one event that are shown.
const MAX_VALUES: u32 = 20_000;

/// Reads values out of an image.
pub struct Reader<'a> {
    shapes: &'a Shapes,
    image: &'a Image<'a>,
    dynamic: Option<DynamicSource<'a>>,
    /// Values that may still be made.
    left: u32,
    /// Parts of the argument at hand that are not there.
    gaps: &'a [Gap],
    /// Addresses of the pointers that were followed to get here.
    path: Vec<(u64, ShapeId)>,
}

/// Bytes and where they were.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) address: u64,
    /// How far it is from the start of the argument that it is a part of.
    in_root: Option<u32>,
}

impl<'a> Place<'a> {
    fn at(self, offset: u32) -> Place<'a> {
        Place {
            bytes: self.bytes.get(offset as usize..).unwrap_or_default(),
            address: match self.address {
                UNKNOWN_ADDRESS => UNKNOWN_ADDRESS,
                address => address.wrapping_add(u64::from(offset)),
            },
            in_root: self.in_root.and_then(|start| start.checked_add(offset)),
        }
    }

    pub(super) fn number(self, offset: u32, size: u32) -> Option<u64> {
        let bytes = self.at(offset).bytes.get(..size as usize)?;
        if size == 0 || size > 8 {
            return None;
        }
        let mut raw = [0; 8];
        raw[..bytes.len()].copy_from_slice(bytes);
        Some(u64::from_le_bytes(raw))
    }
}

pub(super) fn not_copied() -> Whole {
    Whole::Missing("not copied".to_owned())
}

pub(super) fn signed(number: u64, size: u32) -> i64 {
    let unused = 64 - size.clamp(1, 8) * 8;
    ((number << unused) as i64) >> unused
}

impl<'a> Reader<'a> {
    /// For the values of one event.
    pub fn new(
        shapes: &'a Shapes,
        image: &'a Image<'a>,
        dynamic: Option<DynamicSource<'a>>,
    ) -> Reader<'a> {
        Reader {
            shapes,
            image,
            dynamic,
            left: MAX_VALUES,
            gaps: &[],
            path: Vec::new(),
        }
    }

    /// An argument, of which parts may be missing.
    pub fn root(&mut self, shape: ShapeId, chunk: &Chunk<'a>, gaps: &'a [Gap]) -> Whole {
        self.gaps = gaps;
        if chunk.is_fault {
            return Whole::Missing(match chunk.address {
                // The address of a result is kept when the function is entered.
                0 => "its call was not seen".to_owned(),
                _ => "page not present".to_owned(),
            });
        }
        let place = Place {
            bytes: chunk.bytes,
            address: chunk.address,
            in_root: Some(0),
        };
        self.value(shape, place, 0)
    }

    fn value(&mut self, id: ShapeId, place: Place<'a>, nesting: u32) -> Whole {
        if nesting > MAX_NESTING || self.left == 0 {
            return Whole::Missing("…".to_owned());
        }
        self.left -= 1;
        let shapes = self.shapes;
        let shape = shapes.get(id);
        if let Some(gap) = self.gap(place, shape.size)
            && !shape.kind.is_composite()
        {
            return Whole::Missing(gap.why.clone());
        }
        if (place.bytes.len() as u64) < u64::from(shape.size) && !shape.kind.is_composite() {
            return not_copied();
        }
        match &shape.kind {
            ShapeKind::None => Whole::None,
            ShapeKind::Integer { signed: is_signed } => integer(place, shape.size, *is_signed),
            ShapeKind::Bool => match place.bytes.first() {
                Some(byte) => Whole::Bool(*byte != 0),
                None => not_copied(),
            },
            ShapeKind::Character { is_unicode } => character(place, shape.size, *is_unicode),
            ShapeKind::Float => float(place, shape.size),
            ShapeKind::Enumeration {
                signed: is_signed,
                names,
            } => enumeration(place, shape.size, *is_signed, names),
            ShapeKind::Pointer { to, style, addend } => {
                self.pointer(place, (*to, *style, *addend), nesting)
            }
            ShapeKind::Text(text) => self.text(text, place),
            ShapeKind::List(list) => self.list(list, place, nesting),
            ShapeKind::Array { element, len } => self.array(*element, *len, place, nesting),
            ShapeKind::Struct { fields, form, .. } => self.parts(fields, *form, place, nesting),
            ShapeKind::Variants { tag, variants } => {
                self.variant(tag.as_ref(), variants, place, nesting)
            }
            ShapeKind::Interface { has_methods } => self.interface(*has_methods, place, nesting),
            ShapeKind::GoTime => go_time(place),
            ShapeKind::Opaque(why) => Whole::Missing(why.clone()),
        }
    }

    /// What is missing of so many bytes.
    fn gap(&self, place: Place<'a>, size: u32) -> Option<&'a Gap> {
        let start = place.in_root?;
        let end = start.saturating_add(size);
        self.gaps
            .iter()
            .find(|gap| gap.offset < end && start < gap.offset.saturating_add(gap.size))
    }

    fn pointer(
        &mut self,
        place: Place<'a>,
        (to, style, addend): (Option<ShapeId>, PointerStyle, i64),
        nesting: u32,
    ) -> Whole {
        let Some(address) = place.number(0, 8) else {
            return not_copied();
        };
        if address == 0 {
            return Whole::Null(match style {
                PointerStyle::Go | PointerStyle::Handle => "nil",
                PointerStyle::Address | PointerStyle::Transparent => "NULL",
            });
        }
        let start = address.wrapping_add_signed(addend);
        let Some((to, chunk)) = to.and_then(|to| Some((to, self.image.at(start)?))) else {
            return Whole::Address(address);
        };
        if self.path.contains(&(start, to)) {
            return Whole::Missing(format!("back to {start:#x}"));
        }
        self.path.push((start, to));
        let target = match chunk.is_fault {
            true => Whole::Missing("page not present".to_owned()),
            false => {
                let place = Place {
                    bytes: chunk.bytes,
                    address: start,
                    in_root: None,
                };
                self.value(to, place, nesting + 1)
            }
        };
        self.path.pop();
        match style {
            PointerStyle::Transparent | PointerStyle::Handle => target,
            _ => Whole::Pointer {
                address,
                to: Box::new(target),
                shows_address: style == PointerStyle::Address,
            },
        }
    }

    /// A value of a type that the running program tells.
    fn interface(&mut self, has_methods: bool, place: Place<'a>, nesting: u32) -> Whole {
        let (Some(table), Some(data)) = (place.number(0, 8), place.number(8, 8)) else {
            return not_copied();
        };
        if table == 0 {
            return Whole::Null("nil");
        }
        // An itab has the type behind the interface's (Go's runtime/runtime2.go, internal/abi/iface.go).
        let description = match has_methods {
            true => self.image.at(table).and_then(|itab| {
                let word = itab.bytes.get(8..)?.first_chunk::<8>()?;
                Some(u64::from_le_bytes(*word))
            }),
            false => Some(table),
        };
        let found = description.and_then(|address| {
            let source = self.dynamic?;
            source.types.find(&source.program, address)
        });
        let Some(found) = found else {
            return Whole::Address(data);
        };
        let value = match found.is_pointer {
            true => self.elsewhere(&found, place.at(8), nesting),
            false => match self.image.at(data) {
                Some(chunk) if !chunk.is_fault => {
                    let there = Place {
                        bytes: chunk.bytes,
                        address: data,
                        in_root: None,
                    };
                    self.elsewhere(&found, there, nesting)
                }
                _ => not_copied(),
            },
        };
        Whole::Typed {
            name: found.name.clone(),
            value: Box::new(value),
        }
    }

    /// Reads by shapes of another table.
    fn elsewhere(&mut self, found: &DynamicType, place: Place<'a>, nesting: u32) -> Whole {
        let image = Image::clone(self.image);
        let mut reader = Reader {
            shapes: &found.shapes,
            image: &image,
            dynamic: self.dynamic,
            left: self.left,
            gaps: &[],
            path: Vec::new(),
        };
        let value = reader.value(found.shape, place, nesting + 1);
        self.left = reader.left;
        value
    }

    fn text(&self, text: &Text, place: Place<'a>) -> Whole {
        let Some(address) = place.number(text.pointer, 8) else {
            return not_copied();
        };
        let length = match text.length {
            Length::Terminated => None,
            Length::Count(offset) => place.number(offset, 8),
            Length::End(offset) => place.number(offset, 8).map(|end| end.wrapping_sub(address)),
            Length::Fixed(count) => Some(u64::from(count)),
        };
        if length == Some(0) {
            return Whole::Text {
                bytes: Vec::new(),
                length: Some(0),
            };
        }
        if address == 0 {
            return Whole::Null("NULL");
        }
        let Some(chunk) = self.image.at(address.wrapping_add(u64::from(text.addend))) else {
            return Whole::Address(address);
        };
        if chunk.is_fault {
            return Whole::Missing("page not present".to_owned());
        }
        match length {
            Some(length) => {
                let shown = usize::try_from(length).unwrap_or(usize::MAX);
                let bytes = chunk.bytes.get(..shown).unwrap_or(chunk.bytes).to_vec();
                let length = Some(length);
                Whole::Text { bytes, length }
            }
            None => terminated(&chunk),
        }
    }

    fn list(&mut self, list: &List, place: Place<'a>, nesting: u32) -> Whole {
        let Some(address) = place.number(list.pointer, 8) else {
            return not_copied();
        };
        let stride = u64::from(list.stride.max(1));
        let length = match list.length {
            Length::Terminated => None,
            Length::Count(offset) => place.number(offset, 8),
            Length::End(offset) => place
                .number(offset, 8)
                .map(|end| end.wrapping_sub(address) / stride),
            Length::Fixed(count) => Some(u64::from(count)),
        };
        let Some(length) = length else {
            return not_copied();
        };
        let mut items = Vec::new();
        match self.image.at(address.wrapping_add(u64::from(list.addend))) {
            _ if length == 0 => {}
            None => {}
            Some(chunk) if chunk.is_fault => {
                return Whole::Missing("page not present".to_owned());
            }
            Some(chunk) => {
                let place = Place {
                    bytes: chunk.bytes,
                    address,
                    in_root: None,
                };
                let there = (chunk.bytes.len() as u64 / stride).min(length);
                for index in 0..there as u32 {
                    let offset = index.saturating_mul(list.stride);
                    items.push(self.value(list.element, place.at(offset), nesting + 1));
                }
            }
        }
        Whole::List { items, length }
    }

    fn array(&mut self, element: ShapeId, len: u32, place: Place<'a>, nesting: u32) -> Whole {
        let shape = self.shapes.get(element);
        let size = shape.size;
        if size == 1 && matches!(shape.kind, ShapeKind::Character { is_unicode: false }) {
            if let Some(gap) = self.gap(place, len) {
                return Whole::Missing(gap.why.clone());
            }
            let bytes = place.bytes.get(..len as usize).unwrap_or(place.bytes);
            let end = bytes.iter().position(|byte| *byte == 0);
            let bytes = &bytes[..end.unwrap_or(bytes.len())];
            return Whole::Text {
                bytes: bytes.to_vec(),
                length: Some(bytes.len() as u64),
            };
        }
        let mut items = Vec::new();
        for index in 0..len {
            let at = place.at(index.saturating_mul(size));
            if (at.bytes.len() as u64) < u64::from(size) || self.left == 0 {
                break;
            }
            items.push(self.value(element, at, nesting + 1));
        }
        let length = u64::from(len);
        Whole::List { items, length }
    }

    fn parts(
        &mut self,
        fields: &[ShapeField],
        form: StructForm,
        place: Place<'a>,
        nesting: u32,
    ) -> Whole {
        let mut parts = Vec::new();
        for field in fields {
            let value = match field.bits {
                Some(bits) => self.bitfield(field, bits, place),
                None => self.value(field.shape, place.at(field.offset), nesting + 1),
            };
            match value {
                // Members of anonymous structs and unions are the owner's.
                Whole::Struct { fields }
                    if field.name.is_empty()
                        && matches!(form, StructForm::Struct | StructForm::Union) =>
                {
                    parts.extend(fields)
                }
                value => parts.push((field.name.clone(), value)),
            }
        }
        match form {
            StructForm::Struct => Whole::Struct { fields: parts },
            StructForm::Union => Whole::Union(parts),
            StructForm::Tuple if parts.is_empty() => Whole::None,
            StructForm::Tuple => Whole::Tuple(parts.into_iter().map(|(_, part)| part).collect()),
            StructForm::Transparent => parts
                .into_iter()
                .next()
                .map_or(Whole::None, |(_, part)| part),
        }
    }

    fn bitfield(&self, field: &ShapeField, (lowest, width): (u32, u32), place: Place<'a>) -> Whole {
        let shape = self.shapes.get(field.shape);
        let bytes = (lowest.saturating_add(width)).div_ceil(8).min(8);
        if let Some(gap) = self.gap(place.at(field.offset), bytes) {
            return Whole::Missing(gap.why.clone());
        }
        let Some(number) = place.number(field.offset, bytes) else {
            return not_copied();
        };
        if width == 0 || width > 64 || lowest > 63 {
            return not_copied();
        }
        let unused = 64 - width;
        let number = (number >> lowest) << unused;
        let (unsigned, with_sign) = (number >> unused, (number as i64) >> unused);
        match &shape.kind {
            ShapeKind::Bool => Whole::Bool(unsigned != 0),
            ShapeKind::Enumeration { signed, names } => {
                let number = if *signed { with_sign } else { unsigned as i64 };
                named(number, names)
            }
            ShapeKind::Integer { signed: true } => Whole::Int(with_sign),
            _ => Whole::Uint(unsigned),
        }
    }

    fn variant(
        &mut self,
        tag: Option<&Tag>,
        variants: &[Variant],
        place: Place<'a>,
        nesting: u32,
    ) -> Whole {
        let chosen = match tag {
            None => variants.first(),
            Some(tag) => {
                if let Some(gap) = self.gap(place.at(tag.offset), tag.size) {
                    return Whole::Missing(format!("which variant: {}", gap.why));
                }
                let Some(number) = place.number(tag.offset, tag.size.min(8)) else {
                    return not_copied();
                };
                let told = |variant: &&Variant| {
                    let mut tags = variant.tags.iter();
                    tags.any(|(from, to)| (*from..=*to).contains(&number))
                };
                let rest = || variants.iter().find(|variant| variant.tags.is_empty());
                variants.iter().find(told).or_else(rest)
            }
        };
        let Some(variant) = chosen else {
            return Whole::Missing("no such variant".to_owned());
        };
        Whole::Variant {
            name: variant.name.clone(),
            parts: Box::new(self.value(variant.shape, place, nesting + 1)),
        }
    }
}
