//! Instructions as the kernel's tools print them: `r1 = *(u64 *)(r10 - 8)`.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

use crate::btf_writer::LineTable;
use crate::insn::{
    AluOp, AtomicOp, ByteOrder, Insn, JumpOp, Operand, Operation, PseudoImm, Reg, Size, Width,
};
use crate::object::{Object, Program, ProgramId, RelocationKind};

/// Bare instructions, with labels for jump targets.
pub fn insns(insns: &[Insn]) -> String {
    let listing = Listing {
        labels: labels(insns),
        targets: HashMap::new(),
    };
    listing.write(insns, |_, _| {})
}

/// One program with names of maps and functions and the lines it came from; empty if there is no such program.
pub fn program(object: &Object, id: ProgramId) -> String {
    let Some(program) = object.programs.get(id.0 as usize) else {
        return String::new();
    };
    let sleepable = if program.sleepable { " sleepable" } else { "" };
    let mut out = format!(
        "program {} {} {:?}{sleepable}\n",
        id.0, program.name, program.kind
    );
    let listing = Listing {
        labels: labels(&program.insns),
        targets: targets(object, program),
    };
    let table = LineTable::new(&object.sources);
    let mut lines = program.lines.iter().peekable();
    let mut shown_line = (0, 0);
    out += &listing.write(&program.insns, |slot, out| {
        let begins = program
            .functions
            .iter()
            .filter(|function| function.first_insn as usize == slot);
        for function in begins {
            let _ = writeln!(out, "{}: ({:?})", function.name, function.signature);
            shown_line = (0, 0);
        }
        while let Some(line) = lines.next_if(|line| line.insn as usize <= slot) {
            let place = table.locate(line.span);
            if (line.span.source, place.line) != shown_line {
                let file = match line.span.source {
                    0 => String::new(),
                    _ => format!("{}:", place.file),
                };
                let _ = writeln!(out, "      ; {file}{}: {}", place.line, place.text.trim());
                shown_line = (line.span.source, place.line);
            }
        }
    });
    out
}

/// What relocations will put at each slot, by name.
fn targets(object: &Object, program: &Program) -> HashMap<usize, String> {
    let map = |index: u32| match object.maps.get(index as usize) {
        Some(map) => map.name.clone(),
        None => format!("#{index}"),
    };
    let function = |index: u32| match program.functions.get(index as usize) {
        Some(function) => function.name.clone(),
        None => format!("#{index}"),
    };
    let relocations = program.relocations.iter();
    let named = relocations.map(|relocation| {
        let text = match relocation.kind {
            RelocationKind::Map(id) => format!("map {}", map(id.0)),
            RelocationKind::MapValue { map: id, offset } => {
                format!("value of map {} + {offset}", map(id.0))
            }
            RelocationKind::FunctionAddress(index) => format!("function {}", function(index)),
            RelocationKind::FunctionCall(index) => function(index),
        };
        (relocation.insn as usize, text)
    });
    named.collect()
}

/// Jump targets in rising order get `L1`, `L2`, ….
fn labels(insns: &[Insn]) -> BTreeMap<usize, usize> {
    let mut labels = BTreeMap::new();
    let mut slot = 0;
    while slot < insns.len() {
        let next = slot + insns[slot].slots();
        if let Some(target) = jump_target(insns, slot) {
            labels.insert(target, 0);
        }
        slot = next;
    }
    for (number, label) in labels.values_mut().enumerate() {
        *label = number + 1;
    }
    labels
}

fn jump_target(insns: &[Insn], slot: usize) -> Option<usize> {
    let offset = match Operation::decode(insns, slot).ok()? {
        Operation::Jump { offset, .. } => i64::from(offset),
        Operation::Goto { offset } => i64::from(offset),
        _ => return None,
    };
    let target = usize::try_from(slot as i64 + 1 + offset).ok()?;
    (target < insns.len()).then_some(target)
}

struct Listing {
    labels: BTreeMap<usize, usize>,
    /// By slot: what is loaded or called there.
    targets: HashMap<usize, String>,
}

impl Listing {
    /// One line per instruction; `before` may add lines in front of each.
    fn write(&self, insns: &[Insn], mut before: impl FnMut(usize, &mut String)) -> String {
        let mut out = String::new();
        let mut slot = 0;
        while slot < insns.len() {
            before(slot, &mut out);
            if let Some(label) = self.labels.get(&slot) {
                let _ = writeln!(out, "   L{label}:");
            }
            let text = match Operation::decode(insns, slot) {
                Ok(operation) => self.operation(operation, slot),
                Err(_) => format!("invalid {:?}", insns[slot]),
            };
            let _ = writeln!(out, "{slot:6}: {text}");
            slot += insns[slot].slots();
        }
        out
    }

