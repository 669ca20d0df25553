use super::*;
use crate::insn::{AluOp, AtomicOp, ByteOrder};
use crate::map::{Map, MapKind, MapRole};
use crate::object::{Function, Program, ProgramKind, Relocation, RelocationKind, Signature};

const INTERESTING: [u64; 12] = [
    0,
    1,
    2,
    7,
    31,
    32,
    63,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x8000_0000_0000_0000,
    u64::MAX,
];

/// `r0 = left; r2 = right; r0 op= r2; exit`
fn compute(width: Width, op: AluOp, left: u64, right: u64) -> u64 {
    let mut insns = Insn::load_imm64(Reg::R0, left).to_vec();
    insns.extend(Insn::load_imm64(Reg::R2, right));
    insns.extend([Insn::alu(width, op, Reg::R0, Reg::R2), Insn::exit()]);
    Interpreter::from_insns(insns)
        .run(&[])
        .expect("arithmetic never traps")
}

type Reference64 = fn(u64, u64) -> u64;
type Reference32 = fn(u32, u32) -> u32;

/// Every operation on every pair of edge values, against what the instruction set document says in terms of Rust.
#[test]
fn arithmetic_agrees_with_rust() {
    let table: [(AluOp, Reference64, Reference32); 14] = [
        (AluOp::Add, u64::wrapping_add, u32::wrapping_add),
        (AluOp::Sub, u64::wrapping_sub, u32::wrapping_sub),
        (AluOp::Mul, u64::wrapping_mul, u32::wrapping_mul),
        (
            AluOp::Div,
            |a, b| a.checked_div(b).unwrap_or(0),
            |a, b| a.checked_div(b).unwrap_or(0),
        ),
        (
            AluOp::Mod,
            |a, b| if b == 0 { a } else { a % b },
            |a, b| if b == 0 { a } else { a % b },
        ),
        (
            AluOp::SignedDiv,
            |a, b| {
                if b == 0 {
                    0
                } else {
                    (a as i64).overflowing_div(b as i64).0 as u64
                }
            },
            |a, b| {
                if b == 0 {
                    0
                } else {
                    (a as i32).overflowing_div(b as i32).0 as u32
                }
            },
        ),
        (
            AluOp::SignedMod,
            |a, b| {
                if b == 0 {
                    a
                } else {
                    (a as i64).overflowing_rem(b as i64).0 as u64
                }
            },
            |a, b| {
                if b == 0 {
                    a
                } else {
                    (a as i32).overflowing_rem(b as i32).0 as u32
                }
            },
        ),
        (AluOp::Or, |a, b| a | b, |a, b| a | b),
        (AluOp::And, |a, b| a & b, |a, b| a & b),
        (AluOp::Xor, |a, b| a ^ b, |a, b| a ^ b),
        (AluOp::Mov, |_, b| b, |_, b| b),
        (AluOp::Lsh, |a, b| a << (b % 64), |a, b| a << (b % 32)),
        (AluOp::Rsh, |a, b| a >> (b % 64), |a, b| a >> (b % 32)),
        (
            AluOp::Arsh,
            |a, b| ((a as i64) >> (b % 64)) as u64,
            |a, b| ((a as i32) >> (b % 32)) as u32,
        ),
    ];
    for (op, reference64, reference32) in table {
        for left in INTERESTING {
            for right in INTERESTING {
                let case = format!("{left:#x} {op:?} {right:#x}");
                assert_eq!(
                    compute(Width::W64, op, left, right),
                    reference64(left, right),
                    "{case}"
                );
                let expected = u64::from(reference32(left as u32, right as u32));
                assert_eq!(
                    compute(Width::W32, op, left, right),
                    expected,
                    "32 bits: {case}"
                );
            }
        }
    }
}

