//! What a type name in a script means on this machine.
//!
//! [`Types`] joins three sources: the C definitions of the script, the kernel's BTF, and debug information of traced binaries.
//! A struct or union becomes a [`StructRef`] when something first names it; its members are worked out when something first looks
//! inside. BTF is opened only when a name is found nowhere nearer, so a script that needs no kernel type starts without it.
//!
//! | File | Knows |
//! |---|---|
//! | `named` | names of base types and of the language's special types; types as written |
//! | `script` | the script's own structs, enums, typedefs and `#define`s |
//! | `place` | where the x86-64 C ABI puts members |
//! | `text` | types as tracefs writes them |
//! | `kernel` | BTF |
//! | `debug` | DWARF |
//! | `uapi` | macros of the kernel's headers |
//! | `bytes` | the one place where a type becomes a [`fathom_bpf::Layout`] |
//!
//! **Spaces.** A pointer that is a member has [`Space::Unknown`] unless the kernel marked it `__user`: it points into the same
//! space as the struct that it was read from. [`in_space`] says so to the type of a member.
#![allow(
    clippy::result_large_err,
    reason = "a diagnostic is made once, on the way out of the compiler"
)]

mod bytes;
mod debug;
mod headers;
mod kernel;
mod named;
mod place;
mod script;
mod shapes;
#[cfg(test)]
mod tests;
mod text;
mod uapi;

pub use debug::GraphId;
pub use named::{DEFAULT_STACK_LIMIT, TypeofFn, language_type};
pub use shapes::whole_shapes;

use std::cell::{OnceCell, Ref, RefCell, RefMut};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use fathom_bpf::shape::Shapes;
use fathom_machine::btf::{Btf, Kind, TypeId};
use fathom_machine::{Machine, suggest};
use fathom_syntax::ast::c::CRecordKind;
use fathom_syntax::ast::{CDefs, StrLit};
use fathom_syntax::{Diagnostic, Span};

use crate::ty::{EnumType, Member, Space, StructDef, StructRef, Type};

/// How deep anonymous members and types inside types are followed; deeper is a malformed file.
const MAX_DEPTH: usize = 32;
/// Members looked at to find one by name, or to lay out one value.
const MAX_MEMBERS: usize = 100_000;

/// Where a member lies in the struct it was asked from: offset, bits (see [`Member::bits`]) and type.
pub type FoundMember = (u32, Option<(u32, u32)>, Type);

/// All structs, unions, enums, typedefs and constants that a script can name.
pub struct Types<'m> {
    machine: &'m Machine,
    script: script::ScriptTypes,
    /// Indexed by [`StructRef`].
    structs: RefCell<Vec<Rc<Entry>>>,
    by_origin: RefCell<HashMap<Origin, StructRef>>,
    /// Structs of the kernel that were named without opening BTF, by `struct NAME`.
    promised: RefCell<HashMap<String, StructRef>>,
    enums: RefCell<HashMap<Origin, Arc<EnumType>>>,
    /// BTF files that types were taken from; [`Origin::Kernel`] counts in it.
    files: RefCell<Vec<Arc<Btf>>>,
    debug: RefCell<debug::Graphs>,
    shapes: RefCell<Shapes>,
    /// Structs whose members are being worked out, outermost first.
    open: RefCell<Vec<StructRef>>,
    problems: RefCell<Vec<Diagnostic>>,
}

/// A struct that something named.
struct Entry {
    name: String,
    origin: Origin,
    def: OnceCell<Arc<Laid>>,
}

/// A struct with its members, and what only C needs to know of it.
struct Laid {
    def: Arc<StructDef>,
    /// Told by the script; BTF and DWARF do not say.
    align: Option<u32>,
}

/// Where a definition stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Origin {
    /// In the script, by number.
    Script(u32),
    /// In a BTF file of [`Types::files`].
    Kernel { file: u32, id: TypeId },
    /// In the kernel, by the entry's name; looked up when something looks inside.
    Promised,
    /// In a graph of [`debug::Graphs`].
    Debug { graph: u32, id: u32 },
}

/// A constant that `#define` made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Constant {
    /// Any C integer.
    Int(i128),
    /// A string.
    Str(StrLit),
}

impl<'m> Types<'m> {
    /// Takes the C part of a script. Reads nothing of the machine.
    pub fn new(machine: &'m Machine, defs: &CDefs) -> Types<'m> {
        Types {
            machine,
            script: script::ScriptTypes::new(defs),
            structs: RefCell::default(),
            by_origin: RefCell::default(),
            promised: RefCell::default(),
            enums: RefCell::default(),
            files: RefCell::default(),
            debug: RefCell::default(),
            shapes: RefCell::default(),
            open: RefCell::default(),
            problems: RefCell::default(),
        }
    }

    /// The machine whose types these are.
    pub fn machine(&self) -> &'m Machine {
        self.machine
    }

