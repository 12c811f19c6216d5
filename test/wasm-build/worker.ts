import { createRuntime, defineTool, ToolRuntimeError, type BuiltTool, type Result, type Task, type Tool } from "../../src/index.ts";
import { builtWasm } from "../../src/wasm/built.ts";
import { wasm } from "../../src/wasm/index.ts";
import { emptyCommand } from "../abuse/modules/binary.ts";
import { bytesOf } from "../engines/backend/tools.ts";

/** What came of one task, and how often anything was compiled since the worker began to start. */
export interface WorkerAnswer {
  readonly result?: Result;
  readonly error?: { readonly code: string; readonly message: string; readonly started: boolean };
  readonly compiled: number;
}

/** The whole engine, and the one that takes nothing but what was built. */
export type BackendName = "wasm" | "builtWasm";

interface Asked extends Omit<Task, "tool" | "files"> {
  readonly tool: string;
  readonly backend: BackendName;
  /** As base64, by path. */
  readonly files?: Readonly<Record<string, string>>;
}

/** A worker whose tools are what was built; it counts what it compiles. */
export async function openWorker(built: readonly BuiltTool[]): Promise<{ fetch(request: Request): Promise<Response> }> {
  let compiled = 0;
  const { compile, Module } = WebAssembly;
  WebAssembly.compile = (bytes) => {
    compiled++;
    return compile(bytes);
  };
  WebAssembly.Module = new Proxy(Module, {
    construct(target, parameters) {
      compiled++;
      return Reflect.construct(target, parameters);
    },
  });
  const tools = new Map<string, Tool>();
  for (const { manifest, compiled: artifacts } of built) {
    const tool = await defineTool(manifest, { compiled: artifacts });
    tools.set(tool.manifest.name, tool);
  }
  const base = { name: "bytes", version: "1.0.0", description: "Of the tests", inputSchema: true };
  tools.set("bytes", await defineTool({ ...base, artifacts: { wasm: {} } }, { wasm: emptyCommand() }));
  const runtimes = {
    wasm: createRuntime({ backend: wasm(), security: "standard" }),
    builtWasm: createRuntime({ backend: builtWasm(), security: "standard" }),
  };
  return {
    async fetch(request) {
      const { tool: name, backend, files = {}, ...task } = (await request.json()) as Asked;
      const tool = tools.get(name);
      if (tool === undefined) return new Response(`there is no tool ${name}`, { status: 404 });
      const given = Object.fromEntries(Object.entries(files).map(([path, base64]) => [path, bytesOf(base64)]));
      try {
        return Response.json({ result: await runtimes[backend].execute({ ...task, tool, files: given }), compiled });
      } catch (error) {
        if (error instanceof ToolRuntimeError) return Response.json({ error: error.toJSON(), compiled });
        return new Response(String(error), { status: 500 });
      }
    },
  };
}
