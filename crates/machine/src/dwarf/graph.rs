//! Types as debug information has them, gathered into one small graph around a function.
//!
//! Types near the function come first; when the graph reaches its limit, what lies further away (behind many pointers) becomes
//! [`DebugType::Unknown`].

use super::Language;
use super::types::{CompositeKind, DebugType, GoType, PointerKind, Qualifier, TypeIndex};
use std::collections::HashMap;

/// Qualifiers and typedefs followed.
const MAX_CHAIN: usize = 64;

/// Types that refer to each other by index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TypeGraph {
    types: Vec<DebugType>,
    go: HashMap<TypeIndex, GoType>,
    language: Language,
}

impl TypeGraph {
    pub(super) fn new(
        types: Vec<DebugType>,
        go: HashMap<TypeIndex, GoType>,
        language: Language,
    ) -> TypeGraph {
        TypeGraph {
            types,
            go,
            language,
        }
    }

    /// What Go's compiler tells about a type, or about the nearest type it is a typedef of.
    pub fn go(&self, mut index: TypeIndex) -> Option<&GoType> {
        for _ in 0..MAX_CHAIN {
            match (self.go.get(&index), self.get(index)) {
                (Some(found), _) => return Some(found),
                (None, DebugType::Typedef { target, .. }) => index = *target,
                (None, _) => return None,
            }
        }
        None
    }

    /// What the types are written in.
    pub fn language(&self) -> Language {
        self.language
    }

    /// The type of that index.
    pub fn get(&self, index: TypeIndex) -> &DebugType {
        self.types.get(index.0 as usize).unwrap_or(&DebugType::Void)
    }

    /// How many types there are.
    pub fn len(&self) -> usize {
        self.types.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.types.is_empty()
    }

    /// The type behind typedefs and qualifiers.
    pub fn resolve(&self, mut index: TypeIndex) -> TypeIndex {
        for _ in 0..MAX_CHAIN {
            index = match self.get(index) {
                DebugType::Typedef { target, .. } | DebugType::Qualified { target, .. } => *target,
                _ => return index,
            };
        }
        index
    }

    /// Bytes a value takes; `None` when it is not known.
    pub fn size_of(&self, index: TypeIndex) -> Option<u64> {
        let mut index = index;
        let mut count: u64 = 1;
        for _ in 0..MAX_CHAIN {
            index = self.resolve(index);
            let size = match self.get(index) {
                DebugType::Base { size, .. }
                | DebugType::Composite { size, .. }
                | DebugType::Enum { size, .. } => *size,
                DebugType::Pointer { .. } => 8,
                DebugType::MemberPointer { target, .. } => match self.get(self.resolve(*target)) {
                    DebugType::Function => 16,
                    _ => 8,
                },
                DebugType::Array { element, len } => {
                    count = count.checked_mul((*len)?)?;
                    index = *element;
                    continue;
                }
                _ => return None,
            };
            return size.checked_mul(count);
        }
        None
    }

    /// The type as the source writes it: `const struct user *`.
    pub fn name(&self, index: TypeIndex) -> String {
        self.name_at(index, MAX_CHAIN)
    }

    /// `int[2][3]`, in Go `[2][3]int`, in Rust `[[i32; 3]; 2]`: the outermost dimension comes first.
    fn array_name(&self, element: TypeIndex, len: Option<u64>, depth: usize) -> String {
        let (mut element, mut len, mut dimensions) = (element, len, Vec::new());
        for _ in 0..depth {
            dimensions.push(len.map_or_else(String::new, |len| len.to_string()));
            match self.get(element) {
                DebugType::Array {
                    element: inner,
                    len: inner_len,
                } => (element, len) = (*inner, *inner_len),
                _ => break,
            }
        }
        let element = self.name_at(element, depth);
        let bracketed = || dimensions.iter().map(|len| format!("[{len}]"));
        match self.language {
            Language::Rust => dimensions
                .iter()
                .rev()
                .fold(element, |inner, len| format!("[{inner}; {len}]")),
            Language::Go => bracketed().chain([element]).collect(),
            _ => [element].into_iter().chain(bracketed()).collect(),
        }
    }

    fn name_at(&self, index: TypeIndex, depth: usize) -> String {
        let Some(depth) = depth.checked_sub(1) else {
            return "...".to_string();
        };
        match self.get(index) {
            DebugType::Void => "void".to_string(),
            // What stands for a type in a unit of its own.
            DebugType::Typedef { name, target } if name.is_empty() => self.name_at(*target, depth),
            DebugType::Base { name, .. }
            | DebugType::Typedef { name, .. }
            | DebugType::Unknown(name) => name.clone(),
            DebugType::Pointer { name, .. } if !name.is_empty() => name.clone(),
            DebugType::Pointer { kind, target, .. } => {
                let target = self.name_at(*target, depth);
                let mark = match kind {
                    PointerKind::Pointer => "*",
                    PointerKind::Reference => "&",
                    PointerKind::RvalueReference => "&&",
                };
                if target.ends_with(['*', '&']) {
                    format!("{target}{mark}")
                } else {
                    format!("{target} {mark}")
                }
            }
            DebugType::MemberPointer { target, owner } => format!(
                "{} {}::*",
                self.name_at(*target, depth),
                self.name_at(*owner, depth)
            ),
            DebugType::Composite {
                kind, name, scope, ..
            } => self.composite_name(*kind, name, scope),
            DebugType::Enum { name, .. } => match self.language {
                Language::Cpp | Language::Rust => name.clone(),
                _ => format!("enum {name}"),
            },
            DebugType::Array { element, len } => self.array_name(*element, *len, depth),
            DebugType::Qualified { qualifier, target } => {
                let is_pointer = matches!(self.get(*target), DebugType::Pointer { .. });
                let target = self.name_at(*target, depth);
                qualified_name(*qualifier, &target, is_pointer)
            }
            DebugType::Function => "function".to_string(),
        }
    }

    /// As its language writes it: C with the keyword, C++ and Rust with the namespace, save for names that have it in them
    /// (`&str`, tuples).
    fn composite_name(&self, kind: CompositeKind, name: &str, scope: &str) -> String {
        let word = match kind {
            CompositeKind::Struct => "struct",
            CompositeKind::Class => "class",
            CompositeKind::Union => "union",
        };
        match self.language {
            _ if name.is_empty() => format!("{word} {{ ... }}"),
            Language::Go => name.to_string(),
            Language::Cpp | Language::Rust if scope.is_empty() => name.to_string(),
            Language::Cpp | Language::Rust => format!("{scope}::{name}"),
            Language::C | Language::Other => format!("{word} {name}"),
        }
    }
}

fn qualified_name(qualifier: Qualifier, target: &str, is_pointer: bool) -> String {
    let word = match qualifier {
        Qualifier::Const => "const",
        Qualifier::Volatile => "volatile",
        Qualifier::Restrict => "restrict",
        Qualifier::Atomic => "_Atomic",
    };
    if is_pointer {
        format!("{target}{word}")
    } else {
        format!("{word} {target}")
    }
}
