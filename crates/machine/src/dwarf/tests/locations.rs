//! Where parameters and variables are.

use super::super::expression::translate;
use super::super::question::Question;
use super::super::site::Site;
use super::*;

const SOURCE: &str = "\
#include <stdio.h>
struct point { int x, y; };
struct big { long a[4]; };
__attribute__((noinline)) int add(int a, long b, double d, struct point p, struct big g)
{
    int sum = a + b;
    {
        int inner = sum * 2 + p.x;
        sum += inner + (int)d + g.a[1];
        printf(\"%d\\n\", sum);
    }
    return sum + a;
}
static __attribute__((noinline)) int helper(int seven, int v)
{
    printf(\"%d\\n\", v);
    return v + seven;
}
static inline int twice(int q)
{
    int doubled = q * 2;
    printf(\"%d\\n\", doubled);
    return doubled;
}
__attribute__((noinline)) int caller(int a, struct point **list)
{
    struct point p = { 1, 2 };
    struct big b = { { 1, 2, 3, 4 } };
    return helper(7, add(a, 5, 2.5, p, b)) + twice(a);
}
int main(int argc, char **argv) { return caller(argc, 0); }
";

const RSI: u16 = 4;
const RDI: u16 = 5;
const RBP: u16 = 6;
const RSP: u16 = 7;

fn sample(compiler: &str, flags: &[&str]) -> Option<(tempfile::TempDir, Arc<Elf>, DebugInfo)> {
    let (folder, elf) = compile_text(compiler, flags, "sample.c", SOURCE)?;
    let debug = DebugInfo::new(elf.clone()).unwrap();
    Some((folder, elf, debug))
}

fn function(elf: &Elf, debug: &DebugInfo, name: &str) -> DebugFunction {
    let address = elf.require_function(name).unwrap().address;
    debug.function_at(address).unwrap().unwrap()
}

fn based(number: u16, offset: i64) -> Expression {
    Expression(vec![Operation::Register { number, offset }])
}

/// Optimised code: registers of the calling convention, in every notation of lists.
#[test]
fn parameters_of_optimised_code_are_in_registers() {
    for flags in [
        &["-g", "-gdwarf-3", "-gstrict-dwarf", "-O2"][..],
        &["-g", "-gdwarf-4", "-O2"],
        &["-g", "-gdwarf-5", "-O2"],
    ] {
        let Some((_folder, elf, debug)) = sample("gcc", flags) else {
            return;
        };
        let add = function(&elf, &debug, "add");
        assert_eq!(add.language, Language::C);
        let places: Vec<&Location> = add.parameters.iter().map(|p| &p.location).collect();
        let in_xmm = Location::Unreadable("in XMM0: not readable".to_string());
        assert_eq!(
            places,
            [
                &Location::Register(RDI),
                &Location::Register(RSI),
                &in_xmm,
                &Location::Register(1),
                &Location::Memory(based(RSP, 8)),
            ],
            "{flags:?}"
        );
        assert!(add.parameters.iter().all(|p| p.is_valid_at_entry));
        assert!(!add.parameters[0].is_valid_everywhere);
    }
}

/// Unoptimised code: one place, which the prologue fills; before that it holds something else.
#[test]
fn parameters_of_unoptimised_code_are_stored_by_the_prologue() {
    for (compiler, flags) in [
        ("gcc", &["-g", "-gdwarf-4", "-O0"]),
        ("gcc", &["-g", "-gdwarf-5", "-O0"]),
        ("clang", &["-g", "-gdwarf-5", "-O0"]),
    ] {
        let Some((_folder, elf, debug)) = sample(compiler, flags) else {
            continue;
        };
        let add = function(&elf, &debug, "add");
        assert!(add.parameters.iter().all(|p| p.is_valid_everywhere));
        assert!(!add.parameters[0].is_valid_at_entry, "{compiler}");
        let after = debug.after_prologue(add.address).unwrap().unwrap();
        assert!(after > add.address);
        let scope = debug.variables_at(after).unwrap().unwrap();
        assert_eq!((scope.function.as_str(), scope.entry), ("add", add.address));
        let named = |name: &str| scope.variables.iter().find(|v| v.name == name);
        let Location::Memory(Expression(a)) = &named("a").unwrap().location else {
            panic!("{:?}", named("a"))
        };
        assert!(
            matches!(a[..], [Operation::Register { number: RBP, offset }] if offset < 0),
            "{compiler}: {a:?}"
        );
        assert_eq!(
            named("g").unwrap().location,
            Location::Memory(based(RBP, 16))
        );
        assert_eq!(named("sum").unwrap().line, Some(6));
        assert!(!named("sum").unwrap().is_parameter);
        assert!(named("inner").is_none(), "its block starts later");
        let later = debug.find_line("sample.c", 10, None).unwrap()[0].address;
        let inside = debug.variables_at(later).unwrap().unwrap();
        assert!(inside.variables.iter().any(|v| v.name == "inner"));
    }
}

/// A parameter that all callers give the same, and values that are known only on entry.
#[test]
fn tells_constants_and_what_is_lost() {
    let Some((_folder, elf, debug)) = sample("gcc", &["-g", "-gdwarf-5", "-O2"]) else {
        return;
    };
    let clone = elf
        .functions()
        .find(|f| f.name().starts_with("helper"))
        .unwrap();
    let helper = debug.function_at(clone.address).unwrap().unwrap();
    let seven = helper.parameters.iter().find(|p| p.name == "seven");
    assert_eq!(
        seven.unwrap().location,
        Location::Constant(vec![7, 0, 0, 0, 0, 0, 0, 0])
    );
    let caller = function(&elf, &debug, "caller");
    assert_eq!(caller.parameters[1].location, Location::Register(RSI));
    let end = Address(elf.require_function("caller").unwrap().size + caller.address.0 - 1);
    let scope = debug.variables_at(end).unwrap().unwrap();
    let list = scope.variables.iter().find(|v| v.name == "list").unwrap();
    assert_eq!(
        list.location,
        Location::Unreadable("it is known only at the function's entry".to_string())
    );
}

/// Variables of an inlined function are there where its code is, under its name.
#[test]
fn names_the_inlined_function() {
    let Some((_folder, elf, debug)) = sample("gcc", &["-g", "-gdwarf-5", "-O2"]) else {
        return;
    };
    let caller = elf.require_function("caller").unwrap();
    let inside = (caller.address.0..caller.address.0 + caller.size).map(Address);
    let found: Vec<Variable> = inside
        .filter_map(|pc| debug.variables_at(pc).unwrap())
        .flat_map(|scope| scope.variables)
        .filter(|variable| variable.name == "doubled")
        .collect();
    assert!(!found.is_empty());
    assert!(found.iter().all(|v| v.inlined.as_deref() == Some("twice")));
}

/// Functions that link-time optimisation brought from one unit into another are described in the first.
#[test]
fn follows_references_into_other_units() {
    let Some((_folder, elf)) = link_time_optimised(
        "struct kept { int a, b; };\n__attribute__((noinline)) long far(struct kept *kept, int n) { return kept->a * n + kept->b; }\n",
        "struct kept { int a, b; };\nlong far(struct kept *, int);\nint main(int argc, char **argv) { struct kept k = { argc, 2 }; return far(&k, argc); }\n",
    ) else {
        return;
    };
    let debug = DebugInfo::new(elf.clone()).unwrap();
    let far = elf
        .functions()
        .find(|f| f.name().starts_with("far"))
        .unwrap();
    let far = debug.function_at(far.address).unwrap().unwrap();
    assert_eq!((far.name.as_str(), far.language), ("far", Language::C));
    assert_eq!(
        far.return_type.map(|t| far.types.name(t)).as_deref(),
        Some("long int")
    );
    let shown: Vec<(&str, String)> = far
        .parameters
        .iter()
        .map(|p| (p.name.as_str(), far.types.name(p.type_index)))
        .collect();
    assert!(shown.contains(&("n", "int".to_string())), "{shown:?}");
}

#[test]
fn knows_the_language() {
    for (compiler, flags, name, text, expected) in [
        (
            "rustc",
            &["-g", "-O", "-Cpanic=abort"][..],
            "sample.rs",
            "#[unsafe(no_mangle)] #[inline(never)] pub fn it(n: u32, s: &str) -> u32 { n + s.len() as u32 + s.as_bytes()[0] as u32 } fn main() { std::hint::black_box(it(std::hint::black_box(1), std::hint::black_box(\"a\"))); }",
            Language::Rust,
        ),
        (
            "g++",
            &["-g", "-O2"],
            "sample.cc",
            "extern \"C\" __attribute__((noipa)) int it(unsigned n, const char *s) { return n + s[0]; } int main(int argc, char **argv) { return it(argc, argv[0]); }",
            Language::Cpp,
        ),
    ] {
        let Some((_folder, elf)) = compile_text(compiler, flags, name, text) else {
            continue;
        };
        let debug = DebugInfo::new(elf.clone()).unwrap();
        let it = function(&elf, &debug, "it");
        assert_eq!(it.language, expected);
        assert_eq!(it.parameters[0].location, Location::Register(RDI));
        let second = match expected {
            // A slice is a pointer and a length.
            Language::Rust => Location::Pieces(vec![
                Piece {
                    location: Location::Register(RSI),
                    size: 8,
                },
                Piece {
                    location: Location::Register(1),
                    size: 8,
                },
            ]),
            _ => Location::Register(RSI),
        };
        assert_eq!(it.parameters[1].location, second);
    }
}

#[test]
fn reads_go() {
    let text = "package main\nimport \"fmt\"\n//go:noinline\nfunc Greet(name string, n int32, f float64) (string, error) { return fmt.Sprint(name, n, f), nil }\nfunc main() { fmt.Println(Greet(\"a\", 1, 2.5)) }\n";
    let Some((_folder, elf)) = build_go(text) else {
        return;
    };
    let debug = DebugInfo::new(elf.clone()).unwrap();
    let greet = function(&elf, &debug, "main.Greet");
    assert_eq!(greet.language, Language::Go);
    let piece = |number| Piece {
        location: Location::Register(number),
        size: 8,
    };
    assert_eq!(
        greet.parameters[0].location,
        Location::Pieces(vec![piece(0), piece(3)])
    );
    assert_eq!(greet.parameters[1].location, Location::Register(2));
    let results = greet.parameters.iter().filter(|p| p.is_result);
    assert!(results.clone().all(|p| p.location == Location::Absent));
    assert_eq!(results.count(), 2);
    assert!(debug.after_prologue(greet.address).unwrap().unwrap() > greet.address);
}

/// Single operations, through the code that reads whole descriptions.
#[test]
fn translates_operations() {
    let Some((_folder, elf, debug)) = sample("gcc", &["-g", "-O0"]) else {
        return;
    };
    let add = elf.require_function("add").unwrap().address;
    let question = Question::new(&debug).unwrap();
    let unit = question.unit_at(add).unwrap().unwrap();
    let functions = debug.outline(&question, &unit).unwrap();
    let place = question
        .entry(&unit, functions.starting_at(add).unwrap())
        .unwrap();
    let site = Site::new(&question, &place, add, add);
    let check = |code: &'static [u8], expected: Location| {
        let code = gimli::Expression(EndianSlice::new(code, LittleEndian));
        assert_eq!(translate(&site, None, code, unit.unit.encoding()), expected);
    };
    let lost = |why: &str| Location::Unreadable(why.to_string());
    check(&[], Location::Absent);
    check(&[0x50 + 3], Location::Register(3));
    check(&[0x50 + 16], lost("in register 16: not readable"));
    // breg7 16, deref
    check(
        &[0x77, 16, 0x06],
        Location::Memory(Expression(vec![
            Operation::Register {
                number: RSP,
                offset: 16,
            },
            Operation::Deref { size: 8 },
        ])),
    );
    // call_frame_cfa, plus_uconst 3: the number is added at once
    check(&[0x9c, 0x23, 3], Location::Memory(based(RSP, 11)));
    // fbreg -20
    check(&[0x91, 0x6c], Location::Memory(based(RSP, -12)));
    // lit7, stack_value
    check(
        &[0x37, 0x9f],
        Location::Value(Expression(vec![Operation::Constant(7)])),
    );
    // implicit_value of 2 bytes
    check(&[0x9e, 2, 1, 2], Location::Constant(vec![1, 2]));
    // reg0, piece 4, piece 4, reg17, piece 8
    check(
        &[0x50, 0x93, 4, 0x93, 4, 0x61, 0x93, 8],
        Location::Pieces(vec![
            Piece {
                location: Location::Register(0),
                size: 4,
            },
            Piece {
                location: Location::Absent,
                size: 4,
            },
            Piece {
                location: lost("in XMM0: not readable"),
                size: 8,
            },
        ]),
    );
    // reg0, bit_piece 3, 0
    check(
        &[0x50, 0x9d, 3, 0],
        lost("it is in parts smaller than a byte"),
    );
    // entry_value(reg5), stack_value: this is the first instruction
    check(&[0xa3, 1, 0x55, 0x9f], Location::Value(based(RDI, 0)));
    // plus with one number, skip, GNU_push_tls_address, something after a register
    check(&[0x31, 0x22], lost("its description is malformed"));
    check(&[0x2f, 0, 0], lost("its place depends on a condition"));
    check(&[0x31, 0xe0], lost("it is local to a thread"));
    check(&[0x50, 0x31], lost("its description goes on after its end"));
    // More numbers than the stack has place for, and a description without end.
    check(&[0x31; 17], lost("its description is malformed"));
    check(&[0x31; 5000], lost("its description is too long"));
}

/// Numbers of narrow types are cut, and extended by the type's sign.
#[test]
fn translates_typed_operations() {
    let text =
        "unsigned char small = 1; int wide = 2; double real = 3; int main(void) { return wide; }";
    let Some((_folder, elf)) = compile_text("gcc", &["-g", "-O0"], "sample.c", text) else {
        return;
    };
    let debug = DebugInfo::new(elf.clone()).unwrap();
    let main = elf.require_function("main").unwrap().address;
    let question = Question::new(&debug).unwrap();
    let unit = question.unit_at(main).unwrap().unwrap();
    let outline = debug.outline(&question, &unit).unwrap();
    let place = question
        .entry(&unit, outline.starting_at(main).unwrap())
        .unwrap();
    let site = Site::new(&question, &place, main, main);
    let root = question
        .entry(&unit, unit.unit.header.root_offset())
        .unwrap();
    let bases = question
        .children(&root, 100, |tag| tag == gimli::DW_TAG_base_type)
        .unwrap();
    let base = |wanted: &str| {
        let mut named = bases
            .iter()
            .map(|base| (unit.text(base.own(gimli::DW_AT_name).unwrap()), base));
        let (_, base) = named.find(|(name, _)| name == wanted).unwrap();
        let offset = base.entry.offset().0;
        assert!(offset < 1 << 14);
        [0x80 | (offset & 0x7f) as u8, (offset >> 7) as u8]
    };
    // regval_type RDI of the type, stack_value
    let of_type = |name: &str| {
        let [low, high] = base(name);
        let code: &'static [u8] = Box::leak(Box::new([0xa5, 5, low, high, 0x9f]));
        let code = gimli::Expression(EndianSlice::new(code, LittleEndian));
        translate(&site, Some(&unit), code, unit.unit.encoding())
    };
    let rdi = Operation::Register {
        number: RDI,
        offset: 0,
    };
    let value = |rest: &[Operation]| Location::Value(Expression([&[rdi], rest].concat()));
    let shift = |by: BinaryOperation| [Operation::Constant(32), Operation::Binary(by)];
    assert_eq!(
        of_type("int"),
        value(
            &[
                shift(BinaryOperation::ShiftLeft),
                shift(BinaryOperation::ShiftRightSigned)
            ]
            .concat()
        )
    );
    assert_eq!(
        of_type("unsigned char"),
        value(&[
            Operation::Constant(0xff),
            Operation::Binary(BinaryOperation::And)
        ])
    );
    let Location::Unreadable(why) = of_type("double") else {
        panic!("{:?}", of_type("double"))
    };
    assert_eq!(why, "it is calculated with other numbers than integers");
}
