//! What scripts are read as: one small input each. Inputs are here, trees and problems in `expected/`; after a wanted
//! change run with `UPDATE_EXPECT=1` and read the difference.

use expect_test::expect_file;
use fathom_syntax::{LineIndex, ParseOptions, Spans, dump_ast, dump_tokens, parse};

/// The tree, then one line for each problem.
fn read(source: &str) -> String {
    let options = ParseOptions {
        defines: vec![("BPFTRACE_HAVE_BTF".to_owned(), 1)],
        ..ParseOptions::default()
    };
    let parsed = parse(source, &options);
    let index = LineIndex::new(source);
    let mut out = dump_ast(&parsed.script, Spans::Hide);
    for problem in &parsed.diagnostics {
        let place = index.position(source, problem.span.start);
        let text = problem.span.text(source).escape_debug();
        let kind = if problem.is_error() {
            "error"
        } else {
            "warning"
        };
        out.push_str(&format!(
            "{place} {kind}[{}] {} `{text}`\n",
            problem.code, problem.message
        ));
    }
    out
}

/// One expression, as the value of `$x`: its tree alone, then the problems.
fn read_expr(source: &str) -> String {
    let all = read(&format!("begin {{ $x = {source}; }}"));
    let Some((_, rest)) = all.split_once("(var x)") else {
        return all;
    };
    let rest = rest.trim_start();
    let (tree, problems) = rest.split_at(end_of_tree(rest));
    let problems = problems.find('\n').map_or("", |at| &problems[at + 1..]);
    format!("{tree}\n{problems}")
}

/// Where the brackets of the tree at the start of `text` are closed; brackets in strings do not count.
fn end_of_tree(text: &str) -> usize {
    let (mut depth, mut in_string, mut is_escaped) = (0, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => in_string = !in_string,
            '(' if !in_string => depth += 1,
            ')' if !in_string => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + c.len_utf8();
        }
    }
    text.len()
}

/// Each input with what `read` makes of it.
fn all(sources: &[&str], read: impl Fn(&str) -> String) -> String {
    sources
        .iter()
        .map(|source| format!(">>> {}\n{}\n", source.replace('\n', "\n    "), read(source)))
        .collect()
}

#[test]
fn tokens_depend_on_where_they_stand() {
    let source = "#!/x\n#define A 1 // one\nu:/lib/*:\"a:b\"+1 / 1ms /* c */ / { $x->y++; @a = 0x1F..$#; @ = $1 <<= \"s\" }";
    expect_file!["expected/tokens.txt"].assert_eq(&dump_tokens(source));
}

#[test]
fn expression_precedence() {
    let sources = [
        r"1 + 2 * 3 - 4",
        r"a | b ^ c & d == e",
        r"a & 1 == 0",
        r"a || b && c",
        r"1 << 2 + 3",
        r"a < b == c > d",
        r"-x + !y",
        r"~a & *p",
        r"a ? b : c ? d : e",
        r"a ?: b",
        r"a - b - c",
        r"(a + b) * c",
    ];
    expect_file!["expected/expression_precedence.txt"].assert_eq(&all(&sources, read_expr));
}

#[test]
fn expression_postfix() {
    let sources = [
        r"$kv.0.1",
        r"args.a->b.c[3]",
        r"@x[1, 2]",
        r"@x[(1, 2)]",
        r"@x[pid][0]",
        r"$p->0",
        r"@++",
        r"&@m",
        r"ctx->struct.union",
        r"pkt.len",
        r"@a[1].x",
    ];
    expect_file!["expected/expression_postfix.txt"].assert_eq(&all(&sources, read_expr));
}

#[test]
fn expression_casts() {
    let sources = [
        r"(uint8)$x",
        r"(struct sock *)arg0",
        r"(x) * y",
        r"(x) y",
        r"(int32)-1",
        r"(uint8[])x",
        r"(int8[4])$a",
        r"(typeof($y))1",
        r"(uint32*[4]*)p",
        r"(pid_t)-1",
        r"(pid) - 1",
        r"(unsigned long)x",
        r"(int8*)p[1]",
        r"(string)x",
    ];
    expect_file!["expected/expression_casts.txt"].assert_eq(&all(&sources, read_expr));
}

#[test]
fn expression_types() {
    let sources = [
        r"sizeof(struct a)",
        r"sizeof(x)",
        r"sizeof(uint64)",
        r"offsetof(struct a, b.c)",
        r"sizeof(a*)",
        r"f(struct a *, typeof(x), y, z*)",
        r"typeinfo(x)",
    ];
    expect_file!["expected/expression_types.txt"].assert_eq(&all(&sources, read_expr));
}

#[test]
fn expression_values() {
    let sources = [
        r"()",
        r"(1,)",
        r"(1, 2)",
        r"(a=1, b=(2, 3))",
        r"if c { 1 } else { 2 }",
        r"{ let $a = 1; $a }",
        r"comptime f(1)",
        r"true",
        r"$#",
        r"$12",
        r"f()",
        r"f(1,)",
    ];
    expect_file!["expected/expression_values.txt"].assert_eq(&all(&sources, read_expr));
}

