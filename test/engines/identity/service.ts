import { anyone, createApp } from "../../../src/edge/index.ts";
import {
  createRegistry,
  createRuntime,
  defineTool,
  memoryBlobStore,
  memoryExecutionStore,
  type Backend,
  type CompiledArtifact,
  type ManifestInput,
  type Tool,
} from "../../../src/index.ts";
import { wasm } from "../../../src/wasm/index.ts";
import { prepareAhead } from "../backend/ahead.ts";
import { bytesOf } from "../backend/tools.ts";

/** A tool as JSON: no engine but Node reads files in Node's way. */
export interface PackedTool {
  readonly manifest: ManifestInput;
  readonly base64: string;
}

/** A tool whose artifacts were made ready before, with the modules as base64 and a component's script as text. */
export interface PackedBuild {
  readonly manifest: ManifestInput;
  readonly variants: readonly PackedVariant[];
}

export interface PackedVariant extends Omit<CompiledArtifact, "modules" | "instantiate"> {
  readonly modules: Readonly<Record<string, string>>;
  readonly script?: string;
}

export interface IdentityOptions {
  readonly tools: readonly PackedTool[];
  readonly builds: readonly PackedBuild[];
  /** Of the scripts, in the order of the variants that have one. */
  readonly instantiates: readonly NonNullable<CompiledArtifact["instantiate"]>[];
}

/** Compiles while the program starts, which every engine lets it do. */
function openBuilds({ builds, instantiates }: IdentityOptions): Promise<Tool[]> {
  const left = [...instantiates];
  const opened = builds.map(({ manifest, variants }) => {
    const compiled = variants.map(({ modules, script, ...variant }): CompiledArtifact => {
      const compiledModules = Object.entries(modules).map(([name, base64]) => [name, new WebAssembly.Module(bytesOf(base64))] as const);
      const instantiate = script === undefined ? undefined : left.shift();
      return { ...variant, modules: Object.fromEntries(compiledModules), ...(instantiate === undefined ? {} : { instantiate }) };
    });
    return defineTool(manifest, { compiled });
  });
  return Promise.all(opened);
}

/** So long a component may hold the event loop: here nobody else waits, and the machine's speed must not matter. */
const maxInlineMs = 20_000;

export interface IdentityService {
  readonly tools: readonly Tool[];
  readonly backend: Backend;
  readonly fetch: (request: Request) => Response | Promise<Response>;
}

/** The service as every host has it: the same app, the same backend, the same tools. */
export async function openService(options: IdentityOptions): Promise<IdentityService> {
  const opened = options.tools.map(({ manifest, base64 }) => defineTool(manifest, { wasm: bytesOf(base64) }));
  const tools = [...(await Promise.all(opened)), ...(await openBuilds(options))];
  const registry = createRegistry(tools);
  const backend = wasm({ maxInlineMs, javascript: "built" });
  const blobs = memoryBlobStore();
  const runtime = createRuntime({ backend, security: "dev", tools: registry, blobs });
  const app = createApp({
    runtime,
    tools: registry,
    blobs,
    executions: memoryExecutionStore(),
    authenticate: anyone(),
    hosts: ["127.0.0.1"],
  });
  return { tools, backend, fetch: (request) => app.fetch(request) };
}

/** On workerd nothing is compiled after the start. What is refused here is refused again, and with its code, when it is asked for. */
export async function prepareAll({ backend, tools }: IdentityService): Promise<void> {
  const named = new Map(tools.map((tool) => [tool.manifest.name, tool]));
  for (const isDeterministic of [false, true]) await prepareAhead(backend, named, isDeterministic);
}
