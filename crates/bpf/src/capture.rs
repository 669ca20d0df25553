//! How a program copies whole values: the plan it follows, and the event it makes of them.
//!
//! User space tells by a *plan* which bytes of a value are pointers and what they lead to; a program copies breadth
//! first until nothing is left or a limit is reached. The event is a sparse picture of the process's memory:
//!
//! ```text
//! event   0  u32 action, u32 length     24 u64 goroutine, 0 for none
//!         8  u64 time (boot clock, ns)  32 u64 frame
//!         16 u32 process, u32 thread    40 u64 attach point
//!         48 u64 user instruction pointer
//!         56 char comm[16]
//!         72 the stack as in `Layout::UserStack`; id -1 for none
//!         88 chunks, each at a multiple of 8:
//! chunk   0  u64 address; 0 for a value that lies in registers
//!         8  u32 length and flags
//!         12 u32 which argument the chunk is, from 1; 0 for what pointers led to
//!         16 bytes
//! ```
//!
//! The plan's records have 32 bytes. A *node* describes a shape, its *links* the pointers in it:
//!
//! ```text
//! node    0 u32 size, 4 u32 first link, 8 u32 links
//! link    0 u32 offset of the pointer   16 u32 size of what it leads to, one of
//!         4 u32 kind                    20 u32 at most so many of those
//!         8 u32 offset of the length    24 s32 addend
//!         12 u32 node                   28 u32 depth it costs
//! ```

use crate::shape::{Length, PointerStyle, ShapeId, ShapeKind, Shapes};
use std::collections::HashMap;

/// Bytes before an event's first chunk.
pub const EVENT_HEADER: u32 = 88;
/// Where an event has its stack.
pub const EVENT_STACK: u32 = 72;
/// Bytes before a chunk's own.
pub const CHUNK_HEADER: u32 = 16;
/// Flag of a chunk: the page was not there, or the address is wrong.
pub const FAULT: u32 = 1 << 31;
/// Flag of a chunk: there was more.
pub const CUT: u32 = 1 << 30;
/// The other bits of a chunk's length.
pub const LENGTH_MASK: u32 = CUT - 1;

/// Bytes of a plan's record.
pub const RECORD_SIZE: u32 = 32;
/// In place of a node: what is there holds no pointers.
pub const NO_NODE: u32 = u32::MAX;
/// One value.
pub const KIND_FIXED: u32 = 0;
/// So many as a number says.
pub const KIND_COUNT: u32 = 1;
/// Up to another pointer.
pub const KIND_END: u32 = 2;
/// Up to a zero byte.
pub const KIND_TEXT: u32 = 3;

/// Elements of an array in place whose pointers are followed.
const MAX_IN_PLACE: u32 = 16;
/// Shapes in shapes that are looked at.
const MAX_NESTING: u32 = 12;
/// Links of one node.
const MAX_LINKS: usize = 256;
/// Bytes copied of a value whose type only the running program knows, and of what its words may lead to.
const UNKNOWN_SIZES: [u32; 3] = [64, 128, 64];
/// Words of it that may be pointers.
const UNKNOWN_WORDS: [u32; 2] = [6, 4];
/// Bytes of a type's description that tell which it is.
const DESCRIPTION: u32 = 32;
/// Records of a plan.
const MAX_RECORDS: usize = 4096;

/// How much of values is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one text.
    pub text: u32,
    /// Elements of one list.
    pub elements: u32,
    /// Bytes of one struct behind a pointer.
    pub structure: u32,
    /// Pointers followed one after the other; texts, lists and boxes do not count.
    pub depth: u32,
    /// Bytes of all values together.
    pub total: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            text: 1024,
            elements: 16,
            structure: 2048,
            depth: 2,
            total: 16 << 10,
        }
    }
}

/// The records of a plan, under construction.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    nodes: Vec<Node>,
    links: Vec<Link>,
    known: HashMap<ShapeId, u32>,
    /// The node of values of unknown types.
    unknown: Option<u32>,
}

