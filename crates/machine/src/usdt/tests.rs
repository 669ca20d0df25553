//! Argument notations, and the notes of real binaries where they are installed.

use super::argument::parse_all;
use super::*;
use expect_test::{Expect, expect};

fn check(text: &str, expected: Expect) {
    let lines: Vec<String> = parse_all(text)
        .iter()
        .map(|argument| {
            format!(
                "{}{} {:?}",
                if argument.signed { "-" } else { "" },
                argument.size,
                argument.kind
            )
        })
        .collect();
    expected.assert_eq(&lines.join("\n"));
}

#[test]
fn understands_what_compilers_write() {
    check(
        "8@%rbx -4@112(%rsp) -4@$0 -4@$-1 1@%r15b 4@%r14d 2@12(%r12) 8@(%rsp) 8@-144(%rbp) 1@%ah",
        expect![[r#"
            8 Register { reg: Rbx, size: 8, shift: 0 }
            -4 Memory { base: Some(Rsp), offset: 112, index: None }
            -4 Const(0)
            -4 Const(-1)
            1 Register { reg: R15, size: 1, shift: 0 }
            4 Register { reg: R14, size: 4, shift: 0 }
            2 Memory { base: Some(R12), offset: 12, index: None }
            8 Memory { base: Some(Rsp), offset: 0, index: None }
            8 Memory { base: Some(Rbp), offset: -144, index: None }
            1 Register { reg: Rax, size: 1, shift: 8 }"#]],
    );
    check(
        "-4@NBuffers(%rip) -4@40+CheckpointStats(%rip) -4@CheckpointStats+40(%rip) 8@a.b-8(%rip) 8@global 8@16(%rip)",
        expect![[r#"
            -4 SymbolRelative { symbol: "NBuffers", offset: 0, address: None }
            -4 SymbolRelative { symbol: "CheckpointStats", offset: 40, address: None }
            -4 SymbolRelative { symbol: "CheckpointStats", offset: 40, address: None }
            8 SymbolRelative { symbol: "a.b", offset: -8, address: None }
            8 SymbolRelative { symbol: "global", offset: 0, address: None }
            8 Memory { base: Some(Rip), offset: 16, index: None }"#]],
    );
    check(
        "8@(%rax,%rbx,8) 8@-4(%rax,%rbx) 8@(,%rcx,4) 8@$0xffffffffffffffff %rdi",
        expect![[r#"
            8 Memory { base: Some(Rax), offset: 0, index: Some((Rbx, 8)) }
            8 Memory { base: Some(Rax), offset: -4, index: Some((Rbx, 1)) }
            8 Memory { base: None, offset: 0, index: Some((Rcx, 4)) }
            8 Const(-1)
            8 Register { reg: Rdi, size: 8, shift: 0 }"#]],
    );
}

#[test]
fn keeps_what_it_does_not_understand() {
    check(
        "8f@%xmm0 8@%xmm1 3@%rax x@%rax 8@ 8@(%eax) 8@%fs:8 8@(%rax,%rbx,3) 8@() 8@1++2(%rax",
        expect![[r#"
            8 Unknown("%xmm0")
            8 Unknown("%xmm1")
            8 Unknown("3@%rax")
            8 Unknown("x@%rax")
            8 Memory { base: None, offset: 0, index: None }
            8 Unknown("(%eax)")
            8 Unknown("%fs:8")
            8 Unknown("(%rax,%rbx,3)")
            8 Unknown("()")
            8 Unknown("1++2(%rax")"#]],
    );
    assert_eq!(parse_all(&"8@%rax ".repeat(1000)).len(), 32);
}

/// Compares with `readelf -n`: same probes, same order, same locations.
#[test]
fn agrees_with_readelf() {
    let machine = crate::Machine::at("/");
    for name in ["postgres", "/usr/bin/python3", "libstdc++.so.6"] {
        let Ok(found) = machine.resolve_binary(name, None) else {
            println!("skipped: {name} is not installed");
            continue;
        };
        let path = &found[0].path;
        let Ok(output) = std::process::Command::new("readelf")
            .args(["-W", "-n"])
            .arg(path)
            .output()
        else {
            println!("skipped: no readelf");
            return;
        };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let value = |line: &str, key: &str| {
            line.split_once(key)
                .map(|(_, rest)| rest.trim().to_string())
        };
        let names: Vec<String> = text
            .lines()
            .filter_map(|line| value(line, "    Name:"))
            .collect();
        let locations: Vec<String> = text
            .lines()
            .filter_map(|line| value(line.split(',').next()?, "Location:"))
            .collect();
        let arguments: Vec<String> = text
            .lines()
            .filter_map(|line| value(line, "Arguments:"))
            .collect();
        let probes = Elf::open(path).unwrap().usdt_probes();
        assert_eq!(
            probes.iter().map(|p| p.name.clone()).collect::<Vec<_>>(),
            names,
            "{name}"
        );
        assert_eq!(
            probes
                .iter()
                .map(|p| format!("{:#018x}", p.location.0))
                .collect::<Vec<_>>(),
            locations,
            "{name}"
        );
        assert_eq!(
            probes
                .iter()
                .map(|p| p.argument_text.clone())
                .collect::<Vec<_>>(),
            arguments,
            "{name}"
        );
        let is_unknown = |argument: &UsdtArg| matches!(argument.kind, ArgumentKind::Unknown(_));
        for probe in &probes {
            assert!(!probe.arguments.iter().any(is_unknown), "{name}: {probe:?}");
        }
    }
}
