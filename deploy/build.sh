#!/usr/bin/env bash
# Builds programs of a crate with one Cargo invocation: the functions for Lambda, or the tools. Prints the folder with a
# folder for each program, whose file `bootstrap` is the program. The same source, lock file and tools give the same
# bytes, wherever the source is: the programs contain no path of this machine.
#
#     deploy/build.sh x86_64 functions                  all functions
#     deploy/build.sh arm64 functions get-credential    some functions
#     deploy/build.sh x86_64 cli                        the operator's program
#
# QUICK=yes builds without optimization, which takes most of the time: for tests only.
#
# It needs cargo-lambda and zig. docs/deploy.md says how to install them.
set -euo pipefail
cd "$(dirname "$0")/.."

case ${1:-} in
  x86_64) target=x86_64-unknown-linux-gnu ;;
  arm64) target=aarch64-unknown-linux-gnu ;;
  *)
    echo "usage: deploy/build.sh x86_64|arm64 [CRATE [PROGRAM …]]" >&2
    exit 2
    ;;
esac
crate=${2:-functions}
shift "$(($# < 2 ? $# : 2))"
binaries=(--bins)
[ $# = 0 ] || binaries=("${@/#/--bin=}")

mkdir -p "${CARGO_TARGET_DIR:-target}"
built=$(cd "${CARGO_TARGET_DIR:-target}" && pwd)
export CARGO_TARGET_DIR=$built
# Rust and C put the paths of source files into some messages. Cargo gives the files of this workspace relative paths.
unset CARGO_ENCODED_RUSTFLAGS # it would win over RUSTFLAGS
RUSTFLAGS='' CFLAGS=''
for folder in "${CARGO_HOME:-$HOME/.cargo}=/cargo" "$built=/target"; do
  RUSTFLAGS+=" --remap-path-prefix=$folder"
  CFLAGS+=" -ffile-prefix-map=$folder"
done
export RUSTFLAGS CFLAGS

if [ "${QUICK:-}" = yes ]; then
  export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_OPT_LEVEL=0
fi
cargo lambda build --release --locked --target "$target" --package "$crate" "${binaries[@]}" >&2
echo "$built/lambda"
