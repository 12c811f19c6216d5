// Summarises a folder: how many bytes and files, which are the largest, which extensions take the room.
// A host command: JSON on stdin, JSON on stdout.

import { lstat, opendir } from "node:fs/promises";
import { extname, join, relative, sep } from "node:path";
import process from "node:process";
import { buffer } from "node:stream/consumers";

const maxInputBytes = 64 * 1024;
const keys = ["path", "top", "maxEntries"];

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
  const unknown = Object.keys(input).find((key) => !keys.includes(key));
  if (unknown !== undefined) throw new InputError(`Cannot use ${JSON.stringify(unknown)}: the fields are ${keys.join(", ")}`);
  const { path = ".", top = 10, maxEntries = 100_000 } = input;
  if (typeof path !== "string" || path === "" || path.includes("\0")) throw new InputError('Cannot use "path": it must be a path');
  if (!Number.isInteger(top) || top < 0 || top > 100) throw new InputError('Cannot use "top": it must be from 0 to 100');
  if (!Number.isInteger(maxEntries) || maxEntries < 1 || maxEntries > 1_000_000) {
    throw new InputError('Cannot use "maxEntries": it must be from 1 to 1000000');
  }
  return { path, top, maxEntries };
}

/** Yields each file system entry below the folder. Links are named, never followed: a loop of them would not end. */
async function* walk(root, onUnreadable) {
  const folders = [root];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    try {
      for await (const entry of await opendir(folder)) {
        const path = join(folder, entry.name);
        if (entry.isDirectory()) folders.push(path);
        yield { path, status: await lstat(path) };
      }
    } catch {
      onUnreadable();
    }
  }
}

async function summarise({ path, top, maxEntries }) {
  const root = await lstat(path).catch((error) => {
    throw new InputError(`Cannot open ${JSON.stringify(path)}: ${error.code}`);
  });
  if (!root.isDirectory()) throw new InputError(`Cannot open ${JSON.stringify(path)}: it is not a folder`);
  const summary = { bytes: 0, files: 0, folders: 0, others: 0, unreadable: 0, truncated: false };
  const files = [];
  const extensions = new Map();
  let entries = 0;
  for await (const { path: found, status } of walk(path, () => (summary.unreadable += 1))) {
    entries += 1;
    if (entries > maxEntries) {
      summary.truncated = true;
      break;
    }
    if (status.isDirectory()) summary.folders += 1;
    else if (!status.isFile()) summary.others += 1;
    else {
      summary.files += 1;
      summary.bytes += status.size;
      files.push({ path: relative(path, found).split(sep).join("/"), bytes: status.size });
      const extension = extname(found).toLowerCase();
      const sum = extensions.get(extension) ?? { extension, files: 0, bytes: 0 };
      extensions.set(extension, { extension, files: sum.files + 1, bytes: sum.bytes + status.size });
    }
  }
  return {
    path,
    ...summary,
    largestFiles: files.toSorted((a, b) => b.bytes - a.bytes || compare(a.path, b.path)).slice(0, top),
    byExtension: [...extensions.values()].toSorted((a, b) => b.bytes - a.bytes || compare(a.extension, b.extension)).slice(0, top),
  };
}

/** The same order whatever the machine's language is. */
function compare(a, b) {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

try {
  process.stdout.write(JSON.stringify(await summarise(await readInput())));
} catch (error) {
  if (!(error instanceof InputError)) throw error;
  process.stderr.write(`disk-usage: ${error.message}\n`);
  process.exitCode = 1;
}
