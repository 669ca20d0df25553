//! BTF: small built files, the running kernel's own compared with bpftool, and broken ones.

use super::*;
use expect_test::{Expect, expect};
use std::process::Command;

/// Builds raw BTF: types in order, ids from 1.
#[derive(Default)]
struct Builder {
    types: Vec<u8>,
    strings: Vec<u8>,
    first_string: u32,
}

impl Builder {
    fn new() -> Builder {
        Builder {
            types: Vec::new(),
            strings: vec![0],
            first_string: 0,
        }
    }

    fn name(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        let at = self.first_string + self.strings.len() as u32;
        self.strings.extend(text.bytes().chain([0]));
        at
    }

    fn add(
        &mut self,
        name: &str,
        kind: Kind,
        flag_and_vlen: (bool, u32),
        size_or_type: u32,
        extra: &[u32],
    ) {
        let name = self.name(name);
        let info = (u32::from(flag_and_vlen.0) << 31) | ((kind as u32) << 24) | flag_and_vlen.1;
        for word in [name, info, size_or_type].iter().chain(extra) {
            self.types.extend(word.to_le_bytes());
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0x9f, 0xeb, 1, 0];
        let types = self.types.len() as u32;
        for word in [24, 0, types, types, self.strings.len() as u32] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(&self.types);
        bytes.extend(&self.strings);
        bytes
    }

    fn btf(&self) -> Btf {
        Btf::new(self.bytes(), None).unwrap()
    }
}

/// `struct outer` with everything: nested anonymous members, bitfields, pointers, arrays, function pointers.
fn sample() -> Builder {
    let mut b = Builder::new();
    b.add("int", Kind::Int, (false, 0), 4, &[0x0100_0020]); // 1
    b.add("char", Kind::Int, (false, 0), 1, &[8]); // 2
    b.add("", Kind::Array, (false, 0), 0, &[2, 1, 16]); // 3: char[16]
    let (x, y) = (b.name("x"), b.name("y"));
    b.add("", Kind::Union, (false, 2), 4, &[x, 1, 0, y, 7, 0]); // 4: union { int x; u32_t y; }
    b.add("", Kind::Const, (false, 0), 2, &[]); // 5: const char
    b.add("", Kind::Ptr, (false, 0), 5, &[]); // 6: const char *
    b.add("u32_t", Kind::Typedef, (false, 0), 1, &[]); // 7
    let data = b.name("data");
    b.add("", Kind::FuncProto, (false, 2), 1, &[data, 6, 0, 0]); // 8: int (const char *data, ...)
    b.add("", Kind::Ptr, (false, 0), 8, &[]); // 9
    let names = ["comm", "low", "high", "call"].map(|name| b.name(name));
    let members = [
        names[0],
        3,
        0,
        0,
        4,
        128,
        names[1],
        1,
        160 | 3 << 24,
        names[2],
        1,
        163 | 5 << 24,
        names[3],
        9,
        192,
    ];
    b.add("outer", Kind::Struct, (true, 5), 32, &members); // 10
    let (one, big) = (b.name("ONE"), b.name("BIG"));
    b.add("e", Kind::Enum, (true, 1), 4, &[one, u32::MAX]); // 11
    b.add("wide", Kind::Enum64, (false, 1), 8, &[big, 1, 2]); // 12
    b.add("do_it", Kind::Func, (false, 1), 8, &[]); // 13
    b.add("btf_trace_ev", Kind::Typedef, (false, 0), 15, &[]); // 14
    b.add("", Kind::Ptr, (false, 0), 16, &[]); // 15
    b.add("", Kind::FuncProto, (false, 2), 0, &[0, 17, 0, 6]); // 16
    b.add("", Kind::Ptr, (false, 0), 0, &[]); // 17: void *
    let (hidden, text) = (b.name("__data"), b.name("text"));
    b.add("", Kind::FuncProto, (false, 2), 1, &[hidden, 17, text, 6]); // 18
    b.add("__traceiter_ev", Kind::Func, (false, 0), 18, &[]); // 19
    b
}

fn check_definition(btf: &Btf, kind: Kind, name: &str, expected: Expect) {
    expected.assert_eq(&btf.c_definition(btf.require(kind, name).unwrap()));
}

