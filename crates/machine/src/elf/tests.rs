//! ELF: programs of this machine compared with binutils, resolving names, instruction checks.

use super::*;
use crate::{Machine, Pid};
use std::process::Command;

/// The binary of a program or library of this machine, or nothing with a note.
fn installed(name: &str) -> Option<Elf> {
    let found = Machine::at("/").resolve_binary(name, None);
    if found.is_err() {
        println!("skipped: {name} is not installed");
    }
    Elf::open(&found.ok()?[0].path).ok()
}

/// Names and addresses of functions by readelf.
fn readelf_functions(path: &Path) -> Option<Vec<(u64, String)>> {
    let output = Command::new("readelf")
        .args(["-sW"])
        .arg(path)
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut found: Vec<(u64, String)> = text
        .lines()
        .filter_map(|line| {
            let columns: Vec<&str> = line.split_ascii_whitespace().collect();
            let [_, address, _, kind, _, _, section, name, ..] = columns[..] else {
                return None;
            };
            if !matches!(kind, "FUNC" | "IFUNC") || matches!(section, "UND" | "ABS") {
                return None;
            }
            let name = name.split('@').next()?.to_string();
            Some((u64::from_str_radix(address, 16).ok()?, name))
        })
        .collect();
    found.sort();
    found.dedup();
    Some(found)
}

#[test]
fn agrees_with_readelf_on_functions() {
    for name in ["postgres", "python3", "libc", "libstdc++.so.6"] {
        let Some(elf) = installed(name) else { continue };
        let Some(expected) = readelf_functions(elf.path()) else {
            println!("skipped: no readelf");
            return;
        };
        let mut ours: Vec<(u64, String)> = elf
            .functions()
            .flat_map(|function| {
                function
                    .names()
                    .map(move |text| (function.address.0, text.to_string()))
            })
            .collect();
        ours.sort();
        assert_eq!(ours, expected, "{name}");
        for function in elf.functions() {
            assert_eq!(elf.address_of(function.offset), Some(function.address));
        }
    }
}

#[test]
fn reads_its_own_test_binary() {
    let path = std::env::current_exe().unwrap();
    let elf = Elf::open(&path).unwrap();
    assert!(elf.is_program() && elf.is_64());
    let pattern = crate::pattern::Pattern::new("*reads_its_own_test_binary*");
    let found: Vec<_> = elf.match_demangled(&pattern).collect();
    assert!(!found.is_empty());
    for function in found {
        let starts = elf.instruction_starts(&function);
        assert_eq!(starts.first(), Some(&0));
        assert!(starts.is_sorted() && starts.last().unwrap() < &function.extent());
        let (inside, offset) = elf
            .function_containing(Address(function.address.0 + starts[1]))
            .unwrap();
        assert_eq!((inside.address, offset), (function.address, starts[1]));
        assert!(elf.probe_site(function.offset).is_ok());
    }
    assert!(elf.find_function("no such function").is_none());
}

#[test]
fn resolves_names() {
    let machine = Machine::at("/");
    let shown = |name: &str| {
        machine
            .resolve_binary(name, None)
            .map(|found| found[0].shown.display().to_string())
    };
    assert!(shown("sh").unwrap().ends_with("/sh"));
    assert_eq!(shown("/bin/sh").unwrap(), "/bin/sh");
    assert_eq!(shown("/bin/./sh").unwrap(), "/bin/sh");
    assert!(shown("libc").unwrap().contains("libc.so"));
    assert_eq!(shown("libc").unwrap(), shown("libc.so.6").unwrap());
    assert!(shown("/bin/ba[s]h").unwrap().ends_with("/bin/bash"));
    assert!(shown("/none/*").unwrap_err().is_missing());
    assert!(shown("no-such-program-anywhere").unwrap_err().is_missing());
    let me = Pid(std::process::id());
    let mapped = machine.resolve_binary("*", Some(me)).unwrap();
    assert!(
        mapped
            .iter()
            .any(|binary| binary.path == std::env::current_exe().unwrap())
    );
    let libc = machine.resolve_binary("libc", Some(me)).unwrap();
    assert!(libc[0].path.display().to_string().contains("libc"));
}

#[test]
fn resolves_inside_another_root() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(root.path().join("usr/bin")).unwrap();
    std::fs::create_dir_all(root.path().join("usr/lib")).unwrap();
    std::fs::copy("/bin/true", root.path().join("usr/bin/tool")).unwrap();
    std::fs::write(root.path().join("usr/lib/libx.so.3"), "x").unwrap();
    std::os::unix::fs::symlink("/usr/bin/tool", root.path().join("usr/bin/alias")).unwrap();
    let machine = Machine::at(root.path());
    let alias = machine.resolve_binary("alias", None).unwrap();
    assert_eq!(alias[0].shown, Path::new("/usr/bin/alias"));
    assert_eq!(alias[0].path, root.path().join("usr/bin/tool"));
    assert_eq!(
        machine.resolve_binary("libx", None).unwrap()[0].shown,
        Path::new("/usr/lib/libx.so.3")
    );
    assert_eq!(machine.resolve_binary("/usr/*/*", None).unwrap().len(), 2);
    assert_eq!(
        machine.resolve_binary("tol", None).unwrap_err().nearest(),
        ["tool"]
    );
}

