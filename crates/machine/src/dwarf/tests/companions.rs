//! Debug information that lies in several files.

use super::*;
use crate::pattern::Pattern;

/// Runs a tool in a folder; whether it is there and succeeds.
fn run(folder: &Path, tool: &str, arguments: &[&str]) -> bool {
    let done = Command::new(compiler_name(tool))
        .current_dir(folder)
        .args(arguments)
        .stderr(std::process::Stdio::null())
        .status();
    let is_done = done.is_ok_and(|status| status.success());
    if !is_done {
        println!("skipped: {tool} {arguments:?} is not possible here");
    }
    is_done
}

fn written(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn open(folder: &Path, name: &str) -> (Arc<Elf>, DebugInfo) {
    let elf = Arc::new(Elf::open(&folder.join(name)).unwrap());
    let debug = DebugInfo::find(&elf, Path::new("/"), &[]).unwrap();
    (elf, debug)
}

const SOURCE: &str = "\
struct pair { int x, y; };
static inline __attribute__((always_inline)) int sum(struct pair *pair) { return pair->x + pair->y; }
__attribute__((noinline)) int count(struct pair *who, long n) { int all = sum(who); return all * n; }
int main(int argc, char **argv) { struct pair p = { argc, 2 }; return count(&p, argc); }
";

/// What a question about `count` is answered.
fn check(elf: &Elf, debug: &DebugInfo) {
    let symbol = elf.require_function("count").unwrap();
    let count = debug.function_at(symbol.address).unwrap().unwrap();
    assert_eq!(
        (count.name.as_str(), count.language),
        ("count", Language::C)
    );
    let names: Vec<String> = count
        .parameters
        .iter()
        .map(|p| count.types.name(p.type_index))
        .collect();
    assert!(
        names[0] == "struct pair *" && names[1].starts_with("long"),
        "{names:?}"
    );
    let DebugType::Pointer { target, .. } = count.types.get(count.parameters[0].type_index) else {
        panic!("pointer")
    };
    assert_eq!(count.types.size_of(*target), Some(8));
    assert_eq!(count.parameters[0].location, Location::Register(5));
    assert_eq!(count.parameters[1].location, Location::Register(4));
    let copies = debug.inlined_copies(&Pattern::new("sum")).unwrap().copies;
    let into: Vec<&str> = copies.iter().map(|copy| copy.into.as_str()).collect();
    assert!(into.contains(&"count"), "{into:?}");
    assert!(copies[0].call_file.as_ref().unwrap().ends_with("sample.c"));
    let functions = debug.functions_named(&Pattern::new("count")).unwrap();
    assert_eq!(functions[0].address, symbol.address);
    assert!(!debug.find_line("sample.c", 3, None).unwrap().is_empty());
}

#[test]
fn reads_split_debug_information() {
    for (compiler, version) in [
        ("gcc", "-gdwarf-4"),
        ("gcc", "-gdwarf-5"),
        ("clang", "-gdwarf-4"),
        ("clang", "-gdwarf-5"),
    ] {
        let folder = written(&[("sample.c", SOURCE)]);
        let flags = [
            "-g",
            version,
            "-gsplit-dwarf",
            "-O2",
            "sample.c",
            "-o",
            "sample",
        ];
        if !run(folder.path(), compiler, &flags) {
            continue;
        }
        let (elf, debug) = open(folder.path(), "sample");
        check(&elf, &debug);
        // Without its file.
        let is_dwo = |path: &PathBuf| path.extension().is_some_and(|end| end == "dwo");
        let dwo = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .find(is_dwo)
            .unwrap();
        let packed = run(
            folder.path(),
            "llvm-dwp",
            &["-e", "sample", "-o", "sample.dwp"],
        );
        std::fs::remove_file(&dwo).unwrap();
        if packed {
            let (elf, debug) = open(folder.path(), "sample");
            check(&elf, &debug);
            std::fs::remove_file(folder.path().join("sample.dwp")).unwrap();
        }
        let (elf, debug) = open(folder.path(), "sample");
        let address = elf.require_function("count").unwrap().address;
        let error = debug.function_at(address).unwrap_err().to_string();
        assert!(error.contains(".dwo"), "{error}");
    }
}

/// A `.dwo` file of another build is refused.
#[test]
fn refuses_split_files_of_another_build() {
    let folder = written(&[("sample.c", SOURCE)]);
    let flags = [
        "-gdwarf-5",
        "-gsplit-dwarf",
        "-O2",
        "-c",
        "sample.c",
        "-o",
        "sample.o",
    ];
    if !run(folder.path(), "gcc", &flags)
        || !run(folder.path(), "gcc", &["sample.o", "-o", "sample"])
    {
        return;
    }
    std::fs::write(
        folder.path().join("sample.c"),
        SOURCE.replace("int x, y", "int x, y, z"),
    )
    .unwrap();
    assert!(run(folder.path(), "gcc", &flags));
    let (elf, debug) = open(folder.path(), "sample");
    let address = elf.require_function("count").unwrap().address;
    let error = debug.function_at(address).unwrap_err().to_string();
    assert!(error.contains("ids differ"), "{error}");
}

#[test]
fn reads_type_units() {
    for flags in [
        &["-gdwarf-4", "-fdebug-types-section"][..],
        &["-gdwarf-5", "-fdebug-types-section"],
        &["-gdwarf-4", "-fdebug-types-section", "-gsplit-dwarf"],
        &["-gdwarf-5", "-fdebug-types-section", "-gsplit-dwarf"],
    ] {
        let folder = written(&[("sample.c", SOURCE)]);
        let all = [flags, &["-O2", "sample.c", "-o", "sample"]].concat();
        if run(folder.path(), "gcc", &all) {
            let (elf, debug) = open(folder.path(), "sample");
            check(&elf, &debug);
        }
    }
}

/// `dwz` takes what two programs share into a third file.
#[test]
fn reads_what_dwz_shares() {
    let folder = written(&[("sample.c", SOURCE)]);
    for output in ["one", "two"] {
        if !run(
            folder.path(),
            "gcc",
            &["-g", "-O2", "sample.c", "-o", output],
        ) {
            return;
        }
    }
    if !run(folder.path(), "dwz", &["-m", "shared", "one", "two"]) {
        return;
    }
    let (elf, debug) = open(folder.path(), "one");
    assert_eq!(elf.supplement_link().unwrap().0, Path::new("shared"));
    check(&elf, &debug);
    // A file of that name with another id is not taken.
    std::fs::copy(folder.path().join("two"), folder.path().join("shared")).unwrap();
    let extra = tempfile::tempdir().unwrap();
    assert_eq!(
        elf.find_supplement(Path::new("/"), &[extra.path().to_path_buf()]),
        None
    );
}

#[test]
fn refuses_debug_files_of_other_binaries() {
    let folder = written(&[("sample.c", SOURCE)]);
    let other = SOURCE.replace("* n", "- n");
    std::fs::write(folder.path().join("other.c"), other).unwrap();
    for name in ["sample", "other"] {
        let source = format!("{name}.c");
        if !run(
            folder.path(),
            "gcc",
            &["-g", "-O1", "-Wl,--build-id", &source, "-o", name],
        ) {
            return;
        }
    }
    let strip = ["--only-keep-debug", "other", "sample.debug"];
    if !run(folder.path(), "objcopy", &strip) {
        return;
    }
    let link = [
        "--strip-debug",
        "--add-gnu-debuglink=sample.debug",
        "sample",
        "bare",
    ];
    assert!(run(folder.path(), "objcopy", &link));
    let bare = Arc::new(Elf::open(&folder.path().join("bare")).unwrap());
    let error = DebugInfo::find(&bare, Path::new("/"), &[])
        .unwrap_err()
        .to_string();
    assert!(error.contains("its build id is"), "{error}");
}

/// A server of debug files in a thread: it answers `requests` requests, and ends.
fn serve(
    answers: Vec<(String, Vec<u8>)>,
    requests: usize,
) -> (String, std::thread::JoinHandle<Vec<String>>) {
    use std::io::{BufRead, BufReader, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        let mut asked = Vec::new();
        for stream in listener.incoming().take(requests) {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let first = lines.next().unwrap().unwrap();
            while lines.next().unwrap().unwrap() != "" {}
            let path = first.split(' ').nth(1).unwrap().to_string();
            let found = answers.iter().find(|(known, _)| *known == path);
            let (status, body) = match found {
                Some((_, body)) => ("200 OK", body.as_slice()),
                None => ("404 Not Found", &b"no"[..]),
            };
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(body).unwrap();
            asked.push(path);
        }
        asked
    });
    (url, thread)
}

