use super::*;
use crate::helper::Helper;

/// One of each kind, with the bytes an assembler gives (little-endian).
fn samples() -> Vec<(Vec<Insn>, [u8; 8])> {
    use AluOp::*;
    use Width::*;
    let one = |insn: Insn, bytes| (vec![insn], bytes);
    vec![
        one(Insn::mov(Reg::R6, Reg::R1), [0xbf, 0x16, 0, 0, 0, 0, 0, 0]),
        one(
            Insn::mov(Reg::R0, -1),
            [0xb7, 0, 0, 0, 0xff, 0xff, 0xff, 0xff],
        ),
        one(Insn::mov32(Reg::R3, 7), [0xb4, 3, 0, 0, 7, 0, 0, 0]),
        one(
            Insn::alu(W64, Add, Reg::R10, -8),
            [0x07, 10, 0, 0, 0xf8, 0xff, 0xff, 0xff],
        ),
        one(
            Insn::alu(W32, Sub, Reg::R1, Reg::R2),
            [0x1c, 0x21, 0, 0, 0, 0, 0, 0],
        ),
        one(
            Insn::alu(W64, SignedDiv, Reg::R1, Reg::R2),
            [0x3f, 0x21, 1, 0, 0, 0, 0, 0],
        ),
        one(
            Insn::alu(W64, SignedMod, Reg::R1, 3),
            [0x97, 0x01, 1, 0, 3, 0, 0, 0],
        ),
        one(
            Insn::alu(W64, Arsh, Reg::R1, 63),
            [0xc7, 0x01, 0, 0, 63, 0, 0, 0],
        ),
        one(Insn::neg(W64, Reg::R4), [0x87, 4, 0, 0, 0, 0, 0, 0]),
        one(
            Insn::mov_signed(W64, Reg::R1, Reg::R2, Size::B32),
            [0xbf, 0x21, 32, 0, 0, 0, 0, 0],
        ),
        one(
            Insn::byte_swap(ByteOrder::Big, Reg::R1, 16),
            [0xdc, 1, 0, 0, 16, 0, 0, 0],
        ),
        one(
            Insn::byte_swap(ByteOrder::Little, Reg::R1, 32),
            [0xd4, 1, 0, 0, 32, 0, 0, 0],
        ),
        one(
            Insn::byte_swap(ByteOrder::Swap, Reg::R1, 64),
            [0xd7, 1, 0, 0, 64, 0, 0, 0],
        ),
        one(
            Insn::load(Size::B64, Reg::R1, Reg::R10, -8),
            [0x79, 0xa1, 0xf8, 0xff, 0, 0, 0, 0],
        ),
        one(
            Insn::load(Size::B8, Reg::R1, Reg::R2, 4),
            [0x71, 0x21, 4, 0, 0, 0, 0, 0],
        ),
        one(
            Insn::load_signed(Size::B16, Reg::R1, Reg::R2, 4),
            [0x89, 0x21, 4, 0, 0, 0, 0, 0],
        ),
        one(
            Insn::store(Size::B32, Reg::R10, -4, 5),
            [0x62, 10, 0xfc, 0xff, 5, 0, 0, 0],
        ),
        one(
            Insn::store(Size::B64, Reg::R10, -8, Reg::R7),
            [0x7b, 0x7a, 0xf8, 0xff, 0, 0, 0, 0],
        ),
        one(
            Insn::atomic(Size::B64, AtomicOp::Add, Reg::R0, 0, Reg::R1),
            [0xdb, 0x10, 0, 0, 0, 0, 0, 0],
        ),
        one(
            Insn::atomic(Size::B32, AtomicOp::CompareExchange, Reg::R2, 8, Reg::R1),
            [0xc3, 0x12, 8, 0, 0xf1, 0, 0, 0],
        ),
        one(
            Insn::jump(W64, JumpOp::Eq, Reg::R0, 0, 3),
            [0x15, 0, 3, 0, 0, 0, 0, 0],
        ),
        one(
            Insn::jump(W32, JumpOp::SignedLe, Reg::R1, Reg::R2, -2),
            [0xde, 0x21, 0xfe, 0xff, 0, 0, 0, 0],
        ),
        one(Insn::goto(-5), [0x05, 0, 0xfb, 0xff, 0, 0, 0, 0]),
        one(Insn::goto_far(0x10000), [0x06, 0, 0, 0, 0, 0, 1, 0]),
        one(Insn::call(Helper::LOOP), [0x85, 0, 0, 0, 181, 0, 0, 0]),
        one(
            Insn::call_kernel_function(0x1234, 2),
            [0x85, 0x20, 2, 0, 0x34, 0x12, 0, 0],
        ),
        one(
            Insn::call_function(-7),
            [0x85, 0x10, 0, 0, 0xf9, 0xff, 0xff, 0xff],
        ),
        one(Insn::exit(), [0x95, 0, 0, 0, 0, 0, 0, 0]),
        (
            Insn::load_imm64(Reg::R1, 0x1122_3344_5566_7788).to_vec(),
            [0x18, 1, 0, 0, 0x88, 0x77, 0x66, 0x55],
        ),
        (
            Insn::load_pseudo(Reg::R1, PseudoImm::MapValue { fd: 9, offset: 16 }).to_vec(),
            [0x18, 0x21, 0, 0, 9, 0, 0, 0],
        ),
    ]
}

