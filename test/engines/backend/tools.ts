import { defineTool, type CompiledArtifact, type Tool } from "../../../src/index.ts";

/** A module as base64: no engine but Node reads files in Node's way. */
export interface ToolData {
  readonly name: string;
  readonly base64: string;
}

export function bytesOf(base64: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
}

export interface OpenOptions {
  readonly digest?: string | undefined;
  readonly compiled?: readonly CompiledArtifact[] | undefined;
}

/** A tool of a module that speaks WASI. Names are for programs too, so all have the same one. */
export async function openTool(wasm: Uint8Array, { digest, compiled }: OpenOptions = {}): Promise<Tool> {
  const artifact = { abi: "wasi-p1" as const, ...(digest === undefined ? {} : { digest }) };
  return defineTool(
    { name: "attack", version: "1.0.0", description: "Of the tests", inputSchema: true, artifacts: { wasm: artifact } },
    { wasm, ...(compiled === undefined ? {} : { compiled }) },
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

/** @param built what a platform compiled of them, by name */
export async function openTools(
  data: readonly ToolData[],
  built: Readonly<Record<string, readonly CompiledArtifact[]>> = {},
): Promise<Tools> {
  const tools = new Map<string, Tool>();
  for (const { name, base64 } of data) tools.set(name, await openTool(bytesOf(base64), { compiled: built[name] }));
  return new Tools(tools);
}
