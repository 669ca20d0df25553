# The two that matter: `make demo` shows what Fathom does, `make test` runs everything that CI runs.

TARGET  := x86_64-unknown-linux-gnu
PREFIX  ?= /usr/local
DESTDIR ?=
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
# The static release binary; cargo says where it has put it.
BUILD   := scripts/build.sh

.PHONY: demo test bench install dist clean fmt lint

demo:
	@scripts/setup.sh build
	@echo "building fathom; the first time this takes some minutes" >&2
	@fathom=$$($(BUILD)) && scripts/demo.sh "$$fathom"

# Compares with bpftrace on this machine and prints the ratios; some minutes.
bench:
	scripts/setup.sh all
	cargo xtask bench --write docs/benchmarks.md

test:
	scripts/setup.sh all
	cargo xtask test

# Installs what `make dist` packs: the binary, the name `bpftrace` is left to whoever wants it.
install: dist
	install -d "$(DESTDIR)$(PREFIX)/bin" "$(DESTDIR)$(PREFIX)/share"
	install -m 755 dist/fathom-$(VERSION)/fathom "$(DESTDIR)$(PREFIX)/bin/fathom"
	cp -R dist/fathom-$(VERSION)/share/. "$(DESTDIR)$(PREFIX)/share/"

dist:
	fathom=$$($(BUILD)) && scripts/dist.sh "$$fathom" "$(VERSION)" "$(TARGET)"

clean:
	cargo clean
	rm -rf dist

fmt:
	cargo fmt --all

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets
