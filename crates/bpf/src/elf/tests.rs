use super::*;
use crate::helper::Helper;
use crate::insn::{AluOp, Insn, Reg, Size, Width};
use crate::layout::Layout;
use crate::map::{Map, MapId, MapKind, MapRole, ScriptMap, Storage};
use crate::object::{
    AttachPoint, Function, Line, Place, Program, ProgramId, ProgramKind, Relocation,
    RelocationKind, Signature, Source, SourceSpan, UprobeSite,
};
use expect_test::expect;
use std::process::Command;

fn map(name: &str, kind: MapKind, sizes: [u32; 3], role: MapRole) -> Map {
    Map {
        name: name.into(),
        kind,
        key_size: sizes[0],
        value_size: sizes[1],
        max_entries: sizes[2],
        flags: 0,
        role,
    }
}

fn script(name: &str, key: Option<Layout>, storage: Storage) -> MapRole {
    MapRole::Script(ScriptMap {
        name: name.into(),
        key,
        value: Layout::Int {
            size: 8,
            signed: false,
        },
        storage,
    })
}

/// A program of straight code with one function and one line.
fn program(name: &str, kind: ProgramKind, insns: Vec<Insn>) -> Program {
    Program {
        name: name.into(),
        kind,
        sleepable: false,
        insns,
        functions: vec![Function {
            name: name.into(),
            first_insn: 0,
            signature: Signature::Main,
        }],
        relocations: Vec::new(),
        lines: vec![Line {
            insn: 0,
            span: SourceSpan {
                source: 0,
                start: 0,
                end: 5,
            },
        }],
    }
}

fn return_zero() -> Vec<Insn> {
    vec![Insn::mov(Reg::R0, 0), Insn::exit()]
}

/// `*(u64 *)(map value) += 1` through its address.
fn counting() -> Program {
    let mut insns = Insn::load_imm64(Reg::R1, 0).to_vec();
    insns.extend([
        Insn::load(Size::B64, Reg::R2, Reg::R1, 0),
        Insn::alu(Width::W64, AluOp::Add, Reg::R2, 1),
        Insn::store(Size::B64, Reg::R1, 0, Reg::R2),
    ]);
    insns.extend(Insn::load_imm64(Reg::R1, 0));
    insns.push(Insn::load(Size::B64, Reg::R2, Reg::R1, 0));
    insns.extend(return_zero());
    let at = |insn, map, offset| Relocation {
        insn,
        kind: RelocationKind::MapValue {
            map: MapId(map),
            offset,
        },
    };
    Program {
        relocations: vec![at(0, 1, 8), at(5, 2, 8)],
        ..program("counting", ProgramKind::Tracepoint, insns)
    }
}

/// Calls a helper with a callback that lies behind the main function.
fn with_callback(name: &str, helper: Helper, signature: Signature) -> Program {
    let is_loop = helper == Helper::LOOP;
    let mut insns = match is_loop {
        true => vec![Insn::mov(Reg::R1, 4), Insn::mov(Reg::R9, 0)],
        false => Insn::load_imm64(Reg::R1, 0).to_vec(),
    };
    insns.extend(Insn::load_imm64(Reg::R2, 0));
    insns.extend([
        Insn::mov(Reg::R3, 0),
        Insn::mov(Reg::R4, 0),
        Insn::call(helper),
    ]);
    insns.extend(return_zero());
    let mut relocations = vec![Relocation {
        insn: 2,
        kind: RelocationKind::FunctionAddress(1),
    }];
    if !is_loop {
        relocations.insert(
            0,
            Relocation {
                insn: 0,
                kind: RelocationKind::Map(MapId(0)),
            },
        );
    }
    let mut whole = program(name, ProgramKind::TestRun, insns);
    whole.functions.push(Function {
        name: format!("{name}_turn"),
        first_insn: whole.insns.len() as u32,
        signature,
    });
    whole.insns.extend(return_zero());
    whole.relocations = relocations;
    whole
}

fn attach(program: u32, place: Place) -> AttachPoint {
    AttachPoint {
        name: String::new(),
        program: ProgramId(program),
        cookie: None,
        place,
        span: SourceSpan::default(),
    }
}

