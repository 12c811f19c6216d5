import { parseJson } from "../internal/json.ts";
import { readBounded, stateOf } from "../internal/node/bounded-file.ts";
import { UsageError } from "./exit-codes.ts";

/** The most for one input, in bytes; what the runtime takes by default for all of them together. */
const maxInputBytes = 64 * 2 ** 20;

/** Reads `--input`: JSON itself, `@file`, or `-` for stdin. @throws UsageError. */
export async function readInput(option: string | undefined): Promise<unknown> {
  if (option === undefined) return undefined;
  if (option === "-") return parseInput(await readStdin(), "stdin", "");
  if (option.startsWith("@")) {
    const file = option.slice(1);
    return parseInput(new TextDecoder().decode(await readLocal(file)), `"${file}"`, "");
  }
  return parseInput(option, "--input", `; a text is written '"…"', a file @file, stdin -`);
}

function parseInput(json: string, source: string, hint: string): unknown {
  const parsed = parseJson(json, { refusesPrototypeKeys: false });
  if ("value" in parsed) return parsed.value;
  throw new UsageError(`Cannot read the input from ${source} as JSON: ${parsed.problem}${hint}`);
}

async function readStdin(): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of process.stdin) {
    const bytes: Uint8Array = Buffer.from(chunk);
    size += bytes.length;
    if (size > maxInputBytes) throw new UsageError(`Cannot read the input from stdin: it is over ${maxInputBytes} bytes`);
    chunks.push(bytes);
  }
  return new TextDecoder().decode(Buffer.concat(chunks));
}

async function readLocal(file: string): Promise<Uint8Array> {
  try {
    return await readBounded(file, maxInputBytes);
  } catch (error) {
    throw new UsageError(`Cannot read the file "${file}": ${stateOf(error)}`);
  }
}

/** Splits `name=value` at the first equals sign. @throws UsageError. */
function splitPair(option: string, pair: string, example: string): [string, string] {
  const at = pair.indexOf("=");
  if (at > 0) return [pair.slice(0, at), pair.slice(at + 1)];
  throw new UsageError(`Cannot read ${option} ${JSON.stringify(pair)}: it is written as ${example}`);
}

/** Reads each `--file path=localfile`. @throws UsageError. */
export async function readFiles(pairs: readonly string[]): Promise<Record<string, Uint8Array>> {
  const files = new Map<string, Uint8Array>();
  for (const pair of pairs) {
    const [path, file] = splitPair("--file", pair, "path=localfile");
    files.set(path, await readLocal(file));
  }
  return Object.fromEntries(files);
}

/** Reads each `--env NAME=value`. @throws UsageError. */
export function readEnv(pairs: readonly string[]): Record<string, string> {
  return Object.fromEntries(pairs.map((pair) => splitPair("--env", pair, "NAME=value")));
}
