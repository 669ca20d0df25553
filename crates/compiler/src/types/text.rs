//! Types in the words of tracefs.

use fathom_syntax::Span;
use fathom_syntax::ast::c::CRecordKind;

use super::Types;
use crate::ty::{Space, Type};

/// Pointers to pointers in one type; more is no C that anybody wrote.
const MAX_POINTERS: usize = 8;

impl Types<'_> {
    /// A type as tracefs writes it: `const char *`, `struct sockaddr *`, `unsigned long`. What is not known is an integer, or for
    /// pointers opaque. BTF is opened for enums and structs by value only: what a pointer leads to is looked up when it is followed.
    pub fn c_text(&self, text: &str, space: Space) -> Type {
        let text = text.trim();
        if text.matches('*').count() > MAX_POINTERS {
            return Type::U64;
        }
        if let Some(target) = text.strip_suffix('*') {
            return Type::pointer(self.c_text_target(target), space);
        }
        match self.c_text_or_opaque(text) {
            Type::Opaque(_) => Type::U64,
            known => known,
        }
    }

    /// What a pointer leads to.
    fn c_text_target(&self, text: &str) -> Type {
        let words = words(text);
        if let Some(target) = text.trim().strip_suffix('*') {
            return Type::pointer(self.c_text_target(target), Space::Unknown);
        }
        match words[..] {
            ["struct", name] => Type::Struct(self.promise(CRecordKind::Struct, name)),
            ["union", name] => Type::Struct(self.promise(CRecordKind::Union, name)),
            _ => self.c_text_or_opaque(text),
        }
    }

    fn c_text_or_opaque(&self, text: &str) -> Type {
        let words = words(text);
        let found = match words[..] {
            ["struct", name] => self.struct_named(CRecordKind::Struct, name, Span::default()),
            ["union", name] => self.struct_named(CRecordKind::Union, name, Span::default()),
            ["enum", name] => self.enum_named(name, Span::default()),
            ["void"] => return Type::Opaque("void".into()),
            _ => {
                return self
                    .near_name(&base_name(&words))
                    .unwrap_or_else(|| Type::Opaque(words.join(" ").into()));
            }
        };
        found.unwrap_or_else(|_| Type::Opaque(words.join(" ").into()))
    }
}

/// The words of a type without qualifiers.
fn words(text: &str) -> Vec<&str> {
    let is_qualifier = |word: &&str| matches!(*word, "const" | "volatile" | "__user" | "restrict");
    text.split_ascii_whitespace()
        .filter(|word| !is_qualifier(word))
        .collect()
}

/// `long unsigned int` and `unsigned long` are one type.
fn base_name(words: &[&str]) -> String {
    if !words.contains(&"unsigned") && !words.contains(&"long") && !words.contains(&"short") {
        return words.join(" ");
    }
    let sign = if words.contains(&"unsigned") {
        "unsigned "
    } else {
        ""
    };
    let size = ["char", "short", "long"]
        .into_iter()
        .find(|size| words.contains(size))
        .unwrap_or("int");
    format!("{sign}{size}")
}
