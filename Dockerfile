# The whole vault on one machine, for a tour without Rust: docs/local.md. The programs come from the folder of a release:
#
#     docker build --file Dockerfile --tag zoom-vault-local dist/VERSION
ARG BASE=gcr.io/distroless/cc-debian12:nonroot
FROM ${BASE}
COPY bin/linux-x86_64/ /usr/local/bin/
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/local", "--data-dir", "/data"]
