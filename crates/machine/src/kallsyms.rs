//! Kernel symbols from `/proc/kallsyms`: name to address and back.
//!
//! 120,000 lines are kept as one block of names and 16 bytes a symbol. Unprivileged readers get zeros for addresses; names are
//! good then, addresses are not (see [`Kallsyms::has_addresses`]).

use crate::pattern::Pattern;
use crate::{Address, Error, Result, suggest};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::sync::OnceLock;

/// Symbols kept at most; the largest kernels with all modules have under a million.
const MAX_SYMBOLS: usize = 4_000_000;
/// Bytes read at most.
const MAX_BYTES: u64 = 512 << 20;
/// The longest line taken; the kernel's own limit for a name is 512.
const MAX_LINE: u64 = 4096;

/// One kernel symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelSymbol<'a> {
    /// Where it is; 0 when the kernel hides it.
    pub address: Address,
    /// Its name.
    pub name: &'a str,
    /// `T`/`t` text, `D`/`d` data … as nm prints it.
    pub kind: char,
    /// The module it belongs to; `None` for the kernel itself.
    pub module: Option<&'a str>,
}

impl KernelSymbol<'_> {
    /// Whether it is code.
    pub fn is_function(&self) -> bool {
        matches!(self.kind, 'T' | 't' | 'W' | 'w')
    }
}

/// All kernel symbols.
#[derive(Debug, Default)]
pub struct Kallsyms {
    /// Names one after the other.
    names: String,
    /// In order of address.
    entries: Vec<Entry>,
    modules: Vec<String>,
    /// Positions in `entries`, in order of name.
    by_name: OnceLock<Vec<u32>>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    address: u64,
    name_start: u32,
    name_len: u16,
    /// 1 + position in `modules`; 0 is the kernel.
    module: u16,
    kind: u8,
}

impl Kallsyms {
    /// Reads a file in the format of `/proc/kallsyms`.
    pub fn open(path: &Path) -> Result<Kallsyms> {
        let file = File::open(path).map_err(Error::read(path))?;
        Kallsyms::read(BufReader::with_capacity(256 << 10, file.take(MAX_BYTES)))
            .map_err(Error::read(path))
    }

    /// Reads symbols from any source. Lines that do not look like symbols are skipped.
    pub fn read(mut source: impl BufRead) -> std::io::Result<Kallsyms> {
        let mut symbols = Kallsyms::default();
        let mut line = Vec::with_capacity(256);
        while symbols.entries.len() < MAX_SYMBOLS {
            line.clear();
            if source
                .by_ref()
                .take(MAX_LINE)
                .read_until(b'\n', &mut line)?
                == 0
            {
                break;
            }
            symbols.push(&line);
        }
        if !symbols.entries.is_sorted_by_key(|entry| entry.address) {
            symbols.entries.sort_by_key(|entry| entry.address);
        }
        symbols.names.shrink_to_fit();
        symbols.entries.shrink_to_fit();
        Ok(symbols)
    }

    /// Takes `ffffffff81000000 T name` with an optional `[module]`.
    fn push(&mut self, line: &[u8]) -> Option<()> {
        let line = std::str::from_utf8(line).ok()?;
        let mut words = line.split_ascii_whitespace();
        let address = u64::from_str_radix(words.next()?, 16).ok()?;
        let kind = *words.next()?.as_bytes().first()?;
        let name = words.next()?;
        let module = words
            .next()
            .and_then(|word| word.strip_prefix('[')?.strip_suffix(']'));
        let entry = Entry {
            address,
            name_start: u32::try_from(self.names.len()).ok()?,
            name_len: u16::try_from(name.len()).ok()?,
            module: module.map_or(Some(0), |module| self.module_number(module))?,
            kind,
        };
        self.names.push_str(name);
        self.entries.push(entry);
        Some(())
    }

    /// Symbols of a module come together, so the last one is nearly always it.
    fn module_number(&mut self, module: &str) -> Option<u16> {
        let known = self.modules.iter().rposition(|known| known == module);
        let position = known.unwrap_or_else(|| {
            self.modules.push(module.to_string());
            self.modules.len() - 1
        });
        u16::try_from(position + 1).ok()
    }

