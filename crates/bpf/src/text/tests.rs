use super::*;
use crate::helper::Helper;
use crate::insn::{AluOp, AtomicOp, ByteOrder, Insn, JumpOp, PseudoImm, Reg, Size, Width};
use crate::layout::Layout;
use crate::map::{MapId, MapKind, ScriptMap};
use crate::object::{
    FormatSink, Function, Line, Place, Program, ProgramKind, Relocation, RelocationKind, Signature,
    Source,
};
use expect_test::expect;

#[test]
fn each_kind_of_instruction() {
    let mut listing = vec![
        Insn::mov(Reg::R6, Reg::R1),
        Insn::mov32(Reg::R1, -1),
        Insn::alu(Width::W64, AluOp::SignedDiv, Reg::R1, Reg::R2),
        Insn::alu(Width::W32, AluOp::Arsh, Reg::R1, 3),
        Insn::neg(Width::W32, Reg::R1),
        Insn::mov_signed(Width::W64, Reg::R1, Reg::R2, Size::B16),
        Insn::byte_swap(ByteOrder::Big, Reg::R1, 16),
        Insn::load(Size::B64, Reg::R1, Reg::R10, -8),
        Insn::load_signed(Size::B8, Reg::R1, Reg::R2, 4),
        Insn::store(Size::B32, Reg::R10, -4, 7),
        Insn::store(Size::B8, Reg::R3, 0, Reg::R7),
        Insn::atomic(Size::B64, AtomicOp::Add, Reg::R0, 8, Reg::R1),
        Insn::atomic(Size::B32, AtomicOp::CompareExchange, Reg::R2, 0, Reg::R1),
        Insn::jump(Width::W32, JumpOp::SignedLt, Reg::R1, 5, 3),
    ];
    listing.extend(Insn::load_imm64(Reg::R1, 0x1_0000_0000));
    listing.extend([
        Insn::goto(-4),
        Insn::call(Helper::GET_CURRENT_PID_TGID),
        Insn::call_kernel_function(77, 0),
        Insn::call_function(5),
        Insn::goto(1000),
        Insn::exit(),
        Insn {
            opcode: 0xff,
            ..Insn::default()
        },
    ]);
    listing.extend(Insn::load_pseudo(Reg::R1, PseudoImm::MapFd(3)));
    expect![[r#"
        code
             0: r6 = r1
             1: w1 = -1
             2: r1 s/= r2
             3: w1 s>>= 3
             4: w1 = -w1
             5: r1 = (s16)r2
             6: r1 = be16 r1
             7: r1 = *(u64 *)(r10 - 8)
             8: r1 = *(s8 *)(r2 + 4)
             9: *(u32 *)(r10 - 4) = 7
            10: *(u8 *)(r3 + 0) = r7
            11: lock *(u64 *)(r0 + 8) += r1
            12: r0 = cmpxchg(*(u32 *)(r2 + 0), r0, r1)
           L1:
            13: if w1 s< 5 goto L2
            14: r1 = 0x100000000 ll
            16: goto L1
           L2:
            17: call get_current_pid_tgid
            18: call kernel function 77
            19: call pc+5
            20: goto pc+1000
            21: exit
            22: invalid Insn { opcode: 255, dst: 0, src: 0, offset: 0, imm: 0 }
            23: r1 = map fd 3
    "#]]
    .assert_eq(&format!("code\n{}", insns(&listing)));
}

fn sample() -> Object {
    let mut code = Insn::load_imm64(Reg::R1, 0).to_vec();
    code.extend(Insn::load_imm64(Reg::R2, 0));
    code.extend([
        Insn::call(Helper::FOR_EACH_MAP_ELEM),
        Insn::mov(Reg::R0, 0),
        Insn::exit(),
        Insn::mov(Reg::R0, 1),
        Insn::exit(),
    ]);
    let function = |name: &str, first_insn, signature| Function {
        name: name.into(),
        first_insn,
        signature,
    };
    let line = |insn, start| Line {
        insn,
        span: SourceSpan {
            source: 0,
            start,
            end: start + 1,
        },
    };
    let program = Program {
        name: "begin".into(),
        kind: ProgramKind::TestRun,
        sleepable: false,
        insns: code,
        functions: vec![
            function("begin", 0, Signature::Main),
            function("begin_each", 7, Signature::MapCallback),
        ],
        relocations: vec![
            Relocation {
                insn: 0,
                kind: RelocationKind::Map(MapId(0)),
            },
            Relocation {
                insn: 2,
                kind: RelocationKind::FunctionAddress(1),
            },
        ],
        lines: vec![line(0, 0), line(4, 8), line(5, 10), line(7, 8)],
    };
    let u64_layout = Layout::Int {
        size: 8,
        signed: false,
    };
    let part = |name: &str, offset, layout| Field {
        name: name.into(),
        offset,
        bits: None,
        layout,
    };
    let key = Layout::Tuple {
        size: 16,
        fields: vec![part("", 0, Layout::Bool), part("", 8, u64_layout.clone())].into(),
    };
    Object {
        license: "GPL".into(),
        maps: vec![Map {
            name: "@x".into(),
            kind: MapKind::PerCpuHash,
            key_size: 16,
            value_size: 8,
            max_entries: 4096,
            flags: 1,
            role: MapRole::Script(ScriptMap {
                name: "@x".into(),
                key: Some(key),
                value: Layout::Count,
                storage: Storage::PerCpu,
            }),
        }],
        programs: vec![program],
        attach_points: vec![AttachPoint {
            name: "begin".into(),
            program: ProgramId(0),
            cookie: Some(0),
            place: Place::Begin,
            span: SourceSpan::default(),
        }],
        actions: vec![Action {
            kind: ActionKind::Format {
                sink: FormatSink::Print,
                format: "%d\n".into(),
                args: vec![part("", 8, u64_layout)],
            },
            span: SourceSpan {
                source: 0,
                start: 10,
                end: 12,
            },
        }],
        error_sites: vec![ErrorSite {
            span: SourceSpan {
                source: 0,
                start: 8,
                end: 9,
            },
            helper: "map_update_elem".into(),
            is_loss: true,
        }],
        sources: vec![Source {
            name: "a.bt".into(),
            text: "begin {\n  for (@x) { }\n}\n".into(),
        }],
        ..Object::default()
    }
}

#[test]
fn whole_object() {
    expect![[r#"
        source a.bt
        license GPL
        settings Settings { print_maps_on_exit: true, string_trailer: "..", max_cat_bytes: 10240, missing_probes: Error, demangle: true, show_debug_info: true, is_unsafe: false }

        maps:
          0: @x PerCpuHash key 16 value 8 entries 4096 flags 0x1
               @x[(bool, u64 @8)] = count as PerCpu

        attach points:
          0: begin runs program 0 begin cookie 0
               Begin

        actions:
          0: Print "%d\n" (@8 u64) at 2:3

        error sites:
          0: map_update_elem, loss at 2:1

        program 0 begin TestRun
        begin: (Main)
              ; 1: begin {
             0: r1 = map @x
             2: r2 = function begin_each
              ; 2: for (@x) { }
             4: call for_each_map_elem
             5: r0 = 0
             6: exit
        begin_each: (MapCallback)
              ; 2: for (@x) { }
             7: r0 = 1
             8: exit
    "#]].assert_eq(&object(&sample()));
}

#[test]
fn layouts_show_gaps_and_bits() {
    let field = |name: &str, offset, bits| Field {
        name: name.into(),
        offset,
        bits,
        layout: Layout::Int {
            size: 4,
            signed: true,
        },
    };
    let record = Layout::Record {
        name: "pair".into(),
        size: 12,
        fields: vec![field("a", 0, None), field("b", 8, Some((3, 2)))].into(),
    };
    let array = Layout::Array {
        element: Box::new(record),
        len: 3,
    };
    assert_eq!(layout(&array), "pair {a: s32, b: s32 @8 bits 3+2}[3]");
    let hist = Layout::Lhist {
        min: 0,
        max: 10,
        step: 5,
    };
    assert_eq!(layout(&hist), "lhist(0, 10, 5)");
}

#[test]
fn a_program_that_is_not_there_is_empty() {
    assert_eq!(program(&sample(), ProgramId(9)), "");
}
