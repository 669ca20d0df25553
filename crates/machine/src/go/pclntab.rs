//! The runtime's table of functions, in the four shapes that it had.
//!
//! ```text
//!            Go 1.2        1.16                1.18, 1.20
//! header     8 bytes       8 bytes             8 bytes: magic 0 0 quantum pointer-size
//!            count         count, files        count, files, text start
//!                          5 offsets: names, units, files, line tables, functions
//! functions  (pc, offset)  (pc, offset)        (u32 pc - text start, u32 offset)
//!            words         words               and one pc more, where the last one ends
//! function   word pc       word pc             u32 pc - text start
//!            then 32 bits each: name, args, defer, sp, file, line, count of pc tables, unit (1.16), line of `func` (1.20)
//! ```
//! Offsets of functions count from the table of functions, in Go 1.2 from the header.

use super::{GoFunction, text_start};
use crate::Address;
use crate::bytes::{c_string_at, u32_at, u64_at};
use crate::elf::Elf;

/// Sections that the table lies in.
const SECTIONS: [&str; 2] = [".gopclntab", ".data.rel.ro.gopclntab"];
/// The symbol at its start, for linkers that put it elsewhere.
const SYMBOL: &str = "runtime.pclntab";
/// The table is aligned to at least this.
const ALIGNMENT: usize = 8;
/// Places tried that look like a header.
const MAX_HEADERS: usize = 16;
/// Functions at most in one table.
const MAX_FUNCTIONS: usize = 8_000_000;
/// Names are not longer than this.
const MAX_NAME: usize = 64 << 10;
/// Says that the size of the arguments is not known.
const ARGUMENTS_UNKNOWN: u32 = 0x8000_0000;
/// Set for functions written in assembly.
const FLAG_ASSEMBLY: u8 = 4;
/// Functions looked at to see whether a table is one.
const SAMPLE: usize = 16;

/// Which shape a table has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Shape {
    Go12,
    Go116,
    Go118,
    Go120,
}

/// Where the parts of a table are in the file.
#[derive(Debug)]
pub(crate) struct Table {
    shape: Shape,
    /// Of the header.
    start: usize,
    count: usize,
    text_start: u64,
    names: usize,
    units: usize,
    files: usize,
    lines: usize,
    functions: usize,
}

/// A function of the table, as far as gathering symbols needs it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    pub(crate) entry: u64,
    pub(crate) size: u64,
    pub(crate) name: &'a [u8],
}

impl Table {
    /// Finds the table of a Go program.
    pub(super) fn find(elf: &Elf) -> Option<Table> {
        let in_section = SECTIONS.iter().find_map(|name| {
            let (_, offset, _) = elf.section_place(name)?;
            Table::at(elf, usize::try_from(offset.0).ok()?)
        });
        let at_symbol = || {
            let symbol = elf.data_symbol(SYMBOL).ok()?;
            Table::at(
                elf,
                usize::try_from(elf.file_offset(symbol.address)?.0).ok()?,
            )
        };
        in_section.or_else(at_symbol).or_else(|| Table::search(elf))
    }

    /// Looks for the header in the whole file.
    fn search(elf: &Elf) -> Option<Table> {
        let bytes = elf.bytes();
        let starts = (0..bytes.len()).step_by(ALIGNMENT);
        starts
            .filter(|start| bytes[*start..].get(1..4) == Some(&[0xff, 0xff, 0xff]))
            .filter(|start| shape(bytes, *start).is_some())
            .take(MAX_HEADERS)
            .find_map(|start| Table::at(elf, start))
    }

