//! A mount of tracefs that exists only as a file descriptor: `fsopen`, `fsconfig`, `fsmount`, and never `move_mount`.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::PathBuf;

// The libc crate has the numbers but no wrappers.
const FSOPEN_CLOEXEC: libc::c_long = 1;
const FSCONFIG_CMD_CREATE: libc::c_long = 6;
const FSMOUNT_CLOEXEC: libc::c_long = 1;

/// A detached mount; it ends with its last open file.
#[derive(Debug)]
pub(super) struct PrivateMount {
    root: OwnedFd,
}

impl PrivateMount {
    /// Mounts tracefs out of everyone's sight. Needs CAP_SYS_ADMIN and Linux 5.2.
    pub(super) fn tracefs() -> io::Result<PrivateMount> {
        let context = open_file_system(c"tracefs")?;
        create(&context)?;
        Ok(PrivateMount {
            root: mount(&context)?,
        })
    }

    /// A path into the mount that works in this process.
    pub(super) fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.root.as_raw_fd()))
    }
}

fn open_file_system(name: &CStr) -> io::Result<OwnedFd> {
    // SAFETY: the name is NUL-terminated and outlives the call, which only reads it.
    owned(unsafe { libc::syscall(libc::SYS_fsopen, name.as_ptr(), FSOPEN_CLOEXEC) })
}

fn create(context: &OwnedFd) -> io::Result<()> {
    let null = std::ptr::null::<libc::c_char>();
    // SAFETY: this command takes no key and no value; both pointers are null as it demands.
    let status = unsafe {
        libc::syscall(
            libc::SYS_fsconfig,
            context.as_raw_fd(),
            FSCONFIG_CMD_CREATE,
            null,
            null,
            0,
        )
    };
    if status < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

fn mount(context: &OwnedFd) -> io::Result<OwnedFd> {
    // SAFETY: the call takes numbers only.
    owned(unsafe { libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), FSMOUNT_CLOEXEC, 0) })
}

fn owned(result: libc::c_long) -> io::Result<OwnedFd> {
    let fd = i32::try_from(result).unwrap_or(-1);
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just gave us this descriptor, nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
