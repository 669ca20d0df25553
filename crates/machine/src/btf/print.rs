//! Types written as C: `struct task_struct *`, or a whole definition for `list -v`.

use super::{Btf, FuncProto, MAX_TYPE_DEPTH, Type, TypeId};
use std::fmt::Write;

/// Bytes written at most for one type; a malformed file could ask for exponentially many.
const MAX_PRINTED: usize = 1 << 20;

/// Anonymous types nested deeper than this are written as `{ ... }`.
const MAX_NESTING: usize = 24;

impl Btf {
    /// A type as C names it where it is used: `unsigned int`, `struct file *`, `char[16]`.
    pub fn c_name(&self, id: TypeId) -> String {
        self.c_declaration(id, "")
    }

    /// A declaration of something of that type: `char comm[16]`, `int (*open)(struct inode *, struct file *)`.
    pub fn c_declaration(&self, id: TypeId, name: &str) -> String {
        Printer {
            btf: self,
            written: 0,
            expand: false,
        }
        .declare(id, name.to_string(), Place::default())
    }

    /// A definition with all members, as in a header; anonymous members are written in place.
    pub fn c_definition(&self, id: TypeId) -> String {
        let mut printer = Printer {
            btf: self,
            written: 0,
            expand: true,
        };
        let body = match self.type_by_id(id) {
            Ok(Type::Struct(_) | Type::Union(_) | Type::Enum(_)) => {
                printer.body(id, Place::default())
            }
            Ok(Type::Typedef { name, target }) => {
                format!(
                    "typedef {}",
                    printer.declare(target, name.to_string(), Place::default())
                )
            }
            Ok(Type::Func { name, proto, .. }) => {
                printer.declare(proto, name.to_string(), Place::default())
            }
            _ => self.c_name(id),
        };
        format!("{body};")
    }
}

/// How deep in types, and how deep in braces, the printer is.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    depth: usize,
    braces: usize,
}

impl Place {
    fn deeper(self) -> Place {
        Place {
            depth: self.depth + 1,
            ..self
        }
    }
}

struct Printer<'a> {
    btf: &'a Btf,
    written: usize,
    /// Whether anonymous structs are written out.
    expand: bool,
}

