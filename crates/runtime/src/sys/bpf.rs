//! The `bpf()` system call by way of libbpf's low-level functions.

use super::{checked, owned_or_errno};
use libbpf_sys as raw;
use std::ffi::{CStr, CString, c_char, c_void};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::ptr;

/// What a map is created from.
pub struct MapSpec<'a> {
    /// At most 15 bytes of `[A-Za-z0-9_.]`.
    pub name: &'a CStr,
    /// `enum bpf_map_type`.
    pub kind: u32,
    /// Bytes.
    pub key_size: u32,
    /// Bytes.
    pub value_size: u32,
    /// Entries, or bytes of a ring buffer.
    pub max_entries: u32,
    /// `BPF_F_*`.
    pub flags: u32,
}

/// `BPF_MAP_CREATE`
pub fn map_create(spec: &MapSpec<'_>) -> io::Result<OwnedFd> {
    let opts = raw::bpf_map_create_opts {
        sz: size_of::<raw::bpf_map_create_opts>() as _,
        map_flags: spec.flags,
        ..Default::default()
    };
    // SAFETY: the name is NUL-terminated, the options carry their own size; both are only read.
    owned_or_errno(unsafe {
        raw::bpf_map_create(
            spec.kind,
            spec.name.as_ptr(),
            spec.key_size,
            spec.value_size,
            spec.max_entries,
            &opts,
        )
    })
}

/// `BPF_MAP_FREEZE`
pub fn map_freeze(map: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: takes a number only.
    checked(unsafe { raw::bpf_map_freeze(map.as_raw_fd()) }).map(drop)
}

/// `BPF_MAP_UPDATE_ELEM`; `value` holds all CPUs' values in a per-CPU map.
pub fn map_update(map: BorrowedFd<'_>, key: &[u8], value: &[u8]) -> io::Result<()> {
    let (key, value) = (key.as_ptr().cast(), value.as_ptr().cast());
    // SAFETY: callers pass key and value buffers of the map's sizes (see `maps::Table`); both are only read.
    checked(unsafe { raw::bpf_map_update_elem(map.as_raw_fd(), key, value, 0) }).map(drop)
}

/// `BPF_MAP_LOOKUP_ELEM`; `value` has room for all CPUs' values in a per-CPU map. Whether the key is there.
pub fn map_lookup(map: BorrowedFd<'_>, key: &[u8], value: &mut [u8]) -> io::Result<bool> {
    let (key, value) = (key.as_ptr().cast(), value.as_mut_ptr().cast());
    // SAFETY: callers pass buffers of the map's sizes (see `maps::Table`), which the kernel fills.
    found(unsafe { raw::bpf_map_lookup_elem(map.as_raw_fd(), key, value) })
}

/// `BPF_MAP_DELETE_ELEM`. Whether the key was there.
pub fn map_delete(map: BorrowedFd<'_>, key: &[u8]) -> io::Result<bool> {
    // SAFETY: callers pass a key of the map's size; it is only read.
    found(unsafe { raw::bpf_map_delete_elem(map.as_raw_fd(), key.as_ptr().cast()) })
}

/// `BPF_MAP_GET_NEXT_KEY`. Whether there was one.
pub fn map_next_key(map: BorrowedFd<'_>, key: Option<&[u8]>, next: &mut [u8]) -> io::Result<bool> {
    let key = key.map_or(ptr::null(), |key| key.as_ptr().cast());
    // SAFETY: both buffers have the map's key size; null asks for the first key.
    found(unsafe { raw::bpf_map_get_next_key(map.as_raw_fd(), key, next.as_mut_ptr().cast()) })
}

/// Buffers of one `BPF_MAP_LOOKUP_BATCH`.
pub struct Batch<'a> {
    /// Room for `capacity` keys.
    pub keys: &'a mut [u8],
    /// Room for as many values.
    pub values: &'a mut [u8],
    /// How many fit.
    pub capacity: u32,
}

