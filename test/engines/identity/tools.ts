import { readFile } from "node:fs/promises";
import { defineTool, type ManifestInput } from "../../../src/index.ts";
import { jcoTranspiler } from "../../../src/wasm/component/jco/index.ts";
import { makeArtifact } from "../../../src/wasm/index.ts";
import { quickJs } from "../../../src/wasm/javascript/node.ts";
import { callingModule } from "../../abuse/modules/binary.ts";
import { Bytes } from "../../wasm-meter/encoding.ts";
import { throwing } from "../backend/throwing.ts";
import { writeModule } from "../cases/writing.ts";
import type { PackedBuild, PackedTool } from "./service.ts";

const root = new URL("../../../", import.meta.url);

const samples = [
  "csv-aggregate",
  "hash",
  "image-thumbnail",
  "json-query",
  "markdown-to-html",
  "sqlite-query",
  "text-diff",
  "text-stats",
] as const;
/** Those that only Node makes ready: a component, and a snippet with what runs it. The others get what was built of them. */
const built = ["html-to-text", "text-template"] as const;
export type Sample = (typeof samples)[number] | (typeof built)[number];

const guests: Readonly<Record<string, string>> = {
  probe: "src/conformance/guests/probe.wasm",
  stdio: "test/wasi/guests/stdio.wasm",
  files: "test/wasi/guests/files.wasm",
  escape: "test/wasi/guests/escape.wasm",
  wild: "test/wasi/guests/wild.wasm",
  wait: "test/wasi/guests/wait.wasm",
  flood: "test/wasi/guests/flood.wasm",
  exit: "test/cli/guests/exit.wasm",
  ...Object.fromEntries(
    [
      "loop", "loop-start", "tail-loop", "fill-loop", "copy-loop", "host-calls", "catch-exit", "catch-limit", "catch-loop", "catch-spin",
      "recurse", "recurse-table", "grow-memory", "grow-tables", "touch-memory", "leftovers", "flood-stdout", "flood-stderr", "sleep",
    ].map((name) => [name, `test/abuse/modules/${name}.wasm`]),
  ),
}; // oxfmt-ignore

/** What traps, by the name that it must have. */
const trapping: Readonly<Record<string, readonly number[]>> = {
  unreachable: [0x00],
  "integer-divide-by-zero": [0x41, 7, 0x41, 0, 0x6d, 0x1a],
  "integer-overflow": [0x41, 0x80, 0x80, 0x80, 0x80, 0x78, 0x41, 0x7f, 0x6d, 0x1a],
  "invalid-conversion": [0x43, 0, 0, 0xc0, 0x7f, 0xa8, 0x1a],
  "out-of-bounds-memory": [0x41, 0x7f, 0x28, 2, 0, 0x1a],
  "out-of-bounds-table": [0x41, 9, 0x11, 0, 0],
  "indirect-call-type": [0x41, 1, 0x11, 0, 0],
  "null-reference": [0xd0, 0x70, 0xd4, 0x1a],
  "uncaught-exception": [0x41, 5, 0x08, 0],
};
export const traps: readonly string[] = Object.keys(trapping);

/** Stores something first, so that there is fuel to be counted before the trap. */
function trap(code: readonly number[]): Uint8Array<ArrayBuffer> {
  const start = new Bytes().raw(0x41, 16, 0x41, 1, 0x36, 2, 0, ...code, 0x0b);
  return writeModule({
    functions: [
      { name: "_start", params: [], results: [], code: start },
      { params: [], results: ["i32"], code: new Bytes().raw(0x41, 3, 0x0b) },
    ],
    memory: { min: 1, max: 1 },
    tables: [{ type: "funcref", min: 3 }],
    elements: [0, 1],
    tags: [["i32"]],
  });
}

/** Writes 32 random bytes, the time and how long it runs. */
const world = callingModule(
  [
    { name: "random_get", args: [64, 32] },
    { name: "clock_time_get", args: [0, 0n, 96] },
    { name: "clock_time_get", args: [1, 0n, 104] },
    { name: "fd_write", args: [1, 0, 1, 1024] },
  ],
  [64, 0, 0, 0, 48, 0, 0, 0],
);

function guest(name: string, bytes: Uint8Array): PackedTool {
  const manifest: ManifestInput = {
    name,
    version: "1.0.0",
    description: "A guest of the tests",
    inputSchema: true,
    artifacts: { wasm: { abi: "wasi-p1" } },
  };
  return { manifest, base64: Buffer.from(bytes).toString("base64") };
}

function folderOf(name: Sample): URL {
  return new URL(`examples/tools/${name}/`, root);
}

async function manifestOf(name: Sample): Promise<ManifestInput> {
  const { examples: _, ...manifest } = JSON.parse(await readFile(new URL("tool.json", folderOf(name)), "utf8")) as ManifestInput;
  return manifest;
}

async function sample(name: Sample): Promise<PackedTool> {
  const bytes = await readFile(new URL(`${name}.wasm`, folderOf(name)));
  return { manifest: await manifestOf(name), base64: bytes.toString("base64") };
}

async function build(name: (typeof built)[number]): Promise<PackedBuild> {
  const manifest = await manifestOf(name);
  const file = manifest.artifacts.wasm?.file ?? manifest.artifacts.code?.file ?? "";
  const bytes = new Uint8Array(await readFile(new URL(file, folderOf(name))));
  const tool = await defineTool(manifest, manifest.artifacts.code === undefined ? { wasm: bytes } : { code: bytes });
  const options = { components: jcoTranspiler(), javascript: quickJs() };
  const variants = [false, true].map(async (deterministic) => {
    const { modules, ...made } = await makeArtifact(tool, { ...options, deterministic });
    const packed = Object.entries(modules).map(([module, content]) => [module, Buffer.from(content).toString("base64")]);
    return { ...made, modules: Object.fromEntries(packed) };
  });
  return { manifest, variants: await Promise.all(variants) };
}

export function packBuilds(): Promise<PackedBuild[]> {
  return Promise.all(built.map(build));
}

export async function packTools(): Promise<PackedTool[]> {
  const read = Object.entries(guests).map(async ([name, file]) => guest(name, await readFile(new URL(file, root))));
  return [
    ...(await Promise.all(samples.map(sample))),
    ...(await Promise.all(read)),
    ...Object.entries(trapping).map(([name, code]) => guest(`trap-${name}`, trap(code))),
    guest("world", world),
    guest("throwing", throwing()),
    guest("broken", Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 255)),
  ];
}

/** A file of a sample's fixtures, as a request carries it. */
export async function fixture(name: Sample, file: string): Promise<Uint8Array> {
  return readFile(new URL(`examples/tools/${name}/fixtures/${file}`, root));
}