/// Whether `if left op right` jumps.
fn jumps(width: Width, op: JumpOp, left: u64, right: u64) -> bool {
    let mut insns = Insn::load_imm64(Reg::R1, left).to_vec();
    insns.extend(Insn::load_imm64(Reg::R2, right));
    insns.extend([
        Insn::mov(Reg::R0, 1),
        Insn::jump(width, op, Reg::R1, Reg::R2, 1),
        Insn::mov(Reg::R0, 0),
        Insn::exit(),
    ]);
    Interpreter::from_insns(insns).run(&[]) == Ok(1)
}

#[test]
fn conditions_agree_with_rust() {
    type Reference = fn(u64, u64) -> bool;
    let table: [(JumpOp, Reference, Reference); 11] = [
        (JumpOp::Eq, |a, b| a == b, |a, b| a as u32 == b as u32),
        (JumpOp::Ne, |a, b| a != b, |a, b| a as u32 != b as u32),
        (JumpOp::Gt, |a, b| a > b, |a, b| a as u32 > b as u32),
        (JumpOp::Ge, |a, b| a >= b, |a, b| a as u32 >= b as u32),
        (JumpOp::Lt, |a, b| a < b, |a, b| (a as u32) < b as u32),
        (JumpOp::Le, |a, b| a <= b, |a, b| a as u32 <= b as u32),
        (
            JumpOp::Set,
            |a, b| a & b != 0,
            |a, b| a as u32 & b as u32 != 0,
        ),
        (
            JumpOp::SignedGt,
            |a, b| a as i64 > b as i64,
            |a, b| a as i32 > b as i32,
        ),
        (
            JumpOp::SignedGe,
            |a, b| a as i64 >= b as i64,
            |a, b| a as i32 >= b as i32,
        ),
        (
            JumpOp::SignedLt,
            |a, b| (a as i64) < b as i64,
            |a, b| (a as i32) < b as i32,
        ),
        (
            JumpOp::SignedLe,
            |a, b| a as i64 <= b as i64,
            |a, b| a as i32 <= b as i32,
        ),
    ];
    for (op, reference64, reference32) in table {
        for left in INTERESTING {
            for right in INTERESTING {
                let case = format!("{left:#x} {op:?} {right:#x}");
                let taken = jumps(Width::W64, op, left, right);
                assert_eq!(taken, reference64(left, right), "{case}");
                if let Some(negated) = op.negated() {
                    assert_eq!(
                        jumps(Width::W64, negated, left, right),
                        !taken,
                        "not {case}"
                    );
                }
                let taken = jumps(Width::W32, op, left, right);
                assert_eq!(taken, reference32(left, right), "32 bits: {case}");
            }
        }
    }
}

#[track_caller]
fn check(insns: &[Insn], expected: Result<u64, Trap>) {
    assert_eq!(Interpreter::from_insns(insns.to_vec()).run(&[]), expected);
}

#[test]
fn immediates_are_sign_extended() {
    check(&[Insn::mov(Reg::R0, -1), Insn::exit()], Ok(u64::MAX));
    check(&[Insn::mov32(Reg::R0, -1), Insn::exit()], Ok(0xffff_ffff));
    check(
        &[
            Insn::store(Size::B64, Reg::R10, -8, -2),
            Insn::load(Size::B64, Reg::R0, Reg::R10, -8),
            Insn::exit(),
        ],
        Ok(-2i64 as u64),
    );
}

