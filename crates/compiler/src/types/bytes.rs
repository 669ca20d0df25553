//! From a type to bytes: sizes, alignments, and the [`Layout`] by which programs write and `output` decodes.

use std::sync::Arc;

use fathom_bpf::layout::{Field, Layout};

use super::{MAX_DEPTH, MAX_MEMBERS, Types};
use crate::ty::{Member, StructRef, Type};

/// `sizeof` of types that C has and the language does not.
const FLOATS: [(&str, u32); 3] = [("float", 4), ("double", 8), ("long double", 16)];

impl Types<'_> {
    /// `sizeof`: bytes as they lie in traced memory.
    pub fn size_of(&self, ty: &Type) -> u32 {
        match ty {
            Type::Struct(of) => self.laid(*of).def.size,
            Type::Array { element, len } => self.size_of(element).saturating_mul(*len),
            Type::String { size } | Type::Buffer { size } => *size,
            Type::Opaque(name) => FLOATS
                .iter()
                .find(|(float, _)| **float == **name)
                .map_or(0, |(_, size)| *size),
            other => self.layout(other).size(),
        }
    }

    /// Alignment in traced memory, as C has it.
    pub fn align_of(&self, ty: &Type) -> u32 {
        self.align_within(ty, 0)
    }

    /// BTF and DWARF do not say what is packed: a member counts as far as its place does not speak against it.
    fn align_within(&self, ty: &Type, depth: usize) -> u32 {
        match ty {
            Type::Struct(of) if depth < MAX_DEPTH => {
                let laid = self.laid(*of);
                let of_member = |member: &Member| {
                    let align = if member.bits.is_some() {
                        1
                    } else {
                        self.align_within(&member.ty, depth + 1)
                    };
                    if member.offset.is_multiple_of(align) {
                        align
                    } else {
                        1
                    }
                };
                let align = laid
                    .align
                    .or_else(|| laid.def.members.iter().map(of_member).max())
                    .unwrap_or(1);
                if laid.def.size.is_multiple_of(align) {
                    align
                } else {
                    1
                }
            }
            Type::Struct(_) => 1,
            Type::Array { element, .. } => self.align_within(element, depth),
            Type::Opaque(_) => self.size_of(ty).max(1),
            other => self.layout(other).align(),
        }
    }

    /// How a value of the type lies in keys, values and events.
    pub fn layout(&self, ty: &Type) -> Layout {
        let mut budget = MAX_MEMBERS;
        self.layout_within(ty, 0, &mut budget)
    }

    fn layout_within(&self, ty: &Type, depth: usize, budget: &mut usize) -> Layout {
        *budget = budget.saturating_sub(1);
        match ty {
            Type::Array { element, len } => Layout::Array {
                element: Box::new(self.layout_within(element, depth + 1, budget)),
                len: *len,
            },
            Type::Tuple(elements) => {
                let elements = elements.iter().map(|element| ("", element));
                let (size, fields) = self.in_order(elements, depth, budget);
                Layout::Tuple { size, fields }
            }
            Type::Record(named) => {
                let (size, fields) = self.in_order(
                    named.iter().map(|(name, ty)| (name.as_str(), ty)),
                    depth,
                    budget,
                );
                Layout::Record {
                    name: String::new(),
                    size,
                    fields,
                }
            }
            Type::Struct(of) => self.struct_layout(*of, depth, budget),
            other => simple_layout(other),
        }
    }

    /// Fields one after the other, each at its natural alignment; the whole is a multiple of the largest.
    fn in_order<'a>(
        &self,
        fields: impl Iterator<Item = (&'a str, &'a Type)>,
        depth: usize,
        budget: &mut usize,
    ) -> (u32, Arc<Vec<Field>>) {
        let (mut end, mut align) = (0u32, 1);
        let mut placed = Vec::new();
        for (name, ty) in fields {
            let layout = self.layout_within(ty, depth + 1, budget);
            let offset = end.next_multiple_of(layout.align());
            align = align.max(layout.align());
            end = offset.saturating_add(layout.size()).min(u32::MAX / 2);
            placed.push(Field {
                name: name.to_string(),
                offset,
                bits: None,
                layout,
            });
        }
        (end.next_multiple_of(align), Arc::new(placed))
    }

    /// A struct copied whole: its members where C has them. A malformed file may nest without end; then the rest is left out.
    fn struct_layout(&self, of: StructRef, depth: usize, budget: &mut usize) -> Layout {
        let laid = self.laid(of);
        let mut fields = Vec::new();
        for member in &laid.def.members {
            if *budget == 0 || depth > MAX_DEPTH {
                break;
            }
            let mut layout = self.layout_within(&member.ty, depth + 1, budget);
            if let Some((low, width)) = member.bits {
                layout = with_size(layout, (low + width).next_power_of_two().clamp(8, 64) / 8);
            }
            fields.push(Field {
                name: member.name.clone(),
                offset: member.offset,
                bits: member.bits,
                layout,
            });
        }
        Layout::Record {
            name: laid.def.name.clone(),
            size: laid.def.size,
            fields: Arc::new(fields),
        }
    }

    /// A type as C or the language writes it: `struct task_struct *`, `uint64`.
    pub fn display(&self, ty: &Type) -> String {
        match ty {
            Type::Struct(of) => self.name(*of),
            Type::Pointer { to, .. } => match self.display(to) {
                inner if inner.ends_with('*') => format!("{inner}*"),
                inner => format!("{inner} *"),
            },
            Type::Array { element, len } => format!("{}[{len}]", self.display(element)),
            Type::Tuple(elements) => {
                let elements: Vec<String> = elements
                    .iter()
                    .map(|element| self.display(element))
                    .collect();
                format!("({})", elements.join(","))
            }
            Type::Record(fields) => {
                let fields: Vec<String> = fields
                    .iter()
                    .map(|(name, ty)| format!("{name}={}", self.display(ty)))
                    .collect();
                format!("({})", fields.join(","))
            }
            other => other.to_string(),
        }
    }
}