impl Printer<'_> {
    /// Builds a declarator from the inside out, as C reads it.
    fn declare(&mut self, id: TypeId, inner: String, place: Place) -> String {
        self.written += inner.len() + 1;
        if place.depth > MAX_TYPE_DEPTH || self.written > MAX_PRINTED {
            return format!("/* too deep */ {inner}");
        }
        let Ok(found) = self.btf.type_by_id(id) else {
            return format!("/* bad type {id} */ {inner}");
        };
        let next = place.deeper();
        match found {
            Type::Ptr(target) => {
                let needs_parentheses = matches!(
                    self.btf
                        .strip_qualifiers(target)
                        .map(|t| self.btf.type_by_id(t)),
                    Ok(Ok(Type::Array(_) | Type::FuncProto(_)))
                );
                let inner = if needs_parentheses {
                    format!("(*{inner})")
                } else {
                    format!("*{inner}")
                };
                self.declare(target, inner, next)
            }
            Type::Array(array) => {
                let len = if array.len == 0 {
                    String::new()
                } else {
                    array.len.to_string()
                };
                self.declare(array.element, format!("{inner}[{len}]"), next)
            }
            Type::FuncProto(proto) => {
                let params = self.params(proto, next);
                self.declare(proto.return_type, format!("{inner}({params})"), next)
            }
            Type::Const(target) => self.qualify("const", target, inner, next),
            Type::Volatile(target) => self.qualify("volatile", target, inner, next),
            Type::Restrict(target) => self.qualify("restrict", target, inner, next),
            Type::TypeTag { target, .. } => self.declare(target, inner, next),
            Type::DeclTag(tag) => self.declare(tag.target, inner, next),
            Type::Var(variable) => self.declare(variable.type_id, variable.name.to_string(), next),
            Type::Func { name, proto, .. } => self.declare(proto, name.to_string(), next),
            _ => join(&self.specifier(id, &found, place), &inner),
        }
    }

    /// A qualifier stands behind the `*` of a pointer, and before everything else.
    fn qualify(&mut self, word: &str, target: TypeId, inner: String, place: Place) -> String {
        if matches!(self.btf.type_by_id(target), Ok(Type::Ptr(_))) {
            self.declare(target, join(&format!(" {word}"), &inner), place)
        } else {
            format!("{word} {}", self.declare(target, inner, place))
        }
    }

    fn params(&mut self, proto: FuncProto<'_>, place: Place) -> String {
        let variadic = proto.is_variadic();
        let count = proto.params().len();
        let mut parts = Vec::new();
        for (i, param) in proto.params().enumerate() {
            if self.written > MAX_PRINTED {
                break;
            }
            let is_rest = variadic && i + 1 == count;
            parts.push(if is_rest {
                "...".to_string()
            } else {
                self.declare(param.type_id, param.name.to_string(), place)
            });
        }
        if parts.is_empty() {
            "void".to_string()
        } else {
            parts.join(", ")
        }
    }

    fn specifier(&mut self, id: TypeId, found: &Type<'_>, place: Place) -> String {
        let (word, name) = match found {
            Type::Void => return "void".to_string(),
            Type::Int(int) => return int.name.to_string(),
            Type::Float { name, .. } | Type::Typedef { name, .. } | Type::DataSec { name, .. } => {
                return name.to_string();
            }
            Type::Struct(composite) => ("struct", composite.name),
            Type::Union(composite) => ("union", composite.name),
            Type::Enum(enumeration) => ("enum", enumeration.name),
            Type::Fwd { name, is_union } => (if *is_union { "union" } else { "struct" }, *name),
            _ => unreachable!("print: declarators are handled before specifiers"),
        };
        match name {
            "" if self.expand && place.braces < MAX_NESTING => self.body(id, place.deeper()),
            "" => format!("{word} {{ ... }}"),
            name => format!("{word} {name}"),
        }
    }

    /// `struct x { … }` with one member per line.
    fn body(&mut self, id: TypeId, place: Place) -> String {
        let indent = "\t".repeat(place.braces + 1);
        let inside = Place {
            depth: place.depth + 1,
            braces: place.braces + 1,
        };
        let mut text = String::new();
        match self.btf.type_by_id(id) {
            Ok(found @ (Type::Struct(composite) | Type::Union(composite))) => {
                let word = if matches!(found, Type::Struct(_)) {
                    "struct"
                } else {
                    "union"
                };
                text.push_str(&join(word, composite.name));
                text.push_str(" {\n");
                for member in composite.members() {
                    if self.written > MAX_PRINTED {
                        let _ = writeln!(text, "{indent}/* ... */");
                        break;
                    }
                    let declaration = self.declare(member.type_id, member.name.to_string(), inside);
                    let bits = member
                        .bitfield_bits
                        .map_or_else(String::new, |bits| format!(": {bits}"));
                    let _ = writeln!(text, "{indent}{declaration}{bits};");
                }
            }
            Ok(Type::Enum(enumeration)) => {
                text.push_str(&join("enum", enumeration.name));
                text.push_str(" {\n");
                for (name, value) in enumeration.values() {
                    self.written += name.len() + 24;
                    let value = if enumeration.signed {
                        value.to_string()
                    } else {
                        (value as u64).to_string()
                    };
                    let _ = writeln!(text, "{indent}{name} = {value},");
                }
            }
            _ => return format!("/* bad type {id} */"),
        }
        text.push_str(&"\t".repeat(place.braces));
        text.push('}');
        self.written += text.len();
        text
    }
}

/// Puts one space between, except before `[` and `(` of a nameless declarator.
fn join(left: &str, right: &str) -> String {
    match right.chars().next() {
        None => left.to_string(),
        Some('[') => format!("{left}{right}"),
        Some(_) => format!("{left} {right}"),
    }
}
