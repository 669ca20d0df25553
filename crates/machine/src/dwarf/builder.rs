//! From entries of debug information to a [`TypeGraph`].

use super::open::signature;
use super::question::{OpenUnit, Place, Question, Spot};
use super::site::number;
use super::types::{
    BaseEncoding, CompositeKind, DebugType, GoType, PointerKind, Qualifier, TypeIndex,
};
use super::{AttributeValue, Entry, Language, TypeGraph};
use std::collections::{HashMap, VecDeque};

/// Types in one graph.
const MAX_TYPES: usize = 4096;
/// Members, enumerators or parameters of one type.
pub(super) const MAX_CHILDREN: usize = 4096;

/// Gathers types breadth first, so that the nearest are complete when the limit is reached.
pub(super) struct Builder<'q, 'a> {
    pub(super) question: &'q Question<'a>,
    types: Vec<DebugType>,
    go: HashMap<TypeIndex, GoType>,
    /// By place of the entry.
    known: HashMap<Spot, TypeIndex>,
    pending: VecDeque<(Spot, TypeIndex)>,
}

impl<'q, 'a> Builder<'q, 'a> {
    pub(super) fn new(question: &'q Question<'a>) -> Builder<'q, 'a> {
        Builder {
            question,
            types: vec![DebugType::Void],
            go: HashMap::new(),
            known: HashMap::new(),
            pending: VecDeque::new(),
        }
    }

    /// The type that stands for none.
    pub(super) fn void(&self) -> TypeIndex {
        TypeIndex(0)
    }

    /// The index of the type an attribute refers to; its content is read later.
    pub(super) fn reference(
        &mut self,
        unit: &OpenUnit<'a>,
        value: AttributeValue<'a>,
    ) -> TypeIndex {
        let Some(spot) = self.question.target(unit, value) else {
            return self.add(DebugType::Unknown(String::new()));
        };
        self.at(spot)
    }

    fn at(&mut self, spot: Spot) -> TypeIndex {
        if let Some(known) = self.known.get(&spot) {
            return *known;
        }
        let index = self.add(DebugType::Unknown(String::new()));
        if (index.0 as usize) < MAX_TYPES - 1 {
            self.known.insert(spot, index);
            self.pending.push_back((spot, index));
        }
        index
    }

    pub(super) fn add(&mut self, found: DebugType) -> TypeIndex {
        if self.types.len() >= MAX_TYPES - 1 {
            // One shared type says "too far away".
            self.types.truncate(MAX_TYPES - 1);
            self.types.push(DebugType::Unknown("...".to_string()));
            return TypeIndex(MAX_TYPES as u32 - 1);
        }
        self.types.push(found);
        TypeIndex((self.types.len() - 1) as u32)
    }

    /// Reads all types that were referred to.
    pub(super) fn finish(mut self, language: Language) -> gimli::Result<TypeGraph> {
        while let Some((spot, index)) = self.pending.pop_front() {
            let Some(place) = self.question.place(spot)? else {
                continue;
            };
            self.types[index.0 as usize] = self.read(&place)?;
            if let Some(go) = self.go_type(&place) {
                self.go.insert(index, go);
            }
        }
        Ok(TypeGraph::new(self.types, self.go, language))
    }

    fn read(&mut self, place: &Place<'a>) -> gimli::Result<DebugType> {
        if let Some(target) = self.elsewhere(place)? {
            return Ok(DebugType::Typedef {
                name: String::new(),
                target,
            });
        }
        Ok(match place.entry.tag() {
            gimli::DW_TAG_base_type => DebugType::Base {
                name: self.name(place),
                size: byte_size(&place.entry),
                encoding: encoding(&place.entry),
            },
            gimli::DW_TAG_pointer_type => self.pointer(PointerKind::Pointer, place),
            gimli::DW_TAG_reference_type => self.pointer(PointerKind::Reference, place),
            gimli::DW_TAG_rvalue_reference_type => {
                self.pointer(PointerKind::RvalueReference, place)
            }
            gimli::DW_TAG_ptr_to_member_type => DebugType::MemberPointer {
                target: self.target(place, gimli::DW_AT_type),
                owner: self.target(place, gimli::DW_AT_containing_type),
            },
            gimli::DW_TAG_typedef | gimli::DW_TAG_template_alias | gimli::DW_TAG_subrange_type => {
                DebugType::Typedef {
                    name: self.name(place),
                    target: self.target(place, gimli::DW_AT_type),
                }
            }
            gimli::DW_TAG_const_type | gimli::DW_TAG_immutable_type => {
                self.qualified(Qualifier::Const, place)
            }
            gimli::DW_TAG_volatile_type => self.qualified(Qualifier::Volatile, place),
            gimli::DW_TAG_restrict_type => self.qualified(Qualifier::Restrict, place),
            gimli::DW_TAG_atomic_type => self.qualified(Qualifier::Atomic, place),
            gimli::DW_TAG_structure_type => self.composite(CompositeKind::Struct, place)?,
            gimli::DW_TAG_class_type => self.composite(CompositeKind::Class, place)?,
            gimli::DW_TAG_union_type => self.composite(CompositeKind::Union, place)?,
            gimli::DW_TAG_enumeration_type => DebugType::Enum {
                name: self.name(place),
                size: byte_size(&place.entry),
                values: self.enumerators(place)?,
            },
            gimli::DW_TAG_array_type => self.array(place)?,
            gimli::DW_TAG_string_type => self.fixed_string(&place.entry),
            gimli::DW_TAG_subroutine_type => DebugType::Function,
            gimli::DW_TAG_unspecified_type => DebugType::Void,
            _ => DebugType::Unknown(self.name(place)),
        })
    }

