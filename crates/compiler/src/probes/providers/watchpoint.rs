//! `watchpoint`: a hardware breakpoint on memory.

use fathom_bpf::object::{Access, Place, ProgramKind};
use fathom_syntax::Diagnostic;

use crate::probes::context::ContextKind;
use crate::probes::expand::{Expander, Failure, Found, Part, Request};
use crate::probes::number;

/// Addresses from here on are the kernel's.
const KERNEL_START: u64 = 0xffff_8000_0000_0000;

pub(in crate::probes) fn expand(
    expander: &mut Expander<'_>,
    request: &Request<'_>,
) -> Result<Vec<Found>, Failure> {
    let [address, length, mode] = request.parts else {
        return Err(request.misshapen());
    };
    let at = number::parse(&address.text).ok_or_else(|| {
        wrong(
            "bad-address",
            address,
            format!("`{}` is not an address", address.text),
            "not a number",
        )
    })?;
    let bytes = number::parse(&length.text)
        .filter(|bytes| matches!(bytes, 1 | 2 | 4 | 8))
        .ok_or_else(|| {
            wrong(
                "bad-length",
                length,
                format!("the processor cannot watch `{}` bytes", length.text),
                "only 1, 2, 4 or 8",
            )
        })?;
    let access = access(mode)?;
    if access == Access::Execute && bytes != 8 {
        return Err(wrong(
            "bad-length",
            length,
            "an instruction is watched with length 8".into(),
            "must be 8 for mode `x`",
        ));
    }
    if access != Access::Execute && !at.is_multiple_of(bytes) {
        let message = format!("the processor watches {bytes} bytes only at a multiple of {bytes}");
        return Err(wrong("bad-address", address, message, "not aligned"));
    }
    let is_user = at < KERNEL_START;
    let pid = if is_user { expander.target_pid() } else { None };
    if is_user && pid.is_none() && expander.options.child_path.is_none() {
        let problem = Diagnostic::error(
            "needs-process",
            request.span,
            "a watchpoint on a user address needs a process",
        )
        .label("the same address means something else in every process")
        .help("name the process with -p PID, or start it with -c COMMAND");
        return Err(Failure::wrong(problem));
    }
    let mut context = request.context(ContextKind::Registers);
    context.is_user = is_user;
    context.args_missing = Some("`watchpoint` probes have no arguments".to_string());
    if !is_user {
        context.filter_pid = expander.options.pid;
    }
    let place = Place::Watchpoint {
        address: at,
        length: bytes as u32,
        access,
        pid,
    };
    Ok(vec![request.found(
        request.text(),
        ProgramKind::PerfEvent,
        context,
        place,
    )])
}

fn access(mode: &Part) -> Result<Access, Failure> {
    match mode.text.as_str() {
        "w" => Ok(Access::Write),
        "rw" | "wr" => Ok(Access::ReadWrite),
        "x" => Ok(Access::Execute),
        "r" => Err(wrong(
            "bad-mode",
            mode,
            "x86 cannot watch reads alone".into(),
            "use `rw`",
        )),
        other => Err(wrong(
            "bad-mode",
            mode,
            format!("there is no watchpoint mode `{other}`"),
            "only `w`, `rw` or `x`",
        )),
    }
}

fn wrong(code: &'static str, part: &Part, message: String, label: &str) -> Failure {
    Failure::wrong(Diagnostic::error(code, part.span, message).label(label))
}
