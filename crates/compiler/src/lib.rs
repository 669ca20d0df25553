//! From a script's syntax tree to a [`fathom_bpf::Object`].
//!
//! [`compile`] shows the order of the stages. The compiler asks the `machine` crate what exists (types, tracepoints,
//! symbols) and never talks to the kernel itself; what the kernel can do arrives as a [`features::Features`] value.
#![forbid(unsafe_code)]

pub mod backend;
pub mod config;
pub mod features;
pub mod ir;
pub mod probes;
pub mod ty;
pub mod types;