#[test]
fn asks_servers() {
    let folder = written(&[("sample.c", SOURCE)]);
    let steps: [(&str, &[&str]); 3] = [
        (
            "gcc",
            &["-g", "-O2", "-Wl,--build-id", "sample.c", "-o", "sample"],
        ),
        ("objcopy", &["--only-keep-debug", "sample", "kept"]),
        ("objcopy", &["--strip-debug", "sample", "bare"]),
    ];
    if !steps
        .iter()
        .all(|(tool, arguments)| run(folder.path(), tool, arguments))
    {
        return;
    }
    let bare = Arc::new(Elf::open(&folder.path().join("bare")).unwrap());
    let id: String = bare
        .build_id()
        .unwrap()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let path = format!("/buildid/{id}/debuginfo");
    let kept = std::fs::read(folder.path().join("kept")).unwrap();
    let cache = folder.path().join("cache");
    let find = |url: &str| {
        let variables = |name: &str| match name {
            "DEBUGINFOD_URLS" => Some(format!("ftp://not.this/ {url}/")),
            "DEBUGINFOD_CACHE_PATH" => Some(cache.display().to_string()),
            "DEBUGINFOD_TIMEOUT" => Some("20".to_string()),
            _ => None,
        };
        let servers = crate::elf::Debuginfod::from_variables(variables).unwrap();
        DebugInfo::find_or_fetch(&bare, Path::new("/"), &[], &servers)
    };
    // It has no such file; it has another one; it has it.
    let (url, thread) = serve(Vec::new(), 1);
    let error = find(&url).unwrap_err().to_string();
    assert!(error.contains("no debug information"), "{error}");
    assert_eq!(thread.join().unwrap(), std::slice::from_ref(&path));

    let other = std::fs::read("/proc/self/exe").unwrap();
    let (url, thread) = serve(vec![(path.clone(), other)], 1);
    let error = find(&url).unwrap_err().to_string();
    assert!(error.contains("its build id is not"), "{error}");
    thread.join().unwrap();

    let (url, thread) = serve(vec![(path.clone(), kept)], 1);
    check(&bare, &find(&url).unwrap());
    thread.join().unwrap();
    // From now on it is in the cache, and nobody is asked.
    check(&bare, &find("http://127.0.0.1:1").unwrap());
    let names: Vec<String> = std::fs::read_dir(cache.join(&id))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names, ["debuginfo"]);
}

/// Without a server, or without a place for files, nothing is asked.
#[test]
fn asks_no_server_unless_told() {
    let none = |_: &str| None;
    assert!(crate::elf::Debuginfod::from_variables(none).is_none());
    let no_place = |name: &str| (name == "DEBUGINFOD_URLS").then(|| "http://x".to_string());
    assert!(crate::elf::Debuginfod::from_variables(no_place).is_none());
}
