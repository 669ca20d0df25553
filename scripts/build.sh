#!/bin/sh
# Builds the release binary, one static file, and prints its path.
set -eu
cd "$(dirname "$0")/.."
target=x86_64-unknown-linux-gnu
RUSTFLAGS="-C target-feature=+crt-static" cargo build --quiet --release -p fathom --target "$target" >&2
echo "${CARGO_TARGET_DIR:-target}/$target/release/fathom"
