//! Following `import "path";`: the files that a script names, read once each, put together with it.
//!
//! What is imported comes before what imports it. A path counts from the folder of the file that names it.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use fathom_syntax::ast::{CDefs, Import, Item, Script};
use fathom_syntax::{Diagnostic, ParseOptions, Parsed, SourceId, parse};

use crate::Source;

/// How many files a script may import, whatever imports them.
const FILES_MAX: usize = 256;
/// Names of the standard library, which is built in.
const BUILT_IN: &str = "stdlib";
/// Permission of everybody to write.
const WORLD_WRITABLE: u32 = 0o002;

/// A script with all that it imports, read and parsed.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// Spans point into these by their index: the script, then what it imports.
    pub sources: Vec<Source>,
    /// All of them as one script.
    pub script: Script,
    /// What is wrong with them.
    pub diagnostics: Vec<Diagnostic>,
}

impl Loaded {
    /// Whether it cannot be compiled.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }
}

/// Parses a script, and reads and parses what it imports.
pub fn load(source: Source, options: &ParseOptions) -> Loaded {
    let mut loader = Loader {
        options: options.clone(),
        loaded: Loaded::default(),
        taken: source
            .path
            .iter()
            .filter_map(|path| fs::canonicalize(path).ok())
            .collect(),
    };
    loader.add(source);
    loader.loaded
}

struct Loader {
    /// Of the next file.
    options: ParseOptions,
    loaded: Loaded,
    /// Files that were read, by their one true path.
    taken: HashSet<PathBuf>,
}

/// What a file is by its name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Script,
    Header,
    C,
}

impl Kind {
    fn of(path: &Path) -> Option<Kind> {
        let name = path.file_name()?.to_str()?;
        [
            (".bt", Kind::Script),
            (".h", Kind::Header),
            (".bpf.c", Kind::C),
        ]
        .into_iter()
        .find(|(ending, _)| name.ends_with(ending))
        .map(|(_, kind)| kind)
    }
}

impl Loader {
    /// Parses a file, follows its imports, then appends what it has itself.
    fn add(&mut self, source: Source) {
        let number = self.loaded.sources.len();
        self.options.source = SourceId(number as u16);
        let mut parsed = parse(&source.text, &self.options);
        self.options.first_expr_id = parsed.script.expr_count;
        if number > 0 {
            match source.path.as_deref().and_then(Kind::of) {
                Some(Kind::Header) => keep_definitions(&mut parsed),
                _ => refuse_config(&mut parsed),
            }
        }
        self.loaded.diagnostics.append(&mut parsed.diagnostics);
        self.loaded.sources.push(source);
        for item in &parsed.script.items {
            if let Item::Import(import) = item {
                self.follow(import, number);
            }
        }
        self.append(parsed.script, number);
    }

    fn append(&mut self, script: Script, number: usize) {
        let whole = &mut self.loaded.script;
        if number == 0 {
            whole.shebang = script.shebang;
            whole.c.span = script.c.span;
        }
        whole.expr_count = whole.expr_count.max(script.expr_count);
        append_c(&mut whole.c, script.c);
        let own = script.items.into_iter();
        whole
            .items
            .extend(own.filter(|item| !matches!(item, Item::Import(_))));
    }

    fn follow(&mut self, import: &Import, importer: usize) {
        let Some(written) = import.path.as_str() else {
            return self.refuse(import, "this path is not UTF-8 text");
        };
        if written.is_empty() {
            // An error of the parser's, which was told.
            return;
        }
        let from = &self.loaded.sources[importer];
        let (path, name) = (from.folder().join(written), beside(&from.name, written));
        if !path.exists() && Path::new(written).starts_with(BUILT_IN) {
            return;
        }
        match fs::canonicalize(&path) {
            Ok(_) if path.is_dir() => self.folder(import, &path, &name),
            Ok(_) => self.file(import, &path, name),
            Err(error) => {
                let shown = path.display();
                self.refuse(import, &format!("cannot read {shown}: {}", reason(&error)));
            }
        }
    }

    /// The files of a folder that can be imported, in the order of their names.
    fn folder(&mut self, import: &Import, folder: &Path, name: &str) {
        let entries = fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let mut paths: Vec<PathBuf> = match entries {
            Ok(entries) => entries.iter().map(fs::DirEntry::path).collect(),
            Err(error) => {
                let shown = folder.display();
                return self.refuse(import, &format!("cannot read {shown}: {}", reason(&error)));
            }
        };
        paths.retain(|path| Kind::of(path).is_some() && path.is_file());
        paths.sort();
        for path in paths {
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            let name = format!("{}/{file}", name.trim_end_matches('/'));
            self.file(import, &path, name);
        }
    }

