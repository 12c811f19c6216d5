import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { remote, type RemoteOptions } from "../../src/adapters/remote/index.ts";
import { createRegistry, createRuntime, type Runtime, type Tool } from "../../src/index.ts";
import { Effects, isRunning, writeTools } from "./effects.ts";
import { fleetToken, NodeProcess, type NodeProcessOptions } from "./node-process.ts";

export { Effects, isRunning } from "./effects.ts";
export { fleetToken, NodeProcess } from "./node-process.ts";

export interface Fleet {
  readonly folder: string;
  readonly nodes: readonly NodeProcess[];
  readonly effects: Effects;
  tool(name: string): Tool;
  /** A caller's runtime over all nodes, or over other addresses. */
  runtime(options?: Partial<RemoteOptions>): Runtime;
  /** The node that had an effect. */
  nodeOf(effect: { readonly folder: string }): NodeProcess | undefined;
}

export interface FleetOptions extends Partial<Pick<NodeProcessOptions, "config" | "preload" | "env">> {
  /** Default 1. */
  readonly nodes?: number;
  /** Writes further tools into the folder that the nodes have. */
  readonly prepare?: (tools: string) => Promise<void>;
}

/** Executor nodes, each a process with a folder of its own, ended and removed after the test. */
export async function openFleet({ nodes: count = 1, prepare, ...options }: FleetOptions = {}): Promise<Fleet> {
  const folder = await mkdtemp(join(tmpdir(), "toolruntime-fleet-"));
  const { folder: tools, effects, tools: byName } = await writeTools(join(folder, "tools"));
  await prepare?.(tools);
  const nodes: NodeProcess[] = [];
  onTestFinished(async () => {
    for (const node of nodes) await node.kill();
    for (const { pid } of effects.all()) if (isRunning(pid)) process.kill(pid, "SIGKILL");
    await rm(folder, { recursive: true, force: true });
  });
  const names = ["a", "b", "c", "d"].slice(0, count);
  nodes.push(...(await Promise.all(names.map((name) => NodeProcess.start({ name, folder: join(folder, name), tools, ...options })))));
  const tool = (name: string): Tool => {
    const found = byName.get(name);
    if (found === undefined) throw new Error(`The fleet has no tool "${name}"`);
    return found;
  };
  const registry = createRegistry([...byName.values()]);
  return {
    folder,
    nodes,
    effects,
    tool,
    runtime: (changes = {}) => {
      const backend = remote({ nodes: nodes.map(({ url, name }) => ({ url, name, token: fleetToken })), ...changes });
      const runtime = createRuntime({ backend, security: "dev", tools: registry });
      onTestFinished(async () => {
        await runtime.close();
        await backend.close();
      });
      return runtime;
    },
    nodeOf: (effect) => nodes.find(({ scratch }) => effect.folder.startsWith(scratch)),
  };
}

/** Polls until a condition holds. */
export async function until(condition: () => boolean | Promise<boolean>, withinMs: number, what: string): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`Not within ${withinMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
