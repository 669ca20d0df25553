#!/bin/sh
# Packs the binary with man pages, completions and licences into dist/fathom-VERSION-TARGET.tar.gz.
# usage: dist.sh FATHOM VERSION TARGET
set -eu

fathom=$1 version=$2 target=$3
cd "$(dirname "$0")/.."
scripts/check-binary.sh "$fathom"
name=fathom-$version
folder=dist/$name
rm -rf "$folder"
mkdir -p "$folder/share/man/man1" "$folder/share/bash-completion/completions" \
    "$folder/share/zsh/site-functions" "$folder/share/fish/vendor_completions.d" "$folder/share/doc/fathom"
install -m 755 "$fathom" "$folder/fathom"
"$fathom" completions bash >"$folder/share/bash-completion/completions/fathom"
"$fathom" completions zsh >"$folder/share/zsh/site-functions/_fathom"
"$fathom" completions fish >"$folder/share/fish/vendor_completions.d/fathom.fish"
"$fathom" man "$folder/share/man/man1"
cp -R README.md CHANGELOG.md LICENSE-APACHE LICENSE-MIT docs "$folder/share/doc/fathom/"
# The same input gives the same archive.
tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C dist -c "$name" | gzip -n >"dist/$name-$target.tar.gz"
ls -l "dist/$name-$target.tar.gz"