/// Constructors give the bytes that the kernel's instruction set document asks for.
#[test]
#[cfg(target_endian = "little")]
fn bytes_of_each_instruction() {
    for (insns, bytes) in samples() {
        assert_eq!(insns[0].to_bytes(), bytes, "{insns:?}");
    }
}

/// Bytes lead back to the same slots.
#[test]
fn bytes_round_trip() {
    let insns: Vec<Insn> = samples().into_iter().flat_map(|(insns, _)| insns).collect();
    let bytes = to_bytes(&insns);
    assert_eq!(from_bytes(&bytes), Some(insns));
    assert_eq!(from_bytes(&bytes[..9]), None);
}

/// Makes the slots of an operation again, by the public constructors.
fn encode(operation: Operation) -> Vec<Insn> {
    match operation {
        Operation::Alu {
            width,
            op,
            dst,
            operand,
        } => vec![Insn::alu(width, op, dst, operand)],
        Operation::MovSigned {
            width,
            dst,
            src,
            from,
        } => {
            vec![Insn::mov_signed(width, dst, src, from)]
        }
        Operation::Neg { width, dst } => vec![Insn::neg(width, dst)],
        Operation::ByteSwap { order, dst, bits } => vec![Insn::byte_swap(order, dst, bits)],
        Operation::Load {
            size,
            signed: false,
            dst,
            base,
            offset,
        } => {
            vec![Insn::load(size, dst, base, offset)]
        }
        Operation::Load {
            size,
            signed: true,
            dst,
            base,
            offset,
        } => {
            vec![Insn::load_signed(size, dst, base, offset)]
        }
        Operation::Store {
            size,
            base,
            offset,
            value,
        } => {
            vec![Insn::store(size, base, offset, value)]
        }
        Operation::Atomic {
            size,
            op,
            base,
            offset,
            src,
        } => {
            vec![Insn::atomic(size, op, base, offset, src)]
        }
        Operation::LoadImm64 { dst, value } => Insn::load_pseudo(dst, value).to_vec(),
        Operation::Jump {
            width,
            op,
            dst,
            operand,
            offset,
        } => {
            vec![Insn::jump(width, op, dst, operand, offset)]
        }
        Operation::Goto { offset } => match i16::try_from(offset) {
            Ok(offset) => vec![Insn::goto(offset)],
            Err(_) => vec![Insn::goto_far(offset)],
        },
        Operation::CallHelper(helper) => vec![Insn::call(helper)],
        Operation::CallKernelFunction {
            btf_id,
            module_index,
        } => {
            vec![Insn::call_kernel_function(btf_id, module_index)]
        }
        Operation::CallFunction { offset } => vec![Insn::call_function(offset)],
        Operation::Exit => vec![Insn::exit()],
    }
}

/// Taking an instruction apart loses nothing.
#[test]
fn operations_round_trip() {
    for (insns, _) in samples() {
        let operation = Operation::decode(&insns, 0).expect("samples are valid");
        assert_eq!(encode(operation), insns, "{operation:?}");
        assert_eq!(insns[0].slots(), insns.len());
    }
}

/// Whatever decodes means exactly its bytes: nothing set is overlooked.
#[test]
fn any_slot_decodes_to_itself_or_not_at_all() {
    let mut decoded = 0;
    for opcode in 0..=255 {
        for (dst, src, offset, imm) in [
            (0, 0, 0, 0),
            (3, 4, 0, 0),
            (3, 0, 0, 16),
            (1, 2, 8, 0),
            (1, 0, 1, 5),
            (11, 0, 0, 0),
            (0, 1, 2, 3),
            (0, 11, 0, 0),
        ] {
            let insns = [
                Insn {
                    opcode,
                    dst,
                    src,
                    offset,
                    imm,
                },
                Insn::default(),
            ];
            let Ok(operation) = Operation::decode(&insns, 0) else {
                continue;
            };
            decoded += 1;
            // A far jump that would fit the near form decodes to the same operation.
            if opcode != 0x06 {
                assert_eq!(encode(operation)[0], insns[0]);
            }
        }
    }
    assert!(decoded > 250, "only {decoded} of the slots decoded");
}

/// Reading past the end or half a `ld_imm64` is an error, not a panic.
#[test]
fn cut_programs_are_errors() {
    let half = Insn::load_imm64(Reg::R1, 1)[0];
    assert_eq!(
        Operation::decode(&[half], 0),
        Err(InvalidInsn {
            slot: 0,
            opcode: 0x18
        })
    );
    assert!(Operation::decode(&[], 0).is_err());
}
