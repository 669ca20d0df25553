#!/usr/bin/env bash
# Everything that CI runs, fast things first. Each stage says its name and its time; the last line adds up all tests.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

log=$(mktemp)
trap 'rm -f "$log"' EXIT
failed_stages=()

stage() {
    local name=$1 started=$SECONDS
    shift
    echo "== $name: $*"
    if ! "$@" 2>&1 | tee -a "$log"; then
        failed_stages+=("$name")
    fi
    echo "== $name took $((SECONDS - started)) s"
}

stage fmt cargo fmt --all --check
stage unit cargo test --no-fail-fast --lib --quiet -p fathom-bpf -p fathom-syntax -p fathom-output -p fathom-compiler
stage host cargo test --no-fail-fast -p fathom --test host_scripts -- --test-threads=1

passed=$(grep -oE '[0-9]+ passed' "$log" | awk '{ sum += $1 } END { print sum + 0 }')
failed=$(grep -oE '[0-9]+ failed' "$log" | awk '{ sum += $1 } END { print sum + 0 }')
if [ "${#failed_stages[@]}" -gt 0 ]; then
    echo "failed stages: ${failed_stages[*]}"
fi
echo "$passed passed, $failed failed"
[ "${#failed_stages[@]}" -eq 0 ] && [ "$passed" -gt 0 ]
