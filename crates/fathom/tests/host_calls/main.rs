//! `fathom calls` shows what programs of several languages and compilers say of their own calls. Needs root and compilers;
//! what is not installed is said and left out.

mod compare;
mod program;

use compare::check;
use program::{Build, needs_root, program};

/// Floating-point results are in registers that cannot be read, wherever they are.
const REAL_RESULTS: &[&str] = &[
    "extended.result",
    "reals.result",
    "mixed_struct.result.real",
    "floats_struct.result",
    // A page that nobody has touched is not there for a probe either, and a text that runs into one is not shown.
    "on_page.args.text",
    "on_page.result",
];
/// Optimised code does not store its arguments.
const REAL_ARGUMENTS: &[&str] = &[
    "reals.args.a",
    "reals.args.c",
    "reals.args.d",
    "mixed_struct.args.m.real",
    "mixed_struct.args.h.real",
    "halves_struct.args.h.real",
    "floats_struct.args.*",
];

fn check_c(compiler: &str, flags: &[&str], also_missing: &[&str]) {
    if !needs_root() {
        return;
    }
    let build = Build {
        compiler,
        flags,
        source: "calls.c",
    };
    let Some(program) = program(&build) else {
        return;
    };
    let missing = [REAL_RESULTS, also_missing].concat();
    check(&program, &[], &missing);
}

#[test]
fn c_as_it_is_written() {
    check_c("gcc", &["-O0", "-gdwarf-5"], &[]);
}

#[test]
fn c_as_it_is_written_by_dwarf_4() {
    check_c("gcc", &["-O0", "-gdwarf-4"], &[]);
}

#[test]
fn c_optimised() {
    let mut missing = REAL_ARGUMENTS.to_vec();
    // It changes its argument in place, and debug information does not say where that was before.
    missing.push("outer_struct.args.o");
    check_c("gcc", &["-O2", "-gdwarf-5"], &missing);
}

#[test]
fn c_optimised_more() {
    let mut missing = REAL_ARGUMENTS.to_vec();
    // A copy of it returns nothing.
    missing.extend(["outer_struct.args.o", "factorial.result"]);
    check_c("gcc", &["-O3", "-gdwarf-4"], &missing);
}

#[test]
fn c_optimised_as_a_whole() {
    let mut missing = REAL_ARGUMENTS.to_vec();
    // Copies without results, and structs of which only some members are passed on.
    missing.extend([
        "*.result",
        "outer_struct.args.*",
        "mixed_struct.args.m",
        "medium_struct.args.p",
        "many.args.j",
        "many.args.k",
        "strings.args.empty",
        "strings.args.text",
    ]);
    check_c("gcc", &["-O2", "-flto", "-g"], &missing);
}

#[test]
fn c_of_clang_as_it_is_written() {
    check_c("clang", &["-O0", "-g"], &[]);
}

#[test]
fn c_of_clang_optimised() {
    let mut missing = REAL_ARGUMENTS.to_vec();
    missing.extend(["sixteen.args.a", "sixteen.args.b", "leftmost.args.tree"]);
    check_c("clang", &["-O2", "-gdwarf-4"], &missing);
}

/// A return probe of the kernel would end the program: the exception would find no caller.
#[test]
fn exceptions_pass_traced_functions() {
    if !needs_root() {
        return;
    }
    for flags in [["-O0", "-g"], ["-O2", "-g"]] {
        let build = Build {
            compiler: "g++",
            flags: &flags,
            source: "throws.cpp",
        };
        if let Some(program) = program(&build) {
            check(&program, &[], &[]);
        }
    }
}