    fn file(&mut self, import: &Import, path: &Path, name: String) {
        let Some(kind) = Kind::of(path) else {
            return self.refuse(
                import,
                "only `.bt` and `.h` files and folders of them are imported",
            );
        };
        if kind == Kind::C {
            return self.loaded.diagnostics.push(c_file(import, &name));
        }
        let Ok(path) = fs::canonicalize(path) else {
            return self.refuse(import, &format!("{name} is gone"));
        };
        if !path.is_file() {
            return self.refuse(import, &format!("{name} is no file"));
        }
        if let Some(culprit) = writable_by_all(&path) {
            let shown = culprit.display();
            let problem = Diagnostic::error(
                "import-unsafe",
                import.path_span,
                format!("{shown} can be written by everybody"),
            );
            let problem = problem
                .label("not imported")
                .help(format!("chmod o-w {shown}"));
            return self.loaded.diagnostics.push(problem);
        }
        if !self.taken.insert(path.clone()) {
            return;
        }
        if self.loaded.sources.len() > FILES_MAX {
            return self.refuse(import, &format!("more than {FILES_MAX} files"));
        }
        match fs::read_to_string(&path) {
            Ok(text) => self.add(Source {
                name,
                text,
                path: Some(path),
            }),
            Err(error) => self.refuse(import, &format!("cannot read {name}: {}", reason(&error))),
        }
    }

    fn refuse(&mut self, import: &Import, why: &str) {
        let problem = Diagnostic::error("import", import.path_span, why).label("not imported");
        self.loaded.diagnostics.push(problem);
    }
}

/// Settings belong to the script that is run.
fn refuse_config(parsed: &mut Parsed) {
    if let Some(config) = parsed.script.config() {
        parsed.diagnostics.push(
            Diagnostic::error(
                "import-config",
                config.span,
                "an imported script has no config block",
            )
            .help("put the settings into the script that is run"),
        );
    }
    let items = &mut parsed.script.items;
    items.retain(|item| !matches!(item, Item::Config(_)));
}

/// A header gives its definitions; the first thing that is none, such as a function, is told instead of how a script reads it.
fn keep_definitions(parsed: &mut Parsed) {
    let Some(first) = parsed.script.items.first().map(Item::span) else {
        return;
    };
    parsed.script.items.clear();
    let is_before = |problem: &Diagnostic| problem.span.start < first.start;
    parsed.diagnostics.retain(is_before);
    parsed.diagnostics.push(
        Diagnostic::error(
            "import-header",
            first,
            "of headers `struct`, `union`, `enum`, `typedef` and `#define` are read only",
        )
        .label("something else")
        .help("put the definitions into a header of their own; probes and macros stand in `.bt` files"),
    );
}

fn append_c(whole: &mut CDefs, mut more: CDefs) {
    whole.includes.append(&mut more.includes);
    whole.defines.append(&mut more.defines);
    whole.records.append(&mut more.records);
    whole.enums.append(&mut more.enums);
    whole.typedefs.append(&mut more.typedefs);
}

/// How messages call a file that `importer` names: relative to where the script's own name counts from.
fn beside(importer: &str, written: &str) -> String {
    match importer.rsplit_once('/') {
        Some((folder, _)) if !written.starts_with('/') => format!("{folder}/{written}"),
        _ => written.to_owned(),
    }
}

/// The file, or the folder in which it could be replaced.
fn writable_by_all(path: &Path) -> Option<&Path> {
    let is_writable = |path: &&Path| {
        fs::metadata(path).is_ok_and(|metadata| metadata.mode() & WORLD_WRITABLE != 0)
    };
    [Some(path), path.parent()]
        .into_iter()
        .flatten()
        .find(is_writable)
}

fn c_file(import: &Import, name: &str) -> Diagnostic {
    let message = format!("{name} is C, and there is no C compiler in here");
    Diagnostic::error("import-c", import.path_span, message)
        .label("not imported")
        .help("write its functions as macros in a `.bt` file: `macro twice(x) { x * 2 }`")
        .note("what `clang -target bpf` makes of it cannot be linked to a script; bpftrace itself can run scripts with C files")
}

/// What the system says, without its number.
fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error")
        .next()
        .unwrap_or_default()
        .to_lowercase()
}

#[cfg(test)]
mod tests;