#[test]
fn expression_literals() {
    let sources = [
        r"0",
        r"017",
        r"0x1F",
        r"0xfful",
        r"1e6",
        r"1_000",
        r"5ms",
        r"1m",
        r"18446744073709551615",
        r"18446744073709551616",
        r"08",
        r"1x",
        r"1.5",
        r"0x",
        r"2e30",
        r#""a\n\x41\101\\""#,
        r#""\q""#,
        r"'a'",
    ];
    expect_file!["expected/expression_literals.txt"].assert_eq(&all(&sources, read_expr));
}

#[test]
fn script_statements() {
    let sources = [
        "begin { let $x; let $y = 1; let $z : int64*; let $w : string[4] = \"a\"; _ = f(); }",
        "begin { @ += 1; @a[1] <<= 2; $x--; ++@b; delete(@x[1]) }",
        "begin { if $x == 1 { a() } else if (b) { c() } else { d() } while (1) { break; continue } return 5; return }",
        "begin { for ($kv : @m) { f($kv) } for $i : 0..10 { } for ($i : a..b + 1) {} unroll(3) { @++ } }",
        "begin { if comptime (x) { 1 } if (a) { } $x = 1; { @y = 2 } import \"x\"; }",
        "begin { (x).y; @x++\n; ++@y }",
    ];
    expect_file!["expected/script_statements.txt"].assert_eq(&all(&sources, read));
}

#[test]
fn script_patterns() {
    let sources = [
        "kprobe:do_*,kretprobe:vfs_read /pid == $1/ { }",
        "uprobe:/usr/lib/*.so:\"main.(*T).Get:x\" {}",
        "uprobe:/a/b@c.c:12, usdt::name, u:x:f+0x10 {}",
        "interval:s:$1 {} i:$#ms {} tracepoint:syscalls:sys_enter_$2 {}",
        "watchpoint:0x1000:8:rw {} watchpoint::$1:8:w{}",
        "me = begin, end, { }",
        "BEGIN/1/{ }",
        "xdp:eth0 { @[ip.src] = sum(pkt.len) } tc:lo:egress {}",
        "*:vfs_* {}",
        "begin / a / b > 1 / { }",
        "uprobe:/bin/a:cpp:\"f(int, char)\" // why\n{ }",
    ];
    expect_file!["expected/script_patterns.txt"].assert_eq(&all(&sources, read));
}

#[test]
fn script_order() {
    let sources = [
        "begin {} #define X 1\nbegin {}",
        "begin {}\n#define X 1\nimport \"a\";\nconfig = { a = 1 }",
        "config = { stack_mode = perf; A=\"x\"; b=true; c = 5 } import \"a.bt\";\nlet @m = hash(10);\nmacro f($a, @b, c) { $a + c }\nfn g($a : int32, $b : struct x *) : int64 { return 1; }",
        "config = {} config = {}",
    ];
    expect_file!["expected/script_order.txt"].assert_eq(&all(&sources, read));
}

#[test]
fn script_c() {
    let sources = [
        "#!/usr/bin/env fathom\n#include <linux/sched.h>\n#include \"a.h\"\n#define N 4 // four\n#define F(a, b) a + b\n#define S \"x\"\n#define E\nstruct a { int x; unsigned long long y : 3; char name[N + 1]; struct b *p; void (*f)(int, char *); };",
        "struct a { struct { int x; }; union { int y; char z; } u, v; enum e { A, B = 5, C } k; int *a, b[2][3]; struct c { int q; } d; } __attribute__((packed, aligned(8)));\ntypedef struct { int x; } t;\ntypedef unsigned int u32, *up;\nenum { X = 1 << 3, Y };\nstruct fwd;",
        "#ifdef BPFTRACE_HAVE_BTF\n#define A 1\n#if A > 1\n#define B 1\n#elif defined(A) && !defined B\n#define B 2\n#else\n#define B 3\n#endif\n#else\n#include <no.h>\nstruct ! {\n#endif\nbegin { }",
        "struct a {\n#ifdef NO\nint x;\n#else\nint y __attribute__((aligned(4)));\n#endif\n};",
        "#if X(1)\n#endif\n#ifdef A\n",
        "int x; struct a { int y }\nbegin { }",
    ];
    expect_file!["expected/script_c.txt"].assert_eq(&all(&sources, read));
}

#[test]
fn script_mistakes() {
    let sources = [
        "begin { $x = ; $y = 1; f(; @z = 2; }",
        "begin { f(1 $x = 2\n @y = 3\n }\nend { }",
        "begin { if (x) f(); while (1) $x++; }",
        "begin { if ($x = 1) { } }",
        "begin { $a.b = 1; 5++; f() = 2; }",
        "begin { a(1); \nkprobe:f { b() }",
        "begin { \n@x = 1\nend { }",
        "{ }\n} begin { }",
        "kprobe:f / x { }",
        "begin f() { }\nend { 1 }",
        "begin\nend { }",
        "uprobe:/bin/a:f/pid == 1/ { }",
        "begin { \"abc }\nend { }",
        "begin { /* never",
        "begin { $ $0 @x é $y = 1; }",
        "let $x = 1;\nlet @y = 5;\nbegin {}",
        "begin { let @x = hash(1); let y = 1; +1 }",
        "macro { }\nfn f(a) {}",
        "begin { a.; b[; } end {}",
        "config = { x; y = ; }",
        "import x;\nbegin {}",
        "struct x {\nbegin { }",
    ];
    expect_file!["expected/script_mistakes.txt"].assert_eq(&all(&sources, read));
}
