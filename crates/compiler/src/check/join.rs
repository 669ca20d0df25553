//! Which one type serves two uses.

use std::sync::Arc;

use crate::ty::{Space, Type};

/// The type as maps and variables keep it: integers have 64 bits there, also inside tuples.
pub fn widened(ty: &Type) -> Type {
    match ty {
        Type::Int { signed, .. } => Type::Int {
            size: 8,
            signed: *signed,
        },
        Type::Tuple(elements) => Type::Tuple(Arc::new(elements.iter().map(widened).collect())),
        Type::Record(fields) => Type::Record(Arc::new(
            fields
                .iter()
                .map(|(name, ty)| (name.clone(), widened(ty)))
                .collect(),
        )),
        other => other.clone(),
    }
}

/// The type that holds values of both, if there is one.
pub fn join(left: &Type, right: &Type) -> Option<Type> {
    use Type::*;
    if left == right {
        return Some(left.clone());
    }
    match (left, right) {
        (Unknown | Error, other) | (other, Unknown | Error) => Some(other.clone()),
        (Int { size: a, signed: s }, Int { size: b, signed: t }) => Some(join_ints(*a, *s, *b, *t)),
        (Int { .. }, Enum(_)) | (Enum(_), Int { .. }) => Some(Type::I64),
        (Enum(_), Enum(_)) => Some(Type::I64),
        (String { size: a }, String { size: b }) => Some(String { size: *a.max(b) }),
        (Buffer { size: a }, Buffer { size: b }) => Some(Buffer { size: *a.max(b) }),
        (Tuple(a), Tuple(b)) if a.len() == b.len() => {
            let joined: Option<Vec<Type>> =
                a.iter().zip(b.iter()).map(|(a, b)| join(a, b)).collect();
            joined.map(|elements| Tuple(Arc::new(elements)))
        }
        (Record(a), Record(b)) if a.len() == b.len() => join_records(a, b),
        (Pointer { to: a, space: s }, Pointer { to: b, space: t }) => join_pointers(a, *s, b, *t),
        (Array { element: a, len: m }, Array { element: b, len: n }) if m == n => Some(Array {
            element: Arc::new(join(a, b)?),
            len: *m,
        }),
        (Sum { .. }, Sum { .. }) => Some(Sum { signed: true }),
        (Min { .. }, Min { .. }) => Some(Min { signed: true }),
        (Max { .. }, Max { .. }) => Some(Max { signed: true }),
        (Avg { .. }, Avg { .. }) => Some(Avg { signed: true }),
        (Stats { .. }, Stats { .. }) => Some(Stats { signed: true }),
        (
            TimeSeries {
                interval_ns,
                buckets,
                aggregation,
                ..
            },
            TimeSeries {
                interval_ns: i,
                buckets: b,
                aggregation: a,
                ..
            },
        ) if (interval_ns, buckets, aggregation) == (i, b, a) => Some(TimeSeries {
            interval_ns: *interval_ns,
            buckets: *buckets,
            aggregation: *aggregation,
            signed: true,
        }),
        _ => Option::None,
    }
}

fn join_ints(a: u32, a_signed: bool, b: u32, b_signed: bool) -> Type {
    if a_signed == b_signed {
        return Type::Int {
            size: a.max(b),
            signed: a_signed,
        };
    }
    let (signed_size, unsigned_size) = if a_signed { (a, b) } else { (b, a) };
    let size = if unsigned_size >= signed_size {
        (unsigned_size * 2).min(8)
    } else {
        signed_size
    };
    Type::Int { size, signed: true }
}

fn join_records(a: &Arc<Vec<(String, Type)>>, b: &Arc<Vec<(String, Type)>>) -> Option<Type> {
    let mut fields = Vec::new();
    for (name, ty) in a.iter() {
        let (_, other) = b.iter().find(|(candidate, _)| candidate == name)?;
        fields.push((name.clone(), join(ty, other)?));
    }
    Some(Type::Record(Arc::new(fields)))
}

fn join_pointers(a: &Arc<Type>, a_space: Space, b: &Arc<Type>, b_space: Space) -> Option<Type> {
    let space = match (a_space, b_space) {
        (Space::Unknown, other) | (other, Space::Unknown) => other,
        (x, y) if x == y => x,
        _ => return None,
    };
    let to = match (&**a, &**b) {
        (x, y) if x == y => a.clone(),
        (Type::Opaque(name), _) if &**name == "void" => b.clone(),
        (_, Type::Opaque(name)) if &**name == "void" => a.clone(),
        _ => return None,
    };
    Some(Type::Pointer { to, space })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_widen() {
        let cases = [
            (Type::U32, Type::U64, Some(Type::U64)),
            (Type::U32, Type::I32, Some(Type::I64)),
            (Type::U64, Type::I64, Some(Type::I64)),
            (Type::U8, Type::I32, Some(Type::I32)),
            (
                Type::String { size: 4 },
                Type::String { size: 16 },
                Some(Type::String { size: 16 }),
            ),
            (Type::Bool, Type::I64, None),
            (Type::Unknown, Type::Bool, Some(Type::Bool)),
        ];
        for (a, b, want) in cases {
            assert_eq!(join(&a, &b), want, "{a} and {b}");
            assert_eq!(join(&b, &a), want, "{b} and {a}");
        }
    }
}
