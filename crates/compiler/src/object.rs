//! Typed bodies to the finished object: lowering, code generation, joining.

use fathom_bpf::Object;
use fathom_bpf::object::{AttachPoint, Place, Program, ProgramId, ProgramKind};
use fathom_machine::Machine;
use fathom_syntax::{Diagnostic, Span};

use crate::backend::{self, BackendError};
use crate::check::place;
use crate::config::Config;
use crate::features::Features;
use crate::hir::{Body, Maps, uses};
use crate::ir;
use crate::lower::tables::Limits;
use crate::lower::{self, Assembly, Env};
use crate::probes::context::ContextKind;
use crate::probes::{self, Group};
use crate::types::Types;

/// What the stages before found out.
pub struct Input<'a, 'm> {
    /// Attach points.
    pub groups: &'a [Group],
    /// One for each group.
    pub bodies: &'a [Body],
    /// The script's maps.
    pub maps: &'a Maps,
    /// Struct tables and layouts.
    pub types: &'a Types<'m>,
    /// Settings.
    pub config: &'a Config,
    /// What the kernel can do.
    pub features: &'a Features,
    /// How much of whole values is copied.
    pub capture: fathom_bpf::capture::Limits,
    /// The machine being traced.
    pub machine: &'m Machine,
}

/// The object, and the programs it was made of.
pub struct Built {
    /// All but the source text.
    pub object: Object,
    /// Before optimization.
    pub programs: Vec<ir::Program>,
}

/// Bits of a cookie that the index of the attach point takes.
pub(crate) const INSIDE_SHIFT: u32 = 32;

/// Temporaries up to this size lie on the stack; if that is too much for a program, the smaller sizes are tried.
const ON_STACK_LIMITS: [u32; 3] = [64, 32, 8];

/// Builds the object.
pub fn build(input: &Input<'_, '_>) -> Result<Built, Box<Diagnostic>> {
    let mut last = None;
    for limit in ON_STACK_LIMITS {
        match build_with(input, limit) {
            Ok(built) => return Ok(built),
            Err(error @ BackendError::StackTooLarge { .. }) => last = Some(error),
            Err(error) => return Err(Box::new(explain(&error))),
        }
    }
    Err(Box::new(last.as_ref().map_or_else(
        || unreachable!("object: no stack limit was tried"),
        explain,
    )))
}

fn build_with(input: &Input<'_, '_>, on_stack_limit: u32) -> Result<Built, BackendError> {
    let mut assembly = Assembly::new(input.maps, input.types, input.config);
    let env = Env {
        types: input.types,
        config: input.config,
        features: input.features,
        maps: input.maps,
        capture: input.capture,
        cpu_count: input
            .machine
            .possible_cpus()
            .map_or(1, |cpus| cpus.len() as u32),
        on_stack_limit,
    };
    let limits = Limits {
        cpu_count: env.cpu_count,
        can_claim: input.features.atomic_fetch,
    };
    let uses = uses::uses(input.bodies, input.maps.maps.len());
    assembly.add_sides(input.maps, &uses, limits);
    let mut object = Object {
        license: input.config.license.clone(),
        settings: input.config.settings(),
        ..Object::default()
    };
    let mut programs = Vec::new();
    for (index, (group, body)) in input.groups.iter().zip(input.bodies).enumerate() {
        let first_point = object.attach_points.len() as u64;
        let program = lower::lower(
            &env,
            &mut assembly,
            group,
            first_point,
            body,
            program_result(group),
        );
        object.programs.push(program_code(group, index, &program)?);
        push_points(&mut object, group, ProgramId(index as u32), input.features);
        programs.push(program);
    }
    let assembled = assembly.finish();
    object.maps = assembled.maps;
    object.actions = assembled.actions;
    object.error_sites = assembled.error_sites;
    object.shapes = input.types.shapes().clone();
    Ok(Built { object, programs })
}

fn program_code(
    group: &Group,
    index: usize,
    program: &ir::Program,
) -> Result<Program, BackendError> {
    let compiled = backend::compile(program, &backend::Options::default())?;
    Ok(Program {
        name: format!("{}_{index}", group.context.provider),
        kind: group.kind.clone(),
        sleepable: group.sleepable,
        insns: compiled.insns,
        functions: compiled.functions,
        relocations: compiled.relocations,
        lines: compiled.lines,
    })
}

/// Packets always go on: `XDP_PASS`, and `TCX_NEXT` / `TC_ACT_UNSPEC` for tc.
fn program_result(group: &Group) -> i32 {
    match (&group.kind, group.context.kind) {
        (ProgramKind::Xdp, _) => 2,
        (_, ContextKind::SkBuff(_)) => -1,
        _ => 0,
    }
}

/// One attach point per name: `probe` shows names, so each site of a multi link has its own index.
fn push_points(object: &mut Object, group: &Group, program: ProgramId, features: &Features) {
    let has_cookies = probes::tells_places_apart(&group.kind, features);
    for point in &group.points {
        let span = crate::check::span(point.span);
        let first = object.attach_points.len() as u64;
        for (index, name) in point.names.iter().enumerate() {
            let place = match index {
                0 => with_cookies(&point.place, first, point.names.len()),
                _ => Place::Member { of: first as u32 },
            };
            let is_one_of_many = group.points.len() > 1 || point.names.len() > 1;
            let cookie =
                (is_one_of_many && has_cookies).then(|| cookie(&point.place, first + index as u64));
            object.attach_points.push(AttachPoint {
                name: name.clone(),
                program,
                cookie,
                place,
                span,
            });
        }
    }
}

/// A multi link's cookies: the indices of its sites' attach points. Where several sites share one, they are counted from 0 so far.
fn with_cookies(place: &Place, first: u64, count: usize) -> Place {
    let numbers: Vec<u64> = (first..first + count as u64).collect();
    let mut place = place.clone();
    if let Place::KprobeMulti { cookies, .. } | Place::UprobeMulti { cookies, .. } = &mut place {
        if cookies.is_empty() {
            *cookies = numbers;
        } else {
            cookies.iter_mut().for_each(|owner| *owner += first);
        }
    }
    if let Place::UprobeMulti { cookies, sites, .. } = &mut place {
        for (cookie, site) in cookies.iter_mut().zip(sites) {
            *cookie |= site.inside << INSIDE_SHIFT;
        }
    }
    place
}

/// A cookie: the index of the attach point, and above it how far inside of its function the place is.
fn cookie(place: &Place, index: u64) -> u64 {
    match place {
        Place::Uprobe { site, .. } => index | site.inside << INSIDE_SHIFT,
        _ => index,
    }
}

fn explain(error: &BackendError) -> Diagnostic {
    match error {
        BackendError::StackTooLarge { biggest, .. } => {
            let first = biggest
                .first()
                .map_or_else(Span::default, |user| place(user.span));
            let mut diagnostic = Diagnostic::error("stack-too-large", first, error.to_string());
            for user in biggest {
                diagnostic = diagnostic.also(
                    place(user.span),
                    format!("{} bytes: {}", user.size, user.purpose),
                );
            }
            diagnostic.help("use fewer or smaller keys and variables, for example `str(x, 64)`")
        }
        other => Diagnostic::error("code-generation", Span::default(), other.to_string()),
    }
}
