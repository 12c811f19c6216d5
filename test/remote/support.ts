import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { onTestFinished } from "vitest";
import {
  createService,
  parseConfig,
  type Service,
  type ServiceConfigInput,
  type ServiceOptions,
} from "../../src/adapters/executor/index.ts";
import { remote, type RemoteOptions } from "../../src/adapters/remote/index.ts";
import { createRegistry, type Backend, type Registry, type Tool } from "../../src/index.ts";
import type { ExecutionState } from "../../src/store.ts";

export const nodeToken = "node-0123456789abcdef";

/** Tools by digest alone: any number of one name and version. */
export function toolShelf(tools: readonly Tool[] = []): Registry & { add(tool: Tool): void } {
  const byDigest = new Map(tools.map((tool) => [tool.digest as string, tool]));
  return {
    get: ({ name, digest }) =>
      digest === undefined ? [...byDigest.values()].find(({ manifest }) => manifest.name === name) : byDigest.get(digest),
    list: () => [...byDigest.values()],
    missing: (ref) => createRegistry().missing(ref),
    add: (tool) => void byDigest.set(tool.digest, tool),
  };
}

export interface ExecutorNode {
  readonly service: Service;
  readonly url: string;
  readonly port: number;
  /** Every line of its log so far. */
  readonly log: string[];
}

export interface NodeOptions {
  readonly config?: ServiceConfigInput;
  readonly secrets?: ServiceOptions["secrets"];
}

/** A real executor node on a loopback port, with `wasm`. Who opens it closes its service. */
export async function startNode(tools: Registry, { config = {}, secrets }: NodeOptions = {}): Promise<ExecutorNode> {
  const log: string[] = [];
  const service = await createService({
    config: parseConfig({
      port: 0,
      security: "dev",
      graceMs: 0,
      tokens: [{ token: nodeToken, principal: "edge", tenant: "fleet" }],
      ...config,
    }),
    tools,
    logTo: { write: (line: string) => void log.push(line) },
    ...(secrets === undefined ? {} : { secrets }),
  });
  return { service, log, ...(await service.listen()) };
}

/** The same, closed after the test. */
export async function openNode(tools: Registry, options?: NodeOptions): Promise<ExecutorNode> {
  const node = await startNode(tools, options);
  onTestFinished(() => node.service.close());
  return node;
}

export function remoteTo(url: string, options: Partial<RemoteOptions> = {}): Backend {
  return remote({ nodes: [{ url, token: nodeToken, name: "a" }], ...options });
}

/** What the node knows of every run that it was sent, oldest first. */
export async function executionsOf({ executions }: Service): Promise<ExecutionState[]> {
  const records = (await executions.audit.lines()).map((line) => JSON.parse(line) as { event: string; executionId: string });
  const ids = records.flatMap(({ event, executionId }) => (event === "accepted" ? [executionId] : []));
  const states = await Promise.all(ids.map((id) => executions.get("fleet", id)));
  return states.filter((state) => state !== undefined);
}

/** An address at which nobody listens. */
export async function closedUrl(): Promise<string> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return `http://127.0.0.1:${port}`;
}
