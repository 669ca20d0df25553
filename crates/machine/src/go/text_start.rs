//! The address that the table's functions count from: `runtime.text`.
//!
//! The header had it from Go 1.18 to 1.25. Where it is 0, several places may tell, and what they say is tried on the functions:
//! most start by comparing the stack pointer with the goroutine's limit.

use super::pclntab::Table;
use crate::Address;
use crate::bytes::u64_at;
use crate::elf::Elf;

/// Functions looked at to judge an answer.
const SAMPLE: usize = 512;
/// Of them, so many in a hundred must start as compiled functions do.
const MIN_PERCENT: usize = 20;
/// `cmp 0x10(%r14),%rsp`
const STACK_CHECK: [u8; 4] = [0x49, 0x3b, 0x66, 0x10];
/// `lea -N(%rsp),%r12`, the start of the check for larger frames.
const LARGE_STACK_CHECKS: [[u8; 4]; 2] = [[0x4c, 0x8d, 0x64, 0x24], [0x4c, 0x8d, 0xa4, 0x24]];
/// Word of `runtime.moduledata` that holds the start of the text.
const MODULE_TEXT_WORD: usize = 22;
/// Where the runtime's first function is named in the table.
const FIRST_FUNCTION: &[u8] = b"_rt0_amd64_linux";
/// Bytes of data searched for the module's description.
const MAX_DATA: usize = 512 << 20;

/// Where the text of a table starts.
pub(super) fn find(elf: &Elf, table: &Table, in_header: u64) -> Option<u64> {
    if in_header != 0 && elf.is_code(Address(in_header)) {
        return Some(in_header);
    }
    let candidates: [fn(&Elf, &Table) -> Option<u64>; 4] =
        [by_symbol, by_entry, by_section, by_module];
    candidates.iter().find_map(|candidate| {
        let start = candidate(elf, table)?;
        fits(elf, table, start).then_some(start)
    })
}

fn by_symbol(elf: &Elf, _table: &Table) -> Option<u64> {
    Some(elf.data_symbol("runtime.text").ok()?.address.0)
}

/// Without C code, execution starts in a function of the table.
fn by_entry(elf: &Elf, table: &Table) -> Option<u64> {
    let bytes = elf.bytes();
    let first = (0..table.len()).find(|i| table.name(bytes, *i) == Some(FIRST_FUNCTION))?;
    elf.entry().0.checked_sub(table.raw_entry(bytes, first)?)
}

fn by_section(elf: &Elf, _table: &Table) -> Option<u64> {
    elf.section_place(".text").map(|(address, _, _)| address.0)
}

/// The runtime's description of the module: pointers to the header and to the names, and later on to the text.
fn by_module(elf: &Elf, table: &Table) -> Option<u64> {
    let header = elf.address_of(crate::FileOffset(table.start() as u64))?.0;
    let names = header.checked_add(table.names_offset())?;
    let bytes = elf.bytes();
    let end = bytes.len().min(MAX_DATA);
    let found = (0..end.saturating_sub(8))
        .step_by(8)
        .find(|at| u64_at(bytes, *at) == Some(header) && u64_at(bytes, at + 8) == Some(names))?;
    u64_at(bytes, found + 8 * MODULE_TEXT_WORD)
}

fn fits(elf: &Elf, table: &Table, start: u64) -> bool {
    let bytes = elf.bytes();
    let step = (table.len() / SAMPLE).max(1);
    let (mut seen, mut checked) = (0, 0);
    for i in (0..table.len()).step_by(step) {
        let address = table
            .raw_entry(bytes, i)
            .and_then(|entry| entry.checked_add(start));
        let Some(offset) = address.and_then(|address| elf.file_offset(Address(address))) else {
            return false;
        };
        let code = elf.code(offset, 4);
        seen += 1;
        let is_check = code == STACK_CHECK || LARGE_STACK_CHECKS.iter().any(|large| code == large);
        checked += usize::from(is_check);
    }
    checked * 100 >= seen * MIN_PERCENT
}
