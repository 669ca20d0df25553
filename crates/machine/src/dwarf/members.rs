//! What composites are made of: members, bases, variants, template parameters, and what Go adds.

use super::builder::{Builder, MAX_CHILDREN};
use super::question::Place;
use super::site::number;
use super::types::{
    DebugMember, DiscriminantValue, GoKind, GoType, MemberRole, TypeIndex, Variant, VariantPart,
};
use super::{AttributeValue, Entry, Slice};
use gimli::DwAt;

/// Attributes that Go's compiler adds.
const DW_AT_GO_KIND: DwAt = DwAt(0x2900);
const DW_AT_GO_KEY: DwAt = DwAt(0x2901);
const DW_AT_GO_ELEM: DwAt = DwAt(0x2902);
const DW_AT_GO_EMBEDDED_FIELD: DwAt = DwAt(0x2903);
const DW_AT_GO_RUNTIME_TYPE: DwAt = DwAt(0x2904);
const DW_AT_GO_PACKAGE_NAME: DwAt = DwAt(0x2905);
const DW_AT_GO_DICT_INDEX: DwAt = DwAt(0x2906);
/// Place of a captured variable in a closure.
pub(super) const DW_AT_GO_CLOSURE_OFFSET: DwAt = DwAt(0x2907);
/// Values of one list of discriminants.
const MAX_DISCRIMINANTS: usize = 4096;

impl<'a> Builder<'_, 'a> {
    /// What a composite has besides its name and size.
    pub(super) fn content(&mut self, composite: &Place<'a>) -> gimli::Result<Content> {
        let mut found = Content::default();
        for child in self
            .question
            .children(composite, MAX_CHILDREN, is_content)?
        {
            match child.entry.tag() {
                gimli::DW_TAG_variant_part if found.variant_part.is_none() => {
                    found.variant_part = Some(Box::new(self.variant_part(&child)?));
                }
                gimli::DW_TAG_template_type_parameter
                | gimli::DW_TAG_GNU_template_parameter_pack => {
                    self.template_parameter(&child, &mut found.template_parameters)?;
                }
                _ => found.members.extend(self.member(&child)),
            }
        }
        Ok(found)
    }

    fn members(&mut self, variant: &Place<'a>) -> gimli::Result<Vec<DebugMember>> {
        let children = self
            .question
            .children(variant, MAX_CHILDREN, |tag| tag == gimli::DW_TAG_member)?;
        Ok(children
            .iter()
            .filter_map(|child| self.member(child))
            .collect())
    }

    /// Nothing for what has no fixed place: a virtual base, or a static member.
    fn member(&mut self, member: &Place<'a>) -> Option<DebugMember> {
        let has = |name| member.own(name).is_some();
        let is_member = matches!(
            member.entry.tag(),
            gimli::DW_TAG_member | gimli::DW_TAG_inheritance
        );
        if !is_member || has(gimli::DW_AT_external) || has(gimli::DW_AT_declaration) {
            return None;
        }
        let (bit_offset, bitfield_bits) = place_of(member)?;
        let role = match member.entry.tag() {
            gimli::DW_TAG_inheritance => MemberRole::Base,
            _ if is_set(member, gimli::DW_AT_artificial) => MemberRole::Artificial,
            _ if is_set(member, DW_AT_GO_EMBEDDED_FIELD) => MemberRole::Embedded,
            _ => MemberRole::Plain,
        };
        Some(DebugMember {
            name: self.name(member),
            type_index: self.target(member, gimli::DW_AT_type),
            bit_offset,
            bitfield_bits,
            role,
        })
    }

    /// A type that a template or a generic type was made with; those of packs one by one.
    fn template_parameter(
        &mut self,
        child: &Place<'a>,
        found: &mut Vec<(String, TypeIndex)>,
    ) -> gimli::Result<()> {
        let is_type = |tag| tag == gimli::DW_TAG_template_type_parameter;
        if is_type(child.entry.tag()) {
            found.push((self.name(child), self.target(child, gimli::DW_AT_type)));
            return Ok(());
        }
        for packed in self.question.children(child, MAX_CHILDREN, is_type)? {
            found.push((self.name(child), self.target(&packed, gimli::DW_AT_type)));
        }
        Ok(())
    }

    /// The variants of a Rust enum that carries data.
    fn variant_part(&mut self, part: &Place<'a>) -> gimli::Result<VariantPart> {
        let discriminant = match part.own(gimli::DW_AT_discr) {
            Some(reference) => match self.question.target(&part.unit, reference) {
                Some(target) => self.question.place(target)?,
                None => None,
            },
            None => None,
        };
        let is_variant = |tag| tag == gimli::DW_TAG_variant;
        let mut variants = Vec::new();
        for variant in self.question.children(part, MAX_CHILDREN, is_variant)? {
            variants.push(Variant {
                values: discriminant_values(&variant),
                members: self.members(&variant)?,
            });
        }
        Ok(VariantPart {
            discriminant: discriminant.and_then(|member| self.member(&member)),
            variants,
        })
    }

    /// What Go's compiler tells about a type.
    pub(super) fn go_type(&mut self, place: &Place<'a>) -> Option<GoType> {
        let number = |name| place.own(name).and_then(|value| value.udata_value());
        let (kind, dictionary_index) = (number(DW_AT_GO_KIND), number(DW_AT_GO_DICT_INDEX));
        if kind.is_none() && dictionary_index.is_none() {
            return None;
        }
        let runtime_type = place.own(DW_AT_GO_RUNTIME_TYPE).and_then(|value| {
            let address = place.unit.dwarf.attr_address(&place.unit.unit, value);
            let told = address.ok().flatten().or_else(|| value.udata_value());
            // Types that the program does not describe while it runs have a zero.
            told.filter(|offset| *offset != 0)
        });
        let package = place.own(DW_AT_GO_PACKAGE_NAME);
        let mut type_of = |name| {
            let reference = place.own(name)?;
            Some(self.reference(&place.unit, reference))
        };
        Some(GoType {
            kind: GoKind::from(kind.unwrap_or(0)),
            key: type_of(DW_AT_GO_KEY),
            element: type_of(DW_AT_GO_ELEM),
            runtime_type,
            package: package.map(|value| place.unit.text(value)),
            dictionary_index,
        })
    }
}