    fn operation(&self, operation: Operation, slot: usize) -> String {
        match operation {
            Operation::Alu {
                width,
                op,
                dst,
                operand,
            } => {
                let symbol = alu_symbol(op);
                format!(
                    "{} {symbol} {}",
                    reg(width, dst),
                    self::operand(width, operand)
                )
            }
            Operation::MovSigned {
                width,
                dst,
                src,
                from,
            } => {
                let bits = from.bytes() * 8;
                format!("{} = (s{bits}){}", reg(width, dst), reg(width, src))
            }
            Operation::Neg { width, dst } => {
                let dst = reg(width, dst);
                format!("{dst} = -{dst}")
            }
            Operation::ByteSwap { order, dst, bits } => {
                let name = match order {
                    ByteOrder::Little => "le",
                    ByteOrder::Big => "be",
                    ByteOrder::Swap => "bswap",
                };
                format!("{dst} = {name}{bits} {dst}")
            }
            Operation::Load {
                size,
                signed,
                dst,
                base,
                offset,
            } => {
                let letter = if signed { 's' } else { 'u' };
                format!("{dst} = {}", memory(letter, size, base, offset))
            }
            Operation::Store {
                size,
                base,
                offset,
                value,
            } => {
                format!(
                    "{} = {}",
                    memory('u', size, base, offset),
                    self::operand(Width::W64, value)
                )
            }
            Operation::Atomic {
                size,
                op,
                base,
                offset,
                src,
            } => atomic(op, &memory('u', size, base, offset), src),
            Operation::LoadImm64 { dst, value } => match self.targets.get(&slot) {
                Some(target) => format!("{dst} = {target}"),
                None => format!("{dst} = {}", pseudo(value)),
            },
            Operation::Jump {
                width,
                op,
                dst,
                operand,
                offset,
            } => {
                let condition = format!(
                    "{} {} {}",
                    reg(width, dst),
                    jump_symbol(op),
                    self::operand(width, operand)
                );
                format!(
                    "if {condition} goto {}",
                    self.label(slot, i32::from(offset))
                )
            }
            Operation::Goto { offset } => format!("goto {}", self.label(slot, offset)),
            Operation::CallHelper(helper) => format!("call {helper}"),
            Operation::CallKernelFunction {
                btf_id,
                module_index: 0,
            } => {
                format!("call kernel function {btf_id}")
            }
            Operation::CallKernelFunction {
                btf_id,
                module_index,
            } => {
                format!("call kernel function {btf_id} of module {module_index}")
            }
            Operation::CallFunction { offset } => match self.targets.get(&slot) {
                Some(target) => format!("call {target}"),
                None => format!("call pc{offset:+}"),
            },
            Operation::Exit => "exit".into(),
        }
    }

    fn label(&self, slot: usize, offset: i32) -> String {
        let target = usize::try_from(slot as i64 + 1 + i64::from(offset)).ok();
        match target.and_then(|target| self.labels.get(&target)) {
            Some(label) => format!("L{label}"),
            None => format!("pc{offset:+}"),
        }
    }
}

fn reg(width: Width, register: Reg) -> String {
    match width {
        Width::W64 => register.to_string(),
        Width::W32 => format!("w{}", register.number()),
    }
}

fn operand(width: Width, operand: Operand) -> String {
    match operand {
        Operand::Reg(register) => reg(width, register),
        Operand::Imm(imm) => imm.to_string(),
    }
}

fn memory(letter: char, size: Size, base: Reg, offset: i16) -> String {
    let bits = size.bytes() * 8;
    let sign = if offset < 0 { '-' } else { '+' };
    format!(
        "*({letter}{bits} *)({base} {sign} {})",
        offset.unsigned_abs()
    )
}

fn atomic(op: AtomicOp, place: &str, src: Reg) -> String {
    match op {
        AtomicOp::Add => format!("lock {place} += {src}"),
        AtomicOp::Or => format!("lock {place} |= {src}"),
        AtomicOp::And => format!("lock {place} &= {src}"),
        AtomicOp::Xor => format!("lock {place} ^= {src}"),
        AtomicOp::FetchAdd => format!("{src} = fetch_add({place}, {src})"),
        AtomicOp::FetchOr => format!("{src} = fetch_or({place}, {src})"),
        AtomicOp::FetchAnd => format!("{src} = fetch_and({place}, {src})"),
        AtomicOp::FetchXor => format!("{src} = fetch_xor({place}, {src})"),
        AtomicOp::Exchange => format!("{src} = xchg({place}, {src})"),
        AtomicOp::CompareExchange => format!("r0 = cmpxchg({place}, r0, {src})"),
    }
}

fn pseudo(value: PseudoImm) -> String {
    match value {
        PseudoImm::Value(value) => format!("{value:#x} ll"),
        PseudoImm::MapFd(fd) => format!("map fd {fd}"),
        PseudoImm::MapValue { fd, offset } => format!("value of map fd {fd} + {offset}"),
        PseudoImm::KernelVariable { btf_id, .. } => format!("kernel variable {btf_id}"),
        PseudoImm::Function(offset) => format!("function pc{offset:+}"),
        PseudoImm::MapIndex(index) => format!("map #{index}"),
        PseudoImm::MapValueIndex { index, offset } => format!("value of map #{index} + {offset}"),
    }
}

fn alu_symbol(op: AluOp) -> &'static str {
    match op {
        AluOp::Add => "+=",
        AluOp::Sub => "-=",
        AluOp::Mul => "*=",
        AluOp::Div => "/=",
        AluOp::SignedDiv => "s/=",
        AluOp::Or => "|=",
        AluOp::And => "&=",
        AluOp::Lsh => "<<=",
        AluOp::Rsh => ">>=",
        AluOp::Mod => "%=",
        AluOp::SignedMod => "s%=",
        AluOp::Xor => "^=",
        AluOp::Mov => "=",
        AluOp::Arsh => "s>>=",
    }
}

fn jump_symbol(op: JumpOp) -> &'static str {
    match op {
        JumpOp::Eq => "==",
        JumpOp::Gt => ">",
        JumpOp::Ge => ">=",
        JumpOp::Set => "&",
        JumpOp::Ne => "!=",
        JumpOp::SignedGt => "s>",
        JumpOp::SignedGe => "s>=",
        JumpOp::Lt => "<",
        JumpOp::Le => "<=",
        JumpOp::SignedLt => "s<",
        JumpOp::SignedLe => "s<=",
    }
}
