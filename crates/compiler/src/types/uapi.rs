//! Constants that C scripts take from headers: macros, which BTF does not carry. Linux on x86-64.
//!
//! Scripts name them behind an `#include`; Fathom reads no headers, so the ones that scripts use are here. What the script
//! defines itself, and what BTF knows as an enumerator, comes first.

/// The value of a macro of the kernel's headers.
pub fn value(name: &str) -> Option<i64> {
    CONSTANTS
        .iter()
        .flat_map(|(_, rows)| rows.iter())
        .find(|(known, _)| *known == name)
        .map(|(_, value)| *value)
}

type Rows = &'static [(&'static str, i64)];

/// By header.
const CONSTANTS: &[(&str, Rows)] = &[
    ("include/linux/socket.h", FAMILIES),
    ("include/linux/net.h", SOCKETS),
    ("include/uapi/asm-generic/fcntl.h", OPEN_FLAGS),
    ("include/uapi/linux/stat.h", FILE_TYPES),
    ("include/uapi/asm-generic/errno-base.h, errno.h", ERRORS),
    ("arch/x86/include/uapi/asm/signal.h", SIGNALS),
    ("include/uapi/asm-generic/mman-common.h, mman.h", MEMORY),
    ("include/uapi/linux/sched.h", CLONE_FLAGS),
    ("include/linux/sched.h", TASK_STATES),
];

const FAMILIES: Rows = &[
    ("AF_UNSPEC", 0),
    ("AF_UNIX", 1),
    ("AF_LOCAL", 1),
    ("AF_INET", 2),
    ("AF_INET6", 10),
    ("AF_NETLINK", 16),
    ("AF_PACKET", 17),
    ("AF_ALG", 38),
    ("AF_VSOCK", 40),
    ("AF_XDP", 44),
];

const SOCKETS: Rows = &[
    ("SOCK_STREAM", 1),
    ("SOCK_DGRAM", 2),
    ("SOCK_RAW", 3),
    ("SOCK_SEQPACKET", 5),
    ("SOCK_CLOEXEC", 0o2_000_000),
    ("SOCK_NONBLOCK", 0o4000),
];

const OPEN_FLAGS: Rows = &[
    ("O_ACCMODE", 0o3),
    ("O_RDONLY", 0),
    ("O_WRONLY", 0o1),
    ("O_RDWR", 0o2),
    ("O_CREAT", 0o100),
    ("O_EXCL", 0o200),
    ("O_NOCTTY", 0o400),
    ("O_TRUNC", 0o1000),
    ("O_APPEND", 0o2000),
    ("O_NONBLOCK", 0o4000),
    ("O_DSYNC", 0o10000),
    ("O_DIRECT", 0o40000),
    ("O_LARGEFILE", 0o100_000),
    ("O_DIRECTORY", 0o200_000),
    ("O_NOFOLLOW", 0o400_000),
    ("O_NOATIME", 0o1_000_000),
    ("O_CLOEXEC", 0o2_000_000),
    ("O_SYNC", 0o4_010_000),
    ("O_PATH", 0o10_000_000),
    ("O_TMPFILE", 0o20_200_000),
    ("AT_FDCWD", -100),
];

const FILE_TYPES: Rows = &[
    ("S_IFMT", 0o170_000),
    ("S_IFSOCK", 0o140_000),
    ("S_IFLNK", 0o120_000),
    ("S_IFREG", 0o100_000),
    ("S_IFBLK", 0o60000),
    ("S_IFDIR", 0o40000),
    ("S_IFCHR", 0o20000),
    ("S_IFIFO", 0o10000),
    ("S_ISUID", 0o4000),
    ("S_ISGID", 0o2000),
    ("S_ISVTX", 0o1000),
];

const ERRORS: Rows = &[
    ("EPERM", 1),
    ("ENOENT", 2),
    ("ESRCH", 3),
    ("EINTR", 4),
    ("EIO", 5),
    ("ENXIO", 6),
    ("E2BIG", 7),
    ("ENOEXEC", 8),
    ("EBADF", 9),
    ("ECHILD", 10),
    ("EAGAIN", 11),
    ("EWOULDBLOCK", 11),
    ("ENOMEM", 12),
    ("EACCES", 13),
    ("EFAULT", 14),
    ("EBUSY", 16),
    ("EEXIST", 17),
    ("EXDEV", 18),
    ("ENODEV", 19),
    ("ENOTDIR", 20),
    ("EISDIR", 21),
    ("EINVAL", 22),
    ("ENFILE", 23),
    ("EMFILE", 24),
    ("ENOTTY", 25),
    ("ETXTBSY", 26),
    ("EFBIG", 27),
    ("ENOSPC", 28),
    ("ESPIPE", 29),
    ("EROFS", 30),
    ("EMLINK", 31),
    ("EPIPE", 32),
    ("EDOM", 33),
    ("ERANGE", 34),
    ("EDEADLK", 35),
    ("ENAMETOOLONG", 36),
    ("ENOLCK", 37),
    ("ENOSYS", 38),
    ("ENOTEMPTY", 39),
    ("ELOOP", 40),
    ("EOVERFLOW", 75),
    ("EMSGSIZE", 90),
    ("EOPNOTSUPP", 95),
    ("EADDRINUSE", 98),
    ("EADDRNOTAVAIL", 99),
    ("ENETUNREACH", 101),
    ("ECONNABORTED", 103),
    ("ECONNRESET", 104),
    ("ENOBUFS", 105),
    ("EISCONN", 106),
    ("ENOTCONN", 107),
    ("ETIMEDOUT", 110),
    ("ECONNREFUSED", 111),
    ("EHOSTUNREACH", 113),
    ("EALREADY", 114),
    ("EINPROGRESS", 115),
];

