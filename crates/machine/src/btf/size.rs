//! Following types: through typedefs and qualifiers to what they are, and to how many bytes they take.

use super::raw::malformed;
use super::{Btf, FuncProto, MAX_TYPE_DEPTH, Type, TypeId};
use crate::Result;

/// Size of a pointer on the machines this tracer runs on.
const POINTER_BYTES: u64 = 8;

impl Btf {
    /// Follows `const`, `volatile`, `restrict` and type tags, but not typedefs.
    pub fn strip_qualifiers(&self, id: TypeId) -> Result<TypeId> {
        self.follow(id, false)
    }

    /// Follows qualifiers and typedefs to the type behind them.
    pub fn resolve(&self, id: TypeId) -> Result<TypeId> {
        self.follow(id, true)
    }

    /// The type behind typedefs and qualifiers, with its id.
    pub fn resolved(&self, id: TypeId) -> Result<(TypeId, Type<'_>)> {
        let id = self.resolve(id)?;
        Ok((id, self.type_by_id(id)?))
    }

    fn follow(&self, mut id: TypeId, through_typedefs: bool) -> Result<TypeId> {
        for _ in 0..MAX_TYPE_DEPTH {
            id = match self.type_by_id(id)? {
                Type::Const(next) | Type::Volatile(next) | Type::Restrict(next) => next,
                Type::TypeTag { target, .. } => target,
                Type::DeclTag(tag) => tag.target,
                Type::Typedef { target, .. } if through_typedefs => target,
                _ => return Ok(id),
            };
        }
        Err(malformed(&format!("type {id} refers to itself")))
    }

    /// What a pointer points to, looking through typedefs and qualifiers; `None` when it is no pointer.
    pub fn pointee(&self, id: TypeId) -> Result<Option<TypeId>> {
        match self.resolved(id)?.1 {
            Type::Ptr(target) => Ok(Some(target)),
            _ => Ok(None),
        }
    }

    /// Bytes a value of this type takes; `None` for `void`, functions and types that are only declared.
    pub fn size_of(&self, id: TypeId) -> Result<Option<u64>> {
        let mut count: u64 = 1;
        let mut id = id;
        for _ in 0..MAX_TYPE_DEPTH {
            let size = match self.resolved(id)?.1 {
                Type::Array(array) => {
                    count = count
                        .checked_mul(array.len.into())
                        .ok_or_else(|| malformed("an array larger than memory"))?;
                    id = array.element;
                    continue;
                }
                Type::Ptr(_) => POINTER_BYTES,
                Type::Int(int) => int.size.into(),
                Type::Float { size, .. } | Type::DataSec { size, .. } => size.into(),
                Type::Struct(composite) | Type::Union(composite) => composite.size.into(),
                Type::Enum(enumeration) => enumeration.size.into(),
                Type::Var(variable) => {
                    id = variable.type_id;
                    continue;
                }
                Type::Void | Type::Fwd { .. } | Type::Func { .. } | Type::FuncProto(_) => {
                    return Ok(None);
                }
                Type::Typedef { .. }
                | Type::Volatile(_)
                | Type::Const(_)
                | Type::Restrict(_)
                | Type::DeclTag(_)
                | Type::TypeTag { .. } => {
                    unreachable!("size_of: resolve() left a typedef or qualifier")
                }
            };
            return Ok(size.checked_mul(count));
        }
        Err(malformed(&format!("type {id} contains itself")))
    }

    /// Parameters and return type of a function, given the function, its type, or a pointer to either.
    pub fn func_proto(&self, id: TypeId) -> Result<Option<FuncProto<'_>>> {
        let mut id = id;
        for _ in 0..MAX_TYPE_DEPTH {
            id = match self.resolved(id)?.1 {
                Type::FuncProto(proto) => return Ok(Some(proto)),
                Type::Func { proto, .. } => proto,
                Type::Ptr(target) => target,
                _ => return Ok(None),
            };
        }
        Ok(None)
    }
}
