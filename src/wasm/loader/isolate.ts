import type { CompiledArtifact } from "../../tool.ts";
import type { ReadyArtifact } from "../artifact.ts";
import { MemoryPool } from "../memory-pool.ts";
import { allAbis } from "../abi/all.ts";
import { readyArtifact } from "../abi/runner.ts";
import { Turns } from "../turns.ts";
import { IsolateRun, type Guest } from "./isolate-run.ts";

/** What an isolate is told of its guest. */
export interface IsolateFacts {
  readonly tool: string;
  readonly artifact: Omit<CompiledArtifact, "modules" | "instantiate">;
  /** Those of the modules, in their order. */
  readonly names: readonly string[];
}

/** What the platform has made of the guest. */
export interface IsolateModules {
  readonly modules: readonly WebAssembly.Module[];
  readonly instantiate?: CompiledArtifact["instantiate"];
}

/** A worker's handler, as far as the platform calls it here. */
export interface IsolateHandler {
  fetch(request: Request, env: unknown, context: { waitUntil(work: Promise<unknown>): void }): Response;
}

/** Mapping a fresh memory costs this engine less than zeroing a used one, and a fresh one has nothing of any run. */
const maxPoolBytes = 0;

/** The program of an isolate: runs one artifact as often as it is asked, any number at once. */
export function isolate({ tool, artifact, names }: IsolateFacts, { modules: compiled, instantiate }: IsolateModules): IsolateHandler {
  const modules: Record<string, WebAssembly.Module> = Object.create(null);
  for (const [index, name] of names.entries()) {
    const module = compiled[index];
    if (module !== undefined) modules[name] = module;
  }
  const pool = new MemoryPool(maxPoolBytes);
  let ready: ReadyArtifact | undefined;
  const guest: Guest = {
    tool,
    turns: new Turns(),
    ready: () =>
      (ready ??= readyArtifact(allAbis(), { ...artifact, modules, ...(instantiate === undefined ? {} : { instantiate }) }, { tool, pool })),
  };
  return {
    fetch(request, _env, context) {
      if (request.body === null) return new Response(null, { status: 400 });
      const run = new IsolateRun(guest);
      context.waitUntil(run.answer(request.body));
      return new Response(run.replies);
    },
  };
}
