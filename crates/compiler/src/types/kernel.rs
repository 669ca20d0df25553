//! Types of the kernel and its modules, from BTF.

use std::rc::Rc;
use std::sync::Arc;

use fathom_machine::btf::{self, Btf, Kind, TypeId};
use fathom_syntax::ast::c::CRecordKind;

use super::{Entry, Laid, MAX_DEPTH, Origin, Types, member};
use crate::ty::{EnumType, Space, StructDef, StructRef, Type};

impl Types<'_> {
    /// A BTF type as a type of the language; if it is a pointer, it points into `space` unless it is marked `__user`.
    pub fn kernel_type(&self, btf: &Arc<Btf>, id: TypeId, space: Space) -> Type {
        self.convert(btf, id, space, 0)
    }

    /// A struct or union of BTF, through typedefs and qualifiers.
    pub(super) fn kernel_struct(&self, btf: &Arc<Btf>, id: TypeId) -> StructRef {
        let id = btf.resolve(id).unwrap_or(id);
        let btf = home(btf, id);
        let origin = Origin::Kernel {
            file: self.file_number(btf),
            id,
        };
        if let Some(known) = self.by_origin.borrow().get(&origin) {
            return *known;
        }
        let name = composite_name(btf, id);
        let promised = self.promised.borrow().get(&name).copied();
        match promised.filter(|_| {
            self.find_shown(&name)
                .is_some_and(|(file, found)| Arc::ptr_eq(&file, btf) && found == id)
        }) {
            Some(known) => {
                self.by_origin.borrow_mut().insert(origin, known);
                known
            }
            None => self.intern(origin, || name),
        }
    }

    /// A struct or union of the kernel of which only the name is wanted now: BTF stays closed until something looks inside.
    pub(super) fn promise(&self, kind: CRecordKind, name: &str) -> StructRef {
        let word = if kind == CRecordKind::Union {
            "union"
        } else {
            "struct"
        };
        let shown = format!("{word} {name}");
        if let Some(number) = self.script.record(kind, name) {
            return self.intern(Origin::Script(number), || shown);
        }
        if let Some(known) = self.promised.borrow().get(&shown) {
            return *known;
        }
        let is_open = |entry: &Rc<Entry>| {
            matches!(entry.origin, Origin::Kernel { .. }) && entry.name == shown
        };
        let open = self
            .structs
            .borrow()
            .iter()
            .position(is_open)
            .map(|position| StructRef(position as u32));
        let number = open.unwrap_or_else(|| self.add(shown.clone(), Origin::Promised));
        self.promised.borrow_mut().insert(shown, number);
        number
    }

    /// A type by the name that messages show.
    fn find_shown(&self, shown: &str) -> Option<(Arc<Btf>, TypeId)> {
        let (word, name) = shown.split_once(' ')?;
        let kind = if word == "union" {
            Kind::Union
        } else {
            Kind::Struct
        };
        self.machine.find_type(kind, name).ok()
    }

    /// What was promised; without members if the kernel does not have it.
    pub(super) fn promised_members(&self, shown: &str) -> Laid {
        match self.find_shown(shown) {
            Some((btf, id)) => self.kernel_members(shown, self.file_number(home(&btf, id)), id),
            None => Laid::empty(shown.to_string()),
        }
    }

    fn file_number(&self, btf: &Arc<Btf>) -> u32 {
        let mut files = self.files.borrow_mut();
        let known = files.iter().position(|file| Arc::ptr_eq(file, btf));
        let number = known.unwrap_or_else(|| {
            files.push(btf.clone());
            files.len() - 1
        });
        number as u32
    }

    fn convert(&self, btf: &Arc<Btf>, id: TypeId, space: Space, depth: usize) -> Type {
        let Ok((id, found)) = btf.resolved(id) else {
            return Type::Opaque("void".into());
        };
        if depth > MAX_DEPTH {
            return Type::Opaque("void".into());
        }
        match found {
            btf::Type::Int(int) => kernel_int(int),
            btf::Type::Enum(found) => Type::Enum(self.kernel_enum(btf, id, found)),
            btf::Type::Struct(_) | btf::Type::Union(_) => Type::Struct(self.kernel_struct(btf, id)),
            btf::Type::Ptr(target) => {
                let space = if is_user(btf, target) {
                    Space::User
                } else {
                    space
                };
                Type::pointer(self.convert(btf, target, Space::Unknown, depth + 1), space)
            }
            btf::Type::Array(array) if array.len > 0 && is_char(btf, array.element) => {
                Type::String { size: array.len }
            }
            btf::Type::Array(array) => {
                let element = self.convert(btf, array.element, space, depth + 1);
                Type::Array {
                    element: Arc::new(element),
                    len: array.len,
                }
            }
            btf::Type::Float { name, .. } => Type::Opaque(name.into()),
            btf::Type::Fwd { name, is_union } => self.declared_only(btf, name, is_union),
            btf::Type::FuncProto(_) | btf::Type::Func { .. } => Type::Opaque("function".into()),
            _ => Type::Opaque("void".into()),
        }
    }

    /// A module may only declare what the kernel defines.
    fn declared_only(&self, btf: &Arc<Btf>, name: &str, is_union: bool) -> Type {
        let kind = if is_union { Kind::Union } else { Kind::Struct };
        match btf.find(kind, name) {
            Some(id) => Type::Struct(self.kernel_struct(btf, id)),
            None => Type::Opaque(format!("{} {name}", kind.keyword()).into()),
        }
    }

    fn kernel_enum(&self, btf: &Arc<Btf>, id: TypeId, found: btf::Enum<'_>) -> Arc<EnumType> {
        let origin = Origin::Kernel {
            file: self.file_number(home(btf, id)),
            id,
        };
        let mut enums = self.enums.borrow_mut();
        let made = enums.entry(origin).or_insert_with(|| {
            Arc::new(EnumType {
                name: (!found.name.is_empty()).then(|| found.name.to_string()),
                size: found.size,
                signed: found.signed,
                names: Arc::new(
                    found
                        .values()
                        .map(|(name, value)| (value, name.to_string()))
                        .collect(),
                ),
            })
        });
        made.clone()
    }

    /// The members of a struct or union.
    pub(super) fn kernel_members(&self, name: &str, file: u32, id: TypeId) -> Laid {
        let Some(btf) = self.files.borrow().get(file as usize).cloned() else {
            return Laid::empty(name.to_string());
        };
        let Ok(Some(composite)) = btf.composite(id) else {
            return Laid::empty(name.to_string());
        };
        let mut members = Vec::with_capacity(composite.members().len());
        for raw in composite.members() {
            let ty = self.convert(&btf, raw.type_id, Space::Unknown, 0);
            let (bit_offset, width) = bits_of(&btf, &raw);
            members.push(member(raw.name, bit_offset, width, ty));
        }
        let def = StructDef {
            name: name.to_string(),
            size: composite.size,
            members,
        };
        Laid {
            def: Arc::new(def),
            align: None,
        }
    }
}

