//! Copies of a function that the compiler put into others: places that are entered, and never return by themselves.

use fathom_bpf::object::{Place, ProgramKind, UprobeSite};
use fathom_machine::pattern::Pattern;
use fathom_syntax::Diagnostic;

use super::Target;
use crate::probes::context::ContextKind;
use crate::probes::expand::{Expander, Failure, Found, Part, Request};
use crate::probes::providers::uprobe_values;

/// Adds the inlined copies to what was found of functions by themselves, or puts them in its place.
pub(super) fn with_copies(
    expander: &mut Expander<'_>,
    request: &Request<'_>,
    target: &Target<'_>,
    (part, pattern): (&Part, &Pattern),
    found: Result<Vec<Found>, Failure>,
) -> Result<Vec<Found>, Failure> {
    if !expander.options.with_inlined {
        return found;
    }
    let Ok(info) = uprobe_values::debug_information(expander, target.elf) else {
        return found;
    };
    let Ok(inlined) = info.inlined_copies(pattern) else {
        return found;
    };
    if target.on_return {
        // They are told at their entries.
        return match found {
            Err(Failure::Missing(_)) if !inlined.copies.is_empty() => Ok(Vec::new()),
            found => found,
        };
    }
    let mut copies = Vec::new();
    let mut refused = 0;
    for copy in &inlined.copies {
        let offset = target.elf.file_offset(copy.entry);
        let Some(offset) = offset.filter(|at| target.elf.probe_site(*at).is_ok()) else {
            refused += 1;
            continue;
        };
        let name = format!("{} (inlined into {})", copy.name, copy.into);
        let mut context = request.context(ContextKind::Registers);
        context.is_user = true;
        context.is_line = true;
        if request.needs.values {
            let told = uprobe_values::of_copy(copy, &inlined.types);
            context.values = Some(Ok(told.whole(expander, target.elf)));
        }
        let place = Place::Uprobe {
            path: target.binary.path.to_string_lossy().into_owned(),
            site: UprobeSite {
                name: name.clone(),
                offset: offset.0,
                inside: copy.entry.0.saturating_sub(copy.into_entry.0),
                semaphore: 0,
            },
            on_return: false,
            pid: expander.target_pid(),
        };
        let full = format!(
            "{}:{}:{name}",
            request.provider.name,
            target.binary.shown.display()
        );
        copies.push(request.found(full, ProgramKind::Kprobe, context, place));
    }
    warn(expander, part, copies.len(), refused);
    match found {
        Ok(mut found) => {
            found.extend(copies);
            Ok(found)
        }
        Err(Failure::Missing(_)) if !copies.is_empty() => Ok(copies),
        Err(failure) => Err(failure),
    }
}

fn warn(expander: &mut Expander<'_>, part: &Part, copies: usize, refused: usize) {
    if copies + refused == 0 {
        return;
    }
    let (plural, verb) = if copies == 1 {
        ("y", "is")
    } else {
        ("ies", "are")
    };
    let message = format!(
        "{copies} inlined cop{plural} of `{}` {verb} watched too: the count is a lower bound, as compilers also fold calls away",
        part.text
    );
    let mut warning = Diagnostic::warning("inlined", part.span, message);
    if refused > 0 {
        warning = warning.note(format!("{refused} more cannot be probed"));
    }
    expander.warn(warning);
}