#[test]
fn extension_and_byte_order() {
    let run = |value: u64, insn: Insn| {
        let mut insns = Insn::load_imm64(Reg::R0, value).to_vec();
        insns.extend([insn, Insn::exit()]);
        Interpreter::from_insns(insns).run(&[])
    };
    let value = 0x1122_3344_5566_77f8;
    let extend = |width, from| Insn::mov_signed(width, Reg::R0, Reg::R0, from);
    assert_eq!(run(value, extend(Width::W64, Size::B8)), Ok(-8i64 as u64));
    assert_eq!(run(value, extend(Width::W32, Size::B8)), Ok(0xffff_fff8));
    assert_eq!(run(value, extend(Width::W64, Size::B16)), Ok(0x77f8));
    let swap = |bits| Insn::byte_swap(ByteOrder::Swap, Reg::R0, bits);
    assert_eq!(run(value, swap(16)), Ok(0xf877));
    assert_eq!(run(value, swap(32)), Ok(0xf877_6655));
    assert_eq!(run(value, swap(64)), Ok(value.swap_bytes()));
    let big = run(value, Insn::byte_swap(ByteOrder::Big, Reg::R0, 16));
    assert_eq!(big, Ok(u64::from((value as u16).to_be())));
    assert_eq!(run(5, Insn::neg(Width::W64, Reg::R0)), Ok(-5i64 as u64));
    assert_eq!(run(5, Insn::neg(Width::W32, Reg::R0)), Ok(0xffff_fffb));
}

/// What the verifier would refuse is a trap, not a wrong number.
#[test]
fn mistakes_are_traps() {
    let (slot, register) = (0, 0);
    check(
        &[Insn::exit()],
        Err(Trap::UninitialisedRegister { slot, register }),
    );
    check(
        &[Insn::mov(Reg::R10, 0)],
        Err(Trap::FramePointerWritten { slot }),
    );
    check(&[Insn::mov(Reg::R0, 0)], Err(Trap::BadJump { slot: 1 }));
    check(&[Insn::goto(-2)], Err(Trap::BadJump { slot: 0 }));
    check(&[Insn::goto(-1)], Err(Trap::TooLong { limit: STEP_LIMIT }));
    check(&[Insn::call_function(-1)], Err(Trap::TooDeep));
    let null = [
        Insn::mov(Reg::R1, 8),
        Insn::load(Size::B32, Reg::R0, Reg::R1, 0),
    ];
    check(
        &null,
        Err(Trap::OutOfBounds {
            address: 8,
            size: 4,
        }),
    );
    let helper = Helper::KTIME_GET_NS;
    check(
        &[Insn::call(helper)],
        Err(Trap::UnknownHelper { slot, helper }),
    );
}

#[test]
fn stack_bounds_and_initialisation() {
    let run = |insns: &[Insn]| Interpreter::from_insns(insns.to_vec()).run(&[]);
    let below = [Insn::store(Size::B8, Reg::R10, -513, 0)];
    assert!(matches!(
        run(&below),
        Err(Trap::OutOfBounds { size: 1, .. })
    ));
    let above = [Insn::store(Size::B64, Reg::R10, -4, 0)];
    assert!(matches!(
        run(&above),
        Err(Trap::OutOfBounds { size: 8, .. })
    ));
    let unwritten = [
        Insn::store(Size::B32, Reg::R10, -8, 0),
        Insn::load(Size::B64, Reg::R0, Reg::R10, -8),
    ];
    assert!(matches!(
        run(&unwritten),
        Err(Trap::UninitialisedMemory { size: 8, .. })
    ));
}

/// Arguments do not survive calls, callee-saved registers do.
#[test]
fn registers_across_calls() {
    let slot = 2;
    let helper = Helper::KTIME_GET_NS;
    let mut lost = Interpreter::from_insns(vec![
        Insn::mov(Reg::R1, 1),
        Insn::call(helper),
        Insn::mov(Reg::R0, Reg::R1),
    ]);
    lost.helper(helper, |_, _| Ok(7));
    assert_eq!(
        lost.run(&[]),
        Err(Trap::UninitialisedRegister { slot, register: 1 })
    );

    let kept = [
        Insn::mov(Reg::R6, 40),
        Insn::mov(Reg::R1, 2),
        Insn::call_function(2),
        Insn::alu(Width::W64, AluOp::Add, Reg::R0, Reg::R6),
        Insn::exit(),
        Insn::mov(Reg::R6, 1000),
        Insn::mov(Reg::R0, Reg::R1),
        Insn::exit(),
    ];
    check(&kept, Ok(42));
}