    /// What whole values look like.
    pub fn shapes(&self) -> Ref<'_, Shapes> {
        self.shapes.borrow()
    }

    /// See [`Types::shapes`]; to add to.
    pub fn shapes_mut(&self) -> RefMut<'_, Shapes> {
        self.shapes.borrow_mut()
    }

    /// Problems in the script's C definitions, which show when a definition is first used. Each is given once.
    pub fn take_problems(&self) -> Vec<Diagnostic> {
        std::mem::take(&mut self.problems.borrow_mut())
    }

    /// A struct or union by tag: of the script, else of the kernel or one of its modules.
    pub fn struct_named(
        &self,
        kind: CRecordKind,
        name: &str,
        span: Span,
    ) -> Result<Type, Diagnostic> {
        if let Some(number) = self.script.record(kind, name) {
            return Ok(Type::Struct(self.intern(Origin::Script(number), || {
                self.script.record_name(number)
            })));
        }
        let kernel_kind = match kind {
            CRecordKind::Struct => Kind::Struct,
            CRecordKind::Union => Kind::Union,
        };
        match self.machine.find_type(kernel_kind, name) {
            Ok((btf, id)) => Ok(Type::Struct(self.kernel_struct(&btf, id))),
            Err(error) => Err(self.unknown_type(kernel_kind.keyword(), name, span, &error)),
        }
    }

    /// An enum by tag: of the script, else of the kernel.
    pub fn enum_named(&self, name: &str, span: Span) -> Result<Type, Diagnostic> {
        if let Some(found) = self.script.enum_named(name) {
            return Ok(Type::Enum(found));
        }
        match self.machine.find_type(Kind::Enum, name) {
            Ok((btf, id)) => Ok(self.kernel_type(&btf, id, Space::Unknown)),
            Err(error) => Err(self.unknown_type("enum", name, span, &error)),
        }
    }

    /// A struct or union with its members, worked out once.
    pub fn def(&self, of: StructRef) -> Arc<StructDef> {
        self.laid(of).def.clone()
    }

    /// `struct task_struct`, `union sigval`, `struct (unnamed)`.
    pub fn name(&self, of: StructRef) -> String {
        self.entry(of).map_or_else(
            || "struct (unknown)".to_string(),
            |entry| entry.name.clone(),
        )
    }

    /// A member by name, also inside anonymous members. For bitfields see [`Member::bits`].
    /// Pointers have [`Space::Unknown`] unless the kernel marked them; see [`in_space`].
    pub fn member(&self, of: StructRef, name: &str) -> Option<FoundMember> {
        let mut budget = MAX_MEMBERS;
        if name.is_empty() {
            None
        } else {
            self.find_member(of, name, 0, &mut budget)
        }
    }

    fn find_member(
        &self,
        of: StructRef,
        name: &str,
        depth: usize,
        budget: &mut usize,
    ) -> Option<FoundMember> {
        let laid = self.laid(of);
        for member in &laid.def.members {
            *budget = budget.checked_sub(1)?;
            if member.name == name {
                return Some((member.offset, member.bits, member.ty.clone()));
            }
            if let (true, Type::Struct(inner), true) =
                (member.name.is_empty(), &member.ty, depth < MAX_DEPTH)
                && let Some((offset, bits, ty)) = self.find_member(*inner, name, depth + 1, budget)
            {
                return Some((member.offset.saturating_add(offset), bits, ty));
            }
        }
        None
    }

    /// Names that [`Types::member`] accepts, in order.
    pub fn member_names(&self, of: StructRef) -> Vec<String> {
        let mut names = Vec::new();
        self.collect_names(of, 0, &mut names);
        names
    }

    fn collect_names(&self, of: StructRef, depth: usize, names: &mut Vec<String>) {
        for member in &self.laid(of).def.members {
            match &member.ty {
                _ if names.len() >= MAX_MEMBERS => return,
                Type::Struct(inner) if member.name.is_empty() && depth < MAX_DEPTH => {
                    self.collect_names(*inner, depth + 1, names);
                }
                _ if member.name.is_empty() => {}
                _ => names.push(member.name.clone()),
            }
        }
    }

    /// Members that look like the one that is not there, best first.
    pub fn suggest_member(&self, of: StructRef, name: &str) -> Vec<String> {
        let names = self.member_names(of);
        suggest::nearest(name, names.iter().map(String::as_str))
    }

    /// The number of a function that the kernel itself has.
    pub fn kernel_function(&self, name: &str) -> Option<u32> {
        let btf = self.machine.btf().ok()?;
        btf.find(Kind::Func, name).map(|id| id.0)
    }

    /// A constant of an enum, of the script or of the kernel.
    pub fn enumerator(&self, name: &str) -> Option<(Type, i64)> {
        if let Some((found, value)) = self.script.enumerator(name) {
            return Some((Type::Enum(found), value));
        }
        let (btf, found) = self.machine.enumerator(name).ok()??;
        Some((
            self.kernel_type(&btf, found.enum_type, Space::Unknown),
            found.value,
        ))
    }

    /// A constant of a `#define` of the script, or of the kernel's headers.
    pub fn constant(&self, name: &str) -> Option<Constant> {
        self.script
            .constant(name, &mut |name| self.kernel_constant(name))
            .or_else(|| uapi::value(name).map(|value| Constant::Int(value.into())))
    }

    fn kernel_constant(&self, name: &str) -> Option<i128> {
        let known = self.machine.enumerator(name).ok().flatten();
        let value = known.map(|(_, found)| found.value);
        value.or_else(|| uapi::value(name)).map(i128::from)
    }

    fn entry(&self, of: StructRef) -> Option<Rc<Entry>> {
        self.structs.borrow().get(of.0 as usize).cloned()
    }

    /// The number of a definition; the name is asked for only when it is new.
    fn intern(&self, origin: Origin, name: impl FnOnce() -> String) -> StructRef {
        if let Some(known) = self.by_origin.borrow().get(&origin) {
            return *known;
        }
        let number = self.add(name(), origin);
        self.by_origin.borrow_mut().insert(origin, number);
        number
    }

    fn add(&self, name: String, origin: Origin) -> StructRef {
        let mut structs = self.structs.borrow_mut();
        structs.push(Rc::new(Entry {
            name,
            origin,
            def: OnceCell::new(),
        }));
        StructRef(structs.len() as u32 - 1)
    }

    /// Members of a struct. One that contains itself by value (a mistake in the script, or a malformed file) is cut off where it does.
    fn laid(&self, of: StructRef) -> Arc<Laid> {
        let Some(entry) = self.entry(of) else {
            return Arc::new(Laid::empty("struct (unknown)".to_string()));
        };
        if let Some(laid) = entry.def.get() {
            return laid.clone();
        }
        if self.open.borrow().contains(&of) || self.open.borrow().len() > MAX_DEPTH {
            return Arc::new(Laid::empty(entry.name.clone()));
        }
        self.open.borrow_mut().push(of);
        let laid = Arc::new(match entry.origin {
            Origin::Script(number) => self.lay_out_script(number),
            Origin::Kernel { file, id } => self.kernel_members(&entry.name, file, id),
            Origin::Promised => self.promised_members(&entry.name),
            Origin::Debug { graph, id } => self.debug_members(of, &entry.name, graph, id),
        });
        self.open.borrow_mut().pop();
        entry.def.get_or_init(|| laid).clone()
    }

    fn report(&self, problem: Diagnostic) {
        let mut problems = self.problems.borrow_mut();
        if !problems.contains(&problem) {
            problems.push(problem);
        }
    }

    fn unknown_type(
        &self,
        word: &str,
        name: &str,
        span: Span,
        error: &fathom_machine::Error,
    ) -> Diagnostic {
        let what = if word == "type" {
            format!("`{name}`")
        } else {
            format!("`{word} {name}`")
        };
        let problem = Diagnostic::error("unknown-type", span, format!("there is no type {what}"));
        if !error.is_missing() {
            return problem.label("not in the script").note(error.to_string());
        }
        if matches!(error, fathom_machine::Error::NoBtf { .. }) {
            return problem
                .label("not in the script, and this kernel has no BTF")
                .help("define it in C before the first probe");
        }
        let nearest = error
            .nearest()
            .first()
            .cloned()
            .or_else(|| self.script.suggest(word, name));
        match nearest {
            Some(best) => problem
                .label("not in the script and not in this machine's BTF")
                .help(format!("did you mean `{best}`?")),
            None => problem
                .label("not in the script and not in this machine's BTF")
                .help(
                    "define it in C before the first probe, or load the kernel module that has it",
                ),
        }
    }
}

