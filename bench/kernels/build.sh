#!/usr/bin/env bash
# Rebuilds the kernels of the bench with Debian's clang-19 and lld-19, rustc (1.63) with lld-14, and the AssemblyScript of the development
# dependencies.
set -euo pipefail
cd "$(dirname "$0")"
rustc="${RUSTC:-/usr/bin/rustc}"
scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT

# Linked by a call of its own: clang would run any wasm-opt that it finds on the path.
for source in *.c; do
  clang-19 --target=wasm32 -O2 -Wall -Wextra -Werror -mbulk-memory -ffreestanding -c "$source" -o "$scratch/$source.o"
  wasm-ld-19 --no-entry --strip-all "$scratch/$source.o" -o "$source.wasm"
done

for source in *.rs; do
  "$rustc" --target wasm32-unknown-unknown --edition 2021 --crate-type cdylib -C opt-level=3 -C lto=fat -C panic=abort -C strip=symbols \
    -C linker=wasm-ld-14 "$source" -o "$source.wasm"
done

# AssemblyScript takes no other ending than .ts, which TypeScript's compiler would then read here as well.
for source in *.as; do
  cp "$source" "$scratch/$source.ts"
  ../../node_modules/.bin/asc "$scratch/$source.ts" -O3 --runtime incremental --use abort= --outFile "$source.wasm"
done

chmod -x ./*.wasm