    /// The type that an entry only declares: in a unit of its own, or in the unit that defines it.
    fn elsewhere(&mut self, place: &Place<'a>) -> gimli::Result<Option<TypeIndex>> {
        if let Some(reference) = signature(place.own(gimli::DW_AT_signature)) {
            return Ok(Some(self.reference(&place.unit, reference)));
        }
        let is_composite = matches!(
            place.entry.tag(),
            gimli::DW_TAG_structure_type | gimli::DW_TAG_class_type | gimli::DW_TAG_union_type
        );
        if !is_composite || place.own(gimli::DW_AT_declaration).is_none() {
            return Ok(None);
        }
        let found = self.question.definition_of(place)?;
        Ok(found.map(|spot| self.at(spot)))
    }

    pub(super) fn name(&self, place: &Place<'a>) -> String {
        place
            .own(gimli::DW_AT_name)
            .map(|value| place.unit.text(value))
            .unwrap_or_default()
    }

    pub(super) fn target(&mut self, place: &Place<'a>, name: gimli::DwAt) -> TypeIndex {
        match place.own(name) {
            Some(value) => self.reference(&place.unit, value),
            None => self.void(),
        }
    }

    fn pointer(&mut self, kind: PointerKind, place: &Place<'a>) -> DebugType {
        DebugType::Pointer {
            kind,
            name: self.name(place),
            target: self.target(place, gimli::DW_AT_type),
        }
    }

    fn qualified(&mut self, qualifier: Qualifier, place: &Place<'a>) -> DebugType {
        DebugType::Qualified {
            qualifier,
            target: self.target(place, gimli::DW_AT_type),
        }
    }

    fn composite(&mut self, kind: CompositeKind, place: &Place<'a>) -> gimli::Result<DebugType> {
        let content = self.content(place)?;
        Ok(DebugType::Composite {
            kind,
            name: self.name(place),
            size: byte_size(&place.entry),
            members: content.members,
            scope: self.question.scope_of(place)?,
            template_parameters: content.template_parameters,
            variant_part: content.variant_part,
            has_own_copy: self.has_own_copy(place)?,
        })
    }

