//! What the optimizer makes of small programs.

use crate::backend::optimize;
use crate::ir::parse::parse;

/// Optimizes the body of a main function with two slots of 16 bytes.
fn optimized(body: &str) -> String {
    let text = format!(
        "fn main(v0) {{\nslot0: 16 align 8 \"a\"\nslot1: 16 align 8 \"b\"\nb0:\n{body}\n}}"
    );
    let mut program = parse(&text);
    optimize(&mut program);
    let text = program.to_string();
    let lines = text.lines().skip(4).filter(|line| *line != "}");
    lines.map(str::trim).collect::<Vec<_>>().join("\n")
}

fn check(cases: &[(&str, &str, &str)]) {
    for (what, before, after) in cases {
        let expected: Vec<&str> = after
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        assert_eq!(optimized(before), expected.join("\n"), "{what}\n{before}");
    }
}

#[test]
fn folding() {
    check(&[
        (
            "constants",
            "v1 = const 6\n v2 = mul64 v1, 7\n return v2",
            "return 42",
        ),
        (
            "32 bits clear the upper half",
            "v1 = const -1\n v2 = add32 v1, 0\n v3 = shr64 v2, 31\n return v3",
            "return 1",
        ),
        (
            "division by zero",
            "v1 = const 5\n v2 = div64 v1, 0\n v3 = rem64 v1, 0\n v4 = add64 v2, v3\n return v4",
            "return 5",
        ),
        (
            "powers of two",
            "v1 = load.d ctx [v0 + 0]\n v2 = mul64 v1, 8\n v3 = div64 v2, 16\n v4 = rem64 v3, 32\n return v4",
            "v1 = load.d ctx [v0 + 0]\n v2 = shl64 v1, 3\n v3 = shr64 v2, 4\n v4 = and64 v3, 31\n return v4",
        ),
        (
            "additions are joined, offsets folded into accesses",
            "v1 = add64 v0, 8\n v2 = add64 v1, 16\n v3 = load.w ctx [v2 + 4]\n return v3",
            "v3 = load.w ctx [v0 + 28]\n return v3",
        ),
        (
            "a compared value in between keeps additions apart",
            "v1 = load.d ctx [v0 + 0]\n v2 = add64 v1, 1\n branch lt64 v2, 64 -> b1 | b2\nb1:\n v3 = add64 v2, 3\n return v3\nb2:\n return 0",
            "v1 = load.d ctx [v0 + 0]\n v2 = add64 v1, 1\n branch lt64 v2, 64 -> b1 | b2\nb1:\n v3 = add64 v2, 3\n return v3\nb2:\n return 0",
        ),
        (
            "extensions that do nothing",
            "v1 = load.h ctx [v0 + 0]\n v2 = zext.w v1\n v3 = and64 v2, 65535\n v4 = sext.w v3\n return v4",
            "v1 = load.h ctx [v0 + 0]\n return v1",
        ),
        (
            "an extended value that is only compared",
            "v1 = load.d ctx [v0 + 0]\n v2 = sext.w v1\n branch slt64 v2, 5 -> b1 | b2\nb1:\n return 1\nb2:\n return 0",
            "v1 = load.d ctx [v0 + 0]\n branch slt32 v1, 5 -> b1 | b2\nb1:\n return 1\nb2:\n return 0",
        ),
        (
            "bytes that are not stored",
            "v1 = load.d ctx [v0 + 0]\n v2 = zext.w v1\n v3 = slot0\n store.w stack [v3 + 0], v2\n v4 = call get_current_comm(v3, v0)\n return 0",
            "v1 = load.d ctx [v0 + 0]\n v3 = slot0\n store.w stack [v3 + 0], v1\n v4 = call get_current_comm(v3, v0)\n return 0",
        ),
    ]);
}

#[test]
fn branches_and_params() {
    check(&[
        (
            "a comparison becomes the branch, and so does its negation",
            "v1 = load.d ctx [v0 + 0]\n v2 = gt64 v1, 5\n v3 = eq64 v2, 0\n branch ne64 v3, 0 -> b1 | b2\nb1:\n return 1\nb2:\n return 2",
            "v1 = load.d ctx [v0 + 0]\n branch le64 v1, 5 -> b1 | b2\nb1:\n return 1\nb2:\n return 2",
        ),
        (
            "a known decision",
            "v1 = const 3\n branch lt64 v1, 4 -> b1 | b2\nb1:\n return 1\nb2:\n return 2",
            "return 1",
        ),
        (
            "a parameter that is always the same",
            "v1 = load.d ctx [v0 + 0]\n branch eq64 v1, 0 -> b1 | b2\nb1:\n jump b3(v1)\nb2:\n jump b3(v1)\nb3(v2):\n return v2",
            "v1 = load.d ctx [v0 + 0]\n return v1",
        ),
        (
            "logical and: the second decision is made where its value is known",
            "v1 = load.d ctx [v0 + 0]\n v2 = load.d ctx [v0 + 8]\n v3 = const 0\n branch ne64 v1, 0 -> b1 | b2(v3)\nb1:\n v4 = ne64 v2, 7\n jump b2(v4)\nb2(v5):\n branch ne64 v5, 0 -> b3 | b4\nb3:\n return 1\nb4:\n return 0",
            "v1 = load.d ctx [v0 + 0]\n v2 = load.d ctx [v0 + 8]\n branch ne64 v1, 0 -> b1 | b3\nb1:\n branch ne64 v2, 7 -> b2 | b3\nb2:\n return 1\nb3:\n return 0",
        ),
    ]);
}

