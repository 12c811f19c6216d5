import type { ConformanceOptions, OpenOptions } from "../../src/conformance/index.ts";
import { createRuntime, type Backend, type Runtime, type SecurityProfile } from "../../src/index.ts";
import type { ServiceConfigInput } from "../../src/adapters/executor/index.ts";
import { canary, type Target } from "../conformance/targets.ts";
import { remoteTo, startNode, toolShelf, type ExecutorNode } from "./support.ts";

/** What a node is to have behind it: the same guests as there are locally, and the node's own configuration of that backend. */
export interface Behind {
  open(): Target | Promise<Target>;
  readonly backends: NonNullable<ServiceConfigInput["backends"]>;
  readonly profile: SecurityProfile;
}

/** The options that belong to the node that runs the tools; all of them stand for the runtime that sends them there too. */
function nodeOptions({ resources, maxima, concurrency, secrets, allowsBestEffort }: OpenOptions) {
  return {
    config: {
      limits: { maxJsonBytes: 64 * 2 ** 20 },
      ...(resources === undefined ? {} : { resources }),
      ...(maxima === undefined ? {} : { maxima }),
      ...(concurrency === undefined ? {} : { concurrency }),
      ...(allowsBestEffort === undefined ? {} : { allowsBestEffort }),
    },
    ...(secrets === undefined ? {} : { secrets }),
  };
}

/** Opens the node only when it is first needed: many cases only look at what is refused before anything is sent. */
class RemoteRuntime implements Runtime {
  readonly backend = "remote";
  readonly security: SecurityProfile;
  readonly #runtime: Runtime;
  readonly #node: ExecutorNode;
  readonly #backend: Backend;
  readonly #shelf: ReturnType<typeof toolShelf>;
  readonly #tools: OpenOptions["tools"];

  constructor(node: ExecutorNode, shelf: ReturnType<typeof toolShelf>, options: OpenOptions) {
    this.#node = node;
    this.#shelf = shelf;
    this.#tools = options.tools;
    this.#backend = remoteTo(node.url);
    this.#runtime = createRuntime({ ...options, backend: this.#backend });
    this.security = this.#runtime.security;
  }

  execute: Runtime["execute"] = (task, call) => {
    // Nodes know the tools themselves.
    const tool = "manifest" in task.tool ? task.tool : this.#tools?.get(task.tool);
    if (tool !== undefined) this.#shelf.add(tool);
    return this.#runtime.execute(task, call);
  };

  explain: Runtime["explain"] = (task) => this.#runtime.explain(task);
  probe: Runtime["probe"] = () => this.#runtime.probe();
  load: Runtime["load"] = () => this.#runtime.load();

  async close(): Promise<void> {
    await this.#runtime.close();
    await this.#backend.close();
    await this.#node.service.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** The same guests as locally, on a node of its own for each runtime. */
export async function remoteTarget({ open, backends, profile }: Behind): Promise<Target> {
  process.env[canary.name] = canary.value;
  const target = await open();
  const options: ConformanceOptions = {
    ...target.options,
    name: `remote to ${target.options.name}`,
    // The window of a megabyte, and what the node's own pipes hold.
    maxHeldBytes: (target.options.maxHeldBytes ?? 2 ** 20) + 2 ** 20,
    eventDelayMs: 500,
    async open(settings) {
      const shelf = toolShelf();
      const { config, secrets } = { secrets: undefined, ...nodeOptions(settings) };
      const node = await startNode(shelf, {
        config: { ...config, security: profile, backends },
        ...(secrets === undefined ? {} : { secrets }),
      });
      return new RemoteRuntime(node, shelf, settings);
    },
  };
  return { options, backend: target.backend, close: () => target.close() };
}
