//! Symbols of a binary: functions by address with all their names, and variables.

use super::raw::{RawSymbol, SHT_DYNSYM, SHT_SYMTAB, string_at};
use super::{Elf, demangle, demangle_short, is_mangled};
use crate::pattern::Pattern;
use crate::{Address, Error, FileOffset, Result, suggest};

const STT_OBJECT: u8 = 1;
const STT_FUNC: u8 = 2;
const STT_TLS: u8 = 6;
const STT_GNU_IFUNC: u8 = 10;
const SHN_UNDEF: u16 = 0;
const SHN_ABS: u16 = 0xfff1;

/// Symbols gathered at most from one binary.
const MAX_FUNCTIONS: usize = 8_000_000;

/// The functions of a binary in order of address.
#[derive(Debug)]
pub(super) struct Functions {
    entries: Vec<Entry>,
    /// Names of entry `i` are `names[entries[i].first_name .. entries[i + 1].first_name]`.
    names: Vec<NameRef>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    address: u64,
    size: u64,
    first_name: u32,
    is_indirect: bool,
}

/// Where a name is in the file, or in the packed symbols it carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct NameRef {
    start: u32,
    len: u32,
    is_packed: bool,
}

/// A function of a binary.
#[derive(Debug, Clone, Copy)]
pub struct Function<'a> {
    /// Its address in the binary.
    pub address: Address,
    /// Its length in bytes; 0 when the symbol does not tell.
    pub size: u64,
    /// Where its first byte is in the file: what a uprobe attaches to.
    pub offset: FileOffset,
    /// Whether it is a resolver that picks the real function when the program starts (`STT_GNU_IFUNC`).
    pub is_indirect: bool,
    elf: &'a Elf,
    names: &'a [NameRef],
}

/// A variable of a binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataSymbol<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its address in the binary.
    pub address: Address,
    /// Its length in bytes.
    pub size: u64,
}

impl<'a> Function<'a> {
    /// Its first name: global names go before weak, weak before local ones.
    pub fn name(&self) -> &'a str {
        self.names().next().unwrap_or("")
    }

    /// All names at this address.
    pub fn names(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let elf = self.elf;
        self.names.iter().map(move |name| elf.name_text(*name))
    }

    /// The name as the source has it, when it is mangled.
    pub fn demangled(&self) -> Option<String> {
        self.names().find_map(demangle)
    }

    /// Its code, as far as the file has it.
    pub fn code(&self) -> &'a [u8] {
        self.elf
            .code(self.offset, usize::try_from(self.extent()).unwrap_or(0))
    }

    /// Its length, taken up to the next function when the symbol does not tell.
    pub fn extent(&self) -> u64 {
        if self.size != 0 {
            return self.size;
        }
        let functions = self.elf.function_table();
        let next = functions
            .entries
            .partition_point(|entry| entry.address <= self.address.0);
        let limit = functions
            .entries
            .get(next)
            .map_or(self.address.0 + 0x1000, |entry| entry.address);
        (limit - self.address.0).min(0x1000)
    }
}

/// What compilers put behind a function's name, each with a number.
const COPY_MARKS: [&str; 4] = ["constprop", "isra", "lto_priv", "llvm"];

/// `constprop.0.isra.1`
fn is_end_of_copy(end: &str) -> bool {
    let mut words = end.split('.');
    let is_number = |word: &str| word.bytes().all(|byte| byte.is_ascii_digit());
    loop {
        match (words.next(), words.next()) {
            (None, _) => return true,
            (Some(mark), Some(number)) if COPY_MARKS.contains(&mark) && is_number(number) => {}
            _ => return false,
        }
    }
}

