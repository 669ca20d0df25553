use std::collections::BTreeMap;

use expect_test::{Expect, expect};
use fathom_machine::Machine;
use fathom_syntax::ast::Script;

use super::*;

fn parse(c: &str) -> Script {
    let end = if c.ends_with(';') { "" } else { ";" };
    let parsed = fathom_syntax::parse(&format!("{c}{end}\nbegin {{}}"), &Default::default());
    assert!(!parsed.has_errors(), "{:?}", parsed.diagnostics);
    parsed.script
}

fn show(types: &Types<'_>, of: StructRef) -> String {
    let def = types.def(of);
    let mut text = format!(
        "{} size {} align {}\n",
        def.name,
        def.size,
        types.align_of(&Type::Struct(of))
    );
    for member in &def.members {
        let bits = member
            .bits
            .map_or(String::new(), |(low, width)| format!(" bits {low}+{width}"));
        text += &format!(
            "  {:3}{bits} {}: {}\n",
            member.offset,
            member.name,
            types.display(&member.ty)
        );
    }
    text
}

/// Lays out `struct x` of C definitions on a machine that has nothing.
fn check(c: &str, expected: Expect) {
    let folder = tempfile::tempdir().unwrap();
    let machine = Machine::at(folder.path());
    let script = parse(c);
    let types = Types::new(&machine, &script.c);
    let mut text = String::new();
    match types.struct_named(CRecordKind::Struct, "x", Span::default()) {
        Ok(Type::Struct(of)) => text += &show(&types, of),
        Ok(other) => text += &format!("{other:?}\n"),
        Err(problem) => text += &format!("[{}] {}\n", problem.code, problem.message),
    }
    for problem in types.take_problems() {
        text += &format!("[{}] {}\n", problem.code, problem.message);
    }
    expected.assert_eq(&text);
}

