use super::parse::parse;
use super::verify;

/// Printing and reading are inverse.
#[test]
fn text_survives_reading() {
    let text = r#"fn main(v0) {
  slot0: 16 align 8 "key of @x"
b0:
  v1 = call get_current_pid_tgid()
  v2 = shr64 v1, 32
  v3 = slot0 + 8
  store.w stack [v3 + 4], v2
  zero stack [v3 + 0], 4
  v4 = sload.h ctx [v0 + -2]
  v5 = map3
  v6 = map2[0] + 16
  v7 = fn1
  v8 = sext.w v4
  v9 = swap.h v8
  v10 = neg v9
  v11 = const -9223372036854775808
  v12 = slt32 v10, v11
  v13 = fetch_add.d [v6 + 8], v12
  atomic_add.d [v6 + 8], v12
  copy map [v6 + 0], stack [v3 + 0], 8 align 8
  branch eq64 v2, 42 -> b1 | b2(v2, v13)
b1:
  return 0
b2(v14, v15):
  v16 = call bpf_loop(v14, v7, v3, v15)
  v17 = call_kernel 65917(v16)
  return v17
}

fn each(v0, v1) {
b0:
  jump b1(v0)
b1(v2):
  branch ne64 v2, v0 -> b1(v1) | b2
b2:
  return 1
}
"#;
    let text = text.replace("bpf_loop", "loop");
    let program = parse(&text);
    assert_eq!(program.to_string(), text);
    assert_eq!(verify(&program), Vec::<String>::new());
}

/// One mistake each, and what the verifier says of it.
#[test]
fn verifier_finds_mistakes() {
    let cases = [
        (
            "v1 = add64 v2, 1\n v2 = const 1\n return 0",
            "v2 is used before its definition",
        ),
        ("return v9", "v9 is used but never defined"),
        ("v0 = const 1\n return 0", "v0 is defined twice"),
        ("jump b0", "jump to the entry"),
        ("jump b7", "jump to b7, which does not exist"),
        (
            "jump b1\nb1(v1):\n return 0",
            "b1 takes 1 values, 0 are passed",
        ),
        (
            "v1 = slot0 + 4\n store.d stack [v1 + 0], 0\n return 0",
            "8 bytes at 4 of slot0, which has 8",
        ),
        ("v1 = slot3\n return 0", "slot3 does not exist"),
        (
            "v1 = call loop(v0, v0, v0, v0, v0, v0)\n return 0",
            "loop is passed 6 arguments",
        ),
        ("unreachable", "reachable, but has no end"),
        (
            "atomic_add.h [v0 + 0], v0\n return 0",
            "atomic on less than 4 bytes",
        ),
        (
            "v1 = fn0\n return 0",
            "address of function 0, which is no callback",
        ),
        (
            "branch eq64 v0, 0 -> b1 | b2\nb1:\n v1 = const 1\n jump b2\nb2:\n return v1",
            "v1 is used before its definition",
        ),
        ("add64 v0, 1\n return 0", "no result"),
    ];
    for (body, expected) in cases {
        let mut program = parse(&format!(
            "fn main(v0) {{\n slot0: 8 align 8 \"x\"\nb0:\n {body}\n}}"
        ));
        program.functions[0].value_count = 10;
        let problems = verify(&program).join("\n");
        assert!(
            problems.contains(expected),
            "{body}\nexpected: {expected}\nfound: {problems}"
        );
    }
}
