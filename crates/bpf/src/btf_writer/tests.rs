use super::*;
use crate::insn::{Insn, Reg};
use crate::layout::{Field, Layout};
use crate::map::{Map, MapKind, MapRole, ScriptMap, Storage};
use crate::object::{Function, Line, ProgramKind, Source, SourceSpan};
use expect_test::{Expect, expect};

/// Reads BTF back as one line per type. Panics at anything out of place, so it also checks the writer's offsets.
pub(crate) fn dump(btf: &[u8]) -> String {
    let word = |at: usize| u32::from_ne_bytes(btf[at..at + 4].try_into().expect("4 bytes"));
    assert_eq!(btf[..4], [0x9f, 0xeb, 1, 0]);
    let (types, types_length) = (24 + word(8) as usize, word(12) as usize);
    let (strings, strings_length) = (24 + word(16) as usize, word(20) as usize);
    assert_eq!(strings + strings_length, btf.len());
    assert_eq!((btf[strings], btf[btf.len() - 1]), (0, 0));
    let text = |offset: u32| {
        let bytes = &btf[strings + offset as usize..];
        let end = bytes.iter().position(|byte| *byte == 0).expect("a NUL");
        String::from_utf8_lossy(&bytes[..end]).into_owned()
    };
    let (mut out, mut at, mut id) = (String::new(), types, 1);
    while at < types + types_length {
        let (name, info, size) = (text(word(at)), word(at + 4), word(at + 8));
        at += 12;
        let vlen = info as usize & 0xffff;
        let mut next = || {
            at += 4;
            word(at - 4)
        };
        let line = match info >> 24 & 0x1f {
            1 => format!("int {name} {size} {:#x}", next()),
            2 => format!("ptr {size}"),
            3 => format!("array {}[{2}] by {1}", next(), next(), next()),
            4 => {
                let members = (0..vlen).map(|_| {
                    let (name, ty, bits) = (next(), next(), next());
                    match bits >> 24 {
                        0 => format!(" {}@{}:{ty}", text(name), bits / 8),
                        width => format!(" {}@bit {}+{width}:{ty}", text(name), bits & 0xff_ffff),
                    }
                });
                let members: String = members.collect();
                format!("struct {name} {size}{members}")
            }
            12 => format!("func {name} {size} linkage {vlen}"),
            13 => {
                let parameters: String = (0..vlen)
                    .map(|_| format!(" {}:{}", text(next()), next()))
                    .collect();
                format!("proto {size}{parameters}")
            }
            14 => format!("var {name} {size} linkage {}", next()),
            15 => {
                let vars = (0..vlen).map(|_| format!(" {}@{}+{}", next(), next(), next()));
                let vars: String = vars.collect();
                format!("datasec {name} {size}{vars}")
            }
            other => panic!("kind {other}"),
        };
        out += &format!("{id} {line}\n");
        id += 1;
    }
    out
}

fn u64_layout() -> Layout {
    Layout::Int {
        size: 8,
        signed: false,
    }
}

fn field(name: &str, offset: u32, layout: Layout) -> Field {
    Field {
        name: name.into(),
        offset,
        bits: None,
        layout,
    }
}

fn script_map(
    kind: MapKind,
    sizes: (u32, u32),
    key: Option<Layout>,
    value: Layout,
    storage: Storage,
) -> Map {
    Map {
        name: "@x".into(),
        kind,
        key_size: sizes.0,
        value_size: sizes.1,
        max_entries: 10,
        flags: 0,
        role: MapRole::Script(ScriptMap {
            name: "@x".into(),
            key,
            value,
            storage,
        }),
    }
}

#[track_caller]
fn check_map(map: Map, expected: Expect) {
    let object = Object {
        maps: vec![map],
        ..Object::default()
    };
    let btf = ObjectBtf::new(&object);
    let ids = match btf.maps[0] {
        Some(types) => format!("key {} value {}\n", types.key.0, types.value.0),
        None => "no types\n".into(),
    };
    expected.assert_eq(&(ids + &dump(&btf.btf)));
}

