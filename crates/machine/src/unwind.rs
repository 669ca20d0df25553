//! `.eh_frame`: how to get from any instruction of a file to its caller's frame, as rows for the kernel side.
//!
//! What a row cannot say (expressions, registers other than the stack and frame pointer, offsets beyond 16 bits) becomes a
//! row that ends the walk: a stack is cut rather than guessed.

use crate::elf::Elf;
use crate::{Error, Result};
use fathom_bpf::unwind::{BP_SAVED, RULE_BP, RULE_END, RULE_PLT, RULE_SP, Row};
use gimli::{
    BaseAddresses, CfaRule, CieOrFde, EhFrame, EndianSlice, LittleEndian, RegisterRule,
    UnwindContext, UnwindSection, UnwindTableRow, X86_64,
};
use std::borrow::Cow;

type Slice<'a> = EndianSlice<'a, LittleEndian>;

/// Rows of one file at most; more are left out, and the walk ends there.
const MAX_ROWS: usize = 1 << 22;
/// What linkers write for the procedure linkage table: `rsp + 8 + ((rip & 15) >= 11) * 8`; the constant in its middle varies.
const PLT_EXPRESSION_START: [u8; 5] = [0x77, 0x08, 0x80, 0x00, 0x3f];

/// The rows of a file in order of address, each valid until the next one.
pub fn rows(elf: &Elf) -> Result<Vec<Row>> {
    let Some((address, _, _)) = elf.section_place(".eh_frame") else {
        return Ok(Vec::new());
    };
    let bytes: Cow<'_, [u8]> = elf.section(".eh_frame")?.unwrap_or_default();
    let mut bases = BaseAddresses::default().set_eh_frame(address.0);
    if let Some((text, _, _)) = elf.section_place(".text") {
        bases = bases.set_text(text.0);
    }
    let section = EhFrame::new(&bytes, LittleEndian);
    let mut collector = Collector {
        base: elf.load_address().0,
        rows: Vec::new(),
    };
    collector.all(&section, &bases).map_err(|error| {
        Error::malformed(
            format!(".eh_frame of {}", elf.path().display()),
            error.to_string(),
        )
    })?;
    Ok(collector.finish())
}

struct Collector {
    base: u64,
    rows: Vec<Row>,
}

impl Collector {
    fn all(&mut self, section: &EhFrame<Slice<'_>>, bases: &BaseAddresses) -> gimli::Result<()> {
        let mut context = UnwindContext::new();
        let mut entries = section.entries(bases);
        while let Some(entry) = entries.next()? {
            let CieOrFde::Fde(partial) = entry else {
                continue;
            };
            // One entry that makes no sense does not take the others along.
            let Ok(fde) = partial.parse(EhFrame::cie_from_offset) else {
                continue;
            };
            let is_signal = fde.cie().is_signal_trampoline();
            let Ok(mut table) = fde.rows(section, bases, &mut context) else {
                continue;
            };
            while let Ok(Some(row)) = table.next_row() {
                let rule = match is_signal {
                    true => (RULE_END, 0, 0),
                    false => rule(row, section),
                };
                self.push(row.start_address(), rule);
            }
            self.push(fde.end_address(), (RULE_END, 0, 0));
            if self.rows.len() > MAX_ROWS {
                break;
            }
        }
        Ok(())
    }

    fn push(&mut self, address: u64, (rule, cfa_offset, bp_offset): (u8, i16, i16)) {
        let relative = address.checked_sub(self.base);
        if let Some(address) = relative.and_then(|address| u32::try_from(address).ok()) {
            self.rows.push(Row {
                address,
                cfa_offset,
                bp_offset,
                rule,
            });
        }
    }

    /// Sorted; where a function follows at once, the row that ended the one before it is gone, and so are rows that say what
    /// the one before says.
    fn finish(mut self) -> Vec<Row> {
        // The end of one entry comes before the start of the next at the same address.
        self.rows
            .sort_by_key(|row| (row.address, row.rule != RULE_END));
        let mut kept: Vec<Row> = Vec::with_capacity(self.rows.len());
        for row in self.rows {
            if kept.last().is_some_and(|last| last.address == row.address) {
                kept.pop();
            }
            let says = |row: &Row| (row.rule, row.cfa_offset, row.bp_offset);
            if kept.last().is_none_or(|last| says(last) != says(&row)) {
                kept.push(row);
            }
        }
        kept
    }
}

/// Rule, CFA offset, frame pointer offset.
fn rule(row: &UnwindTableRow<usize>, section: &EhFrame<Slice<'_>>) -> (u8, i16, i16) {
    const END: (u8, i16, i16) = (RULE_END, 0, 0);
    let (rule, cfa_offset) = match row.cfa() {
        CfaRule::RegisterAndOffset { register, offset } => {
            let rule = match *register {
                X86_64::RSP => RULE_SP,
                X86_64::RBP => RULE_BP,
                _ => return END,
            };
            match i16::try_from(*offset) {
                Ok(offset) => (rule, offset),
                Err(_) => return END,
            }
        }
        CfaRule::Expression(expression) => match expression.get(section) {
            Ok(found) if found.0.slice().starts_with(&PLT_EXPRESSION_START) => (RULE_PLT, 8),
            _ => return END,
        },
    };
    // The return address is where the ABI puts it, or the walk ends: `undefined` marks the first function of a thread.
    match row.register(X86_64::RA) {
        Some(RegisterRule::Offset(-8)) => {}
        _ => return END,
    }
    match row.register(X86_64::RBP) {
        Some(RegisterRule::Offset(offset)) => match i16::try_from(offset) {
            Ok(offset) => (rule | BP_SAVED, cfa_offset, offset),
            Err(_) => END,
        },
        _ => (rule, cfa_offset, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fathom_bpf::unwind::RULE_MASK;

    #[test]
    fn the_running_program_has_rows_in_order() {
        let elf = Elf::open(std::path::Path::new("/proc/self/exe")).unwrap();
        let rows = rows(&elf).unwrap();
        assert!(rows.len() > 100, "{} rows", rows.len());
        assert!(
            rows.windows(2)
                .all(|pair| pair[0].address < pair[1].address)
        );
        // At a function's first instruction the return address is on top of the stack.
        assert!(
            rows.iter()
                .any(|row| (row.rule & RULE_MASK, row.cfa_offset) == (RULE_SP, 8))
        );
    }

    #[test]
    fn an_entry_that_follows_at_once_replaces_the_end_of_the_one_before() {
        let mut collector = Collector {
            base: 0x1000,
            rows: Vec::new(),
        };
        collector.push(0x1010, (RULE_SP, 8, 0));
        collector.push(0x1020, (RULE_END, 0, 0));
        collector.push(0x1000, (RULE_SP, 16, 0));
        collector.push(0x1010, (RULE_END, 0, 0));
        let shown: Vec<(u32, u8)> = collector
            .finish()
            .iter()
            .map(|row| (row.address, row.rule))
            .collect();
        assert_eq!(shown, [(0, RULE_SP), (0x10, RULE_SP), (0x20, RULE_END)]);
    }
}
