// The same tool as the WASM command, as a host command: both must give the same answers.

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import process from "node:process";
import { buffer } from "node:stream/consumers";
import { crc32 } from "node:zlib";

const maxInputBytes = 8 * 2 ** 20;
const algorithms = ["sha256", "sha512", "sha1", "md5", "crc32"];
const keys = ["text", "file", "encoding", "algorithms"];

class InputError extends Error {}

async function readInput() {
  const bytes = await buffer(process.stdin);
  if (bytes.length > maxInputBytes) throw new InputError(`Cannot read the input: it is larger than ${maxInputBytes} bytes`);
  let input;
  try {
    input = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw new InputError("Cannot read the input: it is not JSON");
  }
  if (typeof input !== "object" || input === null || Array.isArray(input))
    throw new InputError("Cannot read the input: it is not an object");
  if (Object.keys(input).some((key) => !keys.includes(key)))
    throw new InputError(`Cannot use the input: the fields are ${keys.join(", ")}`);
  const { text, file, encoding = "utf8", algorithms: names = ["sha256"] } = input;
  const isText = typeof text === "string" && file === undefined;
  if (!isText && !(typeof file === "string" && text === undefined)) {
    throw new InputError('Cannot choose what to hash: give either "text" or "file"');
  }
  const isList = Array.isArray(names) && names.length > 0 && new Set(names).size === names.length;
  if (!isList || names.some((name) => !algorithms.includes(name))) {
    throw new InputError(`Cannot use "algorithms": it must name some of ${algorithms.join(", ")}, each once`);
  }
  return { text, file, encoding, names };
}

function decode(text, encoding) {
  if (encoding === "utf8") {
    if (!text.isWellFormed()) throw new InputError('Cannot decode "text": it has half a surrogate pair');
    return Buffer.from(text, "utf8");
  }
  if (encoding !== "base64" && encoding !== "hex") throw new InputError('Cannot use "encoding": it must be utf8, base64 or hex');
  const bytes = Buffer.from(text, encoding);
  // Node's decoder skips what it cannot read; only a text that comes back the same was well-formed.
  const again = bytes.toString(encoding);
  if (again !== (encoding === "hex" ? text.toLowerCase() : text)) throw new InputError(`Cannot decode "text": it is not ${encoding}`);
  return bytes;
}

function makeHash(name) {
  if (name !== "crc32") {
    const hash = createHash(name);
    return { update: (chunk) => void hash.update(chunk), finish: () => hash.digest("hex") };
  }
  let sum = 0;
  return { update: (chunk) => (sum = crc32(chunk, sum)), finish: () => sum.toString(16).padStart(8, "0") };
}

async function run() {
  const { text, file, encoding, names } = await readInput();
  const chunks = file === undefined ? [decode(text, encoding)] : createReadStream(file);
  const hashes = names.map((name) => [name, makeHash(name)]);
  let bytes = 0;
  try {
    for await (const chunk of chunks) {
      bytes += chunk.length;
      for (const [, hash] of hashes) hash.update(chunk);
    }
  } catch (error) {
    throw new InputError(`Cannot read ${JSON.stringify(file)}: ${error.code}`);
  }
  return { bytes, digests: Object.fromEntries(hashes.map(([name, hash]) => [name, hash.finish()])) };
}

try {
  process.stdout.write(JSON.stringify(await run()));
} catch (error) {
  if (!(error instanceof InputError)) throw error;
  process.stderr.write(`hash: ${error.message}\n`);
  process.exitCode = 1;
}
