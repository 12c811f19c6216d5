#!/bin/sh
# Rebuilds the attack modules beside this file. Needs wabt.
set -eu
cd "$(dirname "$0")"
for source in *.wat; do
  wat2wasm --enable-exceptions --enable-tail-call -o "${source%.wat}.wasm" "$source"
done
