//! Structs, enums, typedefs and constants that the script itself defines in C.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;

use fathom_machine::suggest;
use fathom_syntax::ast::c::{CAttributes, CEnum, CField, CRecord, CRecordKind, CType};
use fathom_syntax::ast::{CDefs, Expr, ExprKind, Name};
use fathom_syntax::constant::const_value;
use fathom_syntax::{Diagnostic, Span};

use super::place::{BitField, Placer};
use super::{Constant, Laid, MAX_DEPTH, Origin, Types, member};
use crate::ty::{EnumType, Space, StructDef, Type};

/// Largest object that C definitions may make.
const MAX_BYTES: u64 = 1 << 30;
/// Longest chain of `#define`s that refer to each other.
const MAX_DEFINE_DEPTH: u32 = 64;
/// The machine's largest alignment, which `aligned` without a number means.
const MAX_ALIGN: u64 = 16;

/// The C part of a script, by name.
#[derive(Default)]
pub(super) struct ScriptTypes {
    /// Named ones first, then those that stand in others without a tag.
    records: RefCell<Vec<Arc<CRecord>>>,
    record_names: HashMap<(CRecordKind, String), u32>,
    enums: HashMap<String, Arc<EnumType>>,
    enumerators: HashMap<String, (Arc<EnumType>, i64)>,
    typedefs: HashMap<String, CType>,
    defines: HashMap<String, Expr>,
    /// Numbers that headers define; empty unless one is included.
    from_headers: HashMap<&'static str, i64>,
    /// Values of `#define`s; `None` while one is being worked out.
    values: RefCell<HashMap<String, Option<i128>>>,
    /// How many `#define`s are being worked out, each for the one before.
    open_defines: Cell<u32>,
}

impl ScriptTypes {
    pub(super) fn new(defs: &CDefs) -> ScriptTypes {
        let mut script = ScriptTypes::default();
        if !defs.includes.is_empty() {
            script.from_headers = super::headers::CONSTANTS.iter().copied().collect();
        }
        for record in &defs.records {
            let Some(name) = &record.name else { continue };
            let mut records = script.records.borrow_mut();
            script
                .record_names
                .insert((record.kind, name.text.clone()), records.len() as u32);
            records.push(Arc::new(record.clone()));
        }
        for define in &defs.defines {
            if let (None, Some(value)) = (&define.params, &define.value) {
                script
                    .defines
                    .insert(define.name.text.clone(), value.clone());
            }
        }
        for typedef in &defs.typedefs {
            script
                .typedefs
                .insert(typedef.name.text.clone(), typedef.ty.clone());
        }
        for definition in &defs.enums {
            script.add_enum(definition);
        }
        script
    }

    fn add_enum(&mut self, definition: &CEnum) {
        let mut next: i128 = 0;
        let mut names = Vec::new();
        for constant in &definition.constants {
            let written = constant
                .value
                .as_ref()
                .and_then(|value| self.value_of(value, &mut |_| None));
            let value = written.unwrap_or(next);
            names.push((value as i64, constant.name.text.clone()));
            next = value.saturating_add(1);
        }
        let name = definition.name.as_ref().map(|name| name.text.clone());
        let made = Arc::new(enum_type(name.clone(), names, definition.attributes.packed));
        for (value, constant) in made.names.iter() {
            self.enumerators
                .insert(constant.clone(), (made.clone(), *value));
        }
        if let Some(name) = name {
            self.enums.insert(name, made);
        }
    }

    pub(super) fn record(&self, kind: CRecordKind, name: &str) -> Option<u32> {
        self.record_names.get(&(kind, name.to_string())).copied()
    }

    /// A struct that stands in another one without a tag gets a number too.
    fn inline_record(&self, record: &CRecord) -> u32 {
        let mut records = self.records.borrow_mut();
        let known = records
            .iter()
            .position(|known| known.span == record.span && known.name.is_none());
        let number = known.unwrap_or_else(|| {
            records.push(Arc::new(record.clone()));
            records.len() - 1
        });
        number as u32
    }

