//! Tracepoint formats of real kernels, a fixture tree, and the running machine's tracefs.

use super::*;
use expect_test::{Expect, expect};

const SWITCH: &str = "name: sched_switch
ID: 372
format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;

\tfield:char prev_comm[16];\toffset:8;\tsize:16;\tsigned:0;
\tfield:long prev_state;\toffset:32;\tsize:8;\tsigned:1;
\tfield:const char * filename;\toffset:40;\tsize:8;\tsigned:0;
\tfield:__data_loc char[] cmd;\toffset:48;\tsize:4;\tsigned:0;
\tfield:__rel_loc unsigned long[] args;\toffset:52;\tsize:4;\tsigned:0;
\tfield:char comm[TASK_COMM_LEN];\toffset:56;\tsize:16;\tsigned:0;
\tfield:unsigned long ip[3];\toffset:72;\tsize:24;\tsigned:0;
\tfield:enum x y;\toffset:96;\tsize:4;\tsigned:0;
\tfield:struct bio *bio;\toffset:104;\tsize:8;\tsigned:0;

print fmt: \"field:int no;\toffset:1;\tsize:1;\tsigned:0;\", REC->x
";

fn check(text: &str, expected: Expect) {
    let shown =
        match TracepointFormat::parse(text) {
            Ok(format) => format.fields.iter().fold(
                format!("{} {}\n", format.name, format.id),
                |text, field| {
                    format!(
                        "{text}{} | {} | {}+{} {} {:?}\n",
                        field.name,
                        field.c_type,
                        field.offset,
                        field.size,
                        field.signed,
                        field.kind
                    )
                },
            ),
            Err(why) => format!("error: {why}\n"),
        };
    expected.assert_eq(&shown);
}

#[test]
fn understands_every_kind_of_field() {
    check(
        SWITCH,
        expect![[r#"
            sched_switch 372
            common_type | unsigned short | 0+2 false Scalar
            common_pid | int | 4+4 true Scalar
            prev_comm | char[16] | 8+16 false Array { element: "char", len: 16 }
            prev_state | long | 32+8 true Scalar
            filename | const char * | 40+8 false Pointer
            cmd | __data_loc char[] | 48+4 false Dynamic { element: "char", base: Record }
            args | __rel_loc unsigned long[] | 52+4 false Dynamic { element: "unsigned long", base: FieldEnd }
            comm | char[TASK_COMM_LEN] | 56+16 false Array { element: "char", len: 16 }
            ip | unsigned long[3] | 72+24 false Array { element: "unsigned long", len: 3 }
            y | enum x | 96+4 false Scalar
            bio | struct bio * | 104+8 false Pointer
        "#]],
    );
}

#[test]
fn says_what_is_wrong() {
    check("ID: 1\n", expect![["error: no name\n"]]);
    check("name: x\n", expect![["error: no ID\n"]]);
    check(
        "name: x\nID: 1\nfield:int;\toffset:0;\tsize:4;",
        expect![["error: cannot understand `field:int;\toffset:0;\tsize:4;`\n"]],
    );
    check(
        "name: x\nID: 1\nfield:int a;\toffset:4294967295;\tsize:4;",
        expect![["error: cannot understand `field:int a;\toffset:4294967295;\tsize:4;`\n"]],
    );
}

#[test]
fn reads_a_fixture_tree() {
    let root = tempfile::tempdir().unwrap();
    let folder = root
        .path()
        .join("sys/kernel/tracing/events/sched/sched_switch");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("format"), SWITCH).unwrap();
    std::fs::write(folder.join("id"), "372\n").unwrap();
    let tracefs = Tracefs::find(root.path()).unwrap();
    assert_eq!(tracefs.origin(), Origin::Mounted);
    let events = tracefs
        .matching(&Pattern::new("sch*"), &Pattern::new("*"))
        .unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(tracefs.event_id("sched", "sched_switch").unwrap(), 372);
    assert_eq!(
        tracefs
            .format("sched", "sched_switch")
            .unwrap()
            .args()
            .count(),
        9
    );
    let error = tracefs.format("sched", "sched_swich").unwrap_err();
    assert_eq!(
        error.to_string(),
        "no tracepoint `sched:sched_swich`; did you mean `sched:sched_switch`?"
    );
    assert!(tracefs.format("..", "x").unwrap_err().is_missing());
    assert!(Tracefs::find(&root.path().join("none")).is_err());
}

#[test]
fn the_private_mount_leaves_nothing_behind() {
    let Ok(mount) = mount::PrivateMount::tracefs() else {
        println!("skipped: needs root");
        return;
    };
    let mounts = || std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let before = mounts();
    let tracefs = Tracefs::new(mount.path(), Some(mount));
    assert!(tracefs.events().unwrap().len() > 100);
    for event in tracefs
        .events()
        .unwrap()
        .iter()
        .filter(|event| event.subsystem == "sched")
    {
        let format = tracefs.format(&event.subsystem, &event.name).unwrap();
        assert_eq!(
            format.id,
            tracefs.event_id(&event.subsystem, &event.name).unwrap()
        );
        assert!(format.field("common_pid").is_some());
    }
    assert_eq!(mounts(), before);
}
