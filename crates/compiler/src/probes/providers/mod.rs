//! One file for each kind of probe, or for a few that differ in one word.

pub(super) mod event;
pub(super) mod iterator;
pub(super) mod kprobe;
pub(super) mod network;
pub(super) mod own;
pub(super) mod rawtracepoint;
pub(super) mod syscalls;
pub(super) mod timer;
pub(super) mod tracepoint;
pub(super) mod trampoline;
pub(super) mod uprobe;
mod uprobe_args;
mod uprobe_go;
mod uprobe_go_described;
mod uprobe_values;
pub(super) mod usdt;
pub(super) mod watchpoint;