    fn definition(&self, number: u32) -> Option<Arc<CRecord>> {
        self.records.borrow().get(number as usize).cloned()
    }

    pub(super) fn record_name(&self, number: u32) -> String {
        let Some(record) = self.definition(number) else {
            return "struct (unknown)".to_string();
        };
        let name = record
            .name
            .as_ref()
            .map_or("(unnamed)", |name| name.text.as_str());
        format!("{} {name}", keyword(record.kind))
    }

    pub(super) fn enum_named(&self, name: &str) -> Option<Arc<EnumType>> {
        self.enums.get(name).cloned()
    }

    pub(super) fn enumerator(&self, name: &str) -> Option<(Arc<EnumType>, i64)> {
        self.enumerators.get(name).cloned()
    }

    pub(super) fn typedef(&self, name: &str) -> Option<&CType> {
        self.typedefs.get(name)
    }

    /// The value of a `#define`; `outside` knows the kernel's constants.
    pub(super) fn constant(
        &self,
        name: &str,
        outside: &mut dyn FnMut(&str) -> Option<i128>,
    ) -> Option<Constant> {
        match self.defines.get(name).map(|define| &define.kind) {
            Some(ExprKind::Str(text)) => Some(Constant::Str(text.clone())),
            Some(_) => self.define_value(name, outside).map(Constant::Int),
            None => self.header_value(name).map(Constant::Int),
        }
    }

    /// The value of a constant expression.
    pub(super) fn value_of(
        &self,
        expr: &Expr,
        outside: &mut dyn FnMut(&str) -> Option<i128>,
    ) -> Option<i128> {
        const_value(expr, &mut |name| self.number(name, outside))
    }

    fn number(&self, name: &str, outside: &mut dyn FnMut(&str) -> Option<i128>) -> Option<i128> {
        if self.defines.contains_key(name) {
            return self.define_value(name, outside);
        }
        match self.enumerators.get(name) {
            Some((_, value)) => Some(i128::from(*value)),
            None => self.header_value(name).or_else(|| outside(name)),
        }
    }

    fn header_value(&self, name: &str) -> Option<i128> {
        self.from_headers.get(name).map(|value| i128::from(*value))
    }

    /// Each `#define` is worked out once; one that needs itself has no value, and nor have chains longer than any header's.
    fn define_value(
        &self,
        name: &str,
        outside: &mut dyn FnMut(&str) -> Option<i128>,
    ) -> Option<i128> {
        if let Some(known) = self.values.borrow().get(name) {
            return *known;
        }
        if self.open_defines.get() >= MAX_DEFINE_DEPTH {
            return None;
        }
        self.values.borrow_mut().insert(name.to_string(), None);
        self.open_defines.set(self.open_defines.get() + 1);
        let value = self
            .defines
            .get(name)
            .and_then(|value| self.value_of(value, outside));
        self.open_defines.set(self.open_defines.get() - 1);
        self.values.borrow_mut().insert(name.to_string(), value);
        value
    }

    /// A name of the script that looks like the wanted one.
    pub(super) fn suggest(&self, word: &str, name: &str) -> Option<String> {
        let records = self
            .record_names
            .keys()
            .filter(|(kind, _)| keyword(*kind) == word)
            .map(|(_, name)| name.as_str());
        let mut names: Vec<&str> = match word {
            "enum" => self.enums.keys().map(String::as_str).collect(),
            "struct" | "union" => records.collect(),
            _ => self.typedefs.keys().map(String::as_str).collect(),
        };
        names.sort_unstable();
        suggest::nearest(name, names).into_iter().next()
    }
}

fn keyword(kind: CRecordKind) -> &'static str {
    match kind {
        CRecordKind::Struct => "struct",
        CRecordKind::Union => "union",
    }
}

