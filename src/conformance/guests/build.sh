#!/bin/sh
# Rebuilds probe.wasm from probe.c and json.h. Needs clang 19, lld 19, wasi-libc and wabt (wasm-strip) of Debian 13 or alike.
# probe.digests holds the SHA-256 of the sources and of the module that came of them; a test compares.
set -eu
cd "$(dirname "$0")"
clang-19 --target=wasm32-wasi -std=gnu17 -O2 -Wall -Wextra -Werror -Wl,--strip-all -o probe.wasm probe.c
wasm-strip probe.wasm
sha256sum probe.c json.h probe.wasm >probe.digests
wc -c probe.wasm