/// What a link leads to.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Target {
    /// A value of that shape.
    Shape(ShapeId),
    /// A value of a type that only the running program knows.
    Unknown,
    /// Bytes without pointers.
    Plain,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Node {
    size: u32,
    first_link: u32,
    links: u32,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Link {
    pointer: u32,
    kind: u32,
    length: u32,
    node: u32,
    size: u32,
    limit: u32,
    addend: i32,
    cost: u32,
}

impl Plan {
    /// The node of a shape, with those of all shapes it leads to.
    pub fn node(&mut self, shapes: &Shapes, shape: ShapeId, limits: &Limits) -> u32 {
        let first = self.number(shape);
        let mut waiting = vec![shape];
        while let Some(shape) = waiting.pop() {
            let node = self.number(shape);
            if self.nodes[node as usize].size != 0 {
                continue;
            }
            let mut found = Vec::new();
            gather(shapes, shape, 0, limits, 0, &mut found);
            found.truncate(MAX_LINKS);
            if self.nodes.len() + self.links.len() + found.len() > MAX_RECORDS {
                found.clear();
            }
            let mut made = Vec::new();
            for (mut link, target) in found {
                match target {
                    Target::Shape(target) => {
                        link.node = self.number(target);
                        waiting.push(target);
                    }
                    Target::Unknown => link.node = self.unknown_node(),
                    Target::Plain => {}
                }
                made.push(link);
            }
            let first_link = self.links.len() as u32;
            self.links.extend(made);
            self.nodes[node as usize] = Node {
                size: shapes.get(shape).size.max(1),
                first_link,
                links: self.links.len() as u32 - first_link,
            };
        }
        first
    }

    /// Whether values of the node's shape hold pointers that are followed.
    pub fn has_links(&self, node: u32) -> bool {
        self.nodes
            .get(node as usize)
            .is_some_and(|node| node.links > 0)
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// As programs read it: nodes first, then links.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let links_start = self.nodes.len() as u32;
        let mut record = |words: [u32; 8]| {
            for word in words {
                bytes.extend_from_slice(&word.to_le_bytes());
            }
        };
        for node in &self.nodes {
            let first = links_start + node.first_link;
            record([node.size, first, node.links, 0, 0, 0, 0, 0]);
        }
        for link in &self.links {
            record([
                link.pointer,
                link.kind,
                link.length,
                link.node,
                link.size,
                link.limit,
                link.addend as u32,
                link.cost,
            ]);
        }
        bytes
    }

    /// Words that look like pointers are followed, those of what they lead to once more.
    fn unknown_node(&mut self) -> u32 {
        if let Some(known) = self.unknown {
            return known;
        }
        let inner = self.words_node(
            UNKNOWN_SIZES[1],
            UNKNOWN_WORDS[1],
            (NO_NODE, UNKNOWN_SIZES[2]),
        );
        let outer = self.words_node(
            UNKNOWN_SIZES[0],
            UNKNOWN_WORDS[0],
            (inner, UNKNOWN_SIZES[1]),
        );
        self.unknown = Some(outer);
        outer
    }

    fn words_node(&mut self, size: u32, words: u32, (node, bytes): (u32, u32)) -> u32 {
        let first_link = self.links.len() as u32;
        self.links.extend((0..words).map(|word| Link {
            pointer: word * 8,
            kind: KIND_FIXED,
            length: 0,
            node,
            size: bytes,
            limit: 1,
            addend: 0,
            cost: 0,
        }));
        self.nodes.push(Node {
            size,
            first_link,
            links: words,
        });
        self.nodes.len() as u32 - 1
    }

    fn number(&mut self, shape: ShapeId) -> u32 {
        let next = self.nodes.len() as u32;
        let number = *self.known.entry(shape).or_insert(next);
        if number == next {
            self.nodes.push(Node::default());
        }
        number
    }
}

/// The pointers in a value of the shape, whatever variant it is: a wrong one costs a vain look, and is not shown.
fn gather(
    shapes: &Shapes,
    shape: ShapeId,
    offset: u32,
    limits: &Limits,
    nesting: u32,
    found: &mut Vec<(Link, Target)>,
) {
    if nesting > MAX_NESTING || found.len() > MAX_LINKS {
        return;
    }
    let mut inner = |shape, at: u32| {
        gather(
            shapes,
            shape,
            offset.saturating_add(at),
            limits,
            nesting + 1,
            found,
        );
    };
    match &shapes.get(shape).kind {
        ShapeKind::Array { element, len } => {
            let size = shapes.get(*element).size;
            for index in 0..(*len).min(MAX_IN_PLACE) {
                inner(*element, index.saturating_mul(size));
            }
        }
        ShapeKind::Struct { fields, .. } => {
            for field in fields {
                inner(field.shape, field.offset);
            }
        }
        ShapeKind::Variants { variants, .. } => {
            for variant in variants {
                inner(variant.shape, 0);
            }
        }
        ShapeKind::Interface { .. } => {
            let word = |at: u32, size| Link {
                pointer: offset + at,
                size,
                ..NO_LINK
            };
            if offset.saturating_add(16) <= limits.structure {
                found.push((word(0, DESCRIPTION), Target::Plain));
                found.push((word(8, UNKNOWN_SIZES[0]), Target::Unknown));
            }
        }
        _ => {
            if let Some((mut link, target)) = own_link(shapes, shape, limits) {
                link.pointer += offset;
                link.length += offset;
                if link.pointer.saturating_add(8) <= limits.structure {
                    found.push((link, target));
                }
            }
        }
    }
}

/// A pointer to one byte, at the start.
const NO_LINK: Link = Link {
    pointer: 0,
    kind: KIND_FIXED,
    length: 0,
    node: NO_NODE,
    size: 1,
    limit: 1,
    addend: 0,
    cost: 0,
};

/// The link of a shape that is a pointer itself.
fn own_link(shapes: &Shapes, shape: ShapeId, limits: &Limits) -> Option<(Link, Target)> {
    let mut link = NO_LINK;
    match &shapes.get(shape).kind {
        ShapeKind::Pointer { to, style, addend } => {
            let target = (*to)?;
            let size = shapes.get(target).size;
            if size == 0 {
                return None;
            }
            link.size = size.min(limits.structure);
            link.addend = i32::try_from(*addend).ok()?;
            link.cost = u32::from(matches!(style, PointerStyle::Address | PointerStyle::Go));
            Some((link, Target::Shape(target)))
        }
        ShapeKind::Text(text) => {
            link.pointer = text.pointer;
            link.addend = text.addend as i32;
            link.limit = match text.length {
                Length::Terminated => terminated_room(limits.text),
                _ => limits.text,
            };
            (link.kind, link.length) = length(text.length);
            if let Length::Fixed(count) = text.length {
                link.limit = count.min(limits.text);
            }
            Some((link, Target::Plain))
        }
        ShapeKind::List(list) if list.stride > 0 => {
            link.pointer = list.pointer;
            link.addend = list.addend as i32;
            link.size = list.stride;
            link.limit = limits.elements;
            // Bytes are shown as text may be: more of them fit.
            if list.stride == 1 {
                link.limit = limits.text;
            }
            (link.kind, link.length) = length(list.length);
            if let Length::Fixed(count) = list.length {
                link.limit = count.min(link.limit);
            }
            Some((link, Target::Shape(list.element)))
        }
        _ => None,
    }
}

/// Bytes for text that ends with a zero byte: that byte, and one more than is shown, which tells whether there is more.
pub const fn terminated_room(text: u32) -> u32 {
    text.saturating_add(2)
}

fn length(length: Length) -> (u32, u32) {
    match length {
        Length::Terminated => (KIND_TEXT, 0),
        Length::Count(offset) => (KIND_COUNT, offset),
        Length::End(offset) => (KIND_END, offset),
        Length::Fixed(_) => (KIND_FIXED, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::{Shape, ShapeField, StructForm, Text};

    /// A list that holds itself has one node with one link to that node.
    #[test]
    fn a_shape_may_lead_to_itself() {
        let mut shapes = Shapes::default();
        let node = shapes.add(Shape {
            size: 16,
            kind: ShapeKind::None,
        });
        let pointer = shapes.add(Shape {
            size: 8,
            kind: ShapeKind::Pointer {
                to: Some(node),
                style: PointerStyle::Address,
                addend: 0,
            },
        });
        let text = shapes.add(Shape {
            size: 8,
            kind: ShapeKind::Text(Text {
                pointer: 0,
                addend: 0,
                length: Length::Terminated,
            }),
        });
        let field = |name: &str, offset, shape| ShapeField {
            name: name.to_owned(),
            offset,
            bits: None,
            shape,
        };
        let fields = vec![field("name", 0, text), field("next", 8, pointer)];
        shapes.set(
            node,
            Shape {
                size: 16,
                kind: ShapeKind::Struct {
                    name: "node".to_owned(),
                    fields,
                    form: StructForm::Struct,
                },
            },
        );
        let mut plan = Plan::default();
        let first = plan.node(&shapes, node, &Limits::default());
        assert!(plan.has_links(first));
        let words: Vec<u32> = plan
            .bytes()
            .chunks(4)
            .map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]))
            .collect();
        assert_eq!(words[..3], [16, 1, 2], "node: size, first link, links");
        assert_eq!(
            words[8..16],
            [0, KIND_TEXT, 0, NO_NODE, 1, 1026, 0, 0],
            "name"
        );
        assert_eq!(words[16..24], [8, KIND_FIXED, 8, 0, 16, 1, 0, 1], "next");
    }
}