fn sample() -> Object {
    let uprobe = Place::Uprobe {
        path: "/bin/true".into(),
        site: UprobeSite {
            name: "main".into(),
            offset: 16,
            inside: 0,
            semaphore: 0,
        },
        on_return: true,
        pid: None,
    };
    let tracepoint = Place::Tracepoint {
        category: "syscalls".into(),
        event: "sys_enter_nanosleep".into(),
    };
    let key = Layout::Int {
        size: 8,
        signed: false,
    };
    Object {
        license: "GPL".into(),
        maps: vec![
            map(
                "@a",
                MapKind::Hash,
                [8, 8, 100],
                script("@a", Some(key), Storage::Plain),
            ),
            map(
                "@b",
                MapKind::Array,
                [4, 16, 1],
                script("@b", None, Storage::Scalar),
            ),
            map(
                "text",
                MapKind::Array,
                [4, 16, 1],
                MapRole::ReadOnly(vec![1; 16]),
            ),
            map("events", MapKind::RingBuf, [0, 0, 4096], MapRole::Events),
            map("perf", MapKind::PerfEventArray, [4, 4, 0], MapRole::Events),
            map(
                "stacks",
                MapKind::StackTrace,
                [4, 8 * 127, 64],
                MapRole::Stacks,
            ),
            map("errors", MapKind::PerCpuArray, [4, 16, 3], MapRole::Errors),
        ],
        programs: vec![
            counting(),
            with_callback("looping", Helper::LOOP, Signature::LoopCallback),
            with_callback("each", Helper::FOR_EACH_MAP_ELEM, Signature::MapCallback),
            program("on_event", ProgramKind::PerfEvent, return_zero()),
            program("packet", ProgramKind::Xdp, return_zero()),
            program("filter", ProgramKind::SchedCls, return_zero()),
            program("user", ProgramKind::Kprobe, return_zero()),
            program("raw", ProgramKind::RawTracepoint, return_zero()),
        ],
        attach_points: vec![
            attach(0, tracepoint),
            attach(6, uprobe),
            attach(
                7,
                Place::RawTracepoint {
                    name: "sched_switch".into(),
                },
            ),
        ],
        sources: vec![Source {
            name: "a.bt".into(),
            text: "begin { }\n".into(),
        }],
        ..Object::default()
    }
}

/// Lists sections and symbols with a reader of its own.
fn dump(elf: &[u8]) -> String {
    let half = |at: usize| u16::from_ne_bytes(elf[at..at + 2].try_into().expect("2")) as usize;
    let word = |at: usize| u32::from_ne_bytes(elf[at..at + 4].try_into().expect("4")) as usize;
    let long = |at: usize| u64::from_ne_bytes(elf[at..at + 8].try_into().expect("8")) as usize;
    assert_eq!((&elf[..4], half(16), half(18)), (&b"\x7fELF"[..], 1, 247));
    let header = |index: usize| long(40) + index * 64;
    let strings = long(header(half(62)) + 24);
    let text = |offset: usize| {
        let bytes = &elf[strings + offset..];
        let end = bytes.iter().position(|byte| *byte == 0).expect("a NUL");
        String::from_utf8_lossy(&bytes[..end]).into_owned()
    };
    let mut out = String::new();
    let mut symbols = Vec::new();
    for index in 1..half(60) {
        let at = header(index);
        let (name, kind, size) = (text(word(at)), word(at + 4), long(at + 32));
        // The sizes of string and debug sections say nothing.
        let size = match name.starts_with(".BTF") || name == ".strtab" {
            true => String::new(),
            false => format!(" {size}"),
        };
        out += &format!("{index} {name} type {kind}{size}");
        match kind {
            9 => {
                out += &format!(" for {}:", word(at + 44));
                for record in (long(at + 24)..).step_by(16).take(long(at + 32) / 16) {
                    let info = long(record + 8);
                    out += &format!(" {}→{}/{}", long(record), info >> 32, info & 0xffff_ffff);
                }
            }
            2 => {
                symbols = (long(at + 24)..)
                    .step_by(24)
                    .take(long(at + 32) / 24)
                    .collect()
            }
            _ => {}
        }
        out += "\n";
    }
    for (index, at) in symbols.into_iter().enumerate().skip(1) {
        let (name, info, section) = (text(word(at)), elf[at + 4], half(at + 6));
        let (value, size) = (long(at + 8), long(at + 16));
        out += &format!("symbol {index} `{name}` {info:#04x} in {section} at {value}+{size}\n");
    }
    out
}