#[test]
fn members_are_aligned_as_in_c() {
    check(
        "struct x { char a; int b; char c; long d; short e; char name[5]; int f[3]; struct x *next; void *p; }",
        expect![[r#"
            struct x size 64 align 8
                0 a: int8
                4 b: int32
                8 c: int8
               16 d: int64
               24 e: int16
               26 name: string[5]
               32 f: int32[3]
               48 next: struct x *
               56 p: void *
        "#]],
    );
}

#[test]
fn bit_fields_do_not_cross_their_unit() {
    check(
        "struct x { unsigned a : 3; unsigned b : 30; unsigned char c : 4; unsigned : 0; unsigned d : 1; unsigned long e : 40; }",
        expect![[r#"
            struct x size 24 align 8
                0 bits 0+3 a: uint32
                4 bits 0+30 b: uint32
                8 bits 0+4 c: uint8
               12 bits 0+1 d: uint32
               16 bits 0+40 e: uint64
        "#]],
    );
}

#[test]
fn attributes_change_the_layout() {
    check(
        "struct x { char a; int b __attribute__((aligned(16))); long c __attribute__((packed)); } __attribute__((aligned(32)))",
        expect![[r#"
            struct x size 32 align 32
                0 a: int8
               16 b: int32
               20 c: int64
        "#]],
    );
    check(
        "struct x { char a; int b; unsigned c : 3; unsigned d : 31; } __attribute__((packed))",
        expect![[r#"
            struct x size 10 align 1
                0 a: int8
                1 b: int32
                5 bits 0+3 c: uint32
                5 bits 3+31 d: uint32
        "#]],
    );
}

#[test]
fn anonymous_members_and_constants() {
    check(
        "#define N 4\n#define TWICE (N * 2)\nenum color { RED = 7, GREEN };\ntypedef unsigned long word;\nstruct y { int q; };\n\
         struct x { union { int i; word w; }; struct { char s; struct y y; } in; int data[TWICE]; enum color c; char rest[]; }",
        expect![[r#"
            struct x size 56 align 8
                0 : union (unnamed)
                8 in: struct (unnamed)
               16 data: int32[8]
               48 c: enum color
               52 rest: int8[0]
        "#]],
    );
}

#[test]
fn mistakes_in_definitions_are_reported() {
    check(
        "struct x { int a; struct x again; nosuch_t n; int c[huge]; int b : 40; }",
        expect![[r#"
            struct x size 4 align 4
                0 a: int32
                4 again: struct x
                4 n: error
                4 c: error
            [endless-struct] `struct x` contains itself
            [unknown-type] there is no type `nosuch_t`
            [bad-array-length] the length of an array must be a constant
            [bad-bit-width] the width of a bit-field is a constant from 0 to 32
        "#]],
    );
    check(
        "struct z { int a; }",
        expect![[r#"
        [unknown-type] there is no type `struct x`
    "#]],
    );
}

#[test]
fn defines_that_need_themselves_have_no_value() {
    let folder = tempfile::tempdir().unwrap();
    let machine = Machine::at(folder.path());
    let mut text = "#define A B\n#define B A\n#define S \"text\"\n#define C0 1\n".to_string();
    for i in 1..100 {
        text += &format!("#define C{i} (C{} + C{})\n", i - 1, i - 1);
    }
    let script = parse(&(text + "enum { LAST = 3, NEXT }"));
    let types = Types::new(&machine, &script.c);
    assert_eq!(types.constant("A"), None);
    assert_eq!(types.constant("C20"), Some(Constant::Int(1 << 20)));
    assert_eq!(
        types.constant("S"),
        Some(Constant::Str(StrLit {
            bytes: b"text".to_vec()
        }))
    );
    assert_eq!(types.enumerator("NEXT").map(|(_, value)| value), Some(4));
}

#[test]
fn members_are_found_inside_anonymous_ones() {
    let folder = tempfile::tempdir().unwrap();
    let machine = Machine::at(folder.path());
    let script = parse("struct x { int a; union { struct { int deep; }; long other; }; }");
    let types = Types::new(&machine, &script.c);
    let Ok(Type::Struct(x)) = types.struct_named(CRecordKind::Struct, "x", Span::default()) else {
        panic!()
    };
    assert_eq!(types.member(x, "deep"), Some((8, None, Type::I32)));
    assert_eq!(types.member(x, "none"), None);
    assert_eq!(types.member_names(x), ["a", "deep", "other"]);
    assert_eq!(types.suggest_member(x, "othr"), ["other"]);
}

#[test]
fn names_mean_types() {
    let folder = tempfile::tempdir().unwrap();
    let machine = Machine::at(folder.path());
    let script = parse("typedef struct { int a; } pair_t;");
    let types = Types::new(&machine, &script.c);
    let cases = BTreeMap::from([
        ("uint64", "uint64"),
        ("uint64_t", "uint64"),
        ("pid_t", "int32"),
        ("size_t", "uint64"),
        ("unsigned long", "uint64"),
        ("char", "int8"),
        ("count_t", "count_t"),
        ("pair_t", "struct (unnamed)"),
        ("no_such_t", "unknown-type"),
    ]);
    for (name, expected) in cases {
        let found = types
            .resolve_name(name, Span::default())
            .map_or_else(|e| e.code.to_string(), |ty| types.display(&ty));
        assert_eq!(found, expected, "{name}");
    }
}

/// Fields one after the other at their natural alignment; structs keep C's offsets.
#[test]
fn layouts_of_composites() {
    let folder = tempfile::tempdir().unwrap();
    let machine = Machine::at(folder.path());
    let script = parse("struct x { char name[4]; unsigned a : 3; unsigned b : 9; }");
    let types = Types::new(&machine, &script.c);
    let x = types
        .struct_named(CRecordKind::Struct, "x", Span::default())
        .unwrap();
    let tuple = Type::Tuple(Arc::new(vec![
        Type::U8,
        Type::U16,
        Type::String { size: 5 },
        Type::I64,
    ]));
    let layout = types.layout(&tuple);
    let fathom_bpf::Layout::Tuple { size, fields } = &layout else {
        panic!("{layout:?}")
    };
    assert_eq!(
        (
            *size,
            fields.iter().map(|field| field.offset).collect::<Vec<_>>()
        ),
        (24, vec![0, 2, 4, 16])
    );
    expect![[r#"
        Record {
            name: "struct x",
            size: 8,
            fields: [
                Field {
                    name: "name",
                    offset: 0,
                    bits: None,
                    layout: String {
                        size: 4,
                    },
                },
                Field {
                    name: "a",
                    offset: 4,
                    bits: Some(
                        (
                            0,
                            3,
                        ),
                    ),
                    layout: Int {
                        size: 1,
                        signed: false,
                    },
                },
                Field {
                    name: "b",
                    offset: 4,
                    bits: Some(
                        (
                            3,
                            9,
                        ),
                    ),
                    layout: Int {
                        size: 2,
                        signed: false,
                    },
                },
            ],
        }
    "#]]
    .assert_debug_eq(&types.layout(&x));
}

#[test]
fn kernel_types_of_this_host() {
    let machine = Machine::at("/");
    if machine.btf().is_err() {
        println!("skipped: this host has no BTF");
        return;
    }
    let script = parse("struct own { struct list_head list; pid_t pid; }");
    let types = Types::new(&machine, &script.c);
    let named = |name: &str| types.struct_named(CRecordKind::Struct, name, Span::default());
    let Ok(Type::Struct(task)) = named("task_struct") else {
        panic!()
    };
    assert_eq!(
        named("task_struct"),
        Ok(Type::Struct(task)),
        "the same definition has the same number"
    );
    let (_, _, comm) = types.member(task, "comm").unwrap();
    assert_eq!(types.display(&comm), "string[16]");
    let (_, _, parent) = types.member(task, "real_parent").unwrap();
    assert_eq!(parent, Type::pointer(Type::Struct(task), Space::Unknown));
    assert_eq!(
        types.display(&in_space(parent, Space::Kernel)),
        "struct task_struct *"
    );
    assert_eq!(
        types.align_of(&Type::Struct(task)),
        64.min(types.align_of(&Type::Struct(task)))
    );
    assert!(
        types
            .suggest_member(task, "stat")
            .contains(&"__state".to_string())
    );
    let Ok(Type::Struct(own)) = named("own") else {
        panic!()
    };
    assert_eq!(types.member(own, "pid"), Some((16, None, Type::I32)));
    let Type::Pointer { to, .. } = types.c_text("const struct list_head *", Space::Kernel) else {
        panic!()
    };
    assert_eq!(
        *to,
        named("list_head").unwrap(),
        "a struct that was named before BTF was asked is the same"
    );
    let Type::Pointer { to, .. } = types.c_text("struct sockaddr_in *", Space::User) else {
        panic!()
    };
    let Type::Struct(address) = *to else { panic!() };
    assert_eq!(
        types.member(address, "sin_port"),
        Some((2, None, Type::U16))
    );
    let (ty, _) = types.enumerator("TCP_ESTABLISHED").unwrap();
    assert!(matches!(ty, Type::Enum(_)));
    assert!(types.layout(&Type::Struct(task)).size() > 1000);
    let problem = named("task_strukt").unwrap_err();
    assert_eq!(problem.help[0].message, "did you mean `task_struct`?");
}