/// Memory afterwards, the source register and `r0` for each atomic on a cell of 10 with operand 3.
#[test]
fn atomics() {
    use AtomicOp::*;
    let run = |op, r0: i32| {
        let mut interpreter = Interpreter::from_insns(vec![
            Insn::mov(Reg::R6, Reg::R1),
            Insn::mov(Reg::R2, 3),
            Insn::mov(Reg::R0, r0),
            Insn::atomic(Size::B64, op, Reg::R6, 0, Reg::R2),
            Insn::store(Size::B64, Reg::R6, 8, Reg::R2),
            Insn::exit(),
        ]);
        let mut cells = 10u64.to_ne_bytes().to_vec();
        cells.extend([0; 8]);
        let address = interpreter.memory.add(cells, Access::ReadWrite);
        let r0 = interpreter.run(&[address]).expect("valid");
        let load = |address| interpreter.memory.load(address, Size::B64).expect("valid");
        (load(address), load(address + 8), r0)
    };
    assert_eq!(run(Add, 0), (13, 3, 0));
    assert_eq!(run(Or, 0), (11, 3, 0));
    assert_eq!(run(And, 0), (2, 3, 0));
    assert_eq!(run(Xor, 0), (9, 3, 0));
    assert_eq!(run(FetchAdd, 0), (13, 10, 0));
    assert_eq!(run(FetchOr, 0), (11, 10, 0));
    assert_eq!(run(FetchAnd, 0), (2, 10, 0));
    assert_eq!(run(FetchXor, 0), (9, 10, 0));
    assert_eq!(run(Exchange, 0), (3, 10, 0));
    assert_eq!(run(CompareExchange, 10), (3, 3, 10));
    assert_eq!(run(CompareExchange, 4), (10, 3, 10));
}

fn map(kind: MapKind, sizes: [u32; 3], role: MapRole) -> Map {
    Map {
        name: "m".into(),
        kind,
        key_size: sizes[0],
        value_size: sizes[1],
        max_entries: sizes[2],
        flags: 0,
        role,
    }
}

fn object(insns: Vec<Insn>, callback: Option<Vec<Insn>>, maps: Vec<Map>) -> Object {
    let mut functions = vec![Function {
        name: "main".into(),
        first_insn: 0,
        signature: Signature::Main,
    }];
    let mut relocations = Vec::new();
    // By convention of these tests: a wide load of n into r1 is map n, into r2 the callback.
    for (slot, insn) in insns
        .iter()
        .enumerate()
        .filter(|(_, insn)| insn.slots() == 2)
    {
        let kind = match insn.dst {
            1 => RelocationKind::Map(MapId(insn.imm as u32)),
            _ => RelocationKind::FunctionAddress(1),
        };
        let insn = slot as u32;
        relocations.push(Relocation { insn, kind });
    }
    let mut all = insns;
    if let Some(callback) = callback {
        functions.push(Function {
            name: "callback".into(),
            first_insn: all.len() as u32,
            signature: Signature::LoopCallback,
        });
        all.extend(callback);
    }
    Object {
        maps,
        programs: vec![Program {
            name: "main".into(),
            kind: ProgramKind::TestRun,
            sleepable: false,
            insns: all,
            functions,
            relocations,
            lines: Vec::new(),
        }],
        ..Object::default()
    }
}

/// `key` on the stack at -8, `value` at -16, then the helper on map 0 with flags 0.
fn map_call(helper: Helper, key: i32, value: i32) -> Vec<Insn> {
    let mut insns = vec![
        Insn::store(Size::B64, Reg::R10, -8, key),
        Insn::store(Size::B64, Reg::R10, -16, value),
    ];
    insns.extend(Insn::load_imm64(Reg::R1, 0));
    insns.extend([
        Insn::mov(Reg::R2, Reg::R10),
        Insn::alu(Width::W64, AluOp::Add, Reg::R2, -8),
        Insn::mov(Reg::R3, Reg::R10),
        Insn::alu(Width::W64, AluOp::Add, Reg::R3, -16),
        Insn::mov(Reg::R4, 0),
        Insn::call(helper),
    ]);
    insns
}

