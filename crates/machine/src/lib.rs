//! What is known about the machine being traced, read from files alone.
//!
//! [`Machine`] is the entry: a root folder with `/sys`, `/proc`, `/usr` … below it. The running machine is `/`, a container is
//! `/proc/PID/root`, a test is a fixture folder; the same code reads all three. Nothing is read before it is asked for, and
//! what was read is kept. Every byte read is a claim: it is checked, it is bounded, and it never makes the tracer panic or hang.
//!
//! | Module | Knows |
//! |---|---|
//! | [`btf`] | the kernel's own types, functions and raw tracepoint arguments |
//! | [`tracefs`] | tracepoints and their event layout, PMU types |
//! | [`kallsyms`] | kernel symbols and addresses |
//! | [`elf`] | binaries: symbols, offsets, where a name leads, what can be probed |
//! | [`go`] | Go programs: functions of stripped ones, call and return places, the running goroutine |
//! | [`usdt`] | static probes in binaries and where their arguments lie |
//! | [`dwarf`] | parameters of functions, source lines |
//! | [`unwind`] | `.eh_frame`: from a frame to its caller's |
//! | [`process`] | processes, their maps, namespaces, cgroups, users, CPUs |
//! | [`features`] | what files tell about the kernel's abilities |

mod address;
pub mod btf;
pub mod bytes;
mod devices;
pub mod dwarf;
pub mod elf;
mod error;
pub mod features;
pub mod go;
pub mod kallsyms;
mod machine;
pub mod pattern;
pub mod process;
pub mod root;
pub mod suggest;
pub mod tracefs;
pub mod unwind;
pub mod usdt;

pub use address::{Address, FileOffset, Pid};
pub use error::{Error, Result};
pub use machine::Machine;
