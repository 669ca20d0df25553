//! Functions by name, and their inlined copies.

use super::*;
use crate::pattern::Pattern;

fn copies(elf: &Arc<Elf>, pattern: &str) -> InlinedCopies {
    let debug = DebugInfo::new(elf.clone()).unwrap();
    debug.inlined_copies(&Pattern::new(pattern)).unwrap()
}

const SOURCE: &str = "\
int sink;
static inline __attribute__((always_inline)) int twice(int unused, int q)
{
    sink = q;
    return q * 2;
}
__attribute__((noinline)) int first(int a, int b) { return twice(b, a) + 1; }
__attribute__((noinline)) int second(int a) { return twice(1, a + 1) - 1; }
int main(int argc, char **argv) { return first(argc, 1) + second(argc); }
";

#[test]
fn finds_inlined_copies() {
    for (compiler, flags) in [
        ("gcc", &["-g", "-gdwarf-4", "-O2"]),
        ("gcc", &["-g", "-gdwarf-5", "-O2"]),
        ("clang", &["-g", "-gdwarf-4", "-O2"]),
        ("clang", &["-g", "-gdwarf-5", "-O2"]),
    ] {
        let Some((_folder, elf)) = compile_text(compiler, flags, "sample.c", SOURCE) else {
            continue;
        };
        let found = copies(&elf, "twice");
        assert!(!found.is_cut);
        let mut places: Vec<(&str, Option<u64>)> = found
            .copies
            .iter()
            .map(|copy| (copy.into.as_str(), copy.call_line))
            .collect();
        places.sort_unstable();
        assert_eq!(
            places,
            [("first", Some(7)), ("second", Some(8))],
            "{compiler} {flags:?}"
        );
        for copy in &found.copies {
            let into = elf.require_function(&copy.into).unwrap();
            assert_eq!(copy.into_entry, into.address);
            let inside = into.address.0..into.address.0 + into.size;
            assert!(inside.contains(&copy.entry.0), "{copy:?}");
            assert!(copy.call_file.as_ref().unwrap().ends_with("/sample.c"));
            assert_eq!(copy.name, "twice");
            // What was left out of the copy is there, at its place.
            let names: Vec<&str> = copy.parameters.iter().map(|p| p.name.as_str()).collect();
            assert_eq!(names, ["unused", "q"], "{compiler} {flags:?}");
            assert_eq!(found.types.name(copy.parameters[1].type_index), "int");
        }
        let first = found.copies.iter().find(|copy| copy.into == "first");
        let q = &first.unwrap().parameters[1];
        // RDI: the caller's own first parameter.
        assert_eq!(q.location, Location::Register(5), "{compiler} {flags:?}");
    }
}

/// A copy that lies in another unit than the function.
#[test]
fn finds_copies_across_units() {
    let Some((_folder, elf)) = link_time_optimised(
        "extern int sink;\n__attribute__((always_inline)) inline int near(int n) { sink = n; return n * 3; }\nint near(int n);\n",
        "int sink;\nint near(int n);\n__attribute__((noinline)) int far(int n) { return near(n) + 1; }\nint main(int argc, char **argv) { return far(argc); }\n",
    ) else {
        return;
    };
    let found = copies(&elf, "near");
    assert_eq!(found.copies.len(), 1, "{:?}", found.copies);
    assert!(found.copies[0].into.starts_with("far") || found.copies[0].into == "main");
    assert_eq!(found.copies[0].parameters[0].name, "n");
}

#[test]
fn finds_functions_without_their_symbols() {
    let Some((_folder, elf)) = compile_text("gcc", &["-g", "-O2"], "sample.c", SOURCE) else {
        return;
    };
    let debug = DebugInfo::new(elf.clone()).unwrap();
    let mut found = debug.functions_named(&Pattern::new("*st*")).unwrap();
    assert_eq!(found.len(), 1);
    let first = found.remove(0);
    assert_eq!(
        (first.name.as_str(), first.language),
        ("first", Language::C)
    );
    let symbol = elf.require_function("first").unwrap();
    assert_eq!(first.address, symbol.address);
    // Inlined everywhere: it has no code of its own.
    assert!(
        debug
            .functions_named(&Pattern::new("twice"))
            .unwrap()
            .is_empty()
    );
}

const CPP: &str = "\
namespace shop {
int sink;
template <typename T> struct Box {
    T value;
    __attribute__((always_inline)) T get(T more) { sink = more; return value + more; }
    __attribute__((noinline)) T grown(T by) { return get(by) * 2; }
};
__attribute__((noinline)) int use(Box<int> &box, int n) { return box.get(n) + box.grown(n); }
}
int main(int argc, char **argv) { shop::Box<int> box = { argc }; return shop::use(box, argc); }
";

/// With the namespaces or without, mangled or not; by the address of the function itself.
#[test]
fn takes_names_with_namespaces() {
    for compiler in ["g++", "clang++"] {
        let flags = &["-g", "-O2"];
        let Some((_folder, elf)) = compile_text(compiler, flags, "sample.cc", CPP) else {
            continue;
        };
        for pattern in [
            "get",
            "shop::Box<int>::get",
            "shop::*get",
            "_ZN4shop3BoxIiE3getEi",
        ] {
            let found = copies(&elf, pattern).copies;
            let mut into: Vec<&str> = found.iter().map(|copy| copy.into.as_str()).collect();
            into.sort_unstable();
            assert_eq!(
                into,
                ["shop::Box<int>::grown", "shop::use"],
                "{compiler} {pattern}"
            );
            assert_eq!(found[0].name, "shop::Box<int>::get");
            assert_eq!(found[0].parameters[0].name, "this");
        }
        assert!(copies(&elf, "other::get").copies.is_empty());
        let debug = DebugInfo::new(elf.clone()).unwrap();
        let used = debug.functions_named(&Pattern::new("shop::use")).unwrap();
        assert_eq!(used.len(), 1);
        assert!(
            used[0]
                .linkage_name
                .as_ref()
                .unwrap()
                .starts_with("_ZN4shop3use")
        );
    }
}

/// The function itself exists too, and some callers have copies.
#[test]
fn finds_copies_of_a_function_with_code() {
    let text = SOURCE.replace(
        "static inline __attribute__((always_inline))",
        "__attribute__((flatten))",
    );
    let Some((_folder, elf)) = compile_text("gcc", &["-g", "-O2"], "sample.c", &text) else {
        return;
    };
    let debug = DebugInfo::new(elf.clone()).unwrap();
    let twice = elf.require_function("twice").unwrap().address;
    let found = debug.inlined_copies_of(twice).unwrap();
    let names: Vec<&str> = found.copies.iter().map(|copy| copy.name.as_str()).collect();
    assert_eq!(names, ["twice", "twice"]);
    assert!(
        debug
            .inlined_copies_of(Address(1))
            .unwrap()
            .copies
            .is_empty()
    );
}
