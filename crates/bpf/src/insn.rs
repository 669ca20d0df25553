//! eBPF instructions (Documentation/bpf/standardization/instruction-set.rst in the kernel).

/// One 8-byte instruction slot. `ld_imm64` takes two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Insn {
    /// Operation.
    pub opcode: u8,
    /// Destination register (0..=10).
    pub dst: u8,
    /// Source register (0..=10) or pseudo kind.
    pub src: u8,
    /// Signed offset.
    pub offset: i16,
    /// Signed immediate.
    pub imm: i32,
}
