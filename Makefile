# Each goal does its own set-up: packages through apt when run as root, otherwise a message with
# the exact command.

IMAGE ?= usher
# For example --offline, where the advisory database has been fetched before.
DENY_OPTIONS ?=
TARGET := $(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p')

SECONDS ?= 60

.PHONY: help demo test test-long fuzz acceptance bench image release

help: ## says this
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

demo: ## the product on loopback: two instances, simulated attendees, real scaling
	@tests/setup build
	cargo run --quiet -- demo

test: ## everything that is tested in minutes; groups whose needs are missing are named
	@tests/run

test-long: ## also what takes minutes, formatting, lints, documentation, licences, advisories, and the acceptance
	@tests/setup build deny shellcheck
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --document-private-items
	cargo deny $(DENY_OPTIONS) --config .cargo/deny.toml check
	shellcheck tests/setup tests/run tests/acceptance/build-image.sh .ci/run
	@USHER_LONG=1 tests/run
	@$(MAKE) --no-print-directory acceptance

fuzz: ## a minute for each thing that takes bytes from strangers; SECONDS=60, needs a nightly Rust
	@tests/setup build fuzz
	cd tests/fuzz && for target in head host proxy_header config; do \
		cargo +nightly fuzz run --fuzz-dir . --sanitizer none $$target -- -max_total_time=$(SECONDS) || exit 1; \
	done

acceptance: ## a real Django Channels stack under Compose, 300 websockets, replicas up and down
	@tests/setup build pebble acceptance
	tests/acceptance/build-image.sh
	cargo test --release --test acceptance

bench: ## CPU time and memory beside nginx and HAProxy
	@tests/setup build bench
	cargo build --release --examples
	cargo bench

release: ## the static binary
	@tests/setup build
	cargo build --release

image: release ## an image FROM scratch: the static binary and a CA bundle; IMAGE=name
	@tests/setup image
	rm -rf target/image && mkdir -p target/image
	cp Dockerfile.packed target/$(TARGET)/release/usher /etc/ssl/certs/ca-certificates.crt target/image/
	docker build -f target/image/Dockerfile.packed -t $(IMAGE) target/image
