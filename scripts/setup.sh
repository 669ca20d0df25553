#!/bin/sh
# Installs the packages that building (`setup.sh build`) or testing (`setup.sh all`) needs.
# Quick when they are there; without apt or without the right to use it, it names what is missing.
set -eu

# One line a package: when it is needed, its name, how to see that it is there, and why.
#   a path: the file exists · a word: the command exists · lib:NAME: the C compiler finds the library
packages() {
    cat <<'LIST'
build gcc                      cc                          links programs, compiles libbpf
build make                     make                        compiles libbpf
build pkg-config               pkg-config                  finds libelf for libbpf
build libc6-dev                lib:libc.a                  the C library, linked in
build libelf-dev               lib:libelf.a                linked in: libbpf reads objects with it
build zlib1g-dev               lib:libz.a                  linked in: libelf reads compressed sections with it
all   g++                      c++                         compiles the fuzzing engine
all   binutils                 readelf                     test programs are looked at with it
all   debian-archive-keyring   /usr/share/keyrings/debian-archive-keyring.gpg   checks the kernels' signatures
all   xz-utils                 xz                          Debian's packages are packed with it
all   util-linux               unshare                     namespaces for the peers' chroot
all   iproute2                 ip                          network namespaces for XDP and tc tests
all   bpftool                  bpftool                     shows that nothing stays attached, loads our objects
all   cpio                     cpio                        reads the archives made for guests
all   strace                   strace                      a second opinion on system calls
all   time                     /usr/bin/time               benchmarks: memory and CPU time of a command
all   python3                  /usr/bin/python3                 a real program to trace: functions, malloc, USDT
all   postgresql               /usr/lib/postgresql         a real program to trace: 9,500 functions, USDT
all   golang-go                go                          compiles the Go programs that tests trace
all   redis-server             redis-server                a real program to trace: a busy event loop
LIST
}

is_there() {
    case $1 in
        lib:*) case $(cc -print-file-name="${1#lib:}" 2>/dev/null) in /*) true ;; *) false ;; esac ;;
        /*) test -e "$1" ;;
        *) command -v "$1" >/dev/null 2>&1 || test -x "/usr/sbin/$1" || test -x "/sbin/$1" ;;
    esac
}

missing() {
    packages | while read -r set name sign _; do
        if [ "$set" = build ] || [ "$1" = all ]; then
            is_there "$sign" || printf '%s ' "$name"
        fi
    done
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null 2>&1; then
        sudo "$@"
    else
        echo "installing needs root; as root, run: $*" >&2
        return 1
    fi
}

install_with_apt() {
    echo "installing: $*"
    # A third-party source that cannot be reached must not stop us: what counts is whether the packages install.
    as_root apt-get -q update >/dev/null 2>&1 || echo "apt-get update complained; going on with the lists it has" >&2
    # Services that the packages bring stay off: the tests start their own.
    as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -q -y --no-install-recommends install "$@" </dev/null
}

name_for_others() {
    echo "missing here, by Debian's names: $1" >&2
    if command -v dnf >/dev/null 2>&1; then
        echo "on Fedora: dnf install gcc gcc-c++ make pkgconf-pkg-config glibc-static elfutils-libelf-devel-static zlib-ng-compat-static libzstd-static" >&2
        if [ "$2" = all ]; then
            echo "for the tests also: dnf install binutils apt dpkg debian-keyring xz iproute bpftool strace python3 postgresql-server valkey" >&2
        fi
    elif command -v pacman >/dev/null 2>&1; then
        echo "on Arch: pacman -S base-devel libelf zlib zstd; static libelf.a and libz.a have to be built from their sources" >&2
        if [ "$2" = all ]; then
            echo "for the tests also: pacman -S apt dpkg debian-archive-keyring xz iproute2 bpf strace python postgresql valkey" >&2
        fi
    elif command -v apk >/dev/null 2>&1; then
        echo "on Alpine: the static build needs glibc; build in a Debian container, the binary then runs on Alpine" >&2
    fi
    return 1
}

wanted=${1:-all}
if ! command -v cargo >/dev/null 2>&1; then
    echo "cargo is missing: install Rust as rust-toolchain.toml names it (rustup does so by itself)" >&2
    exit 1
fi
lacking=$(missing "$wanted")
[ -n "$lacking" ] || exit 0
if command -v apt-get >/dev/null 2>&1; then
    # shellcheck disable=SC2086 # one word a package
    install_with_apt $lacking
else
    name_for_others "$lacking" "$wanted"
fi
still=$(missing "$wanted")
if [ -n "$still" ]; then
    echo "still missing after the installation: $still" >&2
    exit 1
fi
