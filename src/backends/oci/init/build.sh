#!/bin/sh
# Rebuilds ../init-program.ts from init.c. Needs gcc and gcc-aarch64-linux-gnu of Debian 12 or alike, and Node. A test compares the
# digest of the source with the one that is written there.
set -eu
cd "$(dirname "$0")"
flags="-std=c17 -Os -Wall -Wextra -Werror -ffreestanding -fno-builtin -fno-stack-protector -fno-asynchronous-unwind-tables -fno-pie"
link="-nostdlib -static -no-pie -Wl,--build-id=none -Wl,-z,noseparate-code -Wl,-n -Wl,-z,noexecstack -s"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
${CC_X64:-x86_64-linux-gnu-gcc} $flags -fcf-protection=none $link -o "$folder/x64" init.c
${CC_ARM64:-aarch64-linux-gnu-gcc} $flags $link -o "$folder/arm64" init.c
node write.mjs "$folder"
