//! What values of a traced program look like, from its debug information: types become [`Shapes`].
//!
//! | File | Knows |
//! |---|---|
//! | `c` | text behind `char *` |
//! | `cpp` | the standard library's strings, containers and smart pointers |
//! | `rust` | `&str`, `String`, `Vec`, `Box`, `Rc`, enums with data |
//! | `go` | strings, slices, interfaces, maps, channels |
//!
//! A language's file is asked first; what it does not know is shown by its members.

mod c;
mod cpp;
mod go;
mod rust;

use std::collections::HashMap;
use std::sync::Arc;

use fathom_bpf::shape::{PointerStyle, Shape, ShapeField, ShapeId, ShapeKind, Shapes, StructForm};
use fathom_machine::dwarf::{
    BaseEncoding, CompositeKind, DebugMember, DebugType, Language, MemberRole, PointerKind,
    TypeGraph, TypeIndex,
};

use super::Types;

/// Members of one struct that are shown.
const MAX_FIELDS: usize = 512;
/// Bytes of a value that is copied as a whole.
const MAX_SIZE: u64 = 1 << 20;

impl Types<'_> {
    /// The shape of each of the types.
    pub fn add_shapes(
        &self,
        graph: &TypeGraph,
        language: Language,
        types: impl IntoIterator<Item = TypeIndex>,
    ) -> Vec<ShapeId> {
        add(&mut self.shapes_mut(), graph, language, types)
    }
}

/// The shapes of types that no script names.
pub fn whole_shapes(
    graph: &TypeGraph,
    language: Language,
    types: impl IntoIterator<Item = TypeIndex>,
) -> (Shapes, Vec<ShapeId>) {
    let mut shapes = Shapes::default();
    let ids = add(&mut shapes, graph, language, types);
    (shapes, ids)
}

fn add(
    shapes: &mut Shapes,
    graph: &TypeGraph,
    language: Language,
    types: impl IntoIterator<Item = TypeIndex>,
) -> Vec<ShapeId> {
    let mut maker = Maker {
        graph,
        language,
        shapes,
        known: HashMap::new(),
        waiting: Vec::new(),
    };
    let ids = types.into_iter().map(|ty| maker.shape(ty)).collect();
    maker.finish();
    ids
}

/// Turns types of one graph into shapes.
struct Maker<'g> {
    graph: &'g TypeGraph,
    language: Language,
    shapes: &'g mut Shapes,
    known: HashMap<TypeIndex, ShapeId>,
    /// Shapes that were promised.
    waiting: Vec<(TypeIndex, ShapeId)>,
}