const SIGNALS: Rows = &[
    ("SIGHUP", 1),
    ("SIGINT", 2),
    ("SIGQUIT", 3),
    ("SIGILL", 4),
    ("SIGTRAP", 5),
    ("SIGABRT", 6),
    ("SIGBUS", 7),
    ("SIGFPE", 8),
    ("SIGKILL", 9),
    ("SIGUSR1", 10),
    ("SIGSEGV", 11),
    ("SIGUSR2", 12),
    ("SIGPIPE", 13),
    ("SIGALRM", 14),
    ("SIGTERM", 15),
    ("SIGCHLD", 17),
    ("SIGCONT", 18),
    ("SIGSTOP", 19),
    ("SIGTSTP", 20),
    ("SIGTTIN", 21),
    ("SIGTTOU", 22),
    ("SIGURG", 23),
    ("SIGXCPU", 24),
    ("SIGXFSZ", 25),
    ("SIGVTALRM", 26),
    ("SIGPROF", 27),
    ("SIGWINCH", 28),
    ("SIGIO", 29),
    ("SIGPWR", 30),
    ("SIGSYS", 31),
];

const MEMORY: Rows = &[
    ("PROT_READ", 1),
    ("PROT_WRITE", 2),
    ("PROT_EXEC", 4),
    ("PROT_NONE", 0),
    ("MAP_SHARED", 1),
    ("MAP_PRIVATE", 2),
    ("MAP_FIXED", 0x10),
    ("MAP_ANONYMOUS", 0x20),
    ("MAP_GROWSDOWN", 0x100),
    ("MAP_LOCKED", 0x2000),
    ("MAP_NORESERVE", 0x4000),
    ("MAP_POPULATE", 0x8000),
    ("MAP_STACK", 0x20000),
    ("MAP_HUGETLB", 0x40000),
];

const CLONE_FLAGS: Rows = &[
    ("CLONE_VM", 0x100),
    ("CLONE_FS", 0x200),
    ("CLONE_FILES", 0x400),
    ("CLONE_SIGHAND", 0x800),
    ("CLONE_PIDFD", 0x1000),
    ("CLONE_PTRACE", 0x2000),
    ("CLONE_VFORK", 0x4000),
    ("CLONE_PARENT", 0x8000),
    ("CLONE_THREAD", 0x10000),
    ("CLONE_NEWNS", 0x20000),
    ("CLONE_SYSVSEM", 0x40000),
    ("CLONE_SETTLS", 0x80000),
    ("CLONE_NEWCGROUP", 0x0200_0000),
    ("CLONE_NEWUTS", 0x0400_0000),
    ("CLONE_NEWIPC", 0x0800_0000),
    ("CLONE_NEWUSER", 0x1000_0000),
    ("CLONE_NEWPID", 0x2000_0000),
    ("CLONE_NEWNET", 0x4000_0000),
];

/// Linux 4.14 and later.
const TASK_STATES: Rows = &[
    ("TASK_RUNNING", 0),
    ("TASK_INTERRUPTIBLE", 1),
    ("TASK_UNINTERRUPTIBLE", 2),
    ("__TASK_STOPPED", 4),
    ("__TASK_TRACED", 8),
    ("EXIT_DEAD", 0x10),
    ("EXIT_ZOMBIE", 0x20),
    ("TASK_PARKED", 0x40),
    ("TASK_DEAD", 0x80),
    ("TASK_WAKEKILL", 0x100),
    ("TASK_WAKING", 0x200),
    ("TASK_NOLOAD", 0x400),
    ("TASK_NEW", 0x800),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_of_this_machines_c_library() {
        let ours = [
            ("AF_INET6", libc::AF_INET6),
            ("O_TMPFILE", libc::O_TMPFILE),
            ("O_DIRECT", libc::O_DIRECT),
            ("O_SYNC", libc::O_SYNC),
            ("S_IFSOCK", libc::S_IFSOCK as i32),
            ("SOCK_CLOEXEC", libc::SOCK_CLOEXEC),
            ("EINPROGRESS", libc::EINPROGRESS),
            ("EOVERFLOW", libc::EOVERFLOW),
            ("SIGSYS", libc::SIGSYS),
            ("MAP_HUGETLB", libc::MAP_HUGETLB),
            ("CLONE_NEWNET", libc::CLONE_NEWNET),
            ("AT_FDCWD", libc::AT_FDCWD),
        ];
        for (name, expected) in ours {
            assert_eq!(value(name), Some(i64::from(expected)), "{name}");
        }
        assert_eq!(value("NOT_A_CONSTANT"), None);
    }
}
