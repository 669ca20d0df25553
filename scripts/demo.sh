#!/bin/sh
# Builds a small program and shows what it does: its calls, their latency, the files opened meanwhile.
# usage: demo.sh TRACER   where TRACER is fathom, or a bpftrace of your own to compare with
set -eu

tracer=${1:?usage: demo.sh TRACER}
here=$(cd "$(dirname "$0")" && pwd)/demo

if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null 2>&1 || {
        echo "tracing needs root; as root, run: $0 $tracer" >&2
        exit 1
    }
    exec sudo "$0" "$tracer"
fi

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM
bold='' dim='' plain=''
if [ -t 1 ]; then
    bold=$(printf '\033[1m') dim=$(printf '\033[2m') plain=$(printf '\033[0m')
fi

# trace SCRIPT: runs the program under the script, within a limit.
trace() {
    sed "s|\$BIN|$folder/ledger|" "$here/$1" >"$folder/$1"
    case $(basename "$tracer") in
        bpftrace*) timeout "${DEMO_LIMIT:-20}" "$tracer" -q "$folder/$1" -c "$folder/ledger $folder" ;;
        *) timeout "${DEMO_LIMIT:-20}" "$tracer" run -q "$folder/$1" -c "$folder/ledger $folder" ;;
    esac
}

# show TITLE SCRIPT: the question, and the script that asks it.
show() {
    printf '\n%s%s%s\n\n' "$bold" "$1" "$plain"
    sed "/^\/\//d; s|^|    $dim|; s|\$|$plain|; s|\$BIN|ledger|" "$here/$2"
    echo
}

cc -O1 -g -o "$folder/ledger" "$here/ledger.c"
echo "The program is scripts/demo/ledger.c, a small C program that keeps accounts; it was just built."

show "1. What does it call, with which arguments, and what comes back?" calls.bt
trace calls.bt | sed "s|$folder|/tmp/…|" | grep . >"$folder/calls.txt"
head -n 8 "$folder/calls.txt"
printf '… %d more calls, the last ones:\n' "$(($(wc -l <"$folder/calls.txt") - 12))"
tail -n 4 "$folder/calls.txt"

show "2. How long does one of its functions take, in microseconds?" latency.bt
trace latency.bt | grep .

show "3. Which files are opened meanwhile, by it and by everybody else?" opens.bt
trace opens.bt | sed "s|$folder|/tmp/…|" | grep .

cat <<END

${bold}Your own question:${plain}
    sudo $tracer run -e 'tracepoint:syscalls:sys_enter_openat { @[comm] = count() }'    # Ctrl-C shows the answer
    sudo $tracer run -e 'uprobe:libc:malloc { @bytes = hist(arg0) }' -c 'ls /'
    $tracer list 'tracepoint:sched:*'
END