/// The whole file of an object with one of everything.
#[test]
fn sections_symbols_and_relocations() {
    let elf = write(&sample()).expect("the sample has a form as ELF");
    expect![[r#"
        1 .text type 1 32
        2 tracepoint/syscalls/sys_enter_nanosleep type 1 80
        3 raw_tp type 1 144
        4 perf_event type 1 16
        5 xdp type 1 16
        6 tc type 1 16
        7 uretprobe//bin/true:main type 1 16
        8 raw_tp/sched_switch type 1 16
        9 .maps type 1 144
        10 .data._b type 1 16
        11 .rodata.text type 1 16
        12 license type 1 4
        13 .BTF type 1
        14 .BTF.ext type 1
        15 .reltracepoint/syscalls/sys_enter_nanosleep type 9 32 for 2: 0→20/1 40→21/1
        16 .relraw_tp type 9 48 for 3: 16→1/1 72→19/1 88→1/1
        17 .symtab type 2 624
        18 .strtab type 3
        symbol 1 `` 0x03 in 1 at 0+0
        symbol 2 `looping_turn` 0x02 in 1 at 0+16
        symbol 3 `each_turn` 0x02 in 1 at 16+16
        symbol 4 `` 0x03 in 2 at 0+0
        symbol 5 `` 0x03 in 3 at 0+0
        symbol 6 `` 0x03 in 4 at 0+0
        symbol 7 `` 0x03 in 5 at 0+0
        symbol 8 `` 0x03 in 6 at 0+0
        symbol 9 `` 0x03 in 7 at 0+0
        symbol 10 `` 0x03 in 8 at 0+0
        symbol 11 `counting` 0x12 in 2 at 0+80
        symbol 12 `looping` 0x12 in 3 at 0+72
        symbol 13 `each` 0x12 in 3 at 72+72
        symbol 14 `on_event` 0x12 in 4 at 0+16
        symbol 15 `packet` 0x12 in 5 at 0+16
        symbol 16 `filter` 0x12 in 6 at 0+16
        symbol 17 `user` 0x12 in 7 at 0+16
        symbol 18 `raw` 0x12 in 8 at 0+16
        symbol 19 `_a` 0x11 in 9 at 0+32
        symbol 20 `_b` 0x11 in 10 at 0+16
        symbol 21 `text` 0x11 in 11 at 0+16
        symbol 22 `events` 0x11 in 9 at 32+16
        symbol 23 `perf` 0x11 in 9 at 48+32
        symbol 24 `stacks` 0x11 in 9 at 80+32
        symbol 25 `errors` 0x11 in 9 at 112+32
    "#]]
    .assert_eq(&dump(&elf));
}

/// Same object, same bytes.
#[test]
fn writing_is_deterministic() {
    assert_eq!(write(&sample()), write(&sample()));
}

#[test]
fn what_elf_cannot_say_is_an_error() {
    let mut both = sample();
    both.programs[0].relocations[1].kind = RelocationKind::Map(MapId(1));
    let map = "@b".to_owned();
    assert_eq!(write(&both), Err(ElfError::MapUsedBothWays { map }));

    let relocation = |program: &str, slot| {
        let program = program.into();
        Err(ElfError::Relocation { program, slot })
    };
    let mut recursive = sample();
    recursive.programs[1].relocations[0].kind = RelocationKind::FunctionAddress(0);
    assert_eq!(write(&recursive), relocation("looping", 2));

    let mut far = sample();
    far.programs[0].relocations[0].insn = 1000;
    assert_eq!(write(&far), relocation("counting", 1000));

    let mut no_map = sample();
    no_map.programs[0].relocations[0].kind = RelocationKind::Map(MapId(99));
    assert_eq!(write(&no_map), relocation("counting", 0));

    let mut no_functions = sample();
    no_functions.programs[3].functions.clear();
    let program = "on_event".to_owned();
    assert_eq!(write(&no_functions), Err(ElfError::Functions { program }));
}

/// libbpf, through Debian's bpftool, loads every program of the sample into the kernel.
#[test]
fn bpftool_loads_it() {
    let run = |command: &str, args: &[&str]| Command::new(command).args(args).output();
    let is_root = run("id", &["-u"]).is_ok_and(|out| out.stdout == b"0\n");
    if !is_root || run("bpftool", &["version"]).is_err() {
        println!("skipped: needs root and bpftool");
        return;
    }
    let folder = std::env::temp_dir().join(format!("fathom-bpf-elf-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("temporary folder");
    let path = folder.join("sample.o");
    std::fs::write(
        &path,
        write(&sample()).expect("the sample has a form as ELF"),
    )
    .expect("written");
    // A mount namespace of its own: the file system vanishes with it, and the programs with that.
    let script = r#"
        mount -t bpf none "$1" || exit 77
        cd "$1" && bpftool prog loadall "$2" "$1/programs" && ls "$1/programs"
    "#;
    let mount_point = folder.join("bpf");
    std::fs::create_dir_all(&mount_point).expect("mount point");
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script, "sh"]);
    let output = command.arg(&mount_point).arg(&path).output();
    let removed = std::fs::remove_dir_all(&folder);
    let output = match output {
        Ok(output) if output.status.code() == Some(77) => {
            println!("skipped: needs permission to mount bpffs");
            return;
        }
        Ok(output) => output,
        Err(_) => {
            println!("skipped: needs unshare");
            return;
        }
    };
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    // libbpf goes on without BTF when the kernel refuses it, but says so.
    assert!(!errors.contains("BTF"), "{errors}");
    expect![[r#"
        counting
        each
        filter
        looping
        on_event
        packet
        raw
        user
    "#]]
    .assert_eq(&String::from_utf8_lossy(&output.stdout));
    removed.expect("temporary folder removed");
}
