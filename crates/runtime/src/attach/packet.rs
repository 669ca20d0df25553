//! Network devices: the XDP hook, and tc by tcx (Linux 6.6) or a clsact filter.

use super::failure::Refusal;
use super::{Attachment, Outcome};
use crate::sys::bpf::{self, LinkDetail};
use crate::sys::fork::Guard;
use crate::sys::net::{self, TcFilter, TcHook};
use fathom_bpf::object::Direction;
use libbpf_sys::{
    BPF_F_BEFORE, BPF_TCX_EGRESS, BPF_TCX_INGRESS, BPF_XDP, XDP_FLAGS_DRV_MODE, XDP_FLAGS_SKB_MODE,
};
use std::io;
use std::os::fd::{BorrowedFd, RawFd};

fn interface(device: &str) -> Result<u32, Refusal> {
    net::interface_index(device).map_err(|error| match error.raw_os_error() {
        Some(libc::ENODEV | libc::ENXIO) => Refusal::with_hint(
            format!("there is no network device `{device}` here"),
            "see `ip link`",
        ),
        _ => error.into(),
    })
}

/// In the driver where it can, else in the generic hook behind it.
pub(super) fn xdp(program: BorrowedFd<'_>, device: &str) -> Result<Outcome, Refusal> {
    let interface = interface(device)? as RawFd;
    let create = |mode| bpf::link_create(program, interface, BPF_XDP, &LinkDetail::Flags(mode));
    let link = create(XDP_FLAGS_DRV_MODE).or_else(|first| match first.raw_os_error() {
        Some(libc::EPERM) => Err(first),
        _ => create(XDP_FLAGS_SKB_MODE),
    });
    let link = link.map_err(|error| match error.raw_os_error() {
        Some(libc::EBUSY | libc::EEXIST) => Refusal::with_hint(
            format!("another XDP program is attached to {device}, and there can be only one"),
            format!("watch it by `tc:{device}:ingress` instead"),
        ),
        Some(libc::EINVAL) => Refusal::with_hint(
            "this kernel has no links for XDP (Linux 5.9 brings them)",
            format!("watch it by `tc:{device}:ingress` instead"),
        ),
        _ => error.into(),
    })?;
    Ok(Outcome::one(Attachment::Link(link)))
}

/// Before all other programs there, so that every packet is seen.
pub(super) fn tc(
    program: BorrowedFd<'_>,
    device: &str,
    direction: Direction,
) -> Result<Outcome, Refusal> {
    let interface = interface(device)?;
    let (attach_type, hook) = match direction {
        Direction::Ingress => (BPF_TCX_INGRESS, TcHook::Ingress),
        Direction::Egress => (BPF_TCX_EGRESS, TcHook::Egress),
    };
    let first = LinkDetail::Flags(BPF_F_BEFORE);
    let attachment = match bpf::link_create(program, interface as RawFd, attach_type, &first) {
        Ok(link) => Attachment::Link(link),
        // Kernels before tcx do not know the attach type.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            Attachment::Filter(filter(interface, hook, program)?)
        }
        Err(error) => return Err(error.into()),
    };
    Ok(Outcome::one(attachment))
}

/// A filter stays when its maker dies, so that a small process of ours watches and takes it away.
fn filter(interface: u32, hook: TcHook, program: BorrowedFd<'_>) -> io::Result<Guard> {
    let filter = TcFilter::attach(interface, hook, program)?;
    Guard::new(move || filter.remove()).inspect_err(|_| filter.remove())
}
