import { readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { fileURLToPath } from "node:url";
import { bundleWorker, compiledText } from "../../bench/edge/bundle.ts";
import { openWorker, type Worker } from "../../bench/engines.ts";
import { bundleIsolate } from "../../scripts/isolate-bundle.ts";
import { createRegistry, defineTool, ToolRuntimeError, type ManifestInput, type Tool } from "../../src/index.ts";
import { sha256, type Digest } from "../../src/internal/digest.ts";
import { problemOf } from "../../src/edge/reply.ts";
import { makeArtifact, type MadeArtifact } from "../../src/wasm/made.ts";
import type { Answer, AttackTarget, AuditRecord } from "../abuse/attack-target.ts";
import type { Ended } from "../abuse/wasm-attacker.ts";
import { canary } from "../abuse/wasm-target.ts";
import { echoTool } from "../edge/support.ts";
import { bytesOf } from "./deployed.ts";
import type { Opening } from "./entry.ts";

export type Mode = Opening["mode"];

export interface EdgeOptions {
  readonly mode: Mode;
  /** What a static worker is deployed with; what is not among them cannot be attacked with. */
  readonly modules: readonly Uint8Array[];
}

interface EdgeParts {
  readonly mode: Mode;
  readonly worker: Worker;
  /** The digests of the modules that a static worker has. */
  readonly deployed: ReadonlySet<string>;
}

interface Sent {
  readonly method: string;
  readonly path: string;
  readonly body?: string | Uint8Array;
  readonly signal?: AbortSignal;
}

/** By default a run may have 96 MiB, for that is what an isolate has room for on the platform. Some attacks need more to be one. */
const roomForAttacks: Opening["options"] = { maxima: { memory: "256Mi" } };

/** The id of requests that the build has answered. */
const build = "build";

const folder = fileURLToPath(new URL(".", import.meta.url));

/** The real worker in a workerd of its own, called through HTTP, with a service for each tool. */
export class EdgeTarget implements AttackTarget {
  readonly tools = createRegistry();
  readonly #parts: EdgeParts;
  readonly #digests = new WeakMap<Uint8Array, Promise<Digest>>();
  readonly #names = new Map<string, Promise<string>>();
  /** What `toolruntime build` refused, by the name of the tool that it was to be. */
  readonly #undeployed = new Map<string, ToolRuntimeError>();
  #lastTool = 0;
  #audit: AuditRecord[] = [];
  /** Sockets of the worker's process while nobody calls it. */
  #ownSockets = 0;

  private constructor(parts: EdgeParts) {
    this.#parts = parts;
  }

  static async open({ mode, modules }: EdgeOptions): Promise<EdgeTarget> {
    const victim = await echoTool("victim");
    const built = mode === "static" ? [...modules, await bytesOf(victim)] : [];
    const deployed = new Set<string>();
    const shelf: string[] = [];
    for (const bytes of built) {
      const digest = await sha256(bytes);
      try {
        const made = await makeArtifact(await toolOf("built", digest, bytes), { deterministic: false });
        shelf.push(`${JSON.stringify(digest)}: [${codeOf(made)}]`);
        deployed.add(digest);
      } catch (error) {
        if (!(error instanceof ToolRuntimeError)) throw error;
      }
    }
    const virtual = {
      "toolruntime:shelf": `export const shelf = { ${shelf.join(",\n")} };`,
      "toolruntime:isolate": engineText(await bundleIsolate()),
    };
    const worker = await openWorker(await bundleWorker({ main, folder, virtual }), {
      env: { TOOLRUNTIME_SECURITY: "dev", [canary.name]: canary.value },
      flags: ["enable_request_signal"],
      objects: { EXECUTIONS: "Executions" },
      loader: "LOADER",
    });
    const target = new EdgeTarget({ mode, worker, deployed });
    await target.add(victim);
    await target.request("GET", "/readyz");
    target.#ownSockets = target.#sockets();
    return target;
  }

  async close(): Promise<void> {
    await this.#parts.worker[Symbol.asyncDispose]();
  }

  get isolation(): string {
    return this.#parts.mode === "static" ? "wasm" : "isolate";
  }

  async toolOf(attack: Uint8Array | (() => Promise<Tool>)): Promise<string> {
    if (!(attack instanceof Uint8Array)) return this.#addTool(await attack());
    const digest = this.#digests.get(attack) ?? sha256(attack);
    this.#digests.set(attack, digest);
    const of = await digest;
    const name = this.#names.get(of) ?? this.#addNext(of, attack);
    this.#names.set(of, name);
    return name;
  }

  async #addNext(digest: Digest, bytes: Uint8Array): Promise<string> {
    return this.#addTool(await toolOf(this.nextName(), digest, bytes));
  }

  /** A static worker's tools went through the build, which refuses what ingest refuses and names the bytes where the manifest does not. */
  async #addTool(tool: Tool): Promise<string> {
    const { mode, deployed } = this.#parts;
    const { name } = tool.manifest;
    if (mode === "dynamic") return this.add(tool);
    try {
      const { of } = await makeArtifact(tool, { deterministic: false });
      if (!deployed.has(of)) throw new Error(`the worker was not deployed with the module of "${name}"`);
      return await this.add(await defineTool({ ...tool.manifest, artifacts: { wasm: { digest: of } } }, tool.sources));
    } catch (error) {
      if (!(error instanceof ToolRuntimeError)) throw error;
      this.#undeployed.set(name, error);
      return name;
    }
  }

  nextName(): string {
    return `attack-${++this.#lastTool}`;
  }

  /** Opens a service with this tool alone. */
  async add(tool: Tool, options: Opening["options"] = roomForAttacks): Promise<string> {
    const { manifest } = tool;
    const { mode } = this.#parts;
    if (mode === "dynamic") await this.#post(`/artifact/${encodeURIComponent(manifest.artifacts.wasm?.digest ?? "")}`, await bytesOf(tool));
    const opening: Opening = { mode, manifests: [manifest as ManifestInput], options };
    await this.#post(`/open/${manifest.name}`, JSON.stringify(opening));
    return manifest.name;
  }

  async #post(path: string, body: string | Uint8Array): Promise<void> {
    const { status, text } = await this.#send({ method: "POST", path, body });
    if (status !== 200) throw new Error(`${path}: ${status} ${text}`);
  }

  /** As of the service with the tool that the body names. What `toolruntime build` refuses is never deployed: that is its answer. */
  request(method: string, path: string, settings: { readonly body?: unknown; readonly signal?: AbortSignal } = {}): Promise<Answer> {
    const { body, signal } = settings;
    const tool = typeof body === "object" && body !== null && "tool" in body ? String(body.tool) : "victim";
    const undeployed = this.#undeployed.get(tool);
    if (undeployed !== undefined) {
      const problem = problemOf(undeployed, build);
      return Promise.resolve({ status: problem.status, text: JSON.stringify(problem) });
    }
    return this.#send({
      method,
      path: `/i/${tool}${path}`,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(signal === undefined ? {} : { signal }),
    });
  }

  /**
   * Whoever leaves resets the connection: that is what workerd takes for a caller who has gone. One that is only closed may be
   * half-closed (RFC 9112 §9.6), and its run goes on to its own limits.
   */
  #send({ body, signal, ...sent }: Sent): Promise<Answer> {
    const { port } = new URL(this.#parts.worker.url);
    return new Promise((resolve, reject) => {
      const headers = { host: "localhost", ...(body === undefined ? {} : { "content-type": "application/json" }) };
      const request = httpRequest({ host: "127.0.0.1", port, headers, agent: false, ...sent }, (response) => {
        let text = "";
        response.setEncoding("utf8");
        response.on("data", (chunk: string) => (text += chunk));
        response.on("end", () => resolve({ status: response.statusCode ?? 0, text }));
        response.on("error", reject);
      });
      request.on("error", reject);
      signal?.addEventListener("abort", () => {
        request.socket?.resetAndDestroy();
        reject(new Error("the caller has left"));
      });
      request.end(body);
    });
  }

  get log(): string[] {
    return this.#lines().filter((line) => !isAudit(line));
  }

  auditLines(): string[] {
    return this.#lines().filter(isAudit);
  }

  audit(): readonly AuditRecord[] {
    for (const line of this.auditLines().slice(this.#audit.length)) this.#audit.push(JSON.parse(line) as AuditRecord);
    return this.#audit;
  }

  /** The whole ones: the process may be in the middle of another. */
  #lines(): string[] {
    return this.#parts.worker.logged().split("\n").slice(0, -1);
  }

  /** A run in a worker has nothing outside of it; what can stay is the connection of somebody who has gone. */
  leftovers(): string[] {
    return Array.from({ length: Math.max(0, this.#sockets() - this.#ownSockets) }, (_, index) => `socket ${index} of the worker`);
  }

  #sockets(): number {
    const folder = `/proc/${this.#parts.worker.pid}/fd`;
    const targets = readdirSync(folder).map((fd) => {
      try {
        return readlinkSync(`${folder}/${fd}`);
      } catch {
        return "";
      }
    });
    return targets.filter((target) => target.startsWith("socket:")).length;
  }

  /** Forgets how much memory the worker's process has had, and says how much it has, in bytes. */
  watchMemory(): number {
    // See proc(5): 5 resets the peak.
    writeFileSync(`/proc/${this.#parts.worker.pid}/clear_refs`, "5");
    return this.#memory("VmRSS");
  }

  /** The most that it has had since `watchMemory`, in bytes. */
  peakMemory(): number {
    return this.#memory("VmHWM");
  }

  #memory(name: "VmRSS" | "VmHWM"): number {
    const status = readFileSync(`/proc/${this.#parts.worker.pid}/status`, "utf8");
    return Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(status)?.[1]) * 1024;
  }
}

