//! Network devices and the clsact hook of kernels before tcx, by way of libbpf's netlink calls.

use super::checked;
use libbpf_sys as raw;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Number of a network device.
pub fn interface_index(device: &str) -> io::Result<u32> {
    let name = CString::new(device).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: the name is NUL-terminated and only read.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(io::Error::last_os_error()),
        index => Ok(index),
    }
}

/// `BPF_TC_INGRESS`, `BPF_TC_EGRESS`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum TcHook {
    /// Received.
    Ingress = 1,
    /// Sent.
    Egress = 2,
}

/// A filter at a clsact hook.
#[derive(Clone, Copy, Debug)]
pub struct TcFilter {
    interface: u32,
    hook: TcHook,
    handle: u32,
    priority: u32,
    made_hook: bool,
}

fn hook_of(interface: u32, attach_point: u32) -> raw::bpf_tc_hook {
    raw::bpf_tc_hook {
        sz: size_of::<raw::bpf_tc_hook>() as _,
        ifindex: interface as i32,
        attach_point,
        ..Default::default()
    }
}

fn options() -> raw::bpf_tc_opts {
    raw::bpf_tc_opts {
        sz: size_of::<raw::bpf_tc_opts>() as _,
        ..Default::default()
    }
}

impl TcFilter {
    /// Puts the program there, making the clsact hook if it is not there.
    pub fn attach(interface: u32, hook: TcHook, program: BorrowedFd<'_>) -> io::Result<TcFilter> {
        let mut place = hook_of(interface, hook as u32);
        // SAFETY: the structure carries its size.
        let made_hook = match checked(unsafe { raw::bpf_tc_hook_create(&mut place) }) {
            Ok(_) => true,
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => false,
            Err(error) => return Err(error),
        };
        let mut opts = options();
        opts.prog_fd = program.as_raw_fd();
        // SAFETY: both structures carry their sizes; the kernel's choice of handle and priority is written to `opts`.
        let attached = checked(unsafe { raw::bpf_tc_attach(&place, &mut opts) });
        let filter = TcFilter {
            interface,
            hook,
            handle: opts.handle,
            priority: opts.priority,
            made_hook,
        };
        match attached {
            Ok(_) => Ok(filter),
            Err(error) => {
                filter.remove_hook();
                Err(error)
            }
        }
    }

    /// Takes the program away, and the hook if it was made for it.
    pub fn remove(&self) {
        let place = hook_of(self.interface, self.hook as u32);
        let mut opts = options();
        opts.handle = self.handle;
        opts.priority = self.priority;
        // SAFETY: both structures carry their sizes and are only read.
        unsafe { raw::bpf_tc_detach(&place, &opts) };
        self.remove_hook();
    }

    fn remove_hook(&self) {
        if self.made_hook && !self.others_use_hook() {
            let mut place = hook_of(
                self.interface,
                TcHook::Ingress as u32 | TcHook::Egress as u32,
            );
            // SAFETY: the structure carries its size.
            unsafe { raw::bpf_tc_hook_destroy(&mut place) };
        }
    }

    /// Whether a filter of someone else came to the hook meanwhile.
    fn others_use_hook(&self) -> bool {
        [TcHook::Ingress, TcHook::Egress].into_iter().any(|hook| {
            let place = hook_of(self.interface, hook as u32);
            let mut opts = options();
            opts.handle = 1;
            opts.priority = 1;
            // SAFETY: both structures carry their sizes; what is found is written to `opts`.
            checked(unsafe { raw::bpf_tc_query(&place, &mut opts) }).is_ok()
        })
    }
}
