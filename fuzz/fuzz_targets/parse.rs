//! Any text is lexed, parsed, printed and formatted without a panic, and the formatter keeps its promises.
#![no_main]

use fathom_syntax::{ParseOptions, Spans, dump_ast, dump_tokens, format, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let source = String::from_utf8_lossy(data);
    let parsed = parse(&source, &ParseOptions::default());
    dump_ast(&parsed.script, Spans::Show);
    dump_tokens(&source);
    match format(&source) {
        Ok(once) => assert_eq!(
            format(&once).as_ref(),
            Ok(&once),
            "formatting twice gives another text"
        ),
        Err(problems) => {
            let ours = problems.iter().any(|problem| {
                problem.code == "format-unsafe" && problem.message.contains("change")
            });
            assert!(!ours, "the formatter would change the script");
        }
    }
});