#[test]
fn hash_maps() {
    let mut insns = map_call(Helper::MAP_UPDATE_ELEM, 1, 11);
    insns.extend(map_call(Helper::MAP_UPDATE_ELEM, 2, 22));
    insns.extend(map_call(Helper::MAP_DELETE_ELEM, 1, 0));
    insns.extend(map_call(Helper::MAP_UPDATE_ELEM, 3, 33));
    // The map has room for two.
    insns.extend(map_call(Helper::MAP_UPDATE_ELEM, 4, 44));
    insns.push(Insn::exit());
    let hash = map(MapKind::Hash, [8, 8, 2], MapRole::Scratch);
    let object = object(insns, None, vec![hash]);
    let mut interpreter = Interpreter::new(&object, ProgramId(0)).expect("links");
    assert_eq!(interpreter.run(&[]), Ok(-7i64 as u64));
    let cell = |n: u64| n.to_ne_bytes().to_vec();
    assert_eq!(
        interpreter.map_entries(MapId(0)),
        [(cell(2), cell(22)), (cell(3), cell(33))]
    );
    assert_eq!(interpreter.map_value(MapId(0), &cell(9)), None);
}

#[test]
fn constants_cannot_be_written() {
    let constant = map(MapKind::Array, [4, 8, 1], MapRole::ReadOnly(vec![5; 8]));
    let insns = vec![Insn::store(Size::B8, Reg::R1, 0, 1)];
    let object = object(insns, None, vec![constant]);
    let mut interpreter = Interpreter::new(&object, ProgramId(0)).expect("links");
    let address = interpreter
        .map(MapId(0))
        .and_then(|map| map.lookup(&[0; 4]))
        .expect("there");
    assert_eq!(interpreter.run(&[address]), Err(Trap::ReadOnly { address }));
    assert_eq!(interpreter.map_value(MapId(0), &[0; 4]), Some(vec![5; 8]));
}

/// `bpf_loop` adds 0 + 1 + 2 + 3 into a cell of the caller's stack, stopping when the callback says so.
#[test]
fn loops_run_their_callback() {
    let mut insns = vec![
        Insn::store(Size::B64, Reg::R10, -8, 0),
        Insn::mov(Reg::R1, 100),
    ];
    insns.extend(Insn::load_imm64(Reg::R2, 0));
    insns.extend([
        Insn::mov(Reg::R3, Reg::R10),
        Insn::alu(Width::W64, AluOp::Add, Reg::R3, -8),
        Insn::mov(Reg::R4, 0),
        Insn::call(Helper::LOOP),
        Insn::load(Size::B64, Reg::R1, Reg::R10, -8),
        Insn::alu(Width::W64, AluOp::Mul, Reg::R1, 1000),
        Insn::alu(Width::W64, AluOp::Add, Reg::R0, Reg::R1),
        Insn::exit(),
    ]);
    let callback = vec![
        Insn::load(Size::B64, Reg::R3, Reg::R2, 0),
        Insn::alu(Width::W64, AluOp::Add, Reg::R3, Reg::R1),
        Insn::store(Size::B64, Reg::R2, 0, Reg::R3),
        Insn::mov(Reg::R0, 0),
        Insn::jump(Width::W64, JumpOp::Ne, Reg::R1, 3, 1),
        Insn::mov(Reg::R0, 1),
        Insn::exit(),
    ];
    let object = object(insns, Some(callback), Vec::new());
    let mut interpreter = Interpreter::new(&object, ProgramId(0)).expect("links");
    assert_eq!(interpreter.run(&[]), Ok(6 * 1000 + 4));
}

