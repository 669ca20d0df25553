//! DWARF of a small C program, compiled here by the installed compilers in several versions of the format.

mod companions;
mod inlined;
mod locations;
mod types;

use super::*;
use crate::Address;
use std::fmt::Write;
use std::process::Command;

const SOURCE: &str = "\
struct point { int x; unsigned low : 3; unsigned high : 5; };
enum color { RED, BLUE = 7 };
typedef unsigned long size;
union either { int i; float f; };
struct user { const char *name; struct point at[2][3]; union either; struct user *next; int (*call)(int); enum color c; };
__attribute__((noinline)) size count(const struct user *who, enum color c, double d, char text[4], ...)
{
    return who->at[0][1].x + c + (size)d + text[0];
}
int main(int argc, char **argv)
{
    struct user u = { argv[0] };
    return count(&u, BLUE, 1.0, \"abc\");
}
";

/// Compiles the sample; nothing when there is no such compiler.
fn compile(compiler: &str, flags: &[&str]) -> Option<(tempfile::TempDir, Arc<Elf>)> {
    let text = SOURCE.replace("union either; struct user", "union either e; struct user");
    compile_text(compiler, flags, "sample.c", &text)
}

/// The installed version of a compiler.
fn compiler_name(compiler: &str) -> String {
    let is_there = |name: &String| Command::new(name).arg("--version").output().is_ok();
    let numbered = (14..24)
        .rev()
        .map(|version| format!("{compiler}-{version}"));
    let mut names = [compiler.to_string()].into_iter().chain(numbered);
    names.find(is_there).unwrap_or_else(|| compiler.to_string())
}

/// Compiles a source file of that name.
fn compile_text(
    compiler: &str,
    flags: &[&str],
    name: &str,
    text: &str,
) -> Option<(tempfile::TempDir, Arc<Elf>)> {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join(name);
    std::fs::write(&source, text).unwrap();
    let binary = folder.path().join("sample");
    let status = Command::new(compiler_name(compiler))
        .args(flags)
        .arg("-o")
        .arg(&binary)
        .arg(&source)
        .status();
    if !status.is_ok_and(|status| status.success()) {
        println!("skipped: {compiler} {flags:?} is not possible here");
        return None;
    }
    let elf = Arc::new(Elf::open(&binary).unwrap());
    Some((folder, elf))
}

fn show(function: &DebugFunction) -> String {
    let mut text = String::new();
    let returns = function
        .return_type
        .map_or("void".to_string(), |index| function.types.name(index));
    let _ = writeln!(
        text,
        "{} -> {returns}, variadic {}",
        function.name, function.is_variadic
    );
    for parameter in &function.parameters {
        let _ = writeln!(
            text,
            "{}: {}",
            parameter.name,
            function.types.name(parameter.type_index)
        );
    }
    let DebugType::Pointer { target, .. } = function.types.get(function.parameters[0].type_index)
    else {
        return text;
    };
    let target = function.types.resolve(*target);
    let _ = writeln!(text, "size {:?}", function.types.size_of(target));
    if let DebugType::Composite { members, .. } = function.types.get(target) {
        for member in members {
            let bits = member
                .bitfield_bits
                .map_or_else(String::new, |bits| format!(":{bits}"));
            let _ = writeln!(
                text,
                "  {} {}{bits} @{}",
                function.types.name(member.type_index),
                member.name,
                member.bit_offset
            );
        }
    }
    text
}

const EXPECTED: &str = "\
count -> size, variadic true
who: const struct user *
c: enum color
d: double
text: char *
size Some(88)
  const char * name @0
  struct point[2][3] at @64
  union either e @448
  struct user * next @512
  function * call @576
  enum color c @640
";

#[test]
fn describes_a_function_in_every_dwarf_version() {
    let variants: [(&str, &[&str]); 6] = [
        ("gcc", &["-g", "-gdwarf-3", "-O0"]),
        ("gcc", &["-g", "-gdwarf-4", "-O2"]),
        ("gcc", &["-g", "-gdwarf-5", "-O2"]),
        ("gcc", &["-g", "-gdwarf-5", "-O1", "-gz=zlib"]),
        ("clang", &["-g", "-gdwarf-4", "-O1"]),
        ("clang", &["-g", "-gdwarf-5", "-O1"]),
    ];
    for (compiler, flags) in variants {
        let Some((_folder, elf)) = compile(compiler, flags) else {
            continue;
        };
        let address = elf.require_function("count").unwrap().address;
        let debug = DebugInfo::find(&elf, Path::new("/"), &[]).unwrap();
        let function = debug.function_at(address).unwrap().unwrap();
        assert_eq!(show(&function), EXPECTED, "{compiler} {flags:?}");
        assert_eq!(function.parameters[0].presence, Presence::Located);
        let DebugType::Enum { values, .. } = function.types.get(function.parameters[1].type_index)
        else {
            panic!("enum")
        };
        assert_eq!(values, &[("RED".to_string(), 0), ("BLUE".to_string(), 7)]);
        assert!(debug.function_at(Address(address.0 + 1)).unwrap().is_none());
        assert!(debug.function_at(Address(u64::MAX)).unwrap().is_none());
    }
}

#[test]
fn finds_bitfields_in_old_and_new_notation() {
    for version in ["-gdwarf-3", "-gdwarf-4", "-gdwarf-5"] {
        let Some((_folder, elf)) = compile("gcc", &["-g", version, "-gstrict-dwarf"]) else {
            continue;
        };
        let address = elf.require_function("count").unwrap().address;
        let function = DebugInfo::new(elf.clone())
            .unwrap()
            .function_at(address)
            .unwrap()
            .unwrap();
        let types = &function.types;
        let all = (0..types.len() as u32).map(|i| types.get(TypeIndex(i)));
        let point = all.into_iter().find_map(|t| match t {
            DebugType::Composite { name, members, .. } if name == "point" => Some(members),
            _ => None,
        });
        let places: Vec<(u64, Option<u64>)> = point
            .unwrap()
            .iter()
            .map(|m| (m.bit_offset, m.bitfield_bits))
            .collect();
        assert_eq!(
            places,
            [(0, None), (32, Some(3)), (35, Some(5))],
            "{version}"
        );
    }
}

#[test]
fn finds_lines() {
    for (compiler, version) in [
        ("gcc", "-gdwarf-4"),
        ("gcc", "-gdwarf-5"),
        ("clang", "-gdwarf-5"),
    ] {
        let Some((_folder, elf)) = compile(compiler, &["-g", version, "-O0"]) else {
            continue;
        };
        let debug = DebugInfo::new(elf.clone()).unwrap();
        let found = debug.find_line("sample.c", 8, None).unwrap();
        let (function, _) = elf.function_containing(found[0].address).unwrap();
        assert_eq!(function.name(), "count");
        assert!(found[0].file.ends_with("/sample.c"));
        let column = found[0].column;
        assert!(debug.find_line("sample.c", 8, Some(column)).is_ok());
        assert_eq!(
            debug
                .find_line("sample.c", 9999, None)
                .unwrap_err()
                .nearest(),
            Vec::<String>::new()
        );
        let near = debug.find_line("sample.c", 2, None).unwrap_err();
        assert!(!near.nearest().is_empty(), "{near}");
        assert!(
            debug
                .find_line("ample.c", 8, None)
                .unwrap_err()
                .to_string()
                .contains("source file")
        );
    }
}

#[test]
fn finds_separate_debug_files() {
    let Some((folder, elf)) = compile("gcc", &["-g", "-O1", "-Wl,--build-id"]) else {
        return;
    };
    let run = |args: &[&str]| {
        Command::new("objcopy")
            .current_dir(folder.path())
            .args(args)
            .status()
            .is_ok_and(|s| s.success())
    };
    if !run(&["--only-keep-debug", "sample", "sample.debug"]) {
        println!("skipped: no objcopy");
        return;
    }
    assert!(run(&[
        "--strip-debug",
        "--add-gnu-debuglink=sample.debug",
        "sample",
        "bare"
    ]));
    let bare = Arc::new(Elf::open(&folder.path().join("bare")).unwrap());
    let debug = DebugInfo::find(&bare, Path::new("/"), &[]).unwrap();
    assert_eq!(debug.path(), folder.path().join("sample.debug"));
    let address = elf.require_function("count").unwrap().address;
    assert_eq!(debug.function_at(address).unwrap().unwrap().name, "count");
    std::fs::remove_file(folder.path().join("sample.debug")).unwrap();
    let error = DebugInfo::find(&bare, Path::new("/"), &[]).unwrap_err();
    assert!(error.to_string().contains("no debug information"));
}

/// Compiles and links two files with link-time optimisation.
fn link_time_optimised(one: &str, two: &str) -> Option<(tempfile::TempDir, Arc<Elf>)> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("one.c"), one).unwrap();
    std::fs::write(folder.path().join("two.c"), two).unwrap();
    let status = Command::new("gcc")
        .current_dir(folder.path())
        .args(["-g", "-O2", "-flto", "one.c", "two.c", "-o", "sample"])
        .status();
    if !status.is_ok_and(|status| status.success()) {
        println!("skipped: no gcc with link-time optimisation");
        return None;
    }
    let elf = Arc::new(Elf::open(&folder.path().join("sample")).unwrap());
    Some((folder, elf))
}

/// Builds a Go program.
fn build_go(text: &str) -> Option<(tempfile::TempDir, Arc<Elf>)> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("sample.go"), text).unwrap();
    let status = Command::new("go")
        .current_dir(folder.path())
        .env("GOCACHE", std::env::temp_dir().join("fathom-go-cache"))
        .args(["build", "-o", "sample", "sample.go"])
        .status();
    if !status.is_ok_and(|status| status.success()) {
        println!("skipped: no go");
        return None;
    }
    let elf = Arc::new(Elf::open(&folder.path().join("sample")).unwrap());
    Some((folder, elf))
}