/// `BPF_MAP_LOOKUP_BATCH`: how many entries came, and where to go on if there are more.
///
/// A position is a `u32` for the hash and array maps that we make (a bucket or an index).
pub fn map_lookup_batch(
    map: BorrowedFd<'_>,
    position: Option<u64>,
    batch: Batch<'_>,
) -> io::Result<(u32, Option<u64>)> {
    let mut count = batch.capacity;
    let mut start = position.unwrap_or(0);
    let mut next = 0u64;
    let start = match position {
        None => ptr::null_mut(),
        Some(_) => (&raw mut start).cast(),
    };
    // SAFETY: keys and values have room for `capacity` entries (see `maps::Table`), positions for a u32.
    let result = unsafe {
        raw::bpf_map_lookup_batch(
            map.as_raw_fd(),
            start,
            (&raw mut next).cast(),
            batch.keys.as_mut_ptr().cast(),
            batch.values.as_mut_ptr().cast(),
            &mut count,
            ptr::null(),
        )
    };
    match checked(result) {
        Ok(_) => Ok((count, Some(next))),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok((count, None)),
        Err(error) => Err(error),
    }
}

fn found(result: i32) -> io::Result<bool> {
    match checked(result) {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// `BPF_BTF_LOAD`
pub fn btf_load(btf: &[u8]) -> io::Result<OwnedFd> {
    // SAFETY: pointer and length belong together; no options.
    owned_or_errno(unsafe {
        raw::bpf_btf_load(btf.as_ptr().cast(), btf.len() as _, ptr::null_mut())
    })
}

/// What a program is loaded from.
pub struct ProgramSpec<'a> {
    /// At most 15 bytes of `[A-Za-z0-9_.]`.
    pub name: &'a CStr,
    /// `enum bpf_prog_type`.
    pub kind: u32,
    /// `enum bpf_attach_type`, 0 where it does not matter.
    pub attach_type: u32,
    /// E.g. `GPL`.
    pub license: &'a CStr,
    /// Encoded instructions, 8 bytes each.
    pub insns: &'a [u8],
    /// `BPF_F_*`.
    pub flags: u32,
    /// BTF with functions and lines.
    pub btf: Option<ProgramBtf<'a>>,
    /// Type in the target's BTF, 0 for none.
    pub attach_btf_id: u32,
    /// What `attach_btf_id` counts in.
    pub target: LoadTarget<'a>,
}

/// `func_info` and `line_info` of a program.
#[derive(Clone, Copy)]
pub struct ProgramBtf<'a> {
    /// Loaded BTF.
    pub fd: BorrowedFd<'a>,
    /// `struct bpf_func_info[]`, 8 bytes each.
    pub functions: &'a [u8],
    /// `struct bpf_line_info[]`, 16 bytes each.
    pub lines: &'a [u8],
}

