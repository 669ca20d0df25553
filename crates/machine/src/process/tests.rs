//! Processes of a fixture folder and of the running machine.

use super::*;
use crate::{Address, FileOffset};
use expect_test::expect;

fn fixture() -> (tempfile::TempDir, Machine) {
    let root = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("proc/7/comm", "a b\n");
    write("proc/7/cmdline", "a b\0--flag\0\0");
    write(
        "proc/7/status",
        "Name:\ta b\nTgid:\t7\nPPid:\t1\nUid:\t1000\t1001\t1000\t1000\nGid:\t5\t6\t5\t5\nNSpid:\t7\t3\n",
    );
    write("proc/7/cgroup", "4:memory:/job:1\n0::/user.slice\n");
    write(
        "proc/7/maps",
        "55d0-55e0 r-xp 00001000 fe:01 42                 /usr/bin/a b\n\
         55e0-55f0 rw-p 00002000 fe:01 42                 /usr/bin/a b\n\
         6000-7000 r-xp 00000000 fe:01 43                 /lib/gone.so (deleted)\n\
         7000-8000 rw-p 00000000 00:00 0                  [stack]\n\
         8000-9000 rw-p 00000000 00:00 0 \n\
         garbage\n",
    );
    write(
        "etc/passwd",
        "root:x:0:0::/:/bin/sh\nann:x:1000:5::/:/bin/sh\nbad\ndup:x:0:0::/:/\n",
    );
    write("sys/devices/system/cpu/online", "0-2,5\n");
    write("sys/devices/system/cpu/possible", "0-4294967295\n");
    write("proc/stat", "cpu 1\nbtime 1700000000\n");
    let machine = Machine::at(root.path());
    (root, machine)
}

#[test]
fn reads_a_process() {
    let (_root, machine) = fixture();
    let process = machine.process(Pid(7));
    assert_eq!(process.comm().unwrap(), "a b");
    assert_eq!(process.command_line().unwrap(), ["a b", "--flag", ""]);
    assert_eq!(process.namespace_pid().unwrap(), Pid(3));
    assert_eq!(process.status().unwrap().uids, [1000, 1001]);
    assert_eq!(
        process.cgroup_path().unwrap(),
        Some(PathBuf::from("/user.slice"))
    );
    assert_eq!(process.cgroups().unwrap()[0].path, Path::new("/job:1"));
    let maps = process.maps().unwrap();
    assert_eq!(maps.len(), 5);
    assert_eq!(
        maps[0].file_offset(Address(0x55d8)),
        Some(FileOffset(0x1008))
    );
    assert!(maps[2].is_deleted);
    assert_eq!(
        process.mapped_files().unwrap(),
        [PathBuf::from("/usr/bin/a b")]
    );
    assert_eq!(machine.processes().unwrap().len(), 1);
    assert_eq!(
        machine.process(Pid(8)).comm().unwrap_err().to_string(),
        "no process `8`"
    );
}

#[test]
fn reads_users_cpus_and_boot_time() {
    let (_root, machine) = fixture();
    let users = machine.users().unwrap();
    assert_eq!(
        (users.name(0), users.name(1000), users.name(7)),
        (Some("root"), Some("ann"), None)
    );
    assert_eq!(machine.online_cpus().unwrap(), [0, 1, 2, 5]);
    assert!(machine.possible_cpus().is_err());
    assert_eq!(boot_time_seconds(&machine).unwrap(), 1_700_000_000);
}

#[test]
fn understands_mixed_cgroup_mounts() {
    let root = tempfile::tempdir().unwrap();
    let tree = root.path().join("sys/fs/cgroup/unified/a/b");
    std::fs::create_dir_all(&tree).unwrap();
    std::fs::create_dir_all(root.path().join("proc/self")).unwrap();
    std::fs::write(
        root.path().join("proc/self/mountinfo"),
        "30 1 0:26 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct\n\
         31 1 0:27 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 none rw,nsdelegate\n\
         32 1 0:28 / / rw - ext4 /dev/vda rw\n",
    )
    .unwrap();
    let machine = Machine::at(root.path());
    let names: Vec<String> = machine
        .cgroup_hierarchies()
        .unwrap()
        .into_iter()
        .map(|h| h.name)
        .collect();
    assert_eq!(names, ["unified", "cpu,cpuacct"]);
    let id = machine
        .cgroup_id(Path::new("/sys/fs/cgroup/unified/a/b"))
        .unwrap();
    let found = machine.cgroups_by_id(id, |_| true).unwrap();
    expect![[r#"[Cgroup { hierarchy: "unified", path: "/a/b" }]"#]]
        .assert_eq(&format!("{found:?}"));
    assert!(
        machine
            .cgroups_by_id(u64::MAX, |_| true)
            .unwrap()
            .is_empty()
    );
}

#[test]
fn cpu_lists_are_bounded() {
    let cases: [(&str, std::result::Result<&[u32], &str>); 5] = [
        ("0-3\n", Ok(&[0, 1, 2, 3])),
        ("3,1,1-2", Ok(&[1, 2, 3])),
        ("", Ok(&[])),
        ("5-2", Err("a range that cannot be")),
        ("x", Err("not a list of numbers")),
    ];
    for (text, expected) in cases {
        assert_eq!(
            parse_cpu_list(text),
            expected.map(<[u32]>::to_vec),
            "{text}"
        );
    }
}

#[test]
fn sees_itself() {
    let machine = Machine::at("/");
    let me = machine.process(Pid(std::process::id()));
    let exe = std::env::current_exe().unwrap();
    assert_eq!(me.exe().unwrap(), exe);
    assert!(me.mapped_files().unwrap().contains(&exe));
    assert!(!me.threads().unwrap().is_empty());
    assert_eq!(
        me.namespace("pid").unwrap(),
        machine
            .process(Pid(std::process::id()))
            .namespace("pid")
            .unwrap()
    );
    let wall = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    assert!(boot_time_seconds(&machine).unwrap() <= wall);
    assert!(boot_offset_ns() > 0);
}
