//! What the kernel tells about itself through bpf(2), for processes that see neither /sys nor /proc.

use super::bpf::{IdKind, MapSpec, fd_by_id, kernel_btf_name, map_create, next_id};
use super::checked;
use libbpf_sys as raw;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// Number of CPUs that may ever come online: the number of values in a per-CPU map's entry.
pub fn possible_cpus() -> io::Result<usize> {
    // SAFETY: takes nothing.
    match checked(unsafe { raw::libbpf_num_possible_cpus() }) {
        Ok(count) => Ok(count as usize),
        // It reads /sys, which may not be mounted.
        Err(_) => count_cpus_by_map(),
    }
}

/// The kernel writes one value for each CPU; what it leaves alone was not asked for.
fn count_cpus_by_map() -> io::Result<usize> {
    /// CPUs that Linux can be built for.
    const MOST: usize = 8192;
    let map = map_create(&MapSpec {
        name: c"fathom_cpus",
        kind: raw::BPF_MAP_TYPE_PERCPU_ARRAY,
        key_size: 4,
        value_size: 8,
        max_entries: 1,
        flags: 0,
    })?;
    let mut values = vec![u64::MAX; MOST];
    let key = 0u32;
    // SAFETY: the key has the map's size, the values have room for every CPU that there can be.
    checked(unsafe {
        raw::bpf_map_lookup_elem(
            map.as_raw_fd(),
            (&raw const key).cast(),
            values.as_mut_ptr().cast(),
        )
    })?;
    Ok(values.partition_point(|value| *value == 0))
}

/// BTF of the running kernel, from the kernel itself.
pub fn vmlinux_btf() -> io::Result<Vec<u8>> {
    let mut id = 0;
    while let Some(next) = next_id(IdKind::Btf, id)? {
        id = next;
        // It may be gone since.
        let Ok(btf) = fd_by_id(IdKind::Btf, id) else {
            continue;
        };
        if kernel_btf_name(btf.as_fd())?.as_deref() == Some("vmlinux") {
            return btf_bytes(btf.as_fd());
        }
    }
    Err(io::Error::from_raw_os_error(libc::ENOENT))
}

fn btf_bytes(btf: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    let mut info = raw::bpf_btf_info::default();
    let mut size = size_of_val(&info) as u32;
    // SAFETY: no buffers are given: only the size is asked for.
    checked(unsafe { raw::bpf_btf_get_info_by_fd(btf.as_raw_fd(), &mut info, &mut size) })?;
    let mut bytes = vec![0; info.btf_size as usize];
    let mut info = raw::bpf_btf_info {
        btf: bytes.as_mut_ptr() as u64,
        btf_size: bytes.len() as u32,
        ..Default::default()
    };
    // SAFETY: the buffer is given with its length and outlives the call.
    checked(unsafe { raw::bpf_btf_get_info_by_fd(btf.as_raw_fd(), &mut info, &mut size) })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both need the right to make maps.
    #[test]
    fn the_kernel_tells_what_files_tell() {
        if crate::missing_right().is_some() {
            println!("skipped: needs root");
            return;
        }
        assert_eq!(count_cpus_by_map().unwrap(), possible_cpus().unwrap());
        let file = std::fs::read("/sys/kernel/btf/vmlinux").unwrap();
        assert!(vmlinux_btf().unwrap() == file);
    }
}
