//! Frames: sharing of bytes, and what is said when they do not fit. Time of compiling.

use std::time::Instant;

use super::generate;
use crate::backend::{BackendError, Compiled, Options, compile};
use crate::ir::parse::parse;

fn plain() -> Options {
    Options {
        optimize: false,
        ..Options::default()
    }
}

/// The lowest offset from the frame pointer that the program uses.
fn depth(compiled: &Compiled) -> i32 {
    let offsets = compiled.insns.iter().map(|insn| match insn.opcode {
        // `add r, imm` and stores to r10.
        0x07 => insn.imm,
        0x62 | 0x63 | 0x7a | 0x7b if insn.dst == 10 => i32::from(insn.offset),
        _ => 0,
    });
    -offsets.min().unwrap_or(0)
}

/// Two buffers that are not needed at the same time lie at the same place; two that are, do not.
#[test]
fn slots_share_bytes() {
    let program = |second_first: &str| {
        parse(&format!(
            "fn main(v0) {{\n slot0: 200 align 8 \"a\"\n slot1: 200 align 8 \"b\"\nb0:\n v1 = slot0\n v2 = slot1\n v9 = const 200\n \
             {second_first}\n v3 = call get_current_comm(v1, v9)\n v4 = call get_current_comm(v1, v9)\n \
             v5 = call get_current_comm(v2, v9)\n v6 = call get_current_comm(v2, v9)\n return 0\n}}"
        ))
    };
    let apart = compile(&program(""), &plain()).expect("fits");
    assert_eq!(depth(&apart), 200);
    let together = compile(&program("v7 = call get_current_comm(v2, v9)"), &plain()).expect("fits");
    assert_eq!(depth(&together), 400);
}

/// A frame that is too large names what takes the space; callbacks count.
#[test]
fn stack_limit() {
    let user = |name: &str, size: u32| format!("slot0: {size} align 8 \"{name}\"");
    let text = |main: u32, callback: u32| {
        format!(
            "fn main(v0) {{\n{}\nb0:\n v1 = slot0\n v2 = fn1\n v3 = const 1\n v4 = const 0\n v5 = call loop(v3, v2, v1, v4)\n return 0\n}}\n\
             fn each(v0, v1) {{\n{}\nb0:\n v2 = slot0\n v3 = call get_current_comm(v2, v0)\n return 0\n}}",
            user("string of $a", main),
            user("key of @x", callback)
        )
    };
    assert!(compile(&parse(&text(256, 256)), &plain()).is_ok());
    let error = compile(&parse(&text(300, 256)), &plain()).expect_err("does not fit");
    let BackendError::StackTooLarge { needed, biggest } = error else {
        panic!("{error}")
    };
    let names: Vec<&str> = biggest.iter().map(|user| user.purpose.as_str()).collect();
    assert_eq!(
        (needed, names),
        (320 + 256, vec!["string of $a", "key of @x"])
    );
}

/// The first instruction of each function has a line; spans that do not change are not repeated.
#[test]
fn lines_and_functions() {
    let text = "fn main(v0) {\nb0:\n v1 = fn1\n v2 = const 3\n v3 = const 0\n v4 = call loop(v2, v1, v3, v3)\n return 0\n}\n\
                fn each(v0, v1) {\nb0:\n return 0\n}";
    let compiled = compile(&parse(text), &plain()).expect("compiles");
    let starts: Vec<u32> = compiled
        .functions
        .iter()
        .map(|function| function.first_insn)
        .collect();
    let lines: Vec<u32> = compiled.lines.iter().map(|line| line.insn).collect();
    assert_eq!(starts.len(), 2);
    assert_eq!(lines, starts);
    assert_eq!(compiled.relocations.len(), 1);
}

/// Compiling takes milliseconds. (The limits are for a release build; a debug build checks each step.)
#[test]
fn compile_time() {
    let program = generate::large(5000);
    let start = Instant::now();
    let compiled = compile(&program, &Options::default());
    let took = start.elapsed();
    println!(
        "5000 instructions: {took:?}, {:?}",
        compiled.map(|compiled| compiled.insns.len())
    );
    if !cfg!(debug_assertions) {
        assert!(took.as_millis() < 200, "{took:?}");
    }
}
