//! What the kernel accepts, as plain values: instructions, maps, memory layouts and the [`Object`] that joins the
//! makers (`compiler`, `policy`) with the runner (`runtime`).
//!
//! Nothing here does I/O. Start reading at [`object`].
#![forbid(unsafe_code)]

pub mod btf_writer;
pub mod capture;
pub mod elf;
pub mod helper;
pub mod insn;
pub mod interpreter;
pub mod layout;
pub mod link;
pub mod map;
pub mod object;
pub mod shape;
pub mod slots;
pub mod text;
pub mod unwind;

pub use helper::Helper;
pub use insn::{Insn, Reg};
pub use layout::{Field, Layout};
pub use map::{Map, MapId, MapKind};
pub use object::{Action, AttachPoint, Object, Program, ProgramId, ProgramKind};