/// The file that a type stands in: a module's ids go on where those of the kernel end.
fn home(btf: &Arc<Btf>, id: TypeId) -> &Arc<Btf> {
    let mut btf = btf;
    while let Some(base) = btf.base()
        && (id.0 as usize) < base.type_count()
    {
        btf = base;
    }
    btf
}

fn composite_name(btf: &Btf, id: TypeId) -> String {
    let word = btf.kind(id).map_or("struct", Kind::keyword);
    match btf.name(id) {
        "" => format!("{word} (unnamed)"),
        name => format!("{word} {name}"),
    }
}

fn kernel_int(int: btf::Int<'_>) -> Type {
    match int.size {
        _ if int.encoding == btf::IntEncoding::Bool => Type::Bool,
        // Kernels since 6.2 are built with -funsigned-char; in scripts a char is an int8 on all of them.
        1 if int.name == "char" => Type::I8,
        1 | 2 | 4 | 8 => Type::Int {
            size: int.size,
            signed: int.encoding == btf::IntEncoding::Signed,
        },
        16 => Type::Array {
            element: Arc::new(Type::U64),
            len: 2,
        },
        _ => Type::Opaque(int.name.into()),
    }
}

fn is_char(btf: &Btf, element: TypeId) -> bool {
    matches!(btf.resolved(element), Ok((_, btf::Type::Int(int))) if int.size == 1 && int.name == "char")
}

/// Whether qualifiers and tags between a pointer and its target say `__user`.
fn is_user(btf: &Btf, target: TypeId) -> bool {
    let mut id = target;
    for _ in 0..MAX_DEPTH {
        id = match btf.type_by_id(id) {
            Ok(btf::Type::TypeTag { name: "user", .. }) => return true,
            Ok(btf::Type::TypeTag { target, .. }) => target,
            Ok(btf::Type::Const(next) | btf::Type::Volatile(next) | btf::Type::Restrict(next)) => {
                next
            }
            _ => return false,
        };
    }
    false
}

/// Place in bits, and the width of a bitfield. Old compilers put the width into the integer type.
fn bits_of(btf: &Btf, raw: &btf::Member<'_>) -> (u32, Option<u32>) {
    if let Some(width) = raw.bitfield_bits {
        return (raw.bit_offset, Some(u32::from(width)));
    }
    match btf.resolved(raw.type_id) {
        Ok((_, btf::Type::Int(int)))
            if u32::from(int.bits) < int.size * 8 && int.encoding != btf::IntEncoding::Bool =>
        {
            (
                raw.bit_offset.saturating_add(int.bit_offset.into()),
                Some(u32::from(int.bits)),
            )
        }
        _ => (raw.bit_offset, None),
    }
}
