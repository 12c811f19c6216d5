import { accessSync, closeSync, constants, openSync, unlinkSync, writeSync } from "node:fs";

// Bounded, for where nothing else bounds it.
const mostBytes = 512 * 2 ** 20;
const [mark, kind] = process.argv.slice(2);
const piece = Buffer.alloc(2 ** 20, 1);

function fill(path) {
  const fd = openSync(path, "wx");
  unlinkSync(path);
  for (let bytes = 0; bytes < mostBytes; bytes += piece.length) writeSync(fd, piece);
  closeSync(fd);
}

const held = [];
if (kind === "heap") for (let bytes = 0; bytes < mostBytes; bytes += piece.length) held.push(Buffer.alloc(piece.length, 1));
function isWritable(folder) {
  try {
    accessSync(folder, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

if (kind === "tmpfs") fill(`${isWritable("/dev/shm") ? "/dev/shm" : "/tmp"}/${mark}-${process.pid}`);
if (kind === "cache") fill("tmp/big");