/// Where a program is bound at load time.
#[derive(Clone, Copy)]
pub enum LoadTarget<'a> {
    /// The kernel's own BTF, or nowhere.
    Kernel,
    /// BTF of a module.
    Module(BorrowedFd<'a>),
    /// Another program.
    Program(BorrowedFd<'a>),
}

/// `BPF_PROG_LOAD`. With `log` the verifier writes its log there.
pub fn program_load(spec: &ProgramSpec<'_>, log: Option<&mut Vec<u8>>) -> io::Result<OwnedFd> {
    let mut opts = raw::bpf_prog_load_opts {
        sz: size_of::<raw::bpf_prog_load_opts>() as _,
        expected_attach_type: spec.attach_type,
        prog_flags: spec.flags,
        attach_btf_id: spec.attach_btf_id,
        ..Default::default()
    };
    match spec.target {
        LoadTarget::Kernel => {}
        LoadTarget::Module(fd) => opts.attach_btf_obj_fd = fd.as_raw_fd() as u32,
        LoadTarget::Program(fd) => opts.attach_prog_fd = fd.as_raw_fd() as u32,
    }
    if let Some(btf) = spec.btf {
        opts.prog_btf_fd = btf.fd.as_raw_fd() as u32;
        opts.func_info = btf.functions.as_ptr().cast();
        opts.func_info_rec_size = 8;
        opts.func_info_cnt = (btf.functions.len() / 8) as u32;
        opts.line_info = btf.lines.as_ptr().cast();
        opts.line_info_rec_size = 16;
        opts.line_info_cnt = (btf.lines.len() / 16) as u32;
    }
    if let Some(log) = log {
        opts.log_level = 1;
        opts.log_size = u32::try_from(log.len()).unwrap_or(u32::MAX >> 8);
        opts.log_buf = log.as_mut_ptr().cast();
    }
    let count = spec.insns.len() / 8;
    // SAFETY: every pointer in the options and arguments comes with its length and outlives the call;
    // instructions are copied bytewise by the kernel, so their alignment does not matter.
    owned_or_errno(unsafe {
        raw::bpf_prog_load(
            spec.kind,
            spec.name.as_ptr(),
            spec.license.as_ptr(),
            spec.insns.as_ptr().cast(),
            count as _,
            &mut opts,
        )
    })
}

/// `BPF_PROG_TEST_RUN` of a raw tracepoint program whose arguments are all zero: its result.
pub fn program_run(program: BorrowedFd<'_>) -> io::Result<u32> {
    let args = [0u64; 12];
    let mut opts = raw::bpf_test_run_opts {
        sz: size_of::<raw::bpf_test_run_opts>() as _,
        ctx_in: args.as_ptr().cast(),
        ctx_size_in: size_of_val(&args) as u32,
        ..Default::default()
    };
    // SAFETY: the context is given with its size and outlives the call.
    checked(unsafe { raw::bpf_prog_test_run_opts(program.as_raw_fd(), &mut opts) })?;
    Ok(opts.retval)
}

/// What `BPF_LINK_CREATE` takes beside program, target and attach type.
pub enum LinkDetail<'a> {
    /// Nothing.
    None,
    /// A cookie for a perf event.
    PerfCookie(u64),
    /// A cookie for fentry, fexit, typed raw tracepoints.
    TracingCookie(u64),
    /// `XDP_FLAGS_*` or the like.
    Flags(u32),
    /// Many kernel functions, by name or by address.
    KprobeMulti {
        /// Where.
        functions: KprobeMultiTargets<'a>,
        /// Empty or one per function.
        cookies: &'a [u64],
        /// Return probes.
        on_return: bool,
    },
    /// Many places in a file.
    UprobeMulti {
        /// The file.
        path: &'a CStr,
        /// File offsets.
        offsets: &'a [u64],
        /// Empty or one per offset.
        semaphores: &'a [u64],
        /// Empty or one per offset.
        cookies: &'a [u64],
        /// Return probes.
        on_return: bool,
        /// Only this process.
        pid: Option<u32>,
    },
}

