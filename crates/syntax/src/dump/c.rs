//! Printing of the C part.

use super::{Dump, Node};
use crate::ast::c::{CAttributes, CDefs, CEnum, CField, CRecord, CRecordKind, CType};

impl Dump {
    pub(super) fn c_defs(&self, c: &CDefs) -> Vec<Node> {
        let mut nodes = Vec::new();
        nodes.extend(c.includes.iter().map(|include| {
            let path = if include.system {
                format!("<{}>", include.path)
            } else {
                format!("\"{}\"", include.path)
            };
            self.list("include", Some(include.span), [Node::Atom(path)])
        }));
        nodes.extend(c.defines.iter().map(|define| {
            let params = define
                .params
                .iter()
                .map(|params| Node::atom(format!("({})", params.join(", "))));
            let value = match &define.value {
                Some(value) => self.expr(value),
                None => Node::atom(format!("{:?}", define.text)),
            };
            let head = std::iter::once(Node::atom(&define.name.text));
            self.list(
                "define",
                Some(define.span),
                head.chain(params).chain([value]),
            )
        }));
        nodes.extend(c.enums.iter().map(|item| self.c_enum(item)));
        nodes.extend(c.records.iter().map(|record| self.c_record(record)));
        nodes.extend(c.typedefs.iter().map(|item| {
            self.list(
                "typedef",
                Some(item.span),
                [Node::atom(&item.name.text), self.c_type(&item.ty)],
            )
        }));
        nodes
    }

    fn c_record(&self, record: &CRecord) -> Node {
        let name = record.name.as_ref().map_or("-", |name| name.text.as_str());
        let mut nodes = vec![Node::atom(name)];
        nodes.extend(self.attributes(&record.attributes));
        nodes.extend(record.fields.iter().map(|field| self.c_field(field)));
        self.list(kind_word(record.kind), Some(record.span), nodes)
    }

    fn c_field(&self, field: &CField) -> Node {
        let name = field.name.as_ref().map_or("-", |name| name.text.as_str());
        let mut nodes = vec![self.c_type(&field.ty)];
        nodes.extend(
            field
                .bit_width
                .iter()
                .map(|width| self.list("bits", None, [self.expr(width)])),
        );
        nodes.extend(self.attributes(&field.attributes));
        self.list(name, Some(field.span), nodes)
    }

    fn attributes(&self, attributes: &CAttributes) -> Vec<Node> {
        let mut nodes = Vec::new();
        if attributes.packed {
            nodes.push(Node::atom("packed"));
        }
        if attributes.aligned_max {
            nodes.push(Node::atom("aligned"));
        }
        nodes.extend(
            attributes
                .aligned
                .iter()
                .map(|aligned| self.list("aligned", None, [self.expr(aligned)])),
        );
        nodes
    }

    fn c_enum(&self, item: &CEnum) -> Node {
        let name = item.name.as_ref().map_or("-", |name| name.text.as_str());
        let constants = item.constants.iter().map(|constant| match &constant.value {
            Some(value) => Node::List(vec![Node::atom(&constant.name.text), self.expr(value)]),
            None => Node::atom(&constant.name.text),
        });
        self.list(
            "enum",
            Some(item.span),
            std::iter::once(Node::atom(name)).chain(constants),
        )
    }

    fn c_type(&self, ty: &CType) -> Node {
        match ty {
            CType::Void => Node::atom("void"),
            CType::Named(name) => Node::atom(&name.text),
            CType::Record(kind, name) => {
                self.list(kind_word(*kind), None, [Node::atom(&name.text)])
            }
            CType::Enum(name) => self.list("enum", None, [Node::atom(&name.text)]),
            CType::Inline(record) => self.c_record(record),
            CType::InlineEnum => Node::atom("enum"),
            CType::Pointer(to) => self.list("pointer", None, [self.c_type(to)]),
            CType::Array { of, len } => {
                let len = len.iter().map(|len| self.expr(len));
                self.list("array", None, std::iter::once(self.c_type(of)).chain(len))
            }
            CType::Function => Node::atom("function"),
            CType::Error => self.list("error", None, []),
        }
    }
}

fn kind_word(kind: CRecordKind) -> &'static str {
    match kind {
        CRecordKind::Struct => "struct",
        CRecordKind::Union => "union",
    }
}
