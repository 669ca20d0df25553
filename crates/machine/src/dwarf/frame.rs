//! The canonical frame address, on which compilers base the places of variables: by `.eh_frame`, or by `.debug_frame`.

use super::{DebugInfo, Slice};
use crate::elf::Elf;
use gimli::{
    BaseAddresses, CfaRule, CieOrFde, DebugFrame, EhFrame, EndianSlice, LittleEndian,
    UnwindContext, UnwindOffset, UnwindSection,
};

/// Entries kept of one file.
const MAX_ENTRIES: usize = 4_000_000;
/// Rows of one function.
const MAX_ROWS: usize = 1_000_000;

/// Functions that have an entry, in order of address.
#[derive(Debug, Default)]
pub(super) struct FrameIndex(Vec<Frame>);

/// Where the entry of a function is in its section.
#[derive(Debug, Clone, Copy)]
struct Frame {
    start: u64,
    end: u64,
    entry: usize,
}

/// How to calculate the canonical frame address.
pub(super) enum FrameAddress<'a> {
    /// A register plus a number.
    Register { number: u16, offset: i64 },
    /// An expression.
    Expression(gimli::Expression<Slice<'a>>, gimli::Encoding),
}

impl FrameIndex {
    fn find(&self, address: u64) -> Option<usize> {
        let after = self.0.partition_point(|frame| frame.start <= address);
        let frame = self.0.get(after.checked_sub(1)?)?;
        (address < frame.end).then_some(frame.entry)
    }
}

impl DebugInfo {
    /// The rule for an instruction; `None` when no entry covers it.
    pub(super) fn frame_address(&self, pc: u64) -> Option<FrameAddress<'_>> {
        let bases = bases(&self.binary);
        let eh_frame = EhFrame::from(EndianSlice::new(self.eh_frame(), LittleEndian));
        let debug_frame = DebugFrame::from(self.debug_frame());
        rule::<EhFrame<_>>(
            &eh_frame,
            &bases,
            pc,
            self.eh_frame_index.get_or_init(|| index(&eh_frame, &bases)),
        )
        .or_else(|| {
            let known = self
                .debug_frame_index
                .get_or_init(|| index(&debug_frame, &bases));
            rule::<DebugFrame<_>>(&debug_frame, &bases, pc, known)
        })
    }

    /// `.eh_frame` is in the binary itself also when the debug information is in a file of its own.
    fn eh_frame(&self) -> &[u8] {
        let read = || {
            let section = self.binary.section(".eh_frame").ok().flatten();
            section.unwrap_or_default().into_owned()
        };
        self.eh_frame.get_or_init(read)
    }

    fn debug_frame(&self) -> Slice<'_> {
        let bytes = self.main.get(gimli::SectionId::DebugFrame);
        EndianSlice::new(bytes.unwrap_or_default(), LittleEndian)
    }
}

fn bases(elf: &Elf) -> BaseAddresses {
    let place = |name| elf.section_place(name).map(|(address, _, _)| address.0);
    let mut bases = BaseAddresses::default();
    if let Some(address) = place(".eh_frame") {
        bases = bases.set_eh_frame(address);
    }
    if let Some(address) = place(".text") {
        bases = bases.set_text(address);
    }
    bases
}

/// Entries that make no sense are left out.
fn index<'a, S>(section: &S, bases: &BaseAddresses) -> FrameIndex
where
    S: UnwindSection<Slice<'a>>,
    S::Offset: UnwindOffset<usize>,
{
    let mut frames = Vec::new();
    let mut entries = section.entries(bases);
    while let Ok(Some(entry)) = entries.next() {
        let CieOrFde::Fde(partial) = entry else {
            continue;
        };
        let offset = partial.offset();
        let Ok(entry) = partial.parse(S::cie_from_offset) else {
            continue;
        };
        if frames.len() >= MAX_ENTRIES {
            break;
        }
        frames.push(Frame {
            start: entry.initial_address(),
            end: entry.end_address(),
            entry: offset,
        });
    }
    frames.sort_unstable_by_key(|frame| (frame.start, frame.end));
    FrameIndex(frames)
}

fn rule<'a, S>(
    section: &S,
    bases: &BaseAddresses,
    pc: u64,
    index: &FrameIndex,
) -> Option<FrameAddress<'a>>
where
    S: UnwindSection<Slice<'a>>,
    S::Offset: UnwindOffset<usize>,
{
    let offset = index.find(pc)?;
    let entry = section
        .fde_from_offset(bases, S::Offset::from(offset), S::cie_from_offset)
        .ok()?;
    let mut context = UnwindContext::new();
    let mut rows = entry.rows(section, bases, &mut context).ok()?;
    for _ in 0..MAX_ROWS {
        let row = rows.next_row().ok()??;
        if !row.contains(pc) {
            continue;
        }
        return match row.cfa() {
            CfaRule::RegisterAndOffset { register, offset } => Some(FrameAddress::Register {
                number: register.0,
                offset: *offset,
            }),
            CfaRule::Expression(expression) => Some(FrameAddress::Expression(
                expression.get(section).ok()?,
                entry.cie().encoding(),
            )),
        };
    }
    None
}
