//! Types that only the running program knows: of values in Go's interfaces.

use fathom_bpf::shape::{ShapeId, Shapes};
use std::sync::Arc;

/// A type that was found.
#[derive(Clone, Debug)]
pub struct DynamicType {
    /// As in the source.
    pub name: String,
    /// What its values look like.
    pub shapes: Arc<Shapes>,
    /// Which of the shapes.
    pub shape: ShapeId,
    /// The value itself is a pointer, and lies in the interface.
    pub is_pointer: bool,
}

/// Finds types by the address of their description in a process.
pub trait DynamicTypes: std::fmt::Debug + Send + Sync {
    /// The type that a process describes there.
    fn find(&self, program: &ProgramPlace<'_>, description: u64) -> Option<Arc<DynamicType>>;
}

/// Where in a program an event is from; tells which file's types are meant, and where it is loaded.
#[derive(Clone, Copy, Debug)]
pub struct ProgramPlace<'d> {
    /// The file.
    pub path: &'d str,
    /// Offsets in the file, one of which the event is from.
    pub offsets: &'d [u64],
    /// The instruction pointer there.
    pub instruction: u64,
}

/// A program, and who knows its types.
#[derive(Clone, Copy)]
pub struct DynamicSource<'d> {
    /// Who knows.
    pub types: &'d dyn DynamicTypes,
    /// The program.
    pub program: ProgramPlace<'d>,
}
