//! All functions of a binary that a pattern matches.

use fathom_bpf::object::{Place, ProgramKind, UprobeSite};
use fathom_machine::FileOffset;
use fathom_machine::elf::{Binary, Function, Unprobeable, demangle, demangle_short};
use fathom_machine::pattern::Pattern;
use fathom_syntax::Diagnostic;

use super::site::{add_values, context, no_function, warn_of_rounds};
use super::{MAX_NAMED, Target, go, unwound};
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
    let mut groups: Vec<(bool, Context, Vec<Vec<UprobeSite>>)> = Vec::new();
    for function in functions {
        let name = shown_name(&function, pattern, is_cpp);
        let Ok((on_return, mut offsets)) = sites(expander, target, &function) else {
            refused.push(name);
            continue;
        };
        // Some functions never return.
        if offsets.is_empty() {
            continue;
        }
        let mut context = context(expander, request, target, Some((function, 0)));
        if unwound::is_unwound(expander, target, &function) {
            unwound::at_instruction(&mut context);
            unwound::warn_of_jumps(expander, target, part, &function);
        }
        let shift = add_values(expander, request, target, Some(function), &mut context);
        if request.needs.values && !target.on_return {
            warn_of_rounds(expander, target, part, &function);
        }
        if shift != 0 {
            offsets = vec![FileOffset(function.offset.0 + shift)];
        }
        let site = |offset: &FileOffset| UprobeSite {
            name: name.clone(),
            offset: offset.0,
            inside: offset.0.saturating_sub(function.offset.0),
            semaphore: 0,
        };
        let sites: Vec<UprobeSite> = offsets.iter().map(site).collect();
        let is_like = |group: &&mut (bool, Context, _)| group.0 == on_return && group.1 == context;
        match groups.iter_mut().find(is_like) {
            Some((_, _, known)) => known.push(sites),
            None => groups.push((on_return, context, vec![sites])),
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
        .flat_map(|(on_return, context, sites)| {
            places(
                expander,
                request,
                target.binary,
                (context, sites, prefix.as_str()),
                on_return,
            )
        })
        .collect())
}

/// The places of one function, and whether the kernel is to wait there for its return; `Err` when one cannot be probed.
fn sites(
    expander: &Expander<'_>,
    target: &Target<'_>,
    function: &Function<'_>,
) -> Result<(bool, Vec<FileOffset>), Unprobeable> {
    if go::convention(target.elf, function).is_some() {
        return Ok((false, go::sites(target, function)?));
    }
    if unwound::is_unwound(expander, target, function) {
        return Ok((false, unwound::sites(target, function)?));
    }
    target.elf.probe_site(function.offset)?;
    Ok((target.on_return, vec![function.offset]))
}

/// Sites of one binary, those of each function together: in one link if the kernel can.
pub(in crate::probes::providers) fn places(
    expander: &Expander<'_>,
    request: &Request<'_>,
    binary: &Binary,
    (context, sites, prefix): (Context, Vec<Vec<UprobeSite>>, &str),
    on_return: bool,
) -> Vec<Found> {
    let path = binary.path.to_string_lossy().into_owned();
    let pid = expander.target_pid();
    let name = |site: &UprobeSite| format!("{prefix}{}", site.name);
    if expander.features.uprobe_multi {
        let names = sites.iter().filter_map(|of_one| of_one.first().map(name));
        let names = names.collect();
        let owners = sites.iter().zip(0..);
        let owners = owners.flat_map(|(of_one, number)| of_one.iter().map(move |_| number));
        let place = Place::UprobeMulti {
            path,
            cookies: owners.collect(),
            sites: sites.into_iter().flatten().collect(),
            on_return,
            pid,
        };
        return vec![Found {
            names,
            ..request.found(String::new(), ProgramKind::UprobeMulti, context, place)
        }];
    }
    let each = sites.into_iter().flatten().map(|site| {
        let name = name(&site);
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
        .label("the kernel cannot run a probe there")
        .note(format!("left out: {}{more}", shown.join(", ")))
}