#[test]
fn finds_and_prints_types() {
    let btf = sample().btf();
    check_definition(
        &btf,
        Kind::Struct,
        "outer",
        expect![[r#"
            struct outer {
            	char comm[16];
            	union {
            		int x;
            		u32_t y;
            	};
            	int low: 3;
            	int high: 5;
            	int (*call)(const char *data, ...);
            };"#]],
    );
    check_definition(
        &btf,
        Kind::Enum,
        "e",
        expect![["enum e {\n\tONE = -1,\n};"]],
    );
    check_definition(
        &btf,
        Kind::Enum,
        "wide",
        expect![["enum wide {\n\tBIG = 8589934593,\n};"]],
    );
    check_definition(
        &btf,
        Kind::Func,
        "do_it",
        expect![["int do_it(const char *data, ...);"]],
    );
    check_definition(
        &btf,
        Kind::Typedef,
        "u32_t",
        expect![["typedef int u32_t;"]],
    );
    assert_eq!(btf.c_name(TypeId(3)), "char[16]");
    assert_eq!(btf.c_name(TypeId(6)), "const char *");
    assert!(btf.find(Kind::Struct, "inner").is_none());
    assert!(btf.find(Kind::Struct, "").is_none());
    assert_eq!(btf.find_bare("u32_t"), Some(TypeId(7)));
}

#[test]
fn finds_fields_through_anonymous_members() {
    let btf = sample().btf();
    let outer = btf.require(Kind::Struct, "outer").unwrap();
    let field = |path| btf.field_path(outer, path);
    assert_eq!(
        field("y").unwrap(),
        Field {
            type_id: TypeId(7),
            bit_offset: 128,
            bitfield_bits: None
        }
    );
    assert_eq!(
        field("high").unwrap(),
        Field {
            type_id: TypeId(1),
            bit_offset: 163,
            bitfield_bits: Some(5)
        }
    );
    assert_eq!(
        field("com").unwrap_err().to_string(),
        "`struct outer` has no field `com`; did you mean `comm`?"
    );
    assert!(field("x.y").unwrap_err().is_missing());
    assert!(field("").is_err());
    assert_eq!(btf.size_of(outer).unwrap(), Some(32));
    assert_eq!(btf.size_of(TypeId(3)).unwrap(), Some(16));
    assert_eq!(btf.size_of(TypeId(0)).unwrap(), None);
}

#[test]
fn finds_enumerators_and_tracepoints() {
    let btf = sample().btf();
    assert_eq!(
        btf.enumerator("ONE"),
        Some(Enumerator {
            value: -1,
            enum_type: TypeId(11)
        })
    );
    assert_eq!(btf.enumerator("BIG").unwrap().value, 0x2_0000_0001);
    assert_eq!(btf.enumerator("none"), None);
    let tracepoint = btf.raw_tracepoint("ev").unwrap();
    assert_eq!(
        tracepoint
            .args
            .iter()
            .map(|arg| (arg.name, arg.type_id.0))
            .collect::<Vec<_>>(),
        [("text", 6)]
    );
    assert!(btf.raw_tracepoint("none").unwrap_err().is_missing());
}

#[test]
fn a_module_goes_on_where_the_kernel_ends() {
    let base = sample();
    let kernel = Arc::new(base.btf());
    let count = kernel.type_count() as u32;
    let mut module = Builder {
        first_string: base.strings.len() as u32,
        ..Builder::default()
    };
    let at = module.name("extra");
    module.add("modular", Kind::Struct, (false, 1), 8, &[at, 10, 0]);
    let module = Btf::new(module.bytes(), Some(kernel)).unwrap();
    assert_eq!(module.find(Kind::Struct, "modular"), Some(TypeId(count)));
    assert_eq!(module.find(Kind::Struct, "outer"), Some(TypeId(10)));
    assert_eq!(module.own_ids().len(), 1);
    let field = module.field_path(TypeId(count), "extra.comm").unwrap();
    assert_eq!((field.type_id, field.bit_offset), (TypeId(3), 0));
    assert!(module.type_by_id(TypeId(count + 1)).is_err());
}

#[test]
fn says_what_is_wrong_with_a_file() {
    let good = sample().bytes();
    let check = |bytes: Vec<u8>, expected: &str| {
        assert_eq!(Btf::new(bytes, None).unwrap_err().to_string(), expected)
    };
    check(vec![], "BTF is malformed: shorter than a header");
    check(good[..20].to_vec(), "BTF is malformed: header is cut off");
    check(
        vec![0xeb, 0x9f, 1, 0],
        "BTF is malformed: big-endian; only the running machine's byte order is read",
    );
    check(
        good[..good.len() - 1].to_vec(),
        "BTF is malformed: string section reaches past the end of the file",
    );
    let mut kind = good.clone();
    kind[24 + 7] = 0x1f;
    check(kind, "BTF is malformed: type 1 has the unknown kind 31");
    let mut name = good.clone();
    name[24..28].copy_from_slice(&u32::MAX.to_le_bytes());
    check(
        name,
        "BTF is malformed: type 1 has a name outside the string section",
    );
}

#[test]
fn types_that_contain_themselves_end() {
    let mut b = Builder::new();
    b.add("loop", Kind::Typedef, (false, 0), 1, &[]); // 1 is itself
    b.add("", Kind::Array, (false, 0), 0, &[2, 1, 4]); // 2 is an array of itself
    b.add("s", Kind::Struct, (false, 2), 4, &[0, 3, 0, 0, 3, 0]); // 3 contains itself twice, without names
    b.add("", Kind::Ptr, (false, 0), 4, &[]); // 4 points to itself
    b.add("", Kind::Struct, (false, 2), 4, &[0, 5, 0, 0, 5, 0]); // 5 the same, anonymous
    let btf = b.btf();
    assert!(btf.resolve(TypeId(1)).is_err());
    assert!(btf.size_of(TypeId(2)).is_err());
    assert!(btf.field(TypeId(3), "x").is_err());
    for id in btf.own_ids() {
        assert!(btf.c_definition(id).len() < 10 << 20);
        let _ = btf.func_proto(id);
    }
}

/// The kernel's BTF, or nothing with a note.
fn vmlinux() -> Option<Btf> {
    let btf = Btf::open(Path::new("/sys/kernel/btf/vmlinux"), None).ok();
    if btf.is_none() {
        println!("skipped: this kernel has no BTF");
    }
    btf
}

#[test]
fn agrees_with_bpftool_on_this_kernel() {
    let Some(btf) = vmlinux() else { return };
    let Ok(output) = Command::new("bpftool")
        .args(["btf", "dump", "file", "/sys/kernel/btf/vmlinux"])
        .output()
    else {
        println!("skipped: no bpftool");
        return;
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(
        text.lines().filter(|line| line.starts_with('[')).count(),
        btf.own_ids().len()
    );
    for name in ["task_struct", "sock", "file", "sk_buff"] {
        let id = btf.require(Kind::Struct, name).unwrap();
        let start = text
            .find(&format!(
                "[{}] STRUCT '{name}' size={} ",
                id.0,
                btf.size_of(id).unwrap().unwrap()
            ))
            .expect(name);
        let body = &text[start..];
        let lines = body
            .lines()
            .skip(1)
            .take_while(|line| line.starts_with('\t'));
        let composite = btf.composite(id).unwrap().unwrap();
        let ours = composite.members().map(|member| {
            let shown = if member.name.is_empty() {
                "(anon)"
            } else {
                member.name
            };
            let bits = member
                .bitfield_bits
                .map_or_else(String::new, |bits| format!(" bitfield_size={bits}"));
            format!(
                "\t'{shown}' type_id={} bits_offset={}{bits}",
                member.type_id.0, member.bit_offset
            )
        });
        assert_eq!(
            ours.collect::<Vec<_>>(),
            lines.collect::<Vec<_>>(),
            "{name}"
        );
    }
}

#[test]
fn reads_all_of_this_kernel() {
    let Some(btf) = vmlinux() else { return };
    let mut named_args = 0;
    for name in btf
        .raw_tracepoint_names()
        .map(str::to_string)
        .collect::<Vec<_>>()
    {
        named_args += btf
            .raw_tracepoint(&name)
            .unwrap()
            .args
            .iter()
            .filter(|arg| !arg.name.is_empty())
            .count();
    }
    assert!(named_args > 100, "{named_args}");
    let switch = btf.raw_tracepoint("sched_switch").unwrap();
    let args: Vec<String> = switch
        .args
        .iter()
        .map(|arg| btf.c_declaration(arg.type_id, arg.name))
        .collect();
    assert_eq!(
        args[..3],
        [
            "bool preempt",
            "struct task_struct *prev",
            "struct task_struct *next"
        ]
    );
    assert!(btf.iterators().any(|iterator| iterator.name == "task"));
    assert_eq!(
        btf.field_path(btf.iterator("task").unwrap().context, "task")
            .unwrap()
            .byte_offset(),
        8
    );
    assert!(btf.functions().count() > 10_000);
    assert_eq!(btf.enumerator("BPF_MAP_TYPE_RINGBUF").unwrap().value, 27);
    for id in btf.own_ids() {
        btf.type_by_id(id).unwrap();
        btf.size_of(id).unwrap();
    }
}

#[test]
fn opens_and_finds_in_time() {
    let Some(_) = vmlinux() else { return };
    let best = (0..5).map(|_| {
        let start = std::time::Instant::now();
        let btf = Btf::open(Path::new("/sys/kernel/btf/vmlinux"), None).unwrap();
        assert!(btf.find(Kind::Struct, "task_struct").is_some());
        start.elapsed()
    });
    println!("open and find: {:?}", best.min().unwrap());
}
