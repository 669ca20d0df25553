#!/bin/sh
# Shows that the release binary is one static file that runs from an empty root directory, and how large it is.
# usage: check-binary.sh FATHOM
set -eu

fathom=${1:?usage: check-binary.sh FATHOM}
limit=$((15 * 1024 * 1024))

size=$(stat -c %s "$fathom")
if [ "$size" -gt "$limit" ]; then
    echo "$fathom has $size bytes, more than $limit" >&2
    exit 1
fi
if grep -q -a -e '/lib64/ld-linux' "$fathom" && ! ldd "$fathom" 2>&1 | grep -q -e 'statically linked' -e 'not a dynamic'; then
    echo "$fathom needs shared libraries:" >&2
    ldd "$fathom" >&2
    exit 1
fi
if [ "$(id -u)" != 0 ]; then
    echo "$fathom: static, $size bytes; running it in an empty root needs root and was left out"
    exit 0
fi

empty=$(mktemp -d)
trap 'rm -rf "$empty"' EXIT
cp "$fathom" "$empty/fathom"

# expect TEXT COMMAND...: what the command prints in there has the text.
expect() {
    text=$1
    shift
    printed=$(timeout 60 unshare --mount --pid --fork chroot "$empty" /fathom "$@" 2>&1) || {
        echo "fathom $* fails in an empty root: $printed" >&2
        exit 1
    }
    case $printed in
        *"$text"*) ;;
        *)
            echo "fathom $* does not print '$text' in an empty root, but: $printed" >&2
            exit 1
            ;;
    esac
}

expect 'hello 42' run -e 'begin { @x = 42; printf("hello %d\n", @x); exit(); }'
expect '@switches[' run -e 'rawtracepoint:sched_switch { @switches[args.next.comm] = count(); } interval:ms:200 { exit(); }'
expect '@ticks: ' run -e 'profile:hz:99 { @ticks = count(); } interval:ms:200 { exit(); }'
expect 'rawtracepoint:vmlinux:sched_switch' list rawtracepoint:sched_switch
expect '(probe (attach begin)' check -e 'begin { exit(); }' --emit ast
expect 'may load programs and trace' info
echo "$fathom: static, $size bytes, runs from an empty root"
