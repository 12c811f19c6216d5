import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { createRuntime } from "../src/index.ts";
import { loadTool } from "../src/internal/node/tool-folder.ts";
import { wasm } from "../src/wasm/index.ts";
import { handWire } from "./floor.ts";
import { compare, toRows, type Row } from "./measure.ts";

const encoder = new TextEncoder();

function example(path: string): string {
  return fileURLToPath(new URL(`../examples/tools/${path}`, import.meta.url));
}

export interface ExecuteBench {
  readonly tool: string;
  readonly input: unknown;
}

const inputs: readonly ExecuteBench[] = [
  { tool: "hash", input: { algorithm: "sha256", text: "hello" } },
  { tool: "csv-aggregate", input: { csv: "city,n\nOslo,1\nOslo,2\nRome,3\n", groupBy: ["city"], aggregates: [{ column: "n", function: "sum" }] } },
];

/** A warm `execute()` through the whole runtime, against the same module instantiated and called by hand. */
export async function benchExecute({ rounds, calls }: { rounds: number; calls: number }): Promise<{ title: string; rows: Row[] }[]> {
  const tables = [];
  const backend = wasm();
  await using runtime = createRuntime({ backend, security: "dev" });
  for (const { tool: name, input } of inputs) {
    const tool = await loadTool(example(name));
    const module = await WebAssembly.compile(await readFile(example(`${name}/${name}.wasm`)));
    const byHand = handWire(module, name);
    const expected = (await runtime.execute({ tool, input })).output;
    const actual: unknown = JSON.parse(byHand(encoder.encode(JSON.stringify(input))));
    if (JSON.stringify(expected) !== JSON.stringify(actual)) throw new Error(`the floor of "${name}" does not do the same work`);
    const series = await compare(
      [
        { name: "by hand: new Instance, call, read stdout", run: () => JSON.parse(byHand(encoder.encode(JSON.stringify(input)))) },
        { name: "runtime.execute()", run: () => runtime.execute({ tool, input }) },
      ],
      { rounds, calls },
    );
    tables.push({ title: `execute, tool "${name}", warm`, rows: toRows(series) });
  }
  await backend.close();
  return tables;
}