/// See [`LinkDetail::KprobeMulti`].
#[derive(Clone, Copy)]
pub enum KprobeMultiTargets<'a> {
    /// Symbol names.
    Names(&'a [CString]),
    /// Addresses.
    Addresses(&'a [u64]),
}

/// `BPF_F_KPROBE_MULTI_RETURN` and `BPF_F_UPROBE_MULTI_RETURN`.
const MULTI_RETURN: u32 = 1;

/// `BPF_LINK_CREATE`; `target` is a descriptor or an interface number.
pub fn link_create(
    program: BorrowedFd<'_>,
    target: RawFd,
    attach_type: u32,
    detail: &LinkDetail<'_>,
) -> io::Result<OwnedFd> {
    let mut opts = raw::bpf_link_create_opts {
        sz: size_of::<raw::bpf_link_create_opts>() as _,
        ..Default::default()
    };
    // Lives as long as the call: the options point into it.
    let mut names: Vec<*const c_char> = Vec::new();
    match *detail {
        LinkDetail::None => {}
        LinkDetail::Flags(flags) => opts.flags = flags,
        LinkDetail::PerfCookie(cookie) => opts.__bindgen_anon_1.perf_event.bpf_cookie = cookie,
        LinkDetail::TracingCookie(cookie) => opts.__bindgen_anon_1.tracing.cookie = cookie,
        LinkDetail::KprobeMulti {
            functions,
            cookies,
            on_return,
        } => {
            let mut multi = raw::bpf_link_create_opts__bindgen_ty_1__bindgen_ty_2 {
                flags: if on_return { MULTI_RETURN } else { 0 },
                cookies: pointer_or_null(cookies),
                ..Default::default()
            };
            match functions {
                KprobeMultiTargets::Names(list) => {
                    names = list.iter().map(|name| name.as_ptr()).collect();
                    multi.cnt = names.len() as u32;
                    multi.syms = names.as_mut_ptr();
                }
                KprobeMultiTargets::Addresses(addresses) => {
                    multi.cnt = addresses.len() as u32;
                    multi.addrs = addresses.as_ptr();
                }
            }
            opts.__bindgen_anon_1.kprobe_multi = multi;
        }
        LinkDetail::UprobeMulti {
            path,
            offsets,
            semaphores,
            cookies,
            on_return,
            pid,
        } => {
            opts.__bindgen_anon_1.uprobe_multi =
                raw::bpf_link_create_opts__bindgen_ty_1__bindgen_ty_3 {
                    flags: if on_return { MULTI_RETURN } else { 0 },
                    cnt: offsets.len() as u32,
                    path: path.as_ptr(),
                    offsets: offsets.as_ptr(),
                    ref_ctr_offsets: pointer_or_null(semaphores),
                    cookies: pointer_or_null(cookies),
                    pid: pid.unwrap_or(0),
                    ..Default::default()
                };
        }
    }
    let fd = program.as_raw_fd();
    // SAFETY: every pointer in the options comes with its count and outlives the call.
    let result = unsafe { raw::bpf_link_create(fd, target, attach_type, &opts) };
    drop(names);
    owned_or_errno(result)
}

fn pointer_or_null(list: &[u64]) -> *const u64 {
    match list.is_empty() {
        true => ptr::null(),
        false => list.as_ptr(),
    }
}

/// `BPF_RAW_TRACEPOINT_OPEN`; no name for programs that were bound when they were loaded.
pub fn raw_tracepoint_open(
    program: BorrowedFd<'_>,
    name: Option<&CStr>,
    cookie: u64,
) -> io::Result<OwnedFd> {
    let mut opts = raw::bpf_raw_tp_opts {
        sz: size_of::<raw::bpf_raw_tp_opts>() as _,
        tp_name: name.map_or(ptr::null(), CStr::as_ptr),
        cookie,
    };
    // SAFETY: the name is NUL-terminated or null and outlives the call.
    owned_or_errno(unsafe { raw::bpf_raw_tracepoint_open_opts(program.as_raw_fd(), &mut opts) })
}

/// `BPF_ITER_CREATE`
pub fn iter_create(link: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // SAFETY: takes a number only.
    owned_or_errno(unsafe { raw::bpf_iter_create(link.as_raw_fd()) })
}

/// `BPF_OBJ_PIN`
pub fn pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = c_path(path)?;
    // SAFETY: the path is NUL-terminated and only read.
    checked(unsafe { raw::bpf_obj_pin(object.as_raw_fd(), path.as_ptr()) }).map(drop)
}

/// A path for the kernel.
pub fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_encoded_bytes())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a path with a NUL byte"))
}

/// Kinds of things that have numbers in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdKind {
    /// Programs.
    Program,
    /// BTF blobs.
    Btf,
}

