#!/bin/sh
# Rebuilds the guest programs beside this file. Needs clang 19, lld 19 and wasi-libc.
set -eu
cd "$(dirname "$0")"
for source in *.c; do
  clang-19 --target=wasm32-wasi -Oz -Wall -Wextra -Werror -Wl,--strip-all -o "${source%.c}.wasm" "$source"
  chmod 644 "${source%.c}.wasm"
done