#[test]
fn sharing() {
    check(&[
        (
            "fixed helpers are called once, context is loaded once, over calls and branches",
            "v1 = call get_current_pid_tgid()\n v2 = load.d ctx [v0 + 8]\n v3 = call get_prandom_u32()\n branch eq64 v3, 5 -> b1 | b2\nb1:\n v4 = call get_current_pid_tgid()\n v5 = load.d ctx [v0 + 8]\n v6 = add64 v4, v5\n v7 = add64 v6, v2\n return v7\nb2:\n return v1",
            "v1 = call get_current_pid_tgid()\n v2 = load.d ctx [v0 + 8]\n v3 = call get_prandom_u32()\n branch eq64 v3, 5 -> b1 | b2\nb1:\n v6 = add64 v1, v2\n v7 = add64 v6, v2\n return v7\nb2:\n return v1",
        ),
        (
            "map values are loaded again after a write, not after none",
            "v1 = map0[0] + 0\n v2 = load.d map [v1 + 0]\n v3 = load.d map [v1 + 0]\n v4 = add64 v2, v3\n store.d map [v1 + 8], v4\n v5 = load.d map [v1 + 0]\n return v5",
            "v1 = map0[0] + 0\n v2 = load.d map [v1 + 0]\n v4 = add64 v2, v2\n store.d map [v1 + 8], v4\n v5 = load.d map [v1 + 0]\n return v5",
        ),
        (
            "the clock is read again in a loop",
            "v1 = call ktime_get_ns()\n jump b1\nb1:\n v2 = call ktime_get_ns()\n v3 = sub64 v2, v1\n branch lt64 v3, 100 -> b1 | b2\nb2:\n return 0",
            "v1 = call ktime_get_ns()\n jump b1\nb1:\n v2 = call ktime_get_ns()\n v3 = sub64 v2, v1\n branch lt64 v3, 100 -> b1 | b2\nb2:\n return 0",
        ),
        (
            "arithmetic on a compared value is not shared over blocks",
            "v1 = load.d ctx [v0 + 0]\n v2 = add64 v1, 1\n v9 = call get_current_comm(v2, v2)\n branch lt64 v1, 64 -> b1 | b2\nb1:\n v3 = add64 v1, 1\n return v3\nb2:\n return 0",
            "v1 = load.d ctx [v0 + 0]\n v2 = add64 v1, 1\n v9 = call get_current_comm(v2, v2)\n branch lt64 v1, 64 -> b1 | b2\nb1:\n v3 = add64 v1, 1\n return v3\nb2:\n return 0",
        ),
        (
            "a stored value is found by the load",
            "v1 = load.d ctx [v0 + 0]\n v2 = slot0\n store.d stack [v2 + 8], v1\n v3 = load.d stack [v2 + 8]\n return v3",
            "v1 = load.d ctx [v0 + 0]\n return v1",
        ),
    ]);
}

#[test]
fn dead_stores() {
    check(&[
        (
            "zeroing that is overwritten, and what is left of it",
            "v1 = slot0\n v2 = load.d ctx [v0 + 0]\n zero stack [v1 + 0], 16\n store.d stack [v1 + 0], v2\n v3 = call get_current_comm(v1, v2)\n return 0",
            "v1 = slot0\n v2 = load.d ctx [v0 + 0]\n zero stack [v1 + 8], 8\n store.d stack [v1 + 0], v2\n v3 = call get_current_comm(v1, v2)\n return 0",
        ),
        (
            "a slot that is only written",
            "v1 = slot0\n zero stack [v1 + 0], 16\n store.w stack [v1 + 4], 7\n return 0",
            "return 0",
        ),
        (
            "a read in between keeps the store",
            "v1 = slot0\n store.d stack [v1 + 0], 1\n v2 = call get_current_comm(v1, v0)\n store.d stack [v1 + 0], 2\n v3 = call get_current_comm(v1, v0)\n return 0",
            "v1 = slot0\n store.d stack [v1 + 0], 1\n v2 = call get_current_comm(v1, v0)\n store.d stack [v1 + 0], 2\n v3 = call get_current_comm(v1, v0)\n return 0",
        ),
        (
            "constants side by side",
            "v1 = slot0\n store.w stack [v1 + 0], 1\n store.w stack [v1 + 4], 0\n store.h stack [v1 + 8], 1\n store.h stack [v1 + 10], 2\n v2 = call get_current_comm(v1, v0)\n return 0",
            "v1 = slot0\n store.d stack [v1 + 0], 1\n store.w stack [v1 + 8], 131073\n v2 = call get_current_comm(v1, v0)\n return 0",
        ),
    ]);
}
