//! Diagnostics as text, with the lines of the script they are about.

use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Renderer, Snippet};
use fathom_syntax::{Diagnostic, Severity, SourceId};

use crate::Source;

/// One diagnostic as several lines of text; coloured for a terminal. Its places lie in `sources`.
pub fn render(sources: &[Source], diagnostic: &Diagnostic, is_coloured: bool) -> String {
    let renderer = if is_coloured {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    renderer.render(&groups(sources, diagnostic)).to_string() + "\n"
}

fn groups<'a>(sources: &'a [Source], diagnostic: &'a Diagnostic) -> Vec<Group<'a>> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let mut group = level
        .primary_title(diagnostic.message.as_str())
        .id(diagnostic.code)
        .elements(snippets(sources, diagnostic));
    for note in &diagnostic.notes {
        group = group.element(Level::NOTE.message(note.as_str()));
    }
    for help in &diagnostic.help {
        group = group.element(Level::HELP.message(help.message.as_str()));
    }
    vec![group]
}

/// One for each file that has a place in it, that of the problem first.
fn snippets<'a>(
    sources: &'a [Source],
    diagnostic: &'a Diagnostic,
) -> Vec<Snippet<'a, Annotation<'a>>> {
    let primary = (
        AnnotationKind::Primary,
        diagnostic.span,
        diagnostic.label.as_str(),
    );
    let others = diagnostic
        .secondary
        .iter()
        .map(|label| (AnnotationKind::Context, label.span, label.message.as_str()));
    let places: Vec<_> = std::iter::once(primary).chain(others).collect();
    let mut files: Vec<SourceId> = Vec::new();
    for (_, span, _) in &places {
        if !files.contains(&span.source) {
            files.push(span.source);
        }
    }
    let snippet = |file: SourceId| {
        let source = sources.get(usize::from(file.0))?;
        let here = places.iter().filter(|(_, span, _)| span.source == file);
        let annotations =
            here.map(|(kind, span, words)| kind.span(clamped(source, span.range())).label(*words));
        Some(
            Snippet::source(source.text.as_str())
                .path(source.name.as_str())
                .annotations(annotations),
        )
    };
    files.into_iter().filter_map(snippet).collect()
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
