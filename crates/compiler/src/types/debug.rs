//! Types of traced binaries, from DWARF. They live in user space.

use std::collections::HashMap;
use std::sync::Arc;

use fathom_machine::dwarf::{BaseEncoding, CompositeKind, DebugType, TypeGraph, TypeIndex};

use super::{Laid, MAX_DEPTH, Origin, Types, member};
use crate::ty::{EnumType, Space, StructDef, StructRef, Type};

/// Type graphs that structs were taken from.
#[derive(Default)]
pub(super) struct Graphs {
    graphs: Vec<Arc<TypeGraph>>,
    /// Named structs by binary, name and size: each function has a graph of its own, but they mean the same struct.
    named: HashMap<(String, String, u64), StructRef>,
    /// The binary that a struct is of.
    binaries: HashMap<StructRef, String>,
}

/// A graph that was taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GraphId(u32);

impl Types<'_> {
    /// Takes a function's types.
    pub fn add_graph(&self, graph: TypeGraph) -> GraphId {
        let mut debug = self.debug.borrow_mut();
        debug.graphs.push(Arc::new(graph));
        GraphId(debug.graphs.len() as u32 - 1)
    }

    /// A type of a graph as a type of the language; `binary` tells structs of equal names apart.
    pub fn debug_type(&self, graph: GraphId, index: TypeIndex, binary: &str) -> Type {
        self.convert_debug(graph.0, index, binary, 0)
    }

    fn graph(&self, number: u32) -> Option<Arc<TypeGraph>> {
        self.debug.borrow().graphs.get(number as usize).cloned()
    }

    fn convert_debug(&self, number: u32, index: TypeIndex, binary: &str, depth: usize) -> Type {
        let Some(graph) = self.graph(number).filter(|_| depth <= MAX_DEPTH) else {
            return Type::Opaque("void".into());
        };
        let index = graph.resolve(index);
        match graph.get(index) {
            DebugType::Base {
                name,
                size,
                encoding,
            } => base(name, *size, *encoding),
            DebugType::Pointer { target, .. } => Type::pointer(
                self.convert_debug(number, *target, binary, depth + 1),
                Space::User,
            ),
            DebugType::Composite { name, size: 0, .. } => {
                Type::Opaque(format!("struct {name}").into())
            }
            DebugType::Composite {
                kind, name, size, ..
            } => Type::Struct(self.debug_struct(
                Origin::Debug {
                    graph: number,
                    id: index.0,
                },
                (*kind, name, *size),
                binary,
            )),
            DebugType::Enum { name, size, values } => {
                Type::Enum(self.debug_enum((number, index), name, *size, values))
            }
            DebugType::Array { element, len } => {
                let is_char = matches!(graph.get(graph.resolve(*element)), DebugType::Base { name, size: 1, .. } if name == "char");
                let len = len.and_then(|len| u32::try_from(len).ok()).unwrap_or(0);
                if is_char && len > 0 {
                    return Type::String { size: len };
                }
                let element = self.convert_debug(number, *element, binary, depth + 1);
                Type::Array {
                    element: Arc::new(element),
                    len,
                }
            }
            DebugType::Function => Type::Opaque("function".into()),
            DebugType::Unknown(name) if !name.is_empty() => Type::Opaque(name.as_str().into()),
            _ => Type::Opaque("void".into()),
        }
    }

    fn debug_struct(
        &self,
        origin: Origin,
        (kind, name, size): (CompositeKind, &str, u64),
        binary: &str,
    ) -> StructRef {
        let key = (binary.to_string(), name.to_string(), size);
        if let Some(known) = self.debug.borrow().named.get(&key) {
            return *known;
        }
        let word = if kind == CompositeKind::Union {
            "union"
        } else {
            "struct"
        };
        let shown = if name.is_empty() { "(unnamed)" } else { name };
        let made = self.intern(origin, || format!("{word} {shown}"));
        let mut debug = self.debug.borrow_mut();
        debug.binaries.insert(made, binary.to_string());
        if !name.is_empty() {
            debug.named.insert(key, made);
        }
        made
    }

    fn debug_enum(
        &self,
        (graph, index): (u32, TypeIndex),
        name: &str,
        size: u64,
        values: &[(String, i64)],
    ) -> Arc<EnumType> {
        let mut enums = self.enums.borrow_mut();
        let made = enums
            .entry(Origin::Debug { graph, id: index.0 })
            .or_insert_with(|| {
                Arc::new(EnumType {
                    name: (!name.is_empty()).then(|| name.to_string()),
                    size: if matches!(size, 1 | 2 | 4 | 8) {
                        size as u32
                    } else {
                        4
                    },
                    signed: values.iter().any(|(_, value)| *value < 0),
                    names: Arc::new(
                        values
                            .iter()
                            .map(|(name, value)| (*value, name.clone()))
                            .collect(),
                    ),
                })
            });
        made.clone()
    }

    pub(super) fn debug_members(&self, of: StructRef, name: &str, number: u32, id: u32) -> Laid {
        let Some(graph) = self.graph(number) else {
            return Laid::empty(name.to_string());
        };
        let DebugType::Composite { size, members, .. } = graph.get(TypeIndex(id)) else {
            return Laid::empty(name.to_string());
        };
        let binary = self
            .debug
            .borrow()
            .binaries
            .get(&of)
            .cloned()
            .unwrap_or_default();
        let placed = members.iter().filter_map(|raw| {
            let ty = self.convert_debug(number, raw.type_index, &binary, 0);
            let width = raw
                .bitfield_bits
                .and_then(|bits| u32::try_from(bits).ok())
                .filter(|bits| (1..=64).contains(bits));
            Some(member(
                &raw.name,
                u32::try_from(raw.bit_offset).ok()?,
                width,
                ty,
            ))
        });
        let def = StructDef {
            name: name.to_string(),
            size: u32::try_from(*size).unwrap_or(0),
            members: placed.collect(),
        };
        Laid {
            def: Arc::new(def),
            align: None,
        }
    }
}

fn base(name: &str, size: u64, encoding: BaseEncoding) -> Type {
    match (encoding, size) {
        (BaseEncoding::Bool, _) => Type::Bool,
        (BaseEncoding::Float, 4) => Type::Opaque("float".into()),
        (BaseEncoding::Float, 8) => Type::Opaque("double".into()),
        (BaseEncoding::Float, _) => Type::Opaque("long double".into()),
        (BaseEncoding::Other, _) => Type::Opaque(name.into()),
        (_, 1 | 2 | 4 | 8) => {
            let signed = match encoding {
                BaseEncoding::Signed => true,
                BaseEncoding::Char => name == "char" || name.starts_with("signed"),
                _ => false,
            };
            Type::Int {
                size: size as u32,
                signed,
            }
        }
        (_, 16) => Type::Array {
            element: Arc::new(Type::U64),
            len: 2,
        },
        _ => Type::Opaque(name.into()),
    }
}
