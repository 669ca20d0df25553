//! Truncated and mutated files: whatever the bytes, every question ends with an answer or an error, never with a panic or a hang.

use fathom_machine::Address;
use fathom_machine::btf::{Btf, Kind};
use fathom_machine::dwarf::DebugInfo;
use fathom_machine::elf::Elf;
use fathom_machine::pattern::Pattern;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A small seeded generator (xorshift), so that every run does the same.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

/// Changes a few bytes, or cuts the end off.
fn mutate(original: &[u8], random: &mut Random, hot: std::ops::Range<usize>) -> Vec<u8> {
    let mut bytes = original.to_vec();
    if random.below(8) == 0 {
        bytes.truncate(random.below(bytes.len()));
        return bytes;
    }
    for _ in 0..1 + random.below(8) {
        let at = if random.below(2) == 0 {
            hot.start + random.below(hot.len())
        } else {
            random.below(bytes.len())
        };
        let value = match random.below(4) {
            0 => 0,
            1 => 0xff,
            2 => bytes[at].wrapping_add(1),
            _ => random.next() as u8,
        };
        bytes[at] = value;
    }
    bytes
}

/// Runs many mutations; each must end within a second, all within a budget.
fn hammer(original: &[u8], hot: std::ops::Range<usize>, ask: impl Fn(Vec<u8>)) {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let start = Instant::now();
    let mut rounds = 0;
    while rounds < 2000 && start.elapsed() < Duration::from_secs(6) {
        let bytes = mutate(original, &mut random, hot.clone());
        let began = Instant::now();
        ask(bytes);
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "round {rounds} took {:?}",
            began.elapsed()
        );
        rounds += 1;
    }
    println!("{rounds} rounds in {:?}", start.elapsed());
}

fn ask_btf(bytes: Vec<u8>) {
    let Ok(btf) = Btf::new(bytes, None) else {
        return;
    };
    for id in btf.own_ids().take(5000) {
        let _ = btf.type_by_id(id);
        let _ = btf.size_of(id);
        let _ = btf.field(id, "nothing");
        let _ = btf.c_definition(id);
        let _ = btf.func_proto(id);
    }
    let _ = btf.find(Kind::Struct, "user");
    let _ = btf.enumerator("RED");
    let _ = btf.raw_tracepoint("x");
    let _ = btf.iterators().count();
}

fn ask_elf(bytes: Vec<u8>) {
    let Ok(elf) = Elf::new("mutated", bytes) else {
        return;
    };
    let _ = elf.build_id();
    let _ = elf.debug_link();
    let _ = elf.usdt_probes();
    let _ = elf.data_symbol("nothing");
    let _ = elf.match_demangled(&Pattern::new("*x*")).count();
    for function in elf.functions().take(200) {
        let _ = elf.probe_site(function.offset);
        let _ = elf.instruction_starts(&function);
        let _ = function.name();
    }
    for name in [".debug_info", ".text", ".BTF"] {
        let _ = elf.section(name);
    }
}

fn ask_dwarf(bytes: Vec<u8>) {
    let Ok(elf) = Elf::new("mutated", bytes) else {
        return;
    };
    let elf = Arc::new(elf);
    let Ok(debug) = DebugInfo::new(elf.clone()) else {
        return;
    };
    let addresses: Vec<Address> = elf
        .functions()
        .map(|function| function.address)
        .take(50)
        .collect();
    for address in addresses {
        if let Ok(Some(function)) = debug.function_at(address) {
            for parameter in &function.parameters {
                let _ = function.types.name(parameter.type_index);
                let _ = function.types.size_of(parameter.type_index);
            }
        }
        let after = debug.after_prologue(address).ok().flatten();
        if let Ok(Some(scope)) = debug.variables_at(after.unwrap_or(address)) {
            for variable in &scope.variables {
                let _ = scope.types.name(variable.type_index);
            }
        }
    }
    let _ = debug.find_line("sample.c", 3, None);
    let _ = debug.functions_named(&Pattern::new("*"));
    let _ = debug.inlined_copies(&Pattern::new("*::*"));
    if let Ok(found) = debug.inlined_copies(&Pattern::new("*")) {
        for copy in found.copies.iter().take(20) {
            let _ = debug.variables_at(copy.entry);
        }
    }
}

