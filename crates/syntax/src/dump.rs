//! Tokens and tree as readable text, for `--emit tokens` and `--emit ast`, and for tests.
//!
//! The tree is printed as indented lists: `(binary + (int 1) (var x))`. A node that fits on a line stands on one.

mod c;
mod expression;

use crate::ast::{AttachPattern, ConfigValue, Item, MacroParamKind, Piece, Script};
use crate::parser::lex;
use crate::span::{LineIndex, Span};
use crate::token::TokenKind;

/// Longest line before a list is broken up.
const WIDTH: usize = 100;

/// Whether places are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spans {
    /// Print `@start..end` behind each node.
    Show,
    /// Leave them out, so that equal trees print alike.
    Hide,
}

/// The tokens of `source`, one a line: place, kind, text.
pub fn dump_tokens(source: &str) -> String {
    let lexed = lex(source);
    let index = LineIndex::new(source);
    let mut out = String::new();
    for token in &lexed.tokens {
        let place = index.position(source, token.span.start);
        let text = token.span.text(source);
        let value = match token.kind {
            TokenKind::Int(literal) if literal.value.to_string() != text => {
                format!(" = {}", literal.value)
            }
            _ => String::new(),
        };
        out.push_str(&format!(
            "{place}\t{}\t{}{value}\n",
            token.kind.label(),
            text.escape_debug()
        ));
    }
    out
}

/// The tree of `script`.
pub fn dump_ast(script: &Script, spans: Spans) -> String {
    let dump = Dump { spans };
    let mut nodes = Vec::new();
    if script.shebang.is_some() {
        nodes.push(Node::Atom("(shebang)".to_owned()));
    }
    nodes.extend(dump.c_defs(&script.c));
    nodes.extend(script.items.iter().map(|item| dump.item(item)));
    let mut out = String::new();
    for node in nodes {
        node.write(0, &mut out);
        out.push('\n');
    }
    out
}

/// Something to print: a word, or words in parentheses.
enum Node {
    Atom(String),
    List(Vec<Node>),
}

impl Node {
    fn atom(text: impl Into<String>) -> Node {
        Node::Atom(text.into())
    }

    /// How wide it is on one line, as far as that is at most `limit`.
    fn width(&self, limit: usize) -> Option<usize> {
        let width = match self {
            Node::Atom(text) => text.chars().count(),
            Node::List(nodes) => {
                let mut width = 1;
                for node in nodes {
                    width += 1 + node.width(limit.checked_sub(width)?)?;
                }
                width.max(2)
            }
        };
        (width <= limit).then_some(width)
    }

    fn write(&self, indent: usize, out: &mut String) {
        match self {
            Node::Atom(text) => out.push_str(text),
            Node::List(nodes) => {
                let fits = self.width(WIDTH.saturating_sub(indent)).is_some();
                out.push('(');
                for (position, node) in nodes.iter().enumerate() {
                    let inner = indent + 2;
                    if position > 0 && (fits || matches!((position, node), (1, Node::Atom(_)))) {
                        out.push(' ');
                    } else if position > 0 {
                        out.push('\n');
                        out.push_str(&" ".repeat(inner));
                    }
                    node.write(inner, out);
                }
                out.push(')');
            }
        }
    }
}

struct Dump {
    spans: Spans,
}

impl Dump {
    fn list(&self, head: &str, span: Option<Span>, nodes: impl IntoIterator<Item = Node>) -> Node {
        let mut head = head.to_owned();
        if let (Spans::Show, Some(span)) = (self.spans, span) {
            head.push_str(&format!("@{span:?}"));
        }
        let mut list = vec![Node::Atom(head)];
        list.extend(nodes);
        Node::List(list)
    }

    fn item(&self, item: &Item) -> Node {
        let span = Some(item.span());
        match item {
            Item::Config(config) => {
                let entries = config.entries.iter().map(|entry| {
                    let value = match &entry.value {
                        ConfigValue::Int(value) => value.to_string(),
                        ConfigValue::Str(text) => quote(&text.bytes),
                        ConfigValue::Bool(value) => value.to_string(),
                        ConfigValue::Word(word) => word.clone(),
                        ConfigValue::Error => "(error)".to_owned(),
                    };
                    self.list(&entry.key.text, Some(entry.key.span), [Node::Atom(value)])
                });
                self.list("config", span, entries)
            }
            Item::Import(import) => {
                self.list("import", span, [Node::Atom(quote(&import.path.bytes))])
            }
            Item::MapDecl(decl) => {
                let head = [
                    Node::atom(format!("@{}", decl.map.text)),
                    Node::atom(&decl.kind.text),
                ];
                self.list(
                    "map",
                    span,
                    head.into_iter()
                        .chain(decl.args.iter().map(|arg| self.expr(arg))),
                )
            }
            Item::Macro(item) => {
                let params = item.params.iter().map(|param| {
                    let sigil = match param.kind {
                        MacroParamKind::Variable => "$",
                        MacroParamKind::Map => "@",
                        MacroParamKind::Expr => "",
                    };
                    Node::atom(format!("{sigil}{}", param.name.text))
                });
                let params = Node::List(params.collect());
                self.list(
                    "macro",
                    span,
                    [Node::atom(&item.name.text), params, self.block(&item.body)],
                )
            }
            Item::Function(item) => {
                let params = item.params.iter().map(|param| {
                    Node::List(vec![
                        Node::atom(format!("${}", param.name.text)),
                        self.ty(&param.ty),
                    ])
                });
                let mut nodes = vec![Node::atom(&item.name.text), Node::List(params.collect())];
                nodes.extend(item.result.iter().map(|ty| self.ty(ty)));
                nodes.push(self.block(&item.body));
                self.list("fn", span, nodes)
            }
            Item::Probe(probe) => {
                let mut nodes = Vec::new();
                nodes.extend(
                    probe
                        .name
                        .iter()
                        .map(|name| self.list("name", None, [Node::atom(&name.text)])),
                );
                nodes.extend(probe.patterns.iter().map(|pattern| self.pattern(pattern)));
                nodes.extend(
                    probe
                        .predicate
                        .iter()
                        .map(|expr| self.list("if", None, [self.expr(expr)])),
                );
                nodes.push(self.block(&probe.body));
                self.list("probe", span, nodes)
            }
            Item::Error(_) => self.list("error", span, []),
        }
    }

    fn pattern(&self, pattern: &AttachPattern) -> Node {
        let parts = pattern.parts.iter().map(|part| {
            let pieces = part.pieces.iter().map(|piece| match piece {
                Piece::Plain(text) => text.clone(),
                Piece::Quoted(text) => quote(text.as_bytes()),
                Piece::Param(number) => format!("${number}"),
                Piece::ParamCount => "$#".to_owned(),
            });
            let text: String = pieces.collect();
            Node::Atom(if text.is_empty() {
                "-".to_owned()
            } else {
                text
            })
        });
        let provider = Node::atom(&pattern.provider.text);
        self.list(
            "attach",
            Some(pattern.span),
            std::iter::once(provider).chain(parts),
        )
    }
}

/// Bytes as a string literal.
fn quote(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        out.push_str(&chunk.valid().escape_debug().to_string());
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out.push('"');
    out
}
