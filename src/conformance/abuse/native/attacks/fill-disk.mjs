// Takes room without end, in its own folder, and says with which error it was stopped, if with any.
import { closeSync, ftruncateSync, mkdirSync, openSync, writeSync } from "node:fs";

// Bounded, for where nothing else bounds it.
const mostBytes = 512 * 2 ** 20;
const mostFiles = 1_000_000;
const [, kind] = process.argv.slice(2);
const piece = Buffer.alloc(2 ** 20, 1);

function write(fd, from) {
  for (let bytes = 0; bytes < mostBytes; bytes += piece.length) if (writeSync(fd, piece, 0, piece.length, from + bytes) === 0) return;
}

function makeFiles() {
  mkdirSync("tmp/many");
  for (let count = 0; count < mostFiles; count++) closeSync(openSync(`tmp/many/${count}`, "wx"));
}

try {
  if (kind === "files") makeFiles();
  else {
    const fd = openSync("tmp/big", "wx");
    if (kind === "sparse") ftruncateSync(fd, 2 ** 40);
    write(fd, kind === "sparse" ? 2 ** 39 : 0);
  }
  console.log("not stopped");
} catch (error) {
  console.log(error.code);
}
