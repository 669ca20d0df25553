//! From instructions to lines of the script, as the kernel and its tools show them.

use super::types::Types;
use crate::object::{Program, Source, SourceSpan};

/// Longest line of source that goes into BTF, in bytes; the rest is cut.
const LINE_LIMIT: usize = 512;
/// Columns have 10 bits.
const MAX_COLUMN: u32 = 0x3ff;

/// Where the lines of the scripts begin.
pub(crate) struct LineTable<'a> {
    texts: Vec<Lines<'a>>,
}

struct Lines<'a> {
    source: &'a Source,
    starts: Vec<usize>,
}

/// A place for people: line and column count from 1.
pub(crate) struct Located<'a> {
    pub(crate) file: &'a str,
    pub(crate) line: u32,
    pub(crate) column: u32,
    /// The whole line.
    pub(crate) text: &'a str,
}

impl<'a> LineTable<'a> {
    pub(crate) fn new(sources: &'a [Source]) -> LineTable<'a> {
        let lines = |source: &'a Source| {
            let newlines = source.text.match_indices('\n').map(|(at, _)| at + 1);
            Lines {
                source,
                starts: std::iter::once(0).chain(newlines).collect(),
            }
        };
        LineTable {
            texts: sources.iter().map(lines).collect(),
        }
    }

    pub(crate) fn locate(&self, span: SourceSpan) -> Located<'a> {
        let Some(lines) = self.texts.get(usize::from(span.source)) else {
            return Located {
                file: "",
                line: 1,
                column: 1,
                text: "",
            };
        };
        let source = lines.source;
        let start = (span.start as usize).min(source.text.len());
        let line = lines.starts.partition_point(|begin| *begin <= start) - 1;
        let begin = lines.starts[line];
        Located {
            file: &source.name,
            line: line as u32 + 1,
            column: (start - begin) as u32 + 1,
            text: source.text[begin..].lines().next().unwrap_or_default(),
        }
    }

    /// `struct bpf_line_info` records. The kernel wants them in strictly rising order and one at the start of each
    /// function; records that break this are left out, missing ones are made from their predecessor.
    pub(crate) fn line_info(&mut self, types: &mut Types, program: &Program) -> Vec<[u32; 4]> {
        let mut records = Vec::new();
        for (insn, span) in complete_lines(program) {
            let place = self.locate(span);
            let file = types.string(place.file);
            let text = types.string(cut(place.text));
            let line_column = place.line << 10 | place.column.min(MAX_COLUMN);
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
