//! The rights of this process, asked of the kernel itself: /proc may not be mounted.

use std::io;

/// `_LINUX_CAPABILITY_VERSION_3`: 64 bits in two parts.
const VERSION: u32 = 0x2008_0522;

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Part {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// The effective capabilities, a bit each.
pub fn effective() -> io::Result<u64> {
    let mut header = Header {
        version: VERSION,
        pid: 0,
    };
    let mut parts = [Part::default(); 2];
    // SAFETY: this version fills exactly two parts; header and parts outlive the call.
    let result = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, parts.as_mut_ptr()) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(u64::from(parts[1].effective) << 32 | u64::from(parts[0].effective))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_kernel_says_the_same_in_proc() {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
        let shown = u64::from_str_radix(line.unwrap().trim(), 16).unwrap();
        assert_eq!(super::effective().unwrap(), shown);
    }
}