#[test]
fn knows_what_the_kernel_refuses() {
    use Unprobeable::*;
    let cases: [(&[u8], std::result::Result<SiteCost, Unprobeable>); 19] = [
        (&[0x90], Ok(SiteCost::Emulated)),
        (&[0x48, 0x90], Ok(SiteCost::Emulated)),
        (&[0x49, 0x90], Err(TakenForNop)), // xchg %rax,%r8
        (&[0x55], Ok(SiteCost::Emulated)),
        (&[0x41, 0x57], Ok(SiteCost::Emulated)),
        (&[0xe8, 0, 0, 0, 0], Ok(SiteCost::Emulated)),
        (&[0x0f, 0x84, 0, 0, 0, 0], Ok(SiteCost::Emulated)),
        (&[0x0f, 0x1f, 0x44, 0, 0], Ok(SiteCost::OptimizedNop)),
        (&[0xf3, 0x0f, 0x1e, 0xfa], Ok(SiteCost::SingleStepped)),
        (&[0x48, 0x83, 0xec, 8], Ok(SiteCost::SingleStepped)),
        (&[0xc3], Ok(SiteCost::SingleStepped)),
        (&[0xf0, 0x48, 0x83, 0x0c, 0x24, 0], Err(LockPrefix)),
        (&[0x2e, 0x48, 0x8b, 0x07], Err(SegmentPrefix)),
        (&[0xcc], Err(Opcode)),
        (&[0xf4], Err(Opcode)),
        (&[0xc5, 0xfa, 0x6f, 0x07], Err(Opcode)), // vmovdqu
        (&[0x66, 0xe8, 0, 0, 0, 0], Err(NarrowBranch)),
        (&[0x06], Err(Invalid)),
        (&[], Err(OutsideFile)),
    ];
    for (code, expected) in cases {
        assert_eq!(
            probeable(code, Architecture::X86_64),
            expected,
            "{code:02x?}"
        );
    }
    assert_eq!(
        probeable(&[0x48], Architecture::X86),
        Ok(SiteCost::SingleStepped)
    );
    assert_eq!(probeable(&[0x48], Architecture::X86_64), Err(Invalid));
}

#[test]
fn names_the_unprobeable_function_of_postgres() {
    let Some(elf) = installed("postgres") else {
        return;
    };
    let refused: Vec<&str> = elf
        .functions()
        .filter(|f| elf.probe_site(f.offset).is_err())
        .map(|f| f.name())
        .collect();
    assert_eq!(refused, ["SetLatch"]);
}

#[test]
fn finds_variables_and_build_ids() {
    let Some(elf) = installed("libc") else { return };
    assert!(elf.data_symbol("environ").unwrap().size == 8);
    assert!(
        elf.data_symbol("envirom")
            .unwrap_err()
            .nearest()
            .contains(&"environ".to_string())
    );
    assert_eq!(elf.build_id().map(<[u8]>::len), Some(20));
}

#[test]
fn measures_symbol_tables() {
    for name in ["postgres", "python3"] {
        let Some(found) = installed(name) else {
            continue;
        };
        let start = std::time::Instant::now();
        let elf = Elf::open(found.path()).unwrap();
        let count = elf.functions().count();
        println!("{name}: {count} functions in {:?}", start.elapsed());
    }
}

/// Distributions leave the names of local functions in stripped binaries, packed.
#[test]
fn reads_packed_symbols() {
    let folder = tempfile::tempdir().unwrap();
    let source = "static __attribute__((noinline)) int hidden(int n) { return n * 3; } int main(int argc, char **argv) { return hidden(argc); }";
    std::fs::write(folder.path().join("sample.c"), source).unwrap();
    let run = |line: &str| {
        let mut words = line.split(' ');
        let status = Command::new(words.next().unwrap())
            .current_dir(folder.path())
            .args(words)
            .status();
        status.is_ok_and(|status| status.success())
    };
    let steps = [
        "gcc -O1 -fno-inline sample.c -o sample",
        "objcopy --only-keep-debug sample symbols",
        "xz symbols",
        "strip -s sample",
        "objcopy --add-section .gnu_debugdata=symbols.xz sample packed",
    ];
    if let Some(failed) = steps.into_iter().find(|step| !run(step)) {
        println!("skipped: {failed}");
        return;
    }
    let bare = Elf::open(&folder.path().join("sample")).unwrap();
    assert!(bare.find_function("hidden").is_none());
    let packed = Elf::open(&folder.path().join("packed")).unwrap();
    let hidden = packed.require_function("hidden").unwrap();
    assert_eq!(hidden.name(), "hidden");
    assert!(hidden.size > 0 && !hidden.code().is_empty());
    // Whatever is changed or cut off, there are symbols or there are none.
    let whole = std::fs::read(folder.path().join("packed")).unwrap();
    let content = packed.section(".gnu_debugdata").unwrap().unwrap();
    let is_content = |window: &[u8]| window == content.as_ref();
    let start = whole.windows(content.len()).position(is_content).unwrap();
    for at in start..start + content.len() {
        for change in [0, 0xff, 0x80] {
            let mut bytes = whole.clone();
            bytes[at] ^= change;
            let changed = Elf::new("changed", bytes).unwrap();
            let is_found = changed.find_function("hidden").is_some();
            assert!(is_found || change != 0);
        }
    }
}
