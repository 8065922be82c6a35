# Compiles in a base that has Rust 1.95 or later, for machines without Rust, and packs:
#
#   docker build -t usher .
#   docker build --build-arg RUST=registry.example.org/rust:1.95 -t usher .
#
# Where Rust is at hand, `make image` is quicker; what it packs with is Dockerfile.packed, a file of its
# own because the classic builder runs every stage above its target. A change of one is one of both.
ARG RUST=rust:1.95

FROM ${RUST} AS built
WORKDIR /source
RUN { command -v cmake && command -v cc; } >/dev/null || \
    (apt-get update && apt-get install -y --no-install-recommends build-essential ca-certificates cmake)
COPY . .
RUN cargo build --release --locked && cp target/*/release/usher /usher

# Nothing but the static binary and a CA bundle: no shell, no library, no package to keep current.
FROM scratch AS compiled
COPY --from=built /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=built /usher /usher
WORKDIR /etc/usher
EXPOSE 80 443
ENTRYPOINT ["/usher"]
CMD ["run", "--names-from-containers", "open"]
