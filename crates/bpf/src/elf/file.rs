//! ELF as bytes: header, sections, symbols, relocations. Knows nothing of BPF but its machine number.

/// One section.
#[derive(Debug, Default)]
pub(super) struct Section {
    name: String,
    kind: u32,
    flags: u64,
    bytes: Vec<u8>,
    link: u32,
    info: u32,
    align: u64,
    entry_size: u64,
}

const SHT_PROGBITS: u32 = 1;
const SHT_SYMTAB: u32 = 2;
const SHT_STRTAB: u32 = 3;
const SHT_REL: u32 = 9;
const SHF_WRITE: u64 = 1;
const SHF_ALLOC: u64 = 2;
const SHF_EXECINSTR: u64 = 4;
const SHF_INFO_LINK: u64 = 0x40;
const ET_REL: u16 = 1;
const EM_BPF: u16 = 247;
const HEADER_SIZE: u64 = 64;
const SECTION_HEADER_SIZE: u16 = 64;

impl Section {
    fn progbits(name: &str, flags: u64, bytes: Vec<u8>) -> Section {
        Section {
            name: name.into(),
            kind: SHT_PROGBITS,
            flags,
            bytes,
            align: 8,
            ..Section::default()
        }
    }

    pub(super) fn code(name: &str, bytes: Vec<u8>) -> Section {
        Section::progbits(name, SHF_ALLOC | SHF_EXECINSTR, bytes)
    }

    pub(super) fn data(name: &str, bytes: Vec<u8>) -> Section {
        Section::progbits(name, SHF_ALLOC | SHF_WRITE, bytes)
    }

    pub(super) fn read_only(name: &str, bytes: Vec<u8>) -> Section {
        Section::progbits(name, SHF_ALLOC, bytes)
    }

