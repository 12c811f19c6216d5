import { writeSync } from "node:fs";

const [, kind] = process.argv.slice(2);
const fd = kind === "stderr" ? 2 : 1;
writeSync(fd, "first");
const piece = Buffer.alloc(kind === "bytes" ? 1 : 65_536, "x");
const times = kind === "bytes" ? 1_000_000 : Number.POSITIVE_INFINITY;
for (let count = 0; count < times; count++) writeSync(fd, piece);