/// The integer that a bitfield is read from.
fn with_size(layout: Layout, size: u32) -> Layout {
    match layout {
        Layout::Int { signed, .. } => Layout::Int { size, signed },
        Layout::Enum { signed, names, .. } => Layout::Enum {
            size,
            signed,
            names,
        },
        other => other,
    }
}

/// Types that need no table.
fn simple_layout(ty: &Type) -> Layout {
    match ty {
        Type::Bool => Layout::Bool,
        Type::Int { size, signed } => Layout::Int {
            size: *size,
            signed: *signed,
        },
        Type::Enum(of) => Layout::Enum {
            size: of.size,
            signed: of.signed,
            names: of.names.clone(),
        },
        Type::String { size } => Layout::String { size: *size },
        Type::Buffer { size } => Layout::Buffer { size: *size },
        Type::Inet => Layout::Inet,
        Type::Mac => Layout::MacAddress,
        Type::Username => Layout::Username { size: 8 },
        Type::Timestamp { mode, format } => Layout::Timestamp {
            mode: *mode,
            format: format.to_string(),
        },
        Type::CgroupPath { filter } => Layout::CgroupPath {
            filter: filter.to_string(),
        },
        Type::KernelStack { mode, limit } => Layout::KernelStack {
            mode: *mode,
            limit: *limit,
        },
        Type::UserStack { mode, limit } => Layout::UserStack {
            mode: *mode,
            limit: *limit,
        },
        Type::KernelSymbol => Layout::KernelSymbol,
        Type::UserSymbol => Layout::UserSymbol,
        Type::ErrorName => Layout::ErrorName { size: 8 },
        Type::SignalName => Layout::SignalName { size: 8 },
        Type::SyscallName => Layout::SyscallName { size: 8 },
        Type::Probe => Layout::Probe,
        Type::Pointer { .. } => Layout::Pointer,
        Type::Count => Layout::Count,
        Type::Sum { signed } => Layout::Sum { signed: *signed },
        Type::Min { signed } => Layout::Min { signed: *signed },
        Type::Max { signed } => Layout::Max { signed: *signed },
        Type::Avg { signed } => Layout::Avg { signed: *signed },
        Type::Stats { signed } => Layout::Stats { signed: *signed },
        Type::Hist { bits } => Layout::Hist { bits: *bits },
        Type::Lhist { min, max, step } => Layout::Lhist {
            min: *min,
            max: *max,
            step: *step,
        },
        Type::TimeSeries {
            interval_ns,
            buckets,
            aggregation,
            signed,
        } => Layout::TimeSeries {
            interval_ns: *interval_ns,
            buckets: *buckets,
            aggregation: *aggregation,
            signed: *signed,
        },
        Type::Unknown | Type::Error | Type::None | Type::TimestampMode(_) | Type::Opaque(_) => {
            Layout::None
        }
        Type::Array { .. } | Type::Tuple(_) | Type::Record(_) | Type::Struct(_) => {
            unreachable!("layout: {ty} is composite")
        }
    }
}
