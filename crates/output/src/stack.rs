//! Stacks and symbols as text.

use crate::number::append;
use crate::resolve::{BuildIdFrame, Frame};
use fathom_bpf::layout::StackMode;

const INDENT: &str = "        ";

/// Appends a stack: a newline, then one indented line per frame.
pub fn write_frames(frames: &[Frame], mode: StackMode, out: &mut Vec<u8>) {
    out.push(b'\n');
    for frame in frames {
        out.extend_from_slice(INDENT.as_bytes());
        write_frame(frame, mode, out);
        out.push(b'\n');
    }
}

/// Appends one frame without its line's end.
pub fn write_frame(frame: &Frame, mode: StackMode, out: &mut Vec<u8>) {
    match mode {
        StackMode::Raw | StackMode::BuildId => {
            append(out, format_args!("{:x}", frame.address));
            return;
        }
        StackMode::Perf => append(out, format_args!("{:x} ", frame.address)),
        StackMode::Bpftrace => {}
    }
    write_name(frame, out);
    if mode == StackMode::Perf
        && let Some(module) = &frame.module
    {
        append(out, format_args!(" ({module})"));
    }
    if let Some(source) = &frame.source {
        append(out, format_args!("@{}:{}", source.file, source.line));
    }
}

fn write_name(frame: &Frame, out: &mut Vec<u8>) {
    match &frame.symbol {
        Some(symbol) if frame.is_inlined => append(out, format_args!("[inlined] {symbol}")),
        Some(symbol) => append(out, format_args!("{symbol}+{}", frame.offset)),
        None => append(out, format_args!("{:#x}", frame.address)),
    }
}

/// Appends a stack of build ids.
pub fn write_build_ids(frames: &[BuildIdFrame], out: &mut Vec<u8>) {
    out.push(b'\n');
    for frame in frames {
        out.extend_from_slice(INDENT.as_bytes());
        match frame {
            BuildIdFrame::File { build_id, offset } => {
                for byte in build_id {
                    append(out, format_args!("{byte:02x}"));
                }
                append(out, format_args!(" {offset:#x}"));
            }
            BuildIdFrame::Address(address) => append(out, format_args!("{address:#x}")),
        }
        out.push(b'\n');
    }
}

/// Appends a single symbolized address.
pub fn write_symbol(frame: &Frame, _is_user: bool, out: &mut Vec<u8>) {
    match &frame.symbol {
        None if frame.address == 0 => out.push(b'0'),
        Some(symbol) => out.extend_from_slice(symbol.as_bytes()),
        None => append(out, format_args!("{:#x}", frame.address)),
    }
}
