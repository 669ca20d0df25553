//! The formatter: what it writes, that it is stable, and that it changes no meaning.

use expect_test::expect_file;
use fathom_syntax::{ParseOptions, Spans, dump_ast, format, parse};

fn corpus() -> Vec<(String, String)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus");
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the corpus is there") {
        let path = entry.expect("an entry").path();
        let name = path
            .file_stem()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        all.push((name, std::fs::read_to_string(&path).expect("a script")));
    }
    all.sort();
    assert!(all.len() > 4, "the corpus has scripts");
    all
}

#[test]
fn corpus_is_formatted_as_expected() {
    for (name, source) in corpus() {
        let once = format(&source).unwrap_or_else(|problems| panic!("{name}: {problems:#?}"));
        let path = format!(
            "{}/tests/expected/format_{name}.bt",
            env!("CARGO_MANIFEST_DIR")
        );
        expect_file![path].assert_eq(&once);
        assert_eq!(
            format(&once).as_ref(),
            Ok(&once),
            "{name}: formatting twice gives another text"
        );
        let tree =
            |text: &str| dump_ast(&parse(text, &ParseOptions::default()).script, Spans::Hide);
        assert_eq!(tree(&once), tree(&source), "{name}: another meaning");
    }
}

#[test]
fn broken_scripts_are_not_formatted() {
    let problems = format("begin { $x = ; }").expect_err("a broken script");
    assert_eq!(problems[0].code, "unexpected-token");
}

#[test]
fn an_empty_script_stays_empty() {
    assert_eq!(format(" \n\n"), Ok(String::new()));
}