    /// The table whose header is here, if all it says fits.
    fn at(elf: &Elf, start: usize) -> Option<Table> {
        let bytes = elf.bytes();
        let shape = shape(bytes, start)?;
        let word = |i: usize| {
            let value = u64_at(bytes, start.checked_add(8 + 8 * i)?)?;
            usize::try_from(value).ok()
        };
        let part = |i: usize| start.checked_add(word(i)?);
        let mut table = Table {
            shape,
            start,
            count: word(0)?,
            text_start: 0,
            names: start,
            units: 0,
            files: 0,
            lines: start,
            functions: start + 16,
        };
        let first_part = match shape {
            Shape::Go12 => None,
            Shape::Go116 => Some(2),
            Shape::Go118 | Shape::Go120 => Some(3),
        };
        if let Some(first) = first_part {
            table.names = part(first)?;
            table.units = part(first + 1)?;
            table.files = part(first + 2)?;
            table.lines = part(first + 3)?;
            table.functions = part(first + 4)?;
        }
        let size = table.count.checked_add(1)?.checked_mul(table.row_bytes())?;
        let end = table.functions.checked_add(size)?;
        if table.count == 0 || table.count > MAX_FUNCTIONS || end > bytes.len() {
            return None;
        }
        if shape >= Shape::Go118 {
            table.text_start = text_start::find(elf, &table, word(2)? as u64)?;
        }
        table.is_plausible(elf).then_some(table)
    }

