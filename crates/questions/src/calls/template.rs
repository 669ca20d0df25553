//! `--print '{who} took {duration}'`: words in braces are values of the call.

use super::pairing::Call;
use crate::duration::show_duration;
use fathom_output::whole::{Whole, write_text};

/// A template, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// A name and the members after it.
    Value(Vec<String>),
}

/// A template that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A brace without its other.
    #[error("the brace at character {0} has no other: write {{{{ for one brace")]
    Unclosed(usize),
    /// `{}`
    #[error("the braces at character {0} name nothing: write {{NAME}} or {{NAME.MEMBER}}")]
    Empty(usize),
}

impl Template {
    /// Reads `{name}`, `{name.member}` and the text between; `{{` and `}}` are braces.
    pub fn parse(text: &str) -> Result<Template, TemplateError> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut characters = text.char_indices().peekable();
        while let Some((at, character)) = characters.next() {
            let is_doubled = characters
                .peek()
                .is_some_and(|(_, next)| *next == character);
            match character {
                '{' | '}' if is_doubled => {
                    characters.next();
                    plain.push(character);
                }
                '{' => {
                    let length = text[at..].find('}').ok_or(TemplateError::Unclosed(at))?;
                    let name = &text[at + 1..at + length];
                    if name.trim().is_empty() {
                        return Err(TemplateError::Empty(at));
                    }
                    parts.push(Part::Text(std::mem::take(&mut plain)));
                    let path = name.trim().split('.').map(str::to_owned);
                    parts.push(Part::Value(path.collect()));
                    while characters
                        .next_if(|(next, _)| *next <= at + length)
                        .is_some()
                    {}
                }
                '}' => return Err(TemplateError::Unclosed(at)),
                other => plain.push(other),
            }
        }
        parts.push(Part::Text(plain));
        Ok(Template { parts })
    }

    /// Fills it in. A text alone is shown without quotes.
    pub fn render(&self, call: &Call, function: &str, out: &mut Vec<u8>) {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Value(path) => value(call, function, path, out),
            }
        }
    }
}

fn value(call: &Call, function: &str, path: &[String], out: &mut Vec<u8>) {
    let Some((first, members)) = path.split_first() else {
        return;
    };
    let arguments = &call.entry.values;
    let argument = arguments.iter().find(|(name, _)| name == first);
    if let Some((_, value)) = argument {
        return member(value, members, out);
    }
    let entry = &call.entry;
    let text = match first.as_str() {
        "function" => function.to_owned(),
        "pid" => entry.pid.to_string(),
        "tid" => entry.tid.to_string(),
        "comm" => entry.comm.clone(),
        "goroutine" => entry.goroutine.to_string(),
        "duration" => call.duration_ns().map_or("?".to_owned(), show_duration),
        "duration_ns" => call
            .duration_ns()
            .map_or("?".to_owned(), |ns| ns.to_string()),
        "result" => {
            let results = call.exit.as_ref().map(|exit| exit.values.as_slice());
            return match results {
                Some([(_, only)]) => member(only, members, out),
                Some(several) => result(several, members, out),
                None => out.push(b'?'),
            };
        }
        other => format!("{{{other}?}}"),
    };
    out.extend_from_slice(text.as_bytes());
}

/// Of several results one by its name or number, or all.
fn result(results: &[(String, Whole)], members: &[String], out: &mut Vec<u8>) {
    let Some((first, rest)) = members.split_first() else {
        return fathom_output::call::write_results(results, out);
    };
    let by_number = first.parse::<usize>().ok().and_then(|at| results.get(at));
    let found = by_number.or_else(|| results.iter().find(|(name, _)| name == first));
    match found {
        Some((_, value)) => member(value, rest, out),
        None => out.push(b'?'),
    }
}

/// A member by its name, also one of a union without a name.
fn field<'w>(fields: &'w [(String, Whole)], wanted: &str) -> Option<&'w Whole> {
    fields.iter().find_map(|(name, value)| match value {
        value if name == wanted => Some(value),
        Whole::Union(inner) | Whole::Struct { fields: inner } if name.is_empty() => {
            field(inner, wanted)
        }
        _ => None,
    })
}

/// A member of a member, through pointers.
fn member(value: &Whole, path: &[String], out: &mut Vec<u8>) {
    let Some((first, rest)) = path.split_first() else {
        return match value {
            Whole::Text { bytes, length } if *length == Some(bytes.len() as u64) => {
                out.extend_from_slice(bytes)
            }
            other => write_text(other, out),
        };
    };
    match value {
        Whole::Pointer { to, .. } => member(to, path, out),
        Whole::Typed { value, .. } => member(value, path, out),
        Whole::Variant { parts, .. } => member(parts, path, out),
        Whole::Struct { fields } | Whole::Union(fields) => match field(fields, first) {
            Some(value) => member(value, rest, out),
            None => out.push(b'?'),
        },
        Whole::Tuple(items) | Whole::List { items, .. } => {
            match first.parse::<usize>().ok().and_then(|at| items.get(at)) {
                Some(value) => member(value, rest, out),
                None => out.push(b'?'),
            }
        }
        _ => out.push(b'?'),
    }
}
