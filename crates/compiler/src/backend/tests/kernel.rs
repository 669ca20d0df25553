//! Programs that the kernel of this machine must accept, as ELF files loaded by bpftool.

use std::path::{Path, PathBuf};
use std::process::Command;

use fathom_bpf::map::{Map, MapKind, MapRole};
use fathom_bpf::object::Source;
use fathom_bpf::{Object, Program, ProgramKind, elf};

use crate::backend::{Options, compile};
use crate::ir::parse::parse;

/// A bpf file system of our own; gone with everything pinned there when dropped.
struct Pins(PathBuf);

impl Pins {
    fn new(name: &str) -> Result<Pins, String> {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        if !status.lines().any(|line| line.starts_with("Uid:\t0\t")) {
            return Err("needs root".to_owned());
        }
        if Command::new("bpftool").arg("version").output().is_err() {
            return Err("needs bpftool".to_owned());
        }
        let directory =
            std::env::temp_dir().join(format!("fathom-backend-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&directory).map_err(|error| error.to_string())?;
        run(Command::new("mount")
            .args(["-t", "bpf", "bpf"])
            .arg(&directory))?;
        Ok(Pins(directory))
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        run(Command::new("umount").arg(&self.0)).ok();
        std::fs::remove_dir(&self.0).ok();
    }
}

fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// An array of one value of 72 bytes, and a hash of numbers by numbers.
fn maps() -> Vec<Map> {
    let map = |name: &str, kind, value_size, max_entries| Map {
        name: name.to_owned(),
        kind,
        key_size: 4,
        value_size,
        max_entries,
        flags: 0,
        role: MapRole::Scratch,
    };
    vec![
        map("values", MapKind::Array, 72, 1),
        map("counts", MapKind::Hash, 8, 64),
    ]
}

fn object(text: &str, options: &Options) -> Object {
    let compiled = compile(&parse(text), options).unwrap_or_else(|error| panic!("{error}\n{text}"));
    Object {
        license: "GPL".to_owned(),
        maps: maps(),
        programs: vec![Program {
            name: "test".to_owned(),
            kind: ProgramKind::RawTracepoint,
            sleepable: false,
            insns: compiled.insns,
            functions: compiled.functions,
            relocations: compiled.relocations,
            lines: compiled.lines,
        }],
        sources: vec![Source {
            name: "test".to_owned(),
            text: text.to_owned(),
        }],
        ..Object::default()
    }
}

fn check(name: &str, text: &str) {
    let pins = match Pins::new(name) {
        Ok(pins) => pins,
        Err(reason) => return println!("skipped: {reason}"),
    };
    for optimize in [false, true] {
        let object = object(
            text,
            &Options {
                optimize,
                ..Options::default()
            },
        );
        let file =
            std::env::temp_dir().join(format!("fathom-backend-{}-{name}.o", std::process::id()));
        std::fs::write(&file, elf::write(&object).expect("an ELF file")).expect("a temporary file");
        let loaded = load(&file, &pins.0.join(format!("optimized_{optimize}")));
        std::fs::remove_file(&file).ok();
        if let Err(error) = loaded {
            panic!(
                "{name}, optimize {optimize}: {error}\n{text}\n{}",
                fathom_bpf::text::object(&object)
            );
        }
    }
}

fn load(file: &Path, pin: &Path) -> Result<String, String> {
    run(Command::new("bpftool")
        .arg("prog")
        .arg("load")
        .arg(file)
        .arg(pin))
}

/// More values than registers live over a call: a map value pointer and a bounded number survive in spill slots.
#[test]
fn spills_keep_pointers_and_bounds() {
    check(
        "spills",
        "fn main(v0) {\n slot0: 4 align 4 \"key\"\nb0:\n v1 = slot0\n store.w stack [v1 + 0], 0\n v2 = map0\n \
         v3 = call map_lookup_elem(v2, v1)\n branch eq64 v3, 0 -> b1 | b2\nb1:\n return 0\nb2:\n \
         v4 = call get_prandom_u32()\n v5 = and64 v4, 63\n v6 = call get_prandom_u32()\n v7 = call get_prandom_u32()\n \
         v8 = call get_prandom_u32()\n v9 = call get_prandom_u32()\n v10 = call get_prandom_u32()\n \
         v11 = call get_prandom_u32()\n branch gt64 v6, 63 -> b1 | b3\nb3:\n v12 = call get_prandom_u32()\n v20 = add64 v3, v5\n \
         v21 = load.b map [v20 + 0]\n v22 = add64 v3, v6\n v23 = load.d map [v22 + 0]\n v24 = add64 v21, v23\n \
         v25 = add64 v24, v7\n v26 = add64 v25, v8\n v27 = add64 v26, v9\n v28 = add64 v27, v10\n \
         v29 = add64 v28, v11\n v30 = add64 v29, v12\n store.d map [v3 + 8], v30\n v31 = load.d ctx [v0 + 0]\n \
         store.d map [v3 + 16], v31\n return 0\n}",
    );
}

/// `bpf_loop` with a context on the caller's stack.
#[test]
fn loop_callback() {
    check(
        "loop",
        "fn main(v0) {\n slot0: 16 align 8 \"context\"\nb0:\n v1 = slot0\n zero stack [v1 + 0], 16\n v2 = const 10\n \
         v3 = fn1\n v4 = const 0\n v5 = call loop(v2, v3, v1, v4)\n v6 = load.d stack [v1 + 8]\n v7 = map0[0] + 8\n \
         store.d map [v7 + 8], v6\n return 0\n}\n\
         fn each(v0, v1) {\nb0:\n v2 = load.d stack [v1 + 8]\n v3 = add64 v2, v0\n store.d stack [v1 + 8], v3\n \
         v4 = gt64 v3, 100\n return v4\n}",
    );
}

/// `bpf_for_each_map_elem` with key and value pointers.
#[test]
fn map_callback() {
    check(
        "each",
        "fn main(v0) {\n slot0: 8 align 8 \"sum\"\n slot1: 4 align 4 \"key\"\nb0:\n v1 = slot0\n store.d stack [v1 + 0], 0\n \
         v8 = slot1\n store.w stack [v8 + 0], 3\n v2 = map1\n v9 = call map_update_elem(v2, v8, v1, v10)\n v3 = fn1\n v4 = const 0\n \
         v5 = call for_each_map_elem(v2, v3, v1, v4)\n v6 = load.d stack [v1 + 0]\n v7 = slot1\n return 0\n}\n\
         fn each(v0, v1, v2, v3) {\nb0:\n v4 = load.w map [v1 + 0]\n v5 = load.d map [v2 + 0]\n v6 = load.d stack [v3 + 0]\n \
         v7 = mul64 v4, v5\n v8 = add64 v6, v7\n store.d stack [v3 + 0], v8\n v9 = const 1\n atomic_add.d [v2 + 0], v9\n return 0\n}"
            .replace("v9 = call map_update_elem", "v10 = const 0\n v9 = call map_update_elem")
            .as_str(),
    );
}

/// A counted loop, a copy between stack and map, and a number that is compared before it is an index.
#[test]
fn loops_and_bounds() {
    check(
        "bounds",
        "fn main(v0) {\n slot0: 24 align 8 \"buffer\"\nb0:\n v1 = slot0\n zero stack [v1 + 0], 24\n v2 = const 0\n jump b1(v2)\nb1(v3):\n \
         branch lt64 v3, 20 -> b2 | b3\nb2:\n v4 = call get_prandom_u32()\n v5 = add64 v1, v3\n store.b stack [v5 + 0], v4\n \
         v6 = add64 v3, 1\n jump b1(v6)\nb3:\n v7 = map0[0] + 0\n copy map [v7 + 8], stack [v1 + 0], 24 align 8\n \
         v8 = load.d map [v7 + 0]\n branch ge64 v8, 64 -> b4 | b5\nb4:\n return 0\nb5:\n v9 = add64 v7, v8\n store.b map [v9 + 0], 1\n return 0\n}",
    );
}
