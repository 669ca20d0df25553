#!/bin/sh
# Builds a small program and shows what it does: its calls, their latency, the files opened meanwhile.
# usage: demo.sh TRACER   where TRACER is fathom, or a bpftrace of your own to compare with
set -eu

tracer=${1:?usage: demo.sh TRACER}
here=$(cd "$(dirname "$0")" && pwd)/demo
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM

if [ "$(id -u)" != 0 ]; then
    if command -v sudo >/dev/null 2>&1; then
        exec sudo "$0" "$tracer"
    fi
    echo "tracing the kernel needs root" >&2
    exit 1
fi

# trace SCRIPT: runs the program under the script, each within its own limit.
trace() {
    sed "s|\$BIN|$folder/ledger|" "$here/$1" >"$folder/$1"
    case $(basename "$tracer") in
        bpftrace*) timeout "${DEMO_LIMIT:-60}" "$tracer" "$folder/$1" -c "$folder/ledger $folder" ;;
        *) timeout "${DEMO_LIMIT:-60}" "$tracer" run "$folder/$1" -c "$folder/ledger $folder" ;;
    esac
}

title() {
    printf '\n\033[1m%s\033[0m\n' "$1"
}

cc -O1 -g -o "$folder/ledger" "$here/ledger.c"

title "1. Calls of a running program, with arguments and results"
sed -n '/^uprobe/,$p' "$here/calls.bt"
echo "  ----"
trace calls.bt >"$folder/calls.txt"
head -n 8 "$folder/calls.txt"
printf '  ... %s lines in all, the last ones:\n' "$(wc -l <"$folder/calls.txt")"
tail -n 5 "$folder/calls.txt" | grep . || true

title "2. How long one of its functions takes, in microseconds"
trace latency.bt

title "3. The files opened on this machine meanwhile"
trace opens.bt >"$folder/opens.txt"
grep -v '^Attach' "$folder/opens.txt" | tail -n 12

title "Try your own: sudo $tracer run -e 'tracepoint:syscalls:sys_enter_openat { @[comm] = count() }'"
