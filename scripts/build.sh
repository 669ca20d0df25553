#!/bin/sh
# Builds the release binary, one static file, and prints its path; what cargo does goes to standard error. xtask/src/workspace.rs builds with the same flags.
set -eu
cd "$(dirname "$0")/.."
target=x86_64-unknown-linux-gnu
flags="-C target-feature=+crt-static"
# Newer versions of libelf read sections compressed with zstd.
case $(cc -print-file-name=libzstd.a) in
    /*) flags="$flags -C link-arg=-lzstd" ;;
esac
RUSTFLAGS="$flags" cargo build --release -p fathom --target "$target" >&2
echo "${CARGO_TARGET_DIR:-target}/$target/release/fathom"
