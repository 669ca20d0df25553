//! A layout in one line.

use crate::layout::{Field, Layout};

/// Layouts nested deeper than this are shown as `…`.
const MAX_DEPTH: u32 = 16;

/// The layout in words close to the script's own.
pub fn layout(layout: &Layout) -> String {
    nested(layout, 0)
}

fn nested(layout: &Layout, depth: u32) -> String {
    if depth > MAX_DEPTH {
        return "…".into();
    }
    match layout {
        Layout::None => "none".into(),
        Layout::Bool => "bool".into(),
        Layout::Int { size, signed } => int(*size, *signed),
        Layout::Enum { size, signed, .. } => format!("enum {}", int(*size, *signed)),
        Layout::Pointer => "pointer".into(),
        Layout::String { size } => format!("string[{size}]"),
        Layout::Buffer { size } => format!("buffer[{size}]"),
        Layout::StringRef => "string".into(),
        Layout::Array { element, len } => format!("{}[{len}]", nested(element, depth + 1)),
        Layout::Tuple { fields, .. } => format!("({})", list(fields, depth)),
        Layout::Record { name, fields, .. } if name.is_empty() => {
            format!("{{{}}}", list(fields, depth))
        }
        Layout::Record { name, fields, .. } => format!("{name} {{{}}}", list(fields, depth)),
        Layout::KernelStack { mode, limit } => format!("kernel_stack({mode:?}, {limit})"),
        Layout::UserStack { mode, limit } => format!("user_stack({mode:?}, {limit})"),
        Layout::KernelSymbol => "kernel_symbol".into(),
        Layout::UserSymbol => "user_symbol".into(),
        Layout::Username { .. } => "username".into(),
        Layout::Inet => "inet".into(),
        Layout::MacAddress => "mac_address".into(),
        Layout::Timestamp { mode, format } => format!("timestamp({mode:?}, {format:?})"),
        Layout::CgroupPath { filter } => format!("cgroup_path({filter:?})"),
        Layout::ErrorName { .. } => "error_name".into(),
        Layout::SignalName { .. } => "signal_name".into(),
        Layout::SyscallName { .. } => "syscall_name".into(),
        Layout::Probe => "probe".into(),
        Layout::Count => "count".into(),
        Layout::Sum { signed } => format!("sum {}", int(8, *signed)),
        Layout::Min { signed } => format!("min {}", int(8, *signed)),
        Layout::Max { signed } => format!("max {}", int(8, *signed)),
        Layout::Avg { signed } => format!("avg {}", int(8, *signed)),
        Layout::Stats { signed } => format!("stats {}", int(8, *signed)),
        Layout::Hist { bits } => format!("hist({bits})"),
        Layout::Lhist { min, max, step } => format!("lhist({min}, {max}, {step})"),
        Layout::TimeSeries {
            interval_ns,
            buckets,
            aggregation,
            signed,
        } => format!(
            "tseries({interval_ns}ns, {buckets}, {aggregation:?}, {})",
            int(8, *signed)
        ),
    }
}

fn int(size: u32, signed: bool) -> String {
    let letter = if signed { 's' } else { 'u' };
    format!("{letter}{}", u64::from(size) * 8)
}

/// Fields with their offsets only where there is a gap before them.
fn list(fields: &[Field], depth: u32) -> String {
    let mut expected = 0;
    let mut parts = Vec::with_capacity(fields.len());
    for field in fields {
        let mut part = String::new();
        if !field.name.is_empty() {
            part = format!("{}: ", field.name);
        }
        part += &nested(&field.layout, depth + 1);
        if field.offset != expected {
            part += &format!(" @{}", field.offset);
        }
        if let Some((bit, width)) = field.bits {
            part += &format!(" bits {bit}+{width}");
        }
        expected = field.offset.saturating_add(field.layout.size());
        parts.push(part);
    }
    parts.join(", ")
}