impl Laid {
    fn empty(name: String) -> Laid {
        Laid {
            def: Arc::new(StructDef {
                name,
                size: 0,
                members: Vec::new(),
            }),
            align: None,
        }
    }
}

/// The type of a member that was read from memory in `space`: a pointer whose space is not known points there too.
pub fn in_space(ty: Type, space: Space) -> Type {
    match ty {
        Type::Pointer {
            to,
            space: Space::Unknown,
        } => Type::Pointer { to, space },
        Type::Array { element, len } => Type::Array {
            element: Arc::new(in_space((*element).clone(), space)),
            len,
        },
        other => other,
    }
}

/// Place of a bitfield in the smallest naturally aligned integer that holds it: `(byte offset, lowest bit)`. Packed structs can
/// make one that no aligned integer holds; then it counts from the byte of its first bit.
fn bitfield_place(bit_offset: u32, width: u32) -> (u32, u32) {
    for size in [1u32, 2, 4, 8] {
        let unit = bit_offset / (size * 8);
        let low = bit_offset - unit * size * 8;
        if low + width <= size * 8 {
            return (unit * size, low);
        }
    }
    (bit_offset / 8, bit_offset % 8)
}

fn member(name: &str, bit_offset: u32, width: Option<u32>, ty: Type) -> Member {
    let (offset, bits) = match width {
        Some(width) => {
            let (offset, low) = bitfield_place(bit_offset, width);
            (offset, Some((low, width)))
        }
        None => (bit_offset / 8, None),
    };
    Member {
        name: name.to_string(),
        offset,
        bits,
        ty,
    }
}