impl Elf {
    /// All functions in order of address, one for each address.
    pub fn functions(&self) -> impl ExactSizeIterator<Item = Function<'_>> {
        let table = self.function_table();
        (0..table.entries.len()).map(move |i| self.function_at(table, i))
    }

    /// The function of exactly that name.
    pub fn find_function(&self, name: &str) -> Option<Function<'_>> {
        self.functions()
            .find(|function| function.names().any(|candidate| candidate == name))
    }

    /// Like [`Elf::find_function`], with an error that names what is close.
    pub fn require_function(&self, name: &str) -> Result<Function<'_>> {
        self.find_function(name).ok_or_else(|| Error::NotFound {
            kind: format!("function in {}", self.path().display()),
            name: name.to_string(),
            nearest: suggest::nearest(name, self.functions().flat_map(|function| function.names())),
        })
    }

    /// Functions with a name that matches; each address once.
    pub fn match_functions<'a>(
        &'a self,
        pattern: &'a Pattern,
    ) -> impl Iterator<Item = Function<'a>> + 'a {
        self.functions()
            .filter(move |function| function.names().any(|name| pattern.matches(name)))
    }

    /// Copies of a function that compilers made with fewer or other parameters, for all of its callers or some:
    /// `NAME.constprop.0`, `NAME.isra.0.lto_priv.2`. Parts of a function are none.
    pub fn copies_of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = Function<'a>> + 'a {
        let is_copy = move |candidate: &str| {
            let end = candidate.strip_prefix(name);
            end.and_then(|end| end.strip_prefix('.'))
                .is_some_and(is_end_of_copy)
        };
        self.functions()
            .filter(move |function| function.names().any(is_copy))
    }

    /// Functions whose demangled name matches, with or without its parameters; each address once.
    pub fn match_demangled<'a>(
        &'a self,
        pattern: &'a Pattern,
    ) -> impl Iterator<Item = Function<'a>> + 'a {
        self.functions().filter(move |function| {
            function.names().any(|name| {
                // `f.cold` is a part of `f`, and demangled as if it were the whole.
                is_mangled(name)
                    && !name.contains(".cold")
                    && (demangle_short(name).is_some_and(|text| pattern.matches(&text))
                        || demangle(name).is_some_and(|text| pattern.matches(&text)))
            })
        })
    }

    /// The function an address lies in, and how far inside.
    pub fn function_containing(&self, address: Address) -> Option<(Function<'_>, u64)> {
        let table = self.function_table();
        let after = table
            .entries
            .partition_point(|entry| entry.address <= address.0);
        let function = self.function_at(table, after.checked_sub(1)?);
        let inside = address.0 - function.address.0;
        (inside == 0 || inside < function.extent()).then_some((function, inside))
    }

    /// Whether there are symbols beyond those needed for linking.
    pub fn has_symbol_table(&self) -> bool {
        self.tables
            .sections
            .iter()
            .any(|section| section.kind == SHT_SYMTAB)
    }

    /// A variable (or any symbol with an address) by name: what `uaddr` gives.
    pub fn data_symbol(&self, name: &str) -> Result<DataSymbol<'_>> {
        let all = || {
            [SHT_SYMTAB, SHT_DYNSYM]
                .into_iter()
                .flat_map(|kind| self.tables.symbols(&self.bytes, kind))
        };
        let is_defined = |symbol: &RawSymbol| {
            symbol.section != SHN_UNDEF && symbol.section != SHN_ABS && symbol.info & 15 != STT_TLS
        };
        let text = |symbol: &RawSymbol, strings| {
            std::str::from_utf8(string_at(strings, symbol.name)).unwrap_or("")
        };
        let mut matching = all().filter(|(symbol, strings)| {
            is_defined(symbol) && string_at(strings, symbol.name) == name.as_bytes()
        });
        let mut first = matching.next();
        if first.is_some_and(|(symbol, _)| symbol.info & 15 != STT_OBJECT) {
            first = matching
                .find(|(symbol, _)| symbol.info & 15 == STT_OBJECT)
                .or(first);
        }
        let Some((symbol, strings)) = first.filter(|_| !name.is_empty()) else {
            let objects =
                all().filter(|(symbol, _)| is_defined(symbol) && symbol.info & 15 == STT_OBJECT);
            return Err(Error::NotFound {
                kind: format!("symbol in {}", self.path().display()),
                name: name.to_string(),
                nearest: suggest::nearest(
                    name,
                    objects.map(|(symbol, strings)| text(&symbol, strings)),
                ),
            });
        };
        Ok(DataSymbol {
            name: text(&symbol, strings),
            address: Address(symbol.value),
            size: symbol.size,
        })
    }

    pub(super) fn function_table(&self) -> &Functions {
        self.functions.get_or_init(|| Functions::gather(self))
    }

    fn function_at<'a>(&'a self, table: &'a Functions, i: usize) -> Function<'a> {
        let entry = table.entries[i];
        let end = table
            .entries
            .get(i + 1)
            .map_or(table.names.len(), |next| next.first_name as usize);
        Function {
            address: Address(entry.address),
            size: entry.size,
            offset: self.file_offset(Address(entry.address)).unwrap_or_default(),
            is_indirect: entry.is_indirect,
            elf: self,
            names: &table.names[entry.first_name as usize..end],
        }
    }

    fn name_text(&self, name: NameRef) -> &str {
        let start = name.start as usize;
        let holder = match name.is_packed {
            true => self.packed_symbols(),
            false => Some(self),
        };
        let bytes = holder
            .map_or(&[][..], |holder| &holder.bytes)
            .get(start..start + name.len as usize)
            .unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or("")
    }

    /// Where a slice of the file's own bytes starts.
    fn position_of(&self, part: &[u8]) -> Option<u32> {
        let position = (part.as_ptr() as usize).checked_sub(self.bytes.as_ptr() as usize)?;
        u32::try_from(position).ok()
    }
}