    /// Whether a class declares how it is copied or destroyed (Itanium C++ ABI, "non-trivial for the purposes of calls").
    fn has_own_copy(&mut self, class: &Place<'a>) -> gimli::Result<bool> {
        const MAX_METHODS: usize = 256;
        let name = self.name(class);
        let name = name.split('<').next().unwrap_or_default();
        let is_method = |tag| tag == gimli::DW_TAG_subprogram;
        for method in self.question.children(class, MAX_METHODS, is_method)? {
            let is_made = method.own(gimli::DW_AT_artificial).is_some()
                || method.own(gimli::DW_AT_defaulted).is_some();
            let method_name = self.name(&method);
            let is_destructor = method_name.starts_with('~');
            if is_made || !(is_destructor || method_name == name) {
                continue;
            }
            if is_destructor || self.takes_own_kind(&method, class)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a constructor takes a reference to its class, and nothing else.
    fn takes_own_kind(&self, constructor: &Place<'a>, class: &Place<'a>) -> gimli::Result<bool> {
        const MAX_TAKEN: usize = 8;
        let is_parameter = |tag| tag == gimli::DW_TAG_formal_parameter;
        let taken = self
            .question
            .children(constructor, MAX_TAKEN, is_parameter)?;
        let mut shown = taken
            .into_iter()
            .filter(|parameter| parameter.own(gimli::DW_AT_artificial).is_none());
        let (Some(mut at), None) = (shown.next(), shown.next()) else {
            return Ok(false);
        };
        let own = class.unit.spot(class.entry.offset());
        // The reference, then `const`.
        for _ in 0..3 {
            let target = at.own(gimli::DW_AT_type);
            let Some(spot) = target.and_then(|value| self.question.target(&at.unit, value)) else {
                break;
            };
            if spot == own {
                return Ok(at.entry.tag() != gimli::DW_TAG_pointer_type);
            }
            let Some(next) = self.question.place(spot)? else {
                break;
            };
            at = next;
        }
        Ok(false)
    }

    fn enumerators(&mut self, place: &Place<'a>) -> gimli::Result<Vec<(String, i64)>> {
        let is_enumerator = |tag| tag == gimli::DW_TAG_enumerator;
        let children = self.question.children(place, MAX_CHILDREN, is_enumerator)?;
        let value = |child: &Place<'a>| {
            let value = child.own(gimli::DW_AT_const_value)?;
            value
                .sdata_value()
                .or_else(|| value.udata_value().map(|value| value as i64))
        };
        Ok(children
            .iter()
            .filter_map(|child| Some((self.name(child), value(child)?)))
            .collect())
    }

    /// An array of several dimensions becomes an array of arrays.
    fn array(&mut self, place: &Place<'a>) -> gimli::Result<DebugType> {
        let mut element = self.target(place, gimli::DW_AT_type);
        let is_dimension = |tag| tag == gimli::DW_TAG_subrange_type;
        let children = self.question.children(place, MAX_CHILDREN, is_dimension)?;
        let dimensions: Vec<Option<u64>> = children
            .iter()
            .map(|child| dimension(&child.entry))
            .collect();
        let (first, inner) = dimensions
            .split_first()
            .map_or((None, &[][..]), |(first, inner)| (*first, inner));
        for len in inner.iter().rev() {
            element = self.add(DebugType::Array { element, len: *len });
        }
        Ok(DebugType::Array {
            element,
            len: first,
        })
    }

    /// A text of fixed size (Fortran).
    fn fixed_string(&mut self, entry: &Entry<'a>) -> DebugType {
        let element = self.add(DebugType::Base {
            name: "char".to_string(),
            size: 1,
            encoding: BaseEncoding::Char,
        });
        let len = entry.attr_value(gimli::DW_AT_byte_size);
        DebugType::Array {
            element,
            len: len.and_then(|len| len.udata_value()),
        }
    }
}

fn byte_size(entry: &Entry<'_>) -> u64 {
    entry
        .attr_value(gimli::DW_AT_byte_size)
        .and_then(|value| value.udata_value())
        .unwrap_or(0)
}

/// Number of elements; `None` when it is not known before the program runs.
fn dimension(subrange: &Entry<'_>) -> Option<u64> {
    let find = |name| subrange.attr_value(name);
    if let Some(count) = find(gimli::DW_AT_count) {
        return count.udata_value();
    }
    let lower = find(gimli::DW_AT_lower_bound).map_or(Some(0), |lower| number(&lower))?;
    let upper = match find(gimli::DW_AT_upper_bound)? {
        // Older compilers write the -1 of arrays without elements so.
        gimli::AttributeValue::Data4(u32::MAX) => return None,
        upper => number(&upper)?,
    };
    u64::try_from(upper.checked_sub(lower)?.checked_add(1)?).ok()
}

fn encoding(entry: &Entry<'_>) -> BaseEncoding {
    match entry.attr_value(gimli::DW_AT_encoding) {
        Some(gimli::AttributeValue::Encoding(encoding)) => match encoding {
            gimli::DW_ATE_unsigned => BaseEncoding::Unsigned,
            gimli::DW_ATE_signed => BaseEncoding::Signed,
            gimli::DW_ATE_boolean => BaseEncoding::Bool,
            gimli::DW_ATE_signed_char | gimli::DW_ATE_unsigned_char | gimli::DW_ATE_ASCII => {
                BaseEncoding::Char
            }
            gimli::DW_ATE_UTF | gimli::DW_ATE_UCS => BaseEncoding::Unicode,
            gimli::DW_ATE_float => BaseEncoding::Float,
            _ => BaseEncoding::Other,
        },
        _ => BaseEncoding::Other,
    }
}