    pub(super) fn debug(name: &str, bytes: Vec<u8>) -> Section {
        Section::progbits(name, 0, bytes)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SymbolKind {
    Section,
    LocalFunction,
    GlobalFunction,
    GlobalObject,
}

#[derive(Debug)]
pub(super) struct Symbol {
    pub name: String,
    pub kind: SymbolKind,
    pub section: SectionIndex,
    pub value: u64,
    pub size: u64,
}

/// Index in the section header table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SectionIndex(u16);

/// Index in the order of [`ElfFile::add_symbol`]; not the index in the file, where locals come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SymbolIndex(usize);

#[derive(Clone, Copy, Debug)]
pub(super) enum RelocationType {
    /// `R_BPF_64_64`: `ld_imm64`.
    Address = 1,
    /// `R_BPF_64_32`: call.
    Call = 10,
}

#[derive(Debug)]
pub(super) struct ElfRelocation {
    /// Bytes from the start of the section.
    pub offset: u64,
    pub symbol: SymbolIndex,
    pub kind: RelocationType,
}

/// A file under construction.
#[derive(Debug, Default)]
pub(super) struct ElfFile {
    sections: Vec<Section>,
    symbols: Vec<Symbol>,
    relocations: Vec<(SectionIndex, Vec<ElfRelocation>)>,
}

impl ElfFile {
    pub(super) fn add(&mut self, section: Section) -> SectionIndex {
        self.sections.push(section);
        // Section 0 is the empty one.
        SectionIndex(self.sections.len() as u16)
    }

    pub(super) fn add_symbol(&mut self, symbol: Symbol) -> SymbolIndex {
        self.symbols.push(symbol);
        SymbolIndex(self.symbols.len() - 1)
    }

    pub(super) fn add_relocations(
        &mut self,
        section: SectionIndex,
        relocations: Vec<ElfRelocation>,
    ) {
        if !relocations.is_empty() {
            self.relocations.push((section, relocations));
        }
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        let (order, first_global) = self.symbol_order();
        let relocations = std::mem::take(&mut self.relocations);
        let symbol_table = self.sections.len() + relocations.len() + 1;
        for (target, records) in &relocations {
            let section = self.relocation_section(*target, records, &order, symbol_table as u32);
            self.sections.push(section);
        }
        let mut strings = Strings(vec![0]);
        let symbols = self.symbol_section(&order, first_global, &mut strings);
        self.sections.push(symbols);
        self.assemble(strings)
    }

    /// For each symbol its index in the file, and the index of the first global one.
    fn symbol_order(&self) -> (Vec<u32>, u32) {
        let is_local = |symbol: &&Symbol| is_local(symbol.kind);
        let locals = self.symbols.iter().filter(is_local).count() as u32;
        let (mut next_local, mut next_global) = (1, locals + 1);
        let mut order = Vec::with_capacity(self.symbols.len());
        for symbol in &self.symbols {
            let next = match is_local(&symbol) {
                true => &mut next_local,
                false => &mut next_global,
            };
            order.push(*next);
            *next += 1;
        }
        (order, locals + 1)
    }

    fn relocation_section(
        &self,
        target: SectionIndex,
        records: &[ElfRelocation],
        order: &[u32],
        symbol_table: u32,
    ) -> Section {
        let mut bytes = Vec::with_capacity(records.len() * 16);
        for record in records {
            let symbol = u64::from(order[record.symbol.0]);
            bytes.extend(record.offset.to_ne_bytes());
            bytes.extend((symbol << 32 | record.kind as u64).to_ne_bytes());
        }
        let name = format!(".rel{}", self.sections[target.0 as usize - 1].name);
        Section {
            kind: SHT_REL,
            link: symbol_table,
            info: u32::from(target.0),
            entry_size: 16,
            ..Section::progbits(&name, SHF_INFO_LINK, bytes)
        }
    }

    fn symbol_section(&self, order: &[u32], first_global: u32, strings: &mut Strings) -> Section {
        let mut by_index: Vec<(&u32, &Symbol)> = order.iter().zip(&self.symbols).collect();
        by_index.sort_by_key(|(index, _)| **index);
        let mut bytes = vec![0; 24];
        for (_, symbol) in by_index {
            let (binding, kind) = match symbol.kind {
                SymbolKind::Section => (0, 3),
                SymbolKind::LocalFunction => (0, 2),
                SymbolKind::GlobalFunction => (1, 2),
                SymbolKind::GlobalObject => (1, 1),
            };
            bytes.extend(strings.add(&symbol.name).to_ne_bytes());
            bytes.extend([binding << 4 | kind, 0]);
            bytes.extend(symbol.section.0.to_ne_bytes());
            bytes.extend(symbol.value.to_ne_bytes());
            bytes.extend(symbol.size.to_ne_bytes());
        }
        Section {
            kind: SHT_SYMTAB,
            // The string table follows.
            link: self.sections.len() as u32 + 2,
            info: first_global,
            entry_size: 24,
            ..Section::progbits(".symtab", 0, bytes)
        }
    }

    /// Header, contents of all sections, section headers.
    fn assemble(mut self, mut strings: Strings) -> Vec<u8> {
        let names: Vec<u32> = self.sections.iter().map(|s| strings.add(&s.name)).collect();
        let own_name = strings.add(".strtab");
        self.sections.push(Section {
            kind: SHT_STRTAB,
            align: 1,
            ..Section::progbits(".strtab", 0, strings.0)
        });
        let mut out = vec![0; HEADER_SIZE as usize];
        let mut headers = vec![0; SECTION_HEADER_SIZE as usize];
        let names = names.into_iter().chain([own_name]);
        for (section, name) in self.sections.iter().zip(names) {
            out.resize(out.len().next_multiple_of(8), 0);
            section.write_header(name, out.len() as u64, &mut headers);
            out.extend_from_slice(&section.bytes);
        }
        out.resize(out.len().next_multiple_of(8), 0);
        let header = file_header(out.len() as u64, self.sections.len() as u16 + 1);
        out[..HEADER_SIZE as usize].copy_from_slice(&header);
        out.extend(headers);
        out
    }
}

impl Section {
    fn write_header(&self, name: u32, offset: u64, out: &mut Vec<u8>) {
        let size = self.bytes.len() as u64;
        out.extend(name.to_ne_bytes());
        out.extend(self.kind.to_ne_bytes());
        out.extend(self.flags.to_ne_bytes());
        out.extend(0u64.to_ne_bytes());
        out.extend(offset.to_ne_bytes());
        out.extend(size.to_ne_bytes());
        out.extend(self.link.to_ne_bytes());
        out.extend(self.info.to_ne_bytes());
        out.extend(self.align.to_ne_bytes());
        out.extend(self.entry_size.to_ne_bytes());
    }
}

fn file_header(section_headers: u64, section_count: u16) -> Vec<u8> {
    let byte_order = if cfg!(target_endian = "little") { 1 } else { 2 };
    let mut out = vec![0x7f, b'E', b'L', b'F', 2, byte_order, 1];
    out.resize(16, 0);
    out.extend(ET_REL.to_ne_bytes());
    out.extend(EM_BPF.to_ne_bytes());
    out.extend(1u32.to_ne_bytes());
    out.extend(0u64.to_ne_bytes());
    out.extend(0u64.to_ne_bytes());
    out.extend(section_headers.to_ne_bytes());
    out.extend(0u32.to_ne_bytes());
    // Sizes: this header, program headers (none), section headers; index of the section with their names.
    for half in [
        HEADER_SIZE as u16,
        0,
        0,
        SECTION_HEADER_SIZE,
        section_count,
        section_count - 1,
    ] {
        out.extend(half.to_ne_bytes());
    }
    out
}

fn is_local(kind: SymbolKind) -> bool {
    matches!(kind, SymbolKind::Section | SymbolKind::LocalFunction)
}

struct Strings(Vec<u8>);

impl Strings {
    fn add(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        let offset = self.0.len() as u32;
        self.0.extend(text.bytes().take_while(|byte| *byte != 0));
        self.0.push(0);
        offset
    }
}
