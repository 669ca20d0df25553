//! `xdp` and `tc`: packets at a network device.

use fathom_bpf::object::{Direction, Place, ProgramKind};
use fathom_machine::pattern::Pattern;
use fathom_machine::suggest;
use fathom_syntax::Diagnostic;

use crate::probes::context::ContextKind;
use crate::probes::expand::{Expander, Failure, Found, Part, Request};

/// Devices named in a message.
const MAX_SHOWN: usize = 12;

pub(in crate::probes) fn xdp(
    expander: &mut Expander<'_>,
    request: &Request<'_>,
) -> Result<Vec<Found>, Failure> {
    let [device] = request.parts else {
        return Err(request.misshapen());
    };
    let found = devices(expander, request, device)?
        .into_iter()
        .map(|device| {
            let context = packet_context(request, ContextKind::Xdp);
            request.found(
                format!("xdp:{device}"),
                ProgramKind::Xdp,
                context,
                Place::Xdp { device },
            )
        });
    Ok(found.collect())
}

pub(in crate::probes) fn tc(
    expander: &mut Expander<'_>,
    request: &Request<'_>,
) -> Result<Vec<Found>, Failure> {
    let [device, direction] = request.parts else {
        return Err(request.misshapen());
    };
    let pattern = Pattern::new(direction.text.as_str());
    let both = [
        ("ingress", Direction::Ingress),
        ("egress", Direction::Egress),
    ];
    let wanted: Vec<_> = both
        .into_iter()
        .filter(|(name, _)| pattern.matches(name))
        .collect();
    if wanted.is_empty() {
        let message = format!("there is no direction `{}`", direction.text);
        let problem = Diagnostic::error("bad-direction", direction.span, message)
            .label("only `ingress` or `egress`");
        return Err(Failure::wrong(problem));
    }
    let mut found = Vec::new();
    for device in devices(expander, request, device)? {
        for (name, direction) in &wanted {
            let context = packet_context(request, ContextKind::SkBuff(*direction));
            let place = Place::Tc {
                device: device.clone(),
                direction: *direction,
            };
            found.push(request.found(
                format!("tc:{device}:{name}"),
                ProgramKind::SchedCls,
                context,
                place,
            ));
        }
    }
    Ok(found)
}

fn packet_context(request: &Request<'_>, kind: ContextKind) -> crate::probes::Context {
    let mut context = request.context(kind);
    context.args_missing = Some(format!(
        "`{}` probes see a packet: use `pkt`, `ip`, `tcp` …",
        request.provider.name
    ));
    context
}

fn devices(
    expander: &Expander<'_>,
    request: &Request<'_>,
    wanted: &Part,
) -> Result<Vec<String>, Failure> {
    let all = expander.machine.network_devices();
    let pattern = Pattern::new(wanted.text.as_str());
    let found: Vec<String> = all
        .iter()
        .filter(|name| pattern.matches(name))
        .cloned()
        .collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let message = format!("there is no network device `{}`", wanted.text);
    let mut problem = request
        .missing("no-device", wanted.span, message)
        .label("not a device of this machine");
    if let Some(best) = suggest::nearest(&wanted.text, all.iter().map(String::as_str)).first() {
        problem = problem.fix(format!("did you mean `{best}`?"), wanted.span, best.clone());
    }
    let shown: Vec<&str> = all.iter().take(MAX_SHOWN).map(String::as_str).collect();
    let more = if all.len() > MAX_SHOWN {
        format!(" and {} more", all.len() - MAX_SHOWN)
    } else {
        String::new()
    };
    Err(Failure::missing(
        problem.note(format!("devices: {}{more}", shown.join(", "))),
    ))
}
