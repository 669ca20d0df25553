//! Laying out text in a width: groups that stand on one line if they fit, else break at their line ends.

/// A piece of layout.
#[derive(Debug, Clone)]
pub(super) enum Doc {
    /// Text without line ends.
    Text(String),
    /// Text as it is, line ends included; what follows is laid out as if on a new line.
    Verbatim(String),
    /// A comment at the end of a line; takes no room when fitting.
    Trailing(String),
    /// A blank, or a line end if the group breaks.
    Line,
    /// Nothing, or a line end if the group breaks.
    SoftLine,
    /// Always a line end; breaks the groups around it.
    HardLine,
    /// An empty line, if the line before is not empty; breaks the groups around it.
    BlankLine,
    /// One after the other.
    Concat(Vec<Doc>),
    /// Indented by one step after line ends.
    Indent(Box<Doc>),
    /// On one line if it fits.
    Group(Box<Doc>),
}

/// Columns of one step of indentation.
pub(super) const STEP: usize = 2;

impl Doc {
    pub(super) fn text(text: impl Into<String>) -> Doc {
        Doc::Text(text.into())
    }

    pub(super) fn group(docs: Vec<Doc>) -> Doc {
        Doc::Group(Box::new(Doc::Concat(docs)))
    }

    pub(super) fn indent(docs: Vec<Doc>) -> Doc {
        Doc::Indent(Box::new(Doc::Concat(docs)))
    }

    /// Whether it holds a line end that cannot be avoided.
    fn must_break(&self) -> bool {
        match self {
            Doc::HardLine | Doc::BlankLine | Doc::Trailing(_) => true,
            Doc::Verbatim(text) => text.contains('\n'),
            Doc::Concat(docs) => docs.iter().any(Doc::must_break),
            Doc::Indent(doc) | Doc::Group(doc) => doc.must_break(),
            _ => false,
        }
    }
}

/// Lays `doc` out in `width` columns.
pub(super) fn lay_out(doc: &Doc, width: usize) -> String {
    let mut writer = Writer {
        out: String::new(),
        column: 0,
        width,
    };
    // What is still to be written, the next at the end: indentation, whether broken, piece.
    let mut pending: Vec<(usize, bool, &Doc)> = vec![(0, true, doc)];
    while let Some((indent, broken, doc)) = pending.pop() {
        match doc {
            Doc::Text(text) | Doc::Trailing(text) => writer.text(text),
            Doc::Verbatim(text) => writer.verbatim(text),
            Doc::Line if !broken => writer.text(" "),
            Doc::SoftLine if !broken => {}
            Doc::Line | Doc::SoftLine | Doc::HardLine => writer.line_end(indent),
            Doc::BlankLine => writer.blank_line(indent),
            Doc::Concat(docs) => pending.extend(docs.iter().rev().map(|doc| (indent, broken, doc))),
            Doc::Indent(inner) => pending.push((indent + STEP, broken, inner)),
            Doc::Group(inner) => {
                let breaks = !writer.fits(inner, &pending);
                pending.push((indent, breaks, inner));
            }
        }
    }
    writer.out
}

struct Writer {
    out: String,
    column: usize,
    width: usize,
}

impl Writer {
    fn text(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        self.out.push_str(text);
        self.column += text.chars().count();
    }

    fn verbatim(&mut self, text: &str) {
        self.out.push_str(text);
        self.column = match text.rfind('\n') {
            Some(end) => text[end + 1..].chars().count(),
            None => self.column + text.chars().count(),
        };
    }

    fn line_end(&mut self, indent: usize) {
        self.out.truncate(self.out.trim_end_matches(' ').len());
        self.out.push('\n');
        self.out.push_str(&" ".repeat(indent));
        self.column = indent;
    }

    fn blank_line(&mut self, indent: usize) {
        let bare = self.out.trim_end_matches(' ');
        if !bare.is_empty() && !bare.ends_with("\n\n") && !bare.ends_with("{\n") {
            if !bare.ends_with('\n') {
                self.line_end(0);
            }
            self.line_end(indent);
        }
    }

    /// Whether `doc` and what follows up to the next possible line end fit on the rest of the line.
    fn fits(&self, doc: &Doc, pending: &[(usize, bool, &Doc)]) -> bool {
        if doc.must_break() {
            return false;
        }
        let mut room = self.width.saturating_sub(self.column);
        let mut stack: Vec<(bool, &Doc)> = vec![(false, doc)];
        let mut rest = pending.iter().rev();
        loop {
            let (broken, doc) = match stack.pop() {
                Some(next) => next,
                None => match rest.next() {
                    Some(&(_, broken, doc)) => (broken, doc),
                    None => return true,
                },
            };
            let used = match doc {
                Doc::Text(text) => text.chars().count(),
                Doc::Verbatim(text) => match text.split_once('\n') {
                    Some((first, _)) => return first.chars().count() <= room,
                    None => text.chars().count(),
                },
                Doc::Line | Doc::SoftLine if broken => return true,
                Doc::HardLine | Doc::BlankLine | Doc::Trailing(_) => return true,
                Doc::Line => 1,
                Doc::SoftLine => 0,
                Doc::Concat(docs) => {
                    stack.extend(docs.iter().rev().map(|doc| (broken, doc)));
                    0
                }
                Doc::Indent(inner) => {
                    stack.push((broken, inner));
                    0
                }
                Doc::Group(inner) => {
                    stack.push((inner.must_break(), inner));
                    0
                }
            };
            if used > room {
                return false;
            }
            room -= used;
        }
    }
}
