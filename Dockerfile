# Two ways to the same image. Nothing is in it but the static binary and a CA bundle: no shell, no
# library, no package to keep current.
#
# It takes the place of nginx-proxy and its companion: containers name themselves, the variables of those
# two are followed, and a mounted usher.toml changes what it says. Mount the engine's socket, and run it
# with `--sysctl net.ipv4.ip_forward=0`: it joins the networks of many stacks and is no way between them.
#
#   make image                                   builds on this machine and packs
#   docker build --target compiled -t usher .    compiles in a base that has Rust 1.95 or later;
#                                                --build-arg RUST=registry.example.org/rust:1.95
ARG RUST=rust:1.95

# `make image` puts the binary and the CA bundle of the machine beside this file.
FROM scratch AS packed
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY usher /usher
# Folders to mount: configuration, certificates, state.
WORKDIR /etc/usher
EXPOSE 80 443
ENTRYPOINT ["/usher"]
CMD ["run", "--names-from-containers", "open"]

FROM ${RUST} AS built
WORKDIR /source
RUN command -v cmake cc >/dev/null || \
    (apt-get update && apt-get install -y --no-install-recommends build-essential ca-certificates cmake)
COPY . .
RUN cargo build --release --locked && cp target/*/release/usher /usher

FROM scratch AS compiled
COPY --from=built /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=built /usher /usher
WORKDIR /etc/usher
EXPOSE 80 443
ENTRYPOINT ["/usher"]
CMD ["run", "--names-from-containers", "open"]