/** Whether a run was refused before anything was deployed: nothing of it was ever at the service. */
export function isRefusedAtBuild({ problem }: Ended): boolean {
  return problem?.requestId === build;
}

function isAudit(line: string): boolean {
  return line.startsWith("{") && line.includes('"executionId"') && line.includes('"event"');
}

async function toolOf(name: string, digest: Digest, wasm: Uint8Array): Promise<Tool> {
  const artifacts = { wasm: { digest } };
  return defineTool({ name, version: "1.0.0", description: "An attack", inputSchema: true, artifacts }, { wasm });
}

/** An artifact as code that compiles it while the worker starts. */
function codeOf({ modules, ...made }: MadeArtifact): string {
  const compiled = Object.entries(modules).map(([name, bytes]) => `${JSON.stringify(name)}: ${compiledText(bytes)}`);
  return `{ ...${JSON.stringify(made)}, modules: { ${compiled.join(", ")} } }`;
}

function engineText(engine: string): string {
  return `export const engine = ${JSON.stringify(engine)};`;
}

const main = `
  import { engine } from "toolruntime:isolate";
  import { shelf } from "toolruntime:shelf";
  import { serveMany } from "./entry.ts";
  export { Executions } from "./entry.ts";
  export default serveMany(shelf, engine);
`;
