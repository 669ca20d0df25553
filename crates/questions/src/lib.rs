//! The ready questions: each is a script in the project's own language, and the decoding that a script cannot do.
//!
//! Nothing here does I/O: a question gives the text of a script, and is told what the script's programs send.
#![forbid(unsafe_code)]

pub mod calls;
mod duration;

pub use duration::{parse_duration, show_duration};
