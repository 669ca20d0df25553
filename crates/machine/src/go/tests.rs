//! Go programs, made here by the Go that is installed.

use super::*;
use std::path::{Path, PathBuf};
use std::process::Command;

const SOURCE: &str = r#"
package main

import "fmt"

type Server struct{ hits int }

//go:noinline
func (s *Server) Handle(path string) (int, error) {
	s.hits++
	return s.hits, fmt.Errorf("bad path %s", path)
}

//go:noinline
func Leaf(n int) int { return n + 1 }

//go:noinline
func Deep(n int) int {
	if n == 0 {
		return 0
	}
	return Deep(n-1) + 1
}

func main() {
	s := &Server{}
	fmt.Println(s.Handle("/x"))
	fmt.Println(Leaf(1), Deep(10))
}
"#;

/// A program of [`SOURCE`], or nothing with a note where there is no Go.
fn build(folder: &Path, name: &str, flags: &[&str]) -> Option<Elf> {
    let source = folder.join("main.go");
    std::fs::write(&source, SOURCE).unwrap();
    let program: PathBuf = folder.join(name);
    let mut command = Command::new("go");
    command.arg("build").args(flags).arg("-o").arg(&program);
    command
        .arg(&source)
        .env("HOME", folder)
        .env("CGO_ENABLED", "0");
    match command.output() {
        Ok(output) if output.status.success() => Some(Elf::open(&program).unwrap()),
        Ok(output) => panic!("{}", String::from_utf8_lossy(&output.stderr)),
        Err(_) => {
            println!("skipped: no Go compiler");
            None
        }
    }
}

fn names_and_places(elf: &Elf) -> Vec<(u64, String)> {
    let go = elf.go().unwrap();
    go.functions()
        .map(|function| (function.entry.0, function.name.to_string()))
        .collect()
}

#[test]
fn stripping_leaves_the_functions() {
    let folder = tempfile::tempdir().unwrap();
    let Some(whole) = build(folder.path(), "whole", &[]) else {
        return;
    };
    let stripped = build(folder.path(), "stripped", &["-ldflags=-s -w"]).unwrap();
    assert!(whole.has_symbol_table() && !stripped.has_symbol_table());
    assert_eq!(names_and_places(&whole), names_and_places(&stripped));
    for (address, name) in names_and_places(&whole) {
        let by_symbol = whole.function_containing(Address(address)).unwrap().0;
        let is_same = by_symbol
            .names()
            .any(|known| known.trim_end_matches(".abi0") == name);
        assert!(
            is_same || name.contains("[...]"),
            "{name}: {}",
            by_symbol.name()
        );
    }
    let handle = stripped.find_function("main.(*Server).Handle").unwrap();
    let known = stripped.go().unwrap().function_at(handle.address).unwrap();
    assert!(known.file.unwrap().ends_with("main.go"));
    assert!((8..=10).contains(&known.line.unwrap()), "{known:?}");
    assert!(!known.is_assembly);
    let version = Command::new("go").arg("version").output().unwrap();
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let ours = stripped.go().unwrap().version().unwrap();
    assert!(version.contains(&format!("go{ours}")), "{version}: {ours}");
}

#[test]
fn entry_lies_behind_the_stack_check() {
    let folder = tempfile::tempdir().unwrap();
    let Some(elf) = build(folder.path(), "sites", &["-ldflags=-s -w"]) else {
        return;
    };
    let site = |name: &str| {
        let function = elf.find_function(name).unwrap();
        (elf.go_entry_site(&function), elf.go_return_sites(&function))
    };
    let (leaf, leaf_returns) = site("main.Leaf");
    assert_eq!((leaf.offset, leaf.is_exact), (0, true));
    assert_eq!(leaf_returns.len(), 1);
    let (deep, deep_returns) = site("main.Deep");
    assert!(deep.offset > 0 && deep.is_exact);
    assert!(!deep_returns.is_empty());
    let function = elf.find_function("main.Deep").unwrap();
    let code = function.code();
    for at in deep_returns {
        assert_eq!(code[at as usize], 0xc3);
    }
    let starts = elf.instruction_starts(&function);
    assert!(starts.contains(&deep.offset));
}

#[test]
fn knows_where_the_goroutine_is() {
    let folder = tempfile::tempdir().unwrap();
    let Some(elf) = build(folder.path(), "g", &["-ldflags=-s -w"]) else {
        return;
    };
    let go = elf.go().unwrap();
    let pointer = |name: &str| {
        let function = elf.find_function(name).unwrap();
        go.goroutine(function.address).unwrap().pointer
    };
    assert_eq!(pointer("main.Deep"), GPointer::R14);
    assert_eq!(pointer("runtime.asmcgocall"), GPointer::ThreadLocal(-8));
}

/// Four functions in the table's four shapes: one with a stack check, a leaf, a tail call, assembly.
#[test]
fn reads_the_table_in_all_its_shapes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/pclntab");
    for (shape, minor) in [
        ("go1.2", 15),
        ("go1.16", 17),
        ("go1.18", 19),
        ("go1.20", 27),
    ] {
        let elf = Elf::open(&folder.join(shape)).unwrap();
        let go = elf.go().unwrap();
        assert_eq!(go.version().unwrap().minor, minor, "{shape}");
        let functions: Vec<_> = go.functions().collect();
        let shown = |function: &GoFunction<'_>| {
            let file = function.file.unwrap_or("?");
            let address = function.entry.0;
            format!("{} {address:x} {} {file}", function.name, function.size)
        };
        assert_eq!(
            functions.iter().map(shown).collect::<Vec<_>>(),
            [
                "main.F 400200 32 main.go",
                "main.Leaf 400220 16 main.go",
                "main.Jump 400230 16 main.go",
                "runtime.mcall 400240 16 asm.s",
            ],
            "{shape}"
        );
        let assembly: Vec<bool> = functions.iter().map(|known| known.is_assembly).collect();
        assert_eq!(assembly, [false, false, false, true], "{shape}");
        let sites = functions.iter().map(|known| {
            let function = elf.find_function(known.name).unwrap();
            let entry = elf.go_entry_site(&function);
            (entry.offset, elf.go_return_sites(&function))
        });
        let expected = [(6, vec![11]), (0, vec![3]), (0, vec![0]), (0, vec![9])];
        assert_eq!(sites.collect::<Vec<_>>(), expected, "{shape}");
    }
}