    fn symbol(&self, entry: &Entry) -> KernelSymbol<'_> {
        KernelSymbol {
            address: Address(entry.address),
            name: self.name(entry),
            kind: char::from(entry.kind),
            module: usize::from(entry.module)
                .checked_sub(1)
                .map(|i| self.modules[i].as_str()),
        }
    }

    fn name(&self, entry: &Entry) -> &str {
        let start = entry.name_start as usize;
        &self.names[start..start + usize::from(entry.name_len)]
    }

    /// All symbols in order of address.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = KernelSymbol<'_>> {
        self.entries.iter().map(|entry| self.symbol(entry))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether addresses are shown to us (not all zero).
    pub fn has_addresses(&self) -> bool {
        self.entries.last().is_some_and(|entry| entry.address != 0)
    }

    /// Names of the modules that have symbols.
    pub fn modules(&self) -> impl Iterator<Item = &str> {
        self.modules.iter().map(String::as_str)
    }

    /// All symbols of that name: static functions of the same name exist many times.
    pub fn find(&self, name: &str) -> impl Iterator<Item = KernelSymbol<'_>> {
        let order = self.by_name.get_or_init(|| {
            let mut order: Vec<u32> = (0..self.entries.len() as u32).collect();
            order.sort_unstable_by_key(|i| (self.name(&self.entries[*i as usize]), *i));
            order
        });
        let entry = |i: &u32| &self.entries[*i as usize];
        let start = order.partition_point(|i| self.name(entry(i)) < name);
        let count = order[start..].partition_point(|i| self.name(entry(i)) == name);
        order[start..start + count]
            .iter()
            .map(move |i| self.symbol(entry(i)))
    }

    /// The address of a symbol, as `kaddr("name")` gives it; the kernel's own symbol goes before a module's.
    pub fn address_of(&self, name: &str) -> Result<Address> {
        let found = self
            .find(name)
            .min_by_key(|symbol| (symbol.module.is_some(), symbol.address));
        let found = found.ok_or_else(|| Error::NotFound {
            kind: "kernel symbol".to_string(),
            name: name.to_string(),
            nearest: suggest::nearest(name, self.iter().map(|symbol| symbol.name)),
        })?;
        if found.address.0 == 0 && !self.has_addresses() {
            return Err(Error::not_found(
                "visible address (kptr_restrict hides them from this user) of kernel symbol",
                name,
            ));
        }
        Ok(found.address)
    }

    /// The symbol an address lies in, and how far inside. There are no sizes: it is the nearest one before.
    pub fn lookup(&self, address: Address) -> Option<(KernelSymbol<'_>, u64)> {
        let after = self
            .entries
            .partition_point(|entry| entry.address <= address.0);
        let nearest = self.entries[..after].last()?;
        if nearest.address == 0 {
            return None;
        }
        // Several names can share an address; take the first function, as the kernel does.
        let first = self.entries[..after].partition_point(|entry| entry.address < nearest.address);
        let same = self.entries[first..after]
            .iter()
            .map(|entry| self.symbol(entry));
        let symbol = same
            .clone()
            .find(KernelSymbol::is_function)
            .unwrap_or_else(|| self.symbol(nearest));
        Some((symbol, address.0 - symbol.address.0))
    }

    /// Functions whose name matches, of the whole kernel or of one module (`vmlinux` is the kernel itself).
    pub fn functions<'a>(
        &'a self,
        pattern: &'a Pattern,
        module: Option<&'a str>,
    ) -> impl Iterator<Item = KernelSymbol<'a>> {
        self.iter().filter(move |symbol| {
            symbol.is_function()
                && module.is_none_or(|wanted| symbol.module.unwrap_or("vmlinux") == wanted)
                && pattern.matches(symbol.name)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "\
ffffffff81000000 T _text
ffffffff81000000 T startup_64
ffffffff81000040 t helper
garbage
ffffffff81000100 T vfs_read
ffffffff82000000 D jiffies
ffffffffc0000000 t helper\t[nf_tables]
ffffffffc0000010 t nft_init\t[nf_tables]
";

    fn sample() -> Kallsyms {
        Kallsyms::read(SAMPLE.as_bytes()).unwrap()
    }

    #[test]
    fn finds_names_and_addresses() {
        let symbols = sample();
        assert_eq!(symbols.len(), 7);
        assert!(symbols.has_addresses());
        assert_eq!(
            symbols.address_of("vfs_read").unwrap(),
            Address(0xffff_ffff_8100_0100)
        );
        assert_eq!(
            symbols.address_of("helper").unwrap(),
            Address(0xffff_ffff_8100_0040)
        );
        assert_eq!(symbols.find("helper").count(), 2);
        assert_eq!(
            symbols.address_of("vfs_raed").unwrap_err().nearest(),
            ["vfs_read"]
        );
        let (symbol, offset) = symbols.lookup(Address(0xffff_ffff_c000_0014)).unwrap();
        assert_eq!(
            (symbol.name, symbol.module, offset),
            ("nft_init", Some("nf_tables"), 4)
        );
        assert_eq!(
            symbols
                .lookup(Address(0xffff_ffff_8100_0003))
                .unwrap()
                .0
                .name,
            "_text"
        );
        assert!(symbols.lookup(Address(0x1000)).is_none());
    }

    #[test]
    fn filters_functions_by_pattern_and_module() {
        let symbols = sample();
        let names = |pattern: &str, module| {
            symbols
                .functions(&Pattern::new(pattern), module)
                .map(|s| s.name.to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(names("*", Some("nf_tables")), ["helper", "nft_init"]);
        assert_eq!(names("helper", Some("vmlinux")), ["helper"]);
        assert_eq!(names("jiff*", None), Vec::<String>::new());
    }

    #[test]
    fn hidden_addresses_are_not_given_out() {
        let symbols = Kallsyms::read("0000000000000000 T vfs_read\n".as_bytes()).unwrap();
        assert!(!symbols.has_addresses());
        assert!(symbols.address_of("vfs_read").is_err());
        assert!(symbols.lookup(Address(0xffff_ffff_8100_0000)).is_none());
    }
}
