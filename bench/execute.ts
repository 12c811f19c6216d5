import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { createPlugin } from "@extism/extism";
import { createRuntime, type Tool } from "../src/index.ts";
import { loadTool } from "../src/internal/node/tool-folder.ts";
import { wasm } from "../src/wasm/index.ts";
import { echoInput, openEcho } from "./echo.ts";
import { handWire } from "./floor.ts";
import { compare, toTables, type BenchTable, type Effort, type Subject } from "./measure.ts";

const encoder = new TextEncoder();

function file(path: string): string {
  return fileURLToPath(new URL(path, import.meta.url));
}

interface Case {
  readonly tool: Tool;
  readonly wasm: string;
  readonly input: unknown;
  readonly peers: readonly Subject[];
}

async function openCases(): Promise<Case[]> {
  const echo = await openEcho();
  const example = (name: string): string => file(`../examples/tools/${name}`);
  return [
    { tool: await loadTool(example("hash")), wasm: example("hash/hash.wasm"), input: { text: "hello" }, peers: [] },
    { tool: echo, wasm: file("guests/echo.wasm"), input: echoInput, peers: [await extismPeer(echoInput)] },
  ];
}

/** The same work by Extism's SDK alone: a fresh plug-in for each call, from a module that is compiled already. */
async function extismPeer(input: unknown): Promise<Subject> {
  const module = await WebAssembly.compile(await readFile(file("guests/echo.extism.wasm")));
  return {
    name: "Extism SDK, fresh plug-in",
    run: async () => {
      const plugin = await createPlugin(module, { useWasi: false });
      const output = await plugin.call("echo", encoder.encode(JSON.stringify(input)));
      const value: unknown = output?.json();
      await plugin.close();
      return value;
    },
  };
}

/** A warm `execute()` through the whole runtime, against the same module instantiated and called by hand. */
export async function benchExecute(effort: Effort): Promise<BenchTable[]> {
  const tables: BenchTable[] = [];
  const backend = wasm();
  await using runtime = createRuntime({ backend, security: "dev" });
  for (const { tool, wasm: path, input, peers } of await openCases()) {
    const { name } = tool.manifest;
    const byHand = handWire(await WebAssembly.compile(await readFile(path)), name);
    const floor = (): unknown => JSON.parse(byHand(encoder.encode(JSON.stringify(input))));
    const { output } = await runtime.execute({ tool, input });
    for (const other of [floor(), ...(await Promise.all(peers.map(({ run }) => run())))]) {
      if (JSON.stringify(other) !== JSON.stringify(output)) throw new Error(`a peer of "${name}" does not do the same work`);
    }
    const subjects = [
      { name: "by hand: new Instance, call, read stdout", run: floor },
      { name: "runtime.execute()", run: () => runtime.execute({ tool, input }) },
      ...peers,
    ];
    tables.push(...toTables(`execute, tool "${name}" warm`, await compare(subjects, effort)));
  }
  await backend.close();
  return tables;
}
