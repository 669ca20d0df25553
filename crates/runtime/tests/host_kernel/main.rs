//! Sessions on the running kernel, from objects assembled by hand. They need root; elsewhere each says that it is skipped.

mod assemble;
mod attach;
mod clean;
mod events;
mod files;
mod harness;
mod network;
mod session;
