//! From instructions to lines of the script, as the kernel and its tools show them.

use super::types::Types;
use crate::object::{Program, Source, SourceSpan};

/// Longest line of source that goes into BTF, in bytes; the rest is cut.
const LINE_LIMIT: usize = 512;
/// Columns have 10 bits.
const MAX_COLUMN: u32 = 0x3ff;

/// Where the lines of a script begin.
pub(crate) struct LineTable<'a> {
    source: &'a Source,
    starts: Vec<usize>,
}

impl<'a> LineTable<'a> {
    pub(crate) fn new(source: &'a Source) -> LineTable<'a> {
        let newlines = source.text.match_indices('\n').map(|(at, _)| at + 1);
        LineTable {
            source,
            starts: std::iter::once(0).chain(newlines).collect(),
        }
    }

    /// Line and column, both from 1, and the line's text.
    pub(crate) fn locate(&self, span: SourceSpan) -> (u32, u32, &'a str) {
        let start = (span.start as usize).min(self.source.text.len());
        let line = self.starts.partition_point(|begin| *begin <= start) - 1;
        let begin = self.starts[line];
        let text = self.source.text[begin..].lines().next().unwrap_or_default();
        (line as u32 + 1, (start - begin) as u32 + 1, text)
    }

    /// `struct bpf_line_info` records. The kernel wants them in strictly rising order and one at the start of each
    /// function; records that break this are left out, missing ones are made from their predecessor.
    pub(crate) fn line_info(&mut self, types: &mut Types, program: &Program) -> Vec<[u32; 4]> {
        let file = types.string(&self.source.name);
        let mut records = Vec::new();
        for (insn, span) in complete_lines(program) {
            let (line, column, text) = self.locate(span);
            let text = types.string(cut(text));
            let line_column = line << 10 | column.min(MAX_COLUMN);
            records.push([insn, file, text, line_column]);
        }
        records
    }
}

/// Instructions with their spans, made fit for the kernel.
pub(crate) fn complete_lines(program: &Program) -> Vec<(u32, SourceSpan)> {
    if program.lines.is_empty() {
        return Vec::new();
    }
    let mut spans = std::collections::BTreeMap::new();
    for line in &program.lines {
        if (line.insn as usize) < program.insns.len() && !is_second_half(program, line.insn) {
            spans.entry(line.insn).or_insert(line.span);
        }
    }
    for function in &program.functions {
        let before = spans.range(..=function.first_insn).next_back();
        let span = before.map_or(program.lines[0].span, |(_, span)| *span);
        spans.entry(function.first_insn).or_insert(span);
    }
    spans.into_iter().collect()
}

/// Whether the slot is the second of a `ld_imm64`, the only one with opcode 0.
fn is_second_half(program: &Program, slot: u32) -> bool {
    program.insns[slot as usize].opcode == 0
}

fn cut(line: &str) -> &str {
    &line[..line.floor_char_boundary(LINE_LIMIT)]
}
