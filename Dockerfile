# Built by `make image`, which puts the static binary and the CA bundle of the machine beside this
# file. Nothing else is in the image: no shell, no library, no package to keep current.
FROM scratch
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY usher /usher
# Folders to mount: configuration, certificates, state.
WORKDIR /etc/usher
ENTRYPOINT ["/usher"]
CMD ["run"]
