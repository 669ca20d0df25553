use std::os::unix::fs::PermissionsExt;

use super::*;

/// Files in a folder of their own; the first is the script.
struct Files(tempfile::TempDir);

impl Files {
    fn new(files: &[(&str, &str)]) -> Files {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Files(folder)
    }

    fn load(&self, script: &str) -> Loaded {
        let path = self.0.path().join(script);
        let source = Source {
            name: script.to_owned(),
            text: fs::read_to_string(&path).unwrap(),
            path: Some(path),
        };
        load(source, &ParseOptions::default())
    }
}

fn names(loaded: &Loaded) -> Vec<&str> {
    let sources = loaded.sources.iter();
    sources.map(|source| source.name.as_str()).collect()
}

/// Code and file of each problem.
fn problems(loaded: &Loaded) -> Vec<(&str, &str)> {
    let names = names(loaded);
    let problems = loaded.diagnostics.iter();
    problems
        .map(|problem| (problem.code, names[usize::from(problem.span.source.0)]))
        .collect()
}

/// Each file once, what is imported before what imports it, paths from the importing file's folder.
#[test]
fn files_are_taken_once_and_in_order() {
    let files = Files::new(&[
        (
            "main.bt",
            "import \"lib\"; import \"lib/b.bt\"; begin { a() }",
        ),
        (
            "lib/a.bt",
            "import \"b.bt\"; import \"../main.bt\"; macro a() { 1 }",
        ),
        ("lib/b.bt", "import \"../c.h\"; end { 2 }"),
        ("lib/deeper/d.bt", "end { 3 }"),
        ("lib/notes.txt", "text"),
        ("c.h", "#define C 3\nstruct c { int x; };"),
    ]);
    let loaded = files.load("main.bt");
    assert_eq!(loaded.diagnostics, []);
    assert_eq!(
        names(&loaded),
        ["main.bt", "lib/a.bt", "lib/b.bt", "lib/../c.h"]
    );
    let order: Vec<u16> = loaded
        .script
        .items
        .iter()
        .map(|item| item.span().source.0)
        .collect();
    assert_eq!(order, [2, 1, 0]);
    assert_eq!(
        loaded.script.c.defines.len() + loaded.script.c.records.len(),
        2
    );
}

/// Numbers of expressions do not repeat.
#[test]
fn expressions_have_numbers_of_their_own() {
    let files = Files::new(&[
        ("main.bt", "import \"a.bt\"; begin { 1 + 2 }"),
        ("a.bt", "end { 3 + 4 }"),
    ]);
    assert_eq!(files.load("main.bt").script.expr_count, 6);
}

/// Problems are told in the file that has them; what cannot be imported, where it is asked for.
#[test]
fn problems_name_their_file() {
    let cases = [
        (
            "a.bt",
            "config = { max_strlen = 9 } begin {}",
            ("import-config", "a.bt"),
        ),
        ("a.bt", "begin { $x = ; }", ("unexpected-token", "a.bt")),
        (
            "a.h",
            "struct s { int x; };\nint f(void);\n",
            ("import-header", "a.h"),
        ),
        ("a.bpf.c", "", ("import-c", "main.bt")),
        ("a.txt", "", ("import", "main.bt")),
    ];
    for (name, text, wanted) in cases {
        let main = format!("import \"{name}\"; begin {{}}");
        let files = Files::new(&[("main.bt", &main), (name, text)]);
        assert_eq!(problems(&files.load("main.bt")), [wanted], "{name}: {text}");
    }
    let files = Files::new(&[("main.bt", "import \"none.bt\"; begin {}")]);
    assert_eq!(problems(&files.load("main.bt")), [("import", "main.bt")]);
}

/// Who may write to the folder could put anything in the file's place.
#[test]
fn folders_of_everybody_are_refused() {
    let files = Files::new(&[
        ("main.bt", "import \"open/a.bt\"; begin {}"),
        ("open/a.bt", "end {}"),
    ]);
    let open = files.0.path().join("open");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    let loaded = files.load("main.bt");
    assert_eq!(problems(&loaded), [("import-unsafe", "main.bt")]);
    assert_eq!(names(&loaded), ["main.bt"]);
}

/// The standard library is built in: naming it changes nothing.
#[test]
fn the_standard_library_is_there() {
    let files = Files::new(&[(
        "main.bt",
        "import \"stdlib\"; import \"stdlib/base.bt\"; begin {}",
    )]);
    assert_eq!(files.load("main.bt").diagnostics, []);
}