fn enum_type(name: Option<String>, names: Vec<(i64, String)>, is_packed: bool) -> EnumType {
    let (least, most) = names.iter().fold((0, 0), |(least, most), (value, _)| {
        (*value.min(&least), *value.max(&most))
    });
    let signed = least < 0;
    let fits = |size: u32| {
        let bits = size * 8 - u32::from(signed);
        least >= -(1i128 << bits.min(63)) as i64 && i128::from(most) < 1i128 << bits
    };
    let smallest: &[u32] = if is_packed { &[1, 2, 4] } else { &[4] };
    let size = smallest
        .iter()
        .copied()
        .find(|size| fits(*size))
        .unwrap_or(8);
    EnumType {
        name,
        size,
        signed,
        names: Arc::new(names),
    }
}

impl Types<'_> {
    /// Members of a struct of the script, by the rules of the C ABI.
    pub(super) fn lay_out_script(&self, number: u32) -> Laid {
        let name = self.script.record_name(number);
        let Some(record) = self.script.definition(number) else {
            return Laid::empty(name);
        };
        let mut placer = Placer::new(record.kind == CRecordKind::Union);
        let mut members = Vec::with_capacity(record.fields.len());
        for field in &record.fields {
            members.extend(self.place_field(field, record.attributes.packed, &mut placer));
        }
        let (size, align) = placer.finish(self.wanted_align(&record.attributes).unwrap_or(1));
        if size > MAX_BYTES {
            let message = format!("`{name}` is larger than {} MiB", MAX_BYTES >> 20);
            self.report(
                Diagnostic::error("type-too-large", record.span, message)
                    .label("larger than any traced object"),
            );
            return Laid::empty(name);
        }
        let def = StructDef {
            name,
            size: size as u32,
            members,
        };
        Laid {
            def: Arc::new(def),
            align: Some(align as u32),
        }
    }

    fn place_field(
        &self,
        field: &CField,
        is_packed: bool,
        placer: &mut Placer,
    ) -> Option<crate::ty::Member> {
        let ty = self.c_type(&field.ty, 0);
        self.refuse_self(&ty, field.span);
        if ty == Type::Error && field.bit_width.is_some() {
            return None;
        }
        let (size, natural) = (u64::from(self.size_of(&ty)), u64::from(self.align_of(&ty)));
        let is_packed = is_packed || field.attributes.packed;
        let align = self.wanted_align(&field.attributes);
        let name = field.name.as_ref().map_or("", |name| name.text.as_str());
        if let Some(width) = &field.bit_width {
            let width = self.bit_width(width, size, field.span)?;
            let is_named = field.name.is_some();
            let at = placer.place_bits(BitField {
                size,
                width: u64::from(width),
                is_packed,
                align,
                is_named,
            });
            return is_named.then(|| member(name, at as u32, Some(width), ty));
        }
        let natural = if is_packed { 1 } else { natural };
        let at = placer.place(size, natural.max(align.unwrap_or(1)));
        let at = u32::try_from(at).ok()?;
        Some(member(name, at, None, ty))
    }

    fn bit_width(&self, width: &Expr, size: u64, span: Span) -> Option<u32> {
        let value = self
            .script
            .value_of(width, &mut |name| self.kernel_constant(name));
        match value {
            Some(bits) if (0..=i128::from(size * 8)).contains(&bits) => Some(bits as u32),
            _ => {
                let message = format!(
                    "the width of a bit-field is a constant from 0 to {}",
                    size * 8
                );
                self.report(
                    Diagnostic::error("bad-bit-width", span, message)
                        .label("this does not fit its type"),
                );
                None
            }
        }
    }

    /// A struct that is still being laid out cannot be a member by value.
    fn refuse_self(&self, ty: &Type, span: Span) {
        let mut inner = ty;
        while let Type::Array { element, .. } = inner {
            inner = element;
        }
        if let Type::Struct(of) = inner
            && self.open.borrow().contains(of)
        {
            let message = format!("`{}` contains itself", self.name(*of));
            self.report(
                Diagnostic::error("endless-struct", span, message).help("use a pointer to it"),
            );
        }
    }

    fn wanted_align(&self, attributes: &CAttributes) -> Option<u64> {
        let written = attributes
            .aligned
            .as_ref()
            .and_then(|expr| self.script.value_of(expr, &mut |_| None));
        match written {
            Some(align) if (1..=4096).contains(&align) && (align as u64).is_power_of_two() => {
                Some(align as u64)
            }
            _ => attributes.aligned_max.then_some(MAX_ALIGN),
        }
    }

    /// A C type as a type of the language. What is not known is reported and becomes [`Type::Error`].
    pub(super) fn c_type(&self, ty: &CType, depth: usize) -> Type {
        if depth > MAX_DEPTH {
            return Type::Error;
        }
        match ty {
            CType::Void => Type::Opaque("void".into()),
            CType::Function => Type::Opaque("function".into()),
            CType::Named(name) => self.c_name(name, depth),
            CType::Record(kind, name) => {
                self.or_report(self.struct_named(*kind, &name.text, name.span))
            }
            CType::Enum(name) => self.or_report(self.enum_named(&name.text, name.span)),
            CType::Inline(record) => {
                let number = self.script.inline_record(record);
                Type::Struct(
                    self.intern(Origin::Script(number), || self.script.record_name(number)),
                )
            }
            CType::InlineEnum => Type::U32,
            CType::Pointer(to) => Type::pointer(self.c_pointee(to, depth + 1), Space::Unknown),
            CType::Array { of, len } => self.c_array(of, len.as_ref(), depth + 1),
            CType::Error => Type::Error,
        }
    }

    fn c_name(&self, name: &Name, depth: usize) -> Type {
        match self.script.typedef(&name.text) {
            Some(target) => self.c_type(target, depth + 1),
            None => self.or_report(self.bare_name(&name.text, name.span)),
        }
    }

    /// What a pointer points to need not be defined anywhere.
    fn c_pointee(&self, to: &CType, depth: usize) -> Type {
        match to {
            CType::Record(kind, name) => self
                .struct_named(*kind, &name.text, name.span)
                .unwrap_or_else(|_| {
                    Type::Opaque(format!("{} {}", keyword(*kind), name.text).into())
                }),
            other => self.c_type(other, depth),
        }
    }

    fn c_array(&self, of: &CType, len: Option<&Expr>, depth: usize) -> Type {
        let element = self.c_type(of, depth);
        let len = match len {
            Some(len) => self.array_len(len, &element),
            None => Ok(0),
        };
        match len {
            Ok(len) if len > 0 && is_char(of) => Type::String { size: len },
            Ok(len) => Type::Array {
                element: Arc::new(element),
                len,
            },
            Err(problem) => {
                self.report(problem);
                Type::Error
            }
        }
    }

    /// The length of an array of `element`, if it is a constant of sensible size.
    pub(super) fn array_len(&self, len: &Expr, element: &Type) -> Result<u32, Diagnostic> {
        let value = self
            .script
            .value_of(len, &mut |name| self.kernel_constant(name));
        let Some(value) = value else {
            let message = "the length of an array must be a constant";
            return Err(Diagnostic::error("bad-array-length", len.span, message)
                .label("not known before the script runs"));
        };
        let most = MAX_BYTES / u64::from(self.size_of(element).max(1));
        match u64::try_from(value) {
            Ok(value) if value <= most => Ok(value as u32),
            _ => {
                let message = format!("an array of {value} elements is not possible here");
                Err(Diagnostic::error("bad-array-length", len.span, message)
                    .label(format!("from 0 to {most}")))
            }
        }
    }

    fn or_report(&self, found: Result<Type, Diagnostic>) -> Type {
        found.unwrap_or_else(|problem| {
            self.report(problem);
            Type::Error
        })
    }
}

/// `char` itself: arrays of it are strings. `signed char` and `uint8_t` are numbers.
fn is_char(ty: &CType) -> bool {
    matches!(ty, CType::Named(name) if name.text == "char")
}
