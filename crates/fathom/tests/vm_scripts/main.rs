//! Scripts as a user runs them, on the kernels of `cargo xtask vm`: everything that the host's kernel may not allow.
//!
//! Each test holds on every kernel of the matrix. Where an old one lacks something, the test says what happens instead.

mod events;
mod functions;
mod harness;
mod losses;
mod older;
mod programs;
