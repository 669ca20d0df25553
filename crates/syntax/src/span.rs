//! Places in source text: byte ranges, and the lines and columns people read.

use std::fmt;

/// Which text a span points into: 0 is the script itself, others are imported files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SourceId(pub u16);

/// A half-open range of bytes, `start..end`, in one source.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span {
    /// The text it points into.
    pub source: SourceId,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// A span over `start..end` of `source`.
    pub fn new(source: SourceId, start: u32, end: u32) -> Span {
        Span {
            source,
            start,
            end: end.max(start),
        }
    }

    /// The smallest span that covers both; both must be of the same source, else `self` is the answer.
    pub fn to(self, other: Span) -> Span {
        if self.source != other.source {
            return self;
        }
        Span {
            source: self.source,
            start: self.start.min(other.start),
            end: self.end.max(other.end),
        }
    }

    /// The empty span right after this one: where something missing should have stood.
    pub fn after(self) -> Span {
        Span {
            start: self.end,
            ..self
        }
    }

    /// The empty span at the start of this one.
    pub fn before(self) -> Span {
        Span {
            end: self.start,
            ..self
        }
    }

    /// How many bytes it covers.
    pub fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether it covers no byte.
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// The text under the span, empty if the span does not fit `source`.
    pub fn text(self, source: &str) -> &str {
        source
            .get(self.start as usize..self.end as usize)
            .unwrap_or("")
    }

    /// As a range for slicing.
    pub fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.source.0 != 0 {
            write!(f, "{}:", self.source.0)?;
        }
        write!(f, "{}..{}", self.start, self.end)
    }
}

/// A line and column, both counted from 1; the column counts characters, not bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Where each line of a text starts, for turning byte offsets into lines and columns.
#[derive(Debug, Clone)]
pub struct LineIndex {
    starts: Vec<u32>,
}

impl LineIndex {
    /// Reads `source` once.
    pub fn new(source: &str) -> LineIndex {
        let mut starts = vec![0];
        for (offset, byte) in source.bytes().enumerate() {
            if byte == b'\n' {
                starts.push(offset as u32 + 1);
            }
        }
        LineIndex { starts }
    }

    /// The 1-based line that holds the byte at `offset`.
    pub fn line(&self, offset: u32) -> u32 {
        self.starts.partition_point(|&start| start <= offset) as u32
    }

    /// Line and column of the byte at `offset` of `source`, the text this index was made from.
    pub fn position(&self, source: &str, offset: u32) -> Position {
        let line = self.line(offset);
        let start = self.starts[line as usize - 1] as usize;
        let end = (offset as usize).min(source.len()).max(start);
        let before = source.as_bytes().get(start..end).unwrap_or(&[]);
        let column = before.iter().filter(|&&byte| byte & 0xC0 != 0x80).count() as u32 + 1;
        Position { line, column }
    }

    /// The byte range of the 1-based `line` in `source`, without its newline.
    pub fn line_range(&self, source: &str, line: u32) -> std::ops::Range<usize> {
        let index = (line.max(1) as usize - 1).min(self.starts.len() - 1);
        let start = self.starts[index] as usize;
        let end = self
            .starts
            .get(index + 1)
            .map_or(source.len(), |&next| next as usize - 1);
        start..end.max(start)
    }

    /// How many lines the text has; an empty text has one.
    pub fn line_count(&self) -> u32 {
        self.starts.len() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters() {
        let source = "a\nåb\n\nend";
        let index = LineIndex::new(source);
        let at = |offset| index.position(source, offset).to_string();
        assert_eq!(
            [at(0), at(1), at(2), at(4), at(6), at(9), at(99)],
            ["1:1", "1:2", "2:1", "2:2", "3:1", "4:3", "4:4"]
        );
        assert_eq!(&source[index.line_range(source, 2)], "åb");
        assert_eq!(&source[index.line_range(source, 4)], "end");
    }
}