impl Maker<'_> {
    /// The shape of a type: at once its size, later what it is, so that types may hold themselves.
    fn shape(&mut self, index: TypeIndex) -> ShapeId {
        let index = match self.language {
            Language::Go => go::settle(self.graph, index),
            _ => self.graph.resolve(index),
        };
        if let Some(known) = self.known.get(&index) {
            return *known;
        }
        let size = match self.language {
            Language::Go => go::size_of(self.graph, index),
            _ => self.graph.size_of(index),
        };
        let size = size.unwrap_or(0).min(MAX_SIZE) as u32;
        let id = self.shapes.add(Shape {
            size,
            kind: ShapeKind::None,
        });
        self.known.insert(index, id);
        self.waiting.push((index, id));
        id
    }

    /// A shape that is no type's own.
    fn add(&mut self, size: u32, kind: ShapeKind) -> ShapeId {
        self.shapes.add(Shape { size, kind })
    }

    fn finish(&mut self) {
        while let Some((index, id)) = self.waiting.pop() {
            let size = self.shapes.get(id).size;
            let kind = self.kind(index);
            self.shapes.set(id, Shape { size, kind });
        }
    }

    fn kind(&mut self, index: TypeIndex) -> ShapeKind {
        let known = match self.language {
            Language::C | Language::Other => c::kind(self, index),
            Language::Cpp => cpp::kind(self, index).or_else(|| c::kind(self, index)),
            Language::Rust => rust::kind(self, index),
            Language::Go => go::kind(self, index),
        };
        match known {
            Some(kind) => kind,
            None => self.plain_kind(index),
        }
    }

    fn plain_kind(&mut self, index: TypeIndex) -> ShapeKind {
        match self.graph.get(index) {
            DebugType::Void => ShapeKind::None,
            DebugType::Base {
                encoding,
                name,
                size,
            } => base(*encoding, name, *size),
            DebugType::Pointer { kind, target, .. } => {
                self.pointer(*target, *kind != PointerKind::Pointer)
            }
            DebugType::MemberPointer { .. } => ShapeKind::Opaque("pointer to a member".to_owned()),
            DebugType::Composite {
                size: 0,
                name,
                members,
                ..
            } if members.is_empty() => match self.language {
                Language::Rust | Language::Go => ShapeKind::None,
                _ => ShapeKind::Opaque(format!("{name} is only declared")),
            },
            // A variant without data is as large as the others.
            DebugType::Composite { members, .. } if members.is_empty() => match self.language {
                Language::Rust | Language::Go => ShapeKind::None,
                // Classes without members, such as tags, take a byte.
                _ => ShapeKind::Struct {
                    name: String::new(),
                    fields: Vec::new(),
                    form: StructForm::Struct,
                },
            },
            DebugType::Composite {
                kind,
                name,
                members,
                ..
            } => self.composite(*kind, name, members),
            DebugType::Enum { values, .. } => ShapeKind::Enumeration {
                signed: values.iter().any(|(_, value)| *value < 0),
                names: Arc::new(
                    values
                        .iter()
                        .map(|(name, value)| (*value, name.clone()))
                        .collect(),
                ),
            },
            DebugType::Array { element, len } => ShapeKind::Array {
                element: self.shape(*element),
                len: len.and_then(|len| u32::try_from(len).ok()).unwrap_or(0),
            },
            DebugType::Typedef { target, .. } | DebugType::Qualified { target, .. } => {
                let target = self.shape(*target);
                self.shapes.get(target).kind.clone()
            }
            DebugType::Function => ShapeKind::Opaque("function".to_owned()),
            DebugType::Unknown(name) => ShapeKind::Opaque(match name.is_empty() {
                true => "type not described".to_owned(),
                false => format!("type {name} not described"),
            }),
        }
    }

    fn pointer(&mut self, target: TypeIndex, is_reference: bool) -> ShapeKind {
        ShapeKind::Pointer {
            to: self.worth_following(target).then(|| self.shape(target)),
            style: match (self.language, is_reference) {
                (Language::Go, _) => PointerStyle::Go,
                (_, true) => PointerStyle::Transparent,
                (_, false) => PointerStyle::Address,
            },
            addend: 0,
        }
    }

    /// Whether a value of the type says more than its address.
    fn worth_following(&self, target: TypeIndex) -> bool {
        let target = self.graph.resolve(target);
        match self.graph.get(target) {
            DebugType::Void | DebugType::Function | DebugType::Unknown(_) => false,
            _ => self.graph.size_of(target).is_some_and(|size| size > 0),
        }
    }

    fn composite(&mut self, kind: CompositeKind, name: &str, members: &[DebugMember]) -> ShapeKind {
        let form = match (kind, self.language) {
            (CompositeKind::Union, _) => StructForm::Union,
            (_, Language::Rust) => rust::form(members),
            _ => StructForm::Struct,
        };
        ShapeKind::Struct {
            name: name.to_owned(),
            fields: self.fields(members),
            form,
        }
    }

    fn fields(&mut self, members: &[DebugMember]) -> Vec<ShapeField> {
        let shown = members
            .iter()
            .filter(|member| member.role != MemberRole::Artificial && !self.is_marker(member))
            .take(MAX_FIELDS);
        let shown: Vec<&DebugMember> = shown.collect();
        shown
            .into_iter()
            .filter_map(|member| self.field(member))
            .collect()
    }

    /// Rust's members that only the type checker sees: `PhantomData`, the global allocator.
    fn is_marker(&self, member: &DebugMember) -> bool {
        self.language == Language::Rust
            && !is_position(&member.name)
            && self.size(member.type_index) == Some(0)
    }

    fn field(&mut self, member: &DebugMember) -> Option<ShapeField> {
        let offset = u32::try_from(member.bit_offset / 8).ok()?;
        let lowest = (member.bit_offset % 8) as u32;
        let bits = match member.bitfield_bits {
            Some(width) => Some((lowest, u32::try_from(width).ok()?)),
            None => None,
        };
        Some(ShapeField {
            name: member.name.clone(),
            offset,
            bits,
            shape: self.shape(member.type_index),
        })
    }

    /// The only part that is shown of a larger value.
    fn part(&mut self, offset: u32, shape: ShapeId) -> ShapeKind {
        ShapeKind::Struct {
            name: String::new(),
            fields: vec![ShapeField {
                name: String::new(),
                offset,
                bits: None,
                shape,
            }],
            form: StructForm::Transparent,
        }
    }

    /// Numbers of a larger value that tell enough of it.
    fn numbers(&mut self, numbers: &[(&str, u32, TypeIndex)]) -> ShapeKind {
        let fields = numbers.iter().map(|(name, offset, ty)| ShapeField {
            name: (*name).to_owned(),
            offset: *offset,
            bits: None,
            shape: self.shape(*ty),
        });
        ShapeKind::Struct {
            name: String::new(),
            fields: fields.collect(),
            form: StructForm::Struct,
        }
    }

    /// The members of a struct or class; none for other types.
    fn members(&self, index: TypeIndex) -> &[DebugMember] {
        match self.graph.get(self.graph.resolve(index)) {
            DebugType::Composite { members, .. } => members,
            _ => &[],
        }
    }

    /// Follows members by name from a type: where the last one is, and its type.
    fn path(&self, mut index: TypeIndex, names: &[&str]) -> Option<(u32, TypeIndex)> {
        let mut offset = 0u32;
        for name in names {
            let (at, ty) = self.find(index, name, 0)?;
            offset = offset.checked_add(at)?;
            index = ty;
        }
        Some((offset, self.graph.resolve(index)))
    }

    /// A member by name, also one of a base class.
    fn find(&self, index: TypeIndex, name: &str, depth: u32) -> Option<(u32, TypeIndex)> {
        /// Bases of bases that are looked at.
        const MAX_BASES: u32 = 8;
        let members = self.members(index);
        let place = |member: &DebugMember| u32::try_from(member.bit_offset / 8).ok();
        if let Some(member) = members.iter().find(|member| member.name == name) {
            return Some((place(member)?, member.type_index));
        }
        let bases = members.iter().filter(|member| member.name.is_empty());
        bases.take(MAX_FIELDS).find_map(|base| {
            if depth >= MAX_BASES {
                return None;
            }
            let (offset, ty) = self.find(base.type_index, name, depth + 1)?;
            Some((place(base)?.checked_add(offset)?, ty))
        })
    }

    /// What a pointer type points to.
    fn target(&self, index: TypeIndex) -> Option<TypeIndex> {
        match self.graph.get(self.graph.resolve(index)) {
            DebugType::Pointer { target, .. } => Some(*target),
            _ => None,
        }
    }

    fn size(&self, index: TypeIndex) -> Option<u32> {
        u32::try_from(self.graph.size_of(index)?).ok()
    }

    /// The first pointer in a value, whatever it is wrapped in.
    fn first_pointer(&self, index: TypeIndex, depth: u32) -> Option<(u32, TypeIndex)> {
        /// Wrappers that are unwrapped.
        const MAX_WRAPPERS: u32 = 12;
        let index = self.graph.resolve(index);
        if let DebugType::Pointer { target, .. } = self.graph.get(index) {
            return Some((0, *target));
        }
        if depth >= MAX_WRAPPERS {
            return None;
        }
        self.members(index).iter().find_map(|member| {
            let (offset, target) = self.first_pointer(member.type_index, depth + 1)?;
            let at = u32::try_from(member.bit_offset / 8).ok()?;
            Some((at.checked_add(offset)?, target))
        })
    }
}

/// `__0`, `__1`: members of tuples.
fn is_position(name: &str) -> bool {
    let digits = name.strip_prefix("__").unwrap_or_default();
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn base(encoding: BaseEncoding, name: &str, size: u64) -> ShapeKind {
    match encoding {
        BaseEncoding::Bool => ShapeKind::Bool,
        BaseEncoding::Float if matches!(size, 4 | 8) => ShapeKind::Float,
        // `char` is a character; `signed char` and `unsigned char` are small numbers.
        BaseEncoding::Char if name == "char" => ShapeKind::Character { is_unicode: false },
        BaseEncoding::Unicode => ShapeKind::Character { is_unicode: true },
        BaseEncoding::Char => ShapeKind::Integer {
            signed: name.starts_with("signed"),
        },
        BaseEncoding::Signed => ShapeKind::Integer { signed: true },
        BaseEncoding::Unsigned => ShapeKind::Integer { signed: false },
        BaseEncoding::Float | BaseEncoding::Other => {
            ShapeKind::Opaque(format!("{name} is not read"))
        }
    }
}