/// A small program with debug information and a static probe note; nothing without a compiler.
fn sample(flags: &[&str]) -> Option<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("sample.c");
    let note = r#"__asm__(".pushsection .note.stapsdt,\"\",\"note\"\n.balign 4\n.4byte 8, 2f-1f, 3\n.asciz \"stapsdt\"\n1: .8byte main, 0, 0\n.asciz \"prov\"\n.asciz \"name\"\n.asciz \"-4@112(%rsp) 8@%rbx -4@x(%rip)\"\n2: .balign 4\n.popsection\n");"#;
    let text = format!(
        "{note}\nstruct user {{ int a; struct user *next; unsigned b : 3; }};\nint x = 1;\nstatic inline int more(int n) {{ x = n; return n + 1; }}\nint count(struct user *who, int n) {{ return who->a + more(n); }}\nint main(void) {{ struct user u = {{ 1 }};\nreturn count(&u, x); }}\n"
    );
    std::fs::write(&source, text).unwrap();
    let binary = folder.path().join("sample");
    let status = std::process::Command::new("gcc")
        .args(flags)
        .arg("-w")
        .arg("-o")
        .arg(&binary)
        .arg(&source)
        .status();
    if !status.is_ok_and(|status| status.success()) {
        println!("skipped: no gcc");
        return None;
    }
    Some(std::fs::read(&binary).unwrap())
}

/// Where a section's bytes are.
fn place_of(bytes: &[u8], section: &str) -> std::ops::Range<usize> {
    let elf = Elf::new("sample", bytes.to_vec()).unwrap();
    let content = elf.section(section).unwrap().unwrap().into_owned();
    let at = bytes
        .windows(content.len())
        .position(|window| window == content)
        .unwrap();
    at..at + content.len()
}

#[test]
fn broken_elf() {
    let Some(bytes) = sample(&["-O1"]) else {
        return;
    };
    let elf = Elf::new("sample", bytes.clone()).unwrap();
    let probes = elf.usdt_probes();
    assert_eq!((probes.len(), probes[0].arguments.len()), (1, 3));
    let notes = place_of(&bytes, ".note.stapsdt");
    hammer(&bytes, 0..64, ask_elf);
    hammer(&bytes, notes, ask_elf);
    let headers = bytes.len() - 3000..bytes.len();
    hammer(&bytes, headers, ask_elf);
}

#[test]
fn broken_dwarf() {
    for (flags, sections) in [
        (
            ["-g", "-gdwarf-4", "-O0"],
            [".debug_info", ".debug_abbrev", ".debug_line"],
        ),
        (
            ["-g", "-gdwarf-5", "-O0"],
            [".debug_info", ".debug_abbrev", ".eh_frame"],
        ),
        (
            ["-g", "-gdwarf-5", "-O2"],
            [".debug_info", ".debug_loclists", ".debug_line"],
        ),
        (
            ["-g", "-gdwarf-4", "-fdebug-types-section"],
            [".debug_info", ".debug_types", ".debug_abbrev"],
        ),
    ] {
        let Some(bytes) = sample(&flags) else {
            return;
        };
        for section in sections {
            hammer(&bytes, place_of(&bytes, section), ask_dwarf);
        }
    }
}

#[test]
fn broken_btf() {
    // The first types of the kernel's own BTF, cut out into a small file.
    let Ok(kernel) = std::fs::read("/sys/kernel/btf/vmlinux") else {
        println!("skipped: this kernel has no BTF");
        return;
    };
    let small = small_btf(&kernel);
    Btf::new(small.clone(), None).unwrap();
    hammer(&small, 0..24, ask_btf);
    hammer(&small, 24..small.len(), ask_btf);
}

/// Types in front of 20,000 bytes of the type section, with all strings up to 64 KB.
fn small_btf(kernel: &[u8]) -> Vec<u8> {
    let word = |at: usize| u32::from_le_bytes(kernel[at..at + 4].try_into().unwrap()) as usize;
    let (header, type_len, string_start) = (word(4), word(12), word(16));
    for types in (12..20_000.min(type_len)).rev() {
        let mut bytes = kernel[..8].to_vec();
        let mut strings = kernel[header + string_start..header + string_start + word(20)].to_vec();
        strings.truncate(1 << 20);
        *strings.last_mut().unwrap() = 0;
        for value in [0, types, types, strings.len()] {
            bytes.extend((value as u32).to_le_bytes());
        }
        bytes.resize(header, 0);
        bytes.extend(&kernel[header..header + types]);
        bytes.extend(strings);
        if Btf::new(bytes.clone(), None).is_ok() {
            return bytes;
        }
    }
    unreachable!("no type ends within 20,000 bytes");
}
