//! What programs send and count arrives whole and in order.

use crate::assemble::*;
use crate::harness::*;
use fathom_bpf::ProgramKind;
use fathom_bpf::object::Place;
use fathom_runtime::Options;

fn getppid_place() -> Place {
    tracepoint("syscalls", "sys_enter_getppid")
}

#[test]
fn every_call_is_counted() {
    if !is_root() {
        return;
    }
    let code = Code::new().only_thread(gettid()).count(COUNT);
    let script = Script::new()
        .program(code.program("count", ProgramKind::Tracepoint, 0))
        .at("tracepoint:syscalls:sys_enter_getppid", getppid_place());
    let ran = run_while(script.object, Options::default(), |stop, _| {
        getppid(12_345);
        stop.stop();
    });
    assert_eq!(ran.outcome().exit_code, 0);
    assert_eq!(ran.count("@n"), 12_345, "{}", ran.out);
    assert_eq!(ran.err.lines().next(), Some("Attached 1 probe"));
}

#[test]
fn events_come_in_order_and_none_is_lost() {
    if !is_root() {
        return;
    }
    let code = Code::new().only_thread(gettid());
    let code = code.send_helper_value(EVENTS, LOST, PRINT_NUMBER, "ktime_get_ns");
    let script = Script::new()
        .program(code.program("send", ProgramKind::Tracepoint, 0))
        .at("tracepoint:syscalls:sys_enter_getppid", getppid_place());
    let ran = run_while(script.object, Options::default(), |stop, _| {
        getppid(5_000);
        stop.stop();
    });
    assert_eq!(ran.outcome().lost_events, 0);
    let numbers: Vec<u64> = ran
        .out
        .split_whitespace()
        .map(|number| number.parse().unwrap())
        .collect();
    assert_eq!(numbers.len(), 5_000);
    assert!(numbers.is_sorted());
}

#[test]
fn lost_events_are_counted() {
    if !is_root() {
        return;
    }
    let calls = 100_000;
    let code = Code::new().only_thread(gettid());
    let code = code.send_helper_value(EVENTS, LOST, PRINT_NUMBER, "ktime_get_ns");
    let script = Script::new()
        .program(code.program("send", ProgramKind::Tracepoint, 0))
        .at("tracepoint:syscalls:sys_enter_getppid", getppid_place())
        .change(|object| object.maps[0].max_entries = 4096);
    let ran = run_while(script.object, Options::default(), |stop, _| {
        getppid(calls);
        stop.stop();
    });
    let lost = ran.outcome().lost_events;
    let shown = ran.out.split_whitespace().count() as u64;
    assert!(lost > 0);
    assert_eq!(shown + lost, calls);
    let told = ran
        .err
        .lines()
        .filter_map(|line| line.strip_prefix("Lost ")?.strip_suffix(" events"));
    assert_eq!(
        told.map(|number| number.parse::<u64>().unwrap())
            .sum::<u64>(),
        lost
    );
}

#[test]
fn nothing_after_exit_is_shown() {
    if !is_root() {
        return;
    }
    let code = Code::new().only_thread(gettid());
    let code = code
        .send(EVENTS, PRINT_HELLO)
        .send(EVENTS, EXIT)
        .send(EVENTS, PRINT_HELLO);
    let script = Script::new()
        .program(code.program("send", ProgramKind::Tracepoint, 0))
        .at("tracepoint:syscalls:sys_enter_getppid", getppid_place())
        .program(
            Code::new()
                .send(EVENTS, PRINT_HELLO)
                .program("end", ProgramKind::TestRun, 0),
        )
        .at("end", Place::End);
    let ran = run_while(script.object, Options::default(), |_, _| getppid(3));
    assert_eq!(ran.outcome().exit_code, 0);
    // One before `exit()`, one of `end`.
    assert_eq!(ran.out.trim_end(), "hello\nhello");
}

#[test]
fn perf_buffers_carry_events_too() {
    if !is_root() {
        return;
    }
    use fathom_bpf::insn::{AluOp, Insn, Reg, Size, Width};
    use fathom_bpf::{MapKind, object::Relocation, object::RelocationKind};
    let mut program = Code::new()
        .only_thread(gettid())
        .program("send", ProgramKind::Tracepoint, 0);
    // `r6 = ctx` first; the filter before `mov r0, 0` stays as it is.
    let tail = program.insns.split_off(program.insns.len() - 2);
    program.insns.insert(0, Insn::mov(Reg::R6, Reg::R1));
    program.insns.extend([
        Insn::store(Size::B32, Reg::R10, -8, PRINT_HELLO as i32),
        Insn::store(Size::B32, Reg::R10, -4, 8),
        Insn::mov(Reg::R4, Reg::R10),
        Insn::alu(Width::W64, AluOp::Add, Reg::R4, -8),
        Insn::mov(Reg::R5, 8),
        // BPF_F_CURRENT_CPU
        Insn::mov32(Reg::R3, -1),
        Insn::mov(Reg::R1, Reg::R6),
    ]);
    let insn = program.insns.len() as u32;
    program.relocations.push(Relocation {
        insn,
        kind: RelocationKind::Map(EVENTS),
    });
    program.insns.extend(Insn::load_pseudo(
        Reg::R2,
        fathom_bpf::insn::PseudoImm::MapFd(0),
    ));
    program.insns.push(Insn::call(
        fathom_bpf::Helper::from_name("perf_event_output").unwrap(),
    ));
    program.insns.extend(tail);
    let jump = program
        .insns
        .iter()
        .position(|insn| insn.opcode & 7 == 5 && insn.opcode != 0x85)
        .unwrap();
    program.insns[jump].offset = (program.insns.len() - 2 - jump - 1) as i16;
    let script = Script::new()
        .program(program)
        .at("tracepoint:syscalls:sys_enter_getppid", getppid_place())
        .change(|object| {
            object.maps[0] = map(
                "events",
                MapKind::PerfEventArray,
                [4, 4, 0],
                object.maps[0].role.clone(),
            );
        });
    let ran = run_while(script.object, Options::default(), |stop, out| {
        getppid(3);
        out.wait_for("hello\nhello\nhello\n");
        stop.stop();
    });
    assert_eq!(ran.outcome().lost_events, 0);
    assert_eq!(ran.out.trim_end(), "hello\nhello\nhello");
}
