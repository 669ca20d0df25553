//! All functions of a binary that a pattern matches.

use fathom_bpf::object::{Place, ProgramKind, UprobeSite};
use fathom_machine::elf::{Binary, Function, demangle, demangle_short};
use fathom_machine::pattern::Pattern;
use fathom_syntax::Diagnostic;

use super::site::{add_values, context, no_function};
use super::{MAX_NAMED, Target};
use crate::probes::Context;
use crate::probes::expand::{Expander, Failure, Found, Part, Request};

/// Functions that match. What the kernel would refuse is left out and named: one such place would undo the whole link.
pub(super) fn many(
    expander: &mut Expander<'_>,
    request: &Request<'_>,
    target: &Target<'_>,
    (part, pattern, is_cpp): (&Part, &Pattern, bool),
) -> Result<Vec<Found>, Failure> {
    let elf = target.elf;
    let functions: Vec<Function<'_>> = if is_cpp {
        elf.match_demangled(pattern).collect()
    } else {
        elf.match_functions(pattern).collect()
    };
    let mut refused = Vec::new();
    let mut groups: Vec<(Context, Vec<UprobeSite>)> = Vec::new();
    for function in functions {
        let name = shown_name(&function, pattern, is_cpp);
        if elf.probe_site(function.offset).is_err() {
            refused.push(name);
            continue;
        }
        // Looking for debug information of thousands of functions is for those who ask.
        let mut context = context(
            expander,
            request,
            target,
            request.needs.args.then_some(function),
        );
        let shift = add_values(expander, request, target, Some(function), &mut context);
        let site = UprobeSite {
            name,
            offset: function.offset.0 + shift,
            semaphore: 0,
        };
        match groups.iter_mut().find(|(known, _)| *known == context) {
            Some((_, sites)) => sites.push(site),
            None => groups.push((context, vec![site])),
        }
    }
    if groups.is_empty() {
        return Err(Failure::missing(no_function(
            request, target, part, &part.text,
        )));
    }
    if !refused.is_empty() {
        expander.warn(left_out(target, part, &refused));
    }
    let prefix = format!(
        "{}:{}:{}",
        request.provider.name,
        target.binary.shown.display(),
        if is_cpp { "cpp:" } else { "" }
    );
    Ok(groups
        .into_iter()
        .flat_map(|(context, sites)| {
            places(
                expander,
                request,
                target.binary,
                (context, sites, prefix.as_str()),
                target.on_return,
            )
        })
        .collect())
}

/// Sites of one binary: in one link if the kernel can.
pub(in crate::probes::providers) fn places(
    expander: &Expander<'_>,
    request: &Request<'_>,
    binary: &Binary,
    (context, sites, prefix): (Context, Vec<UprobeSite>, &str),
    on_return: bool,
) -> Vec<Found> {
    let path = binary.path.to_string_lossy().into_owned();
    let pid = expander.target_pid();
    let names: Vec<String> = sites
        .iter()
        .map(|site| format!("{prefix}{}", site.name))
        .collect();
    if expander.features.uprobe_multi {
        let place = Place::UprobeMulti {
            path,
            sites,
            cookies: Vec::new(),
            on_return,
            pid,
        };
        return vec![Found {
            names,
            ..request.found(String::new(), ProgramKind::UprobeMulti, context, place)
        }];
    }
    let each = sites.into_iter().zip(names).map(|(site, name)| {
        let place = Place::Uprobe {
            path: path.clone(),
            site,
            on_return,
            pid,
        };
        request.found(name, ProgramKind::Kprobe, context.clone(), place)
    });
    each.collect()
}

/// Of a function's several names the one that was asked for.
pub(super) fn shown_name(function: &Function<'_>, pattern: &Pattern, is_cpp: bool) -> String {
    if !is_cpp {
        let name = function
            .names()
            .find(|name| pattern.matches(name))
            .unwrap_or(function.name());
        return name.to_string();
    }
    let matching = |text: &String| pattern.matches(text);
    let short = function.names().filter_map(demangle_short).find(matching);
    short
        .or_else(|| function.names().filter_map(demangle).find(matching))
        .unwrap_or_else(|| function.name().to_string())
}

pub(super) fn left_out(target: &Target<'_>, part: &Part, refused: &[String]) -> Diagnostic {
    let count = refused.len();
    let shown: Vec<String> = refused
        .iter()
        .take(MAX_NAMED)
        .map(|name| format!("`{name}`"))
        .collect();
    let more = if count > MAX_NAMED {
        format!(" and {} more", count - MAX_NAMED)
    } else {
        String::new()
    };
    let message = format!(
        "{count} functions of `{}` cannot be probed and are left out",
        target.binary.shown.display()
    );
    Diagnostic::warning("not-probeable", part.span, message)
        .label("the kernel refuses their first instructions")
        .note(format!("left out: {}{more}", shown.join(", ")))
}