/// The callback of `bpf_for_each_map_elem` sees each value and writes it to the ring buffer.
#[test]
fn for_each_visits_all_elements() {
    let mut insns = map_call(Helper::MAP_UPDATE_ELEM, 1, 11);
    insns.extend(map_call(Helper::MAP_UPDATE_ELEM, 2, 22));
    insns.extend(Insn::load_imm64(Reg::R1, 0));
    insns.extend(Insn::load_imm64(Reg::R2, 0));
    insns.extend([
        Insn::mov(Reg::R3, 0),
        Insn::mov(Reg::R4, 0),
        Insn::call(Helper::FOR_EACH_MAP_ELEM),
        Insn::exit(),
    ]);
    let callback = vec![
        Insn::mov(Reg::R2, Reg::R3),
        Insn::mov(Reg::R3, 8),
        Insn::mov(Reg::R4, 0),
        Insn::call(Helper::RINGBUF_OUTPUT),
        Insn::mov(Reg::R0, 0),
        Insn::exit(),
    ];
    let hash = map(MapKind::Hash, [8, 8, 4], MapRole::Scratch);
    let object = object(insns, Some(callback), vec![hash]);
    let mut interpreter = Interpreter::new(&object, ProgramId(0)).expect("links");
    assert_eq!(interpreter.run(&[]), Ok(2));
    assert_eq!(
        interpreter.events,
        [11u64.to_ne_bytes(), 22u64.to_ne_bytes()]
    );
}

/// A failing read leaves zeros and an errno, as in the kernel.
#[test]
fn probe_reads() {
    let read = |helper, source: u64, size| {
        let mut interpreter = Interpreter::from_insns(vec![
            Insn::store(Size::B64, Reg::R10, -8, -1),
            Insn::mov(Reg::R3, Reg::R1),
            Insn::mov(Reg::R1, Reg::R10),
            Insn::alu(Width::W64, AluOp::Add, Reg::R1, -8),
            Insn::mov(Reg::R2, size),
            Insn::call(helper),
            Insn::load(Size::B64, Reg::R1, Reg::R10, -8),
            Insn::store(Size::B64, Reg::R6, 0, Reg::R1),
            Insn::exit(),
        ]);
        let text = interpreter
            .memory
            .add(b"abc\0xyz\0".to_vec(), Access::ReadOnly);
        let result = interpreter.memory.add(vec![0; 8], Access::ReadWrite);
        // r6 cannot be an argument; move it there first.
        interpreter.insns.insert(0, Insn::mov(Reg::R6, Reg::R2));
        let source = if source == 0 { 0 } else { text };
        let r0 = interpreter.run(&[source, result]).expect("valid");
        (
            r0 as i64,
            interpreter.memory.read(result, 8).expect("valid"),
        )
    };
    assert_eq!(
        read(Helper::PROBE_READ_KERNEL, 1, 8),
        (0, b"abc\0xyz\0".to_vec())
    );
    assert_eq!(read(Helper::PROBE_READ_KERNEL, 0, 8), (-14, vec![0; 8]));
    let mut expected = b"abc\0".to_vec();
    expected.extend([0xff; 4]);
    assert_eq!(read(Helper::PROBE_READ_KERNEL_STR, 1, 8), (4, expected));
    let mut cut = b"ab\0".to_vec();
    cut.extend([0xff; 5]);
    assert_eq!(read(Helper::PROBE_READ_USER_STR, 1, 3), (3, cut));
}

/// A relocation that does not fit its program is refused before it runs.
#[test]
fn bad_relocations_do_not_link() {
    let mut bad = object(vec![Insn::exit()], None, Vec::new());
    let kind = RelocationKind::Map(MapId(0));
    bad.programs[0].relocations = vec![Relocation { insn: 0, kind }];
    let result = Interpreter::new(&bad, ProgramId(0)).map(|_| ());
    assert_eq!(result, Err(Trap::Link(LinkError::Misplaced { slot: 0 })));
}
