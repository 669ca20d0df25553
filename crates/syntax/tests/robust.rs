//! Nothing that is fed in makes the parser panic, hang or lie about places, and what can be formatted stays itself.

use fathom_syntax::{ParseOptions, Spans, dump_ast, dump_tokens, format, lex, parse};

/// A small generator of numbers (xorshift), the same on each run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % below.max(1)
    }
}

const WORDS: &[&str] = &[
    "begin",
    "kprobe:f",
    "u:/a/*:b",
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    ";",
    ",",
    ":",
    "..",
    ".",
    "->",
    "$x",
    "@m",
    "@",
    "$1",
    "$#",
    "1",
    "0x1f",
    "5ms",
    "\"s\"",
    "\"",
    "if",
    "else",
    "for",
    "while",
    "unroll",
    "let",
    "return",
    "=",
    "==",
    "+=",
    "+",
    "-",
    "*",
    "/",
    "&",
    "|",
    "!",
    "?",
    "++",
    "--",
    "sizeof",
    "offsetof",
    "typeof",
    "struct",
    "a",
    "int",
    "_",
    "\n",
    "#if 1",
    "#endif",
    "#else",
    "#define A 1",
    "macro",
    "fn",
    "config",
    "import",
    "comptime",
    "/*",
    "*/",
    "//",
    "é",
];

fn survives(source: &str) {
    let parsed = parse(source, &ParseOptions::default());
    assert!(parsed.diagnostics.len() <= 50);
    for problem in &parsed.diagnostics {
        assert!(
            source.get(problem.span.range()).is_some(),
            "span {:?} in {source:?}",
            problem.span
        );
        assert!(!problem.message.is_empty());
    }
    let mut last = 0;
    for token in lex(source).tokens {
        assert!(
            token.span.start >= last,
            "tokens go backwards in {source:?}"
        );
        last = token.span.end;
    }
    dump_ast(&parsed.script, Spans::Show);
    dump_tokens(source);
    match format(source) {
        Ok(once) => assert_eq!(format(&once).as_ref(), Ok(&once), "not stable: {source:?}"),
        Err(problems) => {
            let changed = problems
                .iter()
                .any(|p| p.code == "format-unsafe" && p.message.contains("change"));
            assert!(!changed, "formatting changes {source:?}");
        }
    }
}

fn corpus() -> Vec<String> {
    let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus"))
        .expect("the corpus");
    let mut paths: Vec<_> = folder
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| std::fs::read_to_string(path).expect("a script"))
        .collect()
}

#[test]
fn random_bytes() {
    let mut numbers = Numbers(1);
    for _ in 0..1000 {
        let bytes: Vec<u8> = (0..numbers.next(60))
            .map(|_| numbers.next(256) as u8)
            .collect();
        survives(&String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn random_words() {
    let mut numbers = Numbers(2);
    for case in 0..2000 {
        let mut source = String::from(if case % 2 == 0 { "begin {" } else { "" });
        for _ in 0..numbers.next(30) {
            source.push_str(WORDS[numbers.next(WORDS.len())]);
            source.push_str(if numbers.next(3) > 0 { " " } else { "" });
        }
        survives(&source);
    }
}

#[test]
fn mutated_scripts() {
    let corpus = corpus();
    let mut numbers = Numbers(3);
    for _ in 0..600 {
        let mut text: Vec<char> = corpus[numbers.next(corpus.len())].chars().collect();
        for _ in 0..1 + numbers.next(4) {
            let from = numbers.next(text.len());
            let to = (from + numbers.next(12)).min(text.len());
            match numbers.next(3) {
                0 => drop(text.drain(from..to)),
                1 => {
                    let word = WORDS[numbers.next(WORDS.len())];
                    text.splice(from..from, word.chars());
                }
                _ => text.truncate(from.max(20)),
            }
        }
        survives(&text.into_iter().collect::<String>());
    }
}

#[test]
fn deep_and_long_scripts() {
    let many = 20_000;
    for (before, again, after) in [
        ("begin { ", "(", ""),
        ("begin { $x = 1", " + 1", "; }"),
        ("begin { $x = a", ".b", "; }"),
        ("begin { ", "{", ""),
        ("begin { $x = ", "-", "1; }"),
        ("begin { $x = ", "(int8)", "1; }"),
        ("begin { ", "if x { ", ""),
        ("begin { if a { }", " else if a { }", " }"),
        ("begin { $x = a", " ? b : c", "; }"),
        ("begin { let $x : int", "*", "; }"),
        ("begin { $x = ", "f(", ""),
        ("begin { ", "@x[", ""),
        ("begin { ", "if ((", ""),
        ("", "struct a { ", ""),
        ("struct a { int ", "*", "x; };"),
        ("struct a { int ", "(", ""),
        ("struct a { ", "struct { ", ""),
        ("", "#if 1\n", ""),
        ("", "#if ", "\n"),
        ("begin { $x = ", "sizeof(typeof(", ""),
        ("", "kprobe:a,", ""),
        ("begin { ", "x y ", ""),
        ("begin { ", "\u{1} ", ""),
        ("", "}", ""),
        ("begin { ", "while (1) { ", ""),
        ("begin { ", "comptime ", ""),
        ("", "/", ""),
        ("begin { ", "$x = ", ""),
    ] {
        let source = format!("{before}{}{after}", again.repeat(many));
        let parsed = parse(&source, &ParseOptions::default());
        dump_ast(&parsed.script, Spans::Hide);
        assert!(parsed.diagnostics.len() <= 50);
    }
}

#[test]
fn left_out_problems_are_counted() {
    let parsed = parse(&"begin { 1 = 2; }\n".repeat(80), &ParseOptions::default());
    assert_eq!(parsed.diagnostics.len(), 50);
    assert_eq!(
        parsed.diagnostics[49].notes.last().map(String::as_str),
        Some("30 more problems were left out")
    );
}
