//! Types as debug information has them, gathered into one small graph around a function.
//!
//! Types near the function come first; when the graph reaches its limit, what lies further away (behind many pointers) becomes
//! [`DebugType::Unknown`].

use super::types::{CompositeKind, DebugType, Qualifier, TypeIndex};

/// Qualifiers and typedefs followed.
const MAX_CHAIN: usize = 64;

/// Types that refer to each other by index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TypeGraph {
    types: Vec<DebugType>,
}

impl TypeGraph {
    pub(super) fn new(types: Vec<DebugType>) -> TypeGraph {
        TypeGraph { types }
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

    /// `int[2][3]`: the outermost dimension comes first.
    fn array_name(&self, element: TypeIndex, len: Option<u64>, depth: usize) -> String {
        let (mut element, mut len, mut dimensions) = (element, len, String::new());
        for _ in 0..depth {
            match len {
                Some(len) => dimensions.push_str(&format!("[{len}]")),
                None => dimensions.push_str("[]"),
            }
            match self.get(element) {
                DebugType::Array {
                    element: inner,
                    len: inner_len,
                } => (element, len) = (*inner, *inner_len),
                _ => break,
            }
        }
        format!("{}{dimensions}", self.name_at(element, depth))
    }

    fn name_at(&self, index: TypeIndex, depth: usize) -> String {
        let Some(depth) = depth.checked_sub(1) else {
            return "...".to_string();
        };
        match self.get(index) {
            DebugType::Void => "void".to_string(),
            DebugType::Base { name, .. }
            | DebugType::Typedef { name, .. }
            | DebugType::Unknown(name) => name.clone(),
            DebugType::Pointer {
                target,
                is_reference,
            } => {
                let target = self.name_at(*target, depth);
                let mark = if *is_reference { '&' } else { '*' };
                if target.ends_with(['*', '&']) {
                    format!("{target}{mark}")
                } else {
                    format!("{target} {mark}")
                }
            }
            DebugType::Composite { kind, name, .. } => {
                let word = match kind {
                    CompositeKind::Struct => "struct",
                    CompositeKind::Class => "class",
                    CompositeKind::Union => "union",
                };
                if name.is_empty() {
                    format!("{word} {{ ... }}")
                } else {
                    format!("{word} {name}")
                }
            }
            DebugType::Enum { name, .. } => format!("enum {name}"),
            DebugType::Array { element, len } => self.array_name(*element, *len, depth),
            DebugType::Qualified { qualifier, target } => {
                let word = match qualifier {
                    Qualifier::Const => "const",
                    Qualifier::Volatile => "volatile",
                    Qualifier::Restrict => "restrict",
                    Qualifier::Atomic => "_Atomic",
                };
                let is_pointer = matches!(self.get(*target), DebugType::Pointer { .. });
                let target = self.name_at(*target, depth);
                if is_pointer {
                    format!("{target}{word}")
                } else {
                    format!("{word} {target}")
                }
            }
            DebugType::Function => "function".to_string(),
        }
    }
}
