import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createService, parseConfig, type Service } from "../../src/adapters/executor/index.ts";
import { createRegistry, defineTool, type MutableRegistry, type Tool } from "../../src/index.ts";
import { findCgroups } from "../../src/internal/node/cgroup-layout.ts";
import { currentOwner, formatOwner } from "../../src/internal/node/process-owner.ts";
import { securityProfiles } from "../../src/profile.ts";
import { namePrefix } from "../../src/wasm/process/reap.ts";
import { echoTool } from "../edge/support.ts";
import type { Answer, AttackTarget, AuditRecord } from "./attack-target.ts";
import { bundleChild, type BundledChild } from "./bundled-child.ts";

/** A variable of this process that no tool may see. */
export const canary = { name: "TOOLRUNTIME_CANARY", value: "canary-51c0de" } as const;

export interface TargetOptions {
  readonly process?: { readonly maxChildren?: number; readonly spares?: number; readonly maxRuns?: number; readonly idleMs?: number };
}

interface TargetParts extends Pick<Target, "service" | "tools" | "log" | "scratch" | "spares"> {
  readonly port: number;
  readonly auditFile: string;
  readonly child: BundledChild;
}

/**
 * A service with both drivers, on a loopback port: tasks in dev and standard run in this process, those in hardened in processes
 * of their own. Each of those serves one run, so that whatever is there after it besides the spares was left by it.
 */
export class Target implements AttackTarget {
  readonly isolation = "wasm";
  readonly service: Service;
  readonly tools: MutableRegistry;
  readonly log: string[];
  /** Where this process makes its temporary files. */
  readonly scratch: string;
  /** How many processes wait for a tool. */
  readonly spares: number;
  readonly #port: number;
  readonly #auditFile: string;
  readonly #names = new Map<Uint8Array, Promise<string>>();
  readonly #parents: readonly string[];
  readonly #child: BundledChild;
  #lastTool = 0;
  #audit: AuditRecord[] = [];

  private constructor(parts: TargetParts) {
    this.service = parts.service;
    this.tools = parts.tools;
    this.log = parts.log;
    this.scratch = parts.scratch;
    this.spares = parts.spares;
    this.#port = parts.port;
    this.#auditFile = parts.auditFile;
    this.#child = parts.child;
    this.#parents = (findCgroups(`${namePrefix}abuse-trial-${process.pid}`) ?? []).map(({ parent }) => parent);
  }

  static async open(options: TargetOptions = {}): Promise<Target> {
    process.env[canary.name] = canary.value;
    const child = await bundleChild();
    const folder = mkdtempSync(join(tmpdir(), "toolruntime-attacked-"));
    const scratch = join(folder, "tmp");
    mkdirSync(scratch);
    process.env["TMPDIR"] = scratch;
    const auditFile = join(folder, "audit.jsonl");
    const { entry } = child;
    const processes = { maxChildren: 4, spares: 1, maxRuns: 1, idleMs: 300, entry, ...options.process };
    const log: string[] = [];
    const tools = createRegistry([await echoTool("victim")]);
    const config = parseConfig({ audit: { file: auditFile }, port: 0, security: "dev", graceMs: 0 });
    const service = await createService({
      // What a file of configuration has no word for: the program of the processes.
      config: Object.assign(config, { backends: { wasm: { process: processes } } }),
      tools,
      logTo: { write: (line: string) => void log.push(line) },
    });
    const { port } = await service.listen();
    const target = new Target({ service, tools, log, scratch, spares: processes.spares, port, auditFile, child });
    // What is made once, at the first run in each profile, was not left by an attack.
    for (const security of securityProfiles) await target.request("POST", "/v1/executions", { body: { tool: "victim", security } });
    return target;
  }

  async close(): Promise<void> {
    await this.service.close();
    rmSync(join(this.scratch, ".."), { recursive: true });
    this.#child.remove();
  }

  async toolOf(attack: Uint8Array | (() => Promise<Tool>)): Promise<string> {
    if (!(attack instanceof Uint8Array)) {
      const tool = await attack();
      this.tools.add(tool);
      return tool.manifest.name;
    }
    const name = this.#names.get(attack) ?? this.#register(attack);
    this.#names.set(attack, name);
    return name;
  }

  async #register(attack: Uint8Array): Promise<string> {
    const name = this.nextName();
    this.tools.add(await defineAttack(name, attack));
    return name;
  }

  nextName(): string {
    return `attack-${++this.#lastTool}`;
  }

  request(method: string, path: string, settings: { readonly body?: unknown; readonly signal?: AbortSignal } = {}): Promise<Answer> {
    const { body, signal } = settings;
    return new Promise((resolve, reject) => {
      const headers = body === undefined ? {} : { "content-type": "application/json" };
      const options = { host: "127.0.0.1", port: this.#port, method, path, headers, agent: false as const };
      const sent = httpRequest({ ...options, ...(signal === undefined ? {} : { signal }) }, (response) => {
        let text = "";
        response.setEncoding("utf8");
        response.on("data", (chunk: string) => (text += chunk));
        response.on("end", () => resolve({ status: response.statusCode ?? 0, text }));
        response.on("error", reject);
      });
      sent.on("error", reject);
      sent.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }

  audit(): readonly AuditRecord[] {
    const lines = this.auditLines();
    for (const line of lines.slice(this.#audit.length)) this.#audit.push(JSON.parse(line) as AuditRecord);
    return this.#audit;
  }

  auditLines(): string[] {
    return existsSync(this.#auditFile) ? readFileSync(this.#auditFile, "utf8").split("\n").slice(0, -1) : [];
  }

  leftovers(): string[] {
    const prefix = `${namePrefix}${formatOwner(currentOwner())}-`;
    const processes = namesOfProcesses(prefix);
    const cgroups = this.#parents.flatMap((parent) => readdirSync(parent)).filter((name) => name.startsWith(prefix));
    return [
      ...processes.slice(this.spares).map((name) => `process ${name}`),
      ...cgroups.filter((name) => !processes.includes(name)).map((name) => `cgroup ${name}`),
      ...readdirSync(this.scratch).map((name) => `file ${name}`),
    ];
  }
}

export function defineAttack(name: string, wasm: Uint8Array | (() => Promise<Uint8Array>), digest?: `sha256:${string}`): Promise<Tool> {
  const artifacts = { wasm: digest === undefined ? {} : { digest } };
  return defineTool({ name, version: "1.0.0", description: "An attack", inputSchema: true, artifacts }, { wasm });
}

/** The names of this process's children are the last words of their command lines; zombies have none. */
function namesOfProcesses(prefix: string): string[] {
  return readdirSync("/proc").flatMap((pid) => {
    if (!/^\d+$/.test(pid)) return [];
    try {
      const name = readFileSync(`/proc/${pid}/cmdline`, "latin1").split("\0").at(-2) ?? "";
      return name.startsWith(prefix) ? [name] : [];
    } catch {
      return [];
    }
  });
}

/** How many sockets and pipes this process has open. */
export function openSockets(): number {
  const targets = readdirSync("/proc/self/fd").map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return "";
    }
  });
  return targets.filter((target) => /^(?:socket|pipe):/.test(target)).length;
}
