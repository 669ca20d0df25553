//! Names of program sections, as libbpf reads the program type and target from them.

use crate::object::{
    AttachPoint, BtfTarget, KernelFunction, Object, Place, Program, ProgramId, ProgramKind,
    UprobeSite,
};

/// The section that the program goes to.
pub(super) fn section_name(object: &Object, id: ProgramId, program: &Program) -> String {
    let mut points = object
        .attach_points
        .iter()
        .filter(|point| point.program == id);
    // With several attach points the loader's user must choose.
    let only = match (points.next(), points.next()) {
        (Some(point), None) => Some(point),
        _ => None,
    };
    let (prefix, target) = match &program.kind {
        ProgramKind::TestRun => ("raw_tp".to_owned(), None),
        ProgramKind::PerfEvent => ("perf_event".to_owned(), None),
        ProgramKind::Xdp => ("xdp".to_owned(), None),
        ProgramKind::SchedCls => ("tc".to_owned(), None),
        ProgramKind::TracepointBtf(target) => ("tp_btf".to_owned(), Some(btf_name(target))),
        ProgramKind::Fentry(target) => (sleepable("fentry", program), Some(btf_name(target))),
        ProgramKind::Fexit(target) => (sleepable("fexit", program), Some(btf_name(target))),
        ProgramKind::Iter(target) => (sleepable("iter", program), Some(btf_name(target))),
        ProgramKind::Tracepoint => ("tracepoint".to_owned(), only.and_then(place_name)),
        ProgramKind::RawTracepoint => ("raw_tp".to_owned(), only.and_then(place_name)),
        ProgramKind::KprobeSession => ("kprobe.session".to_owned(), only.and_then(place_name)),
        ProgramKind::UprobeSession => (
            sleepable("uprobe.session", program),
            only.and_then(place_name),
        ),
        ProgramKind::Kprobe | ProgramKind::KprobeMulti | ProgramKind::UprobeMulti => {
            let any = object
                .attach_points
                .iter()
                .find(|point| point.program == id);
            (probe_prefix(program, any), only.and_then(place_name))
        }
    };
    // NUL ends a name in ELF.
    match target.filter(|name| !name.is_empty() && !name.contains('\0')) {
        Some(target) => format!("{prefix}/{target}"),
        None => prefix,
    }
}

fn sleepable(prefix: &str, program: &Program) -> String {
    match program.sleepable {
        true => format!("{prefix}.s"),
        false => prefix.to_owned(),
    }
}

/// `kprobe`, `uretprobe.s`, `kprobe.multi`, … One kind of program serves them; the attach point tells which it is.
fn probe_prefix(program: &Program, point: Option<&AttachPoint>) -> String {
    let place = point.map(|point| &point.place);
    let on_return = matches!(
        place,
        Some(
            Place::Kprobe {
                on_return: true,
                ..
            } | Place::KprobeMulti {
                on_return: true,
                ..
            } | Place::Uprobe {
                on_return: true,
                ..
            } | Place::UprobeMulti {
                on_return: true,
                ..
            }
        )
    );
    let is_user = matches!(
        place,
        Some(Place::Uprobe { .. } | Place::UprobeMulti { .. })
    );
    let name = |entry: &str, exit: &str| {
        if on_return {
            exit.into()
        } else {
            entry.to_owned()
        }
    };
    match program.kind {
        ProgramKind::KprobeMulti => name("kprobe.multi", "kretprobe.multi"),
        ProgramKind::UprobeMulti => sleepable(&name("uprobe.multi", "uretprobe.multi"), program),
        _ if is_user => sleepable(&name("uprobe", "uretprobe"), program),
        _ => name("kprobe", "kretprobe"),
    }
}

fn btf_name(target: &BtfTarget) -> String {
    match target {
        BtfTarget::Kernel { name, .. } | BtfTarget::Bpf { name, .. } => name.clone(),
    }
}

/// What stands after the slash; `None` when the place has no such name.
fn place_name(point: &AttachPoint) -> Option<String> {
    match &point.place {
        Place::Tracepoint { category, event } => Some(format!("{category}/{event}")),
        Place::RawTracepoint { name } => Some(name.clone()),
        Place::Kprobe {
            function, offset, ..
        } => {
            let name = kernel_name(function)?;
            Some(match offset {
                0 => name,
                offset => format!("{name}+{offset}"),
            })
        }
        Place::KprobeMulti { functions, .. } => match functions.as_slice() {
            [function] => kernel_name(function),
            _ => None,
        },
        Place::Uprobe { path, site, .. } => user_name(path, site),
        Place::UprobeMulti { path, sites, .. } => match sites.as_slice() {
            [site] => user_name(path, site),
            _ => None,
        },
        _ => None,
    }
}

fn kernel_name(function: &KernelFunction) -> Option<String> {
    (!function.name.is_empty()).then(|| function.name.clone())
}

fn user_name(path: &str, site: &UprobeSite) -> Option<String> {
    (!site.name.is_empty()).then(|| format!("{path}:{}", site.name))
}