#[test]
fn tuple_keys_become_structures() {
    let fields = vec![
        field(
            "",
            0,
            Layout::Int {
                size: 4,
                signed: true,
            },
        ),
        field("", 4, Layout::String { size: 16 }),
    ];
    let key = Layout::Tuple {
        size: 20,
        fields: fields.into(),
    };
    check_map(
        script_map(
            MapKind::Hash,
            (20, 8),
            Some(key),
            u64_layout(),
            Storage::Plain,
        ),
        expect![[r#"
            key 5 value 6
            1 int __s32 4 0x1000020
            2 int char 1 0x1000008
            3 int __u32 4 0x20
            4 array 2[16] by 3
            5 struct  20 _0@0:1 _1@4:4
            6 int __u64 8 0x40
        "#]],
    );
}

#[test]
fn scalar_values_have_their_mark() {
    check_map(
        script_map(MapKind::Array, (4, 16), None, u64_layout(), Storage::Scalar),
        expect![[r#"
            key 1 value 3
            1 int __u32 4 0x20
            2 int __u64 8 0x40
            3 struct  16 is_set@0:2 value@8:2
        "#]],
    );
}

#[test]
fn bucket_keys_have_the_bucket_last() {
    let key = Layout::Int {
        size: 4,
        signed: false,
    };
    check_map(
        script_map(
            MapKind::PerCpuHash,
            (16, 8),
            Some(key),
            Layout::Hist { bits: 0 },
            Storage::Buckets,
        ),
        expect![[r#"
            key 3 value 2
            1 int __u32 4 0x20
            2 int __u64 8 0x40
            3 struct  16 key@0:1 bucket@8:2
        "#]],
    );
}

/// A layout that does not fit the map's size must not keep the map from being created.
#[test]
fn misfits_are_bytes() {
    check_map(
        script_map(
            MapKind::Hash,
            (4, 3),
            Some(u64_layout()),
            u64_layout(),
            Storage::Plain,
        ),
        expect![[r#"
            key 3 value 4
            1 int __u8 1 0x8
            2 int __u32 4 0x20
            3 array 1[4] by 2
            4 array 1[3] by 2
        "#]],
    );
}

/// Bitfields carry their width; names that mean something to the kernel are dropped.
#[test]
fn records_keep_bitfields() {
    let mut flags = field(
        "flags",
        0,
        Layout::Int {
            size: 4,
            signed: false,
        },
    );
    flags.bits = Some((3, 5));
    let value = Layout::Record {
        name: "bpf_spin_lock".into(),
        size: 8,
        fields: vec![field("b", 4, Layout::Bool), flags].into(),
    };
    check_map(
        script_map(
            MapKind::Hash,
            (8, 8),
            Some(u64_layout()),
            value,
            Storage::Plain,
        ),
        expect![[r#"
            key 1 value 4
            1 int __u64 8 0x40
            2 int bool 1 0x4000008
            3 int __u32 4 0x20
            4 struct  8 flags@bit 3+5:3 b@4:2
        "#]],
    );
}

#[test]
fn ring_buffers_have_no_types() {
    let mut map = script_map(MapKind::RingBuf, (0, 0), None, Layout::None, Storage::Plain);
    map.role = MapRole::Events;
    check_map(
        map,
        expect![[r#"
        no types
    "#]],
    );
}

/// Functions and lines of a program with a loop callback.
#[test]
fn functions_and_lines() {
    let span = |start| SourceSpan {
        source: 0,
        start,
        end: start + 1,
    };
    let function = |name: &str, first_insn, signature| Function {
        name: name.into(),
        first_insn,
        signature,
    };
    let mut insns = Insn::load_imm64(Reg::R0, 1).to_vec();
    insns.extend([Insn::exit(), Insn::mov(Reg::R0, 0), Insn::exit()]);
    let program = Program {
        name: "main".into(),
        kind: ProgramKind::TestRun,
        sleepable: false,
        insns,
        functions: vec![
            function("main", 0, Signature::Main),
            function("main.loop", 3, Signature::LoopCallback),
        ],
        relocations: Vec::new(),
        // The second half of the wide load, a repeated slot and one past the end are not for the kernel.
        lines: [(0, 0), (1, 2), (2, 8), (2, 9), (99, 1)]
            .map(|(insn, start)| Line {
                insn,
                span: span(start),
            })
            .to_vec(),
    };
    let object = Object {
        sources: vec![Source {
            name: "a.bt".into(),
            text: "begin {\n  exit() }\n".into(),
        }],
        programs: vec![program],
        ..Object::default()
    };
    let btf = ObjectBtf::new(&object);
    expect![[r#"
        1 ptr 0
        2 int int 4 0x1000020
        3 proto 2 ctx:1
        4 func main 3 linkage 0
        5 int __u64 8 0x40
        6 int long 8 0x1000040
        7 proto 6 index:5 ctx:1
        8 func main_loop 7 linkage 0
    "#]]
    .assert_eq(&dump(&btf.btf));
    assert_eq!(btf.programs[0].func_info, [[0, 4], [3, 8]]);
    let positions: Vec<_> = btf.programs[0]
        .line_info
        .iter()
        .map(|[insn, _, _, line_column]| (*insn, line_column >> 10, line_column & 0x3ff))
        .collect();
    assert_eq!(positions, [(0, 1, 1), (2, 2, 1), (3, 2, 1)]);
}

#[test]
fn identifiers_are_made_fit() {
    assert_eq!(identifier("@a b"), "_a_b");
    assert_eq!(identifier("9lives"), "_9lives");
    assert_eq!(identifier(""), "_");
    assert_eq!(identifier(&"x".repeat(500)).len(), 127);
}
