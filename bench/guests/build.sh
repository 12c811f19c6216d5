#!/usr/bin/env bash
# Rebuilds the guests of the bench with Debian's clang-19, wasi-libc and wabt.
set -euo pipefail
cd "$(dirname "$0")"
clang-19 --target=wasm32-wasi -O2 echo.c -o echo.wasm -Wl,--strip-all
wat2wasm echo.wat -o echo.extism.wasm