    fn is_plausible(&self, elf: &Elf) -> bool {
        let step = (self.count / SAMPLE).max(1);
        (0..self.count).step_by(step).all(|i| {
            let row = self.row(elf.bytes(), i);
            row.is_some_and(|row| elf.is_code(Address(row.entry)) && row.size > 0)
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Where its header is in the file.
    pub(super) fn start(&self) -> usize {
        self.start
    }

    /// Where the names are, from the header.
    pub(super) fn names_offset(&self) -> u64 {
        (self.names - self.start) as u64
    }

    fn row_bytes(&self) -> usize {
        if self.shape >= Shape::Go118 { 8 } else { 16 }
    }

    /// Where the n-th function starts, without the text's start in newer tables.
    pub(super) fn raw_entry(&self, bytes: &[u8], i: usize) -> Option<u64> {
        let at = self.functions + i * self.row_bytes();
        if self.shape >= Shape::Go118 {
            u32_at(bytes, at).map(u64::from)
        } else {
            u64_at(bytes, at)
        }
    }

    /// Where the n-th function starts; with the count as `i`, where the last one ends.
    pub(crate) fn entry(&self, bytes: &[u8], i: usize) -> Option<u64> {
        self.raw_entry(bytes, i)?.checked_add(self.text_start)
    }

    /// The description of the n-th function.
    fn description(&self, bytes: &[u8], i: usize) -> Option<usize> {
        let at = self.functions + i * self.row_bytes();
        let (offset, base) = match self.shape {
            Shape::Go12 => (u64_at(bytes, at + 8)?, self.start),
            Shape::Go116 => (u64_at(bytes, at + 8)?, self.functions),
            _ => (u32_at(bytes, at + 4)?.into(), self.functions),
        };
        base.checked_add(usize::try_from(offset).ok()?)
    }

    /// A 32-bit field of a description; 0 is the name, the pc before it not counted.
    fn field(&self, bytes: &[u8], description: usize, number: usize) -> Option<u32> {
        let pc = if self.shape >= Shape::Go118 { 4 } else { 8 };
        u32_at(bytes, description.checked_add(pc + 4 * number)?)
    }

    /// The name of the n-th function.
    pub(super) fn name<'a>(&self, bytes: &'a [u8], i: usize) -> Option<&'a [u8]> {
        let offset = self.field(bytes, self.description(bytes, i)?, 0)?;
        let start = self.names.checked_add(offset as usize)?;
        let end = start.saturating_add(MAX_NAME).min(bytes.len());
        c_string_at(bytes.get(..end)?, start)
    }

    /// The n-th function; `None` when it does not hold together.
    pub(crate) fn row<'a>(&self, bytes: &'a [u8], i: usize) -> Option<Row<'a>> {
        let entry = self.entry(bytes, i)?;
        let end = self.entry(bytes, i + 1)?;
        let name = self.name(bytes, i).filter(|name| !name.is_empty())?;
        Some(Row {
            entry,
            size: end.checked_sub(entry)?,
            name,
        })
    }

    /// The function that starts at an address.
    pub(super) fn index_of(&self, bytes: &[u8], address: Address) -> Option<usize> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.entry(bytes, middle)?.cmp(&address.0) {
                std::cmp::Ordering::Equal => return Some(middle),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }

    /// All that is known of the n-th function.
    pub(super) fn describe<'a>(&self, elf: &'a Elf, i: usize) -> Option<GoFunction<'a>> {
        let bytes = elf.bytes();
        let row = self.row(bytes, i)?;
        let description = self.description(bytes, i)?;
        let arguments = self.field(bytes, description, 1)?;
        let file = self.file(bytes, description);
        Some(GoFunction {
            name: std::str::from_utf8(row.name).ok()?,
            entry: Address(row.entry),
            size: row.size,
            argument_bytes: (arguments & ARGUMENTS_UNKNOWN == 0).then_some(arguments),
            is_assembly: self.is_assembly(bytes, description)
                || file.is_some_and(|file| file.ends_with(".s")),
            file,
            line: self.line(bytes, description),
        })
    }

    /// The flags lie behind the number of the function's kind, one place later since 1.20.
    fn is_assembly(&self, bytes: &[u8], description: usize) -> bool {
        let kind_field = match self.shape {
            Shape::Go12 | Shape::Go116 => return false,
            Shape::Go118 => 8,
            Shape::Go120 => 9,
        };
        self.field(bytes, description, kind_field)
            .is_some_and(|word| (word >> 8) as u8 & FLAG_ASSEMBLY != 0)
    }

    fn line(&self, bytes: &[u8], description: usize) -> Option<u32> {
        if self.shape == Shape::Go120 {
            return self.field(bytes, description, 8);
        }
        self.first_value(bytes, self.field(bytes, description, 5)?)
    }

    fn file<'a>(&self, bytes: &'a [u8], description: usize) -> Option<&'a str> {
        let number = self.first_value(bytes, self.field(bytes, description, 4)?)? as usize;
        let name = if self.shape == Shape::Go12 {
            // Behind the functions lies the offset of the files, which are offsets of names themselves.
            let after = self.functions + self.count * 16 + 8;
            let files = self.start.checked_add(u32_at(bytes, after)? as usize)?;
            let offset = u32_at(bytes, files.checked_add(number.checked_mul(4)?)?)?;
            self.start.checked_add(offset as usize)?
        } else {
            let unit = self.field(bytes, description, 7)? as usize;
            let at = unit.checked_add(number)?.checked_mul(4)?;
            let offset = u32_at(bytes, self.units.checked_add(at)?)?;
            self.files.checked_add(offset as usize)?
        };
        let end = name.saturating_add(MAX_NAME).min(bytes.len());
        std::str::from_utf8(c_string_at(bytes.get(..end)?, name)?).ok()
    }

    /// The first value of a table over the function's addresses: a zigzag number, counted from -1.
    fn first_value(&self, bytes: &[u8], offset: u32) -> Option<u32> {
        let at = self.lines.checked_add(offset as usize)?;
        let mut value = 0u32;
        for (i, byte) in bytes.get(at..)?.iter().take(5).enumerate() {
            value |= u32::from(byte & 0x7f).checked_shl(7 * i as u32)?;
            if byte & 0x80 == 0 {
                let delta = (value >> 1) as i32 ^ -((value & 1) as i32);
                return u32::try_from(delta.checked_sub(1)?).ok();
            }
        }
        None
    }
}

/// The shape that a header claims; `None` where there is none.
fn shape(bytes: &[u8], start: usize) -> Option<Shape> {
    let shape = match u32_at(bytes, start)? {
        0xffff_fffb => Shape::Go12,
        0xffff_fffa => Shape::Go116,
        0xffff_fff0 => Shape::Go118,
        0xffff_fff1 => Shape::Go120,
        _ => return None,
    };
    // Two zeros, the least size of instructions (1, 2 or 4), the size of a pointer: only 64-bit programs are looked at.
    let rest = bytes.get(start.checked_add(4)?..start.checked_add(8)?)?;
    matches!(rest, [0, 0, 1 | 2 | 4, 8]).then_some(shape)
}