/// The next number after `id` of that kind, if there is one.
pub fn next_id(kind: IdKind, id: u32) -> io::Result<Option<u32>> {
    let mut next = 0;
    let call = match kind {
        IdKind::Program => raw::bpf_prog_get_next_id,
        IdKind::Btf => raw::bpf_btf_get_next_id,
    };
    // SAFETY: `next` is one u32 that the kernel fills.
    Ok(found(unsafe { call(id, &mut next) })?.then_some(next))
}

/// A descriptor of the thing with that number.
pub fn fd_by_id(kind: IdKind, id: u32) -> io::Result<OwnedFd> {
    let call = match kind {
        IdKind::Program => raw::bpf_prog_get_fd_by_id,
        IdKind::Btf => raw::bpf_btf_get_fd_by_id,
    };
    // SAFETY: takes a number only.
    owned_or_errno(unsafe { call(id) })
}

/// `struct bpf_prog_info` of a loaded program.
pub fn program_info(program: BorrowedFd<'_>) -> io::Result<raw::bpf_prog_info> {
    let mut info = raw::bpf_prog_info::default();
    let mut size = size_of_val(&info) as u32;
    // SAFETY: all pointers inside are null with length 0, so that only the structure itself is filled.
    checked(unsafe { raw::bpf_prog_get_info_by_fd(program.as_raw_fd(), &mut info, &mut size) })?;
    Ok(info)
}

/// Name of a BTF blob in the kernel (`vmlinux`, a module's name), `None` for blobs that user space loaded.
pub fn kernel_btf_name(btf: BorrowedFd<'_>) -> io::Result<Option<String>> {
    let mut name = [0u8; 128];
    let mut info = raw::bpf_btf_info {
        name: name.as_mut_ptr() as u64,
        name_len: name.len() as u32,
        ..Default::default()
    };
    let mut size = size_of_val(&info) as u32;
    // SAFETY: the name buffer is given with its length and outlives the call.
    checked(unsafe { raw::bpf_btf_get_info_by_fd(btf.as_raw_fd(), &mut info, &mut size) })?;
    let text = CStr::from_bytes_until_nul(&name).unwrap_or_default();
    Ok((info.kernel_btf != 0).then(|| text.to_string_lossy().into_owned()))
}

/// The kernel measures how long programs run, as long as this is open.
pub fn enable_run_time_stats() -> io::Result<OwnedFd> {
    // SAFETY: takes a number only.
    owned_or_errno(unsafe { raw::bpf_enable_stats(raw::BPF_STATS_RUN_TIME) })
}

/// Type id of a function in the BTF with that number.
pub fn btf_function(btf_id: u32, name: &CStr) -> io::Result<u32> {
    /// `BTF_KIND_FUNC`
    const FUNCTION: u32 = 12;
    // SAFETY: takes a number only; the result is freed below.
    let btf = unsafe { raw::btf__load_from_kernel_by_id(btf_id) };
    if btf.is_null() {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `btf` is the non-null object from above, the name is NUL-terminated.
    let found = unsafe { raw::btf__find_by_name_kind(btf, name.as_ptr(), FUNCTION) };
    // SAFETY: `btf` is not used after this.
    unsafe { raw::btf__free(btf) };
    checked(found).map(|id| id as u32)
}

/// Whether the kernel's verifier of this program type knows a helper.
pub fn has_helper(program_kind: u32, helper: u32) -> bool {
    // SAFETY: takes numbers only; no options.
    unsafe { raw::libbpf_probe_bpf_helper(program_kind, helper, ptr::null::<c_void>()) == 1 }
}

/// libbpf prints to standard error unless told otherwise; our own errors say more.
pub fn silence_libbpf() {
    // SAFETY: no callback means no output; libbpf swaps the pointer atomically.
    unsafe { raw::libbpf_set_print(None) };
}