/// What a composite is made of.
#[derive(Default)]
pub(super) struct Content {
    pub(super) members: Vec<DebugMember>,
    pub(super) template_parameters: Vec<(String, TypeIndex)>,
    pub(super) variant_part: Option<Box<VariantPart>>,
}

fn is_content(tag: gimli::DwTag) -> bool {
    matches!(
        tag,
        gimli::DW_TAG_member
            | gimli::DW_TAG_inheritance
            | gimli::DW_TAG_variant_part
            | gimli::DW_TAG_template_type_parameter
            | gimli::DW_TAG_GNU_template_parameter_pack
    )
}

fn is_set(place: &Place<'_>, name: DwAt) -> bool {
    match place.own(name) {
        Some(gimli::AttributeValue::Flag(is_set)) => is_set,
        Some(value) => value.udata_value().is_some_and(|value| value != 0),
        None => false,
    }
}

/// One value, or a list of values and ranges; none for the variant of all other values.
fn discriminant_values(variant: &Place<'_>) -> Vec<DiscriminantValue> {
    if let Some(value) = variant.own(gimli::DW_AT_discr_value) {
        let single = wide_number(&value).map(|value| DiscriminantValue {
            low: value,
            high: value,
        });
        return single.into_iter().collect();
    }
    match variant.own(gimli::DW_AT_discr_list) {
        Some(gimli::AttributeValue::Block(list)) => discriminant_list(list).unwrap_or_default(),
        _ => Vec::new(),
    }
}

/// Entries start with a byte: 0 before one value, 1 before the ends of a range.
fn discriminant_list(mut list: Slice<'_>) -> gimli::Result<Vec<DiscriminantValue>> {
    use gimli::Reader;
    let mut values = Vec::new();
    while !list.is_empty() && values.len() < MAX_DISCRIMINANTS {
        let is_range = list.read_u8()? == 1;
        let low = list.read_uleb128()?.into();
        let high = match is_range {
            true => list.read_uleb128()?.into(),
            false => low,
        };
        values.push(DiscriminantValue { low, high });
    }
    Ok(values)
}

/// Numbers of up to 16 bytes.
fn wide_number(value: &AttributeValue<'_>) -> Option<i128> {
    match value {
        gimli::AttributeValue::Data16(value) => Some(*value as i128),
        gimli::AttributeValue::Udata(value) | gimli::AttributeValue::Data8(value) => {
            Some((*value).into())
        }
        gimli::AttributeValue::Block(bytes) => {
            let mut whole = [0; 16];
            whole.get_mut(..bytes.len())?.copy_from_slice(bytes.slice());
            Some(i128::from_le_bytes(whole))
        }
        other => number(other).map(i128::from),
    }
}

/// Place of a member in bits, and the width of a bitfield, in the notations of DWARF 2 to 5.
fn place_of(member: &Place<'_>) -> Option<(u64, Option<u64>)> {
    let number = |name| member.own(name).and_then(|value| value.udata_value());
    let bits = number(gimli::DW_AT_bit_size);
    if let Some(offset) = number(gimli::DW_AT_data_bit_offset) {
        return Some((offset, bits));
    }
    let base = byte_offset(&member.entry)?.saturating_mul(8);
    let storage = (
        number(gimli::DW_AT_bit_offset),
        bits,
        number(gimli::DW_AT_byte_size),
    );
    Some(match storage {
        // Before DWARF 4 the offset counts from the most significant bit of a storage unit.
        (Some(from_top), Some(width), Some(size)) => {
            let from_bottom = size
                .saturating_mul(8)
                .saturating_sub(from_top)
                .saturating_sub(width);
            (base.saturating_add(from_bottom), bits)
        }
        _ => (base, bits),
    })
}

/// `None` when it takes a calculation on the object.
fn byte_offset(member: &Entry<'_>) -> Option<u64> {
    match member.attr_value(gimli::DW_AT_data_member_location) {
        None => Some(0),
        Some(gimli::AttributeValue::Exprloc(code)) => {
            use gimli::Reader;
            let mut bytes = code.0;
            let is_sum = bytes.read_u8().ok()? == gimli::DW_OP_plus_uconst.0;
            let offset = bytes.read_uleb128().ok()?;
            (is_sum && bytes.is_empty()).then_some(offset)
        }
        Some(value) => value.udata_value(),
    }
}
