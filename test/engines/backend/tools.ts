import { defineTool, type Tool } from "../../../src/index.ts";

/** A module as base64: no engine but Node reads files in Node's way. */
export interface ToolData {
  readonly name: string;
  readonly base64: string;
}

export function bytesOf(base64: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
}

/** A tool of a module that speaks WASI. Names are for programs too, so all have the same one. */
export async function openTool(wasm: Uint8Array, digest?: string): Promise<Tool> {
  const artifact = { abi: "wasi-p1" as const, ...(digest === undefined ? {} : { digest }) };
  return defineTool(
    { name: "attack", version: "1.0.0", description: "Of the tests", inputSchema: true, artifacts: { wasm: artifact } },
    { wasm },
  );
}

export class Tools {
  readonly #tools: ReadonlyMap<string, Tool>;

  constructor(tools: ReadonlyMap<string, Tool>) {
    this.#tools = tools;
  }

  get all(): ReadonlyMap<string, Tool> {
    return this.#tools;
  }

  get(name: string): Tool {
    const tool = this.#tools.get(name);
    if (tool === undefined) throw new RangeError(`there is no tool ${name}`);
    return tool;
  }
}

export async function openTools(data: readonly ToolData[]): Promise<Tools> {
  const tools = new Map<string, Tool>();
  for (const { name, base64 } of data) tools.set(name, await openTool(bytesOf(base64)));
  return new Tools(tools);
}
