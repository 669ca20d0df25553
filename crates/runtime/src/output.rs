//! Where messages go: standard output and standard error of the session, each any writer.

use crate::error::{Error, Result};
use fathom_bpf::object::{Source, SourceSpan};
use fathom_output::{Message, Position, Present, Stream};
use std::io::{self, Write};

/// Bytes gathered before they are written although more follow.
const WRITE_SIZE: usize = 64 << 10;

/// `-B`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Buffering {
    /// What came together is written together, at once.
    #[default]
    Line,
    /// Only written when much has gathered, and at the end.
    Full,
    /// Each message is written by itself.
    None,
}

/// Two writers and the form in which messages reach them.
pub struct Output<'a> {
    printer: Box<dyn Present + 'a>,
    buffering: Buffering,
    is_quiet: bool,
    out: Box<dyn Write + 'a>,
    err: Box<dyn Write + 'a>,
    gathered: Vec<u8>,
    scratch: Vec<u8>,
    /// Results wait for the word that all is attached.
    is_held: bool,
    /// The reader of `out` went away.
    is_closed: bool,
}

impl<'a> Output<'a> {
    /// Results go to `out`, what is said about them to `err`.
    pub fn new(
        printer: impl Present + 'a,
        out: impl Write + 'a,
        err: impl Write + 'a,
    ) -> Output<'a> {
        Output {
            printer: Box::new(printer),
            buffering: Buffering::default(),
            is_quiet: false,
            out: Box::new(out),
            err: Box::new(err),
            gathered: Vec::with_capacity(2 * WRITE_SIZE),
            scratch: Vec::new(),
            is_held: false,
            is_closed: false,
        }
    }

    /// When results are written.
    pub fn buffering(mut self, buffering: Buffering) -> Output<'a> {
        self.buffering = buffering;
        self
    }

    /// Leaves out what is not a result: how many probes are attached.
    pub fn quiet(mut self, is_quiet: bool) -> Output<'a> {
        self.is_quiet = is_quiet;
        self
    }

    /// Whether nobody reads the results any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Keeps results back until [`Output::attached`]: what `begin` prints comes behind that, as it does in bpftrace.
    pub(crate) fn hold(&mut self) {
        self.is_held = true;
    }

    /// Says how many probes are attached, then lets the results through that waited for it.
    pub(crate) fn attached(&mut self, count: usize) -> Result<()> {
        let held = std::mem::take(&mut self.gathered);
        self.is_held = false;
        if !self.is_quiet {
            self.tell(&Message::AttachedProbes(count))?;
        }
        self.gathered.extend_from_slice(&held);
        self.flush()
    }

    /// What was held, not written.
    pub(crate) fn take_held(&mut self) -> Vec<u8> {
        self.is_held = false;
        std::mem::take(&mut self.gathered)
    }

    /// Passes a message on.
    pub(crate) fn tell(&mut self, message: &Message<'_>) -> Result<()> {
        self.scratch.clear();
        match self.printer.write(message, &mut self.scratch) {
            Stream::Output => {
                self.gathered.extend_from_slice(&self.scratch);
                self.gathered()
            }
            Stream::Error => {
                let text = std::mem::take(&mut self.scratch);
                let result = self.complain(&text);
                self.scratch = text;
                result
            }
        }
    }

    /// A `printf`: in text form it is rendered in place, which matters at a million of them a second.
    pub(crate) fn printf(&mut self, render: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
        if self.printer.is_plain() {
            render(&mut self.gathered);
            return self.gathered();
        }
        let mut text = Vec::new();
        render(&mut text);
        self.tell(&Message::Printf(&text))
    }

    /// A line on the error stream.
    pub(crate) fn warn(&mut self, text: &str) -> Result<()> {
        self.complain(format!("WARNING: {text}\n").as_bytes())
    }

    /// Writes what was gathered, as far as the buffering wants it after a batch of events.
    pub(crate) fn end_of_batch(&mut self) -> Result<()> {
        match self.buffering {
            Buffering::Full => Ok(()),
            Buffering::Line | Buffering::None => self.flush(),
        }
    }

    /// Writes everything.
    pub(crate) fn flush(&mut self) -> Result<()> {
        if !self.gathered.is_empty() && !self.is_held {
            let written = self
                .out
                .write_all(&self.gathered)
                .and_then(|()| self.out.flush());
            self.gathered.clear();
            self.check(written)?;
        }
        Ok(())
    }

    fn gathered(&mut self) -> Result<()> {
        match self.buffering {
            Buffering::None => self.flush(),
            _ if self.gathered.len() >= WRITE_SIZE => self.flush(),
            _ => Ok(()),
        }
    }

    /// Keeps the order that the two streams have on a terminal.
    fn complain(&mut self, text: &[u8]) -> Result<()> {
        self.flush()?;
        // Nobody to complain to is no reason to stop.
        let _ = self.err.write_all(text).and_then(|()| self.err.flush());
        Ok(())
    }

    fn check(&mut self, written: io::Result<()>) -> Result<()> {
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.is_closed = true;
                Ok(())
            }
            other => other.map_err(Error::Output),
        }
    }
}

/// Line and columns of a span.
pub(crate) fn position(sources: &[Source], span: SourceSpan) -> Position<'_> {
    let source = sources.get(usize::from(span.source));
    let (name, text) = source.map_or(("", ""), |source| (&source.name, &source.text));
    let floor = |offset: u32| text.floor_char_boundary((offset as usize).min(text.len()));
    let start = floor(span.start);
    let end = floor(span.end).max(start);
    let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
    let line_end = text[start..]
        .find('\n')
        .map_or(text.len(), |length| start + length);
    Position {
        file: name,
        line: 1 + text[..line_start]
            .bytes()
            .filter(|byte| *byte == b'\n')
            .count(),
        column: 1 + start - line_start,
        end_column: 1 + end.min(line_end) - line_start,
        source_line: &text[line_start..line_end],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_of_any_span() {
        let script = Source {
            name: "x.bt".into(),
            text: "begin {\n  é(1)\n}".into(),
        };
        let sources = [Source::default(), script];
        let cases = [
            ((0, 5), (1, 1, 6, "begin {")),
            ((10, 15), (2, 3, 8, "  é(1)")),
            ((11, 12), (2, 3, 5, "  é(1)")),
            ((16, 99), (3, 1, 2, "}")),
            ((99, 0), (3, 2, 2, "}")),
            ((12, 17), (2, 5, 8, "  é(1)")),
        ];
        for ((start, end), (line, column, end_column, text)) in cases {
            let span = SourceSpan {
                source: 1,
                start,
                end,
            };
            let found = position(&sources, span);
            let shown = (
                found.line,
                found.column,
                found.end_column,
                found.source_line,
            );
            assert_eq!(shown, (line, column, end_column, text), "{start}..{end}");
        }
    }
}