/// One symbol while gathering.
struct Gathered {
    address: u64,
    size: u64,
    /// Global before weak before local, `.symtab` before `.dynsym`.
    rank: u8,
    name: NameRef,
    is_indirect: bool,
}

impl Functions {
    fn gather(elf: &Elf) -> Functions {
        let mut found: Vec<Gathered> = Vec::new();
        for kind in [SHT_SYMTAB, SHT_DYNSYM] {
            found.extend(gather_table(elf, elf, kind).take(MAX_FUNCTIONS));
        }
        if !elf.has_symbol_table() {
            let packed = elf.packed_symbols();
            let packed = packed.map(|packed| gather_table(elf, packed, SHT_SYMTAB));
            found.extend(packed.into_iter().flatten().take(MAX_FUNCTIONS));
            found.extend(of_go(elf));
        }
        found.sort_unstable_by_key(|symbol| (symbol.address, symbol.rank, symbol.name));
        let mut entries: Vec<Entry> = Vec::with_capacity(found.len());
        let mut names: Vec<NameRef> = Vec::with_capacity(found.len());
        for symbol in &found {
            match entries.last_mut() {
                Some(last) if last.address == symbol.address => {
                    last.size = last.size.max(symbol.size)
                }
                _ => entries.push(Entry {
                    address: symbol.address,
                    size: symbol.size,
                    first_name: names.len() as u32,
                    is_indirect: symbol.is_indirect,
                }),
            }
            let first = entries.last().map_or(0, |entry| entry.first_name as usize);
            // The same name is usually in both tables.
            let is_known = names[first..]
                .iter()
                .rev()
                .take(16)
                .any(|known| elf.name_text(*known) == elf.name_text(symbol.name));
            if !is_known {
                names.push(symbol.name);
            }
        }
        Functions { entries, names }
    }
}

/// Functions by the table that Go's runtime needs, which stripping leaves.
fn of_go(elf: &Elf) -> impl Iterator<Item = Gathered> {
    let table = elf.go_program().and_then(|program| program.table());
    let rows = table
        .into_iter()
        .flat_map(|table| (0..table.len()).filter_map(|i| table.row(&elf.bytes, i)));
    rows.filter_map(|row| {
        let is_there = elf.is_code(Address(row.entry)) && row.size > 0;
        if !is_there || std::str::from_utf8(row.name).is_err() {
            return None;
        }
        let name = NameRef {
            start: elf.position_of(row.name)?,
            len: row.name.len() as u32,
            is_packed: false,
        };
        Some(Gathered {
            address: row.entry,
            size: row.size,
            rank: 0,
            name,
            is_indirect: false,
        })
    })
}

/// Functions of a binary by a symbol table of it, or of the packed symbols it carries.
fn gather_table<'a>(
    elf: &'a Elf,
    holder: &'a Elf,
    kind: u32,
) -> impl Iterator<Item = Gathered> + 'a {
    let symbols = holder.tables.symbols(&holder.bytes, kind);
    symbols.filter_map(move |(symbol, strings)| gather_one(elf, holder, symbol, strings))
}

fn gather_one(elf: &Elf, holder: &Elf, symbol: RawSymbol, strings: &[u8]) -> Option<Gathered> {
    let kind = symbol.info & 15;
    if !matches!(kind, STT_FUNC | STT_GNU_IFUNC)
        || symbol.section == SHN_UNDEF
        || symbol.section == SHN_ABS
    {
        return None;
    }
    let address = Address(symbol.value);
    if !elf.is_code(address) || elf.file_offset(address).is_none() {
        return None;
    }
    let name = string_at(strings, symbol.name);
    if name.is_empty() || std::str::from_utf8(name).is_err() {
        return None;
    }
    let rank = match symbol.info >> 4 {
        1 => 0,
        2 => 1,
        _ => 2,
    };
    let name = NameRef {
        start: holder.position_of(name)?,
        len: name.len() as u32,
        is_packed: !std::ptr::eq(elf, holder),
    };
    Some(Gathered {
        address: symbol.value,
        size: symbol.size,
        rank,
        name,
        is_indirect: kind == STT_GNU_IFUNC,
    })
}
