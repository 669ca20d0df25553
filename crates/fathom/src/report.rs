//! Diagnostics as text, with the lines of the script they are about.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use fathom_syntax::{Diagnostic, Severity};

use crate::Source;

/// One diagnostic as several lines of text; coloured for a terminal.
pub fn render(source: &Source, diagnostic: &Diagnostic, is_coloured: bool) -> String {
    let renderer = if is_coloured {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    renderer.render(&groups(source, diagnostic)).to_string() + "\n"
}

fn groups<'a>(source: &'a Source, diagnostic: &'a Diagnostic) -> Vec<Group<'a>> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let range = clamped(source, diagnostic.span.range());
    let mut snippet = Snippet::source(source.text.as_str())
        .path(source.name.as_str())
        .annotation(
            AnnotationKind::Primary
                .span(range)
                .label(diagnostic.label.as_str()),
        );
    for label in &diagnostic.secondary {
        let range = clamped(source, label.span.range());
        snippet = snippet.annotation(
            AnnotationKind::Context
                .span(range)
                .label(label.message.as_str()),
        );
    }
    let title = level
        .primary_title(diagnostic.message.as_str())
        .id(diagnostic.code);
    let mut group = title.element(snippet);
    for note in &diagnostic.notes {
        group = group.element(Level::NOTE.message(note.as_str()));
    }
    for help in &diagnostic.help {
        group = group.element(Level::HELP.message(help.message.as_str()));
    }
    vec![group]
}

/// The range cut to the text, on boundaries of characters.
fn clamped(source: &Source, range: std::ops::Range<usize>) -> std::ops::Range<usize> {
    let floor = |mut at: usize| {
        at = at.min(source.text.len());
        while !source.text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let start = floor(range.start);
    start..floor(range.end).max(start)
}
