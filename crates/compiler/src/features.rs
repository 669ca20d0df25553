//! What the kernel that will run the object can do, as far as code generation depends on it.

/// Kernel abilities, probed by whoever compiles. [`Features::default`] is a current kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Features {
    /// Ring buffer map (Linux 5.8).
    pub ring_buffer: bool,
    /// `bpf_loop` (Linux 5.17).
    pub bpf_loop: bool,
    /// `bpf_for_each_map_elem` (Linux 5.13).
    pub for_each_map_elem: bool,
    /// `bpf_get_attach_cookie` for perf events (Linux 5.15).
    pub attach_cookie: bool,
    /// Atomic fetch, exchange (Linux 5.12).
    pub atomic_fetch: bool,
    /// kprobe.multi links (Linux 5.18, `CONFIG_FPROBE`).
    pub kprobe_multi: bool,
    /// kprobe.session (Linux 6.10).
    pub kprobe_session: bool,
    /// uprobe.multi links (Linux 6.6).
    pub uprobe_multi: bool,
    /// uprobe.session (Linux 6.14).
    pub uprobe_session: bool,
    /// Typed raw tracepoints (Linux 5.5).
    pub tracepoint_btf: bool,
    /// `bpf_ktime_get_boot_ns` (Linux 5.7).
    pub ktime_boot: bool,
    /// `bpf_ktime_get_tai_ns` (Linux 6.1).
    pub ktime_tai: bool,
    /// `bpf_strncmp` (Linux 5.17).
    pub strncmp: bool,
    /// `bpf_get_current_task_btf` (Linux 5.11).
    pub current_task_btf: bool,
    /// `bpf_get_func_ip` in kernel functions (Linux 5.15).
    pub function_address: bool,
    /// `bpf_get_func_ip` in user functions (Linux 6.6).
    pub user_function_address: bool,
    /// `bpf_map_lookup_percpu_elem` (Linux 5.19).
    pub read_other_cpus: bool,
    /// Structs by value as arguments of fentry and fexit (Linux 6.1).
    pub struct_arguments: bool,
    /// Keys of hash maps above 512 bytes (Linux 5.11).
    pub long_keys: bool,
}

impl Default for Features {
    fn default() -> Features {
        Features {
            ring_buffer: true,
            bpf_loop: true,
            for_each_map_elem: true,
            attach_cookie: true,
            atomic_fetch: true,
            kprobe_multi: true,
            kprobe_session: true,
            uprobe_multi: true,
            uprobe_session: true,
            tracepoint_btf: true,
            ktime_boot: true,
            ktime_tai: true,
            strncmp: true,
            current_task_btf: true,
            function_address: true,
            user_function_address: true,
            read_other_cpus: true,
            struct_arguments: true,
            long_keys: true,
        }
    }
}
