import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { remote } from "../src/adapters/remote/index.ts";
import type { ServiceConfigInput } from "../src/adapters/executor/index.ts";
import type { Backend } from "../src/index.ts";
import { writeTools, type ToolsFolder } from "../test/fleet/effects.ts";
import { fleetToken, NodeProcess } from "../test/fleet/node-process.ts";

export interface SoakFleet extends AsyncDisposable {
  readonly nodes: readonly NodeProcess[];
  readonly shelf: ToolsFolder;
  /** Who opens it closes it. */
  backend(): Backend;
}

/** Three nodes, each a process. */
export async function openSoakFleet(config: ServiceConfigInput): Promise<SoakFleet> {
  const folder = await mkdtemp(join(tmpdir(), "toolruntime-soak-"));
  const shelf = await writeTools(join(folder, "tools"));
  const names = ["a", "b", "c"];
  const nodes = await Promise.all(
    names.map((name) => NodeProcess.start({ name, folder: join(folder, name), tools: shelf.folder, config })),
  );
  return {
    nodes,
    shelf,
    backend: () => remote({ nodes: nodes.map(({ url, name }) => ({ url, name, token: fleetToken })) }),
    async [Symbol.asyncDispose]() {
      for (const node of nodes) await node.kill();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export function toolOf({ tools }: ToolsFolder, name: string) {
  const tool = tools.get(name);
  if (tool === undefined) throw new Error(`There is no tool "${name}"`);
  return tool;
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
